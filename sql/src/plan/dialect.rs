//! What PostgreSQL writes as syntax and Tidelog plans as functions: ANY and ALL of arrays, subscripts, intervals,
//! AT TIME ZONE, functions that return sets, aggregates that make json.

mod arrays;
mod records;
mod variadic;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, IntervalFields, ObjectName, TableFactor, TimezoneInfo, Value,
};
use tidelog_storage::datum::NUMERIC_PRECISION_MAX;

use crate::ddl;
use crate::functions::array::{OVERLAPS, quantified};
use crate::functions::{self, UNTAGGED, regexp};
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{parse_query, quoted};

/// Writes these as functions.
pub(super) fn as_functions(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Dialect);
}

pub(super) use records::name_fields;
pub(super) use variadic::spread;

/// Writes numbers with exponents out, once columns have their names.
pub(super) fn write_numbers_out(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Numbers);
}

struct Numbers;

impl ast::VisitorMut for Numbers {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(value) = expr
            && let Value::Number(digits, _) = &value.value
            && let Some(number) = written_out(digits)
        {
            *expr = number;
        }
        ControlFlow::Continue(())
    }
}

struct Dialect;

const UNNEST: &str = "unnest";

/// Whether a function returns a set.
pub(crate) fn gives_set(name: &ObjectName) -> bool {
    name_of(name).is_some_and(|name| is_set(&name))
}

pub(super) fn is_set(name: &str) -> bool {
    name == UNNEST || set_returning(name).is_some()
}

/// The functions that give the rows of a function that returns a set, as arrays: one for each column.
fn set_returning(name: &str) -> Option<Vec<String>> {
    if functions::call::returns_set(name) {
        return Some(vec![functions::call::as_list(name)]);
    }
    let (prefix, rest) = name.split_once('_')?;
    if !matches!(prefix, "json" | "jsonb") {
        return match name {
            "generate_subscripts" => Some(vec!["pg_subscripts".to_string()]),
            "pg_partition_ancestors" => Some(vec!["pg_ancestors".to_string()]),
            _ => None,
        };
    }
    let of = |what: &str| format!("{prefix}_list_of_{what}");
    Some(match rest {
        "array_elements" => vec![of("elements")],
        "array_elements_text" => vec![of("elements_text")],
        "object_keys" => vec![of("keys")],
        "each" => vec![of("each_keys"), of("values")],
        "each_text" => vec![of("each_text_keys"), of("values_text")],
        _ => return None,
    })
}

/// Whether a call of this name is written as one of other functions here.
pub(super) fn is_function(name: &str) -> bool {
    let aggregates = [
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
    ];
    name == "unnest"
        || set_returning(name).is_some()
        || aggregates.contains(&name)
        || records::is_one(name)
}

fn name_of(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [only] => only.as_ident().map(ddl::fold),
        [schema, only] if ddl::fold(schema.as_ident()?) == "pg_catalog" => {
            only.as_ident().map(ddl::fold)
        }
        _ => None,
    }
}

/// The function that an operator is planned as.
fn operator_function(op: &ast::BinaryOperator) -> Option<&'static str> {
    use ast::BinaryOperator::{
        BitwiseAnd, BitwiseOr, PGBitwiseShiftLeft, PGBitwiseShiftRight, PGBitwiseXor, PGExp,
        PGRegexIMatch, PGRegexMatch, PGRegexNotIMatch, PGRegexNotMatch, PGStartsWith,
    };
    Some(match op {
        BitwiseAnd => "&",
        BitwiseOr => "|",
        PGBitwiseXor => "#",
        PGBitwiseShiftLeft => "<<",
        PGBitwiseShiftRight => ">>",
        PGExp => "^",
        PGRegexMatch => "~",
        PGRegexIMatch => "~*",
        PGRegexNotMatch => "!~",
        PGRegexNotIMatch => "!~*",
        PGStartsWith => "^@",
        _ => return None,
    })
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

pub(super) fn call(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(function(name, args.into_iter().map(unnamed).collect()))
}

