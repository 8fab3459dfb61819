//! What PostgreSQL calls things that a query leaves without a name, told to DataFusion as aliases.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArguments, Ident, SelectItem, SetExpr, TableFactor, Value,
};
use tidelog_storage::ColumnType;

use super::calls::common_type;
use super::numerics;
use crate::functions::array::{OVERLAPS, is_quantified};
use crate::notify::{CHANNELS_ARRAY, PG_LISTENING_CHANNELS};
use crate::parse::walk::WalkMut;
use crate::parse::{parse_expression, parse_type};
use crate::row::{infer, placeholder};
use crate::{ddl, functions, precision, types};

/// Stands between a column's name and a number where DataFusion must be told two columns of one name apart.
const AGAIN: char = '\u{1}';

/// A name that is shown as this one, and that no column has.
pub(super) fn again(name: &str) -> String {
    format!("{name}{AGAIN}")
}

/// A result column's name as the client sees it.
pub(crate) fn shown(name: &str) -> &str {
    name.split_once(AGAIN).map_or(name, |(name, _)| name)
}

/// Names columns and functions in FROM as PostgreSQL does, and types parameters by the casts around them.
pub(super) fn follow_postgres(
    query: &mut ast::Query,
    parameters: &mut Vec<Option<ColumnType>>,
    user_types: types::UserTypes<'_>,
) {
    if let Some(select) = top_select(&mut query.body) {
        name_columns(&mut select.projection, true);
    }
    // The top comes by again, and has names then.
    let _ = query.walk_mut(&mut Conventions {
        parameters,
        user_types,
    });
}

/// The select whose columns the whole query's are.
fn top_select(body: &mut SetExpr) -> Option<&mut ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::SetOperation { left, .. } => top_select(left),
        SetExpr::Query(query) => top_select(&mut query.body),
        _ => None,
    }
}

struct Conventions<'a> {
    parameters: &'a mut Vec<Option<ColumnType>>,
    user_types: types::UserTypes<'a>,
}

impl ast::VisitorMut for Conventions<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        name_columns(&mut select.projection, false);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            alias,
            args: Some(_),
            ..
        } = factor
            && name.to_string().eq_ignore_ascii_case(PG_LISTENING_CHANNELS)
            && let Some(array) = channels_array()
        {
            let function = Ident::new(PG_LISTENING_CHANNELS);
            let alias = alias.take().unwrap_or_else(|| ast::TableAlias {
                explicit: true,
                name: function,
                columns: Vec::new(),
                at: None,
            });
            *factor = TableFactor::UNNEST {
                alias: Some(alias),
                array_exprs: vec![array],
                with_offset: false,
                with_offset_alias: None,
                with_ordinality: false,
            };
        }
        let lists = match factor {
            TableFactor::UNNEST { array_exprs, .. } => array_exprs.len(),
            _ => 1,
        };
        let (function, alias) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: Some(_),
                ..
            } => match name.0.last().and_then(|part| part.as_ident()) {
                Some(function) => (function.clone(), alias),
                None => return ControlFlow::Continue(()),
            },
            TableFactor::UNNEST { alias, .. } => (Ident::new("unnest"), alias),
            _ => return ControlFlow::Continue(()),
        };
        // `FROM generate_series(1, 3) g`: a relation g with one column g.
        let alias = alias.get_or_insert_with(|| ast::TableAlias {
            explicit: true,
            name: function,
            columns: Vec::new(),
            at: None,
        });
        if alias.columns.is_empty() && lists == 1 {
            alias.columns.push(ast::TableAliasColumnDef {
                name: alias.name.clone(),
                data_type: None,
            });
        }
        for at in alias.columns.len()..lists {
            alias.columns.push(ast::TableAliasColumnDef {
                name: Ident::with_quote('"', format!("{}{at}", again("unnest"))),
                data_type: None,
            });
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        type_values(&mut query.body);
        if let Some(ast::LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            let offset = offset.iter_mut().map(|offset| &mut offset.value);
            for count in limit.iter_mut().chain(offset) {
                while let Expr::Nested(inner) = count {
                    *count = super::dialect::take(inner);
                }
                self.type_parameter(count, ColumnType::Int8);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && call
                .name
                .to_string()
                .eq_ignore_ascii_case(PG_LISTENING_CHANNELS)
            && let Ok(rows) = parse_expression(&format!("unnest({CHANNELS_ARRAY}())"))
        {
            *expr = rows;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        call_as_cast(expr);
        if let Expr::Cast {
            expr, data_type, ..
        } = expr
            && let Some(ty) = (types::column_type_among(data_type, self.user_types).ok())
                .or_else(|| super::counting_type(data_type))
        {
            self.type_parameter(expr, ty);
        }
        type_results(expr);
        ControlFlow::Continue(())
    }
}

/// Types whose names can be called as functions, which cast.
const CAST_BY_CALL: [&str; 18] = [
    "bool",
    "bpchar",
    "bytea",
    "cidr",
    "date",
    "float4",
    "float8",
    "inet",
    "int2",
    "int4",
    "int8",
    "json",
    "jsonb",
    "name",
    "oid",
    "text",
    "timestamptz",
    "uuid",
];

/// `date(x)` as `x::date`. Its column is called after the function by now.
fn call_as_cast(expr: &mut Expr) {
    let Expr::Function(call) = &*expr else {
        return;
    };
    let name = match call.name.0.as_slice() {
        [name] => name.as_ident(),
        [schema, name] => (schema.as_ident())
            .filter(|schema| ddl::fold(schema) == "pg_catalog")
            .and(name.as_ident()),
        _ => None,
    };
    let name = name.map(ddl::fold);
    if let Some(name) = name.filter(|name| CAST_BY_CALL.contains(&name.as_str()))
        && let (None, None) = (&call.over, &call.filter)
        && let FunctionArguments::List(list) = &call.args
        && let (None, [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(value))]) =
            (list.duplicate_treatment, list.args.as_slice())
        && let Ok(data_type) = crate::parse::parse_type(&name)
    {
        *expr = Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(value.clone()),
            data_type,
            array: false,
            format: None,
        };
    }
}

