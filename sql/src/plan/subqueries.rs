//! Row values and what compares with subqueries, in the few forms that `flatten` knows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    ObjectName, Query, SelectItem, SetExpr, TableFactor, UnaryOperator, Value,
};

use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::functions::ARRAY_OF;
use crate::parse::walk::WalkMut;
use crate::parse::{parse_query, quoted, united};

/// Writes comparisons of rows as comparisons of their fields, a row's or pattern's comparison with a subquery as
/// `TRUE = ANY (SELECT comparison …)`, and `ARRAY(SELECT …)` as a function.
pub(super) fn simplify(query: &mut Query) -> Result<(), SqlError> {
    match query.walk_mut(&mut Rows) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rows;

impl ast::VisitorMut for Rows {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match rewritten(expr) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(rewritten)) => {
                *expr = rewritten;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// The fields of `(a, b)` or `ROW(a, b)`.
pub(super) fn fields(expr: &Expr) -> Option<Vec<Expr>> {
    match expr {
        Expr::Tuple(fields) => Some(fields.clone()),
        Expr::Nested(inner) => fields(inner),
        Expr::Function(function) if named(function, "row") => arguments(function),
        _ => None,
    }
}

/// The values that `SET (a, b) = …` gives to that many columns.
pub(crate) fn spread(value: &Expr, width: usize) -> Result<Vec<Expr>, SqlError> {
    let query = match value {
        Expr::Subquery(query) => query,
        Expr::Nested(inner) if width > 1 || fields(inner).is_some() => return spread(inner, width),
        value => {
            let values = fields(value).unwrap_or_else(|| vec![value.clone()]);
            if values.len() == width {
                return Ok(values);
            }
            if values.len() == 1 {
                let message = "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression";
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
            let message = "number of columns does not match number of values";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
    };
    if columns_of(&query.body).is_some_and(|columns| columns != width) {
        let message = "number of columns does not match number of values";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let (query, columns) = derived(query, width)?;
    let each = columns.into_iter();
    each.map(|column| Ok(Expr::Subquery(Box::new(selecting(column, query.clone())?))))
        .collect()
}

fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_literal(inner),
        Expr::Value(value) => matches!(value.value, Value::SingleQuotedString(_)),
        _ => false,
    }
}

fn named(function: &Function, name: &str) -> bool {
    let last = function.name.0.last().and_then(|part| part.as_ident());
    function.name.0.len() == 1 && last.is_some_and(|last| ddl::fold(last) == name)
}

/// The arguments of a call, where they are expressions.
pub(super) fn arguments(function: &Function) -> Option<Vec<Expr>> {
    let FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let args = list.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    args.collect()
}

fn rewritten(expr: &Expr) -> Result<Option<Expr>, SqlError> {
    Ok(match expr {
        Expr::Function(function) if named(function, "array") => match &function.args {
            FunctionArguments::Subquery(query) => {
                Some(call(ARRAY_OF, Expr::Subquery(query.clone())))
            }
            _ => None,
        },
        Expr::BinaryOp {
            op: BinaryOperator::Overlaps,
            ..
        } => None,
        Expr::BinaryOp { left, op, right } => match (fields(left), &**right) {
            (Some(left), Expr::Subquery(query)) => {
                let (query, columns) = derived(query, left.len())?;
                let compared = compared(&left, op, &columns)?;
                Some(Expr::Subquery(Box::new(selecting(compared, query)?)))
            }
            (Some(left), right) => match fields(right) {
                Some(right) => Some(nested(compared(&left, op, &right)?)),
                None if is_literal(right) => {
                    let message = "input of anonymous composite types is not implemented";
                    return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
                }
                None => None,
            },
            (None, _) => match (&**left, fields(right)) {
                (Expr::Subquery(query), Some(right)) => {
                    let (query, columns) = derived(query, right.len())?;
                    let compared = compared(&columns, op, &right)?;
                    Some(Expr::Subquery(Box::new(selecting(compared, query)?)))
                }
                _ => None,
            },
        },
        Expr::InSubquery {
            expr,
            subquery,
            negated,
        } => match fields(expr) {
            Some(left) => {
                let (query, columns) = derived(subquery, left.len())?;
                let equal = compared(&left, &BinaryOperator::Eq, &columns)?;
                Some(not(*negated, any_true(selecting(equal, query)?)))
            }
            None => of_list(subquery)?.map(|subquery| Expr::InSubquery {
                expr: expr.clone(),
                subquery,
                negated: *negated,
            }),
        },
        Expr::InList {
            expr,
            list,
            negated,
        } => match fields(expr) {
            Some(left) => {
                let items = list.iter().map(|item| match fields(item) {
                    Some(right) => compared(&left, &BinaryOperator::Eq, &right),
                    None => Err(SqlError::unsupported("IN of a row and what is none")),
                });
                let mut items = items.collect::<Result<Vec<_>, _>>()?;
                let any = nested(united(&mut items, &BinaryOperator::Or));
                Some(not(*negated, any))
            }
            None => None,
        },
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => match (fields(left), &**right) {
            (Some(left), Expr::Subquery(query)) => {
                let (query, columns) = derived(query, left.len())?;
                let compared = compared(&left, compare_op, &columns)?;
                Some(any_true(selecting(compared, query)?))
            }
            (None, Expr::Subquery(query)) => of_list(query)?.map(|query| Expr::AnyOp {
                left: left.clone(),
                compare_op: compare_op.clone(),
                right: Box::new(Expr::Subquery(query)),
                is_some: false,
            }),
            _ => None,
        },
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => match (fields(left), &**right) {
            (Some(left), Expr::Subquery(query)) => {
                let (query, columns) = derived(query, left.len())?;
                let compared = compared(&left, compare_op, &columns)?;
                let refuted = not(true, nested(compared));
                Some(not(true, any_true(selecting(refuted, query)?)))
            }
            _ => None,
        },
        Expr::IsNull(inner) => all_fields(inner, Expr::IsNull),
        Expr::IsNotNull(inner) => all_fields(inner, Expr::IsNotNull),
        Expr::IsDistinctFrom(left, right) => distinct(left, right)?,
        Expr::IsNotDistinctFrom(left, right) => {
            distinct(left, right)?.map(|distinct| not(true, distinct))
        }
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } => between(expr, *negated, low, high)?,
        Expr::Like {
            negated,
            expr: value,
            pattern,
            ..
        }
        | Expr::ILike {
            negated,
            expr: value,
            pattern,
            ..
        } => {
            let ignores_case = matches!(expr, Expr::ILike { .. });
            let any = matches!(
                expr,
                Expr::Like { any: true, .. } | Expr::ILike { any: true, .. }
            );
            patterns(value, *negated, ignores_case, any, pattern)?
        }
        _ => None,
    })
}

/// Two rows of one length, compared by an operator. The first fields that differ decide, or give NULL.
fn compared(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Expr, SqlError> {
    use BinaryOperator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    if left.len() != right.len() {
        let message = "unequal number of entries in row expressions";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let op = match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => {
            super::qualified::operator(parts).unwrap_or_else(|| op.clone())
        }
        op => op.clone(),
    };
    let pairs = left.iter().zip(right);
    let each = |op: BinaryOperator| {
        let pairs = pairs.clone();
        pairs.map(move |(l, r)| binary(l.clone(), op.clone(), r.clone()))
    };
    let strict = match op {
        Eq => return Ok(nested(each(Eq).reduce(and).unwrap_or(constant(true)))),
        NotEq => return Ok(nested(each(NotEq).reduce(or).unwrap_or(constant(false)))),
        Lt | LtEq => Lt,
        Gt | GtEq => Gt,
        And | Or => return Err(SqlError::unsupported("a row as a condition")),
        op => {
            let message = format!("operator does not exist: record {op} record");
            let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
            return Err(SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint));
        }
    };
    let mut result: Option<Expr> = None;
    for (l, r) in pairs.rev() {
        result = Some(match result {
            None => binary(l.clone(), op.clone(), r.clone()),
            Some(rest) => {
                let equal = binary(l.clone(), Eq, r.clone());
                let differs = binary(l.clone(), strict.clone(), r.clone());
                nested(or(differs, nested(and(equal, rest))))
            }
        });
    }
    Ok(nested(result.unwrap_or(constant(false))))
}

fn distinct(left: &Expr, right: &Expr) -> Result<Option<Expr>, SqlError> {
    let (Some(left), Some(right)) = (fields(left), fields(right)) else {
        return Ok(None);
    };
    if left.len() != right.len() {
        let message = "unequal number of entries in row expressions";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let pairs = left.into_iter().zip(right);
    let each = pairs.map(|(l, r)| Expr::IsDistinctFrom(Box::new(l), Box::new(r)));
    Ok(each.reduce(or).map(nested))
}

/// A row IS NULL when all its fields are, and IS NOT NULL when none is.
fn all_fields(row: &Expr, test: fn(Box<Expr>) -> Expr) -> Option<Expr> {
    let fields = fields(row)?.into_iter();
    let each = fields.map(|field| test(Box::new(nested(field))));
    each.reduce(and).map(nested)
}

/// BETWEEN of rows, and BETWEEN SYMMETRIC, whose mark stands before the lower bound.
fn between(expr: &Expr, negated: bool, low: &Expr, high: &Expr) -> Result<Option<Expr>, SqlError> {
    let mut low = low.clone();
    let symmetric = take_symmetric(&mut low);
    let within = |low: &Expr, high: &Expr| -> Result<Option<Expr>, SqlError> {
        let Some(value) = fields(expr) else {
            return Ok(None);
        };
        let (Some(low), Some(high)) = (fields(low), fields(high)) else {
            return Err(SqlError::unsupported("BETWEEN of a row and what is none"));
        };
        let above = compared(&value, &BinaryOperator::GtEq, &low)?;
        Ok(Some(and(
            above,
            compared(&value, &BinaryOperator::LtEq, &high)?,
        )))
    };
    let plain = |low: &Expr, high: &Expr| Expr::Between {
        expr: Box::new(expr.clone()),
        negated: false,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    let rows = within(&low, high)?;
    if !symmetric {
        return Ok(rows.map(|rows| not(negated, nested(rows))));
    }
    let there = rows.unwrap_or_else(|| plain(&low, high));
    let back = within(high, &low)?.unwrap_or_else(|| plain(high, &low));
    Ok(Some(not(negated, nested(or(nested(there), nested(back))))))
}

/// Takes the mark of SYMMETRIC, `!!`, from the beginning of an expression.
fn take_symmetric(expr: &mut Expr) -> bool {
    match expr {
        Expr::UnaryOp {
            op: UnaryOperator::PGPrefixFactorial,
            expr: inner,
        } => {
            *expr = std::mem::replace(&mut **inner, constant(true));
            true
        }
        Expr::BinaryOp { left, .. } => take_symmetric(left),
        Expr::Cast { expr, .. }
        | Expr::AtTimeZone {
            timestamp: expr, ..
        }
        | Expr::Collate { expr, .. } => take_symmetric(expr),
        Expr::CompoundFieldAccess { root, .. } => take_symmetric(root),
        _ => false,
    }
}

/// `x LIKE ANY (…)` and `x LIKE ALL (…)` of a subquery or array.
fn patterns(
    value: &Expr,
    negated: bool,
    ignores_case: bool,
    any: bool,
    pattern: &Expr,
) -> Result<Option<Expr>, SqlError> {
    let (all, source) = match pattern {
        pattern if any => (false, pattern.clone()),
        Expr::Function(function) if named(function, "all") => {
            let source = match &function.args {
                FunctionArguments::Subquery(query) => Expr::Subquery(query.clone()),
                _ => match arguments(function).map(|mut args| (args.pop(), args.len())) {
                    Some((Some(only), 0)) => only,
                    _ => return Ok(None),
                },
            };
            (true, source)
        }
        _ => return Ok(None),
    };
    let mut source = source;
    while let Expr::Nested(inner) = source {
        source = *inner;
    }
    let (query, columns) = match source {
        Expr::Subquery(query) => derived(&query, 1)?,
        array => {
            let mut query = parse_query("SELECT 1 FROM unnest(1) AS \"compared\"(\"c 1\")")?;
            if let SetExpr::Select(select) = &mut *query.body
                && let Some(from) = select.from.first_mut()
            {
                match &mut from.relation {
                    TableFactor::UNNEST { array_exprs, .. } => *array_exprs = vec![array],
                    TableFactor::Table {
                        args: Some(args), ..
                    } => args.args = vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(array))],
                    _ => return Ok(None),
                }
            }
            (query, vec![column(1)])
        }
    };
    let op = match (ignores_case, negated) {
        (false, false) => BinaryOperator::PGLikeMatch,
        (false, true) => BinaryOperator::PGNotLikeMatch,
        (true, false) => BinaryOperator::PGILikeMatch,
        (true, true) => BinaryOperator::PGNotILikeMatch,
    };
    let matches = binary(value.clone(), op, columns[0].clone());
    let quantified = match all {
        false => any_true(selecting(matches, query)?),
        true => not(
            true,
            any_true(selecting(not(true, nested(matches)), query)?),
        ),
    };
    Ok(Some(quantified))
}

/// How many columns a query has, where it lists them.
fn columns_of(body: &SetExpr) -> Option<usize> {
    let is_one = |item: &SelectItem| {
        matches!(
            item,
            SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }
        )
    };
    match body {
        SetExpr::Select(select) => {
            let listed = select.projection.iter().all(is_one);
            listed.then_some(select.projection.len())
        }
        SetExpr::Values(values) => Some(values.rows.first()?.len()),
        SetExpr::Query(query) => columns_of(&query.body),
        SetExpr::SetOperation { left, .. } => columns_of(left),
        _ => None,
    }
}

/// `SELECT … FROM (query) AS compared("c 1", …)`, and the columns.
fn derived(query: &Query, width: usize) -> Result<(Query, Vec<Expr>), SqlError> {
    let columns = columns_of(&query.body).unwrap_or(width);
    if columns != width {
        let amount = if columns < width { "few" } else { "many" };
        let message = format!("subquery has too {amount} columns");
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    }
    let names: Vec<String> = (1..=width).map(|n| format!("\"c {n}\"")).collect();
    let text = format!(
        "SELECT 1 FROM (SELECT 1) AS \"compared\"({})",
        names.join(", ")
    );
    let mut made = parse_query(&text)?;
    if let SetExpr::Select(select) = &mut *made.body
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        **subquery = query.clone();
    }
    Ok((made, (1..=width).map(column).collect()))
}