fn function(name: &str, args: Vec<FunctionArg>) -> Function {
    Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

pub(super) fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

pub(super) fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: ast::CastKind::DoubleColon,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

/// Whether a numeric of this shape has more digits than columns do: a cast to it is one to a numeric without a shape, cut to it.
fn is_wide(shape: &ast::ExactNumberInfo) -> bool {
    let ast::ExactNumberInfo::PrecisionAndScale(precision, scale) = *shape else {
        return false;
    };
    let digits = u64::from(NUMERIC_PRECISION_MAX) + 1..=1000;
    digits.contains(&precision) && u64::try_from(scale).is_ok_and(|scale| scale <= precision)
}

impl ast::VisitorMut for Dialect {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        without_lateral(factor);
        if let TableFactor::UNNEST {
            alias,
            array_exprs,
            with_ordinality,
            ..
        } = factor
        {
            if std::mem::take(with_ordinality) {
                number_rows("unnest", alias, array_exprs);
            }
            arrays::tell_apart(array_exprs);
            return ControlFlow::Continue(());
        }
        let TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality,
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        let Some(name) = name_of(name) else {
            return ControlFlow::Continue(());
        };
        if let Some(fields) = records::fields(&name, args, alias) {
            *factor = fields;
            return ControlFlow::Continue(());
        }
        let lists = match name.as_str() {
            UNNEST => Vec::new(),
            name => match set_returning(name) {
                Some(lists) => lists,
                None => return ControlFlow::Continue(()),
            },
        };
        // DataFusion has a series of constants as a table, which need not be held as a whole.
        if name == "generate_series"
            && !*with_ordinality
            && let Some(constants) = integers(&args.args)
        {
            if constants.iter().all(|value| i32::try_from(*value).is_ok()) {
                *factor = int4_series(&constants, alias.take());
            }
            return ControlFlow::Continue(());
        }
        let given = std::mem::take(&mut args.args);
        let mut array_exprs: Vec<Expr> = match name.as_str() {
            UNNEST => given.into_iter().filter_map(plain_argument).collect(),
            _ => lists
                .iter()
                .map(|list| Expr::Function(function(list, given.clone())))
                .collect(),
        };
        let mut alias = alias.take();
        let alias_of = alias.get_or_insert_with(|| alias_named(&name));
        if alias_of.columns.is_empty() {
            alias_of.columns = match lists.len() {
                2 => columns(&["key", "value"]),
                // An element's column is named `value`, whatever the alias.
                _ if name.contains("elements") => columns(&["value"]),
                _ => Vec::new(),
            };
        }
        if *with_ordinality {
            number_rows(&name, &mut alias, &mut array_exprs);
        }
        arrays::tell_apart(&mut array_exprs);
        *factor = TableFactor::UNNEST {
            alias,
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } if !matches!(**right, Expr::Subquery(_)) => {
                let op = plain(compare_op);
                if let Some(name) = quantified(&op, false).or_else(|| regexp::any_pattern(&op)) {
                    *expr = call(&name, vec![take(left), take(right)]);
                }
            }
            Expr::AllOp {
                left,
                compare_op,
                right,
            } if !matches!(**right, Expr::Subquery(_)) => {
                let op = plain(compare_op);
                if let Some(name) = quantified(&op, true) {
                    *expr = call(&name, vec![take(left), take(right)]);
                } else if let Some(name) =
                    regexp::opposite(&op).and_then(|op| regexp::any_pattern(&op))
                {
                    let any = call(&name, vec![take(left), take(right)]);
                    *expr = Expr::UnaryOp {
                        op: ast::UnaryOperator::Not,
                        expr: Box::new(any),
                    };
                }
            }
            Expr::BinaryOp { left, op, right } if plain(op) == ast::BinaryOperator::PGOverlap => {
                *expr = call(OVERLAPS, vec![take(left), take(right)]);
            }
            Expr::BinaryOp { left, op, right } if operator_function(&plain(op)).is_some() => {
                if let Some(name) = operator_function(&plain(op)) {
                    *expr = call(name, vec![take(left), take(right)]);
                }
            }
            Expr::UnaryOp { op, expr: operand } => {
                let name = match op {
                    // DataFusion asks at once for a number that is one to Arrow.
                    ast::UnaryOperator::Minus if !is_written(operand) => functions::NEGATIVE,
                    ast::UnaryOperator::Plus if !is_written(operand) => functions::POSITIVE,
                    ast::UnaryOperator::PGAbs => "@",
                    ast::UnaryOperator::BitwiseNot => "~",
                    ast::UnaryOperator::PGSquareRoot => "|/",
                    ast::UnaryOperator::PGCubeRoot => "||/",
                    _ => return ControlFlow::Continue(()),
                };
                *expr = call(name, vec![take(operand)]);
            }
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => *expr = call("timezone", vec![take(time_zone), take(timestamp)]),
            Expr::Value(value) => {
                let digits = match &value.value {
                    Value::SingleQuotedByteStringLiteral(bits) => format!("b{bits}"),
                    Value::HexStringLiteral(digits) => format!("x{digits}"),
                    _ => return ControlFlow::Continue(()),
                };
                let digits = Expr::Value(Value::SingleQuotedString(digits).into());
                *expr = call(functions::bits::LITERAL, vec![digits]);
            }
            // Of the length that it has, unlike one that is cast.
            Expr::TypedString(typed) if typed.data_type == DataType::Bit(None) => {
                let digits = Expr::Value(typed.value.clone());
                let bits = call(functions::bits::LITERAL, vec![digits]);
                let any_length = ObjectName::from(vec![quoted("bit")]);
                *expr = cast(bits, DataType::Custom(any_length, Vec::new()));
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice()
                    && let Some(rows) = field_of_rows(root, &ddl::fold(field))
                {
                    *expr = rows;
                    return ControlFlow::Continue(());
                }
                arrays::join_name(root, access_chain);
                let is_subscript = |access: &AccessExpr| matches!(access, AccessExpr::Subscript(_));
                if access_chain.iter().all(is_subscript) {
                    *expr = arrays::subscripted(take(root), std::mem::take(access_chain));
                }
            }
            Expr::Cast {
                expr: inner,
                data_type: DataType::Text | DataType::Varchar(None),
                ..
            } if !matches!(**inner, Expr::Value(_)) => {
                **inner = call(UNTAGGED, vec![take(inner)]);
            }
            Expr::Cast {
                expr: inner,
                data_type:
                    DataType::Numeric(shape) | DataType::Decimal(shape) | DataType::Dec(shape),
                ..
            } if is_wide(shape) => {
                let plain = cast(take(inner), DataType::Numeric(ast::ExactNumberInfo::None));
                let number = |number: String| Expr::Value(Value::Number(number, false).into());
                if let ast::ExactNumberInfo::PrecisionAndScale(precision, scale) = shape {
                    let shape = [precision.to_string(), scale.to_string()].map(number);
                    *expr = call(functions::WIDE, [plain].into_iter().chain(shape).collect());
                }
            }
            Expr::Interval(interval) => {
                if let Some((literal, data_type)) = interval_literal(interval) {
                    let literal = Expr::Value(Value::SingleQuotedString(literal).into());
                    *expr = cast(literal, data_type);
                }
            }
            // DataFusion's own literals do not see the columns of queries around theirs.
            Expr::Array(array) => {
                let elements = std::mem::take(&mut array.elem).into_iter();
                *expr = call(
                    functions::ARRAY,
                    elements.map(super::names::typed).collect(),
                );
            }
            Expr::Cast {
                expr: literal,
                data_type: DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)),
                ..
            } => {
                arrays::cast_elements(literal, element);
                arrays::cast_empty(literal, element);
            }
            Expr::Function(function) => {
                keep_constants(function);
                super::syntax::name_arguments(function);
                match rewrite_function(function) {
                    Some(rewritten) => *expr = rewritten,
                    None => super::syntax::as_function(expr),
                }
            }
            other => super::syntax::as_function(other),
        }
        ControlFlow::Continue(())
    }
}

