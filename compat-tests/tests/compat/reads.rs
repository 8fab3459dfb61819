//! Reading both tiers: what is not read, and that the answers stay PostgreSQL's.

#[path = "reads/explain.rs"]
mod explain;
#[path = "reads/pruning.rs"]
mod pruning;
#[path = "reads/random.rs"]
mod random;

use serde_json::Value;
use tidelog_compat_tests::Peer;

/// The node of `EXPLAIN (ANALYZE, FORMAT JSON)` that reads a table.
#[track_caller]
fn reads(peer: &Peer, query: &str) -> Value {
    let plan = peer.value(&format!("EXPLAIN (ANALYZE, FORMAT JSON) {query}"));
    let plan: Value = serde_json::from_str(&plan).unwrap_or_else(|error| panic!("{plan}: {error}"));
    let found = reader(&plan[0]["Plan"]).cloned();
    found.unwrap_or_else(|| panic!("{query} reads no table: {plan}"))
}

fn reader(node: &Value) -> Option<&Value> {
    if node["Relation Name"].is_string() && node["Node Type"] != "ModifyTable" {
        return Some(node);
    }
    node["Plans"].as_array()?.iter().find_map(reader)
}

fn count(node: &Value, name: &str) -> u64 {
    node[name].as_u64().unwrap_or(0)
}
