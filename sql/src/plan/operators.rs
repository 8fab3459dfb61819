//! Operands as PostgreSQL types them, before DataFusion's coercions see them.

mod literals;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Cast, Placeholder};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, ElementType};

pub(super) use literals::{
    arguments_as_written, as_written, beside_modified, beside_number, int4, is_null, is_open,
    literal_of, null, parameter_beside, small_literal, text_parameter, type_arguments,
    type_literal, type_parameter, unmodified,
};
use literals::{is_bare_string, is_integer_literal};

use super::comparable::{check_collatable, check_comparable, check_operator, undefined_operator};
use super::order::{
    check_groupable, has_own_order, looks_vary, refuse_json, sorted, sorted_by, undetermined,
};
use super::{
    arrays, calls, caseless, conditional, groups, moments, numerics, ranged, ranges, reg,
    subscripts, vectors, window_calls,
};
use crate::error::SqlError;
use crate::optimize::with_its_name;
use crate::precision::{plain, unlimited};
use crate::text::{self, Style};
use crate::{activity, advisory, casts, functions, output, types};

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
            And, Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Or, Plus,
        };
        if !matches!(op, And | Or) {
            check_operator(&op.to_string(), &[&left, &right], schema)?;
        }
        let (left, right) = arrays::beside_array(&op, left, right, schema, self.style)?;
        let (left, right) = vectors::beside_vector(&op, left, right, schema, self.style)?;
        let (left, right) = match op {
            BinaryOperator::StringConcat => {
                let (left, right) = arrays::beside_element(left, right, schema, self.style)?;
                let both = [left.clone(), right.clone()];
                let alike = |array| numerics::beside_any(array, &both, schema, self.style);
                (alike(left)?, alike(right)?)
            }
            _ => (left, right),
        };
        if let Some(planned) = arrays::joined(&op, &left, &right, schema, self.style)? {
            return Ok(PlannerResult::Planned(planned));
        }
        if let Some(planned) = arrays::contains(&op, &left, &right, schema)? {
            return Ok(PlannerResult::Planned(planned));
        }
        if let Some(planned) = self.plan_typed(&op, &left, &right, schema)? {
            return Ok(PlannerResult::Planned(planned));
        }
        let compares = matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq);
        let calculates = matches!(op, Plus | Minus | Multiply | Divide | Modulo);
        let (left, right) = if matches!(op, And | Or) {
            for operand in [&left, &right] {
                if small_literal(operand).is_some() {
                    calls::check_condition(&op.to_string(), operand, schema)?;
                }
            }
            let bool = |expr| type_parameter(expr, ColumnType::Bool);
            (bool(left), bool(right))
        } else if compares || calculates {
            let (left, right) = beside_number(left, right, schema);
            let (left, right) = beside_modified(left, right, schema);
            if compares {
                refuse_json(&op, &left, &right, schema)?;
            }
            let (left, right) = type_pair(left, right, schema, self.style)?;
            let (left, right) = match compares {
                true => {
                    let time = |expr: &Expr, other| {
                        calls::as_time(expr.clone(), other, schema, self.style)
                    };
                    let (left, right) = (time(&left, &right)?, time(&right, &left)?);
                    check_comparable(&op, &left, &right, schema)?;
                    (left, right)
                }
                false => (left, right),
            };
            if calculates
                && let Some(result) = numerics::calculated(&op, &left, &right, schema, self.style)?
            {
                return Ok(PlannerResult::Planned(result));
            }
            let types = [known_type(&left, schema), known_type(&right, schema)];
            let is_shaped = |ty: &Option<ColumnType>| matches!(ty, Some(ColumnType::Shaped(_)));
            let shaped = types.into_iter().find(is_shaped);
            let known = shaped.unwrap_or(types[0].or(types[1]));
            // What an interval is compared by is none of what has no type.
            let by_key = |ty: &ColumnType| {
                let spans =
                    !matches!(ty, ColumnType::Interval(_)) || !is_null(&left) && !is_null(&right);
                compares && spans && compared_by_key(&op, *ty)
            };
            match known.filter(by_key) {
                Some(ty) => {
                    let key = |expr| sorted_by(type_parameter(expr, plain_type(ty)), ty);
                    (key(left), key(right))
                }
                None => (left, right),
            }
        } else {
            (left, right)
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

/// Whether an operator compares values of a type by what they are sorted by.
fn compared_by_key(op: &BinaryOperator, ty: ColumnType) -> bool {
    match ty {
        // What they look like tells these apart, but not their order.
        ColumnType::Enum(_) | ColumnType::Array(_)
            if matches!(op, BinaryOperator::Eq | BinaryOperator::NotEq) =>
        {
            looks_vary(ty)
        }
        ty => has_own_order(ty),
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
        let searched = matches!(op, BinaryOperator::AtQuestion | BinaryOperator::AtAt)
            && right_type == Some(functions::json::JSONPATH);
        let beside_json = containment && right_type == Some(ColumnType::Jsonb);
        if (beside_json || searched) && is_open(left) {
            let typed = given(left, ColumnType::Jsonb)?;
            return self.plan_typed(op, &typed, right, schema);
        }
        let left_type = left_type.or_else(|| {
            let ty = type_of(left, schema);
            ty.filter(|ty| *ty == ColumnType::Jsonb)
        });
        // Paths are for jsonb alone.
        if left_type == Some(ColumnType::Json)
            && matches!(op, BinaryOperator::AtQuestion | BinaryOperator::AtAt)
        {
            let ty = written_type(right, schema).map_or("unknown".to_string(), types::bare_name);
            let message = format!("operator does not exist: json {op} {ty}");
            return Err(undefined_operator(message));
        }
        if let Some(json) = left_type {
            if let Some(ty) = written_type(right, schema)
                && !functions::json::takes(op, json, ty)
            {
                let [json, ty] = [json, ty].map(types::bare_name);
                let message = format!("operator does not exist: {json} {op} {ty}");
                return Err(undefined_operator(message));
            }
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
        moments::planned(op, left, right, schema, self.style)
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
    let other = |ty: Option<ColumnType>| {
        ty.is_some_and(|ty| ty == ColumnType::Jsonb || ty.elements().is_some())
    };
    if other(left_type) || other(right_type) {
        return None;
    }
    let function = functions::call::named("||", style)?;
    let operand = |expr: &Expr, ty: Option<ColumnType>| match ty {
        Some(ty @ ColumnType::Printed(_)) => casts::untagged(expr.clone(), ty, style),
        Some(ty @ ColumnType::Reg(_)) => casts::as_text(expr.clone(), ty, style),
        _ => expr.clone(),
    };
    let right = operand(right, right_type);
    // One call for `a || b || c`: what is as deep as the chain is long is planned by its third power.
    if let (Expr::ScalarFunction(chain), Some(ColumnType::Text)) = (left, left_type)
        && chain.func == function
    {
        let mut operands = chain.args.clone();
        operands.push(right);
        let typed = |operand| match is_open(&operand) {
            true => type_parameter(operand, ColumnType::Text),
            false => operand,
        };
        let operands = operands.into_iter().map(typed).collect();
        return Some(functions::json::call(function, operands));
    }
    let operands = vec![operand(left, left_type), right];
    Some(functions::json::call(function, operands))
}

/// The type of an operand, also of a literal.
pub(super) fn type_of(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    let field = output::field_of(expr, schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(&field).ok()
}

/// A type without its modifier.
pub(super) fn plain_type(ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Varchar(_) => ColumnType::Text,
        ColumnType::Bpchar(_) => ColumnType::Bpchar(None),
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ty => plain(ty),
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
            // Both by what tells values apart in their order, since the one must be the beginning of the other.
            LogicalPlan::Distinct(Distinct::On(mut first))
                if !(first.on_expr.iter())
                    .any(|on| matches!(type_of(on, &schema), Some(ColumnType::Printed(_)))) =>
            {
                for on in &mut first.on_expr {
                    if let Some(ty) = type_of(on, &schema) {
                        *on = sorted_by(std::mem::take(on), ty);
                    }
                }
                first.sort_expr = match first.sort_expr {
                    Some(keys) => Some(sorted(keys, &schema)?),
                    None => None,
                };
                LogicalPlan::Distinct(Distinct::On(first))
            }
            LogicalPlan::Join(join) => {
                if let Some(condition) = &join.filter {
                    calls::check_condition("JOIN/ON", condition, &schema)?;
                }
                LogicalPlan::Join(join)
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = aggregate.input.schema();
                check_groupable(undetermined(&aggregate.group_expr, input), &schema)?;
                calls::check_direct_arguments(&aggregate)?;
                LogicalPlan::Aggregate(aggregate)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
                check_groupable(&columns, &schema)?;
                calls::distinct(input)
            }
            plan => plan,
        };
        let names = NamePreserver::new(&plan);
        let mut plan = plan.map_expressions(|expr| {
            with_its_name(&names, expr, &mut |expr| {
                expr.transform_up(|expr| rewrite(expr, &schema, style))
            })
        })?;
        caseless::check(&plan.data, &schema)?;
        if let LogicalPlan::Values(values) = &plan.data
            && let Some(shaped) = arrays::shaped_values(values, style)?
        {
            changed = true;
            plan.data = LogicalPlan::Values(shaped);
        }
        changed |= plan.transformed;
        if plan.transformed
            && let LogicalPlan::Aggregate(aggregate) = plan.data
        {
            plan.data = LogicalPlan::Aggregate(groups::asked_by_key(aggregate)?);
        }
        if changed {
            plan = plan.map_data(LogicalPlan::recompute_schema)?;
        }
        if let LogicalPlan::Window(window) = &plan.data
            && let Some(apart) = ranges::apart(window)?
        {
            changed = true;
            return Ok(Transformed::yes(apart));
        }
        if let Some(by_value) = groups::by_value(&plan.data)? {
            changed = true;
            return Ok(Transformed::yes(by_value));
        }
        if let LogicalPlan::Unnest(unnest) = &plan.data
            && let Some(tagged) = arrays::tagged_elements(unnest)?
        {
            changed = true;
            return Ok(Transformed::yes(tagged));
        }
        Ok(plan)
    })
    .map(|plan| plan.data)
}

fn rewrite(expr: Expr, schema: &DFSchema, style: Style) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::InList(within) => Transformed::yes(ranged::within(within, schema, style)?),
        Expr::Between(between) => Transformed::yes(ranged::between(between, schema, style)?),
        Expr::Cast(cast) => casts::rewrite(cast, schema, style)?,
        Expr::ScalarSubquery(_) => casts::tagged(expr, schema, style),
        Expr::ScalarFunction(call) if functions::array::is_quantified(call.name()) => {
            Transformed::yes(arrays::quantified(call, schema, style)?)
        }
        Expr::ScalarFunction(mut call) if call.name() == functions::COLLATED => {
            let value = call.args.pop().unwrap_or_default();
            check_collatable(&value, schema)?;
            Transformed::yes(value)
        }
        Expr::ScalarFunction(mut call) if call.name() == functions::AS_FLOAT => {
            let value = call.args.pop().unwrap_or_default();
            Transformed::yes(calls::as_float(value, schema, style)?)
        }
        Expr::ScalarFunction(mut call)
            if matches!(call.name(), functions::NEGATIVE | functions::POSITIVE) =>
        {
            let name = call.name().to_string();
            let value = call
                .args
                .pop()
                .ok_or_else(|| DataFusionError::Internal("a sign has an operand".to_string()))?;
            signed(&name, value, schema, style)?
        }
        Expr::ScalarFunction(call) if conditional::is_case(call.name()) => {
            let case = conditional::case_of(call);
            Transformed::yes(calls::case(case, schema, style)?)
        }
        Expr::ScalarFunction(call) if conditional::is_distinction(call.name()) => {
            Transformed::yes(conditional::distinct(call, schema, style)?)
        }
        Expr::ScalarFunction(mut call)
            if advisory::is_one(call.name()) || activity::is_one(call.name()) =>
        {
            let ty = match advisory::is_one(call.name()) {
                true => advisory::argument(call.args.len()),
                false => ColumnType::Int4,
            };
            let args = call.args.into_iter();
            let typed = args.map(|arg| literal_of(type_parameter(arg, ty), ty, style));
            call.args = typed.collect::<Result<_>>()?;
            Transformed::yes(Expr::ScalarFunction(call))
        }
        Expr::ScalarFunction(call)
            if matches!(call.name(), "enum_first" | "enum_last" | "enum_range") =>
        {
            Transformed::yes(arrays::enum_call(call, schema, style)?)
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
        Expr::ScalarFunction(call) if subscripts::is_of_json(&call, schema) => {
            Transformed::yes(subscripts::element(call, schema, style)?)
        }
        Expr::ScalarFunction(call) if subscripts::is_of_array(&call, schema) => {
            Transformed::yes(subscripts::of_array(call, schema, style)?)
        }
        Expr::ScalarFunction(call)
            if matches!(call.name(), functions::ASSIGNED | functions::SLICE_ASSIGNED) =>
        {
            Transformed::yes(subscripts::assigned(call, schema, style)?)
        }
        Expr::ScalarFunction(call) if conditional::is_conditional(call.name()) => {
            Transformed::yes(conditional::call(call, schema, style)?)
        }
        Expr::ScalarFunction(call) => {
            let (mut call, resolved) = calls::resolved(call, schema, style)?;
            if reg::writes_names(call.name()) {
                let is_joined = call.name() == "array_to_string";
                for arg in &mut call.args {
                    match type_of(arg, schema) {
                        Some(ty) if reg::is_named(ty) => {
                            *arg = casts::as_text(std::mem::take(arg), ty, style);
                        }
                        // DataFusion would write the elements by themselves.
                        Some(ColumnType::Array(element)) if is_joined => {
                            *arg = casts::shown(std::mem::take(arg), element.into(), style);
                        }
                        _ => {}
                    }
                }
            }
            if resolved {
                return Ok(Transformed::yes(Expr::ScalarFunction(call)));
            }
            type_arguments(&mut call);
            if arrays::is_of_arrays(call.name()) {
                return Ok(Transformed::yes(arrays::call(call, schema, style)?));
            }
            let mut typed = false;
            if let Some(parameters) = functions::json::parameters(call.name()) {
                typed = true;
                let given: Vec<_> = (call.args.iter())
                    .map(|arg| written_type(arg, schema))
                    .collect();
                parameters.check(&given).map_err(external)?;
                let name = call.name().to_string();
                call.args = call
                    .args
                    .into_iter()
                    .enumerate()
                    .map(|(at, arg)| match parameters.at(at) {
                        Some(ty) => {
                            let arg = literal_of(type_parameter(arg, ty), ty, style)?;
                            match name.ends_with("_object") {
                                true => Ok(arg),
                                false => arrays::plain(arg, schema),
                            }
                        }
                        None => Ok(arg),
                    })
                    .collect::<Result<_>>()?;
                let field = call.args.get(2).and_then(|null| type_of(null, schema));
                call = functions::json::record::typed(call, field);
            }
            match typed {
                true => Transformed::yes(Expr::ScalarFunction(call)),
                false => Transformed::no(Expr::ScalarFunction(call)),
            }
        }
        Expr::WindowFunction(window) => {
            Transformed::yes(window_calls::window(window, schema, style)?)
        }
        Expr::AggregateFunction(call) => Transformed::yes(calls::aggregate(call, schema, style)?),
        Expr::Case(case) => Transformed::yes(calls::case(case, schema, style)?),
        // What an operand is may be known only now.
        Expr::BinaryExpr(mut compared) if compared.op.supports_propagation() => {
            let mut changed = arrays::by_shape(&mut compared, schema);
            for operand in [&mut compared.left, &mut compared.right] {
                if type_of(operand, schema) == Some(ColumnType::Bpchar(None)) {
                    **operand = casts::trimmed(std::mem::take(&mut **operand));
                    changed = true;
                }
            }
            Transformed::new_transformed(Expr::BinaryExpr(compared), changed)
        }
        Expr::Like(like) => Transformed::yes(ranged::like(like, schema, style)?),
        Expr::IsTrue(value) => Transformed::no(Expr::IsTrue(tested("IS TRUE", value, schema)?)),
        Expr::IsNotTrue(value) => {
            Transformed::no(Expr::IsNotTrue(tested("IS NOT TRUE", value, schema)?))
        }
        Expr::IsFalse(value) => Transformed::no(Expr::IsFalse(tested("IS FALSE", value, schema)?)),
        Expr::IsNotFalse(value) => {
            Transformed::no(Expr::IsNotFalse(tested("IS NOT FALSE", value, schema)?))
        }
        Expr::IsUnknown(value) => {
            Transformed::no(Expr::IsUnknown(tested("IS UNKNOWN", value, schema)?))
        }
        Expr::IsNotUnknown(value) => {
            Transformed::no(Expr::IsNotUnknown(tested("IS NOT UNKNOWN", value, schema)?))
        }
        // It is of the type that the other operand tells.
        parameter @ Expr::Placeholder(_) => Transformed::yes(unmodified(parameter, unlimited)),
        Expr::Not(inner) if is_open(&inner) => {
            Transformed::yes(Expr::Not(Box::new(condition(*inner, style)?)))
        }
        Expr::Negative(inner) => signed(functions::NEGATIVE, *inner, schema, style)?,
        other => Transformed::no(other),
    })
}

