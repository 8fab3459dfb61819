//! Stored generated columns: their values in rows that are written, and which expressions may give them.
//!
//! Guarantees: what is written has the values that the expressions give for it, and NOT NULL was checked with them.
//! Does not: read the clause, or follow changes of the columns that it names (`ddl::table::generated`).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Value, Visitor,
};

use tidelog_storage::CommitError;

use super::*;
use crate::ddl;
use crate::modify::Found;
use crate::parse::parse_expression;
use crate::parse::walk::Walk;
use crate::precision::plain;
use crate::provider::Scope;
use crate::row::{assign, check_not_null};
use crate::session::RETRIES_MAX;
use crate::system::pg_proc::{self, Function};
use crate::text::{Style, datetime};
use crate::types;

/// Where an expression stands that must be immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Generation,
    IndexExpression,
    IndexPredicate,
    Transform,
}

impl Place {
    /// What errors call it.
    fn name(self) -> &'static str {
        match self {
            Place::Generation => "column generation expressions",
            Place::IndexExpression => "index expressions",
            Place::IndexPredicate => "index predicates",
            Place::Transform => "transform expressions",
        }
    }
}

/// Functions of SQL's grammar, which pg_proc does not have; they are what their arguments are.
const FORMS: [&str; 6] = ["coalesce", "nullif", "greatest", "least", "array", "row"];

/// How the value of a generated column is computed.
pub(crate) struct Generation {
    /// Where the column stands in its table.
    pub(super) column: usize,
    pub(super) expression: Arc<dyn PhysicalExpr>,
    /// The type of what the expression gives.
    pub(super) ty: ColumnType,
}

impl Session {
    /// Computes the generated columns of new rows, and checks these for NULL where their table wants a value. Does nothing
    /// for a table without such columns.
    pub(crate) async fn generate<'r>(
        &self,
        table: &TableDef,
        rows: impl Iterator<Item = &'r mut Row>,
    ) -> Result<(), SqlError> {
        if !table.has_generated() {
            return Ok(());
        }
        let mut rows: Vec<&mut Row> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        let expressions = self.expressions(table)?;
        let types: Vec<ColumnType> = table.columns.iter().map(|column| column.ty).collect();
        let mut turns = Turns::default();
        for rows in rows.chunks_mut(TURN_ROWS) {
            turns.worked(rows.len()).await;
            let batch = output::batch_of_rows(&types, rows)?;
            for generation in &expressions.generated {
                let column = &table.columns[generation.column];
                let values = generation
                    .expression
                    .evaluate(&batch)
                    .and_then(|value| value.into_array(rows.len()))
                    .map_err(from_datafusion)?;
                let values = output::conform(&values, generation.ty)?;
                for (at, row) in rows.iter_mut().enumerate() {
                    let value = output::value(&values, at)?.to_owned();
                    let style = Style::default();
                    let value = assign(value, generation.ty, column.ty, &column.name, style);
                    row[generation.column] = value?;
                }
            }
            for row in rows.iter() {
                check_not_null(table, row)?;
            }
        }
        Ok(())
    }

    /// Gives rows from before a generated column, or one with a volatile default, a value of it: each is written again.
    pub(super) async fn write_all(
        &mut self,
        table: &Arc<TableDef>,
        with_default: Option<ColumnId>,
    ) -> Result<(), SqlError> {
        let mut defaults = Vec::new();
        let at = with_default.and_then(|id| table.index_of(id));
        if let Some(at) = at
            && let Some(default) = &table.columns[at].default
        {
            defaults.push((at, parse_expression(default)?));
        }
        for _ in 0..RETRIES_MAX {
            let scope: Arc<Scope> = self.latest_scope();
            let plan = self.plan_all(&scope, table, "true")?;
            let (found, _) = self.find(table, &plan, scope.clone(), &[], &[]).await?;
            let values = self.evaluate_defaults(table, &defaults, found.len());
            let new = |(found, values): (&Found, Vec<(usize, Datum)>)| {
                let mut row = found.version.row.clone();
                for (at, value) in values {
                    row[at] = value;
                }
                found.becomes(Some(row))
            };
            let mut writes: Vec<Write> = found.iter().zip(values.await?).map(new).collect();
            let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
            self.generate(table, rows).await?;
            if self.lock_writes(&scope, table, found, &writes).await? {
                return match self.write(table, &writes).await {
                    // Of an index that came with the column.
                    Err(error) if error.kind == ErrorKind::UniqueViolation => {
                        Err(not_unique(error))
                    }
                    written => written,
                };
            }
        }
        Err(CommitError::Conflict.into())
    }

    /// Refuses what must not generate a column: what may be another value tomorrow, and what is not of its type.
    pub(crate) fn check_generated(&self, table: &TableDef) -> Result<(), SqlError> {
        for column in &table.columns {
            let Some(written) = &column.generated else {
                continue;
            };
            let (ty, immutable) = self.examine(table, written, Place::Generation)?;
            if !immutable {
                let message = "generation expression is not immutable";
                return Err(SqlError::new(ErrorKind::InvalidObjectDefinition, message));
            }
            check_type(ty.unwrap_or(ColumnType::Text), column)?;
        }
        Ok(())
    }

    /// The type of an expression over a table's columns, unless it is a literal that has none; and whether it is immutable.
    pub(super) fn examine(
        &self,
        table: &TableDef,
        written: &str,
        place: Place,
    ) -> Result<(Option<ColumnType>, bool), SqlError> {
        let whole = parse_expression(written)?;
        let parts = Parts::of(&whole, place)?;
        // They are typed one by one, as parts of a select list over the table.
        let operands = parts.items.iter().flat_map(|part| &part.operands);
        let all: Vec<&Expr> = [&whole].into_iter().chain(operands).collect();
        let types = self.types_over(table, &all)?;
        let mut operands = all
            .iter()
            .zip(types)
            .map(|(expr, ty)| match is_untyped(expr) {
                true => None,
                false => Some(ty),
            });
        let given = operands.next().flatten();
        let mut immutable = true;
        for part in &parts.items {
            let types: Vec<_> = operands.by_ref().take(part.operands.len()).collect();
            immutable &= part.is_immutable(&types)?;
        }
        Ok((given, immutable))
    }

    /// The types of expressions over a table's columns.
    fn types_over(&self, table: &TableDef, exprs: &[&Expr]) -> Result<Vec<ColumnType>, SqlError> {
        let items: Vec<String> = exprs.iter().map(|expr| format!("({expr})")).collect();
        let plan = self.plan_items(table, &items)?;
        let fields = plan.schema().fields().iter();
        fields.map(|field| output::column_type(field)).collect()
    }
}

