//! What fills the columns that an INSERT or a COPY leaves out.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{self, Expr};
use tidelog_storage::{Catalog, ColumnDef, ColumnType, Datum, SequenceDef, TableDef, TableId};

use super::Session;
use super::expression::is_of_its_moment;
use crate::ddl;
use crate::error::SqlError;
use crate::parse::parse_expression;
use crate::row::{Default, constant};
use crate::text::Style;

/// The defaults of a table's columns, and what they were found for.
pub(super) struct Defaults {
    table: TableId,
    catalog_version: u64,
    search_path: Vec<String>,
    style: Style,
    by_column: Arc<[Default]>,
}

impl Session {
    /// The defaults of a table, by column.
    pub(crate) fn defaults(
        &self,
        table: &TableDef,
        catalog: &Catalog,
    ) -> Result<Arc<[Default]>, SqlError> {
        let (search_path, style) = (self.search_path(), self.style());
        let same = |kept: &Defaults| {
            kept.table == table.id
                && kept.catalog_version == catalog.version
                && kept.search_path == search_path
                && kept.style == style
        };
        if let Some(kept) = self.defaults.find(same) {
            return Ok(kept.by_column.clone());
        }
        let columns = table.columns.iter();
        let default = |column| default_of(column, catalog, &search_path, style);
        let by_column: Arc<[Default]> = columns.map(default).collect::<Result<_, _>>()?;
        let of_moment =
            |column: &ColumnDef| column.default.as_deref().is_some_and(is_of_its_moment);
        if !table.columns.iter().any(of_moment) {
            self.defaults.keep(Arc::new(Defaults {
                table: table.id,
                catalog_version: catalog.version,
                search_path,
                style,
                by_column: by_column.clone(),
            }));
        }
        Ok(by_column)
    }
}

fn default_of(
    column: &ColumnDef,
    catalog: &Catalog,
    search_path: &[String],
    style: Style,
) -> Result<Default, SqlError> {
    let Some(sql) = &column.default else {
        return Ok(Default::Value(Datum::Null));
    };
    let expr = parse_expression(sql)?;
    if let Some(sequence) = drawn_from(&expr, catalog, search_path) {
        return Ok(Default::Sequence(sequence));
    }
    let is_timestamp = matches!(
        column.ty,
        ColumnType::Timestamp(_) | ColumnType::TimestampTz(_)
    );
    Ok(match sql.to_ascii_lowercase().replace(' ', "").as_str() {
        "now()" | "current_timestamp" if is_timestamp => Default::Now,
        "snowflake_id()" if column.ty == ColumnType::Int8 => Default::SnowflakeId,
        _ => match constant(&expr, column.ty, &[], &[], &column.name, style)? {
            Some(value) => Default::Value(value),
            None => Default::Expression(Box::new(expr)),
        },
    })
}

/// The sequence of a default that does nothing but draw from one.
fn drawn_from(expr: &Expr, catalog: &Catalog, search_path: &[String]) -> Option<Arc<SequenceDef>> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let ast::FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg))] = list.args.as_slice() else {
        return None;
    };
    let name = ddl::fold(call.name.0.last()?.as_ident()?);
    let literal = match arg {
        Expr::Cast { expr, .. } => crate::parse::literal_text(expr)?,
        arg => crate::parse::literal_text(arg)?,
    };
    let parts = crate::system::functions::name_parts(&literal);
    let parts: Vec<ast::Ident> = parts.iter().map(|p| crate::parse::quoted(p)).collect();
    let found = ddl::sequence::resolve(catalog, search_path, &ast::ObjectName::from(parts));
    (name == "nextval").then(|| found.ok().cloned()).flatten()
}