/// A function in FROM sees the relations before it, with LATERAL and without.
fn without_lateral(factor: &mut TableFactor) {
    if let TableFactor::Function {
        name,
        args,
        with_ordinality,
        alias,
        ..
    } = factor
    {
        *factor = TableFactor::Table {
            name: std::mem::replace(name, ObjectName(Vec::new())),
            alias: alias.take(),
            args: Some(ast::TableFunctionArgs {
                args: std::mem::take(args),
                settings: None,
            }),
            with_hints: Vec::new(),
            version: None,
            with_ordinality: *with_ordinality,
            partitions: Vec::new(),
            json_path: None,
            sample: None,
            index_hints: Vec::new(),
        };
    }
}

/// `(jsonb_each(value)).key`: one field of the rows of a function that returns a set of them.
fn field_of_rows(root: &Expr, field: &str) -> Option<Expr> {
    let function = match root {
        Expr::Nested(inner) => return field_of_rows(inner, field),
        Expr::Function(function) => function,
        _ => return None,
    };
    let lists = set_returning(&name_of(&function.name)?)?;
    let at = ["key", "value"].iter().position(|known| *known == field)?;
    let [keys, values] = lists.as_slice() else {
        return None;
    };
    let mut list = function.clone();
    list.name = ObjectName::from(vec![Ident::new([keys, values][at])]);
    Some(call(UNNEST, vec![Expr::Function(list)]))
}

