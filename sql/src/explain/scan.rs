//! The nodes that read tables, and what they read of each tier.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::metrics::MetricsSet;
use tidelog_storage::TableDef;
use tidelog_storage::catalog::IndexId;
use tidelog_storage::snapshot::IndexRange;

use super::node::{Detail, Node, Relation, all_of, counted, pruned};
use crate::cold_scan::{ColdExec, DEAD_ROWS};
use crate::hot_scan::HotExec;
use crate::index_scan::{COLD_ROWS, IndexWalkExec};
use crate::lookup_join::LookupExec;
use crate::table_scan::{Found, FoundExec, TableExec};

impl Relation {
    pub(super) fn of(table: &TableDef) -> Relation {
        Relation {
            schema: table.schema.clone(),
            name: table.name.clone(),
        }
    }
}

/// The name of a key or index.
fn index_name(table: &TableDef, id: IndexId) -> String {
    let secondary = table.indexes.iter().find(|index| index.id == id);
    secondary
        .map_or(&table.primary_key_name, |index| &index.name)
        .clone()
}

/// A scan of both tiers.
pub(super) fn table(table: &TableExec, ran: bool) -> Node {
    let scanned = &table.scanned;
    let mut node = Node::of_type("Seq Scan");
    node.relation = Some(Relation::of(&scanned.table));
    node.estimate.rows = scanned.rows.max(1);
    let files = scanned.files;
    let mut number = |name, number: u64| node.detail(name, Detail::Number(number));
    if !ran {
        number("Cold Files", files.considered as u64);
        number("Cold Files Pruned", files.pruned as u64);
        return node;
    }
    let mut read = TierReads {
        files: files.considered as u64,
        files_pruned: files.pruned as u64,
        ..TierReads::default()
    };
    for tier in table.children() {
        // DataFusion lets leaves yield by a node around them.
        let tier = match tier.downcast_ref::<CooperativeExec>() {
            Some(yielding) => yielding.input(),
            None => tier,
        };
        if tier.downcast_ref::<HotExec>().is_some() {
            read.hot += tier
                .metrics()
                .and_then(|metrics| metrics.output_rows())
                .unwrap_or(0) as u64;
        } else if tier.downcast_ref::<ColdExec>().is_some() {
            read.add_cold(tier);
        }
    }
    number("Hot Rows", read.hot);
    number("Cold Files", read.files);
    number("Cold Files Pruned", read.files_pruned);
    number("Cold Row Groups", read.groups);
    number("Cold Row Groups Pruned", read.groups_pruned);
    number("Cold Pages", read.pages);
    number("Cold Pages Pruned", read.pages_pruned);
    number("Cold Rows", read.cold);
    number("Cold Bytes Read", read.bytes);
    number("Rows Removed by Dead Set", read.dead);
    let rows = read.hot + read.cold - read.dead;
    node.actual = Some(super::node::Actual {
        rows,
        ..Default::default()
    });
    node
}

#[derive(Default)]
struct TierReads {
    hot: u64,
    files: u64,
    files_pruned: u64,
    groups: u64,
    groups_pruned: u64,
    pages: u64,
    pages_pruned: u64,
    cold: u64,
    bytes: u64,
    dead: u64,
}

impl TierReads {
    fn add_cold(&mut self, tier: &Arc<dyn ExecutionPlan>) {
        self.dead += tier
            .metrics()
            .map_or(0, |metrics| counted(&metrics, DEAD_ROWS));
        let children = tier.children();
        let Some(metrics) = children.first().and_then(|files| files.metrics()) else {
            return;
        };
        self.cold += metrics.output_rows().unwrap_or(0) as u64;
        self.bytes += counted(&metrics, "bytes_scanned");
        self.files_pruned += pruned(&metrics, "files_ranges_pruned_statistics").0;
        let (by_statistics, left) = pruned(&metrics, "row_groups_pruned_statistics");
        let by_bloom = pruned(&metrics, "row_groups_pruned_bloom_filter").0;
        let while_running = counted(&metrics, "row_groups_pruned_dynamic_filter");
        let by_limit = pruned(&metrics, "limit_pruned_row_groups").0;
        self.groups += by_statistics + left;
        self.groups_pruned += by_statistics + by_bloom + while_running + by_limit;
        let (pages, pages_left) = pruned(&metrics, "page_index_pages_pruned");
        self.pages += pages + pages_left;
        self.pages_pruned += pages;
    }
}

