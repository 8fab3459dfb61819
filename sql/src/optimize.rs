//! Rules of ours among DataFusion's.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::EvaluationType;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};

use crate::arithmetic;
use crate::ordered::ReadInOrder;

/// Makes integer arithmetic fail where it would wrap around, after DataFusion has made the operands' types agree.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = DFSchema::empty();
            for input in plan.inputs() {
                schema.merge(input.schema());
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|expr| {
                    Ok(match expr {
                        Expr::BinaryExpr(binary) => arithmetic::rewrite(binary, &schema),
                        other => Transformed::no(other),
                    })
                })?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .map(|plan| plan.data)
    }
}

/// DataFusion's rules for physical plans with ours among them.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    // When limits have reached the sorts, and before the sorts' dynamic filters are handed down.
    let at = rules.iter().position(|rule| rule.name() == "PushdownSort");
    rules.insert(at.unwrap_or(rules.len()), Arc::new(ReadInOrder));
    // Behind what spreads rows.
    let spreads = rules
        .iter()
        .position(|rule| rule.name() == "EnsureRequirements");
    rules.insert(
        spreads.map_or(rules.len(), |at| at + 1),
        Arc::new(ValuesInOrder),
    );
    rules.push(Arc::new(YieldingJoins));
    rules
}

/// Leaves rows that the statement itself makes (series, VALUES, elements of arrays) in one stream: they come in the
/// order in which they are made, as in PostgreSQL, and nothing has to be read for them that several could read faster.
#[derive(Debug)]
struct ValuesInOrder;

impl PhysicalOptimizerRule for ValuesInOrder {
    fn name(&self) -> &str {
        "values_in_order"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let spread = node.downcast_ref::<RepartitionExec>().filter(|spread| {
                matches!(spread.partitioning(), Partitioning::RoundRobinBatch(_))
                    && reads_nothing(spread.input())
            });
            Ok(match spread {
                Some(spread) => Transformed::yes(spread.input().clone()),
                None => Transformed::no(node),
            })
        })
        .map(|plan| plan.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether all rows are made in memory.
fn reads_nothing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let children = plan.children();
    if !children.is_empty() {
        return children.into_iter().all(reads_nothing);
    }
    let is_memory = |source: &DataSourceExec| source.data_source().is::<MemorySourceConfig>();
    plan.is::<LazyMemoryExec>()
        || plan.is::<PlaceholderRowExec>()
        || plan.downcast_ref::<DataSourceExec>().is_some_and(is_memory)
}

/// Lets what multiplies rows yield. DataFusion makes leaves yield, but a join turns one batch of a leaf into
/// millions, and until it asks for the next no cancel would reach the query.
#[derive(Debug)]
pub(crate) struct YieldingJoins;

impl PhysicalOptimizerRule for YieldingJoins {
    fn name(&self) -> &str {
        "yielding_joins"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let joins = node.children().len() > 1
                && node.properties().evaluation_type == EvaluationType::Lazy;
            Ok(if joins {
                Transformed::yes(Arc::new(CooperativeExec::new(node)))
            } else {
                Transformed::no(node)
            })
        })
        .map(|plan| plan.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