/// The call that gives the array behind `pg_listening_channels()`.
fn channels_array() -> Option<Expr> {
    parse_expression(&format!("{CHANNELS_ARRAY}()")).ok()
}

impl Conventions<'_> {
    /// Types a parameter that stands where only this type can.
    fn type_parameter(&mut self, expr: &Expr, ty: ColumnType) {
        if let Expr::Value(value) = expr
            && let Value::Placeholder(name) = &value.value
            && let Ok(index) = placeholder(name)
        {
            infer(self.parameters, index, ty);
        }
    }
}

fn name_columns(projection: &mut [SelectItem], is_top: bool) {
    let has_star = projection.iter().any(|item| {
        matches!(
            item,
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)
        )
    });
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut columns: HashSet<Expr> = HashSet::new();
    let mut aliases: HashSet<String> = HashSet::new();
    for item in projection {
        let (name, is_column) = match item {
            SelectItem::UnnamedExpr(expr) => (
                name_of(expr).map_or("?column?".to_string(), |(name, _)| name),
                matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
            ),
            SelectItem::ExprWithAlias { alias, .. } => (ddl::fold(alias), false),
            _ => continue,
        };
        let times = seen.entry(name.clone()).or_insert(0);
        *times += 1;
        let again = *times > 1 || (is_top && is_column && has_star);
        // A relation inside the query may have a name twice as long as nobody asks for it, but not a column, nor beside
        // what has no name of its own.
        let is_repeated = match item {
            SelectItem::UnnamedExpr(expr) if is_column => {
                !columns.insert(expr.clone()) || aliases.contains(&name)
            }
            _ => {
                aliases.insert(name.clone());
                false
            }
        };
        if is_column && !(again && is_top) && !is_repeated {
            continue;
        }
        let name = if again {
            format!("{name}{AGAIN}{times}")
        } else {
            name
        };
        let named = Ident::with_quote('"', name);
        *item = match std::mem::replace(item, SelectItem::Wildcard(Default::default())) {
            SelectItem::UnnamedExpr(expr) => SelectItem::ExprWithAlias {
                expr: typed(expr),
                alias: named,
            },
            SelectItem::ExprWithAlias { expr, alias } => SelectItem::ExprWithAlias {
                expr: typed(expr),
                alias: if again { named } else { alias },
            },
            other => other,
        };
    }
}