/// A walk through an index.
pub(super) fn walk(walk: &IndexWalkExec, ran: bool) -> Node {
    let table = &walk.scanned.table;
    let mut node = Node::of_type("Index Scan");
    node.relation = Some(Relation::of(table));
    let ranges = std::slice::from_ref(&walk.walk.range);
    node.index = Some(index_name(table, walk.walk.range.index));
    node.direction = Some(match walk.walk.backward {
        true => "Backward",
        false => "Forward",
    });
    node.estimate.rows = walk.scanned.rows.max(1);
    if let Some(condition) = index_condition(table, ranges, &walk.scanned.filters) {
        node.detail("Index Cond", Detail::Text(condition));
    }
    if ran && let Some(metrics) = walk.metrics() {
        read(&mut node, &metrics);
    }
    node
}

/// Rows of a table that are looked up by those of the other side of a join.
pub(super) fn lookup(lookup: &LookupExec, ran: bool) -> Node {
    let table = &lookup.scanned.table;
    let mut node = Node::of_type("Index Scan");
    node.relation = Some(Relation::of(table));
    node.index = Some(index_name(table, lookup.key));
    node.direction = Some("Forward");
    node.estimate.rows = 1;
    let key = table.unique_key(lookup.key);
    let columns = key.iter().flat_map(|key| key.columns);
    let names = columns.filter_map(|id| Some(&table.columns[table.index_of(*id)?].name));
    let equal = names.zip(&lookup.values);
    let equal = equal.map(|(name, value)| {
        let name = crate::parse::identifier(name);
        format!("({name} = {})", super::expr::text(value))
    });
    node.detail("Index Cond", Detail::Text(all_of(equal.collect())));
    if ran && let Some(metrics) = lookup.metrics() {
        read(&mut node, &metrics);
    }
    node
}

/// How many rows came from each tier.
fn read(node: &mut Node, metrics: &MetricsSet) {
    let cold = counted(metrics, COLD_ROWS);
    let hot = (metrics.output_rows().unwrap_or(0) as u64).saturating_sub(cold);
    node.detail("Hot Rows", Detail::Number(hot));
    node.detail("Cold Rows", Detail::Number(cold));
}

/// The filters that leave these parts of indexes.
fn index_condition(table: &TableDef, ranges: &[IndexRange], filters: &[Expr]) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for range in ranges {
        let secondary = table.indexes.iter().find(|index| index.id == range.index);
        let columns = secondary.map_or(&table.primary_key, |index| &index.columns);
        for id in columns.iter().take(range.equal.len() + 1) {
            let name = table
                .index_of(*id)
                .map(|at| table.columns[at].name.as_str());
            names.extend(name.filter(|name| !names.contains(name)));
        }
    }
    let on_index = |filter: &&Expr| {
        let columns = filter.column_refs();
        !columns.is_empty()
            && columns
                .iter()
                .all(|column| names.contains(&column.name.as_str()))
    };
    condition(table, filters.iter().filter(on_index))
}

/// Logical filters on a table's columns as one condition.
fn condition<'a>(table: &TableDef, filters: impl Iterator<Item = &'a Expr>) -> Option<String> {
    let filter = conjunction(filters.cloned())?;
    let schema = datafusion::common::DFSchema::try_from(table.arrow_schema()).ok()?;
    let properties = datafusion::logical_expr::execution_props::ExecutionProps::new();
    let context =
        datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext::default();
    let planner =
        datafusion::physical_expr::create_physical_expr(&filter, &schema, &properties, &context);
    planner
        .ok()
        .and_then(|filter| super::expr::condition(&filter))
}

/// Rows that were found before the plan ran.
pub(super) fn found(exec: &FoundExec) -> Node {
    match &exec.found {
        Found::Index {
            table,
            ranges,
            filters,
            hot,
            cold,
        } => {
            let mut node = Node::of_type("Index Scan");
            node.relation = Some(Relation::of(table));
            let mut indexes: Vec<IndexId> = ranges.iter().map(|range| range.index).collect();
            indexes.dedup();
            let names = indexes.into_iter().map(|id| index_name(table, id));
            node.index = Some(names.collect::<Vec<_>>().join(", "));
            node.direction = Some("Forward");
            node.estimate.rows = (*hot + *cold).max(1) as u64;
            if let Some(condition) = index_condition(table, ranges, filters) {
                node.detail("Index Cond", Detail::Text(condition));
            }
            node.detail("Hot Rows", Detail::Number(*hot as u64));
            node.detail("Cold Rows", Detail::Number(*cold as u64));
            node
        }
        Found::Relation { schema, name, rows } => {
            let mut node = Node::of_type("Seq Scan");
            node.estimate.rows = (*rows).max(1) as u64;
            node.relation = Some(Relation {
                schema: schema.clone(),
                name: name.clone(),
            });
            node
        }
    }
}
