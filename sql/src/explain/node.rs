//! A physical plan as PostgreSQL's plan nodes, as far as the two have the same.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};

use super::expr;
use super::scan;
use crate::evaluated_once::OnceExec;
use crate::in_turn::InTurnExec;
use crate::index_scan::{FirstRowsExec, IndexWalkExec};
use crate::lookup_join::LookupExec;
use crate::nullable_side::NullableSideExec;
use crate::row_by_row::RowByRowExec;
use crate::table_scan::{FoundExec, TableExec};
use crate::unseen::UnseenExec;

/// A node of a plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// `Seq Scan`, `Aggregate`, …
    pub(super) node_type: String,
    /// What is shown in place of it in the text form, where that differs (`Hash Left Join`).
    pub(super) text_type: Option<String>,
    /// What the other forms say of its kind (`Strategy`, `Join Type`, `Operation`).
    pub(super) kind: Vec<(&'static str, String)>,
    pub(super) relation: Option<Relation>,
    pub(super) index: Option<String>,
    /// `Forward` or `Backward`.
    pub(super) direction: Option<&'static str>,
    pub(super) output: Vec<String>,
    pub(super) details: Vec<(&'static str, Detail)>,
    pub(super) estimate: Estimate,
    /// `None` when it did not run.
    pub(super) actual: Option<Actual>,
    /// With their relationships (`Outer`, `Inner`, `Member`).
    pub(super) children: Vec<(&'static str, Node)>,
}

#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) schema: String,
    pub(super) name: String,
}

/// A property that is shown on a line of its own.
#[derive(Clone, Debug)]
pub(super) enum Detail {
    Text(String),
    List(Vec<String>),
    Number(u64),
}

/// What is expected. Costs are rows by a hundredth, PostgreSQL's unit of work on one; there is no planner behind them.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimate {
    pub(super) startup_cost: f64,
    pub(super) total_cost: f64,
    pub(super) rows: u64,
    pub(super) width: usize,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Actual {
    pub(super) startup_ms: f64,
    pub(super) total_ms: f64,
    pub(super) rows: u64,
}

/// The cost of a row that a node works on (PostgreSQL's `cpu_tuple_cost`).
const ROW_COST: f64 = 0.01;

impl Node {
    /// The line of the text form, as far as it names the node.
    pub(super) fn title(&self, verbose: bool) -> String {
        let mut out = self.text_type.as_ref().unwrap_or(&self.node_type).clone();
        if self.direction == Some("Backward") {
            out.push_str(" Backward");
        }
        if let Some(index) = &self.index {
            out.push_str(&format!(" using {}", crate::parse::identifier(index)));
        }
        if let Some(relation) = &self.relation {
            let name = crate::parse::identifier(&relation.name);
            match verbose {
                true => {
                    let schema = crate::parse::identifier(&relation.schema);
                    out.push_str(&format!(" on {schema}.{name}"));
                }
                false => out.push_str(&format!(" on {name}")),
            }
        }
        out
    }

    /// The node of a change that is made to a table's rows.
    pub(super) fn modify(operation: &str, relation: Relation, child: Option<Node>) -> Node {
        let estimate = child.as_ref().map(|child| Estimate {
            rows: 0,
            width: 0,
            ..child.estimate.clone()
        });
        Node {
            node_type: "ModifyTable".to_string(),
            text_type: Some(operation.to_string()),
            kind: vec![("Operation", operation.to_string())],
            relation: Some(relation),
            estimate: estimate.unwrap_or_default(),
            children: child.map(|child| ("Outer", child)).into_iter().collect(),
            ..Node::default()
        }
    }

    pub(super) fn of_type(node_type: &str) -> Node {
        Node {
            node_type: node_type.to_string(),
            ..Node::default()
        }
    }

    pub(super) fn detail(&mut self, name: &'static str, detail: Detail) {
        self.details.push((name, detail));
    }
}

/// When a plan began to run, in its own clock.
pub(super) type Began = chrono::DateTime<chrono::Utc>;

/// The nodes of a plan; with what was measured, when it was run.
pub(super) fn of_plan(plan: &Arc<dyn ExecutionPlan>, began: Option<Began>) -> Node {
    let mut node = structure(plan, began);
    if node.output.is_empty() {
        let schema = plan.schema();
        let names = schema
            .fields()
            .iter()
            .map(|field| crate::plan::shown(field.name()));
        node.output = names.map(crate::parse::identifier).collect();
    }
    node
}

fn structure(plan: &Arc<dyn ExecutionPlan>, began: Option<Began>) -> Node {
    let children = plan.children();
    let child = |at: usize| of_plan(children[at], began);
    if let Some(table) = plan.downcast_ref::<TableExec>() {
        let node = finish(scan::table(table, began.is_some()), plan, began);
        // A limit over one tier ends in it.
        return match table.fetch_of_one() {
            Some(fetch) => limited(node, fetch),
            None => node,
        };
    }
    if let Some(walk) = plan.downcast_ref::<IndexWalkExec>() {
        return finish(scan::walk(walk, began.is_some()), plan, began);
    }
    if let Some(found) = plan.downcast_ref::<FoundExec>() {
        return finish(scan::found(found), plan, began);
    }
    if let Some(first) = plan.downcast_ref::<FirstRowsExec>() {
        let took_scan = began.is_some() && first.scanned();
        return match took_scan {
            true => of_plan(&first.scan, began),
            false => of_plan(&first.walk, began),
        };
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let mut node = child(0);
        let came = node.actual.as_ref().map(|actual| actual.rows);
        let predicate = spelled_out(filter.predicate(), filter.input());
        if let Some(condition) = expr::condition(&predicate) {
            // What an index is asked for is not told twice.
            let asked = node.details.iter().any(|(name, detail)| {
                *name == "Index Cond" && matches!(detail, Detail::Text(text) if *text == condition)
            });
            if !asked {
                node.detail("Filter", Detail::Text(condition));
            }
        }
        node.estimate.rows = (node.estimate.rows / 3).max(1);
        node.output = Vec::new();
        measure(&mut node, plan, began);
        if let (Some(came), Some(actual)) = (came, &node.actual) {
            let removed = came.saturating_sub(actual.rows);
            node.detail("Rows Removed by Filter", Detail::Number(removed));
        }
        return match filter.fetch() {
            Some(fetch) => limited(node, fetch),
            None => node,
        };
    }
    if plan.downcast_ref::<ProjectionExec>().is_some() {
        let mut node = child(0);
        let projection = plan
            .downcast_ref::<ProjectionExec>()
            .map(|node| node.expr());
        let exprs = projection.unwrap_or_default().iter();
        node.output = exprs.map(|output| expr::text(&output.expr)).collect();
        return node;
    }
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        let mut node = Node::of_type("Sort");
        let keys = sort.expr().iter().map(expr::sort_key).collect();
        node.detail("Sort Key", Detail::List(keys));
        if began.is_some() {
            let method = match sort.fetch() {
                Some(_) => "top-N heapsort",
                None => "quicksort",
            };
            node.detail("Sort Method", Detail::Text(method.to_string()));
        }
        node.children.push(("Outer", child(0)));
        let mut node = finish(node, plan, began);
        blocks(&mut node);
        return match sort.fetch() {
            Some(fetch) => limited(node, fetch),
            None => node,
        };
    }
    if let Some(limit) = plan.downcast_ref::<GlobalLimitExec>() {
        let node = child(0);
        let rows = limit.fetch().map_or(u64::MAX, |fetch| fetch as u64);
        let mut node = match node.node_type.as_str() {
            "Limit" => node,
            _ => limited(node, usize::MAX),
        };
        node.estimate.rows = node
            .estimate
            .rows
            .saturating_sub(limit.skip() as u64)
            .min(rows);
        measure(&mut node, plan, began);
        return node;
    }
    if let Some(limit) = plan.downcast_ref::<LocalLimitExec>() {
        return limited(child(0), limit.fetch());
    }
    if let Some(gathered) = plan.downcast_ref::<CoalescePartitionsExec>() {
        let node = child(0);
        return match gathered.fetch() {
            Some(fetch) => limited(node, fetch),
            None => node,
        };
    }
    if let Some(lookup) = plan.downcast_ref::<LookupExec>() {
        return finish(scan::lookup(lookup, began.is_some()), plan, began);
    }
    if plan.is::<InTurnExec>()
        || plan.is::<RowByRowExec>()
        || plan.is::<UnseenExec>()
        || plan.is::<OnceExec>()
        || plan.is::<NullableSideExec>()
    {
        return child(0);
    }
    if let Some(merge) = plan.downcast_ref::<SortPreservingMergeExec>() {
        let node = child(0);
        return match merge.fetch() {
            Some(fetch) => {
                let mut node = limited(node, fetch);
                measure(&mut node, plan, began);
                node
            }
            None => node,
        };
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        return self::aggregate(aggregate, plan, began);
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let on = join.on().iter();
        let on: Vec<String> = on
            .map(|(left, right)| format!("({} = {})", expr::text(right), expr::text(left)))
            .collect();
        // PostgreSQL builds its table of the inner side, DataFusion of the left one.
        let mut node = self::join("Hash", "Hash Join", turned(*join.join_type()));
        node.detail("Hash Cond", Detail::Text(all_of(on)));
        join_filter(&mut node, join.filter());
        let mut hash = Node::of_type("Hash");
        let built = child(0);
        hash.estimate = built.estimate.clone();
        hash.estimate.startup_cost = hash.estimate.total_cost;
        hash.actual = built.actual.clone();
        hash.output = built.output.clone();
        hash.children.push(("Outer", built));
        node.children.push(("Outer", child(1)));
        node.children.push(("Inner", hash));
        return finish(node, plan, began);
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        let on = join.on().iter();
        let on: Vec<String> = on
            .map(|(left, right)| format!("({} = {})", expr::text(left), expr::text(right)))
            .collect();
        let mut node = self::join("Merge", "Merge Join", join.join_type());
        node.detail("Merge Cond", Detail::Text(all_of(on)));
        join_filter(&mut node, join.filter().as_ref());
        node.children.push(("Outer", child(0)));
        node.children.push(("Inner", child(1)));
        return finish(node, plan, began);
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let mut node = self::join("Nested Loop", "Nested Loop", *join.join_type());
        join_filter(&mut node, join.filter());
        node.children.push(("Outer", child(0)));
        node.children.push(("Inner", child(1)));
        return finish(node, plan, began);
    }
    if plan.downcast_ref::<CrossJoinExec>().is_some() {
        let mut node = self::join("Nested Loop", "Nested Loop", JoinType::Inner);
        node.children.push(("Outer", child(0)));
        node.children.push(("Inner", child(1)));
        return finish(node, plan, began);
    }
    if plan.downcast_ref::<UnionExec>().is_some() || plan.downcast_ref::<InterleaveExec>().is_some()
    {
        let mut node = Node::of_type("Append");
        node.children = (0..children.len())
            .map(|at| ("Member", child(at)))
            .collect();
        return finish(node, plan, began);
    }
    if plan.downcast_ref::<PlaceholderRowExec>().is_some() {
        let mut node = Node::of_type("Result");
        node.estimate.rows = 1;
        return finish(node, plan, began);
    }
    if plan.downcast_ref::<EmptyExec>().is_some() {
        let mut node = Node::of_type("Result");
        node.detail("One-Time Filter", Detail::Text("false".to_string()));
        return finish(node, plan, began);
    }
    if plan.downcast_ref::<DataSourceExec>().is_some() {
        return finish(Node::of_type("Values Scan"), plan, began);
    }
    let name = match plan.name() {
        "WindowAggExec" | "BoundedWindowAggExec" => "WindowAgg",
        "RecursiveQueryExec" => "Recursive Union",
        "WorkTableExec" => "WorkTable Scan",
        "UnnestExec" => "ProjectSet",
        "LazyMemoryExec" => "Function Scan",
        // What moves rows from thread to thread is no node of PostgreSQL's.
        _ if children.len() == 1 => return child(0),
        other => other.trim_end_matches("Exec"),
    };
    let mut node = Node::of_type(name);
    let relations = ["Outer", "Inner"]
        .into_iter()
        .chain(std::iter::repeat("Member"));
    node.children = relations.zip((0..children.len()).map(child)).collect();
    finish(node, plan, began)
}