/// Gives the bare strings and NULLs of a column of VALUES the type that all its other values are cast to.
fn share_casts(rows: &mut [ast::Parens<Vec<Expr>>]) {
    let width = rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    for at in 0..width {
        let is_open = |expr: &Expr| {
            let value = matches!(expr, Expr::Value(value) if matches!(
                value.value,
                Value::SingleQuotedString(_) | Value::Null
            ));
            value.then_some(())
        };
        let mut casts = (rows.iter()).map(|row| &row.content[at]);
        let Some(Some(shared)) =
            casts.try_fold(None, |shared: Option<&Expr>, expr| match (expr, shared) {
                (
                    Expr::Cast { data_type, .. },
                    Some(Expr::Cast {
                        data_type: other, ..
                    }),
                ) => (data_type == other).then_some(shared),
                (Expr::Cast { .. }, _) => Some(Some(expr)),
                (expr, shared) => is_open(expr).map(|()| shared),
            })
        else {
            continue;
        };
        let mut shared = shared.clone();
        if let Expr::Cast { data_type, .. } = &mut shared
            && let Ok(ty) = types::column_type(data_type)
            && let plain = precision::unlimited(ty)
            && plain != ty
            && keeps_name(plain)
            && let Ok(plain) = parse_type(&types::name(plain))
        {
            // What the one keeps of its value is not what the others keep of theirs.
            *data_type = plain;
        }
        for row in rows.iter_mut() {
            let item = &mut row.content[at];
            if is_open(item).is_none() {
                continue;
            }
            let mut cast = shared.clone();
            if let Expr::Cast { expr, .. } = &mut cast {
                std::mem::swap(&mut **expr, item);
            }
            *item = cast;
        }
    }
}

/// Whether the type without modifier means the same when it is written; `character` and `bit` are of one.
fn keeps_name(ty: ColumnType) -> bool {
    ty == ColumnType::Varchar(None) || precision::spelled(ty) != ty
}

/// What an item of VALUES says of its type.
enum Said {
    /// A bare string or NULL.
    Nothing,
    Type(ColumnType),
    /// That is known once it is planned.
    Later,
}

fn said(expr: &Expr) -> Said {
    match expr {
        Expr::Nested(inner) => said(inner),
        Expr::Cast { data_type, .. } => {
            types::column_type(data_type).map_or(Said::Later, Said::Type)
        }
        Expr::TypedString(typed) => {
            types::column_type(&typed.data_type).map_or(Said::Later, Said::Type)
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(_) | Value::Null => Said::Nothing,
            Value::Number(digits, _) => Said::Type(if digits.parse::<i32>().is_ok() {
                ColumnType::Int4
            } else if digits.parse::<i64>().is_ok() {
                ColumnType::Int8
            } else {
                numerics::shape_of(digits).unwrap_or(ColumnType::Numeric(None))
            }),
            _ => Said::Later,
        },
        Expr::UnaryOp {
            op: ast::UnaryOperator::Minus | ast::UnaryOperator::Plus,
            expr,
        } => said(expr),
        // Of two numbers a number: with a scale of its own, where one of them is a numeric.
        Expr::BinaryOp { left, right, .. } => match (said(left), said(right)) {
            (Said::Type(left), Said::Type(right)) => match numerics::common_type(left, right) {
                Some(_) => Said::Type(ColumnType::Numeric(None)),
                None => Said::Later,
            },
            _ => Said::Later,
        },
        _ => Said::Later,
    }
}

/// Casts the items of a column of VALUES to the type that they are together, where they say different floats or times, or
/// types that differ in what they keep.
fn share_types(rows: &mut [ast::Parens<Vec<Expr>>]) {
    use ColumnType::{Date, Float4, Float8, Numeric, Time, TimeTz, Timestamp, TimestampTz};
    let width = rows.iter().map(|row| row.content.len()).min().unwrap_or(0);
    for at in 0..width {
        let all: Vec<Said> = rows.iter().map(|row| said(&row.content[at])).collect();
        if all.iter().any(|said| matches!(said, Said::Later)) {
            continue;
        }
        let types = all.iter().filter_map(|said| match said {
            Said::Type(ty) => Some(*ty),
            _ => None,
        });
        let types: Vec<ColumnType> = types.collect();
        let tagged = types.iter().any(|ty| ty.tag().is_some());
        let common = match common_type(types.iter().copied()) {
            // DataFusion wants all items to say the same, and a cast to a type that says nothing would leave them as they are.
            Some(common)
                if tagged && types.iter().any(|ty| *ty != common) && keeps_name(common) =>
            {
                precision::spelled(common)
            }
            Some(common @ Numeric(None)) => common,
            Some(
                common @ (Float4 | Float8 | Date | Time(_) | TimeTz(_) | Timestamp(_)
                | TimestampTz(_)),
            ) => common,
            _ => continue,
        };
        for (row, said) in rows.iter_mut().zip(&all) {
            let item = &mut row.content[at];
            let is_other = !matches!(said, Said::Type(ty) if *ty == common);
            let cast = format!("CAST({item} AS {})", types::name(common));
            if is_other && let Ok(cast) = parse_expression(&cast) {
                *item = cast;
            }
        }
    }
}