/// Whether an expression names a column.
pub(super) fn has_column(expr: &Expr) -> bool {
    expr.has_expr(|expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
}

fn plain_argument(arg: FunctionArg) -> Option<Expr> {
    match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

fn alias_named(name: &str) -> ast::TableAlias {
    ast::TableAlias {
        explicit: true,
        name: Ident::new(name),
        columns: Vec::new(),
        at: None,
    }
}

fn columns(names: &[&str]) -> Vec<ast::TableAliasColumnDef> {
    let column = |name: &&str| ast::TableAliasColumnDef {
        name: Ident::new(*name),
        data_type: None,
    };
    names.iter().map(column).collect()
}

/// WITH ORDINALITY: one more list, of the places in the others.
fn number_rows(function: &str, alias: &mut Option<ast::TableAlias>, lists: &mut Vec<Expr>) {
    let count = lists.len();
    lists.push(call(
        &functions::call::as_list("pg_ordinals"),
        lists.clone(),
    ));
    let alias = alias.get_or_insert_with(|| alias_named(function));
    if alias.columns.is_empty() {
        // One column has the relation's name, several have the function's.
        let name = match count {
            1 => alias.name.clone(),
            _ => Ident::new(function),
        };
        let column = ast::TableAliasColumnDef {
            name,
            data_type: None,
        };
        alias.columns = vec![column; count];
    }
    if alias.columns.len() == count {
        alias.columns.extend(columns(&["ordinality"]));
    }
}

/// The arguments of a series, where they are integers as they are written and the step is not 0.
pub(super) fn integers(args: &[FunctionArg]) -> Option<Vec<i64>> {
    let number = |arg: &FunctionArg| {
        let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg else {
            return None;
        };
        let (sign, expr) = match expr {
            Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr,
            } => (-1, &**expr),
            expr => (1, expr),
        };
        match expr {
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => Some(sign * digits.parse::<i64>().ok()?),
                _ => None,
            },
            _ => None,
        }
    };
    let numbers: Vec<i64> = args.iter().map(number).collect::<Option<_>>()?;
    (matches!(numbers.len(), 2 | 3) && numbers.get(2) != Some(&0)).then_some(numbers)
}

/// DataFusion's table of a series, which is of bigints, as one of integers.
fn int4_series(constants: &[i64], alias: Option<ast::TableAlias>) -> TableFactor {
    let name = "generate_series";
    let args: Vec<String> = constants.iter().map(i64::to_string).collect();
    let args = args.join(", ");
    let query = format!("SELECT pg_series::int4 AS {name} FROM pg_series({args})");
    let subquery = parse_query(&query).expect("a query of ours is one");
    let mut alias = alias.unwrap_or_else(|| alias_named(name));
    if alias.columns.is_empty() {
        alias.columns = vec![ast::TableAliasColumnDef {
            name: alias.name.clone(),
            data_type: None,
        }];
    }
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery),
        alias: Some(alias),
        sample: None,
    }
}

/// An operator without `OPERATOR(pg_catalog.…)` around it.
fn plain(op: &ast::BinaryOperator) -> ast::BinaryOperator {
    match op {
        ast::BinaryOperator::PGCustomBinaryOperator(parts) => {
            super::qualified::operator(parts).unwrap_or_else(|| op.clone())
        }
        op => op.clone(),
    }
}