fn aggregate(
    aggregate: &AggregateExec,
    plan: &Arc<dyn ExecutionPlan>,
    began: Option<Began>,
) -> Node {
    let input = of_plan(aggregate.input(), began);
    // The two halves of an aggregate are one node.
    if matches!(aggregate.mode(), AggregateMode::Partial) {
        return input;
    }
    let groups = aggregate.group_expr().expr();
    let mut node = Node::of_type("Aggregate");
    let strategy = if groups.is_empty() { "Plain" } else { "Hashed" };
    if !groups.is_empty() {
        node.text_type = Some("HashAggregate".to_string());
        let keys = groups.iter().map(|(group, _)| expr::text(group)).collect();
        node.detail("Group Key", Detail::List(keys));
    }
    node.kind = vec![
        ("Strategy", strategy.to_string()),
        ("Partial Mode", "Simple".to_string()),
    ];
    let rows = match groups.is_empty() {
        true => 1,
        false => (input.estimate.rows / 10).max(1),
    };
    node.children.push(("Outer", input));
    let mut node = finish(node, plan, began);
    node.estimate.rows = rows;
    blocks(&mut node);
    node
}

/// A condition of several.
pub(super) fn all_of(conditions: Vec<String>) -> String {
    match conditions.as_slice() {
        [one] => one.clone(),
        many => format!("({})", many.join(" AND ")),
    }
}

