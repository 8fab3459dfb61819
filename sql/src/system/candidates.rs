//! Whether PostgreSQL has an operator or an aggregate for operands of these types, and only one that fits best: what `oper` in
//! its parse_oper.c and `func_get_detail` in its parse_func.c say of its own catalogs.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use tidelog_storage::{ColumnType, ElementType};

use super::pg_proc::{self, ANY};
use super::{fields, type_facts};

/// What a name and the types of operands mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidates {
    /// One operator or function, whether it is there in Tidelog or not.
    One,
    /// None: 42883.
    Nothing,
    /// Several, none better than the others: 42725.
    Several,
}

/// The operator between (or, of one operand, before) operands of these types; `None` is one whose type is left open.
pub(crate) fn operator(name: &str, given: &[Option<ColumnType>]) -> Candidates {
    let Some(operators) = OPERATORS.get(name) else {
        return Candidates::Nothing;
    };
    let of_arity = operators.iter().filter(|types| types.len() == given.len());
    let of_arity: Vec<&[i64]> = of_arity.map(Vec::as_slice).collect();
    // An open operand is of the other's type where there is an operator for it.
    if let [Some(one), None] | [None, Some(one)] | [Some(one), Some(_)] = given
        && let exact = [*one, given[1].unwrap_or(*one)].map(oid)
        && of_arity.contains(&exact.as_slice())
    {
        return Candidates::One;
    }
    best(of_arity, given)
}

/// Whether some operator is called so.
pub(crate) fn is_operator(name: &str) -> bool {
    OPERATORS.contains_key(name)
}

/// The aggregate or window function with such arguments; `None` where PostgreSQL has none of that name.
pub(crate) fn of_many_rows(name: &str, given: &[Option<ColumnType>]) -> Option<Candidates> {
    let mut functions = pg_proc::functions(name);
    functions.retain(|function| matches!(function.kind.as_str(), "a" | "w"));
    if functions.is_empty() {
        return None;
    }
    functions.retain(|function| function.argument_types.len() == given.len());
    let types = (functions.iter()).map(|function| function.argument_types.as_slice());
    Some(best(types.collect(), given))
}

/// After func_match_argtypes and func_select_candidate.
fn best(mut candidates: Vec<&[i64]>, given: &[Option<ColumnType>]) -> Candidates {
    candidates.retain(|types| take(types, given));
    if candidates.is_empty() {
        return Candidates::Nothing;
    }
    let known = || (given.iter().enumerate()).filter_map(|(at, ty)| Some((at, (*ty)?)));
    let keep_best = |candidates: &mut Vec<&[i64]>, fits: &dyn Fn(i64, ColumnType) -> bool| {
        let score = |types: &[i64]| known().filter(|(at, ty)| fits(types[*at], *ty)).count();
        let best = candidates.iter().map(|types| score(types)).max();
        candidates.retain(|types| Some(score(types)) == best);
    };
    keep_best(&mut candidates, &|wanted, ty| wanted == oid(ty));
    keep_best(&mut candidates, &|wanted, ty| {
        wanted == oid(ty) || category(wanted) == (category_of(ty), true)
    });
    // Where they do not agree on one, the next do not matter.
    let _ = (0..given.len())
        .filter(|at| given[*at].is_none())
        .all(|at| keep_category(&mut candidates, at));
    if candidates.len() > 1 {
        // What is open is of the type that all the others are of.
        let mut types = known().map(|(_, ty)| ty);
        if let Some(first) = types.next()
            && types.all(|ty| oid(ty) == oid(first))
        {
            let all = vec![Some(first); given.len()];
            let mut alike = candidates.clone();
            alike.retain(|types| take(types, &all));
            if alike.len() == 1 {
                return Candidates::One;
            }
        }
    }
    match candidates.len() {
        1 => Candidates::One,
        _ => Candidates::Several,
    }
}

