//! Arrays in expressions: the type that the elements of a literal have together, what stands beside an array, and the
//! types of arrays where DataFusion forgets them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::functions_nested::concat as theirs;
use datafusion::functions_nested::make_array::make_array_udf;
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::expr::{Cast, ScalarFunction};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Projection, ScalarUDF, Unnest, Values,
};
use datafusion::sql::sqlparser::ast::{BinaryOperator, TableFactor};
use tidelog_storage::datum::elements_type;
use tidelog_storage::{ColumnType, ElementType};

use super::calls::{self, cast};
use super::comparable::{check_operator, check_types, class, given, no_operator};
use super::numerics;
use super::operators::{
    as_written, external, is_null, is_open, known_type, literal_of, null, plain_type, type_of,
    type_pair, type_parameter, written_type,
};
use super::order::{has_own_order, looks_vary, sorted_by};
use super::reg::is_named;
use crate::error::{ErrorKind, SqlError};
use crate::text::Style;
use crate::{functions, output, precision, types};

/// A call of a function that makes or changes arrays: its elements of one type, and the result of the type that
/// they make it.
pub(super) fn call(call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let name = call.name().to_string();
    call_named(&name, call, schema, style)
}

fn call_named(
    name: &str,
    mut call: ScalarFunction,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    match name {
        functions::ARRAY => {
            let elements = call.args.iter_mut().collect();
            calls::match_types("ARRAY", elements, schema, style)?;
            for arg in &mut call.args {
                *arg = calls::with_spaces(std::mem::take(arg), schema, style)?;
            }
            let types = call.args.iter().filter_map(|arg| type_of(arg, schema));
            let types: Vec<ColumnType> = types.collect();
            match types.iter().find(|ty| ty.elements().is_some()) {
                Some(first) => {
                    let first = plain_type(*first);
                    if is_named(flat_type(first)) {
                        let what = format!("ARRAY[…] of {}", types::name(first));
                        return Err(external(SqlError::unsupported(what)));
                    }
                    let differs = |ty: &&ColumnType| flat_type(**ty) != flat_type(first);
                    if let Some(other) = types.iter().find(differs) {
                        return Err(external(calls::mismatch("ARRAY", first, *other)));
                    }
                    for arg in call.args.iter_mut().filter(|arg| is_null(arg)) {
                        *arg = null(first)?;
                    }
                    call.func = function(functions::array::STACKED)?;
                }
                None => call.func = make_array_udf(),
            }
        }
        "array_cat" | "array_concat" => {
            let known = call.args.iter().find_map(|arg| known_type(arg, schema));
            if let Some(ty) = known {
                call.args = typed_as(call.args, ty, style)?;
                for arg in call.args.iter_mut().filter(|arg| is_null(arg)) {
                    *arg = null(ty)?;
                }
            }
            let types = call.args.iter().filter_map(|arg| type_of(arg, schema));
            let elements = types.filter_map(ColumnType::elements).map(ColumnType::from);
            if let Some(common) = calls::common_type(elements) {
                for arg in &mut call.args {
                    *arg = with_elements(std::mem::take(arg), common, schema, style)?;
                }
            }
            call.func = match any_shaped(&call.args, schema) {
                true => function(functions::array::JOINED)?,
                false => theirs::array_concat_udf(),
            };
        }
        name => {
            let at = functions::array::takes_elements(name);
            // A bare NULL is an array of what is added to it.
            if let Some(at) = at
                && let [array, value] = call.args.as_slice()
                && let (array_at, element) = if at == 0 {
                    (array, value)
                } else {
                    (value, array)
                }
                && is_null(array_at)
                && let Some(ty) = written_type(element, schema)
                && let Some(array) = plain_type(ty).array()
            {
                call.args[at] = null(array)?;
            }
            if let Some(at) = at {
                check_elements(&call.args, at, name, schema)?;
                widen(&mut call.args, at, name, schema, style)?;
            }
            let array = at.and_then(|at| Some((at, call.args.get(at)?)));
            if let Some((array_at, array)) = array
                && let Some(DataType::List(item)) = list_type(&array.get_type(schema)?)
                && let Some(element) = type_of(array, schema).and_then(ColumnType::elements)
            {
                let element = plain_type(element.into());
                let others = call.args.iter_mut().enumerate();
                for (_, arg) in others.filter(|(at, _)| is_element(name, array_at, *at)) {
                    let given = literal_of(type_parameter(arg.clone(), element), element, style)?;
                    let is = given.get_type(schema)?;
                    *arg = match is == *item.data_type() || is.is_null() {
                        true if is.is_null() => {
                            Expr::Literal(ScalarValue::try_from(item.data_type())?, None)
                        }
                        true => given,
                        false if is_convertible(element) => {
                            let own = output::column_type(&item).map_err(external)?;
                            cast(given, own, schema, style)?
                        }
                        false => Expr::Cast(Cast::new(Box::new(given), item.data_type().clone())),
                    };
                }
            }
            let of = call.args.first().and_then(|array| type_of(array, schema));
            let is_plain = matches!(of, Some(ColumnType::Array(_)));
            let element = of.and_then(ColumnType::elements);
            let varies = |element: &ElementType| looks_vary(ColumnType::Array(*element));
            if let Some(element) = element.filter(varies) {
                match (name, call.args.as_mut_slice()) {
                    ("array_position" | "array_positions", [array, value, ..]) if is_plain => {
                        let (given, of) = (std::mem::take(value), std::mem::take(array));
                        [*value, *array] = keys_of(given, of, element);
                    }
                    // Their values are compared as they are.
                    ("array_position" | "array_positions", _) if element != ElementType::Jsonb => {}
                    (
                        "array_position" | "array_positions" | "array_remove" | "array_replace",
                        _,
                    ) if !matches!(
                        element,
                        ElementType::Numeric(None) | ElementType::Bpchar(_)
                    ) =>
                    {
                        let what = format!("{name}() of {}[]", types::name(element.into()));
                        return Err(external(SqlError::unsupported(what)));
                    }
                    _ => {}
                }
            }
            let is_shaped = any_shaped(&call.args, schema);
            match name {
                "array_append" if is_shaped => call.func = function(functions::array::APPENDED)?,
                "array_prepend" if is_shaped => call.func = function(functions::array::PREPENDED)?,
                "array_append" => call.func = theirs::array_append_udf(),
                "array_prepend" => call.func = theirs::array_prepend_udf(),
                _ => {}
            }
        }
    }
    Ok(match tag(&call, schema) {
        Some(tag) => {
            let call = Expr::ScalarFunction(call);
            let name = call.schema_name().to_string();
            call.alias_with_metadata(name, Some(tag))
        }
        None => Expr::ScalarFunction(call),
    })
}

