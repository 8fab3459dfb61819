//! Random queries: what they read, how it is grouped, and how queries are put together.
//!
//! What is made is valid and independent of the order in which anything is computed: LIMIT stands behind an order of all
//! columns, and a window that tells rows of one place apart is over one table, in the order of its key.

use super::grammar::{Random, Relation, TYPES, Type};
use Type::{Bool, Date, Int, Json, Plain, Text};

/// A query, and whether its rows come in an order of all their columns.
pub(super) struct Query {
    pub(super) text: String,
    pub(super) ordered: bool,
}

fn names(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("c{n}")).collect()
}

impl Random {
    pub(super) fn query(&mut self) -> Query {
        self.named.clear();
        let mut with = Vec::new();
        let mut recursive = false;
        if self.below(4) == 0 {
            for _ in 0..1 + self.below(2) {
                let name = self.alias();
                let (definition, types) = match self.below(4) {
                    0 => {
                        recursive = true;
                        (self.recursion(&name), vec![Int, Int])
                    }
                    _ => {
                        let types = self.types(3);
                        (self.body(&types, 1), types)
                    }
                };
                let columns = names(types.len());
                with.push(format!("{name}({}) AS ({definition})", columns.join(", ")));
                self.named.push(Relation {
                    alias: name,
                    columns: columns.into_iter().zip(types).collect(),
                });
            }
        }
        let types = self.types(3);
        let kind = self.below(6);
        let (body, width) = match kind {
            0 => self.window(&types),
            1 => self.rolled_up(),
            _ => (self.body(&types, 2), types.len()),
        };
        let mut text = match (with.is_empty(), recursive) {
            (true, _) => body,
            (_, true) => format!("WITH RECURSIVE {} {body}", with.join(", ")),
            (_, false) => format!("WITH {} {body}", with.join(", ")),
        };
        // PostgreSQL 15 leaves keys that WHERE fixes out of the order, also where a set without them makes them NULL.
        let ordered = kind != 1 && self.below(2) == 0;
        if ordered {
            text.push_str(&self.order(width));
        }
        Query { text, ordered }
    }

