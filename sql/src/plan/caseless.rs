//! What may be done with citext, whose equal values may have different texts.
//!
//! Guarantees: where they would be compared by their texts, the statement is refused (0A000). They are compared and
//! sorted by what `order::sorted_by` makes of them; whatever is not known to be right is refused here.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::FieldMetadata;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, Operator};
use tidelog_storage::catalog::PG_TYPE_KEY;
use tidelog_storage::{ColumnType, ElementType, PrintedType};

use super::operators::{external, known_type};
use crate::error::SqlError;
use crate::output;

/// Functions that take a citext as the text that it is.
const OF_TEXT: [&str; 26] = [
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "coalesce",
    "concat",
    "concat_ws",
    "initcap",
    "left",
    "length",
    "lower",
    "lpad",
    "ltrim",
    "md5",
    "octet_length",
    "pg_cut",
    "pg_input",
    "pg_typed",
    "printed_order",
    "right",
    "rpad",
    "rtrim",
    "substr",
    "substring",
    "upper",
    "||",
];

fn is_caseless(ty: ColumnType) -> bool {
    const OF: PrintedType = PrintedType::Citext;
    matches!(
        ty,
        ColumnType::Printed(OF) | ColumnType::Array(ElementType::Printed(OF))
    )
}

fn holds(expr: &Expr, schema: &DFSchema) -> bool {
    known_type(expr, schema).is_some_and(is_caseless)
}

fn refused(what: &str) -> datafusion::error::DataFusionError {
    external(SqlError::unsupported(format!("{what} of type citext")))
}

/// Refuses what a plan's node does with citext that is not right for it. Its inputs have the columns of `schema`.
pub(super) fn check(plan: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    let has_column = schema.fields().iter().any(|field| {
        let ty = output::column_type(field);
        ty.is_ok_and(is_caseless)
    });
    if has_column {
        let whole = match plan {
            LogicalPlan::Distinct(Distinct::All(_)) => Some("DISTINCT over values"),
            LogicalPlan::Join(join) => (join.on.iter())
                .any(|(left, right)| holds(left, schema) || holds(right, schema))
                .then_some("a join by values"),
            LogicalPlan::Aggregate(aggregate) => (aggregate.group_expr.iter())
                .any(|expr| holds(expr, schema))
                .then_some("GROUP BY values"),
            LogicalPlan::Distinct(Distinct::On(distinct)) => (distinct.on_expr.iter())
                .any(|expr| holds(expr, schema))
                .then_some("DISTINCT ON values"),
            _ => None,
        };
        if let Some(whole) = whole {
            return Err(refused(whole));
        }
    }
    plan.apply_expressions(|expr| {
        if has_column || expr.exists(|leaf| Ok(names_caseless(leaf, schema)))? {
            expr.apply(|expr| {
                check_operands(expr, schema)?;
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// Whether an expression is a citext without a column being one.
fn names_caseless(leaf: &Expr, schema: &DFSchema) -> bool {
    let tagged = |metadata: &FieldMetadata| {
        let tag = metadata.inner().get(PG_TYPE_KEY);
        tag.is_some_and(|tag| tag.contains(PrintedType::Citext.name()))
    };
    match leaf {
        Expr::Literal(_, metadata) => metadata.as_ref().is_some_and(tagged),
        Expr::Cast(cast) => output::column_type(&cast.field).is_ok_and(is_caseless),
        Expr::ScalarSubquery(_) | Expr::OuterReferenceColumn(..) | Expr::Placeholder(_) => true,
        // What casts become.
        Expr::ScalarFunction(call) if matches!(call.name(), "pg_input" | "pg_cut" | "pg_typed") => {
            holds(leaf, schema)
        }
        Expr::InSubquery(_) | Expr::SetComparison(_) => true,
        _ => false,
    }
}

fn check_operands(expr: &Expr, schema: &DFSchema) -> Result<()> {
    let allowed = match expr {
        Expr::Alias(_) | Expr::Cast(_) | Expr::IsNull(_) | Expr::IsNotNull(_) => true,
        // A key of Sort, as which it is wrapped.
        Expr::ScalarFunction(call) => OF_TEXT.contains(&call.name()),
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        Expr::AggregateFunction(call) => call.func.name() == "count" && !call.params.distinct,
        Expr::Case(case) => match &case.expr {
            Some(base) => !holds(base, schema),
            None => true,
        },
        _ => false,
    };
    if allowed {
        return Ok(());
    }
    let mut found = false;
    expr.apply_children(|child| {
        found |= holds(child, schema);
        Ok(TreeNodeRecursion::Continue)
    })?;
    match found {
        true => Err(refused("this use of a value")),
        false => Ok(()),
    }
}
