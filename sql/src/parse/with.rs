//! `WITH … INSERT`, `WITH … UPDATE` and `WITH … DELETE`: the WITH clause handed to the queries inside.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, Query, SetExpr, Statement, TableFactor, TableWithJoins, UpdateTableFromKind, With,
};

use crate::ddl;
use crate::error::SqlError;
use crate::parse::walk::WalkMut;

/// Makes a query that is an INSERT, UPDATE or DELETE behind WITH that statement.
pub(super) fn unwrapped(statement: Statement) -> Result<Statement, SqlError> {
    let Statement::Query(query) = statement else {
        return Ok(statement);
    };
    refuse_changes(&query)?;
    let mut query = *query;
    let mut inner = match *query.body {
        SetExpr::Insert(inner) | SetExpr::Update(inner) | SetExpr::Delete(inner) => inner,
        body => {
            query.body = Box::new(body);
            return Ok(Statement::Query(Box::new(query)));
        }
    };
    let Some(with) = query.with else {
        return Ok(inner);
    };
    match &mut inner {
        Statement::Update(update) => {
            if let Some(
                UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from),
            ) = &mut update.from
            {
                from.iter_mut().for_each(|from| derive(from, &with));
            }
        }
        Statement::Delete(delete) => {
            let using = delete.using.iter_mut().flatten();
            using.for_each(|from| derive(from, &with));
        }
        _ => {}
    }
    let _ = inner.walk_mut(&mut Attach { with, depth: 0 });
    Ok(inner)
}

/// 0A000 where a WITH query changes something.
fn refuse_changes(query: &Query) -> Result<(), SqlError> {
    let queries = query.with.iter().flat_map(|with| &with.cte_tables);
    for cte in queries {
        let changes = matches!(
            &*cte.query.body,
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        );
        if changes {
            return Err(SqlError::unsupported("a data-modifying statement in WITH"));
        }
    }
    Ok(())
}

/// Puts the WITH clause before each query of a statement.
struct Attach {
    with: With,
    depth: usize,
}

impl ast::VisitorMut for Attach {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.depth == 0 {
            let mut with = self.with.clone();
            if let Some(own) = query.with.take() {
                with.recursive |= own.recursive;
                with.cte_tables.extend(own.cte_tables);
            }
            query.with = Some(with);
        }
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }
}

/// Makes relations that are names of the WITH clause subqueries.
fn derive(from: &mut TableWithJoins, with: &With) {
    derive_factor(&mut from.relation, with);
    for join in &mut from.joins {
        derive_factor(&mut join.relation, with);
    }
}

fn derive_factor(factor: &mut TableFactor, with: &With) {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } => {
            let [only] = name.0.as_slice() else { return };
            let Some(ident) = only.as_ident() else { return };
            let named = |cte: &ast::Cte| ddl::fold(&cte.alias.name) == ddl::fold(ident);
            if !with.cte_tables.iter().any(named) {
                return;
            }
            let query = crate::parse::parse_query(&format!("SELECT * FROM {ident}"));
            let Ok(query) = query else { return };
            let alias = alias.take().unwrap_or_else(|| ast::TableAlias {
                explicit: true,
                name: ident.clone(),
                columns: Vec::new(),
                at: None,
            });
            *factor = TableFactor::Derived {
                lateral: false,
                subquery: Box::new(query),
                alias: Some(alias),
                sample: None,
            };
        }
        TableFactor::NestedJoin {
            table_with_joins, ..
        } => derive(table_with_joins, with),
        _ => {}
    }
}
