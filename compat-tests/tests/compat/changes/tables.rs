//! The tables that the statements are about, as far as a generator must know them, and the values of their columns.

use tidelog_compat_tests::Random;

/// A type, values of it as literals, and what may be made of it.
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) values: &'static [&'static str],
    /// What ALTER COLUMN … TYPE takes after it.
    pub(super) wider: &'static [&'static str],
    pub(super) sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sort {
    Number,
    Text,
    /// Ordered, and keys and indexes take it.
    Key,
    /// Ordered, and may be no key here: bpchar and floats, whose equal values may have different texts.
    Ordered,
    Array,
    Json,
    /// Only stored and compared.
    Other,
}

const fn of(
    name: &'static str,
    sort: Sort,
    wider: &'static [&'static str],
    values: &'static [&'static str],
) -> Type {
    Type {
        name,
        values,
        wider,
        sort,
    }
}

/// No minus zero: what is equal must have one text, or any of them may be a group's name.
#[rustfmt::skip]
pub(super) const TYPES: &[Type] = &[
    of("int2", Sort::Number, &["int4", "int8", "numeric(12,3)"], &["0", "1", "-1", "7", "32767", "-32768", "100"]),
    of("int4", Sort::Number, &["int8", "numeric(30,6)"], &["0", "1", "-1", "7", "2147483647", "-2147483648", "42"]),
    of("int8", Sort::Number, &["numeric(30,6)"], &["0", "1", "-1", "9223372036854775807", "-9223372036854775808"]),
    of("numeric(12,3)", Sort::Number, &["numeric(30,6)"], &["0", "1.5", "-1.5", "123456789.123", "0.001", "-0.0005"]),
    of("numeric(30,6)", Sort::Number, &[], &["0", "1.5", "-1.500001", "123456789012345678901234.123456"]),
    of("float8", Sort::Ordered, &[], &["0", "1.5", "-1e300", "1e-300", "'NaN'", "'Infinity'", "3.141592653589793"]),
    of("float4", Sort::Ordered, &["float8"], &["0", "1.5", "-1e30", "0.1", "'NaN'", "'-Infinity'", "16777217"]),
    of("bool", Sort::Key, &[], &["true", "false"]),
    of("text", Sort::Text, &[], &["''", "'a'", "'b'", "'héllo'", "'日本語 🎉'", "'a''b'", r"E'tab\t\\nl\n'", "'NULL'",
        "repeat('x', 3000)", "'A'", "' a '", r"'\'"]),
    of("varchar(20)", Sort::Text, &["varchar(40)", "text"], &["''", "'a'", "'b'", "'héllo'", "'zz top'", "'日本'"]),
    of("varchar(40)", Sort::Text, &["text"], &["''", "'a'", "'b'", "'héllo'", "repeat('q', 40)"]),
    of("char(5)", Sort::Ordered, &[], &["'a'", "'abcde'", "''", "'é'", "'ab   '"]),
    of("date", Sort::Key, &[], &["'2024-02-29'", "'1970-01-01'", "'0001-01-01'", "'infinity'"]),
    of("timestamp", Sort::Key, &[], &["'2024-02-29 12:34:56.789012'", "'1969-12-31 23:59:59.999999'", "'infinity'"]),
    of("timestamptz", Sort::Key, &[], &["'2024-02-29 12:34:56.789012+02'", "'1970-01-01+00'", "'-infinity'"]),
    of("time", Sort::Ordered, &[], &["'00:00'", "'23:59:59.999999'", "'24:00:00'"]),
    of("interval", Sort::Other, &[], &["'1 day'", "'-3 months 2 days 04:05:06.7'", "'0'", "'23:59:59'"]),
    of("uuid", Sort::Key, &[], &["'00000000-0000-0000-0000-000000000000'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    of("bytea", Sort::Key, &[], &[r"'\x'", r"'\x00ff'", r"'\xdeadbeef'"]),
    of("jsonb", Sort::Json, &[], &["'{}'", "'[]'", "'null'", r#"'{"a": 1, "b": [1, {"c": null}]}'"#, "'\"s\"'", "'1.50'",
        r#"'{"b": 2, "a": "x"}'"#]),
    of("json", Sort::Other, &[], &["'{}'", "'[1, 2]'", r#"'{"a" :  1}'"#, "'null'"]),
    of("int4[]", Sort::Array, &[], &["'{}'", "'{1,2,3}'", "'{NULL,1}'", "'{-1}'"]),
    of("text[]", Sort::Array, &[], &["'{}'", "'{a,b}'", r#"'{NULL,"NULL",""}'"#, r#"'{"a,b","q\"x",日}'"#]),
    of("inet", Sort::Other, &[], &["'10.0.0.1'", "'::1/64'", "'192.168.0.0/16'"]),
];

pub(super) fn type_named(name: &str) -> &'static Type {
    let found = TYPES.iter().find(|ty| ty.name == name);
    found.expect("it is one of these")
}

impl Type {
    pub(super) fn is_ordered(&self) -> bool {
        self.is_key() || self.sort == Sort::Ordered
    }

    pub(super) fn is_key(&self) -> bool {
        matches!(self.sort, Sort::Number | Sort::Text | Sort::Key)
    }

    /// A value that is not NULL, as a bare literal.
    pub(super) fn value(&self, random: &mut Random) -> String {
        match self.name {
            "int4" | "int8" if random.once_in(2) => (random.below(250) as i64 - 50).to_string(),
            "text" if random.once_in(3) => format!("'t{}'", random.below(40)),
            _ => random.pick(self.values).to_string(),
        }
    }

    /// A value that is not NULL, with its type.
    pub(super) fn typed(&self, random: &mut Random) -> String {
        format!("({})::{}", self.value(random), self.name)
    }
}

#[derive(Clone)]
pub(super) struct Column {
    /// It stays when the column is renamed.
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) ty: &'static Type,
    pub(super) not_null: bool,
    pub(super) default: Option<String>,
}

impl Column {
    pub(super) fn definition(&self) -> String {
        let not_null = if self.not_null { " NOT NULL" } else { "" };
        let default = self.default.iter().map(|value| format!(" DEFAULT {value}"));
        let default: String = default.collect();
        format!("{} {}{not_null}{default}", self.name, self.ty.name)
    }

    /// Its values are numbers, keys and references, which the generator draws from what is there.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.name.as_str(), "id" | "k" | "pid")
    }

    pub(super) fn value(&self, random: &mut Random) -> String {
        match self.name.as_str() {
            "id" => random.below(150).to_string(),
            "k" => random.pick(&["'a'", "'b'", "''", "'é'"]).to_string(),
            "pid" => match random.below(3) {
                0 => "NULL".to_string(),
                1 => "(SELECT min(id) FROM p)".to_string(),
                _ => random.below(150).to_string(),
            },
            _ if random.once_in(10) => "DEFAULT".to_string(),
            _ if random.once_in(if self.not_null { 40 } else { 5 }) => "NULL".to_string(),
            _ => self.ty.value(random),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    Unique,
    Index,
    Check,
}

#[derive(Clone)]
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) key: &'static [&'static str],
    /// Constraints and indexes by name, with the ids of their columns.
    pub(super) rules: Vec<(String, Rule, Vec<u64>)>,
}

impl Table {
    /// The columns that statements change and alter at will.
    pub(super) fn free(&self) -> Vec<&Column> {
        let free = self.columns.iter().filter(|column| !column.is_fixed());
        free.collect()
    }

    /// Rows of it pass through states that break a unique constraint when they are computed from one another, in an
    /// order that is nobody's.
    pub(super) fn is_unique(&self, column: &Column) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|(_, rule, of)| *rule == Rule::Unique && of.contains(&column.id))
    }

    /// Whether its rows are written again when it becomes another: a column that is in an index has another type.
    pub(super) fn is_rewritten_as(&self, new: &Table) -> bool {
        self.columns.iter().any(|old| {
            let mut columns = new.columns.iter();
            let is_other = columns.any(|new| new.id == old.id && new.ty.name != old.ty.name);
            let mut rules = self.rules.iter();
            is_other && rules.any(|(_, rule, of)| *rule != Rule::Check && of.contains(&old.id))
        })
    }

    /// What its columns are: while this stays, so do the rows that are not written to.
    pub(super) fn shape(&self) -> String {
        let columns = self.columns.iter();
        columns
            .map(|c| format!("{} {} {},", c.id, c.name, c.ty.name))
            .collect()
    }

    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    }
}
