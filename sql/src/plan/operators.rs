//! Operands as PostgreSQL types them, before DataFusion's coercions see them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::expr::{Between, Cast, InList, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Distinct, Expr, ExprSchemable, LogicalPlan, Projection, Unnest};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, Datum, DatumRef, ElementType, PrintedType};

use super::order::{
    check_groupable, has_own_order, is_comparable, refuse_json, sorted, sorted_by, undetermined,
};
use super::{arrays, calls, caseless, conditional};
use crate::error::{ErrorKind, SqlError};
use crate::text::{self, Style};
use crate::{casts, functions, output, types};

/// Types the operands of comparisons and arithmetic: a bare string literal takes the type of the other side, an
/// integer literal is an int4 where it fits, and text compares with nothing but text.
#[derive(Debug)]
pub(crate) struct PostgresOperators {
    /// How literals are read.
    pub(crate) style: Style,
}

impl ExprPlanner for PostgresOperators {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        use BinaryOperator::{
            Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus,
        };
        let (left, right) = arrays::typed(&op, left, right, schema, self.style)?;
        if let Some(planned) = arrays::contains(&op, &left, &right, schema)? {
            return Ok(PlannerResult::Planned(planned));
        }
        if let Some(planned) = self.plan_typed(&op, &left, &right, schema)? {
            return Ok(PlannerResult::Planned(planned));
        }
        let compares = matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq);
        let calculates = matches!(op, Plus | Minus | Multiply | Divide | Modulo);
        let (left, right) = if compares || calculates {
            if compares {
                refuse_json(&op, &left, &right, schema)?;
            }
            let (left, right) = type_pair(left, right, schema, self.style)?;
            let (left, right) = match compares {
                true => {
                    check_comparable(&op, &left, &right, schema)?;
                    let time = |expr: &Expr, other| {
                        calls::as_time(expr.clone(), other, schema, self.style)
                    };
                    (time(&left, &right)?, time(&right, &left)?)
                }
                false => (left, right),
            };
            let ordered = match (known_type(&left, schema), type_of(&right, schema)) {
                // Labels tell values apart, but not their order.
                (Some(ColumnType::Enum(_) | ColumnType::Array(_)), _)
                | (_, Some(ColumnType::Enum(_) | ColumnType::Array(_))) => {
                    !matches!(op, Eq | NotEq)
                }
                (Some(ColumnType::Interval), Some(ColumnType::Interval)) => true,
                (Some(ColumnType::Printed(_)), _) | (_, Some(ColumnType::Printed(_))) => true,
                _ => false,
            };
            let known = known_type(&left, schema).or(known_type(&right, schema));
            match known.filter(|_| compares && ordered) {
                Some(ty) => (sorted_by(left, ty), sorted_by(right, ty)),
                None => (left, right),
            }
        } else {
            (left, right)
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }

    /// Integers of an array are int4 where all fit.
    fn plan_array_literal(
        &self,
        exprs: Vec<Expr>,
        _: &DFSchema,
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let small: Option<Vec<Expr>> = exprs
            .iter()
            .map(|expr| match expr {
                Expr::Literal(ScalarValue::Null, _) => Some(expr.clone()),
                expr => small_literal(expr).map(int4),
            })
            .collect();
        Ok(PlannerResult::Original(small.unwrap_or(exprs)))
    }
}

