//! Random expressions and conditions over the columns of a scope.

use tidelog_compat_tests::random;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Type {
    Int,
    Big,
    Numeric,
    /// Of any scale: values that are equal look the same here.
    Plain,
    Float,
    Text,
    Bool,
    Date,
    Timestamp,
    Json,
}

use Type::{Big, Bool, Date, Float, Int, Json, Numeric, Plain, Text, Timestamp};

pub(super) const TYPES: [Type; 10] = [
    Int, Big, Numeric, Plain, Float, Text, Bool, Date, Timestamp, Json,
];

/// Values of jsonb of which no two are equal.
const JSONS: [&str; 14] = [
    "null",
    "true",
    "1",
    "-2.5",
    "10",
    "\"a\"",
    "\"ab\"",
    "[]",
    "[1, 2]",
    "[[], {}]",
    "{}",
    "{\"a\": 1}",
    "{\"b\": [1, null]}",
    "{\"a\": {\"b\": \"é\"}}",
];

/// Values that are equal to some of these and look different.
const LIKE_JSONS: [&str; 4] = ["1.0", "-2.50", "[1.00, 2]", "{\"a\": 1.0}"];

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Int => "int4",
            Big => "int8",
            Numeric => "numeric(8,2)",
            Plain => "numeric",
            Float => "float8",
            Text => "text",
            Bool => "bool",
            Date => "date",
            Timestamp => "timestamp",
            Json => "jsonb",
        }
    }
}

/// A relation in FROM: what it goes by, and its columns; columns that relations share go by nothing.
#[derive(Clone, Debug)]
pub(super) struct Relation {
    pub(super) alias: String,
    pub(super) columns: Vec<(String, Type)>,
}