/// Whether an operand is a number, or an interval, that stands in the statement.
fn is_written(operand: &Expr) -> bool {
    match operand {
        Expr::Nested(inner) => is_written(inner),
        Expr::UnaryOp { expr, .. } => is_written(expr),
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => !matches!(written_out(digits), Some(Expr::Cast { .. })),
            _ => false,
        },
        Expr::Interval(_) => true,
        _ => false,
    }
}

/// A number with an exponent as one without, or one of more digits than Arrow's decimals have as a numeric; `None` for what can
/// stay as it is.
fn written_out(digits: &str) -> Option<Expr> {
    const DIGITS_MAX: usize = 76;
    let digits = digits.to_ascii_lowercase();
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if exponent == "0" && whole.len() + fraction.len() <= DIGITS_MAX {
        return None;
    }
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| {
        whole.len() + fraction.len() + exponent.unsigned_abs() as usize <= DIGITS_MAX
    });
    let Some(exponent) = exponent else {
        let literal = Expr::Value(Value::SingleQuotedString(digits).into());
        return Some(cast(literal, DataType::Numeric(ast::ExactNumberInfo::None)));
    };
    let all = format!("{whole}{fraction}");
    let point = whole.len() as i64 + i64::from(exponent);
    let written = match usize::try_from(point) {
        Ok(point) if point >= all.len() => {
            let whole = format!("{all}{}", "0".repeat(point - all.len()));
            let shape = ast::ExactNumberInfo::PrecisionAndScale(whole.len() as u64, 0);
            let number = Expr::Value(Value::Number(whole, false).into());
            return Some(cast(number, DataType::Numeric(shape)));
        }
        Ok(point) if point > 0 => format!("{}.{}", &all[..point], &all[point..]),
        _ => format!("0.{}{all}", "0".repeat(usize::try_from(-point).ok()?)),
    };
    Some(Expr::Value(Value::Number(written, false).into()))
}

/// The text of an interval literal, and the type that the fields behind it make of it.
fn interval_literal(interval: &ast::Interval) -> Option<(String, DataType)> {
    let Expr::Value(value) = &*interval.value else {
        return None;
    };
    let Value::SingleQuotedString(literal) = &value.value else {
        return None;
    };
    use ast::DateTimeField::{Day, Hour, Minute, Month, Second, Year};
    let fields = match (&interval.leading_field, &interval.last_field) {
        (None, _) => None,
        (Some(Year), None) => Some(IntervalFields::Year),
        (Some(Month), None) => Some(IntervalFields::Month),
        (Some(Day), None) => Some(IntervalFields::Day),
        (Some(Hour), None) => Some(IntervalFields::Hour),
        (Some(Minute), None) => Some(IntervalFields::Minute),
        (Some(Second), None) => Some(IntervalFields::Second),
        (Some(Year), Some(Month)) => Some(IntervalFields::YearToMonth),
        (Some(Day), Some(Hour)) => Some(IntervalFields::DayToHour),
        (Some(Day), Some(Minute)) => Some(IntervalFields::DayToMinute),
        (Some(Day), Some(Second)) => Some(IntervalFields::DayToSecond),
        (Some(Hour), Some(Minute)) => Some(IntervalFields::HourToMinute),
        (Some(Hour), Some(Second)) => Some(IntervalFields::HourToSecond),
        (Some(Minute), Some(Second)) => Some(IntervalFields::MinuteToSecond),
        // No fields of PostgreSQL's, but the units are.
        (Some(unit), _) => {
            let data_type = DataType::Interval {
                fields: None,
                precision: None,
            };
            return Some((format!("{literal} {unit}"), data_type));
        }
    };
    let precision = (interval.fractional_seconds_precision).or(interval.leading_precision);
    Some((literal.clone(), DataType::Interval { fields, precision }))
}

