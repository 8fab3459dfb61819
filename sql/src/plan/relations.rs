//! What is known of a query's relations before it is planned: what they are called, and their columns' names.

use std::collections::{HashMap, HashSet};

use datafusion::sql::sqlparser::ast::{
    self, Expr, JoinConstraint, JoinOperator, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableFactor, TableWithJoins,
};
use tidelog_storage::{Catalog, TableDef};

use crate::parse::quoted;
use crate::{ddl, system};

/// The relations that names in FROM mean.
pub(super) struct Relations<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
    /// The columns of common table expressions.
    ctes: HashMap<String, Option<Vec<String>>>,
}

/// A relation of FROM.
pub(super) struct Relation {
    pub(super) name: String,
    /// The schema that may stand before its name, as which it is known when no alias hides it.
    pub(super) schema: Option<String>,
    /// Its columns, where they are known.
    pub(super) columns: Option<Vec<String>>,
    /// Whether it is a function that gives values instead of rows: its name alone means its only column.
    pub(super) is_scalar: bool,
    /// Whether an outer join may fill it up with NULLs.
    pub(super) is_padded: bool,
    /// A column that is not NULL in any row of it.
    pub(super) never_null: Option<String>,
}

impl Relation {
    fn new(name: String, columns: Option<Vec<String>>) -> Relation {
        Relation {
            name,
            schema: None,
            columns,
            is_scalar: false,
            is_padded: false,
            never_null: None,
        }
    }

    /// Whether it is known to have a column of this name.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().flatten().any(|name| name == column)
    }

    /// A column of it.
    pub(super) fn column(&self, name: &str) -> Expr {
        Expr::CompoundIdentifier(vec![quoted(&self.name), quoted(name)])
    }

    /// Whether `….*` means its columns.
    pub(super) fn is_meant(&self, wildcard: &SelectItemQualifiedWildcardKind) -> bool {
        match wildcard {
            SelectItemQualifiedWildcardKind::ObjectName(name) => {
                name.0.len() == 1 && last_of(name).as_ref() == Some(&self.name)
            }
            SelectItemQualifiedWildcardKind::Expr(_) => false,
        }
    }

    /// `*` of it, spelled out where its columns are known.
    pub(super) fn star(&self) -> Vec<SelectItem> {
        match &self.columns {
            Some(columns) => (columns.iter())
                .map(|name| SelectItem::UnnamedExpr(self.column(name)))
                .collect(),
            None => vec![SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(vec![quoted(&self.name)].into()),
                ast::WildcardAdditionalOptions::default(),
            )],
        }
    }
}