impl PostgresOperators {
    /// An operator that the types of its operands make one of ours.
    fn plan_typed(
        &self,
        op: &BinaryOperator,
        left: &Expr,
        right: &Expr,
        schema: &DFSchema,
    ) -> Result<Option<Expr>> {
        let (left_type, right_type) = (known_type(left, schema), known_type(right, schema));
        let given = |expr: &Expr, ty| -> Result<Expr> {
            let typed = type_parameter(expr.clone(), ty);
            literal_of(typed, ty, self.style)
        };
        let containment = matches!(
            op,
            BinaryOperator::AtArrow | BinaryOperator::ArrowAt | BinaryOperator::StringConcat
        );
        if containment && is_open(left) && right_type == Some(ColumnType::Jsonb) {
            let typed = given(left, ColumnType::Jsonb)?;
            return self.plan_typed(op, &typed, right, schema);
        }
        let left_type = left_type.or_else(|| {
            let ty = type_of(left, schema);
            ty.filter(|ty| *ty == ColumnType::Jsonb)
        });
        if let Some(json) = left_type {
            let wanted = match right_type {
                None if is_integer_literal(right) => None,
                None => Some(functions::json::operand(op)),
                Some(_) => None,
            };
            let found = functions::json::operator(op, json, right_type, self.style);
            if let Some(function) = found {
                let right = match wanted {
                    Some(ty) => given(right, ty)?,
                    None => right.clone(),
                };
                let call = functions::json::call(function, vec![left.clone(), right]);
                return Ok(Some(call));
            }
        }
        if *op == BinaryOperator::StringConcat {
            return Ok(joined(left, right, left_type, right_type, self.style));
        }
        // A bare literal beside a time is read as what PostgreSQL's operators want there.
        use ColumnType::{Date, Interval, Time, TimeTz, Timestamp, TimestampTz};
        let calculates = matches!(
            op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
        );
        if !calculates {
            return Ok(None);
        }
        let missing = |known: ColumnType| match (op, known) {
            (BinaryOperator::Plus, Timestamp | TimestampTz | Time | TimeTz) => Some(Interval),
            (BinaryOperator::Minus, Timestamp | TimestampTz | Interval | Time) => Some(known),
            (BinaryOperator::Minus, Date) => Some(Date),
            (BinaryOperator::Plus, Interval) => Some(Interval),
            _ => None,
        };
        let (left, right) = match (left_type, right_type) {
            (Some(known), None) if is_open(right) => match missing(known) {
                Some(ty) => (left.clone(), given(right, ty)?),
                None => return Ok(None),
            },
            (None, Some(known)) if is_open(left) => match missing(known) {
                Some(ty) => (given(left, ty)?, right.clone()),
                None => return Ok(None),
            },
            _ => (left.clone(), right.clone()),
        };
        let (Some(l), Some(r)) = (type_of(&left, schema), type_of(&right, schema)) else {
            return Ok(None);
        };
        Ok(
            functions::time::operator(op, l, r, self.style).map(|(function, swapped)| {
                let operands = match swapped {
                    true => vec![right, left],
                    false => vec![left, right],
                };
                functions::json::call(function, operands)
            }),
        )
    }
}

/// `||` of text and anything but an array or jsonb, or of two byteas.
fn joined(
    left: &Expr,
    right: &Expr,
    left_type: Option<ColumnType>,
    right_type: Option<ColumnType>,
    style: Style,
) -> Option<Expr> {
    let other = |ty| matches!(ty, Some(ColumnType::Array(_) | ColumnType::Jsonb));
    if other(left_type) || other(right_type) {
        return None;
    }
    let function = functions::call::named("||", style)?;
    Some(functions::json::call(
        function,
        vec![left.clone(), right.clone()],
    ))
}

/// Whether an operand's type is left open: a bare string or an untyped parameter.
pub(super) fn is_open(expr: &Expr) -> bool {
    is_bare_string(expr) || matches!(expr, Expr::Placeholder(Placeholder { field: None, .. }))
}

fn is_integer_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::Literal(ScalarValue::Int64(Some(_)) | ScalarValue::Int32(Some(_)), _)
    )
}

/// A parameter without a type becomes one of this type.
pub(super) fn type_parameter(expr: Expr, ty: ColumnType) -> Expr {
    match expr {
        Expr::Placeholder(Placeholder { id, field: None }) => Expr::Placeholder(
            Placeholder::new_with_field(id, Some(Arc::new(ty.field("", true)))),
        ),
        other => other,
    }
}

/// A bare string becomes a literal of this type.
pub(super) fn literal_of(expr: Expr, ty: ColumnType, style: Style) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &expr else {
        return Ok(expr);
    };
    let value = text::parse_in(ty, literal, style).map_err(external)?;
    let mut builder = ColumnBuilder::new(ty);
    builder.append(value.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
    let metadata = FieldMetadata::from(ty.field("", true).metadata().clone());
    Ok(Expr::Literal(value, Some(metadata)))
}

/// The type of an operand, also of a literal.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    let field = output::field_of(expr, schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(&field).ok()
}