/// CURRENT_DATE and its like, as functions of the moment of the transaction, with as many digits of a second as are wanted.
fn clock(name: &str, args: &FunctionArguments) -> Option<Expr> {
    const CLOCKS: [&str; 6] = [
        "current_date",
        "current_time",
        "current_timestamp",
        "localtime",
        "localtimestamp",
        "transaction_timestamp",
    ];
    if !CLOCKS.contains(&name) {
        return None;
    }
    let shown = call(name, vec![call("now", Vec::new())]);
    match args {
        FunctionArguments::None => Some(shown),
        FunctionArguments::List(list) => match list.args.as_slice() {
            [] if name == "transaction_timestamp" => Some(shown),
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(digits)))] => {
                let digits = Some(digits.to_string().parse().ok()?);
                let (with, without) = (TimezoneInfo::Tz, TimezoneInfo::None);
                let data_type = match name {
                    "current_time" => DataType::Time(digits, with),
                    "current_timestamp" => DataType::Timestamp(digits, with),
                    "localtime" => DataType::Time(digits, without),
                    "localtimestamp" => DataType::Timestamp(digits, without),
                    _ => return None,
                };
                Some(cast(shown, data_type))
            }
            _ => None,
        },
        FunctionArguments::Subquery(_) => None,
    }
}

/// The form that `normalize` makes is a keyword: here it is a text.
fn name_form(function: &mut Function) {
    if let FunctionArguments::List(list) = &mut function.args
        && let [_, FunctionArg::Unnamed(FunctionArgExpr::Expr(form))] = list.args.as_mut_slice()
        && let Expr::Identifier(ident) = form
        && ident.quote_style.is_none()
    {
        *form = Expr::Value(Value::SingleQuotedString(ident.value.to_uppercase()).into());
    }
}

/// A number in the ORDER BY of an aggregate's arguments is a constant: without parentheses DataFusion takes it for the place of
/// a column.
fn keep_constants(function: &mut Function) {
    let FunctionArguments::List(list) = &mut function.args else {
        return;
    };
    for clause in &mut list.clauses {
        if let ast::FunctionArgumentClause::OrderBy(keys) = clause {
            for key in keys {
                if let Expr::Value(_) = &key.expr {
                    key.expr = Expr::Nested(Box::new(take(&mut key.expr)));
                }
            }
        }
    }
}

/// Functions that return sets in a select list, and aggregates that make json.
fn rewrite_function(function: &mut Function) -> Option<Expr> {
    let name = name_of(&function.name)?;
    if name == "array" {
        return arrays::prefixed(function);
    }
    if let Some(clock) = clock(&name, &function.args) {
        return Some(clock);
    }
    if name == "normalize" {
        name_form(function);
        return None;
    }
    if let Some(lists) = set_returning(&name) {
        let [list] = lists.as_slice() else {
            return None;
        };
        function.name = ObjectName::from(vec![Ident::new(list)]);
        let inner = Expr::Function(function.clone());
        return Some(call("unnest", vec![inner]));
    }
    let prefix = match name.split_once('_') {
        Some((prefix @ ("json" | "jsonb"), "agg" | "object_agg")) => prefix,
        _ => return None,
    };
    let to_json = if prefix == "json" {
        "to_json"
    } else {
        "to_jsonb"
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    let distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
    let mut args = Vec::new();
    for arg in std::mem::take(&mut list.args) {
        args.push(match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expr,
            // A whole row has the name of its relation.
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                Expr::Identifier(name.0.last()?.as_ident()?.clone())
            }
            _ => return None,
        });
    }
    let aggregate = |expr: Expr| {
        let mut aggregate = function.clone();
        aggregate.name = ObjectName::from(vec![Ident::new("array_agg")]);
        if let FunctionArguments::List(list) = &mut aggregate.args {
            list.args = vec![unnamed(expr)];
        }
        Expr::Function(aggregate)
    };
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(value), None) if name.ends_with("_agg") && !name.contains("object") => {
            // Those to be told apart are values until they have been.
            let element = match (distinct, prefix) {
                (true, _) => value,
                (false, "json") => call("json_element", vec![value]),
                (false, _) => call(to_json, vec![value]),
            };
            let elements = aggregate(element);
            Some(call(&format!("{prefix}_array_of"), vec![elements]))
        }
        (Some(key), Some(value)) if name.contains("object") => {
            let is_open = matches!(&key, Expr::Value(value) if matches!(value.value, ast::Value::Placeholder(_)));
            let keys = aggregate(match is_open {
                true => cast(key, DataType::Text),
                false => call("json_key", vec![key]),
            });
            let values = aggregate(call(to_json, vec![value]));
            Some(call(&format!("{prefix}_object_of"), vec![keys, values]))
        }
        _ => None,
    }
}
