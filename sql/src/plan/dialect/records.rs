//! `json_to_recordset` and its like in FROM: each column that the statement defines is a list of the values of a field.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, TableAlias, TableAliasColumnDef,
    TableFactor, TableFunctionArgs, Value,
};
use tidelog_storage::Catalog;

use super::{alias_named, call, cast, name_of, null, plain_argument};
use crate::parse::parse_expression;
use crate::parse::walk::WalkMut;
use crate::{ddl, types};

/// Whether a function gives rows of columns that the statement defines.
pub(super) fn is_one(name: &str) -> bool {
    matches!(
        name,
        "json_to_record" | "json_to_recordset" | "jsonb_to_record" | "jsonb_to_recordset"
    ) || populates(name).is_some()
}

/// The function of columns that the statement defines which does the same for those of a table.
fn populates(name: &str) -> Option<&'static str> {
    Some(match name {
        "json_populate_record" => "json_to_record",
        "json_populate_recordset" => "json_to_recordset",
        "jsonb_populate_record" => "jsonb_to_record",
        "jsonb_populate_recordset" => "jsonb_to_recordset",
        _ => return None,
    })
}

/// The rows of such a function; `None` for other functions, and where a column has no type.
pub(super) fn fields(
    name: &str,
    args: &mut TableFunctionArgs,
    alias: &mut Option<TableAlias>,
) -> Option<TableFactor> {
    let (prefix, of) = name.split_once('_').filter(|_| populates(name).is_none())?;
    let columns = &mut alias.as_mut()?.columns;
    let typed = !columns.is_empty() && columns.iter().all(|column| column.data_type.is_some());
    if !is_one(name) || !typed || args.args.len() != 1 {
        return None;
    }
    let json = plain_argument(args.args.remove(0))?;
    let list = format!("{prefix}_list_of_{of}");
    let field = |column: &mut TableAliasColumnDef| {
        let field = Value::SingleQuotedString(ddl::fold(&column.name));
        let ty = cast(null(), column.data_type.take()?);
        Some(call(
            &list,
            vec![json.clone(), Expr::Value(field.into()), ty],
        ))
    };
    Some(TableFactor::UNNEST {
        array_exprs: columns.iter_mut().filter_map(field).collect(),
        alias: alias.take(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    })
}

/// Writes `json_populate_recordset(NULL::t, json)` and its like in FROM as functions of columns that the statement defines.
pub(in crate::plan) fn name_fields(
    query: &mut ast::Query,
    catalog: &Catalog,
    search_path: &[String],
) {
    let _ = query.walk_mut(&mut Populates {
        catalog,
        search_path,
    });
}

struct Populates<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
}

impl ast::VisitorMut for Populates<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        super::without_lateral(factor);
        if let TableFactor::Table {
            name,
            alias,
            args: Some(args),
            with_ordinality: false,
            ..
        } = factor
            && let Some(called) = name_of(name)
            && let Some(function) = populates(&called)
            && let Some(columns) = self.columns(args, alias.as_ref())
        {
            args.args.remove(0);
            *name = ObjectName::from(vec![Ident::new(function)]);
            alias.get_or_insert_with(|| alias_named(&called)).columns = columns;
        }
        ControlFlow::Continue(())
    }

    /// What is left of them is refused by the function's name, not by that of a type.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && name_of(&function.name).is_some_and(|name| populates(&name).is_some())
            && let ast::FunctionArguments::List(list) = &mut function.args
            && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(row))) = list.args.first_mut()
        {
            *row = null();
        }
        ControlFlow::Continue(())
    }
}

impl Populates<'_> {
    /// The columns of the table whose row type the first argument, a NULL, has.
    fn columns(
        &self,
        args: &TableFunctionArgs,
        alias: Option<&TableAlias>,
    ) -> Option<Vec<TableAliasColumnDef>> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(row)), _] = args.args.as_slice() else {
            return None;
        };
        let Expr::Cast {
            expr,
            data_type: ast::DataType::Custom(name, modifiers),
            ..
        } = row
        else {
            return None;
        };
        let is_null = matches!(&**expr, Expr::Value(value) if value.value == Value::Null);
        // Fields are found by the table's names, so that others cannot be given.
        let renames = alias.is_some_and(|alias| !alias.columns.is_empty());
        if !is_null || !modifiers.is_empty() || renames {
            return None;
        }
        let table = ddl::resolve(self.catalog, self.search_path, name).ok()?;
        let columns = table.columns.iter().map(|column| {
            let ty = parse_expression(&format!("NULL::{}", types::name(column.ty))).ok()?;
            let Expr::Cast { data_type, .. } = ty else {
                return None;
            };
            Some(TableAliasColumnDef {
                name: Ident::with_quote('"', &column.name),
                data_type: Some(data_type),
            })
        });
        columns.collect()
    }
}