fn join(method: &str, node_type: &str, join_type: JoinType) -> Node {
    let name = match join_type {
        JoinType::Inner => "Inner",
        JoinType::Left => "Left",
        JoinType::Right => "Right",
        JoinType::Full => "Full",
        JoinType::LeftSemi | JoinType::LeftMark => "Semi",
        JoinType::LeftAnti => "Anti",
        JoinType::RightSemi | JoinType::RightMark => "Right Semi",
        JoinType::RightAnti => "Right Anti",
    };
    let mut node = Node::of_type(node_type);
    node.kind = vec![("Join Type", name.to_string())];
    if name != "Inner" {
        node.text_type = Some(format!("{method} {name} Join"));
    }
    node
}

/// The join of the same rows with its sides exchanged.
fn turned(join_type: JoinType) -> JoinType {
    join_type.swap()
}

fn join_filter(node: &mut Node, filter: Option<&JoinFilter>) {
    if let Some(condition) = filter.and_then(|filter| expr::condition(filter.expression())) {
        node.detail("Join Filter", Detail::Text(condition));
    }
}

/// The node under a limit, which takes the place of a wider one.
fn limited(node: Node, fetch: usize) -> Node {
    let fetch = fetch as u64;
    let mut limit = match node.node_type.as_str() {
        "Limit" => node,
        _ => Node {
            estimate: node.estimate.clone(),
            actual: node.actual.clone(),
            output: node.output.clone(),
            children: vec![("Outer", node)],
            ..Node::of_type("Limit")
        },
    };
    let rows = limit.estimate.rows;
    limit.estimate.rows = rows.min(fetch);
    if let Some(actual) = &mut limit.actual {
        actual.rows = actual.rows.min(fetch);
    }
    limit
}

