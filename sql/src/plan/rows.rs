//! Whole rows in `to_json(t)`, `to_jsonb(t)` and `row_to_json(t)`: an object of the relation's columns, which are known
//! before planning where the relation is of the catalog or a query that names them. In a select list, and cast to text,
//! the text of a row.
//!
//! Does not: tell a row that an outer join has filled up with NULLs from one that has them.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem, SetExpr, TableFactor,
};
use tidelog_storage::Catalog;

use crate::functions::UNTAGGED;
use crate::functions::json::NEW_LINE;
use crate::parse::walk::WalkMut;
use crate::parse::{parse_expression, quoted};
use crate::{ddl, system};

/// Writes whole rows in these functions as objects, and what a function in FROM gives that is no row as its column.
pub(super) fn expand(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    let _ = query.walk_mut(&mut Rows::new(catalog, search_path));
}

/// What is known of a query's relations before it is planned.
pub(super) struct Rows<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
    /// The columns of common table expressions.
    pub(super) ctes: HashMap<String, Option<Vec<String>>>,
}

/// What a FROM item is called and, where they are known, its columns.
pub(super) type Relation = (String, Option<Vec<String>>);

impl ast::VisitorMut for Rows<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        tables.for_each(|cte| self.know(cte));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let relations = self.relations(&select.from);
        let scalars = scalars(&select.from);
        let calls = &mut Calls {
            rows: self,
            relations: &relations,
            scalars: &scalars,
            inner: Vec::new(),
        };
        name_groups(select, calls);
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
            else {
                continue;
            };
            if let (Expr::Identifier(name), Some(value)) = (&*expr, calls.scalar(expr)) {
                let alias = name.clone();
                *expr = value;
                if let SelectItem::UnnamedExpr(expr) = item {
                    let expr = super::dialect::take(expr);
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                continue;
            }
            let Some(record) = calls.record(expr) else {
                continue;
            };
            let name = super::names::name_of(expr);
            *expr = record;
            if let SelectItem::UnnamedExpr(expr) = item {
                let expr = super::dialect::take(expr);
                let alias = quoted(name.as_ref().map_or("?column?", |(name, _)| name));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        let _ = select.walk_mut(calls);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order)) = (&*query.body, &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        let scalars = scalars(&select.from);
        if scalars.is_empty() {
            return ControlFlow::Continue(());
        }
        let relations = self.relations(&select.from);
        let given = |name: &str| {
            select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if ddl::fold(alias) == name)
            })
        };
        let open: Vec<_> = (scalars.into_iter())
            .filter(|(name, _)| !given(name))
            .collect();
        let _ = order.walk_mut(&mut Calls {
            rows: self,
            relations: &relations,
            scalars: &open,
            inner: Vec::new(),
        });
        ControlFlow::Continue(())
    }
}

/// The functions in FROM that give values instead of rows: what they are called, and their only columns.
fn scalars(from: &[ast::TableWithJoins]) -> Vec<(String, String)> {
    let factors = from.iter().flat_map(|from| {
        let joined = from.joins.iter().map(|join| &join.relation);
        std::iter::once(&from.relation).chain(joined)
    });
    let scalar = |factor: &TableFactor| match factor {
        TableFactor::UNNEST {
            alias: Some(alias),
            array_exprs,
            ..
        } => match (array_exprs.as_slice(), alias.columns.as_slice()) {
            ([_], [column]) => Some((ddl::fold(&alias.name), ddl::fold(&column.name))),
            _ => None,
        },
        _ => None,
    };
    factors.filter_map(scalar).collect()
}

