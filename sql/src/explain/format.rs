//! The four forms of a plan that PostgreSQL knows.

use serde_json::{Map, Value, json};

use super::Options;
use super::node::{Detail, Node};

/// A plan with what was measured around it.
pub(super) struct Explained {
    pub(super) plan: Node,
    pub(super) planning_ms: f64,
    pub(super) execution_ms: f64,
}

/// The lines of the text form.
pub(super) fn text(explained: &Explained, options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    text_node(&explained.plan, options, 0, &mut lines);
    if options.summary {
        lines.push(format!("Planning Time: {:.3} ms", explained.planning_ms));
        if options.analyze {
            lines.push(format!("Execution Time: {:.3} ms", explained.execution_ms));
        }
    }
    lines
}

fn text_node(node: &Node, options: &Options, level: usize, lines: &mut Vec<String>) {
    let lead = match level {
        0 => String::new(),
        level => format!("{}->  ", " ".repeat(2 + 6 * (level - 1))),
    };
    let mut line = format!("{lead}{}", node.title(options.verbose));
    if options.costs {
        let estimate = &node.estimate;
        line.push_str(&format!(
            "  (cost={:.2}..{:.2} rows={} width={})",
            estimate.startup_cost, estimate.total_cost, estimate.rows, estimate.width
        ));
    }
    if options.analyze {
        match &node.actual {
            Some(actual) if options.timing => line.push_str(&format!(
                " (actual time={:.3}..{:.3} rows={} loops=1)",
                actual.startup_ms, actual.total_ms, actual.rows
            )),
            Some(actual) => line.push_str(&format!(" (actual rows={} loops=1)", actual.rows)),
            None => line.push_str(" (never executed)"),
        }
    }
    lines.push(line);
    let indent = " ".repeat(2 + 6 * level);
    if options.verbose && !node.output.is_empty() {
        lines.push(format!("{indent}Output: {}", node.output.join(", ")));
    }
    for (name, detail) in &node.details {
        let value = match detail {
            Detail::Text(text) => text.clone(),
            Detail::List(items) => items.join(", "),
            Detail::Number(0) => continue,
            Detail::Number(number) => number.to_string(),
        };
        lines.push(format!("{indent}{name}: {value}"));
    }
    for (_, child) in &node.children {
        text_node(child, options, level + 1, lines);
    }
}

/// The tree that the other forms write down.
fn tree(explained: &Explained, options: &Options) -> Value {
    let mut query = Map::new();
    query.insert(
        "Plan".to_string(),
        tree_node(&explained.plan, options, None),
    );
    if options.summary {
        let rounded = |ms: f64| json!((ms * 1000.0).round() / 1000.0);
        query.insert("Planning Time".to_string(), rounded(explained.planning_ms));
        if options.analyze {
            query.insert("Triggers".to_string(), json!([]));
            query.insert(
                "Execution Time".to_string(),
                rounded(explained.execution_ms),
            );
        }
    }
    Value::Object(query)
}