/// Keeps those that take a text where the operand is open, or the one category that all take; whether they agree.
fn keep_category(candidates: &mut Vec<&[i64]>, at: usize) -> bool {
    if candidates.len() == 1 {
        return true;
    }
    let categories: Vec<char> = candidates.iter().map(|of| category(of[at]).0).collect();
    let wanted = match categories.contains(&'S') {
        true => 'S',
        false if categories.iter().all(|of| *of == categories[0]) => categories[0],
        false => return false,
    };
    let is_preferred = |types: &&[i64]| category(types[at]) == (wanted, true);
    match candidates.iter().any(is_preferred) {
        true => candidates.retain(is_preferred),
        false => candidates.retain(|types| category(types[at]).0 == wanted),
    }
    true
}

/// int2vector and oidvector.
const VECTORS: [i64; 2] = [22, 30];

const RECORD: i64 = 2249;
const ANY_ARRAY: i64 = 2277;
const ANY_ELEMENT: i64 = 2283;
const ANY_NON_ARRAY: i64 = 2776;
const ANY_ENUM: i64 = 3500;
const ANY_RANGE: i64 = 3831;
const ANY_COMPATIBLE: i64 = 5077;
const ANY_COMPATIBLE_ARRAY: i64 = 5078;
const ANY_COMPATIBLE_NON_ARRAY: i64 = 5079;

/// Whether operands become these types by themselves.
fn take(wanted: &[i64], given: &[Option<ColumnType>]) -> bool {
    let pairs = || (wanted.iter().zip(given)).filter_map(|(wanted, ty)| Some((*wanted, (*ty)?)));
    pairs().all(|(wanted, ty)| becomes(ty, wanted)) && are_alike(pairs) && have_common(pairs)
}

/// What `anyelement`, `anyarray` and their like stand for is one type.
fn are_alike<I: Iterator<Item = (i64, ColumnType)>>(pairs: impl Fn() -> I) -> bool {
    let mut elements = pairs().filter_map(|(wanted, ty)| match wanted {
        ANY_ARRAY => element(ty),
        ANY_ELEMENT | ANY_NON_ARRAY | ANY_ENUM | ANY_RANGE => Some(oid(ty)),
        _ => None,
    });
    match elements.next() {
        Some(first) => elements.all(|of| of == first),
        None => true,
    }
}

/// What `anycompatible` and its like stand for becomes one type; after select_common_type_from_oids.
fn have_common<I: Iterator<Item = (i64, ColumnType)>>(pairs: impl Fn() -> I) -> bool {
    let types: Vec<ColumnType> = pairs()
        .filter_map(|(wanted, ty)| match (wanted, ty) {
            (ANY_COMPATIBLE_ARRAY, ColumnType::Array(of) | ColumnType::Shaped(of)) => {
                Some(of.into())
            }
            (ANY_COMPATIBLE | ANY_COMPATIBLE_NON_ARRAY, ty) => Some(ty),
            _ => None,
        })
        .collect();
    let Some(mut common) = types.first().copied() else {
        return true;
    };
    for ty in &types[1..] {
        if oid(*ty) == oid(common) {
            continue;
        }
        if category_of(*ty) != category_of(common) {
            return false;
        }
        let is_preferred = category(oid(common)).1;
        if !is_preferred && becomes(common, oid(*ty)) && !becomes(*ty, oid(common)) {
            common = *ty;
        }
    }
    types.iter().all(|ty| becomes(*ty, oid(common)))
}

/// Whether a value of a type becomes one of another by itself.
fn becomes(from: ColumnType, to: i64) -> bool {
    let is_array = element(from).is_some();
    match to {
        ANY | ANY_ELEMENT | ANY_COMPATIBLE => true,
        ANY_ARRAY | ANY_COMPATIBLE_ARRAY => is_array,
        ANY_NON_ARRAY | ANY_COMPATIBLE_NON_ARRAY => !is_array,
        ANY_ENUM => matches!(from, ColumnType::Enum(_)),
        ANY_RANGE => category_of(from) == 'R',
        RECORD => false,
        to => implicit(oid(from), to),
    }
}