/// The function of arrays with this name.
fn function(name: &str) -> Result<Arc<ScalarUDF>> {
    let missing = || external(SqlError::unsupported(name));
    functions::array::function(name).ok_or_else(missing)
}

/// The type of the list of an array's elements.
fn list_type(ty: &DataType) -> Option<DataType> {
    match ty {
        DataType::List(_) => Some(ty.clone()),
        ty => elements_type(ty).cloned(),
    }
}

/// The type of arrays of one dimension of these elements; any other type without its modifier.
fn flat_type(ty: ColumnType) -> ColumnType {
    plain_type(ty.elements().map_or(ty, ColumnType::Array))
}

fn any_shaped(args: &[Expr], schema: &DFSchema) -> bool {
    let is_shaped = |arg| matches!(type_of(arg, schema), Some(ColumnType::Shaped(_)));
    args.iter().any(is_shaped)
}

/// An array of any shape as one of its elements alone; any other expression as it is.
fn flat(array: Expr, schema: &DFSchema) -> Result<Expr> {
    match type_of(&array, schema) {
        Some(ColumnType::Shaped(_)) => {
            let flat = function(functions::array::FLAT)?;
            Ok(functions::json::call(flat, vec![array]))
        }
        _ => Ok(array),
    }
}

/// Arguments of any shape of functions that take arrays of one dimension alone.
pub(super) fn plain(array: Expr, schema: &DFSchema) -> Result<Expr> {
    match type_of(&array, schema) {
        Some(ColumnType::Shaped(_)) => {
            let plain = function(functions::array::PLAIN)?;
            Ok(functions::json::call(plain, vec![array]))
        }
        _ => Ok(array),
    }
}