/// A part of an expression that decides whether the whole is immutable.
struct Part {
    kind: PartKind,
    operands: Vec<Expr>,
}

enum PartKind {
    Call(String),
    Cast(ColumnType),
    Operator(BinaryOperator),
    /// BETWEEN, IN: the first operand is compared with each of the others.
    Compared,
    Extract,
    Never,
}

pub(super) struct Parts {
    items: Vec<Part>,
    place: Place,
}

impl Parts {
    /// An error for an expression that must not be in its place.
    pub(super) fn of(expr: &Expr, place: Place) -> Result<Parts, SqlError> {
        let items = Vec::new();
        let mut parts = Parts { items, place };
        match expr.walk(&mut parts) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(parts),
        }
    }
}

impl Visitor for Parts {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        let (kind, operands) = match expr {
            Expr::Value(value) => {
                return match &value.value {
                    Value::Placeholder(name) => {
                        let message = format!("there is no parameter {name}");
                        ControlFlow::Break(SqlError::new(ErrorKind::UndefinedParameter, message))
                    }
                    _ => ControlFlow::Continue(()),
                };
            }
            Expr::Function(call) => {
                let name = call.name.0.last().and_then(|part| part.as_ident());
                let name = name.map_or_else(String::new, ddl::fold);
                let place = self.place.name();
                let refuse = |what: &str, kind| {
                    let message = format!("{what} functions are not allowed in {place}");
                    ControlFlow::Break(SqlError::new(kind, message))
                };
                let found = pg_proc::functions(&name);
                let all = |is: &dyn Fn(&Function) -> bool| {
                    !found.is_empty() && found.iter().all(|function| is(function))
                };
                if call.over.is_some() || all(&|function| function.kind == "w") {
                    return refuse("window", ErrorKind::WindowingError);
                }
                if all(&|function| function.kind == "a") {
                    return refuse("aggregate", ErrorKind::GroupingError);
                }
                if all(&|function| function.returns_set) {
                    return refuse("set-returning", ErrorKind::FeatureNotSupported);
                }
                let FunctionArguments::List(list) = &call.args else {
                    // Words such as CURRENT_DATE.
                    self.items.push(Part {
                        kind: PartKind::Never,
                        operands: Vec::new(),
                    });
                    return ControlFlow::Continue(());
                };
                let argument = |arg: &FunctionArg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
                    | FunctionArg::Named {
                        arg: FunctionArgExpr::Expr(expr),
                        ..
                    } => Some(expr.clone()),
                    _ => None,
                };
                (
                    PartKind::Call(name),
                    list.args.iter().filter_map(argument).collect(),
                )
            }
            Expr::Cast {
                expr, data_type, ..
            } => match types::column_type(data_type) {
                Ok(to) => (PartKind::Cast(to), vec![(**expr).clone()]),
                // A type that users made: its labels are read and written by the catalog.
                Err(_) if is_untyped(expr) => return ControlFlow::Continue(()),
                Err(_) => (PartKind::Never, Vec::new()),
            },
            Expr::TypedString(typed) => match types::column_type(&typed.data_type) {
                Ok(to) => (
                    PartKind::Cast(to),
                    vec![Expr::Value(typed.value.value.clone().into())],
                ),
                Err(_) => return ControlFlow::Continue(()),
            },
            Expr::BinaryOp { left, op, right } => (
                PartKind::Operator(op.clone()),
                vec![(**left).clone(), (**right).clone()],
            ),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => (
                PartKind::Compared,
                vec![(**left).clone(), (**right).clone()],
            ),
            Expr::Between {
                expr, low, high, ..
            } => (
                PartKind::Compared,
                vec![(**expr).clone(), (**low).clone(), (**high).clone()],
            ),
            Expr::InList { expr, list, .. } => {
                let operands = [(**expr).clone()].into_iter().chain(list.iter().cloned());
                (PartKind::Compared, operands.collect())
            }
            Expr::Extract { expr, .. } => (PartKind::Extract, vec![(**expr).clone()]),
            _ => return ControlFlow::Continue(()),
        };
        self.items.push(Part { kind, operands });
        ControlFlow::Continue(())
    }
}