impl<'a> Relations<'a> {
    pub(super) fn new(catalog: &'a Catalog, search_path: &'a [String]) -> Relations<'a> {
        Relations {
            catalog,
            search_path,
            ctes: HashMap::new(),
        }
    }

    /// Looks at the columns of a common table expression. Those of one name are not told apart yet: what they will be
    /// called is not known.
    pub(super) fn know(&mut self, cte: &ast::Cte) {
        let columns = self.columns_of(&cte.query.body);
        let columns = columns.map(|columns| aliased(&cte.alias, columns));
        let columns = columns.filter(|columns| all_differ(columns));
        self.ctes.insert(ddl::fold(&cte.alias.name), columns);
    }

    /// Looks at the columns of all common table expressions of a query.
    pub(super) fn know_all(&mut self, query: &ast::Query) {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        tables.for_each(|cte| self.know(cte));
    }

    /// The relations of FROM that have names.
    pub(super) fn of(&self, from: &[TableWithJoins]) -> Vec<Relation> {
        from.iter().flat_map(|from| self.joined(from)).collect()
    }

    fn joined(&self, from: &TableWithJoins) -> Vec<Relation> {
        let side = |factor: &TableFactor| match factor {
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => self.joined(table_with_joins),
            factor => self.relation(factor).into_iter().collect(),
        };
        let mut relations = side(&from.relation);
        for join in &from.joins {
            use JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
            let mut joined = side(&join.relation);
            let (before, after) = match &join.join_operator {
                Left(_) | LeftOuter(_) => (false, true),
                Right(_) | RightOuter(_) => (true, false),
                FullOuter(_) => (true, true),
                _ => (false, false),
            };
            relations.iter_mut().for_each(|of| of.is_padded |= before);
            joined.iter_mut().for_each(|of| of.is_padded |= after);
            relations.append(&mut joined);
        }
        relations
    }

    /// The relations of a query that is one select.
    pub(super) fn of_body(&self, body: &SetExpr) -> Vec<Relation> {
        match body {
            SetExpr::Select(select) => self.of(&select.from),
            _ => Vec::new(),
        }
    }

    /// A FROM item that is no join; `None` where it has no name.
    pub(super) fn relation(&self, factor: &TableFactor) -> Option<Relation> {
        let (alias, columns) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let columns = self.columns_of_table(name);
                let table = match columns {
                    Some(_) if !self.is_cte(name) => self.table(name),
                    _ => None,
                };
                let given = alias.iter().flat_map(|alias| &alias.columns);
                let is_plain = given.count() == 0;
                let own = last_of(name)?;
                let called = alias
                    .as_ref()
                    .map_or(own.clone(), |alias| ddl::fold(&alias.name));
                let columns = match alias {
                    None => columns,
                    Some(alias) => columns.map(|columns| aliased(alias, columns)),
                };
                return Some(Relation {
                    never_null: table
                        .filter(|_| is_plain)
                        .and_then(|table| table.columns.iter().find(|column| column.not_null))
                        .map(|column| column.name.clone()),
                    schema: (called == own).then(|| self.schema_of(name)).flatten(),
                    ..Relation::new(called, columns)
                });
            }
            TableFactor::Table { name, alias, .. } => match alias {
                None => return Some(Relation::new(last_of(name)?, None)),
                Some(alias) => (alias, None),
            },
            TableFactor::Derived {
                subquery,
                alias: Some(alias),
                ..
            } => (alias, self.columns_of(&subquery.body)),
            // A function.
            TableFactor::UNNEST {
                alias: Some(alias),
                array_exprs,
                ..
            } => {
                let is_scalar = array_exprs.len() == 1 && alias.columns.len() == 1;
                let columns = alias.columns.iter().map(|column| ddl::fold(&column.name));
                return Some(Relation {
                    is_scalar,
                    ..Relation::new(
                        ddl::fold(&alias.name),
                        (is_scalar || alias.columns.len() > 1).then(|| columns.collect()),
                    )
                });
            }
            TableFactor::Function {
                alias: Some(alias), ..
            } => (alias, None),
            _ => return None,
        };
        let columns = columns.map(|columns| aliased(alias, columns));
        Some(Relation::new(ddl::fold(&alias.name), columns))
    }

    fn is_cte(&self, name: &ast::ObjectName) -> bool {
        let cte = last_of(name).filter(|_| name.0.len() == 1);
        cte.is_some_and(|name| self.ctes.contains_key(&name))
    }

    fn table(&self, name: &ast::ObjectName) -> Option<&TableDef> {
        let table = ddl::resolve(self.catalog, self.search_path, name);
        table.ok().map(|table| &**table)
    }

    /// The schema of what a name in FROM means.
    fn schema_of(&self, name: &ast::ObjectName) -> Option<String> {
        if let [schema, _] = name.0.as_slice() {
            let schema = ddl::fold(schema.as_ident()?);
            return ddl::temp::resolved(self.search_path, &schema).map(str::to_string);
        }
        let last = last_of(name).filter(|_| !self.is_cte(name))?;
        let view = || ddl::view::find_view(self.catalog, self.search_path, None, &last);
        let table = self.table(name).map(|table| &table.schema);
        let found = table.or_else(|| view().map(|view| &view.schema)).cloned();
        found.or_else(|| system::relation(None, &last).map(|_| "pg_catalog".to_string()))
    }

    /// The columns of what a name in FROM means, where they are known.
    pub(super) fn columns_of_table(&self, name: &ast::ObjectName) -> Option<Vec<String>> {
        let last = last_of(name)?;
        if self.is_cte(name) {
            return self.ctes.get(&last)?.clone();
        }
        let schema = match name.0.len() {
            2 => Some(ddl::fold(name.0[0].as_ident()?)),
            _ => None,
        };
        if let Some(table) = self.table(name) {
            return Some(table.columns.iter().map(|c| c.name.clone()).collect());
        }
        let view = ddl::view::find_view(self.catalog, self.search_path, schema.as_deref(), &last);
        if let Some(view) = view {
            return Some(view.columns.iter().map(|(name, _)| name.clone()).collect());
        }
        let relation = system::relation(schema.as_deref(), &last)?;
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
        let name = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = super::names::name_of(expr);
                Some(name.map_or("?column?".to_string(), |(name, _)| name))
            }
            SelectItem::ExprWithAlias { alias, .. } => Some(ddl::fold(alias)),
            _ => None,
        };
        self.spelled_out(select)?.iter().map(name).collect()
    }

    /// A select list with each `*` spelled out where the columns of the relations are known; `None` where it is not known
    /// which relations `*` means.
    pub(super) fn spelled_out(&self, select: &ast::Select) -> Option<Vec<SelectItem>> {
        let mut relations = None;
        let mut items = Vec::new();
        for item in &select.projection {
            let (SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)) = item else {
                items.push(item.clone());
                continue;
            };
            let relations: &Vec<Relation> = relations.get_or_insert_with(|| self.of(&select.from));
            match item {
                SelectItem::QualifiedWildcard(kind, _) => {
                    match relations.iter().find(|relation| relation.is_meant(kind)) {
                        Some(relation) => items.extend(relation.star()),
                        None => items.push(item.clone()),
                    }
                }
                _ => {
                    let named = select.from.iter().flat_map(factors).count() == relations.len();
                    if !named || select.from.iter().any(merges) {
                        return None;
                    }
                    items.extend(relations.iter().flat_map(Relation::star));
                }
            }
        }
        Some(items)
    }
}

