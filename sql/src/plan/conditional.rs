//! COALESCE, NULLIF, GREATEST, LEAST and the results of CASE: of the type that PostgreSQL gives them, also where Arrow's
//! does not tell it.

use std::ops::ControlFlow;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::core as theirs;
use datafusion::logical_expr::expr::{Case, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::sql::sqlparser::ast::{self};
use tidelog_storage::ColumnType;

use super::calls::{cast, common_type, compare, match_types};
use super::comparable::check_operator;
use super::dialect;
use super::operators::{beside_number, external, known_type, type_literal, type_of};
use super::order::has_own_order;
use crate::error::SqlError;
use crate::parse::walk::WalkMut;
use crate::precision::unlimited;
use crate::text::Style;
use crate::{casts, functions};

/// Writes `IS DISTINCT FROM`, COLLATE and CASE as functions until types are known: DataFusion would ask at once for operands that go
/// together, and forgets of what type CASE is.
pub(super) fn as_functions(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Conditionals);
}

struct Conditionals;

impl ast::VisitorMut for Conditionals {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        let name = match expr {
            ast::Expr::IsDistinctFrom(..) => functions::DISTINCT,
            ast::Expr::IsNotDistinctFrom(..) => functions::NOT_DISTINCT,
            ast::Expr::Function(call) => {
                floats_of(call);
                return ControlFlow::Continue(());
            }
            ast::Expr::Collate {
                expr: inner,
                collation,
            } if matches!(
                collation.0.last().and_then(|part| part.as_ident()),
                // These mean what all texts compare by.
                Some(name) if matches!(name.value.as_str(), "default" | "C" | "POSIX" | "ucs_basic")
            ) =>
            {
                *expr = dialect::call(functions::COLLATED, vec![dialect::take(inner)]);
                return ControlFlow::Continue(());
            }
            ast::Expr::Case { .. } => {
                *expr = case_as_function(dialect::take(expr));
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        if let ast::Expr::IsDistinctFrom(left, right) | ast::Expr::IsNotDistinctFrom(left, right) =
            expr
        {
            *expr = dialect::call(name, vec![dialect::take(left), dialect::take(right)]);
        }
        ControlFlow::Continue(())
    }
}

/// Marks the arguments of an aggregate that takes floats only: DataFusion's take no numerics with scales of their own.
fn floats_of(call: &mut ast::Function) {
    let name = match call.name.0.as_slice() {
        [part] => part.as_ident().map(crate::ddl::fold),
        _ => None,
    };
    let of_floats =
        |name: String| name == "corr" || name.starts_with("covar_") || name.starts_with("regr_");
    if !name.is_some_and(of_floats) {
        return;
    }
    let ast::FunctionArguments::List(list) = &mut call.args else {
        return;
    };
    for arg in &mut list.args {
        if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg {
            *arg = dialect::call(functions::AS_FLOAT, vec![dialect::take(arg)]);
        }
    }
}

/// CASE as a function of what stands in it, in its order.
fn case_as_function(expr: ast::Expr) -> ast::Expr {
    let ast::Expr::Case {
        operand,
        conditions,
        else_result,
        ..
    } = expr
    else {
        return expr;
    };
    let name = match operand {
        Some(_) => functions::CASE_OF,
        None => functions::CASE,
    };
    let mut args: Vec<ast::Expr> = operand.into_iter().map(|operand| *operand).collect();
    for when in conditions {
        args.extend([when.condition, when.result]);
    }
    args.extend(else_result.map(|result| *result));
    dialect::call(name, args)
}

/// Whether a function is a CASE.
pub(super) fn is_case(name: &str) -> bool {
    matches!(name, functions::CASE | functions::CASE_OF)
}

/// The CASE that such a function stands for.
pub(super) fn case_of(call: ScalarFunction) -> Case {
    let of = call.name() == functions::CASE_OF;
    let mut args = call.args.into_iter();
    let value = if of { args.next().map(Box::new) } else { None };
    let mut whens = Vec::new();
    let mut otherwise = None;
    while let Some(when) = args.next() {
        match args.next() {
            Some(then) => whens.push((Box::new(when), Box::new(then))),
            None => otherwise = Some(Box::new(when)),
        }
    }
    Case::new(value, whens, otherwise)
}

/// Whether a function is one of these.
pub(super) fn is_conditional(name: &str) -> bool {
    matches!(name, "coalesce" | "nullif" | "greatest" | "least")
}

/// Whether a function is IS DISTINCT FROM or its negation.
pub(super) fn is_distinction(name: &str) -> bool {
    matches!(name, functions::DISTINCT | functions::NOT_DISTINCT)
}

/// `a IS DISTINCT FROM b`: compares what PostgreSQL's `a = b` compares.
pub(super) fn distinct(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let op = match call.name() {
        functions::DISTINCT => Operator::IsDistinctFrom,
        _ => Operator::IsNotDistinctFrom,
    };
    let (Some(right), Some(left)) = (call.args.pop(), call.args.pop()) else {
        let message = "IS DISTINCT FROM has two operands".to_string();
        return Err(DataFusionError::Internal(message));
    };
    match compare(Operator::Eq, left, right, schema, style)? {
        Expr::BinaryExpr(equal) if equal.op == Operator::Eq => {
            let distinct = Expr::BinaryExpr(BinaryExpr { op, ..equal });
            Ok(distinct.infer_placeholder_types(schema)?.0)
        }
        _ => Err(external(SqlError::unsupported(
            "IS DISTINCT FROM of these types",
        ))),
    }
}

/// Such a call.
pub(super) fn call(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let name = call.name().to_string();
    if name == "nullif" {
        return null_if(call, schema, style);
    }
    if name != "coalesce" {
        let mut types = call.args.iter().filter_map(|arg| type_of(arg, schema));
        let takes = |ty| matches!(ty, ColumnType::Numeric(_) | ColumnType::Bpchar(_));
        if types.any(|ty| has_own_order(ty) && !takes(ty)) {
            let what = format!("{name}() of this type");
            return Err(external(SqlError::unsupported(what)));
        }
    }
    let what = name.to_ascii_uppercase();
    let given: Vec<_> = (call.args.iter().map(|arg| known_type(arg, schema))).collect();
    match_types(&what, call.args.iter_mut().collect(), schema, style)?;
    pad(call.args.iter_mut().collect(), &given, schema, style)?;
    let numbers = ColumnType::Numeric(None);
    let of_numbers = |arg: &Expr| type_of(arg, schema) == Some(numbers);
    call.func = match name.as_str() {
        "coalesce" => theirs::coalesce(),
        name if call.args.iter().any(of_numbers) => {
            functions::order::extreme(numbers, name == "greatest")
        }
        "greatest" => theirs::greatest(),
        _ => theirs::least(),
    };
    Ok(tagged(Expr::ScalarFunction(call), &given, style))
}

/// Gives those of some results that are a char(n) the spaces behind them, where not all of them are of its length.
pub(super) fn pad(
    results: Vec<&mut Expr>,
    given: &[Option<ColumnType>],
    schema: &DFSchema,
    style: Style,
) -> Result<()> {
    if given.windows(2).all(|two| two[0] == two[1]) {
        return Ok(());
    }
    for result in results {
        if let Some(ColumnType::Bpchar(Some(_))) = known_type(result, schema) {
            *result = cast(
                std::mem::take(result),
                ColumnType::Bpchar(None),
                schema,
                style,
            )?;
        }
    }
    Ok(())
}

/// A value with the type that these types of operands give it; `None` is a bare string or NULL.
pub(super) fn tagged(value: Expr, operands: &[Option<ColumnType>], style: Style) -> Expr {
    let mut known = operands.iter().flatten().copied();
    let Some(first) = known.next() else {
        return value;
    };
    let alike = |ty: ColumnType| unlimited(ty) == unlimited(first);
    let ty = match known.clone().all(alike) {
        true if operands.iter().all(|ty| *ty == Some(first)) => Some(first),
        true => Some(unlimited(first)),
        false if operands.contains(&Some(ColumnType::Oid)) => Some(ColumnType::Oid),
        false => common_type(std::iter::once(first).chain(known)),
    };
    let tagged = operands.iter().flatten().any(|ty| ty.tag().is_some());
    match ty {
        // What the first of them says is not what they are together.
        Some(ty) if tagged => casts::retyped(value, ty, style),
        Some(ty) => casts::typed(value, ty, style),
        None => value,
    }
}

/// `nullif(a, b)`: NULL where PostgreSQL's `a = b` holds, else `a`.
fn null_if(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let (Some(other), Some(value), true) = (call.args.pop(), call.args.pop(), call.args.is_empty())
    else {
        let message = "nullif takes two arguments";
        let kind = crate::error::ErrorKind::UndefinedFunction;
        return Err(external(SqlError::new(kind, message)));
    };
    check_operator("=", &[&value, &other], schema)?;
    let (value, other) = beside_number(value, other, schema);
    let (mut value, other) = (
        type_literal(value.clone(), &other, schema, style)?,
        type_literal(other, &value, schema, style)?,
    );
    let types = [type_of(&value, schema), type_of(&other, schema)];
    let is_integer = |ty| {
        matches!(
            ty,
            Some(ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8)
        )
    };
    // There is no operator of an integer and a fraction: the integer becomes one.
    if let [Some(own), Some(ty)] = types
        && (is_integer(Some(own)) || matches!(own, ColumnType::Numeric(_)))
        && !is_integer(Some(ty))
        && let Some(common) = common_type([own, ty].into_iter())
        && common != own
        && (is_integer(Some(own)) || !matches!(ty, ColumnType::Numeric(_)))
    {
        value = cast(value, common, schema, style)?;
    }
    if value.is_volatile() {
        // It is evaluated once.
        call.func = theirs::nullif();
        call.args = vec![value, other];
        return Ok(Expr::ScalarFunction(call));
    }
    let own = type_of(&value, schema);
    let equal = compare(Operator::Eq, value.clone(), other, schema, style)?;
    let nothing = ScalarValue::try_from(value.get_type(schema)?)?;
    let case = Expr::Case(Case::new(
        None,
        vec![(Box::new(equal), Box::new(Expr::Literal(nothing, None)))],
        Some(Box::new(value)),
    ));
    Ok(match own {
        // What is compared, and given, is text.
        Some(ColumnType::Varchar(_)) => case,
        Some(ty) => casts::typed(case, ty, style),
        None => case,
    })
}
