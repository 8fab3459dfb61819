//! `regclass` and its like: oids that are shown as the names that the catalog has for them. A cast knows no catalog; here
//! casts between them and texts become functions that do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringBuilder};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, LogicalPlanBuilder, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tidelog_storage::{ColumnType, ElementType, RegType};

use crate::casts::{self, Naming};
use crate::error::from_datafusion;
use crate::functions::json::call;
use crate::optimize::with_its_name;
use crate::output;
use crate::system::functions::LIST;
use crate::text::{Style, reg};

/// Finds a function of the catalog.
type Named<'a> = &'a dyn Fn(&str) -> Option<Arc<ScalarUDF>>;

/// The plan, whose casts between names and oids ask the catalog.
pub(super) fn with_names(plan: LogicalPlan, named: Named<'_>) -> Result<LogicalPlan> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(naming(expr).is_some()))?;
            Ok(match found {
                true => TreeNodeRecursion::Stop,
                false => TreeNodeRecursion::Continue,
            })
        })
    })?;
    if !found {
        return Ok(plan);
    }
    plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            with_its_name(&names, expr, &mut |expr| {
                expr.transform_up(|expr| asking(expr, named))
            })
        })
    })
    .map(|plan| plan.data)
}

fn naming(expr: &Expr) -> Option<(RegType, Naming)> {
    match expr {
        Expr::ScalarFunction(call) => casts::of_names(&call.func),
        _ => None,
    }
}

/// The function that a cast is.
fn asking(expr: Expr, named: Named<'_>) -> Result<Transformed<Expr>> {
    let Some((of, naming)) = naming(&expr) else {
        return Ok(Transformed::no(expr));
    };
    let Expr::ScalarFunction(mut cast) = expr else {
        unreachable!("only a function is a cast of ours");
    };
    let name = match naming {
        Naming::Read => format!("{}_of", of.name()),
        Naming::Write => format!("{}_out", of.name()),
        Naming::ReadEach => format!("{}_of{LIST}", of.name()),
        Naming::WriteEach => format!("{}_out{LIST}", of.name()),
    };
    cast.func = named(&name)
        .ok_or_else(|| DataFusionError::Internal(format!("there is no function {name}")))?;
    Ok(Transformed::yes(Expr::ScalarFunction(cast)))
}

/// Whether values of a type, or their elements, are shown by names of the catalog.
pub(crate) fn is_named(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Reg(_) | ColumnType::Array(ElementType::Reg(_))
    )
}

/// Whether a function without overloads takes values of any type and writes them as text.
pub(super) fn writes_names(function: &str) -> bool {
    function.starts_with("json")
        || matches!(
            function,
            "to_json" | "to_jsonb" | "array_to_json" | "array_to_string"
        )
}

/// The type whose names a column of a result shows.
fn shown_type(field: &FieldRef) -> Option<ColumnType> {
    output::column_type(field).ok().filter(|ty| is_named(*ty))
}

/// The plan with its columns as `text::reg` has them: what a session is told.
pub(super) fn shown(
    plan: LogicalPlan,
    style: Style,
    named: Named<'_>,
) -> std::result::Result<LogicalPlan, crate::error::SqlError> {
    if !plan
        .schema()
        .fields()
        .iter()
        .any(|field| shown_type(field).is_some())
    {
        return Ok(plan);
    }
    let columns: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(table, field)| {
            let column = Expr::Column(Column::new(table.cloned(), field.name()));
            let Some(ty) = shown_type(field) else {
                return column;
            };
            let names = casts::as_text(column.clone(), ty, style);
            let shown = Shown {
                ty,
                signature: Signature::any(2, Volatility::Stable),
            };
            let shown = Arc::new(ScalarUDF::from(shown));
            call(shown, vec![names, column]).alias_qualified(table.cloned(), field.name())
        })
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .and_then(|plan| with_names(plan, named))
        .map_err(from_datafusion)
}

/// Puts names and their oids together.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shown {
    ty: ColumnType,
    signature: Signature,
}

impl ScalarUDFImpl for Shown {
    fn name(&self) -> &str {
        "pg_shown"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let names = args.arg_fields[0].data_type();
        Ok(Arc::new(output::of_names(self.name(), names, self.ty)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let (names, oids) = (&arrays[0], &arrays[1]);
        let DataType::List(item) = names.data_type() else {
            return Ok(ColumnarValue::Array(together(names, oids)));
        };
        let (names, oids) = (names.as_list::<i32>(), oids.as_list::<i32>());
        let list = ListArray::try_new(
            item.clone(),
            names.offsets().clone(),
            together(names.values(), &flat(oids)),
            names.nulls().cloned(),
        )?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}

/// The elements of all rows.
fn flat(list: &ListArray) -> ArrayRef {
    let (Some(first), Some(last)) = (list.offsets().first(), list.offsets().last()) else {
        return list.values().clone();
    };
    let (first, last) = (*first as usize, *last as usize);
    list.values().slice(first, last - first)
}

fn together(names: &ArrayRef, oids: &ArrayRef) -> ArrayRef {
    let (names, oids) = (names.as_string::<i32>(), oids.as_primitive::<Int64Type>());
    let mut shown = StringBuilder::new();
    for row in 0..names.len().min(oids.len()) {
        match names.is_null(row) || oids.is_null(row) {
            true => shown.append_null(),
            false => {
                let oid = u32::try_from(oids.value(row)).unwrap_or(0);
                shown.append_value(reg::shown(names.value(row), oid));
            }
        }
    }
    Arc::new(shown.finish())
}
