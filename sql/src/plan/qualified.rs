//! What catalog queries write with `pg_catalog.` before it, or cast to and from the reg types, told to DataFusion.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName,
    TableFactor, Value, VisitMut,
};

use crate::ddl;
use crate::parse::parse_query;

/// Takes `pg_catalog.` from functions and operators, drops collations that compare as Tidelog does, and writes
/// casts to `regclass` and its like as functions.
pub(super) fn simplify(query: &mut ast::Query) {
    let _ = VisitMut::visit(query, &mut Qualified);
}

struct Qualified;

impl ast::VisitorMut for Qualified {
    type Break = ();

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
        // There are no partitions, and no foreign tables with options.
        let none = match function.as_str() {
            "pg_partition_tree" => {
                "SELECT 0::oid AS relid, 0::oid AS parentrelid, false AS isleaf, 0 AS level WHERE false"
            }
            "pg_options_to_table" => {
                "SELECT ''::text AS option_name, ''::text AS option_value WHERE false"
            }
            _ => "",
        };
        if !none.is_empty() {
            let Ok(none) = parse_query(none) else {
                unreachable!("a constant query");
            };
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(none),
                alias: alias.take(),
                sample: None,
            };
            return ControlFlow::Continue(());
        }
        // `FROM current_schema()`: a relation of one row.
        let list = std::mem::take(&mut args.args);
        let alias = alias.take();
        let value = function_call(&function, list);
        let mut query = match parse_query("SELECT 1 AS value") {
            Ok(query) => query,
            Err(_) => unreachable!("a constant query"),
        };
        if let ast::SetExpr::Select(select) = &mut *query.body {
            select.projection = vec![ast::SelectItem::UnnamedExpr(value)];
        }
        *factor = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias,
            sample: None,
        };
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                unqualify(&mut function.name);
            }
            Expr::BinaryOp { op, .. } => {
                if let BinaryOperator::PGCustomBinaryOperator(parts) = op
                    && let Some(plain) = operator(parts)
                {
                    *op = plain;
                }
            }
            Expr::Collate {
                expr: inner,
                collation,
            } if matches!(
                collation.0.last().and_then(|part| part.as_ident()),
                Some(name) if matches!(name.value.as_str(), "default" | "C" | "POSIX" | "ucs_basic")
            ) =>
            {
                *expr = std::mem::replace(&mut **inner, null());
            }
            Expr::Cast {
                expr: inner,
                data_type,
                ..
            } => {
                if let Some(name) = reg_type(data_type) {
                    let literal = matches!(&**inner, Expr::Value(_));
                    let direction = if literal { "in" } else { "out" };
                    let inner = std::mem::replace(&mut **inner, null());
                    *expr = call(&format!("{name}_{direction}"), inner);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn unqualify(name: &mut ObjectName) {
    let qualified = matches!(name.0.as_slice(), [schema, _]
        if schema.as_ident().is_some_and(|schema| ddl::fold(schema) == "pg_catalog"));
    if qualified {
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
        "||" => BinaryOperator::StringConcat,
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

/// `regclass` and its like, without `pg_catalog.`.
fn reg_type(ty: &DataType) -> Option<String> {
    let name = ty.to_string().to_ascii_lowercase();
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