/// What gives nothing before it has read everything.
fn blocks(node: &mut Node) {
    let read: f64 = node
        .children
        .iter()
        .map(|(_, child)| child.estimate.total_cost)
        .sum();
    node.estimate.startup_cost = read;
    node.estimate.total_cost = read + node.estimate.rows as f64 * ROW_COST;
}

/// Adds what is expected of a node and what was measured.
fn finish(mut node: Node, plan: &Arc<dyn ExecutionPlan>, began: Option<Began>) -> Node {
    let width =
        |field: &Arc<arrow::datatypes::Field>| field.data_type().primitive_width().unwrap_or(32);
    node.estimate.width = plan.schema().fields().iter().map(width).sum();
    let inputs = node.children.iter().map(|(_, child)| &child.estimate);
    let (cost, rows) = inputs.fold((0.0, 0), |(cost, rows), input| {
        let rows = match node.node_type.as_str() {
            "Append" => rows + input.rows,
            _ => input.rows.max(rows),
        };
        (cost + input.total_cost, rows)
    });
    if !node.children.is_empty() {
        node.estimate.rows = rows;
    }
    node.estimate.total_cost = cost + node.estimate.rows as f64 * ROW_COST;
    measure(&mut node, plan, began);
    node
}

/// Adds what was measured of a plan, if anything was.
fn measure(node: &mut Node, plan: &Arc<dyn ExecutionPlan>, began: Option<Began>) {
    let Some(began) = began else {
        return;
    };
    let metrics = plan.metrics().unwrap_or_default();
    let since = |moment: chrono::DateTime<chrono::Utc>| {
        (moment - began)
            .to_std()
            .unwrap_or(Duration::ZERO)
            .as_secs_f64()
            * 1000.0
    };
    let children = node
        .children
        .iter()
        .filter_map(|(_, child)| child.actual.as_ref());
    let (mut first, mut last) = (f64::MAX, 0.0_f64);
    for child in children {
        first = first.min(child.startup_ms);
        last = last.max(child.total_ms);
    }
    for metric in metrics.iter() {
        match metric.value() {
            MetricValue::StartTimestamp(at) => {
                first = at.value().map_or(first, |at| first.min(since(at)));
            }
            MetricValue::EndTimestamp(at) => {
                last = at.value().map_or(last, |at| last.max(since(at)));
            }
            _ => {}
        }
    }
    let ran = node
        .children
        .iter()
        .any(|(_, child)| child.actual.is_some());
    let Some(rows) = metrics.output_rows() else {
        if ran && node.actual.is_none() {
            let rows = node
                .children
                .iter()
                .filter_map(|(_, child)| child.actual.as_ref());
            node.actual = Some(Actual {
                startup_ms: first.min(last),
                total_ms: last,
                rows: rows.map(|actual| actual.rows).sum(),
            });
        }
        return;
    };
    let before = node.actual.take().unwrap_or_default();
    let total_ms = last.max(before.total_ms);
    node.actual = Some(Actual {
        startup_ms: first.min(total_ms),
        total_ms,
        rows: rows as u64,
    });
}