/// Types the operands of `x = ANY (array)` by each other.
fn quantified(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let [left, right] = call.args.as_slice() else {
        return Ok(Expr::ScalarFunction(call));
    };
    let (left, right) = (left.clone(), right.clone());
    let (left, right) = match (known_type(&left, schema), known_type(&right, schema)) {
        (Some(ty), None) if is_open(&right) => {
            let ty = plain_type(ty);
            let array = ty.array().unwrap_or(ty);
            (
                left,
                literal_of(type_parameter(right, array), array, style)?,
            )
        }
        (None, Some(ColumnType::Array(element))) if is_open(&left) => {
            let ty = element.into();
            (literal_of(type_parameter(left, ty), ty, style)?, right)
        }
        (None, None) if is_open(&right) => {
            let array = ColumnType::Array(ElementType::Text);
            let left = type_parameter(left, ColumnType::Text);
            (
                left,
                literal_of(type_parameter(right, array), array, style)?,
            )
        }
        _ => (left, right),
    };
    let Some(DataType::List(item)) = right.get_type(schema).ok() else {
        let message = "op ANY/ALL (array) requires array on right side";
        return Err(external(SqlError::new(ErrorKind::WrongObjectType, message)));
    };
    if let Some(ColumnType::Array(element)) = type_of(&right, schema)
        && has_own_order(element.into())
        && (element == ElementType::Interval || functions::array::orders(call.name()))
    {
        let element = types::name(element.into());
        return Err(external(SqlError::unsupported(format!(
            "this operator with ANY or ALL of {element}[]"
        ))));
    }
    // Of two kinds of numbers the wider one.
    let left_type = left.get_type(schema)?;
    let common = comparison_coercion(&left_type, item.data_type());
    let (left, right) = match common {
        Some(common) if !left_type.is_null() && !item.data_type().is_null() => {
            let cast = |expr: Expr, ty: DataType| Expr::Cast(Cast::new(Box::new(expr), ty));
            let left = match left_type == common {
                true => left,
                false => cast(left, common.clone()),
            };
            let right = match *item.data_type() == common {
                true => right,
                false => cast(
                    right,
                    DataType::List(Arc::new(Field::new_list_field(common, true))),
                ),
            };
            (left, right)
        }
        _ => (left, right),
    };
    call.args = vec![left, right];
    Ok(Expr::ScalarFunction(call))
}

/// A type without its modifier.
pub(super) fn plain_type(ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Varchar(_) => ColumnType::Text,
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ty => ty,
    }
}

/// Gives the rest of a plan's expressions PostgreSQL's meaning: literals in IN lists and BETWEEN as beside
/// operators, casts to and from text by its text forms, functions of bytea. After this DataFusion adds casts of
/// its own, which are none of the statement's.
pub(super) fn follow_postgres(plan: LogicalPlan, style: Style) -> Result<LogicalPlan> {
    // Where anything has changed, what stands above may be of another type.
    let mut changed = false;
    plan.transform_up_with_subqueries(|plan| {
        let mut schema = DFSchema::empty();
        plan.inputs()
            .iter()
            .for_each(|input| schema.merge(input.schema()));
        let plan = match plan {
            LogicalPlan::Union(union) => {
                changed = true;
                calls::union(union, style)?
            }
            LogicalPlan::Sort(mut sort) => {
                sort.expr = sorted(sort.expr, &schema)?;
                LogicalPlan::Sort(sort)
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = aggregate.input.schema();
                check_groupable(undetermined(&aggregate.group_expr, input), &schema)?;
                LogicalPlan::Aggregate(aggregate)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
                check_groupable(&columns, &schema)?;
                LogicalPlan::Distinct(Distinct::All(input))
            }
            plan => plan,
        };
        let names = NamePreserver::new(&plan);
        let mut plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|expr| rewrite(expr, &schema, style))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        caseless::check(&plan.data, &schema)?;
        changed |= plan.transformed;
        if changed {
            plan = plan.map_data(LogicalPlan::recompute_schema)?;
        }
        if let LogicalPlan::Unnest(unnest) = &plan.data
            && let Some(tagged) = tagged_elements(unnest)?
        {
            changed = true;
            return Ok(Transformed::yes(tagged));
        }
        Ok(plan)
    })
    .map(|plan| plan.data)
}