/// `||` of an array of any shape and another, or an element; `None` where neither operand is one.
pub(super) fn joined(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<Option<Expr>> {
    let (l, r) = (type_of(left, schema), type_of(right, schema));
    let is_shaped = |ty| matches!(ty, Some(ColumnType::Shaped(_)));
    if *op != BinaryOperator::StringConcat || !(is_shaped(l) || is_shaped(r)) {
        return Ok(None);
    }
    let is_array = |ty: Option<ColumnType>| ty.is_some_and(|ty| ty.elements().is_some());
    let other = |ty: Option<ColumnType>, expr| ty.is_none() || is_array(ty) || is_open(expr);
    let name = match (is_array(l), is_array(r)) {
        (true, false) if !other(r, right) => "array_append",
        (false, true) if !other(l, left) => "array_prepend",
        _ => "array_cat",
    };
    let func = function(functions::array::JOINED)?;
    let args = vec![left.clone(), right.clone()];
    Ok(Some(call_named(
        name,
        ScalarFunction { func, args },
        schema,
        style,
    )?))
}

/// The operands of `||` where one is an array of numbers and the other a number, and either are numerics: of the type that
/// all of these have together.
pub(super) fn beside_element(
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    let types = [written_type(&left, schema), written_type(&right, schema)];
    let element = |ty: ColumnType| ty.elements().map_or(ty, ColumnType::from);
    let common = match types {
        [Some(l), Some(r)] if l.elements().is_some() != r.elements().is_some() => {
            let both = [element(l), element(r)];
            let are_numbers = both.iter().all(|ty| class(*ty) == "number");
            let any_numeric = both.iter().any(|ty| matches!(ty, ColumnType::Numeric(_)));
            let common = (are_numbers && any_numeric).then(|| calls::common_type(both.into_iter()));
            common.flatten()
        }
        _ => None,
    };
    let Some(common) = common else {
        return Ok((left, right));
    };
    let as_common = |operand: Expr, ty: Option<ColumnType>| match ty {
        Some(ColumnType::Array(_)) => {
            cast(operand, common.array().unwrap_or(common), schema, style)
        }
        Some(ColumnType::Shaped(_)) => {
            cast(operand, common.shaped().unwrap_or(common), schema, style)
        }
        _ => cast(operand, common, schema, style),
    };
    Ok((as_common(left, types[0])?, as_common(right, types[1])?))
}

/// Compares arrays of which one may be of any shape by what they are sorted by; says whether it is such a comparison.
pub(super) fn by_shape(compared: &mut BinaryExpr, schema: &DFSchema) -> bool {
    let operands = [&compared.left, &compared.right];
    let operands = operands.map(|of| functions::order::array_of(of).unwrap_or(of).clone());
    let types = operands.each_ref().map(|operand| type_of(operand, schema));
    let is_shaped = |ty: &ColumnType| matches!(ty, ColumnType::Shaped(_));
    let Some(ty) = types.into_iter().flatten().find(is_shaped) else {
        return false;
    };
    let [left, right] = operands.map(|operand| Box::new(sorted_by(operand, ty)));
    (compared.left, compared.right) = (left, right);
    true
}

/// VALUES of which some arrays of a column may be of any shape, all of them as such; `None` where no column has such.
pub(super) fn shaped_values(values: &Values, style: Style) -> Result<Option<Values>> {
    let none = DFSchema::empty();
    let mut shaped = values.clone();
    let mut fields = Vec::with_capacity(values.schema.fields().len());
    let mut any = false;
    for (at, (relation, field)) in values.schema.iter().enumerate() {
        let types = values.values.iter().map(|row| type_of(&row[at], &none));
        let is_shaped = |ty: &ColumnType| matches!(ty, ColumnType::Shaped(_));
        let Some(ty) = types.flatten().find(is_shaped) else {
            fields.push((relation.cloned(), field.clone()));
            continue;
        };
        any = true;
        for row in &mut shaped.values {
            row[at] = match is_null(&row[at]) {
                true => null(ty)?,
                false => cast(std::mem::take(&mut row[at]), ty, &none, style)?,
            };
        }
        fields.push((relation.cloned(), Arc::new(ty.field(field.name(), true))));
    }
    if !any {
        return Ok(None);
    }
    let metadata = values.schema.metadata().clone();
    shaped.schema = Arc::new(DFSchema::new_with_metadata(fields, metadata)?);
    Ok(Some(shaped))
}

/// Whether an argument is a value like the elements of the array among them: what array_position has as its third is a
/// place.
fn is_element(name: &str, array_at: usize, at: usize) -> bool {
    at != array_at && (name != "array_position" || at < 2)
}

/// An array as one with elements of what they have in common with others, where they are numbers or times of another type.
fn with_elements(array: Expr, common: ColumnType, schema: &DFSchema, style: Style) -> Result<Expr> {
    let array_type = type_of(&array, schema);
    let Some(own) = array_type.and_then(ColumnType::elements) else {
        return Ok(array);
    };
    let own = ColumnType::from(own);
    let differs = match common {
        ColumnType::Numeric(_) => own != common,
        _ => plain_type(own) != plain_type(common),
    };
    let wanted = match array_type {
        Some(ColumnType::Shaped(_)) => common.shaped(),
        _ => common.array(),
    };
    match (differs && is_convertible(common), wanted) {
        (true, Some(ty)) => cast(array, ty, schema, style),
        _ => Ok(array),
    }
}

/// Whether a type is one of those that become another of their kind by a conversion.
fn is_convertible(ty: ColumnType) -> bool {
    matches!(class(ty), "number" | "time")
}

/// Makes an array of numbers or times one of the type that its elements and the values beside it have in common.
fn widen(
    args: &mut [Expr],
    array_at: usize,
    name: &str,
    schema: &DFSchema,
    style: Style,
) -> Result<()> {
    let array = args.get(array_at).and_then(|array| type_of(array, schema));
    let Some(item) = array.and_then(ColumnType::elements) else {
        return Ok(());
    };
    let beside = args.iter().enumerate();
    let beside = beside.filter(|(at, _)| is_element(name, array_at, *at));
    let types = beside.filter_map(|(_, arg)| written_type(arg, schema));
    let common = calls::common_type(std::iter::once(item.into()).chain(types));
    if let Some(common) = common {
        let array = std::mem::take(&mut args[array_at]);
        args[array_at] = with_elements(array, common, schema, style)?;
    }
    Ok(())
}

/// Whether a function is one of these.
pub(super) fn is_of_arrays(name: &str) -> bool {
    matches!(
        name,
        functions::ARRAY | "make_array" | "array_cat" | "array_concat"
    ) || functions::array::takes_elements(name).is_some()
}

/// `enum_first`, `enum_last` and `enum_range`, whose arguments tell an enum type by being of it.
pub(super) fn enum_call(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let is_enum = |ty: &ColumnType| matches!(ty, ColumnType::Enum(_));
    let mut known = (call.args.iter()).filter_map(|arg| known_type(arg, schema));
    let Some(ty @ ColumnType::Enum(of)) = known.find(is_enum) else {
        let given = (call.args.iter())
            .map(|arg| known_type(arg, schema).map_or("unknown".to_string(), types::name));
        let given: Vec<String> = given.collect();
        let message = format!(
            "function {}({}) does not exist",
            call.name(),
            given.join(", ")
        );
        let hint = "No function matches the given name and argument types. You might need to add explicit type casts.";
        let error = SqlError::new(ErrorKind::UndefinedFunction, message).hint(hint);
        return Err(external(error));
    };
    let labels = of.definition().labels.as_slice();
    let end = match call.name() {
        "enum_first" => labels.first(),
        "enum_last" => labels.last(),
        _ => {
            call.args = typed_as(call.args, ty, style)?;
            call.func = functions::enums::range(of);
            return Ok(Expr::ScalarFunction(call));
        }
    };
    let metadata = FieldMetadata::from(ty.field("", true).metadata().clone());
    let label = end.map(|label| label.name.to_string());
    Ok(Expr::Literal(ScalarValue::Utf8(label), Some(metadata)))
}

/// 42883 unless there is an array at its place, and what is given for its elements is of their class.
fn check_elements(args: &[Expr], array_at: usize, name: &str, schema: &DFSchema) -> Result<()> {
    let given: Vec<_> = args.iter().map(|arg| written_type(arg, schema)).collect();
    let of = given.get(array_at).copied().flatten();
    let is_wrong = |(at, ty): (usize, &Option<ColumnType>)| match (of, *ty) {
        (Some(of), Some(ty)) if let Some(element) = of.elements() => {
            is_element(name, array_at, at) && class(ty) != class(element.into())
        }
        (Some(of), _) => of.elements().is_none() && at == array_at,
        (None, _) => false,
    };
    match given.iter().enumerate().any(is_wrong) {
        true => Err(external(functions::call::no_such(name, &given))),
        false => Ok(()),
    }
}

/// Bare strings and untyped parameters as values of a type.
fn typed_as(args: Vec<Expr>, ty: ColumnType, style: Style) -> Result<Vec<Expr>> {
    let typed = |arg: Expr| match is_open(&arg) {
        true => literal_of(type_parameter(arg, ty), ty, style),
        false => Ok(arg),
    };
    args.into_iter().map(typed).collect()
}

/// The operands of `||`, `@>` and `<@`: what is left open beside an array is one of its type.
pub(super) fn beside_array(
    op: &BinaryOperator,
    left: Expr,
    right: Expr,
    schema: &DFSchema,
    style: Style,
) -> Result<(Expr, Expr)> {
    use BinaryOperator::{ArrowAt, AtArrow, StringConcat};
    let is_null = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Null, _));
    let any = |is: &dyn Fn(&Expr) -> bool| is(&left) || is(&right);
    if !matches!(op, StringConcat | AtArrow | ArrowAt) || !(any(&is_open) || any(&is_null)) {
        return Ok((left, right));
    }
    let (l, r) = (known_type(&left, schema), known_type(&right, schema));
    let array = match (l, r) {
        (Some(array), None) | (None, Some(array)) if array.elements().is_some() => flat_type(array),
        _ => return Ok((left, right)),
    };
    let typed = typed_as(vec![left, right], array, style)?;
    let null = || ScalarValue::try_from(&array.arrow()).map(|null| Expr::Literal(null, None));
    let typed = typed.into_iter().map(|expr| match is_null(&expr) {
        true => null(),
        false => Ok(expr),
    });
    let typed = typed.collect::<Result<Vec<_>>>()?;
    let [left, right] = <[Expr; 2]>::try_from(typed).expect("there were two of them");
    Ok((left, right))
}

