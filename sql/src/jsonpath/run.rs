//! Running a path over a value, after jsonpath_exec.c: a step gives each item that it finds to the next one.

mod methods;

use std::rc::Rc;

use super::item::{Item, Json, Truth, compare};
use super::{Chain, Method, Operator, Path, Step, deeper};
use crate::error::{ErrorKind, SqlError};
use crate::functions::decimal::Decimal;
use crate::functions::regexp;
use crate::text::{Zone, number};

/// Items that one path may find: they are made as a whole.
const ITEMS_MAX: usize = 10_000_000;

/// How far the ids of objects of one base are from those of another.
const BASE_DISTANCE: i64 = 10_000_000_000;

/// What a path is run over.
pub(crate) struct Call<'a> {
    pub(crate) path: Rc<Path>,
    pub(crate) json: &'a str,
    /// The object whose members are the path's variables, if there is one.
    pub(crate) vars: Option<&'a str>,
    /// Whether errors that the path makes are no errors.
    pub(crate) silent: bool,
    /// The zone in which moments without one are.
    pub(crate) zone: Option<Zone>,
}

impl Call<'_> {
    /// What the path finds, as the texts of jsonb: all before an error that is none.
    pub(crate) fn all(&self) -> Result<Vec<String>, SqlError> {
        let mut items = Vec::new();
        self.runner()?.start(&self.path, Some(&mut items))?;
        Ok(items.into_iter().map(Item::into_json).collect())
    }

    /// Whether the path finds anything; `None` where an error that is none ended it.
    pub(crate) fn any(&self) -> Result<Option<bool>, SqlError> {
        Ok(match self.runner()?.start(&self.path, None)? {
            Done::Failed => None,
            done => Some(done == Done::Found),
        })
    }

    fn runner(&self) -> Result<Runner, SqlError> {
        let vars = self.vars.map(Json::from);
        if vars
            .clone()
            .is_some_and(|vars| !Item::Json(vars).is_object())
        {
            let message = "\"vars\" argument is not an object";
            return Err(
                SqlError::new(ErrorKind::InvalidParameterValue, message).detail(
                    "Jsonpath parameters should be encoded as key-value pairs of \"vars\" object.",
                ),
            );
        }
        let root = Json::from(self.json);
        Ok(Runner {
            lax: self.path.lax,
            ignores_structure: self.path.lax,
            throws: !self.silent,
            zone: self.zone,
            current: Item::Json(root.clone()),
            base: Base {
                json: root.clone(),
                id: 0,
            },
            ids: if vars.is_some() { 2 } else { 1 },
            vars,
            root,
            array_length: None,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Done {
    Found,
    Nothing,
    /// By an error that is none here.
    Failed,
}

type Outcome = Result<Done, SqlError>;

/// Where items are put; `None` where it is enough to know whether there are any.
type Items<'a> = Option<&'a mut Vec<Item>>;

/// What an object's id is counted from.
#[derive(Clone)]
struct Base {
    json: Json,
    id: i64,
}

struct Runner {
    root: Json,
    vars: Option<Json>,
    lax: bool,
    /// Whether what is not there is no error.
    ignores_structure: bool,
    throws: bool,
    zone: Option<Zone>,
    /// `@`
    current: Item,
    base: Base,
    ids: i64,
    /// The length of the innermost array, for `last`.
    array_length: Option<usize>,
}

/// Levels of `**` and its like.
#[derive(Clone, Copy)]
struct Levels {
    first: u32,
    last: u32,
    /// Whether what is not there is no error behind it.
    ignores_structure: bool,
    unwraps: bool,
}

impl Levels {
    /// The elements of an array.
    fn elements(unwraps: bool) -> Levels {
        Levels {
            first: 1,
            last: 1,
            ignores_structure: false,
            unwraps,
        }
    }
}

fn push(items: &mut Vec<Item>, item: Item) -> Result<(), SqlError> {
    if items.len() == ITEMS_MAX {
        return Err(SqlError::new(
            ErrorKind::ProgramLimitExceeded,
            format!("a jsonpath that finds more than {ITEMS_MAX} items is not supported"),
        ));
    }
    items.push(item);
    Ok(())
}

/// The number that alone is in a sequence.
fn single_number(items: &[Item]) -> Option<Decimal> {
    match items {
        [only] => only.as_number(),
        _ => None,
    }
}

/// A number that numeric can be.
fn checked(value: &Decimal) -> Result<Decimal, SqlError> {
    let number = value.number().ok_or_else(number::overflow)?;
    Ok(Decimal::of_number(number.as_ref()).unwrap_or_default())
}

impl Runner {
    fn start(&mut self, path: &Path, items: Items<'_>) -> Outcome {
        let root = Item::Json(self.root.clone());
        let steps = &path.steps.steps;
        // In strict mode there is no saying that something is there before all of it was seen.
        if !self.lax && items.is_none() {
            let mut all = Vec::new();
            return Ok(match self.steps(steps, &root, Some(&mut all))? {
                Done::Failed => Done::Failed,
                _ if all.is_empty() => Done::Nothing,
                _ => Done::Found,
            });
        }
        self.steps(steps, &root, items)
    }

    /// An error, or none.
    fn fail(&self, kind: ErrorKind, message: impl Into<String>) -> Outcome {
        match self.throws {
            true => Err(SqlError::new(kind, message)),
            false => Ok(Done::Failed),
        }
    }

    /// The same of what is not there, if that counts.
    fn lacks(&self, kind: ErrorKind, message: impl Into<String>) -> Outcome {
        match self.ignores_structure {
            true => Ok(Done::Nothing),
            false => self.fail(kind, message),
        }
    }

    fn steps(&mut self, steps: &[Step], item: &Item, items: Items<'_>) -> Outcome {
        let unwraps = self.lax;
        deeper(|| self.step(steps, item, items, unwraps))
    }

    /// The steps behind one; without any, the item is found.
    fn next(&mut self, rest: &[Step], item: Item, items: Items<'_>) -> Outcome {
        if !rest.is_empty() {
            return self.steps(rest, &item, items);
        }
        if let Some(items) = items {
            push(items, item)?;
        }
        Ok(Done::Found)
    }

    fn step(&mut self, steps: &[Step], item: &Item, items: Items<'_>, unwraps: bool) -> Outcome {
        let Some((step, rest)) = steps.split_first() else {
            return Ok(Done::Nothing);
        };
        // Whether it is enough that there is an item here.
        let enough = rest.is_empty() && items.is_none();
        let takes_elements = matches!(
            step,
            Step::Key(_)
                | Step::AnyKey
                | Step::Filter(_)
                | Step::Datetime(_)
                | Step::Method(
                    Method::Abs
                        | Method::Ceiling
                        | Method::Floor
                        | Method::Double
                        | Method::Keyvalue
                )
        );
        if takes_elements && unwraps && item.is_array() {
            return self.levels(steps, item, items, 1, Levels::elements(false));
        }
        match step {
            Step::Null => self.constant(rest, || Item::json("null"), items),
            Step::Bool(value) => self.constant(rest, || Item::truth(Some(*value)), items),
            Step::Number(number) => self.constant(rest, || Item::json(number), items),
            Step::Text(text) => self.constant(rest, || Item::string(text), items),
            Step::Variable(name) => {
                let (value, base) = self.variable(name)?;
                let before = std::mem::replace(&mut self.base, base);
                let done = self.next(rest, value, items);
                self.base = before;
                done
            }
            Step::Root => {
                let root = self.root.clone();
                let base = Base {
                    json: root.clone(),
                    id: 0,
                };
                let before = std::mem::replace(&mut self.base, base);
                let done = self.next(rest, Item::Json(root), items);
                self.base = before;
                done
            }
            Step::Current => self.next(rest, self.current.clone(), items),
            Step::Last => match (enough, self.array_length) {
                (true, _) => Ok(Done::Found),
                (false, Some(length)) => {
                    let last = Decimal::from(length as i64 - 1);
                    self.next(rest, Item::number(&last), items)
                }
                (false, None) => Err(SqlError::new(
                    ErrorKind::InternalError,
                    "evaluating jsonpath LAST outside of array subscript",
                )),
            },
            Step::Key(key) => match item.member(key) {
                Some(value) => self.next(rest, value, items),
                None if item.is_object() => self.lacks(
                    ErrorKind::JsonMemberNotFound,
                    format!("JSON object does not contain key \"{key}\""),
                ),
                None => self.lacks(
                    ErrorKind::JsonMemberNotFound,
                    "jsonpath member accessor can only be applied to an object",
                ),
            },
            Step::AnyKey => match item.is_object() {
                true => self.levels(rest, item, items, 1, Levels::elements(self.lax)),
                false => self.lacks(
                    ErrorKind::JsonObjectNotFound,
                    "jsonpath wildcard member accessor can only be applied to an object",
                ),
            },
            Step::AnyArray => match (item.is_array(), self.lax) {
                (true, _) => self.levels(rest, item, items, 1, Levels::elements(self.lax)),
                (false, true) => self.next(rest, item.clone(), items),
                (false, false) => self.lacks(
                    ErrorKind::JsonArrayNotFound,
                    "jsonpath wildcard array accessor can only be applied to an array",
                ),
            },
            Step::Places(places) => match item.is_array() || self.lax {
                true => self.places(places, rest, item, items),
                false => self.lacks(
                    ErrorKind::JsonArrayNotFound,
                    "jsonpath array accessor can only be applied to an array",
                ),
            },
            Step::Any { first, last } => self.any(*first, *last, rest, item, items),
            Step::Filter(predicate) => {
                let before = std::mem::replace(&mut self.current, item.clone());
                let truth = self.truth(predicate, item);
                self.current = before;
                match truth? {
                    Some(true) => self.next(rest, item.clone(), items),
                    _ => Ok(Done::Nothing),
                }
            }
            Step::Method(method) => self.method(*method, rest, item, items),
            Step::Datetime(template) => self.datetime(template.as_deref(), rest, item, items),
            Step::Binary(operator, operands) if operator.is_arithmetic() => {
                self.arithmetic(*operator, operands, rest, item, items)
            }
            Step::Sign { minus, of } => self.signed(*minus, of, rest, item, items),
            _ => {
                let truth = self.predicate(step, item)?;
                match enough {
                    true => Ok(Done::Found),
                    false => self.next(rest, Item::truth(truth), items),
                }
            }
        }
    }

    fn constant(
        &mut self,
        rest: &[Step],
        item: impl FnOnce() -> Item,
        items: Items<'_>,
    ) -> Outcome {
        match rest.is_empty() && items.is_none() {
            true => Ok(Done::Found),
            false => self.next(rest, item(), items),
        }
    }

    fn variable(&self, name: &str) -> Result<(Item, Base), SqlError> {
        let Some(vars) = &self.vars else {
            return Ok((Item::json("null"), self.base.clone()));
        };
        let value = Item::Json(vars.clone()).member(name).ok_or_else(|| {
            let message = format!("could not find jsonpath variable \"{name}\"");
            SqlError::new(ErrorKind::UndefinedObject, message)
        })?;
        let json = vars.clone();
        Ok((value, Base { json, id: 1 }))
    }

    /// Gives the parts of an item, and theirs, to some steps.
    fn levels(
        &mut self,
        steps: &[Step],
        item: &Item,
        mut items: Items<'_>,
        level: u32,
        of: Levels,
    ) -> Outcome {
        let mut done = Done::Nothing;
        if level > of.last {
            return Ok(done);
        }
        for part in item.parts() {
            let is_container = part.is_array() || part.is_object();
            let is_leaf = of.first == u32::MAX && of.last == u32::MAX && !is_container;
            if level >= of.first || is_leaf {
                match (steps, &mut items) {
                    ([], Some(items)) => push(items, part.clone())?,
                    ([], None) => return Ok(Done::Found),
                    (steps, items) => {
                        let before = self.ignores_structure;
                        self.ignores_structure |= of.ignores_structure;
                        let items = items.as_deref_mut();
                        let went = deeper(|| self.step(steps, &part, items, of.unwraps));
                        self.ignores_structure = before;
                        done = went?;
                    }
                }
                if done == Done::Failed || done == Done::Found && items.is_none() {
                    break;
                }
            }
            if level < of.last && is_container {
                let items_below = items.as_deref_mut();
                done = deeper(|| self.levels(steps, &part, items_below, level + 1, of))?;
                if done == Done::Failed || done == Done::Found && items.is_none() {
                    break;
                }
            }
        }
        Ok(done)
    }

    fn any(
        &mut self,
        first: u32,
        last: u32,
        rest: &[Step],
        item: &Item,
        mut items: Items<'_>,
    ) -> Outcome {
        let mut done = Done::Nothing;
        // The item itself is the level 0.
        if first == 0 {
            let before = std::mem::replace(&mut self.ignores_structure, true);
            let went = self.next(rest, item.clone(), items.as_deref_mut());
            self.ignores_structure = before;
            done = went?;
            if done == Done::Found && items.is_none() {
                return Ok(done);
            }
        }
        if item.is_array() || item.is_object() {
            let levels = Levels {
                first,
                last,
                ignores_structure: true,
                unwraps: self.lax,
            };
            done = self.levels(rest, item, items, 1, levels)?;
        }
        Ok(done)
    }

    fn places(
        &mut self,
        places: &[(Chain, Option<Chain>)],
        rest: &[Step],
        item: &Item,
        items: Items<'_>,
    ) -> Outcome {
        let elements = match item.is_array() {
            true => item.parts(),
            false => vec![item.clone()],
        };
        let before = self.array_length.replace(elements.len());
        let done = self.elements_at(places, rest, item, &elements, items);
        self.array_length = before;
        done
    }

    fn elements_at(
        &mut self,
        places: &[(Chain, Option<Chain>)],
        rest: &[Step],
        item: &Item,
        elements: &[Item],
        mut items: Items<'_>,
    ) -> Outcome {
        let mut done = Done::Nothing;
        for (from, to) in places {
            let Some(from) = self.place(from, item)? else {
                return Ok(Done::Failed);
            };
            let to = match to {
                Some(to) => self.place(to, item)?,
                None => Some(from),
            };
            let Some(to) = to else {
                return Ok(Done::Failed);
            };
            let length = elements.len() as i64;
            if !self.ignores_structure && (from < 0 || from > to || to >= length) {
                return self.fail(
                    ErrorKind::InvalidJsonSubscript,
                    "jsonpath array subscript is out of bounds",
                );
            }
            done = Done::Nothing;
            for at in from.max(0)..=to.min(length - 1) {
                let Some(element) = usize::try_from(at).ok().and_then(|at| elements.get(at)) else {
                    continue;
                };
                done = self.next(rest, element.clone(), items.as_deref_mut())?;
                if done == Done::Failed || done == Done::Found && items.is_none() {
                    return Ok(done);
                }
            }
        }
        Ok(done)
    }

    /// A place in an array; `None` after an error that is none.
    fn place(&mut self, of: &Chain, item: &Item) -> Result<Option<i64>, SqlError> {
        let mut found = Vec::new();
        if self.steps(&of.steps, item, Some(&mut found))? == Done::Failed {
            return Ok(None);
        }
        let wrong = |message: &str| {
            let failed = self.fail(ErrorKind::InvalidJsonSubscript, message);
            failed.map(|_| None)
        };
        let Some(number) = single_number(&found) else {
            return wrong("jsonpath array subscript is not a single numeric value");
        };
        let place = number.truncated(0).to_i64();
        match place.filter(|place| i32::try_from(*place).is_ok()) {
            Some(place) => Ok(Some(place)),
            None => wrong("jsonpath array subscript is out of integer range"),
        }
    }

    /// An operand's items, arrays as their elements.
    fn unwrapped(
        &mut self,
        of: &Chain,
        item: &Item,
        unwraps: bool,
    ) -> Result<Option<Vec<Item>>, SqlError> {
        let mut found = Vec::new();
        if self.steps(&of.steps, item, Some(&mut found))? == Done::Failed {
            return Ok(None);
        }
        if unwraps && self.lax && found.iter().any(Item::is_array) {
            let mut elements = Vec::new();
            for item in found {
                match item.is_array() {
                    true => elements.extend(item.parts()),
                    false => elements.push(item),
                }
            }
            found = elements;
        }
        Ok(Some(found))
    }

    /// The same, whose errors are none.
    fn quietly(
        &mut self,
        of: &Chain,
        item: &Item,
        unwraps: bool,
    ) -> Result<Option<Vec<Item>>, SqlError> {
        let before = std::mem::replace(&mut self.throws, false);
        let found = self.unwrapped(of, item, unwraps);
        self.throws = before;
        found
    }

    fn arithmetic(
        &mut self,
        operator: Operator,
        operands: &(Chain, Chain),
        rest: &[Step],
        item: &Item,
        items: Items<'_>,
    ) -> Outcome {
        let Some(left) = self.unwrapped(&operands.0, item, true)? else {
            return Ok(Done::Failed);
        };
        let Some(right) = self.unwrapped(&operands.1, item, true)? else {
            return Ok(Done::Failed);
        };
        let no_number = |side: &str| {
            let message = format!(
                "{side} operand of jsonpath operator {} is not a single numeric value",
                operator.sign()
            );
            self.fail(ErrorKind::SingletonJsonItemRequired, message)
        };
        let Some(left) = single_number(&left) else {
            return no_number("left");
        };
        let Some(right) = single_number(&right) else {
            return no_number("right");
        };
        if matches!(operator, Operator::Divide | Operator::Modulo) && right.is_zero() {
            return self.fail(ErrorKind::DivisionByZero, "division by zero");
        }
        let value = match operator {
            Operator::Add => left.plus(&right),
            Operator::Subtract => left.minus(&right),
            Operator::Multiply => left.times(&right),
            Operator::Divide => left.divided_by(&right),
            _ => left.remainder(&right),
        };
        match checked(&value) {
            Ok(value) => self.next(rest, Item::number(&value), items),
            Err(error) if self.throws => Err(error),
            Err(_) => Ok(Done::Failed),
        }
    }

    fn signed(
        &mut self,
        minus: bool,
        of: &Chain,
        rest: &[Step],
        item: &Item,
        mut items: Items<'_>,
    ) -> Outcome {
        let Some(found) = self.unwrapped(of, item, true)? else {
            return Ok(Done::Failed);
        };
        let enough = rest.is_empty() && items.is_none();
        let mut done = Done::Nothing;
        for item in found {
            let Some(number) = item.as_number() else {
                if enough {
                    continue;
                }
                let sign = if minus { "-" } else { "+" };
                let message =
                    format!("operand of unary jsonpath operator {sign} is not a numeric value");
                return self.fail(ErrorKind::JsonNumberNotFound, message);
            };
            let number = if minus { number.negated() } else { number };
            match self.next(rest, Item::number(&number), items.as_deref_mut())? {
                Done::Failed => return Ok(Done::Failed),
                Done::Found if items.is_none() => return Ok(Done::Found),
                Done::Found => done = Done::Found,
                Done::Nothing => {}
            }
        }
        Ok(done)
    }

    fn truth(&mut self, predicate: &Chain, item: &Item) -> Result<Truth, SqlError> {
        match predicate.steps.as_slice() {
            [step] => deeper(|| self.predicate(step, item)),
            _ => Err(SqlError::new(
                ErrorKind::InternalError,
                "boolean jsonpath item cannot have next item",
            )),
        }
    }

    fn predicate(&mut self, step: &Step, item: &Item) -> Result<Truth, SqlError> {
        match step {
            Step::Binary(Operator::And, operands) => {
                let left = self.truth(&operands.0, item)?;
                if left == Some(false) {
                    return Ok(left);
                }
                let right = self.truth(&operands.1, item)?;
                Ok(if right == Some(true) { left } else { right })
            }
            Step::Binary(Operator::Or, operands) => {
                let left = self.truth(&operands.0, item)?;
                if left == Some(true) {
                    return Ok(left);
                }
                let right = self.truth(&operands.1, item)?;
                Ok(if right == Some(false) { left } else { right })
            }
            Step::Not(of) => Ok(self.truth(of, item)?.map(|truth| !truth)),
            Step::IsUnknown(of) => Ok(Some(self.truth(of, item)?.is_none())),
            Step::Exists(of) if self.lax => {
                let before = std::mem::replace(&mut self.throws, false);
                let done = self.steps(&of.steps, item, None);
                self.throws = before;
                Ok(match done? {
                    Done::Failed => None,
                    done => Some(done == Done::Found),
                })
            }
            Step::Exists(of) => {
                let found = self.quietly(of, item, false)?;
                Ok(found.map(|items| !items.is_empty()))
            }
            Step::Binary(Operator::StartsWith, operands) => self.pairs(
                &operands.0,
                Some((&operands.1, false)),
                item,
                |whole, start| {
                    let (whole, start) = (whole.as_string(), start.as_string());
                    Ok(whole
                        .zip(start)
                        .map(|(whole, start)| whole.starts_with(&start)))
                },
            ),
            Step::Binary(operator, operands) => {
                let zone = self.zone;
                self.pairs(
                    &operands.0,
                    Some((&operands.1, true)),
                    item,
                    |left, right| compare(*operator, left, right, zone),
                )
            }
            Step::LikeRegex { of, pattern, flags } => {
                self.pairs(of, None, item, |text, _| match text.as_string() {
                    Some(text) => regexp::matches_xquery(&text, pattern, *flags).map(Some),
                    None => Ok(None),
                })
            }
            _ => Err(SqlError::new(
                ErrorKind::InternalError,
                "invalid boolean jsonpath item type",
            )),
        }
    }

    /// Whether a condition is true of some pair of two operands' items, in strict mode without being unknown of any. The right
    /// operand comes with whether arrays count as their elements; without one the left one's items are beside themselves.
    fn pairs(
        &mut self,
        left: &Chain,
        right: Option<(&Chain, bool)>,
        item: &Item,
        holds: impl Fn(&Item, &Item) -> Result<Truth, SqlError>,
    ) -> Result<Truth, SqlError> {
        let Some(lefts) = self.quietly(left, item, true)? else {
            return Ok(None);
        };
        let rights = match right {
            Some((right, unwraps)) => match self.quietly(right, item, unwraps)? {
                Some(rights) => rights,
                None => return Ok(None),
            },
            None => Vec::new(),
        };
        let (mut unknown, mut found) = (false, false);
        for left in &lefts {
            let beside = match right {
                Some(_) => rights.as_slice(),
                None => std::slice::from_ref(left),
            };
            for right in beside {
                match holds(left, right)? {
                    None if !self.lax => return Ok(None),
                    None => unknown = true,
                    Some(true) if self.lax => return Ok(Some(true)),
                    Some(true) => found = true,
                    Some(false) => {}
                }
            }
        }
        Ok(match (found, unknown) {
            (true, _) => Some(true),
            (false, true) => None,
            (false, false) => Some(false),
        })
    }
}