/// Puts what the select list calls so in the place of names in ROLLUP and its like, unless they are columns of FROM.
fn name_groups(select: &mut ast::Select, calls: &Calls<'_>) {
    let ast::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        return;
    };
    if calls.relations.iter().any(|(_, columns)| columns.is_none()) {
        return;
    }
    for set in exprs {
        let (Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets)) = set else {
            continue;
        };
        for expr in sets.iter_mut().flatten() {
            let Expr::Identifier(name) = &*expr else {
                continue;
            };
            let name = ddl::fold(name);
            let item = select.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if ddl::fold(alias) == name => {
                    Some(expr.clone())
                }
                _ => None,
            });
            if let Some(item) = item.filter(|_| !calls.has_column(&name)) {
                *expr = item;
            }
        }
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(catalog: &'a Catalog, search_path: &'a [String]) -> Rows<'a> {
        Rows {
            catalog,
            search_path,
            ctes: HashMap::new(),
        }
    }

    /// Looks at the columns of a common table expression.
    pub(super) fn know(&mut self, cte: &ast::Cte) {
        let columns = self.aliased(&cte.alias, |rows| rows.columns_of(&cte.query.body));
        self.ctes.insert(ddl::fold(&cte.alias.name), columns);
    }

    pub(super) fn relations(&self, from: &[ast::TableWithJoins]) -> Vec<Relation> {
        let factors = from.iter().flat_map(|from| {
            let joined = from.joins.iter().map(|join| &join.relation);
            std::iter::once(&from.relation).chain(joined)
        });
        factors.filter_map(|factor| self.relation(factor)).collect()
    }

    /// The relations of a query that is one select.
    pub(super) fn of_body(&self, body: &SetExpr) -> Vec<Relation> {
        match body {
            SetExpr::Select(select) => self.relations(&select.from),
            _ => Vec::new(),
        }
    }

    /// Columns under the names that an alias gives them.
    pub(super) fn aliased(
        &self,
        alias: &ast::TableAlias,
        columns: impl FnOnce(&Self) -> Option<Vec<String>>,
    ) -> Option<Vec<String>> {
        let mut columns = columns(self)?;
        for (column, given) in columns.iter_mut().zip(&alias.columns) {
            *column = ddl::fold(&given.name);
        }
        Some(columns)
    }

    pub(super) fn relation(&self, factor: &TableFactor) -> Option<Relation> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let last = ddl::fold(name.0.last()?.as_ident()?);
                let columns = self.columns_of_table(name, &last);
                Some(match alias {
                    None => (last, columns),
                    Some(alias) => (ddl::fold(&alias.name), self.aliased(alias, |_| columns)),
                })
            }
            TableFactor::Derived {
                subquery,
                alias: Some(alias),
                ..
            } => Some((
                ddl::fold(&alias.name),
                self.aliased(alias, |rows| rows.columns_of(&subquery.body)),
            )),
            // A function that gives rows.
            TableFactor::UNNEST {
                alias: Some(alias), ..
            } if alias.columns.len() > 1 => {
                let columns = alias.columns.iter().map(|column| ddl::fold(&column.name));
                Some((ddl::fold(&alias.name), Some(columns.collect())))
            }
            _ => None,
        }
    }

    fn columns_of_table(&self, name: &ast::ObjectName, last: &str) -> Option<Vec<String>> {
        if name.0.len() == 1
            && let Some(columns) = self.ctes.get(last)
        {
            return columns.clone();
        }
        let schema = match name.0.len() {
            2 => Some(ddl::fold(name.0[0].as_ident()?)),
            _ => None,
        };
        if let Ok(table) = ddl::resolve(self.catalog, self.search_path, name) {
            return Some(table.columns.iter().map(|c| c.name.clone()).collect());
        }
        let view = ddl::view::find_view(self.catalog, self.search_path, schema.as_deref(), last);
        if let Some(view) = view {
            return Some(view.columns.iter().map(|(name, _)| name.clone()).collect());
        }
        let relation = system::relation(schema.as_deref(), last)?;
        Some(relation.column_names())
    }

    /// The names of a query's columns, with their marks; `None` when it does not tell all of them.
    pub(super) fn columns_of(&self, body: &SetExpr) -> Option<Vec<String>> {
        let select = match body {
            SetExpr::Select(select) => select,
            SetExpr::Query(query) => return self.columns_of(&query.body),
            SetExpr::SetOperation { left, .. } => return self.columns_of(left),
            SetExpr::Values(values) => {
                let width = values.rows.first()?.content.len();
                return Some((1..=width).map(|at| format!("column{at}")).collect());
            }
            _ => return None,
        };
        let mut columns = Vec::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = super::names::name_of(expr);
                    columns.push(name.map_or("?column?".to_string(), |(name, _)| name));
                }
                SelectItem::ExprWithAlias { alias, .. } => columns.push(ddl::fold(alias)),
                SelectItem::Wildcard(_) => {
                    for (_, of) in self.starred(&select.from)? {
                        columns.extend(of?);
                    }
                }
                SelectItem::QualifiedWildcard(kind, _) => {
                    let wanted = kind.to_string();
                    let relations = self.relations(&select.from);
                    let (_, of) = relations.into_iter().find(|(name, _)| {
                        wanted == format!("{name}.*") || wanted == format!("{}.*", quoted(name))
                    })?;
                    columns.extend(of?);
                }
                _ => return None,
            }
        }
        Some(columns)
    }
}

impl Rows<'_> {
    /// The relations whose columns `*` gives; `None` where it does not give all columns of each.
    pub(super) fn starred(&self, from: &[ast::TableWithJoins]) -> Option<Vec<Relation>> {
        let plain = |join: &ast::Join| {
            let said = join.to_string();
            !said.contains("NATURAL") && !said.contains("USING(")
        };
        let joins = from.iter().flat_map(|from| &from.joins);
        let relations = self.relations(from);
        let count: usize = from.iter().map(|from| 1 + from.joins.len()).sum();
        (joins.into_iter().all(plain) && relations.len() == count).then_some(relations)
    }
}

struct Calls<'a> {
    rows: &'a Rows<'a>,
    relations: &'a [Relation],
    scalars: &'a [(String, String)],
    /// The relations of the selects inside that are being looked at.
    inner: Vec<Vec<Relation>>,
}