/// `@>` and `<@` of arrays, whose elements are of one type or integers.
pub(super) fn contains(
    op: &BinaryOperator,
    left: &Expr,
    right: &Expr,
    schema: &DFSchema,
) -> Result<Option<Expr>> {
    let (outer, inner) = match op {
        BinaryOperator::AtArrow => (left, right),
        BinaryOperator::ArrowAt => (right, left),
        _ => return Ok(None),
    };
    let (l, r) = (written_type(left, schema), written_type(right, schema));
    let element = |ty: Option<ColumnType>| {
        let element = ty.and_then(ColumnType::elements);
        element.map(|element| plain_type(element.into()))
    };
    use ColumnType::{Int2, Int4, Int8};
    let is_integer = |ty| matches!(ty, Int2 | Int4 | Int8);
    match (element(l), element(r)) {
        (None, None) => Ok(None),
        (Some(l), Some(r)) if l == r || is_integer(l) && is_integer(r) => {
            let call = functions::array::function(functions::array::CONTAINS);
            let operands = [outer, inner].into_iter();
            let operands = operands.map(|of| Ok(elements_of(flat(of.clone(), schema)?, l)));
            let operands = operands.collect::<Result<Vec<_>>>()?;
            Ok(call.map(|call| functions::json::call(call, operands)))
        }
        _ => match (l, r) {
            (Some(l), Some(r)) => Err(no_operator(op, l, r)),
            _ => Ok(None),
        },
    }
}

