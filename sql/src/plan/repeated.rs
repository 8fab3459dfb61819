//! Columns of one name in a relation inside a query: the relation may have them as long as nobody asks for one by it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Expr, SelectItem, SetExpr, TableAliasColumnDef, TableFactor,
};
use tidelog_storage::Catalog;

use super::names::again;
use super::rows::Rows;
use super::shown;
use crate::ddl;
use crate::parse::quoted;
use crate::parse::walk::WalkMut;

/// Gives all columns that share their names with others of a subquery or a WITH query names of their own, which are
/// shown as the same. So nothing finds them by the name, and DataFusion, which lets the first have it, names none.
pub(super) fn tell_apart(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    let _ = query.walk_mut(&mut Repeated {
        rows: Rows::new(catalog, search_path),
        withs: Vec::new(),
    });
}

struct Repeated<'a> {
    rows: Rows<'a>,
    /// The WITH clauses of the queries around, which have been seen to.
    withs: Vec<Option<ast::With>>,
}

impl ast::VisitorMut for Repeated<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let mut with = query.with.take();
        for cte in with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            let name = ddl::fold(&cte.alias.name);
            self.rows.ctes.insert(name, None);
            // As a query in a query.
            self.withs.push(None);
            let _ = cte.query.walk_mut(self);
            self.withs.pop();
            self.rows.know(cte);
        }
        self.withs.push(with);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        query.with = self.withs.pop().flatten();
        if !self.withs.is_empty() {
            self.rename(&mut query.body);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived {
            subquery,
            alias: Some(alias),
            ..
        } = factor
            && !alias.columns.is_empty()
            && let Some(columns) = self.rows.columns_of(&subquery.body)
        {
            let given = alias.columns.iter().map(|column| ddl::fold(&column.name));
            let left_out = columns.iter().skip(alias.columns.len());
            let all: Vec<String> = given.chain(left_out.cloned()).collect();
            for name in &all[alias.columns.len()..] {
                // What was renamed because of a column that has another name here.
                let plain = shown(name);
                let alone = all.iter().filter(|other| shown(other) == plain).count() == 1;
                alias.columns.push(TableAliasColumnDef {
                    name: quoted(if alone { plain } else { name }),
                    data_type: None,
                });
            }
        }
        ControlFlow::Continue(())
    }
}

impl Repeated<'_> {
    fn rename(&self, body: &mut SetExpr) {
        let Some(columns) = self.rows.columns_of(body) else {
            return;
        };
        let mut times: HashMap<&str, usize> = HashMap::new();
        for column in &columns {
            *times.entry(shown(column)).or_default() += 1;
        }
        let is_repeated = |name: &str| shown(name) == name && times.get(name) > Some(&1);
        if !columns.iter().any(|name| is_repeated(name)) {
            return;
        }
        let Some(select) = first_select(body) else {
            return;
        };
        if !self.spell_out(select) {
            return;
        }
        for (at, item) in select.projection.iter_mut().enumerate() {
            let name = match &*item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = super::names::name_of(expr);
                    name.map_or("?column?".to_string(), |(name, _)| name)
                }
                SelectItem::ExprWithAlias { alias, .. } => ddl::fold(alias),
                _ => continue,
            };
            if !is_repeated(&name) {
                continue;
            }
            let own = quoted(&format!("{}of {at}", again(&name)));
            match item {
                SelectItem::UnnamedExpr(expr) => {
                    let expr = super::dialect::take(expr);
                    *item = SelectItem::ExprWithAlias { expr, alias: own };
                }
                SelectItem::ExprWithAlias { alias, .. } => *alias = own,
                _ => {}
            }
        }
    }

    /// Writes `*` out; `false` where it is not known what it means.
    fn spell_out(&self, select: &mut ast::Select) -> bool {
        let mut items = Vec::new();
        for item in &select.projection {
            let starred = match item {
                SelectItem::Wildcard(_) => self.rows.starred(&select.from),
                SelectItem::QualifiedWildcard(kind, _) => {
                    let wanted = kind.to_string();
                    let relations = self.rows.relations(&select.from).into_iter();
                    let named = |name: &str| {
                        wanted == format!("{name}.*") || wanted == format!("{}.*", quoted(name))
                    };
                    relations
                        .filter(|(name, _)| named(name))
                        .map(|relation| vec![relation])
                        .next()
                }
                item => {
                    items.push(item.clone());
                    continue;
                }
            };
            let Some(starred) = starred else {
                return false;
            };
            for (relation, columns) in starred {
                let Some(columns) = columns else {
                    return false;
                };
                let column = |name: &String| {
                    let parts = vec![quoted(&relation), quoted(name)];
                    SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts))
                };
                items.extend(columns.iter().map(column));
            }
        }
        select.projection = items;
        true
    }
}

/// The select whose columns a query's are.
fn first_select(body: &mut SetExpr) -> Option<&mut ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&mut query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}
