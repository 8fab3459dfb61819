//! Calls of functions, aggregates and comparisons as PostgreSQL resolves them.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{AggregateFunction, Alias, Case, Cast, ScalarFunction};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, Projection, SortExpr, Union,
    binary_expr,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, ElementType};

use super::comparable::{check_of_many_rows, check_operator, class};
use super::groups::of_outer_query;
use super::operators::{
    PostgresOperators, arguments_as_written, condition, external, is_null, is_open, known_type,
    literal_of, parameter_beside, plain_type, type_literal, type_of, type_parameter, written_type,
};
use super::order::{has_own_order, looks_vary, sorted, sorted_by, unsigned_zero};
use super::reg::is_named;
use super::set_operations::operation_of;
use super::{conditional, numerics};
use crate::error::{ErrorKind, SqlError};
use crate::functions::call::Overloaded;
use crate::functions::collected;
use crate::functions::regexp::LIKE_UNENDED;
use crate::precision::{self, unlimited};
use crate::system::candidates;
use crate::text::Style;
use crate::{casts, output, types};

/// The call with its overload chosen, and with literals and parameters of the types that it wants; as it is when it is
/// no call of ours.
pub(super) fn resolved(
    mut call: ScalarFunction,
    schema: &DFSchema,
    style: Style,
) -> Result<(ScalarFunction, bool)> {
    let Some(open) = call.func.inner().downcast_ref::<Overloaded>() else {
        return Ok((call, false));
    };
    // `||` may have been put together of several.
    if call.func.name() != "||" && candidates::is_operator(call.func.name()) {
        let operands: Vec<&Expr> = call.args.iter().collect();
        check_operator(call.func.name(), &operands, schema)?;
    }
    let sees_spaces = matches!(
        call.func.name(),
        "octet_length" | "~" | "~*" | "!~" | "!~*" | LIKE_UNENDED
    );
    if sees_spaces
        && let Some(arg) = call.args.first_mut()
        && let Some(ty @ ColumnType::Bpchar(Some(_))) = type_of(arg, schema)
    {
        *arg = casts::padded(std::mem::take(arg), ty, style);
    }
    if call.func.name() == "||" {
        for arg in &mut call.args {
            // Without the spaces behind it.
            if let Some(ColumnType::Bpchar(_)) = type_of(arg, schema) {
                *arg = casts::trimmed(std::mem::take(arg));
            }
        }
    }
    let fields = call
        .args
        .iter()
        .map(|arg| output::field_of(arg, schema))
        .collect::<Result<Vec<_>>>()?;
    let constants: Vec<Option<&ScalarValue>> = call
        .args
        .iter()
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
        .collect();
    let (function, params) = open.resolve(&fields, &constants).map_err(external)?;
    // What takes anything writes its text, which only the catalog knows; but for the one that says its type.
    let named = |(field, param): (&FieldRef, &Option<ColumnType>)| {
        let ty = output::column_type(field).ok()?;
        (param.is_none() && is_named(ty)).then_some(ty)
    };
    let named: Vec<_> = fields.iter().zip(&params).map(named).collect();
    if call.func.name() != "pg_typeof" && named.iter().any(Option::is_some) {
        for (arg, ty) in call.args.iter_mut().zip(named) {
            if let Some(ty) = ty {
                *arg = casts::as_text(std::mem::take(arg), ty, style);
            }
        }
        return resolved(call, schema, style);
    }
    let of_spaces = |arg: &Expr| type_of(arg, schema) == Some(ColumnType::Bpchar(None));
    call.args = call
        .args
        .into_iter()
        .zip(params)
        .map(|(arg, ty)| match ty {
            Some(ColumnType::Text) if !sees_spaces && of_spaces(&arg) => Ok(casts::trimmed(arg)),
            Some(ty) => literal_of(type_parameter(arg, ty), ty, style),
            None => Ok(type_parameter(arg, ColumnType::Text)),
        })
        .collect::<Result<_>>()?;
    call.func = function;
    Ok((call, true))
}