impl Part {
    /// Whether it gives the same for the same at any time and under any settings; the types of literals are not known.
    fn is_immutable(&self, types: &[Option<ColumnType>]) -> Result<bool, SqlError> {
        let [first, second] = [0, 1].map(|at| types.get(at).copied().flatten());
        Ok(match &self.kind {
            PartKind::Never => false,
            PartKind::Call(name) => FORMS.contains(&name.as_str()) || calls_immutable(name, types),
            PartKind::Cast(to) => match (first, self.operands.first()) {
                (Some(from), _) => !changes_with_settings(from, *to),
                (None, Some(Expr::Value(value))) => match value.value.clone().into_string() {
                    Some(text) => {
                        crate::text::parse(*to, &text)?;
                        !names_a_moment(&text)
                    }
                    None => true,
                },
                (None, _) => true,
            },
            PartKind::Operator(op) => match op {
                BinaryOperator::Plus => !(is_zoned(first) || is_zoned(second)),
                BinaryOperator::Minus => {
                    !is_zoned(first) || !matches!(second, Some(ColumnType::Interval(_)))
                }
                BinaryOperator::StringConcat => match (first, second) {
                    (Some(left), Some(right)) if is_text(left) != is_text(right) => {
                        let other = if is_text(left) { right } else { left };
                        other.elements().is_some()
                            || !changes_with_settings(other, ColumnType::Text)
                    }
                    (Some(other), None) | (None, Some(other)) => {
                        !is_moment(other) && !matches!(other, ColumnType::Enum(_))
                    }
                    _ => true,
                },
                _ => !compares_zones(first, second),
            },
            PartKind::Compared => types.iter().all(|ty| !compares_zones(first, *ty)),
            PartKind::Extract => !is_zoned(first),
        })
    }
}

/// 23505 as the making of an index says it.
pub(super) fn not_unique(error: SqlError) -> SqlError {
    let name = error.constraint.clone().unwrap_or_default();
    let detail = error
        .detail
        .map(|it| it.replace("already exists", "is duplicated"));
    SqlError {
        message: format!("could not create unique index \"{name}\""),
        detail,
        ..error
    }
}

/// Whether an expression is a literal whose type its place gives.
pub(crate) fn is_untyped(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_untyped(inner),
        Expr::Value(value) => !matches!(value.value, Value::Number(..) | Value::Boolean(_)),
        _ => false,
    }
}

/// Whether a literal of a time stands for the time when it is read.
fn names_a_moment(text: &str) -> bool {
    let word = datetime::bare_word(text).to_ascii_lowercase();
    ["now", "today", "tomorrow", "yesterday"].contains(&word.as_str())
}

fn is_text(ty: ColumnType) -> bool {
    use ColumnType::{Bpchar, Char, Name, Text, Varchar};
    matches!(ty, Text | Varchar(_) | Bpchar(_) | Name | Char)
}

/// Whether a type's text depends on settings.
fn is_moment(ty: ColumnType) -> bool {
    use ColumnType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
    matches!(
        ty,
        Date | Time(_) | TimeTz(_) | Timestamp(_) | TimestampTz(_) | Interval(_)
    )
}

/// Whether it is a time whose clock the session's time zone tells.
fn is_zoned(ty: Option<ColumnType>) -> bool {
    matches!(ty, Some(ColumnType::TimestampTz(_)))
}