/// The operand of a test such as IS TRUE, which must be a condition.
fn tested(test: &str, value: Box<Expr>, schema: &DFSchema) -> Result<Box<Expr>> {
    calls::check_condition(test, &value, schema)?;
    Ok(value)
}

/// `-x` or `+x`
fn signed(name: &str, value: Expr, schema: &DFSchema, style: Style) -> Result<Transformed<Expr>> {
    let is_negative = name == functions::NEGATIVE;
    let ty = type_of(&value, schema);
    let is_interval = matches!(ty, Some(ColumnType::Interval(_)));
    if let Some(ty) = ty.filter(|ty| !(is_number(*ty) || is_interval && is_negative)) {
        let sign = if is_negative { "-" } else { "+" };
        let message = format!("operator does not exist: {sign} {}", types::bare_name(ty));
        return Err(undefined_operator(message));
    }
    Ok(Transformed::yes(match ty {
        _ if !is_negative => as_written(value),
        Some(ColumnType::Numeric(None)) => numerics::function("-", vec![value], schema, style)?,
        Some(ColumnType::Interval(_)) => {
            functions::json::call(functions::time::negate(), vec![value])
        }
        _ => Expr::Negative(Box::new(value)),
    }))
}

pub(super) fn is_number(ty: ColumnType) -> bool {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    matches!(ty, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric(_))
}