/// A comparison of two expressions, as if the statement had it.
pub(super) fn compare(
    op: Operator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let written = match op {
        Operator::Eq => BinaryOperator::Eq,
        Operator::NotEq => BinaryOperator::NotEq,
        Operator::Lt => BinaryOperator::Lt,
        Operator::LtEq => BinaryOperator::LtEq,
        Operator::Gt => BinaryOperator::Gt,
        Operator::GtEq => BinaryOperator::GtEq,
        op => return Ok(binary_expr(left, op, right)),
    };
    let left = parameter_beside(left, &right, schema);
    let right = parameter_beside(right, &left, schema);
    let raw = RawBinaryExpr {
        op: written,
        left,
        right,
    };
    let planner = PostgresOperators { style };
    Ok(match planner.plan_binary_op(raw, schema)? {
        PlannerResult::Planned(expr) => expr,
        PlannerResult::Original(raw) => binary_expr(raw.left, op, raw.right),
    })
}

/// Makes the results of CASE, COALESCE or their like one type: bare strings are read as the others' type, and what is of
/// another class is refused.
pub(super) fn match_types(
    what: &str,
    exprs: Vec<&mut Expr>,
    schema: &DFSchema,
    style: Style,
) -> Result<()> {
    let mut first: Option<(Expr, ColumnType)> = None;
    for expr in &exprs {
        let Some(ty) = known_type(expr, schema) else {
            continue;
        };
        match &first {
            None => first = Some(((**expr).clone(), ty)),
            Some((_, other)) if class(*other) != class(ty) => {
                return Err(external(mismatch(what, *other, ty)));
            }
            Some((_, other)) if is_oid(*other) && has_fraction(ty) => {
                return Err(external(not_converted(what, ty, *other)));
            }
            Some((_, other)) if has_fraction(*other) && is_oid(ty) => {
                return Err(external(not_converted(what, ty, *other)));
            }
            Some(_) => {}
        }
    }
    let Some((first, ty)) = first else {
        for expr in exprs {
            *expr = type_parameter(std::mem::take(expr), ColumnType::Text);
        }
        return Ok(());
    };
    let exprs: Vec<&mut Expr> = exprs
        .into_iter()
        .map(|expr| {
            let typed = match ty {
                // A name, not the number that it is compared as.
                ColumnType::Reg(_) => literal_of(expr.clone(), ty, style)?,
                _ => type_literal(expr.clone(), &first, schema, style)?,
            };
            // A text is read with the digits that it has.
            let typed = match known_type(expr, schema) {
                None if matches!(ty, ColumnType::Numeric(_)) => {
                    literal_of(expr.clone(), ColumnType::Numeric(None), style)?
                }
                _ => typed,
            };
            *expr = type_parameter(typed, plain_type(ty));
            Ok(expr)
        })
        .collect::<Result<_>>()?;
    let common = common_type(exprs.iter().filter_map(|expr| known_type(expr, schema)));
    for expr in exprs {
        match (known_type(expr, schema), common) {
            (Some(ty), Some(common))
                if plain_type(ty) != plain_type(common)
                    || ty != common
                        && (is_numeric(common) || common == ColumnType::Bpchar(None)) =>
            {
                *expr = cast(expr.clone(), common, schema, style)?;
            }
            // DataFusion takes these for bytes, which a NULL of no type is not.
            (None, Some(common)) if is_null(expr) && is_bytes(&common.arrow()) => {
                let null = ScalarValue::try_from(common.arrow())?;
                *expr = Expr::Literal(null, None);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The type that values of these become beside each other, after select_common_type in PostgreSQL's parse_coerce.c; `None`
/// where they need not become another.
pub(super) fn common_type(types: impl Iterator<Item = ColumnType>) -> Option<ColumnType> {
    use ColumnType::{
        Char, Date, Float4, Float8, Int2, Int4, Int8, Numeric, Time, TimeTz, Timestamp, TimestampTz,
    };
    let rank = |ty: ColumnType| {
        let order = [
            Int2,
            Int4,
            Int8,
            Numeric(None),
            Float4,
            Float8,
            Date,
            Timestamp(None),
            TimestampTz(None),
            Time(None),
            TimeTz(None),
        ];
        order.iter().position(|of| *of == plain_type(ty))
    };
    types.map(Some).reduce(|found, ty| {
        let (found, ty) = (found?, ty?);
        match (rank(found), rank(ty)) {
            _ if found == ty => Some(found),
            _ if unlimited(found) == unlimited(ty) => Some(unlimited(found)),
            // The same type to users.
            _ if let (ColumnType::Shaped(a), ColumnType::Array(b))
            | (ColumnType::Array(a), ColumnType::Shaped(b)) = (found, ty) =>
            {
                let element = common_type([a.into(), b.into()].into_iter())?;
                element.shaped()
            }
            (Some(l), Some(r)) => Some(match numerics::common_type(found, ty) {
                Some(numeric) => numeric,
                None => plain_type(if l < r { ty } else { found }),
            }),
            // Each of them becomes any other without being told to, but "char".
            _ if class(found) == "text" && class(ty) == "text" => Some(match (found, ty) {
                (Char, ty) => unlimited(ty),
                (found, _) => unlimited(found),
            }),
            _ => None,
        }
    })?
}

fn is_bytes(ty: &DataType) -> bool {
    use DataType::{Binary, FixedSizeBinary, LargeBinary};
    matches!(ty, Binary | LargeBinary | FixedSizeBinary(_))
}

fn is_numeric(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Numeric(_))
}

/// A char(n) with the spaces behind it, as elements of arrays that say no length have them.
pub(super) fn with_spaces(expr: Expr, schema: &DFSchema, style: Style) -> Result<Expr> {
    match type_of(&expr, schema) {
        Some(ColumnType::Bpchar(Some(_))) => cast(expr, ColumnType::Bpchar(None), schema, style),
        _ => Ok(expr),
    }
}

pub(super) fn cast(expr: Expr, ty: ColumnType, schema: &DFSchema, style: Style) -> Result<Expr> {
    let cast = Cast::new_from_field(Box::new(expr), Arc::new(ty.field("", true)));
    Ok(casts::rewrite(cast, schema, style)?.data)
}

/// A date or timestamp as what it is compared with: at the session's time zone, and without DataFusion's nanoseconds, which
/// reach no further than 2262.
pub(super) fn as_time(expr: Expr, other: &Expr, schema: &DFSchema, style: Style) -> Result<Expr> {
    use ColumnType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
    let types = [&expr, other].map(|operand| type_of(operand, schema));
    match types {
        [Some(Time(_)), Some(to @ (TimeTz(_) | Interval(_)))] => {
            cast(expr, precision::plain(to), schema, style)
        }
        [Some(Date), Some(to @ (Timestamp(_) | TimestampTz(_)))]
        | [Some(Timestamp(_)), Some(to @ TimestampTz(_))] => {
            cast(expr, precision::plain(to), schema, style)
        }
        // now() has nanoseconds.
        [
            Some(ty @ TimestampTz(_)),
            Some(Date | Timestamp(_) | TimestampTz(_)),
        ] if *output::field_of(&expr, schema)?.data_type() != ty.arrow() => {
            Ok(Expr::Cast(Cast::new(Box::new(expr), ty.arrow())))
        }
        _ => Ok(expr),
    }
}

pub(super) fn mismatch(what: &str, left: ColumnType, right: ColumnType) -> SqlError {
    let message = format!(
        "{what} types {} and {} cannot be matched",
        types::bare_name(left),
        types::bare_name(right)
    );
    SqlError::new(ErrorKind::DatatypeMismatch, message)
}

fn not_converted(what: &str, ty: ColumnType, first: ColumnType) -> SqlError {
    let what = if what == "CASE" { "CASE/WHEN" } else { what };
    let message = format!(
        "{what} could not convert type {} to {}",
        types::bare_name(ty),
        types::bare_name(first)
    );
    SqlError::new(ErrorKind::CannotCoerce, message)
}

fn is_oid(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_)
    )
}

fn has_fraction(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Float4 | ColumnType::Float8 | ColumnType::Numeric(_)
    )
}

