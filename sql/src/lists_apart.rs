//! Lists of values beside each other: DataFusion's simplifier makes one list of `x IN (…) AND x NOT IN (…)` and the like, as if no
//! value of theirs, nor `x`, could be NULL, and as if equal values looked equal. What a list is of gets a name of its own
//! for as long as it simplifies, so that it takes no two lists for lists of one thing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{Alias, Cast, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::optimize::with_its_name;

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

const NAME: &str = "\0list";

/// As the rule that simplifies expressions does it.
pub(crate) fn simplified(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let named = |expr| {
        Ok(match expr {
            Expr::InList(list) => Transformed::yes(apart(list)),
            other => Transformed::no(other),
        })
    };
    let plan = match has_lists_beside(&plan)? {
        true => rewritten(plan, named)?,
        false => plan,
    };
    let made = rule.rewrite(plan, config)?;
    match has_names(&made.data)? {
        true => made.map_data(|plan| rewritten(plan, bare)),
        false => Ok(made),
    }
}

/// A list of something that has a name of its own.
pub(crate) fn apart(mut list: InList) -> Expr {
    static LISTS: AtomicUsize = AtomicUsize::new(0);
    let number = LISTS.fetch_add(1, Ordering::Relaxed);
    list.expr = Box::new(named(*list.expr, number));
    Expr::InList(list)
}

/// An expression without such a name, if it is one.
pub(crate) fn bare(expr: Expr) -> Result<Transformed<Expr>> {
    Ok(match expr {
        Expr::Alias(Alias { expr, name, .. }) if name.starts_with(NAME) => Transformed::yes(*expr),
        other => Transformed::no(other),
    })
}

fn has_names(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| {
            Ok(matches!(expr, Expr::Alias(alias) if alias.name.starts_with(NAME)))
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// Whether an expression of a node has lists beside each other, or one beside what becomes a list (`x = 1 OR x = 2`).
fn has_lists_beside(plan: &LogicalPlan) -> Result<bool> {
    let (mut lists, mut may_become) = (0, false);
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            lists += usize::from(matches!(expr, Expr::InList(_)));
            may_become |= matches!(expr, Expr::BinaryExpr(binary) if binary.op == Operator::Or);
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(lists > 1 || lists > 0 && may_become)
}

/// The expression of a list under its name; casts stay outside, since DataFusion takes them to the values.
fn named(expr: Expr, list: usize) -> Expr {
    match expr {
        Expr::Cast(Cast { expr, field }) => Expr::Cast(Cast {
            expr: Box::new(named(*expr, list)),
            field,
        }),
        other => other.alias(format!("{NAME}{list}")),
    }
}

fn rewritten(
    plan: LogicalPlan,
    rewrite: fn(Expr) -> Result<Transformed<Expr>>,
) -> Result<LogicalPlan> {
    let names = NamePreserver::new(&plan);
    let plan = plan.map_expressions(|expr| {
        with_its_name(&names, expr, &mut |expr| expr.transform_up(rewrite))
    })?;
    Ok(plan.data)
}