/// The rows of an UNNEST with the types of the elements, which DataFusion forgets; `None` when it has not.
fn tagged_elements(unnest: &Unnest) -> Result<Option<LogicalPlan>> {
    let mut any = false;
    let columns = unnest
        .schema
        .iter()
        .enumerate()
        .map(|(at, (relation, field))| {
            let column = Expr::Column((relation, field).into());
            let Some(&from) = unnest.dependency_indices.get(at) else {
                return column;
            };
            let of = output::column_type(unnest.input.schema().field(from));
            let (Ok(ColumnType::Array(element)), false) =
                (of, matches!(field.data_type(), DataType::List(_)))
            else {
                return column;
            };
            let tagged = ColumnType::from(element).field("", true);
            if tagged.metadata().is_empty() {
                return column;
            }
            any = true;
            let metadata = FieldMetadata::from(tagged.metadata().clone());
            column.alias_qualified_with_metadata(relation.cloned(), field.name(), Some(metadata))
        });
    let columns: Vec<Expr> = columns.collect();
    if !any {
        return Ok(None);
    }
    let unnest = Arc::new(LogicalPlan::Unnest(unnest.clone()));
    Projection::try_new(columns, unnest).map(|tagged| Some(LogicalPlan::Projection(tagged)))
}

fn rewrite(expr: Expr, schema: &DFSchema, style: Style) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::InList(InList {
            expr,
            list,
            negated,
        }) => {
            let list: Vec<_> = list
                .into_iter()
                .map(|item| typed_beside(item, &expr, schema, style))
                .collect::<Result<_>>()?;
            match type_of(&expr, schema) {
                Some(ty @ (ColumnType::Interval | ColumnType::Printed(PrintedType::Citext))) => {
                    let key = |expr| sorted_by(expr, ty);
                    let list = list.into_iter().map(key).collect();
                    Transformed::yes(Expr::InList(InList::new(
                        Box::new(key(*expr)),
                        list,
                        negated,
                    )))
                }
                _ => Transformed::yes(Expr::InList(InList::new(expr, list, negated))),
            }
        }
        Expr::Between(Between {
            expr,
            negated,
            low,
            high,
        }) => {
            let low = Box::new(typed_beside(*low, &expr, schema, style)?);
            let high = Box::new(typed_beside(*high, &expr, schema, style)?);
            let key = |of: Box<Expr>, ty| Box::new(sorted_by(*of, ty));
            let (expr, low, high) = match type_of(&expr, schema) {
                Some(ty) => (key(expr, ty), key(low, ty), key(high, ty)),
                None => (expr, low, high),
            };
            Transformed::yes(Expr::Between(Between::new(expr, negated, low, high)))
        }
        Expr::Cast(cast) => casts::rewrite(cast, schema, style)?,
        Expr::ScalarSubquery(_) => casts::tagged(expr, schema, style),
        Expr::ScalarFunction(call) if functions::array::is_quantified(call.name()) => {
            Transformed::yes(quantified(call, schema, style)?)
        }
        Expr::ScalarFunction(call) if call.name() == functions::array::OVERLAPS => {
            Transformed::yes(arrays::overlaps(call, schema, style)?)
        }
        Expr::ScalarFunction(mut call) if call.name() == functions::UNTAGGED => {
            let value = call
                .args
                .pop()
                .ok_or_else(|| DataFusionError::Internal("a cast has an operand".to_string()))?;
            Transformed::yes(match type_of(&value, schema) {
                Some(ty) => casts::untagged(value, ty, style),
                None => value,
            })
        }
        Expr::ScalarFunction(call) if conditional::is_conditional(call.name()) => {
            Transformed::yes(conditional::call(call, schema, style)?)
        }
        Expr::ScalarFunction(call) => {
            let (mut call, resolved) = calls::resolved(call, schema, style)?;
            if resolved {
                return Ok(Transformed::yes(Expr::ScalarFunction(call)));
            }
            let mut typed = false;
            if let Some(types) = functions::json::arguments(call.name()) {
                typed = true;
                call.args = call
                    .args
                    .into_iter()
                    .enumerate()
                    .map(|(at, arg)| match types.get(at) {
                        Some(ty) => literal_of(type_parameter(arg, *ty), *ty, style),
                        None => Ok(arg),
                    })
                    .collect::<Result<_>>()?;
            }
            let array_at = functions::array::takes_elements(call.name());
            if let Some(array_at) = array_at
                && let Some(array) = call.args.get(array_at)
                && let Ok(DataType::List(item)) = array.get_type(schema)
                && let Some(ColumnType::Array(element)) = type_of(array, schema)
            {
                typed = true;
                let element = plain_type(element.into());
                let others = call.args.iter_mut().enumerate();
                for (_, arg) in others.filter(|(at, _)| *at != array_at) {
                    let given = literal_of(type_parameter(arg.clone(), element), element, style)?;
                    let is = given.get_type(schema)?;
                    *arg = match is == *item.data_type() || is.is_null() {
                        true => given,
                        false => Expr::Cast(Cast::new(Box::new(given), item.data_type().clone())),
                    };
                }
            }
            match array_tag(&call, schema) {
                Some(tag) => {
                    let call = Expr::ScalarFunction(call);
                    let name = call.schema_name().to_string();
                    Transformed::yes(call.alias_with_metadata(name, Some(tag)))
                }
                None if typed => Transformed::yes(Expr::ScalarFunction(call)),
                None => Transformed::no(Expr::ScalarFunction(call)),
            }
        }
        Expr::WindowFunction(window) => Transformed::yes(calls::window(window, schema)?),
        Expr::AggregateFunction(call) => Transformed::yes(calls::aggregate(call, schema)?),
        Expr::Case(case) => Transformed::yes(calls::case(case, schema, style)?),
        Expr::Negative(inner) if known_type(&inner, schema) == Some(ColumnType::Interval) => {
            let call = functions::json::call(functions::time::negate(), vec![*inner]);
            Transformed::yes(call)
        }
        other => Transformed::no(other),
    })
}