/// CASE: results of one type, conditions that are conditions.
pub(super) fn case(mut case: Case, schema: &DFSchema, style: Style) -> Result<Expr> {
    if case.expr.is_none() {
        for (when, _) in &mut case.when_then_expr {
            **when = condition(std::mem::take(&mut **when), style)?;
            check_condition("CASE/WHEN", when, schema)?;
        }
    }
    if let Some(value) = case.expr.take() {
        compare_with(&mut case, *value, schema, style)?;
    }
    // PostgreSQL looks at ELSE first.
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    let results = case.else_expr.as_deref_mut().into_iter().chain(thens);
    let mut results: Vec<&mut Expr> = results.collect();
    let mut given: Vec<_> = (results.iter().map(|expr| known_type(expr, schema))).collect();
    match_types("CASE", std::mem::take(&mut results), schema, style)?;
    // Without ELSE it may be a NULL.
    given.extend(case.else_expr.is_none().then_some(None));
    let thens = case.when_then_expr.iter_mut().map(|(_, then)| &mut **then);
    let results = case.else_expr.as_deref_mut().into_iter().chain(thens);
    conditional::pad(results.collect(), &given, schema, style)?;
    Ok(conditional::tagged(Expr::Case(case), &given, style))
}

/// `CASE x WHEN v`: each `x = v` as PostgreSQL compares these two. Where what that makes of `x` differs, they are conditions of
/// their own.
fn compare_with(case: &mut Case, value: Expr, schema: &DFSchema, style: Style) -> Result<()> {
    let mut whens: Vec<Expr> = (case.when_then_expr.iter())
        .map(|(when, _)| (**when).clone())
        .collect();
    let mut value = match is_open(&value) || is_null(&value) {
        true => cast(value, ColumnType::Text, schema, style)?,
        false => value,
    };
    if value.is_volatile() {
        // It is evaluated once.
        let types: Option<Vec<_>> = std::iter::once(&value)
            .chain(&whens)
            .map(|expr| known_type(expr, schema))
            .collect();
        if let Some(common) = types.and_then(|types| common_type(types.into_iter())) {
            value = cast(value, common, schema, style)?;
            for when in &mut whens {
                *when = cast(std::mem::take(when), common, schema, style)?;
            }
        }
    }
    let compared: Vec<Expr> = whens
        .into_iter()
        .map(|when| compare(Operator::Eq, value.clone(), when, schema, style))
        .collect::<Result<_>>()?;
    let sides = compared.iter().map(|compared| match compared {
        Expr::BinaryExpr(equal) if equal.op == Operator::Eq => Some((&equal.left, &equal.right)),
        _ => None,
    });
    let sides: Option<Vec<_>> = sides.collect();
    let conditions = match sides.as_deref() {
        Some([(operand, _), ..])
            if sides.iter().flatten().all(|(left, _)| left == operand)
                && (value.is_volatile() || !is_float(known_type(operand, schema))) =>
        {
            case.expr = Some((*operand).clone());
            sides
                .iter()
                .flatten()
                .map(|(_, right)| right.as_ref().clone())
                .collect()
        }
        _ if value.is_volatile() => {
            let what = "CASE of a volatile value and values of several types";
            return Err(external(SqlError::unsupported(what)));
        }
        _ => compared.clone(),
    };
    for ((when, _), condition) in case.when_then_expr.iter_mut().zip(conditions) {
        **when = condition;
    }
    Ok(())
}