/// Whether a cast gives something else under other settings, as PostgreSQL's catalog says (pg_cast, and the functions of
/// types for input and output).
fn changes_with_settings(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType::{Array, Enum, Oid, Reg, Regproc, Time, TimeTz, Timestamp, TimestampTz};
    if plain(from) == plain(to) {
        return false;
    }
    match (from, to) {
        (Array(from), Array(to)) => changes_with_settings(from.into(), to.into()),
        (Array(_) | Enum(_) | Regproc | Reg(_), to)
        | (to, Array(_) | Enum(_) | Regproc | Reg(_)) => !matches!(to, Oid),
        (from, to) if is_text(to) => is_moment(from) && !matches!(from, Time(_) | TimeTz(_)),
        (from, to) if is_text(from) => is_moment(to),
        (TimestampTz(_), to) => is_moment(to),
        (from, TimestampTz(_)) => is_moment(from),
        (Time(_), TimeTz(_)) => true,
        (Timestamp(_), _) => false,
        _ => false,
    }
}

/// Whether two values are compared of which only one has a time zone.
fn compares_zones(left: Option<ColumnType>, right: Option<ColumnType>) -> bool {
    use ColumnType::{Date, Timestamp, TimestampTz};
    let zoneless = |ty| matches!(ty, Some(Date | Timestamp(_)));
    let zoned = |ty| matches!(ty, Some(TimestampTz(_)));
    zoned(left) && zoneless(right) || zoned(right) && zoneless(left)
}

/// Whether a function that takes these is immutable, as far as its name and their types tell which it is.
fn calls_immutable(name: &str, types: &[Option<ColumnType>]) -> bool {
    const TEXT: i64 = 25;
    let oid = |ty: ColumnType| match is_text(ty) {
        true => TEXT,
        false => types::type_facts(ty).0,
    };
    let given: Vec<Option<i64>> = types.iter().map(|ty| ty.map(oid)).collect();
    let all = pg_proc::functions(name);
    let matching = |given: &[Option<i64>]| -> Vec<&Function> {
        let takes = |function: &&Function| {
            let wanted = &function.argument_types;
            wanted.len() == given.len()
                && wanted.iter().zip(given).all(|(wanted, given)| {
                    given.is_none_or(|given| given == *wanted || pg_proc::is_polymorphic(*wanted))
                })
        };
        all.iter().copied().filter(takes).collect()
    };
    let mut found = matching(&given);
    if found.is_empty() {
        // PostgreSQL prefers the function of a time with zone for a date.
        let (date, zoned) = (ColumnType::Date, ColumnType::TimestampTz(None));
        let preferred = given.iter().map(|ty| match *ty == Some(oid(date)) {
            true => Some(oid(zoned)),
            false => *ty,
        });
        found = matching(&preferred.collect::<Vec<_>>());
    }
    if found.is_empty() {
        found = all;
    }
    found.iter().any(|function| function.immutable)
}

/// 42804 when a column does not take values of a type.
fn check_type(given: ColumnType, column: &tidelog_storage::ColumnDef) -> Result<(), SqlError> {
    match assigned(given, column.ty, &column.name) {
        Err(error) if error.kind == ErrorKind::DatatypeMismatch => Err(SqlError {
            message: (error.message).replace("but expression is", "but default expression is"),
            ..error
        }),
        // Which values it takes is seen when there are some.
        _ => Ok(()),
    }
}

/// Whether a column of one type takes values of another one.
pub(crate) fn assigns(from: ColumnType, to: ColumnType) -> bool {
    let refused = assigned(from, to, "").err();
    refused.is_none_or(|error| error.kind != ErrorKind::DatatypeMismatch)
}

fn assigned(from: ColumnType, to: ColumnType, column: &str) -> Result<Datum, SqlError> {
    assign(sample(from), from, to, column, Style::default())
}

/// Some value of a type.
fn sample(ty: ColumnType) -> Datum {
    let texts = [
        "0",
        "true",
        "2000-01-01",
        "00:00:00",
        "{}",
        "null",
        "1 day",
        "a",
        "",
        "00000000-0000-0000-0000-000000000000",
        "(0,0)",
        "[1,2)",
        "1.2.3.4",
        "08:00:2b:01:02:03",
    ];
    let label = match ty {
        ColumnType::Enum(of) => of
            .definition()
            .labels
            .first()
            .map(|label| label.name.clone()),
        _ => None,
    };
    let texts = label.iter().map(String::as_str).chain(texts);
    let mut values = texts.filter_map(|text| crate::text::parse(ty, text).ok());
    values.next().unwrap_or(Datum::Null)
}