/// Types the integers of VALUES lists.
fn type_values(body: &mut SetExpr) {
    match body {
        SetExpr::Values(values) => {
            share_casts(&mut values.rows);
            share_types(&mut values.rows);
            for item in values
                .rows
                .iter_mut()
                .flat_map(|row| row.content.iter_mut())
            {
                let expr = std::mem::replace(item, Expr::Value(Value::Null.into()));
                *item = typed(expr);
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            type_values(left);
            type_values(right);
        }
        _ => {}
    }
}

/// Types the integers that an expression may have as its value.
fn type_results(expr: &mut Expr) {
    let small = |expr: &mut Expr| {
        let taken = std::mem::replace(expr, Expr::Value(Value::Null.into()));
        *expr = typed(taken);
    };
    match expr {
        Expr::Case {
            conditions,
            else_result,
            ..
        } => {
            let results = conditions.iter_mut().map(|when| &mut when.result);
            results.chain(else_result.as_deref_mut()).for_each(small);
        }
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            let taken = match name.map(ddl::fold).as_deref() {
                Some("coalesce" | "nullif" | "greatest" | "least") => usize::MAX,
                Some(
                    "min" | "max" | "sum" | "array_agg" | "array_fill" | "lag" | "lead"
                    | "first_value" | "last_value" | "nth_value",
                ) => 1,
                _ => return,
            };
            let FunctionArguments::List(list) = &mut function.args else {
                return;
            };
            for arg in list.args.iter_mut().take(taken) {
                if let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)) = arg {
                    small(arg);
                }
            }
        }
        _ => {}
    }
}

/// An integer that stands alone in a select list or in VALUES, or is a value of CASE and its like, is an int4 where it
/// fits, which DataFusion's is not.
pub(super) fn typed(expr: Expr) -> Expr {
    let mut number = &expr;
    let mut sign = "";
    loop {
        number = match number {
            Expr::Nested(inner) => inner,
            Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: inner,
            } => {
                sign = if sign.is_empty() { "-" } else { "" };
                inner
            }
            Expr::UnaryOp {
                op: ast::UnaryOperator::Plus,
                expr: inner,
            } => inner,
            _ => break,
        };
    }
    match number {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) if format!("{sign}{digits}").parse::<i32>().is_ok() => {
                Expr::Cast {
                    kind: ast::CastKind::DoubleColon,
                    expr: Box::new(expr),
                    data_type: ast::DataType::Int4(None),
                    array: false,
                    format: None,
                }
            }
            _ => expr,
        },
        _ => expr,
    }
}