/// The inputs of a UNION: bare strings of one as the type that the column has in the others, and columns under the names
/// of the first, by which DataFusion takes them when it leaves others out.
pub(super) fn union(mut union: Union, style: Style) -> Result<LogicalPlan> {
    let operation = operation_of(&union).unwrap_or("UNION").to_string();
    for n in 0..union.schema.fields().len() {
        let mut first: Option<ColumnType> = None;
        for input in &union.inputs {
            let Some(ty) = column_of(input, n) else {
                continue;
            };
            match first {
                None => first = Some(ty),
                Some(other) if class(other) != class(ty) => {
                    return Err(external(mismatch(&operation, other, ty)));
                }
                Some(_) => {}
            }
        }
        // Two that are open are texts, whatever they are united with then.
        let ty = first.unwrap_or(ColumnType::Text);
        let types = union.inputs.iter().filter_map(|input| column_of(input, n));
        let common = common_type(types).unwrap_or(ty);
        // A bare string keeps its length, and the digits that it has.
        let is_open = (union.inputs.iter()).any(|input| column_of(input, n).is_none());
        let common = match common {
            ColumnType::Numeric(_) if is_open => ColumnType::Numeric(None),
            common if is_open => unlimited(common),
            common => common,
        };
        for input in &mut union.inputs {
            match column_of(input, n) {
                Some(own) if own == common => {}
                Some(_) => {
                    *input =
                        with_column(input, n, |value, schema| cast(value, common, schema, style))?;
                }
                None => {
                    *input = with_column(input, n, |value, schema| {
                        let value = literal_of(type_parameter(value, common), common, style)?;
                        match value.get_type(schema)?.is_null() {
                            true => cast(value, common, schema, style),
                            false => Ok(value),
                        }
                    })?;
                }
            }
        }
    }
    let names = union.schema.columns();
    for input in &mut union.inputs {
        let columns = input.schema().columns();
        if columns != names {
            let named = columns.into_iter().zip(&names);
            let named = named.map(|(column, name)| Expr::Column(column).alias(&name.name));
            let made = Projection::try_new(named.collect(), input.clone())?;
            *input = Arc::new(LogicalPlan::Projection(made));
        }
    }
    let union = Union::try_new_with_loose_types(union.inputs)?;
    Ok(LogicalPlan::Union(united(union, |first| match first {
        LogicalPlan::Union(inner) => Some(inner),
        _ => None,
    })))
}