/// Random queries, which a seed repeats.
pub(super) struct Random {
    random: random::Random,
    pub(super) tables: Vec<Relation>,
    /// The WITH queries that can be named.
    pub(super) named: Vec<Relation>,
    aliases: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random {
            random: random::Random::new(seed),
            tables: Vec::new(),
            named: Vec::new(),
            aliases: 0,
        }
    }

    pub(super) fn below(&mut self, below: u64) -> u64 {
        self.random.below(below)
    }

    pub(super) fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.random.pick::<&str>(from)
    }

    pub(super) fn pick_type(&mut self, from: &[Type]) -> Type {
        *self.random.pick(from)
    }

    pub(super) fn types(&mut self, most: u64) -> Vec<Type> {
        let count = 1 + self.below(most);
        (0..count).map(|_| self.pick_type(&TYPES)).collect()
    }

    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    pub(super) fn literal(&mut self, ty: Type) -> String {
        match ty {
            Int => (self.below(12) as i64 - 3).to_string(),
            Big => format!("({})::int8", self.below(12) as i64 - 3),
            Numeric => format!("{}.{}5::numeric(8,2)", self.below(9), self.below(10)),
            Plain => {
                let value = self.pick(&[
                    "0", "1", "2", "-3", "0.5", "1.5", "1.25", "-2.75", "10", "0.001", "1e30",
                    "NaN", "Infinity",
                ]);
                format!("'{value}'::numeric")
            }
            Float => format!("({}.5)::float8", self.below(8) as i64 - 2),
            Text => format!("'{}'", self.pick(&["", "a", "b", "ab", "B", "z%", "é"])),
            Bool => self.pick(&["true", "false"]).to_string(),
            Date => format!("date '2024-02-{:02}'", 25 + self.below(5)),
            Timestamp => format!("timestamp '2024-02-28 {:02}:30:00'", self.below(24)),
            Json => format!("'{}'::jsonb", self.pick(&JSONS)),
        }
    }

    /// A literal to compare with, which may look different from what it is equal to.
    fn compared(&mut self, ty: Type) -> String {
        match ty {
            Json if self.below(3) == 0 => format!("'{}'::jsonb", self.pick(&LIKE_JSONS)),
            Plain => self
                .pick(&[
                    "1.50",
                    "1",
                    "2.0",
                    "0.00",
                    "'NaN'",
                    "1.250::numeric",
                    "2::int8",
                ])
                .to_string(),
            Numeric if self.below(3) == 0 => {
                let digit = self.below(10);
                format!("{}.{digit}50", self.below(9))
            }
            ty => self.literal(ty),
        }
    }

    pub(super) fn column(&mut self, scope: &[Relation], ty: Type) -> Option<String> {
        let columns: Vec<String> = scope
            .iter()
            .flat_map(|relation| {
                let alias = &relation.alias;
                let columns = relation.columns.iter().filter(|(_, of)| *of == ty);
                columns.map(move |(name, _)| match alias.is_empty() {
                    true => name.clone(),
                    false => format!("{alias}.{name}"),
                })
            })
            .collect();
        match columns.is_empty() {
            true => None,
            false => Some(self.random.pick(&columns).clone()),
        }
    }

    pub(super) fn leaf(&mut self, scope: &[Relation], ty: Type) -> String {
        match self.below(5) {
            0 => self.literal(ty),
            _ => match self.column(scope, ty) {
                Some(column) => column,
                None => self.literal(ty),
            },
        }
    }

    /// A leaf whose type a function without a type of its own can take.
    pub(super) fn typed(&mut self, scope: &[Relation], ty: Type) -> String {
        let leaf = self.leaf(scope, ty);
        match leaf.ends_with('\'') {
            true => format!("{leaf}::text"),
            false => leaf,
        }
    }

    pub(super) fn expr(&mut self, scope: &[Relation], ty: Type, depth: u64) -> String {
        if depth == 0 {
            return self.leaf(scope, ty);
        }
        let depth = depth - 1;
        match self.below(12) {
            0 => {
                let (a, b) = (self.expr(scope, ty, depth), self.leaf(scope, ty));
                format!("coalesce({a}, {b})")
            }
            1 => {
                let condition = self.condition(scope, depth);
                let (a, b) = (self.expr(scope, ty, depth), self.expr(scope, ty, depth));
                format!("CASE WHEN {condition} THEN {a} ELSE {b} END")
            }
            2 => {
                let of = self.pick_type(&[Int, Text, Bool]);
                let (on, when) = (self.leaf(scope, of), self.literal(of));
                let (a, b) = (self.leaf(scope, ty), self.expr(scope, ty, depth));
                format!("CASE {on} WHEN {when} THEN {a} ELSE {b} END")
            }
            3 => {
                let (a, b) = (self.leaf(scope, ty), self.leaf(scope, ty));
                format!("nullif({a}, {b})")
            }
            4 if ty != Bool && ty != Json => {
                let (a, b) = (self.leaf(scope, ty), self.leaf(scope, ty));
                let which = self.pick(&["greatest", "least"]);
                format!("{which}({a}, {b})")
            }
            5 if depth > 0 => self.scalar(scope, ty),
            _ => self.computed(scope, ty, depth),
        }
    }

    /// A call, an operator or a cast.
    fn computed(&mut self, scope: &[Relation], ty: Type, depth: u64) -> String {
        match ty {
            Int => match self.below(16) {
                0 => format!("length({})", self.expr(scope, Text, depth)),
                1 => format!("({} % 7)", self.expr(scope, Int, depth)),
                2 => format!("abs({})", self.expr(scope, Int, depth)),
                3 => format!("(- {})", self.leaf(scope, Int)),
                4 => format!("({} / 3)", self.expr(scope, Int, depth)),
                5 => format!("({}::int4)", self.leaf(scope, Numeric)),
                6 => format!("({}::int4)", self.leaf(scope, Float)),
                7 => format!("({}::int4)", self.leaf(scope, Bool)),
                8 => format!("({} - {})", self.leaf(scope, Date), self.leaf(scope, Date)),
                9 => {
                    let field = self.pick(&["year", "month", "day", "dow", "doy", "week"]);
                    let of = self.pick_type(&[Date, Timestamp]);
                    format!("(extract({field} from {})::int4)", self.leaf(scope, of))
                }
                10 => format!("strpos({}, 'b')", self.leaf(scope, Text)),
                11 => format!("ascii({})", self.leaf(scope, Text)),
                12 => {
                    let (a, b) = (self.moment(scope), self.leaf(scope, Timestamp));
                    let field = self.pick(&["epoch", "day", "hour"]);
                    format!("(extract({field} from {a} - {b})::int4)")
                }
                13 => {
                    let json = self.expr(scope, Json, depth);
                    format!(
                        "CASE jsonb_typeof({json}) WHEN 'array' THEN jsonb_array_length({json}) END"
                    )
                }
                _ => {
                    let operator = self.pick(&["+", "-", "*"]);
                    let (a, b) = (self.leaf(scope, Int), self.leaf(scope, Int));
                    format!("({a} {operator} {b})")
                }
            },
            Big => match self.below(3) {
                0 => format!("({}::int8)", self.expr(scope, Int, depth)),
                1 => format!("({} * {})", self.leaf(scope, Big), self.leaf(scope, Int)),
                _ => format!(
                    "({} + {})",
                    self.expr(scope, Big, depth),
                    self.leaf(scope, Int)
                ),
            },
            Numeric => match self.below(3) {
                0 => format!("({}::numeric(8,2))", self.expr(scope, Int, depth)),
                1 => format!("abs({})", self.leaf(scope, Numeric)),
                _ => self.leaf(scope, Numeric),
            },
            Plain => match self.below(6) {
                0 => format!("({}::numeric)", self.expr(scope, Int, depth)),
                1 => format!("trim_scale({})", self.leaf(scope, Numeric)),
                2 => format!("abs({})", self.expr(scope, Plain, depth)),
                3 => {
                    let (a, b) = (self.expr(scope, Plain, depth), self.leaf(scope, Plain));
                    format!("trim_scale(round({a} / nullif({b}, 0), 3))")
                }
                _ => {
                    let other = self.pick_type(&[Int, Plain, Plain, Numeric]);
                    let operator = self.pick(&["+", "-", "*"]);
                    let (a, b) = (self.expr(scope, Plain, depth), self.leaf(scope, other));
                    format!("trim_scale({a} {operator} {b})")
                }
            },
            Float => match self.below(4) {
                0 => format!("({}::float8)", self.expr(scope, Int, depth)),
                1 => format!("({}::float8)", self.leaf(scope, Numeric)),
                2 => format!("floor({})", self.leaf(scope, Float)),
                _ => {
                    let operator = self.pick(&["+", "-", "*"]);
                    let (a, b) = (self.leaf(scope, Float), self.leaf(scope, Float));
                    format!("({a} {operator} {b})")
                }
            },
            Text => self.computed_text(scope, depth),
            Bool => format!("({})", self.condition(scope, depth)),
            Json => self.json(scope, depth),
            Date => match self.below(3) {
                0 => format!("({}::date)", self.leaf(scope, Timestamp)),
                1 => format!("({} - {})", self.leaf(scope, Date), self.leaf(scope, Int)),
                _ => format!("({} + 1)", self.leaf(scope, Date)),
            },
            Timestamp => match self.below(7) {
                0 => format!("({}::timestamp)", self.expr(scope, Date, depth)),
                1 => {
                    let unit = self.pick(&["hour", "day", "week", "month", "year"]);
                    format!("date_trunc('{unit}', {})", self.leaf(scope, Timestamp))
                }
                2 => format!("({} + interval '1 month')", self.leaf(scope, Date)),
                3 => self.moment(scope),
                4 => {
                    let (of, a) = (self.leaf(scope, Timestamp), self.leaf(scope, Timestamp));
                    format!("({of} + ({a} - {}))", self.leaf(scope, Timestamp))
                }
                5 => format!(
                    "({} + make_interval(days => {}))",
                    self.leaf(scope, Timestamp),
                    self.leaf(scope, Int)
                ),
                _ => {
                    let hours = self.below(30);
                    format!(
                        "({} + interval '{hours} hours')",
                        self.leaf(scope, Timestamp)
                    )
                }
            },
        }
    }

    fn json(&mut self, scope: &[Relation], depth: u64) -> String {
        match self.below(12) {
            0 => format!("to_jsonb({})", self.typed(scope, Int)),
            1 => format!("to_jsonb({})", self.typed(scope, Text)),
            2 => format!(
                "jsonb_build_object('a', {}, 'b', {})",
                self.leaf(scope, Bool),
                self.expr(scope, Json, depth)
            ),
            3 => format!(
                "jsonb_build_array({}, {})",
                self.leaf(scope, Int),
                self.leaf(scope, Json)
            ),
            4 => format!("({} -> 'a')", self.expr(scope, Json, depth)),
            5 => format!("({} -> {})", self.leaf(scope, Json), self.leaf(scope, Int)),
            6 => format!("({} #> '{{a,b}}')", self.leaf(scope, Json)),
            7 => format!("({})['a']", self.leaf(scope, Json)),
            8 => format!("jsonb_strip_nulls({})", self.expr(scope, Json, depth)),
            9 => format!("to_jsonb({})", self.typed(scope, Date)),
            _ => format!("({} || {})", self.leaf(scope, Json), self.leaf(scope, Json)),
        }
    }

    /// A moment some while from another.
    fn moment(&mut self, scope: &[Relation]) -> String {
        let (of, count) = (self.leaf(scope, Timestamp), self.leaf(scope, Int));
        let operator = self.pick(&["+", "-"]);
        let unit = self.pick(&["day", "hour", "month", "week"]);
        format!("({of} {operator} {count} * interval '1 {unit}')")
    }

    fn computed_text(&mut self, scope: &[Relation], depth: u64) -> String {
        match self.below(18) {
            0 => format!("reverse({})", self.expr(scope, Text, depth)),
            1 => format!("({} || 'x')", self.expr(scope, Text, depth)),
            2 => format!("substr({}, 1, 2)", self.expr(scope, Text, depth)),
            3 => format!("replace({}, 'a', 'bc')", self.leaf(scope, Text)),
            4 => format!("lpad({}, 4, '*')", self.leaf(scope, Text)),
            5 => {
                let which = self.pick(&["left", "right"]);
                let count = self.below(4) as i64 - 1;
                format!("{which}({}, {count})", self.expr(scope, Text, depth))
            }
            6 => format!(
                "concat({}, {})",
                self.leaf(scope, Text),
                self.leaf(scope, Int)
            ),
            7 => format!(
                "concat_ws('-', {}, {})",
                self.leaf(scope, Text),
                self.leaf(scope, Date)
            ),
            8 => format!("repeat({}, 2)", self.leaf(scope, Text)),
            9 => format!("split_part({}, 'a', 1)", self.leaf(scope, Text)),
            10 => format!(
                "to_char({}, 'YYYY-MM-DD HH24:MI')",
                self.leaf(scope, Timestamp)
            ),
            11 => format!("({} || {})", self.leaf(scope, Text), self.leaf(scope, Big)),
            12 => {
                let (a, b) = (self.moment(scope), self.leaf(scope, Timestamp));
                format!("(({a} - {b})::text)")
            }
            13 => format!(
                "(age({}, {})::text)",
                self.leaf(scope, Timestamp),
                self.leaf(scope, Timestamp)
            ),
            14 => format!("({} ->> 'a')", self.expr(scope, Json, depth)),
            15 => format!("jsonb_typeof({})", self.expr(scope, Json, depth)),
            _ => {
                let ty = self.pick_type(&TYPES);
                format!("({}::text)", self.leaf(scope, ty))
            }
        }
    }

    /// A subquery with one value.
    fn scalar(&mut self, scope: &[Relation], ty: Type) -> String {
        let (from, inner) = self.subscope(scope);
        let filter = self.filter(&inner, 1);
        match (self.below(3), ty) {
            (0, Big) => format!("(SELECT count(*) FROM {from}{filter})"),
            // Over the outer query's columns alone it would be the outer query's.
            (0 | 1, Int | Text | Date | Timestamp) => {
                let value = self.leaf(&inner[..1], ty);
                let which = self.pick(&["min", "max"]);
                format!("(SELECT {which}({value}) FROM {from}{filter})")
            }
            _ => {
                let value = self.leaf(&inner, ty);
                let id = format!("{}.id", inner[0].alias);
                let direction = self.pick(&["", " DESC"]);
                format!("(SELECT {value} FROM {from}{filter} ORDER BY {id}{direction} LIMIT 1)")
            }
        }
    }

    /// A table for a subquery, and its columns before those of the query around it.
    pub(super) fn subscope(&mut self, scope: &[Relation]) -> (String, Vec<Relation>) {
        let table = self.random.pick(&self.tables).clone();
        let alias = self.alias();
        let mut inner = vec![Relation {
            alias: alias.clone(),
            columns: table.columns,
        }];
        inner.extend_from_slice(scope);
        (format!("{} {alias}", table.alias), inner)
    }

    pub(super) fn filter(&mut self, scope: &[Relation], depth: u64) -> String {
        match self.below(5) {
            0 => String::new(),
            _ => format!(" WHERE {}", self.condition(scope, depth)),
        }
    }

    pub(super) fn condition(&mut self, scope: &[Relation], depth: u64) -> String {
        let ty = self.pick_type(&TYPES);
        if depth > 0 && self.below(2) == 0 {
            return self.compound(scope, ty, depth - 1);
        }
        if self.below(12) == 0 {
            return self.constant(scope, ty);
        }
        let value = match depth {
            0 => self.leaf(scope, ty),
            _ => self.expr(scope, ty, depth - 1),
        };
        match self.below(12) {
            0 => format!("{value} IS NULL"),
            1 => format!("{value} IS NOT NULL"),
            2 => {
                let list: Vec<String> = (0..1 + self.below(3)).map(|_| self.compared(ty)).collect();
                let not = self.pick(&["", "NOT "]);
                format!("{value} {not}IN ({})", list.join(", "))
            }
            3 => {
                let word = self.pick(&["BETWEEN", "NOT BETWEEN", "BETWEEN SYMMETRIC"]);
                let (low, high) = (self.leaf(scope, ty), self.leaf(scope, ty));
                format!("{value} {word} {low} AND {high}")
            }
            4 => {
                let not = self.pick(&["", "NOT "]);
                format!("{value} IS {not}DISTINCT FROM {}", self.leaf(scope, ty))
            }
            5 => {
                let pattern =
                    self.pick(&["'a%'", "'%b'", "'_'", "'%'", "'z\\%'", "'z!%' ESCAPE '!'"]);
                let not = self.pick(&["", "NOT "]);
                format!("{} {not}LIKE {pattern}", self.leaf(scope, Text))
            }
            6 => {
                let test = self.pick(&["TRUE", "NOT TRUE", "FALSE", "UNKNOWN", "NOT UNKNOWN"]);
                format!("{} IS {test}", self.leaf(scope, Bool))
            }
            7 => {
                let (a, b) = (self.leaf(scope, Json), self.compared(Json));
                let operator = self.pick(&["@>", "<@"]);
                format!("{a} {operator} {b}")
            }
            8 => {
                let key = self.pick(&["a", "b", "ab"]);
                format!("{} ? '{key}'", self.leaf(scope, Json))
            }
            9 => {
                let (a, b) = (self.moment(scope), self.leaf(scope, Timestamp));
                let (operator, hours) = (self.operator(), self.below(60));
                format!("({a} - {b}) {operator} interval '{hours} hours'")
            }
            _ => {
                let operator = self.operator();
                let with = match self.below(3) {
                    0 => self.compared(ty),
                    _ => self.leaf(scope, ty),
                };
                match self.below(5) {
                    0 => format!("{with} {operator} {value}"),
                    _ => format!("{value} {operator} {with}"),
                }
            }
        }
    }

    /// A condition that says nothing of the rows, or little.
    pub(super) fn constant(&mut self, scope: &[Relation], ty: Type) -> String {
        match self.below(6) {
            0 => {
                let value = self.leaf(scope, ty);
                let operator = self.operator();
                format!("{value} {operator} {value}")
            }
            1 => {
                let (a, b, operator) = (self.typed(&[], ty), self.typed(&[], ty), self.operator());
                format!("{a} {operator} {b}")
            }
            2 => {
                let (a, b) = (self.literal(ty), self.leaf(scope, ty));
                format!("({a} = {b} OR {b} = {a})")
            }
            3 => {
                let (a, b, value) = (self.literal(ty), self.literal(ty), self.leaf(scope, ty));
                format!("({a} = {value} AND {value} = {b})")
            }
            _ => self
                .pick(&[
                    "true",
                    "false",
                    "NULL",
                    "1 = 1",
                    "1 = 2",
                    "NULL = 1",
                    "NOT NULL::bool",
                ])
                .to_string(),
        }
    }

    fn operator(&mut self) -> &'static str {
        self.pick(&["=", "<>", "<", "<=", ">", ">="])
    }

    /// A condition of others or with a subquery or rows.
    fn compound(&mut self, scope: &[Relation], ty: Type, depth: u64) -> String {
        let not = self.pick(&["", "NOT "]);
        if self.below(8) == 0
            && let Some(guarded) = self.guarded(scope, depth)
        {
            return guarded;
        }
        match self.below(8) {
            0 | 1 => {
                let word = self.pick(&["AND", "OR"]);
                let (a, b) = (self.condition(scope, depth), self.condition(scope, depth));
                format!("({a} {word} {b})")
            }
            2 => format!("NOT ({})", self.condition(scope, depth)),
            3 => {
                let (from, inner) = self.subscope(scope);
                let filter = self.filter(&inner, depth);
                format!("{not}EXISTS (SELECT 1 FROM {from}{filter})")
            }
            4 => {
                let (from, inner) = self.subscope(scope);
                let (value, among) = (self.leaf(scope, ty), self.leaf(&inner[..1], ty));
                let filter = self.filter(&inner, depth);
                format!("{value} {not}IN (SELECT {among} FROM {from}{filter})")
            }
            5 => {
                let (from, inner) = self.subscope(scope);
                let operator = self.operator();
                let quantifier = self.pick(&["ANY", "ALL"]);
                let (value, among) = (self.leaf(scope, ty), self.leaf(&inner[..1], ty));
                let filter = self.filter(&inner, depth);
                format!("{value} {operator} {quantifier} (SELECT {among} FROM {from}{filter})")
            }
            6 => {
                let (from, inner) = self.subscope(scope);
                let (a, b) = (self.leaf(scope, Int), self.leaf(scope, ty));
                let (c, d) = (self.leaf(&inner[..1], Int), self.leaf(&inner[..1], ty));
                format!("({a}, {b}) {not}IN (SELECT {c}, {d} FROM {from})")
            }
            _ => {
                let operator = self.operator();
                let (a, b) = (self.leaf(scope, Int), self.leaf(scope, ty));
                let (c, d) = (self.leaf(scope, Int), self.leaf(scope, ty));
                format!("({a}, {b}) {operator} ({c}, {d})")
            }
        }
    }

    /// A condition that would fail for some rows without another before it.
    fn guarded(&mut self, scope: &[Relation], depth: u64) -> Option<String> {
        let x = self.column(scope, Int)?;
        let fails = match self.below(3) {
            0 => format!("12 % {x} = {}", self.below(3)),
            1 => format!("{} / {x} > 2", self.leaf(scope, Int)),
            _ => format!("12 / {x} {} {}", self.operator(), self.below(9)),
        };
        Some(match self.below(4) {
            0 => format!("({x} <> 0 AND {fails})"),
            1 => format!("({x} = 0 OR {fails})"),
            2 => format!("NOT ({x} = 0 OR {fails})"),
            _ => {
                let other = self.condition(scope, depth);
                format!("CASE WHEN {x} <> 0 THEN {fails} ELSE {other} END")
            }
        })
    }

    /// An aggregate of this type.
    pub(super) fn aggregate(&mut self, scope: &[Relation], ty: Type) -> String {
        let filter = match self.below(5) {
            0 => format!(" FILTER (WHERE {})", self.condition(scope, 0)),
            _ => String::new(),
        };
        if ty == Big
            && self.below(8) == 0
            && let Some(x) = self.column(scope, Int)
        {
            let distinct = self.pick(&["", "DISTINCT "]);
            return format!("sum({distinct}12 / {x}) FILTER (WHERE {x} <> 0)");
        }
        let which = self.pick(&["min", "max"]);
        let call = match (ty, self.below(3)) {
            (Big, 0) => "count(*)".to_string(),
            (Big, 1) => {
                let of = self.pick_type(&TYPES);
                let distinct = self.pick(&["", "DISTINCT "]);
                format!("count({distinct}{})", self.leaf(scope, of))
            }
            (Big, _) => format!("sum({})", self.leaf(scope, Int)),
            (Numeric, 0) => format!("sum({})", self.leaf(scope, Numeric)),
            (Plain, 0) => {
                let (distinct, value) = (self.pick(&["", "DISTINCT "]), self.leaf(scope, Plain));
                return format!("trim_scale(sum({distinct}{value}){filter})");
            }
            (Plain, 1) => {
                let value = self.leaf(scope, Plain);
                return format!("trim_scale(avg({value}){filter})");
            }
            (Float, 0) => format!("sum({})", self.leaf(scope, Float)),
            (Text, 0) => {
                let distinct = self.pick(&["", "DISTINCT "]);
                let value = self.typed(scope, Text);
                format!("string_agg({distinct}{value}, ',' ORDER BY {value})")
            }
            (Text, 1) => {
                let of = self.pick_type(&TYPES);
                let value = self.typed(scope, of);
                let direction = self.pick(&["", " DESC"]);
                return format!("array_agg({value} ORDER BY {value}{direction}){filter}::text");
            }
            (Json, _) => {
                let value = self.leaf(scope, Json);
                format!("jsonb_agg({value} ORDER BY {value})")
            }
            (Bool, _) => {
                let which = self.pick(&["bool_and", "bool_or", "every"]);
                format!("{which}({})", self.leaf(scope, Bool))
            }
            _ => format!("{which}({})", self.leaf(scope, ty)),
        };
        format!("{call}{filter}")
    }
}
