//! `json_to_recordset` and its like in FROM: each column that the statement defines is a list of the values of a field.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, FunctionArg, FunctionArgExpr, Ident, TableAlias, TableAliasColumnDef,
    TableFactor, TableFunctionArgs, Value,
};
use tidelog_storage::Catalog;

use super::{alias_named, call, cast, name_of, null, plain_argument};
use crate::parse::walk::WalkMut;
use crate::parse::{parse_expression, quoted};
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
    let columns = &mut alias.as_mut()?.columns;
    let typed = !columns.is_empty() && columns.iter().all(|column| column.data_type.is_some());
    if !is_one(name) || populates(name).is_some() || !typed || args.args.len() != 1 {
        return None;
    }
    let json = plain_argument(args.args.remove(0))?;
    let field = |column: TableAliasColumnDef| {
        let data_type = column.data_type?;
        Some((ddl::fold(&column.name), column.name, data_type))
    };
    let columns = std::mem::take(columns).into_iter().filter_map(field);
    let columns = columns.collect();
    Some(rows(name, &json, columns, alias.take()?))
}

/// The rows of a function of columns that are defined: of each the field's name, its own, and its type.
fn rows(
    function: &str,
    json: &Expr,
    columns: Vec<(String, Ident, DataType)>,
    mut alias: TableAlias,
) -> TableFactor {
    let list = function.replacen('_', "_list_of_", 1);
    let mut array_exprs = Vec::with_capacity(columns.len());
    alias.columns.clear();
    for (field, name, data_type) in columns {
        let field = Expr::Value(Value::SingleQuotedString(field).into());
        let args = vec![json.clone(), field, cast(null(), data_type)];
        array_exprs.push(call(&list, args));
        alias.columns.push(TableAliasColumnDef {
            name,
            data_type: None,
        });
    }
    TableFactor::UNNEST {
        array_exprs,
        alias: Some(alias),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    }
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
            && let Some(json) = args.args.pop().and_then(plain_argument)
        {
            let alias = alias.take().unwrap_or_else(|| alias_named(&called));
            *factor = rows(function, &json, columns, alias);
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
    ) -> Option<Vec<(String, Ident, DataType)>> {
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(row)), _] = args.args.as_slice() else {
            return None;
        };
        let Expr::Cast {
            expr,
            data_type: DataType::Custom(name, modifiers),
            ..
        } = row
        else {
            return None;
        };
        let is_null = matches!(&**expr, Expr::Value(value) if value.value == Value::Null);
        if !is_null || !modifiers.is_empty() {
            return None;
        }
        let table = ddl::resolve(self.catalog, self.search_path, name).ok()?;
        let given = alias.map_or(&[][..], |alias| &alias.columns);
        let columns = table.columns.iter().enumerate().map(|(at, column)| {
            let ty = parse_expression(&format!("NULL::{}", types::name(column.ty))).ok()?;
            let Expr::Cast { data_type, .. } = ty else {
                return None;
            };
            let name = given.get(at).map(|given| given.name.clone());
            let name = name.unwrap_or_else(|| quoted(&column.name));
            Some((column.name.clone(), name, data_type))
        });
        columns.collect()
    }
}