/// DISTINCT of the rows of a UNION, of which a first part need not be DISTINCT by itself.
pub(super) fn distinct(rows: Arc<LogicalPlan>) -> LogicalPlan {
    let rows = match Arc::unwrap_or_clone(rows) {
        LogicalPlan::Union(union) => LogicalPlan::Union(united(union, |first| match first {
            LogicalPlan::Distinct(Distinct::All(rows)) => match &**rows {
                LogicalPlan::Union(inner) => Some(inner),
                _ => None,
            },
            _ => None,
        })),
        rows => rows,
    };
    LogicalPlan::Distinct(Distinct::All(Arc::new(rows)))
}

/// A union with the branches of the one that its first branch is, if that has the same types. DataFusion would do so, too, but
/// looks at all branches again for each that it adds.
fn united(mut union: Union, inner: impl Fn(&LogicalPlan) -> Option<&Union>) -> Union {
    if let Some(first) = inner(&union.inputs[0])
        && first.schema.fields() == union.schema.fields()
        && operation_of(&union).is_none()
    {
        let inputs = first.inputs.clone();
        union.inputs.splice(0..1, inputs);
    }
    union
}

/// Whether equal values of a type have several forms that DataFusion's CASE tells apart.
fn is_float(ty: Option<ColumnType>) -> bool {
    matches!(ty, Some(ColumnType::Float4 | ColumnType::Float8))
}

/// A plan with another value in one of its columns.
fn with_column(
    plan: &LogicalPlan,
    at: usize,
    change: impl FnOnce(Expr, &DFSchema) -> Result<Expr>,
) -> Result<Arc<LogicalPlan>> {
    let (mut columns, input) = match plan {
        LogicalPlan::Projection(projection) => (projection.expr.clone(), projection.input.clone()),
        plan => {
            let columns = plan.schema().columns();
            let columns = columns.into_iter().map(Expr::Column);
            (columns.collect(), Arc::new(plan.clone()))
        }
    };
    let (qualifier, field) = plan.schema().qualified_field(at);
    let value = columns[at].clone().unalias_nested().data;
    let value = change(value, input.schema())?;
    columns[at] = Expr::Alias(Alias::new(value, qualifier.cloned(), field.name()));
    let made = Projection::try_new(columns, input)?;
    Ok(Arc::new(LogicalPlan::Projection(made)))
}

/// The type of a plan's column, unless it is a bare string or NULL.
pub(super) fn column_of(plan: &LogicalPlan, n: usize) -> Option<ColumnType> {
    if let LogicalPlan::Projection(projection) = plan {
        let value = projection.expr[n].clone().unalias_nested().data;
        return known_type(&value, projection.input.schema());
    }
    let field = plan.schema().field(n);
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(field).ok()
}