/// What stands where only a boolean can.
pub(super) fn condition(expr: Expr, style: Style) -> Result<Expr> {
    let ty = ColumnType::Bool;
    literal_of(type_parameter(expr, ty), ty, style)
}

pub(super) fn type_pair(
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    let (left, right) = match (small_literal(&left), small_literal(&right)) {
        (Some(l), Some(r)) => (int4(l), int4(r)),
        (Some(l), None) if is_null(&right) => (int4(l), null(ColumnType::Int4)?),
        (None, Some(r)) if is_null(&left) => (null(ColumnType::Int4)?, int4(r)),
        (Some(l), None) if is_small_int(&right, schema) => (int4(l), right),
        (None, Some(r)) if is_small_int(&left, schema) => (left, int4(r)),
        (Some(l), None) if is_bare_string(&right) => (int4(l), right),
        (None, Some(r)) if is_bare_string(&left) => (left, int4(r)),
        // DataFusion takes it for bytes.
        _ if is_null(&right) && type_of(&left, schema) == Some(ColumnType::Numeric(None)) => {
            (left, null(ColumnType::Numeric(None))?)
        }
        _ if is_null(&left) && type_of(&right, schema) == Some(ColumnType::Numeric(None)) => {
            (null(ColumnType::Numeric(None))?, right)
        }
        _ => (left, right),
    };
    let right = type_literal(right, &left, schema, style)?;
    let left = type_literal(left, &right, schema, style)?;
    let (left_type, right_type) = (type_of(&left, schema), type_of(&right, schema));
    Ok((
        beside_other(left, left_type, right_type, schema, style)?,
        beside_other(right, right_type, left_type, schema, style)?,
    ))
}