impl ast::VisitorMut for Calls<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        self.inner.push(self.rows.relations(&select.from));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut ast::Select) -> ControlFlow<()> {
        self.inner.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(object) = self.object(expr) {
            *expr = object;
        }
        if let Some(value) = self.scalar(expr) {
            *expr = value;
        }
        if let Expr::Cast {
            expr,
            data_type: ast::DataType::Text | ast::DataType::Varchar(None),
            ..
        } = expr
            && let Some(record) = self.record(expr)
        {
            **expr = record;
        }
        ControlFlow::Continue(())
    }
}

impl Calls<'_> {
    /// The columns of the relation that a name alone means, unless it is a column.
    fn columns(&self, row: &str) -> Option<&[String]> {
        if self.has_column(row) {
            return None;
        }
        let (_, columns) = self.relations.iter().find(|(name, _)| name == row)?;
        columns.as_deref()
    }

    fn has_column(&self, name: &str) -> bool {
        let is_column = |(_, columns): &Relation| columns.iter().flatten().any(|c| c == name);
        self.relations.iter().any(is_column)
            || self.scalars.iter().any(|(_, column)| column == name)
    }

    /// The column that the name of a function in FROM alone means, where it gives no rows.
    fn scalar(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Identifier(ident) = expr else {
            return None;
        };
        let name = ddl::fold(ident);
        let (relation, column) = self
            .scalars
            .iter()
            .find(|(relation, _)| *relation == name)?;
        // A select inside may have a column of this name.
        let hides = |(_, columns): &Relation| match columns {
            Some(columns) => columns.contains(&name),
            None => true,
        };
        let inside = self.inner.iter().skip(1).flatten().any(hides);
        if self.has_column(&name) || inside {
            return None;
        }
        Some(Expr::CompoundIdentifier(vec![
            quoted(relation),
            quoted(column),
        ]))
    }

    /// `t`, `(a, b)` or `ROW(a, b)` as the text of a row.
    fn record(&self, expr: &Expr) -> Option<Expr> {
        if let Expr::Function(function) = expr
            && function.name.to_string() == UNTAGGED
            && let FunctionArguments::List(list) = &function.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] = list.args.as_slice()
        {
            return self.record(inner);
        }
        let fields = match expr {
            Expr::Identifier(ident) => {
                let row = ddl::fold(ident);
                let column =
                    |name: &String| Expr::CompoundIdentifier(vec![quoted(&row), quoted(name)]);
                self.columns(&row)?.iter().map(column).collect()
            }
            expr => super::subqueries::fields(expr)?,
        };
        Some(super::dialect::call("pg_record", fields))
    }

    fn object(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Function(function) = expr else {
            return None;
        };
        let name = ddl::fold(function.name.0.last()?.as_ident()?);
        let FunctionArguments::List(list) = &function.args else {
            return None;
        };
        let (row, pretty) = match list.args.as_slice() {
            [row] => (row, false),
            [
                row,
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pretty))),
            ] if name == "row_to_json" => (row, pretty.value == ast::Value::Boolean(true)),
            _ => return None,
        };
        let members = match row {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(row))) => {
                self.members(row)?
            }
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                self.members(name.0.last()?.as_ident()?)?
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(row)) => {
                let fields = super::subqueries::fields(row)?.into_iter().zip(1..);
                let member = |(field, n): (Expr, usize)| (format!("f{n}"), field.to_string());
                fields.map(member).collect()
            }
            _ => return None,
        };
        match name.as_str() {
            "to_jsonb" => jsonb(&members),
            "to_json" | "row_to_json" => json("{", &members, pretty),
            "json_element" => json(&format!("{NEW_LINE}{{"), &members, false),
            _ => None,
        }
    }

    /// The columns of a relation, as what they are shown as and how they are written.
    fn members(&self, row: &ast::Ident) -> Option<Vec<(String, String)>> {
        let row = ddl::fold(row);
        let columns = self.columns(&row)?.iter();
        let member = |name: &String| {
            let column = format!("{}.{}", quoted(&row), quoted(name));
            (super::shown(name).to_string(), column)
        };
        Some(columns.map(member).collect())
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn jsonb(members: &[(String, String)]) -> Option<Expr> {
    let member = |(name, value): &(String, String)| format!("{}, {value}", literal(name));
    let members: Vec<String> = members.iter().map(member).collect();
    parse_expression(&format!("jsonb_build_object({})", members.join(", "))).ok()
}

/// The text of a row's json has no spaces, unlike that of json_build_object.
fn json(open: &str, members: &[(String, String)], pretty: bool) -> Option<Expr> {
    let comma = if pretty { ",\n " } else { "," };
    let member = |(at, (name, value)): (usize, &(String, String))| {
        let mut key = String::from(if at == 0 { open } else { comma });
        crate::json::write_string(name, &mut key);
        key.push(':');
        let value = format!("to_json({value})::text");
        format!("{} || coalesce({value}, 'null')", literal(&key))
    };
    let members: Vec<String> = members.iter().enumerate().map(member).collect();
    let text = match members.is_empty() {
        true => literal(&format!("{open}}}")),
        false => format!("{} || '}}'", members.join(" || ")),
    };
    parse_expression(&format!("({text})::json")).ok()
}