/// The sum of a counter over the parts of a node.
pub(super) fn counted(metrics: &MetricsSet, name: &str) -> u64 {
    let counts = metrics.iter().map(|metric| match metric.value() {
        MetricValue::Count { name: of, count } if of == name => count.value() as u64,
        _ => 0,
    });
    counts.sum()
}

/// How many of something were ruled out, and how many were not.
pub(super) fn pruned(metrics: &MetricsSet, name: &str) -> (u64, u64) {
    let counts = metrics.iter().map(|metric| match metric.value() {
        MetricValue::PruningMetrics {
            name: of,
            pruning_metrics,
        } if of == name => (
            pruning_metrics.pruned() as u64,
            pruning_metrics.matched() as u64,
        ),
        _ => (0, 0),
    });
    counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

/// A condition with what a projection below computes once for all of its places.
fn spelled_out(
    condition: &Arc<dyn PhysicalExpr>,
    input: &Arc<dyn ExecutionPlan>,
) -> Arc<dyn PhysicalExpr> {
    let Some(projection) = input.downcast_ref::<ProjectionExec>() else {
        return Arc::clone(condition);
    };
    let computed = |expr: Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>();
        let column = column.filter(|column| column.name().starts_with("__common_expr"));
        let found = column.and_then(|column| projection.expr().get(column.index()));
        Ok(match found {
            Some(found) => Transformed::yes(Arc::clone(&found.expr)),
            None => Transformed::no(expr),
        })
    };
    let spelled_out = Arc::clone(condition).transform_up(computed);
    spelled_out.map_or_else(|_| Arc::clone(condition), |spelled_out| spelled_out.data)
}