/// A number as the kind of number that it is calculated and compared as beside one of another kind, a varchar as a char(n) beside
/// one.
fn beside_other(
    expr: Expr,
    ty: Option<ColumnType>,
    other: Option<ColumnType>,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    match ty
        .zip(other)
        .and_then(|(ty, other)| numerics::beside(ty, other))
    {
        Some(ty) => calls::cast(expr, ty, schema, style),
        // Spaces behind it make no difference then.
        None if matches!(
            (ty, other),
            (Some(ColumnType::Varchar(_)), Some(ColumnType::Bpchar(_)))
                | (Some(ColumnType::Bpchar(None)), Some(_))
        ) =>
        {
            Ok(casts::trimmed(expr))
        }
        None if ty == Some(ColumnType::Numeric(None))
            && matches!(other, Some(ColumnType::Float4 | ColumnType::Float8)) =>
        {
            calls::cast(expr, ColumnType::Float8, schema, style)
        }
        None => beside_float(expr, ty, other),
    }
}

/// An operand as a double precision where the two are a numeric and a real or double precision, or a real and an integer.
fn beside_float(expr: Expr, ty: Option<ColumnType>, other: Option<ColumnType>) -> Result<Expr> {
    use ColumnType::{Float4, Float8, Int2, Int4, Int8, Numeric};
    match (ty, other) {
        (Some(Numeric(_)), Some(Float4 | Float8)) => {
            if let Expr::Literal(value, _) = &expr
                && let Some(value) = datum_at(&value.to_array()?, 0)
            {
                let value = functions::call::float_of(value);
                return Ok(Expr::Literal(ScalarValue::Float64(Some(value)), None));
            }
            let double = Arc::new(Float8.field("", true));
            return Ok(Expr::Cast(Cast::new_from_field(Box::new(expr), double)));
        }
        (Some(Float4), Some(Numeric(_) | Int2 | Int4 | Int8)) => {}
        _ => return Ok(expr),
    }
    Ok(Expr::Cast(Cast::new(Box::new(expr), DataType::Float64)))
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
    if let Expr::ScalarSubquery(subquery) = expr
        && let Some(ty) = extreme_of(&subquery.subquery)
    {
        return Some(ty);
    }
    let field = output::field_of(expr, schema).ok()?;
    if field.data_type().is_null() {
        return None;
    }
    output::column_type(&field).ok()
}

