//! What catalog queries write with `pg_catalog.` before it, or cast to and from the reg types, told to DataFusion.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{
    self, AccessExpr, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, Ident,
    ObjectName, TableFactor, Value,
};

use tidelog_storage::{ColumnType, RegType};

use crate::ddl;
use crate::parse::parse_query;
use crate::parse::walk::WalkMut;

/// Takes `pg_catalog.` from functions and operators, drops collations that compare as Tidelog does, and writes
/// casts to `regclass` and its like as functions.
pub(super) fn simplify(query: &mut ast::Query) {
    let _ = query.walk_mut(&mut Qualified);
}

struct Qualified;

impl ast::VisitorMut for Qualified {
    type Break = ();

    /// `SELECT columns.* FROM information_schema.columns`: the table is called by its own name.
    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let starred = select.projection.iter().filter_map(|item| match item {
            ast::SelectItem::QualifiedWildcard(
                ast::SelectItemQualifiedWildcardKind::ObjectName(name),
                _,
            ) => match name.0.as_slice() {
                [only] => only.as_ident().map(ddl::fold),
                _ => None,
            },
            _ => None,
        });
        let starred: Vec<String> = starred.collect();
        if starred.is_empty() {
            return ControlFlow::Continue(());
        }
        for from in &mut select.from {
            let joined = from.joins.iter_mut().map(|join| &mut join.relation);
            for factor in std::iter::once(&mut from.relation).chain(joined) {
                if let TableFactor::Table {
                    name,
                    alias: alias @ None,
                    args: None,
                    ..
                } = factor
                    && let [_, .., last] = name.0.as_slice()
                    && let Some(last) = last.as_ident()
                    && starred.contains(&ddl::fold(last))
                {
                    *alias = Some(ast::TableAlias {
                        explicit: true,
                        name: last.clone(),
                        columns: Vec::new(),
                        at: None,
                    });
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table {
            name,
            alias,
            args: Some(args),
            ..
        } = factor
        else {
            return ControlFlow::Continue(());
        };
        unqualify(name);
        let [only] = name.0.as_slice() else {
            return ControlFlow::Continue(());
        };
        let Some(function) = only.as_ident().map(ddl::fold) else {
            return ControlFlow::Continue(());
        };
        // Tables of DataFusion's that stand for a series of constants.
        if matches!(function.as_str(), "generate_series" | "pg_series") {
            return ControlFlow::Continue(());
        }
        // There are no partitions, no foreign tables with options, and no rights but the default ones.
        let query = match function.as_str() {
            "pg_partition_tree" => {
                "SELECT 0::oid AS relid, 0::oid AS parentrelid, false AS isleaf, 0 AS level WHERE false"
            }
            "pg_options_to_table" => {
                "SELECT ''::text AS option_name, ''::text AS option_value WHERE false"
            }
            ACL_EXPLODE => {
                "SELECT 0::oid AS grantor, 0::oid AS grantee, ''::text AS privilege_type, false AS is_grantable WHERE false"
            }
            "pg_get_keywords" => &KEYWORDS,
            "pg_show_all_settings" => "SELECT * FROM pg_catalog.pg_settings",
            "pg_available_extensions" => {
                "SELECT name, default_version, comment FROM pg_catalog.pg_available_extensions"
            }
            "pg_available_extension_versions" => {
                "SELECT * FROM pg_catalog.pg_available_extension_versions"
            }
            _ => "",
        };
        let mut alias = alias.take().unwrap_or_else(|| ast::TableAlias {
            explicit: true,
            name: Ident::with_quote('"', &function),
            columns: Vec::new(),
            at: None,
        });
        if !query.is_empty() {
            let Ok(query) = parse_query(query) else {
                unreachable!("a query of ours");
            };
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(query),
                alias: Some(alias),
                sample: None,
            };
            return ControlFlow::Continue(());
        }
        // `FROM current_schema()`: a relation of one row.
        let list = std::mem::take(&mut args.args);
        if alias.columns.is_empty() {
            alias.columns.push(ast::TableAliasColumnDef {
                name: alias.name.clone(),
                data_type: None,
            });
        }
        let value = function_call(&function, list);
        let lateral = super::dialect::has_column(&value);
        let mut query = match parse_query("SELECT 1 AS value") {
            Ok(query) => query,
            Err(_) => unreachable!("a constant query"),
        };
        if let ast::SetExpr::Select(select) = &mut *query.body {
            select.projection = vec![ast::SelectItem::UnnamedExpr(value)];
        }
        *factor = TableFactor::Derived {
            lateral,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                unqualify(&mut function.name);
                if let Some(ty) = true_type(function) {
                    *expr = ty;
                    return ControlFlow::Continue(());
                }
                let rows = match &function.name {
                    name if expands_array(name) => EXPANDED,
                    name if name.to_string() == ACL_EXPLODE => ACL_ROWS,
                    _ => return ControlFlow::Continue(()),
                };
                if let ast::FunctionArguments::List(list) = &mut function.args {
                    let rows = function_call(rows, std::mem::take(&mut list.args));
                    *expr = call("unnest", rows);
                }
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let [AccessExpr::Dot(Expr::Identifier(field))] = access_chain.as_slice() else {
                    return ControlFlow::Continue(());
                };
                let field = ddl::fold(field);
                let fields = matches!(field.as_str(), "x" | "n");
                if let Some(list) = expanded(root).filter(|_| fields) {
                    list.name = ObjectName::from(vec![Ident::new(format!("{EXPANDED}_{field}"))]);
                    *expr = std::mem::replace(&mut **root, null());
                } else {
                    let row = std::mem::replace(&mut **root, null());
                    let field = Expr::Value(Value::SingleQuotedString(field).into());
                    *expr = super::dialect::call(GET_FIELD, vec![row, field]);
                }
            }
            Expr::BinaryOp { op, .. } => {
                let plain = match op {
                    BinaryOperator::PGCustomBinaryOperator(parts) => operator(parts),
                    // Those of text_pattern_ops: texts compare by their bytes in any case.
                    BinaryOperator::Custom(name) => match name.as_str() {
                        "~<~" => Some(BinaryOperator::Lt),
                        "~<=~" => Some(BinaryOperator::LtEq),
                        "~>~" => Some(BinaryOperator::Gt),
                        "~>=~" => Some(BinaryOperator::GtEq),
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(plain) = plain {
                    *op = plain;
                }
            }
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(name) = reg_type(data_type) {
                    let inner = std::mem::replace(&mut **inner, null());
                    *expr = call(&format!("{name}_of"), inner);
                } else if let Some(names) = reg_list(inner, data_type) {
                    *expr = names;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The query behind pg_get_keywords().
static KEYWORDS: LazyLock<String> = LazyLock::new(|| {
    let lines = include_str!("pg_get_keywords.csv").lines().skip(1);
    let rows = lines.map(|line| {
        let fields: Vec<String> = line.split(',').map(|field| format!("'{field}'")).collect();
        format!("({})", fields.join(", "))
    });
    let rows: Vec<String> = rows.collect();
    format!(
        "SELECT word, catcode::\"char\", barelabel = 't' AS barelabel, catdesc, baredesc FROM (VALUES {}) AS keywords (word, catcode, barelabel, catdesc, baredesc)",
        rows.join(", ")
    )
});

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

/// DataFusion's function that gives a field of a row.
pub(super) const GET_FIELD: &str = "get_field";

/// The function that gives the rows of `_pg_expandarray` as an array; with `_x` or `_n` one field of them.
const EXPANDED: &str = "pg_expanded";

/// The set-returning function of the rights in an access list, and that which gives its rows as an array.
const ACL_EXPLODE: &str = "aclexplode";
pub(super) const ACL_ROWS: &str = "pg_acl_rows";

/// The call of that in `(information_schema._pg_expandarray(…))`.
fn expanded(root: &mut Expr) -> Option<&mut ast::Function> {
    let function = match root {
        Expr::Nested(inner) => return expanded(inner),
        Expr::Function(function) => function,
        _ => return None,
    };
    let ast::FunctionArguments::List(list) = &mut function.args else {
        return None;
    };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Function(inner)))] =
        list.args.as_mut_slice()
    else {
        return None;
    };
    (inner.name.to_string() == EXPANDED).then_some(inner)
}

/// The one set-returning function of information_schema that clients call.
fn expands_array(name: &ObjectName) -> bool {
    let parts = name.0.iter().filter_map(|part| part.as_ident());
    let parts: Vec<String> = parts.map(ddl::fold).collect();
    parts == ["information_schema", "_pg_expandarray"]
}

/// Functions of information_schema.
const STANDARDS: [&str; 4] = [
    "_pg_char_max_length",
    "_pg_index_position",
    TRUE_TYPE,
    TRUE_MODIFIER,
];
const TRUE_TYPE: &str = "_pg_truetypid";
const TRUE_MODIFIER: &str = "_pg_truetypmod";

/// The type or the modifier of the rows `(a.*, t.*)` of pg_attribute and pg_type: that of a domain is its base's.
fn true_type(function: &ast::Function) -> Option<Expr> {
    let columns = match function.name.to_string().as_str() {
        TRUE_TYPE => ("atttypid", "typbasetype"),
        TRUE_MODIFIER => ("atttypmod", "typtypmod"),
        _ => return None,
    };
    let ast::FunctionArguments::List(list) = &function.args else {
        return None;
    };
    let [
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(attribute)),
        FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(ty)),
    ] = list.args.as_slice()
    else {
        return None;
    };
    let written = format!(
        "CASE WHEN {ty}.typtype = 'd' THEN {ty}.{} ELSE {attribute}.{} END",
        columns.1, columns.0
    );
    crate::parse::parse_expression(&written).ok()
}

fn unqualify(name: &mut ObjectName) {
    let [schema, function] = name.0.as_slice() else {
        return;
    };
    let (Some(schema), Some(function)) = (schema.as_ident(), function.as_ident()) else {
        return;
    };
    // The standard's schema has functions of its own.
    let is_found = match ddl::fold(schema).as_str() {
        "pg_catalog" => true,
        "information_schema" => STANDARDS.contains(&ddl::fold(function).as_str()),
        _ => false,
    };
    if is_found {
        name.0.remove(0);
    }
}

/// The operator that `OPERATOR(pg_catalog.…)` names.
pub(super) fn operator(parts: &[String]) -> Option<BinaryOperator> {
    Some(match parts.last()?.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "^" => BinaryOperator::PGExp,
        "||" => BinaryOperator::StringConcat,
        "&" => BinaryOperator::BitwiseAnd,
        "|" => BinaryOperator::BitwiseOr,
        "#" => BinaryOperator::PGBitwiseXor,
        "<<" => BinaryOperator::PGBitwiseShiftLeft,
        ">>" => BinaryOperator::PGBitwiseShiftRight,
        "^@" => BinaryOperator::PGStartsWith,
        "&&" => BinaryOperator::PGOverlap,
        "@>" => BinaryOperator::AtArrow,
        "<@" => BinaryOperator::ArrowAt,
        "->" => BinaryOperator::Arrow,
        "->>" => BinaryOperator::LongArrow,
        "#>" => BinaryOperator::HashArrow,
        "#>>" => BinaryOperator::HashLongArrow,
        "#-" => BinaryOperator::HashMinus,
        "?" => BinaryOperator::Question,
        "?|" => BinaryOperator::QuestionPipe,
        "?&" => BinaryOperator::QuestionAnd,
        "@?" => BinaryOperator::AtQuestion,
        "@@" => BinaryOperator::AtAt,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}

/// `regclass[]` and its like.
pub(super) fn reg_array(ty: &DataType) -> Option<ColumnType> {
    let DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) = ty else {
        return None;
    };
    let of = RegType::named(&reg_type(element)?)?;
    ColumnType::Reg(of).array()
}

/// `'{a,b}'::regclass[]` as the array of each name's number.
fn reg_list(literal: &Expr, ty: &DataType) -> Option<Expr> {
    let DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) = ty else {
        return None;
    };
    let name = reg_type(element)?;
    let Expr::Value(value) = literal else {
        return None;
    };
    let Value::SingleQuotedString(names) = &value.value else {
        return None;
    };
    let names = names.trim().strip_prefix('{')?.strip_suffix('}')?;
    let element = |element: &str| {
        let element = Value::SingleQuotedString(element.trim().trim_matches('"').to_string());
        call(&format!("{name}_of"), Expr::Value(element.into()))
    };
    let elem = names.split(',').map(element).collect();
    Some(Expr::Array(ast::Array { elem, named: true }))
}

/// `regclass` and its like, without `pg_catalog.`.
fn reg_type(ty: &DataType) -> Option<String> {
    let name = ty.to_string().to_ascii_lowercase().replace('"', "");
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    matches!(
        name,
        "regclass"
            | "regtype"
            | "regnamespace"
            | "regrole"
            | "regprocedure"
            | "regoper"
            | "regoperator"
    )
    .then(|| name.to_string())
}

fn call(name: &str, argument: Expr) -> Expr {
    function_call(
        name,
        vec![FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))],
    )
}

fn function_call(name: &str, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(ast::Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
