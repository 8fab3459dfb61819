//! Random tables, and random statements that change and read them.

use tidelog_compat_tests::Random;

use super::tables::{Column, Sort, TYPES, Table};

/// Draws statements; what it knows of the tables it is told to forget when they are rolled back.
pub(super) struct Generator {
    pub(super) random: Random,
    pub(super) tables: Vec<Table>,
    pub(super) shared: bool,
    ids: u64,
    /// Ids that no row has yet begin here.
    fresh: u64,
}

pub(super) const ACTIONS: [&str; 4] = ["CASCADE", "SET NULL", "NO ACTION", "RESTRICT"];
pub(super) const DEFERRALS: [&str; 3] = ["NOT DEFERRABLE", "DEFERRABLE", "INITIALLY DEFERRED"];

impl Generator {
    pub(super) fn new(random: Random, shared: bool) -> Generator {
        Generator {
            random,
            tables: Vec::new(),
            shared,
            ids: 0,
            fresh: 1000,
        }
    }

    /// Four tables: `p`, `ch` whose rows refer to those of `p`, one with two key columns or none, one without. Gives the
    /// definitions, and what Tidelog has beside each.
    pub(super) fn create(&mut self) -> Vec<(String, String)> {
        let two = *self.random.pick(&[&["id", "k"][..], &[]]);
        let keys: [(&'static str, &'static [&'static str]); 4] =
            [("p", &["id"]), ("ch", &["id"]), ("n", two), ("n2", &[])];
        keys.map(|(name, key)| self.create_table(name, key)).into()
    }

    fn create_table(
        &mut self,
        name: &'static str,
        key: &'static [&'static str],
    ) -> (String, String) {
        let mut columns = vec![self.column("id", "int4")];
        if key.len() == 2 {
            columns.push(self.column("k", "text"));
        }
        if name == "ch" {
            columns.push(self.column("pid", "int4"));
        }
        for at in 0..2 + self.random.below(5) {
            let ty = self.random.pick(TYPES);
            let mut column = self.column(&format!("c{at}"), ty.name);
            if self.random.once_in(3) {
                column.default = Some(ty.value(&mut self.random));
            }
            columns.push(column);
        }
        for column in columns.iter_mut() {
            column.not_null = key.contains(&column.name.as_str());
        }
        let mut parts: Vec<String> = columns.iter().map(Column::definition).collect();
        if !key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
        }
        if name == "ch" {
            parts.push(self.reference());
        }
        let kind = if self.shared { "shared" } else { "user" };
        let mut options = format!("type = '{kind}'");
        let last = columns.last().expect("it has columns");
        if !key.is_empty() && last.ty.is_key() && self.random.once_in(3) {
            options.push_str(&format!(", cluster_by = '{}'", last.name));
        }
        self.tables.push(Table {
            name,
            columns,
            key,
            rules: Vec::new(),
        });
        (
            format!("CREATE TABLE {name} ({})", parts.join(", ")),
            format!(" WITH ({options})"),
        )
    }

    pub(super) fn reference(&mut self) -> String {
        let (delete, update) = (self.random.pick(&ACTIONS), self.random.pick(&ACTIONS));
        let deferral = self.random.pick(&DEFERRALS);
        format!(
            "CONSTRAINT fk1 FOREIGN KEY (pid) REFERENCES p (id) ON DELETE {delete} ON UPDATE {update} {deferral}"
        )
    }

    pub(super) fn column(&mut self, name: &str, ty: &str) -> Column {
        self.ids += 1;
        Column {
            id: self.ids,
            name: name.to_string(),
            ty: super::tables::type_named(ty),
            not_null: false,
            default: None,
        }
    }

    pub(super) fn table(&mut self) -> Table {
        self.random.pick(&self.tables).clone()
    }

    /// A table as it is now.
    pub(super) fn named(&self, name: &str) -> &Table {
        let found = self.tables.iter().find(|table| table.name == name);
        found.expect("no table goes")
    }

    /// A condition on a table; `alias` is empty or ends in a point.
    pub(super) fn condition(&mut self, table: &Table, alias: &str) -> String {
        let random = &mut self.random;
        let (low, wide) = (random.below(150), random.below(30));
        match random.below(20) {
            0..5 => return format!("{alias}id BETWEEN {low} AND {}", low + wide),
            5..8 => return format!("{alias}id = {low}"),
            8..10 => return format!("{alias}id IN ({low}, {}, {wide})", low + wide),
            10 => {
                let (a, b) = (self.condition(table, alias), self.condition(table, alias));
                let word = self.random.pick(&["AND", "OR"]);
                return format!("(({a}) {word} ({b}))");
            }
            11 => return format!("NOT ({})", self.condition(table, alias)),
            _ => {}
        }
        let column = random.pick(&table.columns);
        let name = format!("{alias}{}", column.name);
        if random.once_in(6) {
            let not = random.pick(&["", "NOT "]);
            return format!("{name} IS {not}NULL");
        }
        let forms: &[&str] = match (column.ty.sort, column.ty.name) {
            (Sort::Text, _) if random.once_in(2) => &[
                "{} LIKE 'a%'",
                "length({}) > 1",
                "{} || 'x' = 'ax'",
                "coalesce({}, '') = ''",
            ],
            (Sort::Json, _) => &[
                r#"{} @> '{"a": 1}'"#,
                "{}->>'a' = 'x'",
                "{} ? 'b'",
                "jsonb_typeof({}) = 'object'",
            ],
            (_, "json") => &["{}->>'a' = '1'"],
            (_, "int4[]") => &["1 = ANY ({})", "{}[1] = -1", "array_length({}, 1) > 1"],
            (_, "text[]") => &["'a' = ANY ({})", "{}[1] = 'a'", "cardinality({}) = 0"],
            (Sort::Other, _) => &["{} = $", "{} < $", "{} > $"],
            _ => &[
                "{} = $",
                "{} = $",
                "{} <> $",
                "{} < $",
                "{} >= $",
                "{} IS DISTINCT FROM $",
            ],
        };
        let form = random.pick(forms).replacen("{}", &name, 1);
        form.replacen('$', &column.ty.typed(random), 1)
    }

    /// What a column is set to.
    fn new_value(&mut self, table: &Table, column: &Column, alias: &str) -> String {
        let random = &mut self.random;
        if column.name == "pid" {
            return match random.below(3) {
                0 => "(SELECT max(id) FROM p)".to_string(),
                _ => column.value(random),
            };
        }
        if random.once_in(2) || table.is_unique(column) {
            return column.value(random);
        }
        let forms: &[&str] = match (column.ty.sort, column.ty.name) {
            (Sort::Number, _) => &["{} + 1", "{} * (-1)", "coalesce({}, 0)"],
            (_, "text") => &[
                "left({} || 'z', 3000)",
                "replace({}, 'a', 'A')",
                "nullif({}, 'a')",
            ],
            (Sort::Text, _) => &["left({} || 'z', 19)"],
            (Sort::Json, _) => &[r#"{} || '{"n": 1}'"#, "{} - 'a'"],
            (_, "int4[]") => &["{} || 9"],
            (_, "text[]") => &["array_append({}, 'n')"],
            _ => &["{}"],
        };
        let form = random.pick(forms);
        let same = table.columns.iter().filter(|c| c.ty.name == column.ty.name);
        let same: Vec<&Column> = same.collect();
        let from = if *form == "{}" {
            random.pick(&same)
        } else {
            column
        };
        form.replacen("{}", &format!("{alias}{}", from.name), 1)
    }

    fn assignments(&mut self, table: &Table, alias: &str) -> String {
        let mut set: Vec<String> = Vec::new();
        for column in &table.columns {
            if column.name != "id" && column.name != "k" && self.random.once_in(3) {
                let value = self.new_value(table, column, alias);
                set.push(format!("{} = {value}", column.name));
            }
        }
        if set.is_empty() {
            set.push("id = id".to_string());
        }
        set.join(", ")
    }

    /// Nothing, or RETURNING.
    fn returning(&mut self, table: &Table, alias: &str) -> String {
        let column = &self.random.pick(&table.columns).name;
        match self.random.below(6) {
            0 => format!(" RETURNING {alias}*"),
            1 => format!(" RETURNING {alias}id, {alias}{column}"),
            _ => String::new(),
        }
    }

    /// A statement that changes rows.
    pub(super) fn change(&mut self) -> String {
        let table = self.table();
        let name = table.name;
        match self.random.below(40) {
            0..15 => self.insert(&table),
            15..17 => {
                self.fresh += 1000;
                let mut select = table.names();
                select = format!("id + {}{}", self.fresh, &select["id".len()..]);
                let (names, condition) = (table.names(), self.condition(&table, ""));
                let conflict = self.random.pick(&["", " ON CONFLICT DO NOTHING"]);
                let returning = self.returning(&table, "");
                format!(
                    "INSERT INTO {name} ({names}) SELECT {select} FROM {name} WHERE id < 1000 AND ({condition}){conflict}{returning}"
                )
            }
            17..26 => {
                let (set, condition) = (self.assignments(&table, ""), self.condition(&table, ""));
                let returning = self.returning(&table, "");
                format!("UPDATE {name} SET {set} WHERE {condition}{returning}")
            }
            26 => {
                let set = self.assignments(&table, "");
                format!("UPDATE {name} SET {set}{}", self.returning(&table, ""))
            }
            // Keys move, and with them what refers to them.
            27..29 => {
                self.fresh += 1000;
                let condition = self.condition(&table, "");
                let to = self.random.pick(&["id + ", ""]);
                let (fresh, returning) = (self.fresh, self.returning(&table, ""));
                format!(
                    "UPDATE {name} SET id = {to}{fresh} WHERE id < 1000 AND ({condition}){returning}"
                )
            }
            29..32 => {
                // With the other's key each row meets one row at most.
                let other = self.random.pick(&self.tables[..2]).clone();
                let condition = self.condition(&other, "o.");
                let returning = self.returning(&table, "x.");
                let Some(column) = table.free().first().copied() else {
                    return self.insert(&table);
                };
                let source = other.columns.iter().find(|c| c.ty.name == column.ty.name);
                let value = match source {
                    Some(source) => format!("o.{}", source.name),
                    None => self.new_value(&table, column, "x."),
                };
                format!(
                    "UPDATE {name} x SET {} = {value} FROM {} o WHERE x.id = o.id AND {condition}{returning}",
                    column.name, other.name
                )
            }
            32..34 => {
                let other = self.table();
                let condition = self.condition(&other, "o.");
                let returning = self.returning(&table, "x.");
                format!(
                    "DELETE FROM {name} x USING {} o WHERE x.id = o.id AND {condition}{returning}",
                    other.name
                )
            }
            34 if self.shared && self.random.once_in(3) => match name {
                "p" => "TRUNCATE p, ch".to_string(),
                _ => format!("TRUNCATE {name}"),
            },
            _ => {
                let condition = self.condition(&table, "");
                let returning = self.returning(&table, "");
                format!("DELETE FROM {name} WHERE {condition}{returning}")
            }
        }
    }

    fn insert(&mut self, table: &Table) -> String {
        let given = |column: &&Column| {
            column.name == "id"
                || table.key.contains(&column.name.as_str())
                || !self.random.once_in(5)
        };
        let mut columns: Vec<&Column> = table.columns.iter().filter(given).collect();
        if self.random.once_in(4) {
            columns.reverse();
        }
        let mut rows = Vec::new();
        for _ in 0..*self.random.pick(&[1, 1, 2, 5, 20]) {
            let values = columns.iter().map(|column| column.value(&mut self.random));
            let values: Vec<String> = values.collect();
            rows.push(format!("({})", values.join(", ")));
        }
        let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
        let conflict = self.on_conflict(table);
        format!(
            "INSERT INTO {} ({}) VALUES {}{conflict}{}",
            table.name,
            names.join(", "),
            rows.join(", "),
            self.returning(table, "")
        )
    }

    fn on_conflict(&mut self, table: &Table) -> String {
        if table.key.is_empty() || self.random.once_in(3) {
            return String::new();
        }
        let mut targets = vec![table.key.join(", ")];
        for (_, rule, ids) in &table.rules {
            if *rule == super::tables::Rule::Unique {
                let of = table.columns.iter().filter(|c| ids.contains(&c.id));
                let names: Vec<&str> = of.map(|c| c.name.as_str()).collect();
                targets.push(names.join(", "));
            }
        }
        let target = self.random.pick(&targets).clone();
        match self.random.below(4) {
            0 => return " ON CONFLICT DO NOTHING".to_string(),
            1 => return format!(" ON CONFLICT ({target}) DO NOTHING"),
            _ => {}
        }
        let mut set = Vec::new();
        for column in table.free() {
            let (name, own) = (&column.name, format!("{}.{}", table.name, column.name));
            if self.random.once_in(2) {
                set.push(match self.random.below(4) {
                    0 => format!("{name} = {own}"),
                    1 => format!("{name} = coalesce(excluded.{name}, {own})"),
                    2 => format!("{name} = {}", column.ty.typed(&mut self.random)),
                    _ => format!("{name} = excluded.{name}"),
                });
            }
        }
        if set.is_empty() {
            return " ON CONFLICT DO NOTHING".to_string();
        }
        let only = match self.random.below(3) {
            0 => format!(
                " WHERE {}",
                self.condition(table, &format!("{}.", table.name))
            ),
            _ => String::new(),
        };
        format!(
            " ON CONFLICT ({target}) DO UPDATE SET {}{only}",
            set.join(", ")
        )
    }

    /// A query; where it has ORDER BY, equal values are equal in text, so the answer is one.
    pub(super) fn query(&mut self) -> String {
        let (table, other) = (self.table(), self.table());
        let (a, b) = (table.name, other.name);
        let column = self.random.pick(&table.columns).clone();
        let c = &column.name;
        let condition = self.condition(&table, "");
        match self.random.below(12) {
            0 => format!("SELECT count(*), count({c}), sum(id) FROM {a} WHERE {condition}"),
            1 | 2 if column.ty.is_ordered() => {
                format!("SELECT {c} AS v, count(*) FROM {a} GROUP BY {c} ORDER BY v")
            }
            3 if matches!(column.ty.sort, Sort::Number | Sort::Text) => {
                let (of, by) = (
                    self.random.pick(&["min", "max"]),
                    self.random.pick(&["min", "max"]),
                );
                format!("SELECT {of}({c}) AS v, {by}(id) FROM {a} WHERE {condition}")
            }
            4 | 5 if column.ty.is_ordered() => {
                let how = self
                    .random
                    .pick(&["", " DESC", " DESC NULLS LAST", " NULLS FIRST"]);
                let (limit, offset) = (1 + self.random.below(10), self.random.below(4));
                format!(
                    "SELECT {c} FROM {a} WHERE {condition} ORDER BY {c}{how} LIMIT {limit} OFFSET {offset}"
                )
            }
            6 if !table.key.is_empty() => {
                let limit = 1 + self.random.below(20);
                format!(
                    "SELECT * FROM {a} ORDER BY {} LIMIT {limit}",
                    table.key.join(", ")
                )
            }
            7 => {
                let join = self.random.pick(&["JOIN", "LEFT JOIN"]);
                let (on, only) = (self.condition(&other, "y."), self.condition(&table, "x."));
                format!(
                    "SELECT x.id, y.* FROM {a} x {join} {b} y ON x.id = y.id AND {on} WHERE {only}"
                )
            }
            8 => {
                let (not, on) = (
                    *self.random.pick(&["", "NOT "]),
                    self.condition(&other, "y."),
                );
                format!(
                    "SELECT x.id FROM {a} x WHERE {not}EXISTS (SELECT 1 FROM {b} y WHERE y.id = x.id AND {on})"
                )
            }
            9 => {
                let union = self
                    .random
                    .pick(&["UNION", "EXCEPT", "INTERSECT", "UNION ALL"]);
                format!("SELECT id FROM {a} WHERE {condition} {union} SELECT id FROM {b}")
            }
            10 => {
                let of = self.condition(&other, "");
                format!("SELECT id, {c} FROM {a} WHERE id IN (SELECT id FROM {b} WHERE {of})")
            }
            _ => format!("SELECT * FROM {a} WHERE {condition}"),
        }
    }
}