/// The type of a query of one `min` or `max`, of which DataFusion's do not tell it before the query is looked at.
fn extreme_of(query: &LogicalPlan) -> Option<ColumnType> {
    let (mut query, mut value) = (query, None);
    loop {
        match query {
            LogicalPlan::Projection(projection) => {
                value = Some(projection.expr.first()?);
                query = &projection.input;
            }
            LogicalPlan::Filter(having) => query = &having.input,
            LogicalPlan::Aggregate(aggregate) => {
                let value = value?.clone().unalias_nested().data;
                let called = |call: &&Expr| {
                    call.schema_name().to_string() == value.schema_name().to_string()
                };
                let Expr::AggregateFunction(call) = aggregate.aggr_expr.iter().find(called)? else {
                    return None;
                };
                let of = call.params.args.first()?;
                let is_extreme = matches!(call.func.name(), "min" | "max");
                return type_of(of, aggregate.input.schema()).filter(|_| is_extreme);
            }
            _ => return None,
        }
    }
}

/// The same, of an integer literal as PostgreSQL reads it.
pub(super) fn written_type(expr: &Expr, schema: &DFSchema) -> Option<ColumnType> {
    match small_literal(expr) {
        Some(_) => Some(ColumnType::Int4),
        None => known_type(expr, schema),
    }
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
    beside_other(value, ty, of, schema, style)
}

/// A bare string that is compared with several expressions, as one of the type of the first of them that has one.
pub(super) fn typed_by(
    value: Expr,
    others: &[Expr],
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    let mut known = (others.iter()).filter(|other| known_type(other, schema).is_some());
    match known.next() {
        Some(other) if is_bare_string(&value) => typed_beside(value, other, schema, style),
        Some(other) => Ok(parameter_beside(value, other, schema)),
        None => Ok(value),
    }
}

pub(super) fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