/// Plans functions that give rows in FROM: the columns of their elements have the types of these from the beginning.
#[derive(Debug)]
pub(crate) struct ElementTypes;

impl RelationPlanner for ElementTypes {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let (mut relation, alias) = match relation {
            TableFactor::UNNEST {
                alias: Some(ref alias),
                ..
            } => (relation.clone(), alias.clone()),
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        if let TableFactor::UNNEST { alias, .. } = &mut relation {
            *alias = None;
        }
        let plan = context.plan(relation)?;
        let mut changed = false;
        let plan = plan.transform_up(|plan| {
            if let LogicalPlan::Unnest(unnest) = &plan
                && let Some(tagged) = tagged_elements(unnest)?
            {
                changed = true;
                return Ok(Transformed::yes(tagged));
            }
            match changed {
                true => plan.recompute_schema().map(Transformed::yes),
                false => Ok(Transformed::no(plan)),
            }
        })?;
        let planned = PlannedRelation::new(plan.data, Some(alias));
        Ok(RelationPlanning::Planned(Box::new(planned)))
    }
}

/// The rows of an UNNEST with the types of the elements, which DataFusion forgets; `None` when it has not.
pub(super) fn tagged_elements(unnest: &Unnest) -> Result<Option<LogicalPlan>> {
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

/// Types the operands of `a && b` by each other; they are arrays.
pub(super) fn overlaps(mut call: ScalarFunction, schema: &DFSchema, style: Style) -> Result<Expr> {
    let [left, right] = call.args.as_slice() else {
        return Ok(Expr::ScalarFunction(call));
    };
    check_operator("&&", &[left, right], schema)?;
    let known = known_type(left, schema).or_else(|| known_type(right, schema));
    let typed = |expr: &Expr| match known {
        Some(ty) => type_parameter(expr.clone(), ty),
        None => expr.clone(),
    };
    let (left, right) = type_pair(typed(left), typed(right), schema, style)?;
    let types = (type_of(&left, schema), type_of(&right, schema));
    if let (Some(l), Some(r)) = types
        && (l.elements().is_none() || r.elements().is_none())
    {
        return Err(no_operator(&BinaryOperator::PGOverlap, l, r));
    }
    let element = types.0.or(types.1).and_then(ColumnType::elements);
    let elements = |array| -> Result<Expr> {
        let array = flat(array, schema)?;
        Ok(match element {
            Some(element) => elements_of(array, element.into()),
            None => array,
        })
    };
    call.args = vec![elements(left)?, elements(right)?];
    Ok(Expr::ScalarFunction(call))
}

/// An array as one of what tells its elements apart, where that is not how they look.
fn elements_of(array: Expr, element: ColumnType) -> Expr {
    match element.array() {
        Some(ColumnType::Array(element)) if looks_vary(element.into()) => {
            functions::json::call(functions::order::elements_by_value(element), vec![array])
        }
        _ => array,
    }
}

/// A value and an array as what tells it and the elements apart.
fn keys_of(value: Expr, array: Expr, element: ElementType) -> [Expr; 2] {
    let value = type_parameter(value, element.into());
    let key = functions::order::by_value(element.into());
    let keys = functions::order::elements_by_value(element);
    [
        functions::json::call(key, vec![value]),
        functions::json::call(keys, vec![array]),
    ]
}

/// Types the operands of `x = ANY (array)` by each other.
pub(super) fn quantified(
    mut call: ScalarFunction,
    schema: &DFSchema,
    style: Style,
) -> Result<Expr> {
    use ColumnType::{Float4, Float8, Numeric};
    let [left, right] = call.args.as_slice() else {
        return Ok(Expr::ScalarFunction(call));
    };
    if let Some(op) = functions::array::operator(call.name())
        && let Some(own) = given(left, schema)
        && let Some(ColumnType::Array(element) | ColumnType::Shaped(element)) =
            known_type(right, schema)
    {
        check_types(&op.to_string(), &[own, Some(element.into())])?;
    }
    let (left, mut right) = (left.clone(), flat(right.clone(), schema)?);
    if matches!(right, Expr::Literal(ScalarValue::Null, _)) {
        let array = known_type(&left, schema).and_then(|ty| plain_type(ty).array());
        let array = array.unwrap_or(ColumnType::Array(ElementType::Text));
        right = cast(right, array, schema, style)?;
    }
    let (left, right) = match (known_type(&left, schema), known_type(&right, schema)) {
        (Some(ty), None) if is_open(&right) => {
            let left = as_written(left);
            let ty = written_type(&left, schema).map_or(ty, plain_type);
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
    let right = flat(right, schema)?;
    let (left, right) = match (type_of(&left, schema), type_of(&right, schema)) {
        (Some(own), Some(ColumnType::Array(element))) => {
            match numerics::common_element(own, element.into()) {
                Some(common) => (
                    cast(left, common, schema, style)?,
                    cast(right, common.array().unwrap_or(common), schema, style)?,
                ),
                None => match (own, element.into()) {
                    (Numeric(None), Float4 | Float8) => (cast(left, Float8, schema, style)?, right),
                    (Float4 | Float8, Numeric(None)) => {
                        let floats = ColumnType::Array(ElementType::Float8);
                        (left, cast(right, floats, schema, style)?)
                    }
                    _ => (left, right),
                },
            }
        }
        _ => (left, right),
    };
    let Some(DataType::List(item)) = right.get_type(schema).ok() else {
        let message = "op ANY/ALL (array) requires array on right side";
        return Err(external(SqlError::new(ErrorKind::WrongObjectType, message)));
    };
    if let Some(ColumnType::Array(element)) = type_of(&right, schema)
        && (looks_vary(element.into())
            || functions::array::orders(call.name()) && has_own_order(element.into()))
    {
        let ty = element.into();
        // Storage has no bytes in the order of these.
        if matches!(ty, ColumnType::Printed(_)) {
            let element = types::bare_name(ty);
            return Err(external(SqlError::unsupported(format!(
                "this operator with ANY or ALL of {element}[]"
            ))));
        }
        call.args = keys_of(left, right, element).to_vec();
        return Ok(Expr::ScalarFunction(call));
    }
    // Of two kinds of numbers the wider one.
    let left_type = left.get_type(schema)?;
    let common = comparison_coercion(&left_type, item.data_type());
    let (left, right) = match common {
        Some(common) if !left_type.is_null() && !item.data_type().is_null() => {
            let widened = |expr: Expr, ty: DataType| Expr::Cast(Cast::new(Box::new(expr), ty));
            let left = match left_type == common {
                true => left,
                false => widened(left, common.clone()),
            };
            let right = match *item.data_type() == common {
                true => right,
                false => widened(
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

/// What tells the type of the array that a function of DataFusion's gives, which forgets it; `None` where the Arrow
/// type says it all.
fn tag(call: &ScalarFunction, schema: &DFSchema) -> Option<FieldMetadata> {
    let ty = match call.name() {
        "make_array" | "array_concat" | "array_cat" => {
            call.args.iter().find_map(|arg| type_of(arg, schema))?
        }
        "array_append" => type_of(call.args.first()?, schema)?,
        "array_prepend" => type_of(call.args.get(1)?, schema)?,
        _ => return None,
    };
    let ty = match call.name() {
        // Elements without their lengths, as in PostgreSQL.
        "make_array" => precision::unlimited(ty).array()?,
        _ => plain_type(ty),
    };
    let field = ty.field("", true);
    (!field.metadata().is_empty()).then(|| FieldMetadata::from(field.metadata().clone()))
}