/// A call of an aggregate: keys of ORDER BY as their types sort, values collected where they must be.
pub(super) fn aggregate(
    mut call: AggregateFunction,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    if of_outer_query(&call, schema)? {
        return Err(external(SqlError::unsupported(
            "an aggregate of the outer query's columns in a subquery",
        )));
    }
    if let Some(filter) = call.params.filter.take() {
        call.params.filter = Some(Box::new(condition(*filter, style)?));
    }
    check_arguments(&call, schema)?;
    if call.params.distinct && call.func.name() == "regr_count" {
        let what = "DISTINCT in regr_count";
        return Err(external(SqlError::unsupported(what)));
    }
    let mut keys = std::mem::take(&mut call.params.order_by);
    if call.params.distinct && matches!(call.func.name(), "array_agg" | "string_agg") {
        sort_distinct(&call.params.args, &mut keys)?;
    }
    call.params.order_by = sorted(keys, schema)?;
    if call.params.distinct && call.func.name() == "count" {
        by_value(&mut call.params.args, schema);
        for arg in &mut call.params.args {
            unsigned_zero(arg, schema);
        }
    }
    let of_bytes = call.func.name() == "string_agg"
        && (call.params.args.first())
            .is_some_and(|arg| type_of(arg, schema) == Some(ColumnType::Bytea));
    if of_bytes && let Some(delimiter) = call.params.args.get_mut(1) {
        let given = type_parameter(std::mem::take(delimiter), ColumnType::Bytea);
        *delimiter = literal_of(given, ColumnType::Bytea, style)?;
    }
    if matches!(call.func.name(), "min" | "max")
        && let Some(arg) = call.params.args.first_mut()
        && let Some(ty) = as_oid(arg, schema, style)?
    {
        call = extreme(call, ty)?;
    }
    arguments_as_written(&mut call);
    // Continuous percentiles and all fractions are floats.
    let floats = match call.func.name() {
        "percentile_cont" => 0..2,
        "percentile_disc" => 1..2,
        _ => 0..0,
    };
    for at in floats {
        if let Some(arg) = call.params.args.get_mut(at) {
            *arg = as_float(std::mem::take(arg), schema, style)?;
        }
    }
    // DataFusion joins texts only, and with one constant between them.
    let varies = call.func.name() == "string_agg"
        && !matches!(call.params.args.get(1), Some(Expr::Literal(..)));
    // What is sorted by its arguments has them as they are.
    if call.func.name() == "array_agg"
        && !call.params.distinct
        && let Some(arg) = call.params.args.first_mut()
    {
        *arg = with_spaces(std::mem::take(arg), schema, style)?;
    }
    let of_arrays = call.func.name() == "array_agg"
        && (call.params.args.first())
            .and_then(|arg| type_of(arg, schema))
            .is_some_and(|ty| ty.elements().is_some());
    let told = of_bytes || varies || of_arrays;
    let call = collected::collecting(&call, told)?.unwrap_or(call);
    Ok(Expr::AggregateFunction(call))
}

/// 42883 for arguments that an aggregate does not take, 42809 where WITHIN GROUP is missing, 42804 for a FILTER that is no
/// condition.
fn check_arguments(call: &AggregateFunction, schema: &DFSchema) -> Result<()> {
    let name = call.func.name();
    // What is sorted comes first here, and last in PostgreSQL.
    let mut args: Vec<&Expr> = call.params.args.iter().collect();
    if matches!(name, "percentile_cont" | "percentile_disc") {
        let sorted = call.params.order_by.len().min(args.len());
        args.rotate_left(sorted);
    }
    check_of_many_rows(name, &args, schema)?;
    let is_ordered_set = matches!(name, "mode" | "percentile_cont" | "percentile_disc");
    if is_ordered_set && call.params.order_by.is_empty() {
        let message = format!("WITHIN GROUP is required for ordered-set aggregate {name}");
        return Err(external(SqlError::new(ErrorKind::WrongObjectType, message)));
    }
    match call.params.filter.as_deref() {
        Some(filter) => check_condition("FILTER", filter, schema),
        None => Ok(()),
    }
}

/// 42803 for columns in the fraction of a percentile that are no keys of the group.
pub(super) fn check_direct_arguments(aggregate: &Aggregate) -> Result<()> {
    for call in &aggregate.aggr_expr {
        let Expr::AggregateFunction(call) = call.clone().unalias() else {
            continue;
        };
        let is_one = matches!(call.func.name(), "percentile_cont" | "percentile_disc");
        if !is_one || call.params.order_by.is_empty() {
            continue;
        }
        let direct = call.params.args.iter().skip(call.params.order_by.len());
        let mut columns = direct.flat_map(|arg| arg.column_refs());
        let is_key = |column: &&Column| {
            let keys = aggregate.group_expr.iter();
            keys.flat_map(Expr::column_refs).any(|key| key == *column)
        };
        if let Some(column) = columns.find(|column| !is_key(column)) {
            let message = format!(
                "column \"{}\" must appear in the GROUP BY clause or be used in an aggregate function",
                column.flat_name()
            );
            return Err(external(SqlError::new(ErrorKind::GroupingError, message)));
        }
    }
    Ok(())
}