    /// ORDER BY all columns, and perhaps a limit.
    fn order(&mut self, width: usize) -> String {
        let order: Vec<String> = (1..=width)
            .map(|n| {
                let direction = self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]);
                format!("{n}{direction}")
            })
            .collect();
        let count = self.below(8);
        let limit = match self.below(7) {
            6 => format!(" OFFSET {count} LIMIT 9223372036854775807"),
            0 => format!(" FETCH FIRST {count} ROWS WITH TIES"),
            1 => format!(" OFFSET {} FETCH NEXT {count} ROWS ONLY", count / 2),
            2 => format!(" LIMIT {count}"),
            3 => format!(" OFFSET {}", count / 2),
            _ => String::new(),
        };
        format!(" ORDER BY {}{limit}", order.join(", "))
    }

    /// A query of columns of these types.
    fn body(&mut self, types: &[Type], depth: u64) -> String {
        match self.below(8) {
            0 | 1 if depth > 0 => self.set_operation(types, depth - 1),
            2 => self.grouped(types, depth),
            3 => self.first_of_each(types, depth),
            4 => self.values(types),
            _ => self.plain(types, depth),
        }
    }

    fn plain(&mut self, types: &[Type], depth: u64) -> String {
        let (from, scope) = self.from(depth);
        let filter = self.filter(&scope, 2);
        let list: Vec<String> = types.iter().map(|ty| self.expr(&scope, *ty, 2)).collect();
        let distinct = self.pick(&["", "", "DISTINCT "]);
        format!("SELECT {distinct}{} FROM {from}{filter}", list.join(", "))
    }

    fn grouped(&mut self, types: &[Type], depth: u64) -> String {
        let (from, scope) = self.from(depth);
        let filter = self.filter(&scope, 1);
        let mut keys = Vec::new();
        let mut list = Vec::new();
        for (n, ty) in types.iter().enumerate() {
            if self.below(2) == 0 {
                keys.push((n + 1).to_string());
                list.push(self.expr(&scope, *ty, 1));
            } else {
                list.push(self.aggregate(&scope, *ty));
            }
        }
        let having = match self.below(8) {
            0 | 1 => format!(" HAVING {} > 1", self.aggregate(&scope, Type::Big)),
            2 => {
                let ty = self.pick_type(&TYPES);
                format!(" HAVING {}", self.constant(&[], ty))
            }
            _ => String::new(),
        };
        let list = list.join(", ");
        let grouping = match keys.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", keys.join(", ")),
        };
        format!("SELECT {list} FROM {from}{filter}{grouping}{having}")
    }

    /// DISTINCT ON, in an order of all columns.
    fn first_of_each(&mut self, types: &[Type], depth: u64) -> String {
        let (from, scope) = self.from(depth);
        let filter = self.filter(&scope, 1);
        let list: Vec<String> = types.iter().map(|ty| self.expr(&scope, *ty, 1)).collect();
        let order: Vec<String> = (1..=types.len()).map(|n| n.to_string()).collect();
        let alias = self.alias();
        format!(
            "SELECT * FROM (SELECT DISTINCT ON (1) {} FROM {from}{filter} ORDER BY {}) {alias}",
            list.join(", "),
            order.join(", ")
        )
    }

    fn values(&mut self, types: &[Type]) -> String {
        let rows: Vec<String> = (0..1 + self.below(4))
            .map(|row| {
                let values: Vec<String> = types
                    .iter()
                    .map(|ty| match self.below(4) {
                        // The first row says what the types are.
                        0 if row > 0 => "NULL".to_string(),
                        _ => self.literal(*ty),
                    })
                    .collect();
                format!("({})", values.join(", "))
            })
            .collect();
        format!("VALUES {}", rows.join(", "))
    }

    fn set_operation(&mut self, types: &[Type], depth: u64) -> String {
        let mut text = self.operand(types, depth);
        for _ in 0..1 + self.below(2) {
            let operation = self.pick(&["UNION", "INTERSECT", "EXCEPT"]);
            let all = self.pick(&["", " ALL"]);
            text.push_str(&format!(" {operation}{all} {}", self.operand(types, depth)));
        }
        text
    }

    fn operand(&mut self, types: &[Type], depth: u64) -> String {
        let mut operand = self.body(types, depth);
        if self.below(4) == 0 {
            operand.push_str(&self.order(types.len()));
        }
        format!("({operand})")
    }

    /// A recursive query's definition: numbers and depths.
    fn recursion(&mut self, name: &str) -> String {
        let (table, scope) = self.subscope(&[]);
        let alias = scope[0].alias.clone();
        let filter = self.filter(&scope, 0);
        let start = format!("SELECT {alias}.k, 0 FROM {table}{filter}");
        let all = self.pick(&["", " ALL"]);
        let step = match self.below(2) {
            0 => format!("SELECT {name}.c1 + 1, {name}.c2 + 1 FROM {name} WHERE {name}.c2 < 3"),
            _ => {
                let (table, scope) = self.subscope(&[]);
                let alias = &scope[0].alias;
                format!(
                    "SELECT {alias}.k, {name}.c2 + 1 FROM {name} JOIN {table} ON {alias}.id = {name}.c1 WHERE {name}.c2 < 3"
                )
            }
        };
        format!("{start} UNION{all} {step}")
    }

    /// What a query reads, and what can be named after it.
    fn from(&mut self, depth: u64) -> (String, Vec<Relation>) {
        match self.below(16) {
            0 | 1 => return self.shared(),
            2 => return self.keyed(),
            _ => {}
        }
        let (mut from, mut scope) = self.relation(depth);
        for _ in 0..self.below(3) {
            match self.below(8) {
                0 => {
                    let (table, inner) = self.subscope(&scope);
                    let alias = self.alias();
                    let ty = self.pick_type(&TYPES);
                    let value = self.leaf(&inner, ty);
                    let id = format!("{}.id", inner[0].alias);
                    let filter = self.filter(&inner, 1);
                    let count = 1 + self.below(2);
                    let (join, on) = self.lateral_join();
                    from.push_str(&format!(
                        " {join} LATERAL (SELECT {id}, {value} AS v FROM {table}{filter} ORDER BY {id} DESC LIMIT {count}) {alias}{on}"
                    ));
                    let columns = vec![("id".to_string(), Int), ("v".to_string(), ty)];
                    scope.push(Relation { alias, columns });
                }
                1 => {
                    let (table, inner) = self.subscope(&scope);
                    let alias = self.alias();
                    let ty = self.pick_type(&TYPES);
                    let value = self.aggregate(&inner[..1], ty);
                    let filter = self.filter(&inner, 1);
                    let (join, on) = self.lateral_join();
                    from.push_str(&format!(
                        " {join} LATERAL (SELECT {value} AS v FROM {table}{filter}) {alias}{on}"
                    ));
                    let columns = vec![("v".to_string(), ty)];
                    scope.push(Relation { alias, columns });
                }
                2 => {
                    let alias = self.alias();
                    let last = self.leaf(&scope, Int);
                    let (join, on) = self.lateral_join();
                    from.push_str(&format!(
                        " {join} generate_series(1, least({last}, 3)) AS {alias}(n){on}"
                    ));
                    let columns = vec![("n".to_string(), Int)];
                    scope.push(Relation { alias, columns });
                }
                3 => {
                    let (relation, inner) = self.relation(depth);
                    from.push_str(&format!(" CROSS JOIN {relation}"));
                    scope.extend(inner);
                }
                _ => {
                    let (relation, inner) = self.relation(depth);
                    let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
                    let ty = self.pick_type(&[Int, Int, Int, Text, Date, Json, Plain]);
                    let (a, b) = (self.column(&scope, ty), self.column(&inner, ty));
                    let (Some(a), Some(b)) = (a, b) else { continue };
                    let mut on = match (join, self.below(6)) {
                        ("JOIN" | "LEFT JOIN", 0) => format!("{a} IS NOT DISTINCT FROM {b}"),
                        ("JOIN" | "LEFT JOIN" | "RIGHT JOIN", 1) => {
                            let (a, b) = (
                                self.expr_of_columns(&scope, ty),
                                self.expr_of_columns(&inner, ty),
                            );
                            format!("{a} = {b}")
                        }
                        ("JOIN" | "LEFT JOIN" | "RIGHT JOIN", 2) => {
                            let both: Vec<Relation> = scope.iter().chain(&inner).cloned().collect();
                            let (a, b) = (
                                self.expr_of_columns(&both, ty),
                                self.expr_of_columns(&both, ty),
                            );
                            let operator = self.pick(&["=", "<", "<>"]);
                            format!("{a} {operator} {b}")
                        }
                        ("JOIN" | "LEFT JOIN" | "RIGHT JOIN", 3) => {
                            let (a, b) = (
                                self.on_constant(&scope, a, ty),
                                self.on_constant(&inner, b, ty),
                            );
                            let word = self.pick(&["AND", "OR"]);
                            format!("({a} {word} {b})")
                        }
                        _ => format!("{a} = {b}"),
                    };
                    scope.extend(inner);
                    if join != "FULL JOIN" && self.below(4) == 0 {
                        on.push_str(&format!(" AND {}", self.condition(&scope, 0)));
                    }
                    from.push_str(&format!(" {join} {relation} ON {on}"));
                }
            }
        }
        (from, scope)
    }

    /// A condition on one side of a join, or on none.
    fn on_constant(&mut self, scope: &[Relation], column: String, ty: Type) -> String {
        match self.below(3) {
            0 => self.constant(scope, ty),
            1 => format!("{} = {column}", self.literal(ty)),
            _ => format!("{column} = {}", self.literal(ty)),
        }
    }

    /// An expression that no subquery stands in.
    fn expr_of_columns(&mut self, scope: &[Relation], ty: Type) -> String {
        let (a, b) = (self.leaf(scope, ty), self.leaf(scope, ty));
        match ty {
            Int => format!("({a} + {b})"),
            Text => format!("({a} || {b})"),
            _ => format!("coalesce({a}, {b})"),
        }
    }

    /// Relations that share columns, joined by these.
    fn shared(&mut self) -> (String, Vec<Relation>) {
        let keys = match self.below(3) {
            0 => vec![("k".to_string(), Int)],
            _ => vec![("id".to_string(), Int), ("k".to_string(), Int)],
        };
        let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
        let (mut from, mut scope) = (String::new(), Vec::new());
        for n in 0..2 + self.below(2) {
            let (table, inner) = self.subscope(&[]);
            let (alias, own) = (self.alias(), format!("u{n}"));
            let ty = self.pick_type(&TYPES);
            let value = self.leaf(&inner, ty);
            let table = format!(
                "(SELECT {}, {value} AS {own} FROM {table}{}) {alias}",
                names.join(", "),
                self.filter(&inner, 0)
            );
            let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            from.push_str(&match (n, self.below(3)) {
                (0, _) => table,
                (_, 0) => format!(" NATURAL {join} {table}"),
                _ => format!(" {join} {table} USING ({})", names.join(", ")),
            });
            let mut columns = keys.clone();
            columns.push((own, ty));
            scope.push(Relation { alias, columns });
        }
        scope.push(Relation {
            alias: String::new(),
            columns: keys,
        });
        (from, scope)
    }

    /// Tables joined by their keys.
    fn keyed(&mut self) -> (String, Vec<Relation>) {
        let key = self.pick(&["id", "k"]);
        let (mut from, mut scope) = self.subscope(&[]);
        for _ in 0..1 + self.below(2) {
            let (table, inner) = self.subscope(&[]);
            let join = self.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            from.push_str(&format!(" {join} {table} USING ({key})"));
            scope.extend(inner);
        }
        scope.push(Relation {
            alias: String::new(),
            columns: vec![(key.to_string(), Int)],
        });
        (from, scope)
    }

    fn lateral_join(&mut self) -> (&'static str, &'static str) {
        match self.below(2) {
            0 => ("CROSS JOIN", ""),
            _ => ("LEFT JOIN", " ON true"),
        }
    }

    /// A table, a WITH query or a subquery.
    fn relation(&mut self, depth: u64) -> (String, Vec<Relation>) {
        if !self.named.is_empty() && self.below(2) == 0 {
            let at = self.below(self.named.len() as u64) as usize;
            let named = self.named[at].clone();
            let alias = self.alias();
            let columns = named.columns;
            let text = format!("{} {alias}", named.alias);
            return (text, vec![Relation { alias, columns }]);
        }
        if depth > 0 && self.below(5) == 0 {
            let types = self.types(3);
            let body = self.body(&types, depth - 1);
            let (alias, columns) = (self.alias(), names(types.len()));
            let text = format!("({body}) AS {alias}({})", columns.join(", "));
            let columns = columns.into_iter().zip(types).collect();
            return (text, vec![Relation { alias, columns }]);
        }
        self.subscope(&[])
    }

    /// A query with windows; the number of its columns.
    fn window(&mut self, types: &[Type]) -> (String, usize) {
        let single = self.below(2) == 0;
        let (from, scope) = match single {
            true => self.subscope(&[]),
            false => self.from(1),
        };
        let filter = self.filter(&scope, 1);
        let mut list: Vec<String> = types.iter().map(|ty| self.expr(&scope, *ty, 1)).collect();
        for _ in 0..1 + self.below(2) {
            let call = match single {
                true => self.place(&scope),
                false => self.peers(&scope),
            };
            list.push(self.around(&scope, call));
        }
        // What comes first is what the rows are ordered by first.
        if self.below(2) == 0 {
            list.rotate_right(1);
        }
        let text = format!("SELECT {} FROM {from}{filter}", list.join(", "));
        (text, list.len())
    }

    /// A call over a window, perhaps inside an expression.
    fn around(&mut self, scope: &[Relation], call: String) -> String {
        let is_count = ["row_number", "ntile", "rank", "dense_rank", "count"];
        let is_count = is_count.iter().any(|name| call.starts_with(name));
        match self.below(7) {
            0 if is_count => format!("({call} * 2 - {})", self.leaf(scope, Int)),
            6 if is_count => {
                let key = self.leaf(scope, Int);
                format!(
                    "({call} + {} * rank() OVER (ORDER BY {key}))",
                    self.leaf(scope, Int)
                )
            }
            1 if is_count => format!("({call} / 2.0)::numeric(8,2)"),
            2 => format!("coalesce({call}::text, {})", self.literal(Text)),
            3 => format!("CASE WHEN {} THEN {call} END", self.condition(scope, 0)),
            4 => format!("({call} IS NULL)"),
            _ => call,
        }
    }

    fn partition(&mut self, scope: &[Relation]) -> String {
        match self.below(3) {
            0 => String::new(),
            _ => {
                let ty = self.pick_type(&[Int, Text, Bool, Date, Json]);
                format!("PARTITION BY {} ", self.leaf(scope, ty))
            }
        }
    }

    /// A window over one table, in the order of its key.
    fn place(&mut self, scope: &[Relation]) -> String {
        let ty = self.pick_type(&TYPES);
        let value = self.typed(scope, ty);
        let call = match self.below(9) {
            0 => "row_number()".to_string(),
            1 => format!("ntile({})", 1 + self.below(3)),
            2 => format!("lag({value})"),
            3 => format!("lead({value}, 2)"),
            4 => format!("lag({value}, 1, {})", self.literal(ty)),
            5 => format!("first_value({value})"),
            6 => format!("last_value({value})"),
            7 => format!("nth_value({value}, 2)"),
            _ => {
                let ty = self.pick_type(&TYPES);
                self.aggregate_without_order(scope, ty)
            }
        };
        let frame = match call.starts_with("ntile") {
            true => "",
            false => self.pick(&[
                "",
                " ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                " ROWS BETWEEN 2 PRECEDING AND 1 PRECEDING",
                " ROWS 1 PRECEDING",
                " ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                " RANGE BETWEEN 2 PRECEDING AND CURRENT ROW",
                " GROUPS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
            ]),
        };
        let (partition, direction) = (self.partition(scope), self.pick(&["", " DESC"]));
        let id = format!("{}.id", scope[0].alias);
        format!("{call} OVER ({partition}ORDER BY {id}{direction}{frame})")
    }

    fn aggregate_without_order(&mut self, scope: &[Relation], ty: Type) -> String {
        let value = self.leaf(scope, ty);
        let which = self.pick(&["min", "max", "sum"]);
        match (ty, which) {
            (Int, which) | (Text | Date | Type::Float, which @ ("min" | "max")) => {
                return format!("{which}({value})");
            }
            _ => {}
        }
        match ty {
            Bool => format!("bool_or({value})"),
            ty if ty == Text || ty == Date => format!("max({value})"),
            Plain => format!("sum({value})"),
            _ => format!("count({value})"),
        }
    }

    /// A window that is the same for rows of one place.
    fn peers(&mut self, scope: &[Relation]) -> String {
        let key = self.leaf(scope, Int);
        let ty = self.pick_type(&TYPES);
        let aggregate = self.aggregate_without_order(scope, ty);
        let call = self.pick(&[
            "rank()",
            "dense_rank()",
            "percent_rank()",
            "cume_dist()",
            "aggregate",
        ]);
        let (call, frame) = match call {
            "aggregate" => (
                aggregate.as_str(),
                self.pick(&[
                    "",
                    " RANGE BETWEEN 1 PRECEDING AND 2 FOLLOWING",
                    " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
                    " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING",
                ]),
            ),
            call => (call, ""),
        };
        let (partition, direction) = (self.partition(scope), self.pick(&["", " DESC"]));
        format!("{call} OVER ({partition}ORDER BY {key}{direction}{frame})")
    }

    /// GROUP BY several sets; the number of columns.
    fn rolled_up(&mut self) -> (String, usize) {
        let (from, scope) = self.from(1);
        let filter = self.filter(&scope, 1);
        let mut keys = Vec::new();
        for ty in [Plain, Int, Text, Date, Bool] {
            let column = self.column(&scope, ty);
            keys.extend(column.filter(|_| keys.len() < 2));
        }
        let mut list: Vec<String> = keys
            .iter()
            .enumerate()
            .map(|(n, key)| format!("{key} AS k{n}"))
            .collect();
        let all = keys.join(", ");
        let grouping = match (self.below(3), keys.is_empty()) {
            (_, true) => "()".to_string(),
            (0, _) => format!("ROLLUP ({all})"),
            (1, _) => format!("CUBE ({all})"),
            _ => format!("GROUPING SETS (({all}), ({}), ())", keys[keys.len() - 1]),
        };
        for ty in self.types(2) {
            list.push(self.aggregate(&scope, ty));
        }
        if !keys.is_empty() {
            list.push(format!("grouping({all})"));
        }
        let text = format!(
            "SELECT {} FROM {from}{filter} GROUP BY {grouping}",
            list.join(", ")
        );
        (text, list.len())
    }

    /// CREATE TABLE and INSERT of the tables.
    pub(super) fn schema(&mut self) -> String {
        self.tables.clear();
        let mut script = String::new();
        for name in ["a", "b", "c"] {
            let mut columns = vec![("id".to_string(), Int), ("k".to_string(), Int)];
            for n in 0..3 + self.below(4) {
                let name = match self.below(6) {
                    0 => self.pick(&["\"Größe\"", "\"C\"", "\"a.b\"", "\"d\"\"e\"", "élan"]),
                    _ => "c",
                };
                let name = match name.strip_suffix('"') {
                    Some(quoted) => format!("{quoted}{n}\""),
                    None => format!("{name}{n}"),
                };
                columns.push((name, self.pick_type(&TYPES)));
            }
            let defined: Vec<String> = columns
                .iter()
                .map(|(name, ty)| match name.as_str() {
                    "id" => "id int4 PRIMARY KEY".to_string(),
                    name => format!("{name} {}", ty.name()),
                })
                .collect();
            script.push_str(&format!(
                "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({});",
                defined.join(", ")
            ));
            for id in 0..self.below(14) {
                let values: Vec<String> = columns[1..]
                    .iter()
                    .map(|(_, ty)| match self.below(5) {
                        0 => "NULL".to_string(),
                        _ => self.literal(*ty),
                    })
                    .collect();
                let values = values.join(", ");
                script.push_str(&format!("INSERT INTO {name} VALUES ({id}, {values});"));
            }
            self.tables.push(Relation {
                alias: name.to_string(),
                columns,
            });
        }
        script
    }
}