fn tree_node(node: &Node, options: &Options, relationship: Option<&str>) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_string(), value);
    put("Node Type", json!(node.node_type));
    for (name, value) in &node.kind {
        put(name, json!(value));
    }
    if let Some(relationship) = relationship {
        put("Parent Relationship", json!(relationship));
    }
    put("Parallel Aware", json!(false));
    put("Async Capable", json!(false));
    if let Some(direction) = node.direction {
        put("Scan Direction", json!(direction));
    }
    if let Some(index) = &node.index {
        put("Index Name", json!(index));
    }
    if let Some(relation) = &node.relation {
        put("Relation Name", json!(relation.name));
        if options.verbose {
            put("Schema", json!(relation.schema));
        }
        put("Alias", json!(relation.name));
    }
    if options.costs {
        let estimate = &node.estimate;
        let cost = |cost: f64| json!((cost * 100.0).round() / 100.0);
        put("Startup Cost", cost(estimate.startup_cost));
        put("Total Cost", cost(estimate.total_cost));
        put("Plan Rows", json!(estimate.rows));
        put("Plan Width", json!(estimate.width));
    }
    if options.analyze {
        let ms = |ms: f64| json!((ms * 1000.0).round() / 1000.0);
        let never = Default::default();
        let actual = node.actual.as_ref().unwrap_or(&never);
        if options.timing {
            put("Actual Startup Time", ms(actual.startup_ms));
            put("Actual Total Time", ms(actual.total_ms));
        }
        put("Actual Rows", json!(actual.rows));
        put("Actual Loops", json!(u8::from(node.actual.is_some())));
    }
    if options.verbose && !node.output.is_empty() {
        put("Output", json!(node.output));
    }
    for (name, detail) in &node.details {
        put(
            name,
            match detail {
                Detail::Text(text) => json!(text),
                Detail::List(items) => json!(items),
                Detail::Number(number) => json!(number),
            },
        );
    }
    if !node.children.is_empty() {
        let children = node.children.iter();
        let plans: Vec<Value> = children
            .map(|(relationship, child)| tree_node(child, options, Some(relationship)))
            .collect();
        put("Plans", Value::Array(plans));
    }
    Value::Object(out)
}

/// The JSON form.
pub(super) fn json(explained: &Explained, options: &Options) -> String {
    let queries = json!([tree(explained, options)]);
    serde_json::to_string_pretty(&queries).expect("a tree of texts and numbers has a JSON form")
}

/// The YAML form.
pub(super) fn yaml(explained: &Explained, options: &Options) -> String {
    let mut out = String::new();
    if let Value::Object(query) = tree(explained, options) {
        yaml_fields(&query, 1, true, &mut out);
    }
    out.trim_end().to_string()
}

fn yaml_fields(fields: &Map<String, Value>, level: usize, item: bool, out: &mut String) {
    let indent = "  ".repeat(level);
    for (at, (name, value)) in fields.iter().enumerate() {
        match item && at == 0 {
            true => out.push_str(&format!("{}- ", "  ".repeat(level - 1))),
            false => out.push_str(&indent),
        }
        match value {
            Value::Object(fields) => {
                out.push_str(&format!("{name}: \n"));
                yaml_fields(fields, level + 1, false, out);
            }
            Value::Array(items) => {
                out.push_str(&format!("{name}: \n"));
                for item in items {
                    match item {
                        Value::Object(fields) => yaml_fields(fields, level + 2, true, out),
                        other => out.push_str(&format!("{indent}  - {other}\n")),
                    }
                }
            }
            other => out.push_str(&format!("{name}: {other}\n")),
        }
    }
}

/// The XML form.
pub(super) fn xml(explained: &Explained, options: &Options) -> String {
    let mut out =
        "<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query>\n".to_string();
    if let Value::Object(query) = tree(explained, options) {
        xml_fields(&query, 2, &mut out);
    }
    out.push_str("  </Query>\n</explain>");
    out
}

fn xml_fields(fields: &Map<String, Value>, level: usize, out: &mut String) {
    for (name, value) in fields {
        xml_element(&name.replace(' ', "-"), value, level, out);
    }
}

fn xml_element(tag: &str, value: &Value, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    let text = match value {
        Value::Object(fields) => {
            out.push_str(&format!("{indent}<{tag}>\n"));
            xml_fields(fields, level + 1, out);
            out.push_str(&format!("{indent}</{tag}>\n"));
            return;
        }
        Value::Array(items) => {
            let item_tag = if tag == "Plans" { "Plan" } else { "Item" };
            out.push_str(&format!("{indent}<{tag}>\n"));
            for item in items {
                xml_element(item_tag, item, level + 1, out);
            }
            out.push_str(&format!("{indent}</{tag}>\n"));
            return;
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    out.push_str(&format!("{indent}<{tag}>{text}</{tag}>\n"));
}