/// 42804 for what is no condition where one belongs.
pub(super) fn check_condition(place: &str, condition: &Expr, schema: &DFSchema) -> Result<()> {
    match written_type(condition, schema) {
        None | Some(ColumnType::Bool) => Ok(()),
        Some(ty) => {
            let ty = types::bare_name(ty);
            let message = format!("argument of {place} must be type boolean, not type {ty}");
            let error = SqlError::new(ErrorKind::DatatypeMismatch, message);
            Err(external(error))
        }
    }
}

/// Expressions whose values are told apart, as what tells them apart.
pub(super) fn by_value(exprs: &mut [Expr], schema: &DFSchema) {
    for expr in exprs {
        if let Some(ty) = type_of(expr, schema).filter(|ty| looks_vary(*ty)) {
            *expr = sorted_by(std::mem::take(expr), ty);
        }
    }
}

/// Gives `array_agg(DISTINCT x)` the order that PostgreSQL finds equal values by: the keys of its ORDER BY, which are
/// among the arguments, and then the rest of these.
fn sort_distinct(args: &[Expr], keys: &mut Vec<SortExpr>) -> Result<()> {
    if !keys.iter().all(|key| args.contains(&key.expr)) {
        let message =
            "in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list";
        return Err(external(SqlError::new(
            ErrorKind::InvalidColumnReference,
            message,
        )));
    }
    for arg in args {
        if !keys.iter().any(|key| key.expr == *arg) {
            keys.push(SortExpr::new(arg.clone(), true, false));
        }
    }
    Ok(())
}

/// A numeric with a scale of its own as a double precision; what is no such as it is.
pub(super) fn as_float(value: Expr, schema: &DFSchema, style: Style) -> Result<Expr> {
    match type_of(&value, schema) {
        Some(ColumnType::Numeric(None)) => cast(value, ColumnType::Float8, schema, style),
        Some(ty) if ty.elements() == Some(ElementType::Numeric(None)) => {
            cast(value, ColumnType::Array(ElementType::Float8), schema, style)
        }
        None => Ok(type_parameter(value, ColumnType::Float8)),
        _ => Ok(value),
    }
}

/// 42883 for `min` and `max` of a type of which PostgreSQL has none.
pub(super) fn check_extreme(name: &str, ty: ColumnType) -> Result<()> {
    use ColumnType::{Bool, Bytea, Json, Jsonb, Uuid};
    if matches!(ty, Bool | Bytea | Uuid | Json | Jsonb) {
        let message = format!("function {name}({}) does not exist", types::bare_name(ty));
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        let error = SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint);
        return Err(external(error));
    }
    Ok(())
}

/// The type of an argument, which is an oid where it is shown as a name.
pub(super) fn as_oid(
    arg: &mut Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Option<ColumnType>> {
    let ty = type_of(arg, schema);
    if matches!(ty, Some(ColumnType::Regproc | ColumnType::Reg(_))) {
        *arg = cast(std::mem::take(arg), ColumnType::Oid, schema, style)?;
        return Ok(Some(ColumnType::Oid));
    }
    Ok(ty)
}

/// Whether the lowest of some values is of a type that Arrow's does not tell, and DataFusion forgets.
pub(super) fn says_more(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Bpchar(_) | ColumnType::Oid)
}

/// Whether the bytes of values sort as the values do, and equal ones in some order.
pub(super) fn sorts_by_itself(ty: ColumnType) -> bool {
    ty == ColumnType::Numeric(None)
}

/// `min` and `max` of a type, by its order where that is not Arrow's.
fn extreme(call: AggregateFunction, ty: ColumnType) -> Result<AggregateFunction> {
    check_extreme(call.func.name(), ty)?;
    let value = call.params.args[0].clone();
    // DataFusion takes NaN for the least and the greatest, as it comes.
    if matches!(ty, ColumnType::Float4 | ColumnType::Float8) {
        return Ok(collected::extreme(call, value));
    }
    match has_own_order(ty) && !sorts_by_itself(ty) || says_more(ty) {
        true => Ok(collected::extreme(call, sorted_by(value, ty))),
        false => Ok(call),
    }
}