/// What tells the type of the array that a function of DataFusion's gives, which forgets it; `None` where the Arrow
/// type says it all.
fn array_tag(call: &ScalarFunction, schema: &DFSchema) -> Option<FieldMetadata> {
    let at = match call.name() {
        "make_array" | "array_append" | "array_concat" | "array_cat" => 0,
        "array_prepend" => 1,
        _ => return None,
    };
    let ty = plain_type(type_of(call.args.get(at)?, schema)?);
    let ty = match call.name() {
        "make_array" => ty.array()?,
        _ => ty,
    };
    let field = ty.field("", true);
    (!field.metadata().is_empty()).then(|| FieldMetadata::from(field.metadata().clone()))
}

pub(super) fn type_pair(
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    let (left, right) = match (small_literal(&left), small_literal(&right)) {
        (Some(l), Some(r)) => (int4(l), int4(r)),
        (Some(l), None) if is_small_int(&right, schema) => (int4(l), right),
        (None, Some(r)) if is_small_int(&left, schema) => (left, int4(r)),
        _ => (left, right),
    };
    let right = type_literal(right, &left, schema, style)?;
    let left = type_literal(left, &right, schema, style)?;
    let (left_type, right_type) = (type_of(&left, schema), type_of(&right, schema));
    Ok((
        beside_float(left, left_type, right_type)?,
        beside_float(right, right_type, left_type)?,
    ))
}

/// An operand as a double precision where the two are a numeric and a real or double precision, or a real and an integer.
fn beside_float(expr: Expr, ty: Option<ColumnType>, other: Option<ColumnType>) -> Result<Expr> {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    match (ty, other) {
        (Some(Numeric(_)), Some(Float4 | Float8)) => {
            if let Expr::Literal(value, _) = &expr
                && let Some(value) = datum_at(&value.to_array()?, 0)
                && let Some(value) = double(value)
            {
                return Ok(Expr::Literal(ScalarValue::Float64(Some(value)), None));
            }
        }
        (Some(Float4), Some(Numeric(_) | Int2 | Int4 | Int8)) => {}
        _ => return Ok(expr),
    }
    Ok(Expr::Cast(Cast::new(Box::new(expr), DataType::Float64)))
}

/// The double precision that is nearest to a number.
fn double(value: DatumRef<'_>) -> Option<f64> {
    let mut written = String::new();
    text::write(
        value,
        ColumnType::Numeric(None),
        Style::default(),
        &mut written,
    );
    written.parse().ok()
}

/// An integer literal that PostgreSQL reads as an int4.
pub(super) fn small_literal(expr: &Expr) -> Option<i32> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => i32::try_from(*value).ok(),
        Expr::Literal(ScalarValue::Int32(Some(value)), _) => Some(*value),
        _ => None,
    }
}

pub(super) fn int4(value: i32) -> Expr {
    Expr::Literal(ScalarValue::Int32(Some(value)), None)
}

fn is_small_int(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(
        known_type(expr, schema),
        Some(ColumnType::Int2 | ColumnType::Int4)
    )
}