/// Whether no two columns have one name.
pub(super) fn all_differ(columns: &[String]) -> bool {
    let mut names = HashSet::new();
    columns.iter().all(|column| names.insert(column))
}

/// Columns under the names that an alias gives them.
fn aliased(alias: &ast::TableAlias, mut columns: Vec<String>) -> Vec<String> {
    for (column, given) in columns.iter_mut().zip(&alias.columns) {
        *column = ddl::fold(&given.name);
    }
    columns
}

fn last_of(name: &ast::ObjectName) -> Option<String> {
    Some(ddl::fold(name.0.last()?.as_ident()?))
}

/// What a FROM item joins.
pub(super) fn factors(from: &TableWithJoins) -> Vec<&TableFactor> {
    let joined = from.joins.iter().map(|join| &join.relation);
    let all = std::iter::once(&from.relation).chain(joined);
    let flat = all.flat_map(|factor| match factor {
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => factors(table_with_joins),
        factor => vec![factor],
    });
    flat.collect()
}

/// Whether joins merge columns somewhere in a FROM item.
pub(super) fn merges(from: &TableWithJoins) -> bool {
    let nested = |factor: &TableFactor| matches!(factor, TableFactor::NestedJoin { table_with_joins, .. } if merges(table_with_joins));
    nested(&from.relation)
        || (from.joins.iter()).any(|join| {
            matches!(
                constraint(&join.join_operator),
                Some(JoinConstraint::Using(_) | JoinConstraint::Natural)
            ) || nested(&join.relation)
        })
}

/// The constraint of a join that may merge columns.
pub(super) fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}

/// As `constraint`, to change it.
pub(super) fn constraint_mut(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => Some(constraint),
        _ => None,
    }
}
