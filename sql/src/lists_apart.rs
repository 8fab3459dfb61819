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
use crate::volatile;

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
    let plan = match volatile::has_cases(&plan)? {
        true => rewritten(plan, volatile::computed_once)?,
        false => plan,
    };
    let plan = match has_lists_beside(&plan)? {
        true => rewritten(rewritten(plan, united)?, named)?,
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

/// Whether an expression of a node has lists beside each other, or what becomes one (`x = 1 OR x = 2`).
fn has_lists_beside(plan: &LogicalPlan) -> Result<bool> {
    let (mut lists, mut ors, mut ands) = (0, 0, 0);
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            match expr {
                Expr::InList(_) => lists += 1,
                Expr::BinaryExpr(binary) if binary.op == Operator::Or => ors += 1,
                Expr::BinaryExpr(binary) if binary.op == Operator::And => ands += 1,
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(lists > 1 || lists > 0 && ors > 0 || ors > 1 && ands > 0)
}

/// `x = 1 OR x = 2` as a list, as the simplifier makes it.
fn united(expr: Expr) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(binary) = &expr else {
        return Ok(Transformed::no(expr));
    };
    let (left, right) = (values(&binary.left), values(&binary.right));
    Ok(match (left, right) {
        (Some((of, mut values)), Some((other, more)))
            if binary.op == Operator::Or && of == other =>
        {
            values.extend(more);
            Transformed::yes(of.clone().in_list(values, false))
        }
        _ => Transformed::no(expr),
    })
}

/// The column that a condition gives some values, and these.
fn values(condition: &Expr) -> Option<(&Expr, Vec<Expr>)> {
    let (of, values) = match condition {
        Expr::InList(list) if !list.negated => (&*list.expr, list.list.clone()),
        Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
            match (&*binary.left, &*binary.right) {
                (value @ Expr::Literal(..), of) | (of, value) => (of, vec![value.clone()]),
            }
        }
        _ => return None,
    };
    let literals = |value: &Expr| matches!(value, Expr::Literal(..));
    (matches!(of, Expr::Column(_)) && values.iter().all(literals)).then_some((of, values))
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