/// The type of an operand whose type does not depend on the other.
pub(super) fn known_type(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    if is_bare_string(expr) {
        return None;
    }
    let field = output::field_of(expr, schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(&field).ok()
}

/// The same, of an integer literal as PostgreSQL reads it.
pub(super) fn written_type(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    match small_literal(expr) {
        Some(_) => Some(ColumnType::Int4),
        None => known_type(expr, schema),
    }
}

fn is_bare_string(expr: &Expr) -> bool {
    // With metadata it has a type by now.
    matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), None))
}

/// A bare string literal beside an operand of another type than text becomes a literal of that type.
pub(super) fn type_literal(
    expr: Expr,
    other: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let Expr::Literal(ScalarValue::Utf8(Some(literal)), _) = &expr else {
        return Ok(expr);
    };
    use ColumnType::{Char, Name, Text, Varchar};
    let ty = match written_type(other, schema) {
        None | Some(Text | Varchar(_) | Name | Char) => return Ok(expr),
        Some(ty) => ty,
    };
    let ty = match ty {
        // It keeps the digits it has, whatever those of the column.
        ColumnType::Numeric(Some(_)) => {
            shape_of(&text::parse(ColumnType::Numeric(None), literal).map_err(external)?)
        }
        // However long.
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        // It is compared as the number that it is.
        ColumnType::Regproc => ColumnType::Oid,
        ColumnType::Array(ElementType::Varchar(_)) => ColumnType::Array(ElementType::Text),
        ColumnType::Array(ElementType::Bpchar(_)) => ColumnType::Array(ElementType::Bpchar(None)),
        ty => ty,
    };
    let value = text::parse_in(ty, literal, style).map_err(external)?;
    let mut builder = ColumnBuilder::new(ty);
    builder.append(value.as_ref());
    let value = ScalarValue::try_from_array(&builder.finish(), 0)?;
    Ok(Expr::Literal(value, None))
}

/// A value that is compared with an expression, typed as beside an operator.
pub(super) fn typed_beside(
    value: Expr,
    expr: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let value = type_literal(value, expr, schema, style)?;
    let value = calls::as_time(value, expr, schema, style)?;
    let (ty, of) = (type_of(&value, schema), type_of(expr, schema));
    beside_float(value, ty, of)
}

/// The narrowest numeric type that holds a value.
fn shape_of(value: &Datum) -> ColumnType {
    let mut written = String::new();
    text::write(
        value.as_ref(),
        ColumnType::Numeric(None),
        Style::default(),
        &mut written,
    );
    let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
    let scale = written
        .split_once('.')
        .map_or(0, |(_, fraction)| digits(fraction));
    let narrow = |count: usize| u8::try_from(count).expect("a numeric has at most 76 digits");
    ColumnType::Numeric(Some((
        narrow(digits(&written)),
        narrow(scale).cast_signed(),
    )))
}

pub(super) fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

fn check_comparable(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<()> {
    let (Some(l), Some(r)) = (known_type(left, schema), known_type(right, schema)) else {
        return Ok(());
    };
    if class(l) == class(r) && is_comparable(l) {
        return Ok(());
    }
    Err(no_operator(op, l, r))
}

pub(super) fn no_operator(
    op: &BinaryOperator,
    left: ColumnType,
    right: ColumnType,
) -> DataFusionError {
    let message = format!(
        "operator does not exist: {} {op} {}",
        types::name(left),
        types::name(right)
    );
    let hint = "No operator matches the given name and argument types. You might need to add explicit type casts.";
    external(SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint))
}

/// Types of one class compare with each other.
pub(super) fn class(ty: ColumnType) -> &'static str {
    match ty {
        ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Float4
        | ColumnType::Float8
        | ColumnType::Numeric(_) => "number",
        ColumnType::Oid | ColumnType::Regproc => "number",
        ColumnType::Bit(_) | ColumnType::Varbit(_) => "bit",
        ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Bpchar(_)
        | ColumnType::Name
        | ColumnType::Char => "text",
        ColumnType::Date | ColumnType::Timestamp | ColumnType::TimestampTz => "time",
        ColumnType::Time | ColumnType::TimeTz => "clock",
        ColumnType::Interval => "interval",
        ColumnType::Printed(PrintedType::Inet | PrintedType::Cidr) => "inet",
        ColumnType::Printed(of) => of.name(),
        ColumnType::Enum(_) => "enum",
        ColumnType::Json => "json",
        ColumnType::Array(_) => "array",
        ColumnType::Bool => "bool",
        ColumnType::Bytea => "bytea",
        ColumnType::Uuid => "uuid",
        ColumnType::Jsonb => "jsonb",
    }
}