/// The name that an expression gives its column, and whether a cast around it leaves it that name.
/// After FigureColname in PostgreSQL's parse_target.c.
pub(crate) fn name_of(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_string(), true));
    match expr {
        Expr::Identifier(ident) => Some((ddl::fold(ident), true)),
        Expr::CompoundIdentifier(parts) => Some((ddl::fold(parts.last()?), true)),
        Expr::Nested(expr) | Expr::Collate { expr, .. } => name_of(expr),
        Expr::Cast {
            expr, data_type, ..
        } => match name_of(expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some((type_name(data_type), false)),
        },
        Expr::TypedString(typed) => Some((type_name(&typed.data_type), false)),
        Expr::Interval(_) => Some(("interval".to_string(), false)),
        Expr::Function(function) => {
            let name = ddl::fold(function.name.0.last()?.as_ident()?);
            if matches!(&*name, crate::functions::UNTAGGED | crate::functions::WIDE)
                && let FunctionArguments::List(list) = &function.args
                && let [
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(inner)),
                    ..,
                ] = list.args.as_slice()
            {
                return name_of(inner);
            }
            if name == super::qualified::GET_FIELD
                && let FunctionArguments::List(list) = &function.args
                && let [
                    _,
                    ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(Expr::Value(field))),
                ] = list.args.as_slice()
            {
                return strong(&field.value.clone().into_string()?);
            }
            let first = match &function.args {
                FunctionArguments::List(list) => match list.args.first() {
                    Some(ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(first))) => {
                        Some(first)
                    }
                    _ => None,
                },
                _ => None,
            };
            if let Some(renamed) = renamed(&name, first) {
                return renamed;
            }
            // These are keywords in PostgreSQL's grammar and keep the value's name, as a cast does.
            if matches!(function.args, FunctionArguments::None) {
                return Some((name.to_ascii_lowercase(), true));
            }
            Some((name, true))
        }
        Expr::Case { else_result, .. } => else_result
            .as_deref()
            .and_then(name_of)
            .filter(|(_, strong)| *strong)
            .or(Some(("case".to_string(), false))),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::Ceil { .. }
        | Expr::Extract { .. }
        | Expr::Floor { .. }
        | Expr::Overlay { .. }
        | Expr::Position { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. } => {
            let mut call = expr.clone();
            super::syntax::as_function(&mut call);
            name_of(&call)
        }
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Subquery(query) if matches!(*query.body, SetExpr::Values(_)) => strong("column1"),
        Expr::Subquery(query) => match query.body.as_select()?.projection.first()? {
            SelectItem::UnnamedExpr(expr) => name_of(expr),
            SelectItem::ExprWithAlias { alias, .. } => Some((ddl::fold(alias), true)),
            _ => None,
        },
        _ => None,
    }
}

/// What a function that stands for something else is called after; `None` for others.
fn renamed(name: &str, first: Option<&Expr>) -> Option<Option<(String, bool)>> {
    let strong = |name: String| Some(Some((name, true)));
    if functions::call::is_operator(name) || is_quantified(name) || name == OVERLAPS {
        return Some(None);
    }
    match (name, first) {
        // A subscript keeps the array's name.
        ("pg_element" | "pg_slice", Some(array)) => return Some(name_of(array)),
        (functions::ARRAY | "pg_or_empty", _) => return strong("array".to_string()),
        (functions::bits::LITERAL, _) => return Some(None),
        ("unnest", Some(array)) if super::unnested::of_flat(array).is_some() => return None,
        ("unnest", Some(Expr::Function(inner))) => {
            let inner = ddl::fold(inner.name.0.last()?.as_ident()?);
            if let Some(set) = functions::call::of_list(&inner) {
                return strong(set.to_string());
            }
            return match inner.split_once("_list_of_") {
                Some((json, "keys")) => strong(format!("{json}_object_keys")),
                Some((json, rest)) => strong(format!("{json}_array_{rest}")),
                None if inner.starts_with("pg_expanded_") => {
                    strong(inner.trim_start_matches("pg_expanded_").to_string())
                }
                None if inner == super::qualified::ACL_ROWS => strong("aclexplode".to_string()),
                None if inner == "pg_subscripts" => strong("generate_subscripts".to_string()),
                None => None,
            };
        }
        _ => {}
    }
    // What was a cast to a reg type.
    let suffixes = ["_of", "_out"];
    if let Some(cast) = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix))
        && cast.starts_with("reg")
    {
        let inner = first.and_then(name_of).filter(|(_, strong)| *strong);
        return Some(inner.or(Some((cast.to_string(), false))));
    }
    match name.split_once('_')? {
        (json @ ("json" | "jsonb"), "array_of") => strong(format!("{json}_agg")),
        (json @ ("json" | "jsonb"), "object_of") => strong(format!("{json}_object_agg")),
        _ => None,
    }
}

fn type_name(ty: &ast::DataType) -> String {
    if let ast::DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) = ty {
        return type_name(element);
    }
    types::column_type(ty).map_or_else(
        |_| match ty {
            // Without its schema.
            ast::DataType::Custom(name, _) if let Some(last) = name.0.last() => {
                last.as_ident().map_or_else(String::new, ddl::fold)
            }
            ty => ty.to_string().to_ascii_lowercase(),
        },
        types::internal_name,
    )
}