/// Whether there is such an implicit cast, of arrays that of their elements.
fn implicit(from: i64, to: i64) -> bool {
    if from == to || CASTS.contains(&(from, to)) {
        return true;
    }
    let element = |array: i64| TYPES.get(&array).and_then(|ty| ty.element);
    match (element(from), element(to)) {
        _ if VECTORS.contains(&to) => false,
        (Some(from), Some(to)) => implicit(from, to),
        _ => false,
    }
}

fn oid(ty: ColumnType) -> i64 {
    type_facts(ty).0
}

/// The type of an array's elements; vectors are arrays, too.
fn element(ty: ColumnType) -> Option<i64> {
    match ty {
        ColumnType::Array(of) | ColumnType::Shaped(of) => Some(oid(of.into())),
        ty => TYPES.get(&oid(ty))?.element,
    }
}

/// The category of a type, and whether it is the one that its category prefers.
fn category(oid: i64) -> (char, bool) {
    (TYPES.get(&oid)).map_or(('U', false), |ty| (ty.category, ty.preferred))
}

fn category_of(ty: ColumnType) -> char {
    match ty {
        ColumnType::Enum(_) => 'E',
        ColumnType::Array(ElementType::Enum(_)) | ColumnType::Shaped(ElementType::Enum(_)) => 'A',
        ty => category(oid(ty)).0,
    }
}

struct Type {
    category: char,
    preferred: bool,
    element: Option<i64>,
}

/// Rows of an embedded file in the columns of these names.
fn columns<const N: usize>(csv: &'static str, names: [&str; N]) -> Vec<[String; N]> {
    let mut lines = csv.lines();
    let header = fields(lines.next().unwrap_or_default());
    let at = names.map(|name| {
        let found = header.iter().position(|column| column == name);
        found.expect("the file has the column")
    });
    let row = |line: &str| {
        let mut fields = fields(line);
        at.map(|at| std::mem::take(&mut fields[at]))
    };
    lines.map(row).collect()
}

fn number(text: &str) -> i64 {
    text.parse().expect("oids are numbers")
}

static TYPES: LazyLock<HashMap<i64, Type>> = LazyLock::new(|| {
    let names = ["oid", "typcategory", "typispreferred", "typelem", "typlen"];
    let rows = columns(include_str!("pg_type.csv"), names).into_iter();
    let ty = |[oid, category, preferred, element, length]: [String; 5]| {
        let is_array = category == "A" || VECTORS.contains(&number(&oid));
        let ty = Type {
            category: category.chars().next().unwrap_or('U'),
            preferred: preferred == "t",
            element: (length == "-1" && is_array).then(|| number(&element)),
        };
        (number(&oid), ty)
    };
    rows.map(ty).collect()
});

/// The casts that a value needs not be told to take.
static CASTS: LazyLock<HashSet<(i64, i64)>> = LazyLock::new(|| {
    let names = ["castsource", "casttarget", "castcontext"];
    let rows = columns(include_str!("pg_cast.csv"), names).into_iter();
    let implicit = rows.filter(|[_, _, context]| context == "i");
    implicit
        .map(|[from, to, _]| (number(&from), number(&to)))
        .collect()
});

/// The types of operands by an operator's name: of what is there, and of PostgreSQL's others.
static OPERATORS: LazyLock<HashMap<String, Vec<Vec<i64>>>> = LazyLock::new(|| {
    let names = ["oprname", "oprleft", "oprright"];
    let files = [
        include_str!("pg_operator.csv"),
        include_str!("pg_operator_rest.csv"),
    ];
    let mut operators: HashMap<String, Vec<Vec<i64>>> = HashMap::new();
    for [name, left, right] in files.into_iter().flat_map(|csv| columns(csv, names)) {
        let mut types = vec![number(&left), number(&right)];
        types.retain(|oid| *oid != 0);
        let of_name = operators.entry(name).or_default();
        if !of_name.contains(&types) {
            of_name.push(types);
        }
    }
    operators
});