fn column(n: usize) -> Expr {
    Expr::CompoundIdentifier(vec![quoted("compared"), quoted(&format!("c {n}"))])
}

/// A query that is VALUES of one column, as a SELECT of it: DataFusion joins no other.
fn of_list(query: &Query) -> Result<Option<Box<Query>>, SqlError> {
    fn is_list(body: &SetExpr) -> bool {
        match body {
            SetExpr::Values(_) => true,
            SetExpr::Query(query) => is_list(&query.body),
            _ => false,
        }
    }
    if !is_list(&query.body) {
        return Ok(None);
    }
    let (query, mut columns) = derived(query, 1)?;
    let selected = columns.pop().map(|column| selecting(column, query));
    Ok(selected.transpose()?.map(Box::new))
}

/// The query with this one expression in its select list.
fn selecting(expr: Expr, mut query: Query) -> Result<Query, SqlError> {
    if let SetExpr::Select(select) = &mut *query.body {
        select.projection = vec![SelectItem::ExprWithAlias {
            expr,
            alias: Ident::with_quote('"', "?column?"),
        }];
    }
    Ok(query)
}

fn any_true(query: Query) -> Expr {
    Expr::AnyOp {
        left: Box::new(constant(true)),
        compare_op: BinaryOperator::Eq,
        right: Box::new(Expr::Subquery(Box::new(query))),
        is_some: false,
    }
}

fn call(name: &str, argument: Expr) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn constant(value: bool) -> Expr {
    Expr::Value(Value::Boolean(value).into())
}

fn nested(expr: Expr) -> Expr {
    Expr::Nested(Box::new(expr))
}

fn not(negated: bool, expr: Expr) -> Expr {
    match negated {
        false => expr,
        true => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(expr),
        },
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    binary(left, BinaryOperator::And, right)
}

fn or(left: Expr, right: Expr) -> Expr {
    binary(left, BinaryOperator::Or, right)
}
