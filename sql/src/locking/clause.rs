//! Locking clauses as they are written: which relations of a query they name, and the query that shows which rows it found
//! of them.
//!
//! Does not: lock (`locking`), or run queries that are locked on their own (`inside`).

use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::execution::SessionState;
use datafusion::logical_expr::{self, JoinType, LogicalPlan};
use datafusion::sql::sqlparser::ast::{
    self, Expr, Ident, LimitClause, LockClause, LockType, NonBlock, ObjectName, Query, Select,
    SelectItem, SetExpr, Statement, TableAlias, TableFactor, TableWithJoins,
};
use tidelog_storage::{Catalog, ColumnId, TableDef};

use super::Patience;
use crate::ddl;
use crate::error::{ErrorKind, SqlError, from_datafusion};
use crate::functions::WITH_TIES;
use crate::locks::LockMode;
use crate::parse::locks::names_of;
use crate::parse::walk::{Walk, WalkMut};
use crate::parse::{parse_query, quoted};
use crate::plan::stars;
use crate::provider::{Access, SEQ, USER};
use crate::system::pg_proc::{self, Function};

/// How rows of a relation are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) mode: LockMode,
    pub(super) patience: Patience,
}

/// A table whose rows are locked.
pub(super) struct Target {
    pub(super) table: Arc<TableDef>,
    pub(super) lock: Lock,
    /// Whether the query shows whose its rows are.
    pub(super) sees_user: bool,
    /// Where what the query shows of its rows begins, behind the query's own columns.
    pub(super) first: usize,
}

/// A query of which rows are locked.
pub(super) struct Locking {
    /// The query without its clauses and limits. Behind its own columns it shows of each target `_seq`, `_user` where that is
    /// seen, and the primary key.
    pub(super) query: Query,
    pub(super) targets: Vec<Target>,
    pub(super) limit: Option<Expr>,
    pub(super) offset: Option<Expr>,
    /// How many columns are shown of the targets.
    pub(super) hidden: usize,
}

/// What relations stand for.
pub(super) struct Names<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) search_path: &'a [String],
    pub(super) access: &'a Access,
    /// Whether a name stands for rows that are locked already.
    pub(super) is_locked: &'a dyn Fn(&str) -> bool,
}

/// One clause: the relations that it names, all when it names none.
struct Clause {
    lock: Lock,
    of: Vec<String>,
}

impl Clause {
    fn of(clause: &LockClause) -> Clause {
        let (spares_keys, of) = names_of(clause);
        let mode = match (&clause.lock_type, spares_keys) {
            (LockType::Update, false) => LockMode::Update,
            (LockType::Update, true) => LockMode::NoKeyUpdate,
            (LockType::Share, false) => LockMode::Share,
            (LockType::Share, true) => LockMode::KeyShare,
        };
        let patience = match &clause.nonblock {
            None => Patience::Waits,
            Some(NonBlock::SkipLocked) => Patience::Skips,
            Some(NonBlock::Nowait) => Patience::None,
        };
        Clause {
            lock: Lock { mode, patience },
            of: of.iter().map(ddl::fold).collect(),
        }
    }

    fn names(&self, called: &str) -> bool {
        self.of.iter().any(|name| name == called)
    }

    fn means(&self, called: &str) -> bool {
        self.of.is_empty() || self.names(called)
    }
}

impl Lock {
    /// `FOR UPDATE` or one of its kin.
    pub(super) fn name(self) -> &'static str {
        match self.mode {
            LockMode::Update => "FOR UPDATE",
            LockMode::NoKeyUpdate => "FOR NO KEY UPDATE",
            LockMode::Share => "FOR SHARE",
            LockMode::KeyShare => "FOR KEY SHARE",
        }
    }

    fn refused(self, what: &str) -> SqlError {
        let message = format!("{} {what}", self.name());
        SqlError::new(ErrorKind::FeatureNotSupported, message)
    }
}

/// The strongest lock that the clauses of a query ask for.
pub(super) fn strongest(query: &Query) -> Option<Lock> {
    let locks = query.locks.iter().map(|clause| Clause::of(clause).lock);
    locks.max_by_key(|lock| lock.mode)
}

impl Locking {
    /// Reads the clauses of a query.
    pub(super) fn of(query: &Query, names: &Names<'_>) -> Result<Locking, SqlError> {
        let clauses: Vec<Clause> = query.locks.iter().map(Clause::of).collect();
        let mut query = query.clone();
        let (limit, offset) = take_limits(&mut query, &clauses)?;
        query.locks.clear();
        if has_nested(&query, names) {
            // What `*` stands for must not grow by what is shown of the rows.
            stars::expand(&mut query, names.catalog, names.search_path)?;
        }
        let mut marker = Marker {
            names,
            with: Vec::new(),
            targets: Vec::new(),
            hidden: 0,
        };
        marker.mark(&mut query, &clauses)?;
        Ok(Locking {
            query,
            targets: marker.targets,
            limit,
            offset,
            hidden: marker.hidden,
        })
    }

    /// 0A000 for rows that an outer join may not find. `plan` is that of the query, with `width` columns of its own.
    pub(super) fn check_nullable(
        &self,
        plan: &LogicalPlan,
        width: usize,
        state: &SessionState,
    ) -> Result<(), SqlError> {
        let at = |target: &Target| width + target.first;
        let may_lack = |target: &&Target| plan.schema().field(at(target)).is_nullable();
        if !self.targets.iter().any(|target| may_lack(&target)) {
            return Ok(());
        }
        // The optimizer knows which outer joins find all.
        let plan = state.optimize(plan).map_err(from_datafusion)?;
        match self.targets.iter().find(|it| may_be_missing(&plan, at(it))) {
            None => Ok(()),
            Some(target) => Err(target
                .lock
                .refused("cannot be applied to the nullable side of an outer join")),
        }
    }
}

/// A column that shows which rows were found.
struct Shown {
    relation: Ident,
    column: Ident,
    /// What it is called where it is shown; no other column is.
    alias: Ident,
}

/// Adds to queries what shows the rows of their targets.
struct Marker<'a> {
    names: &'a Names<'a>,
    /// The names of WITH queries that can be meant.
    with: Vec<String>,
    targets: Vec<Target>,
    hidden: usize,
}

impl Marker<'_> {
    /// The columns that a query then has behind its own.
    fn mark(&mut self, query: &mut Query, clauses: &[Clause]) -> Result<Vec<Ident>, SqlError> {
        for clause in clauses {
            check_query(query, clause.lock)?;
        }
        let outer = self.with.len();
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with
            .extend(with.map(|query| ddl::fold(&query.alias.name)));
        let SetExpr::Select(select) = &mut *query.body else {
            return Err(SqlError::unsupported("a locking clause on this query"));
        };
        for clause in clauses {
            check_names(select, clause)?;
        }
        let mut shown = Vec::new();
        for from in &mut select.from {
            self.mark_joined(from, clauses, &mut shown)?;
        }
        self.with.truncate(outer);
        let mut columns = Vec::with_capacity(shown.len());
        for Shown {
            relation,
            column,
            alias,
        } in shown
        {
            let expr = Expr::CompoundIdentifier(vec![relation, column]);
            columns.push(alias.clone());
            select
                .projection
                .push(SelectItem::ExprWithAlias { expr, alias });
        }
        Ok(columns)
    }

    fn mark_joined(
        &mut self,
        from: &mut TableWithJoins,
        clauses: &[Clause],
        shown: &mut Vec<Shown>,
    ) -> Result<(), SqlError> {
        self.mark_relation(&mut from.relation, clauses, shown)?;
        for join in &mut from.joins {
            self.mark_relation(&mut join.relation, clauses, shown)?;
        }
        Ok(())
    }

    fn mark_relation(
        &mut self,
        relation: &mut TableFactor,
        clauses: &[Clause],
        shown: &mut Vec<Shown>,
    ) -> Result<(), SqlError> {
        if let TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } = relation
        {
            return match alias {
                None => self.mark_joined(table_with_joins, clauses, shown),
                Some(_) => Err(SqlError::unsupported(
                    "a locking clause on a join with a name",
                )),
            };
        }
        let Some(called) = called(relation) else {
            return Ok(());
        };
        let name = ddl::fold(&called);
        let meant = clauses.iter().filter(|clause| clause.means(&name));
        let Some(lock) = meant.map(|clause| clause.lock).reduce(|one, other| Lock {
            mode: one.mode.max(other.mode),
            patience: one.patience.max(other.patience),
        }) else {
            return Ok(());
        };
        let is_named = clauses.iter().any(|clause| clause.names(&name));
        match relation {
            TableFactor::Derived { subquery, .. } if is_values(subquery) => Ok(()),
            TableFactor::Derived { subquery, .. } => {
                self.mark_subquery(subquery, lock, &called, shown)
            }
            TableFactor::Table {
                name: table,
                args: None,
                alias,
                ..
            } => {
                if let Some(only) = single(table)
                    && self.with.contains(&only)
                {
                    return match is_named {
                        true => Err(lock.refused("cannot be applied to a WITH query")),
                        false => Ok(()),
                    };
                }
                if single(table).is_some_and(|only| (self.names.is_locked)(&only)) {
                    return Ok(());
                }
                let has_columns = alias.as_ref().is_some_and(|it| !it.columns.is_empty());
                if has_columns {
                    let what = format!("{} of a relation with a list of columns", lock.name());
                    return Err(SqlError::unsupported(what));
                }
                match view_query(table, &called, self.names)? {
                    Some(derived) => {
                        *relation = derived;
                        let TableFactor::Derived { subquery, .. } = relation else {
                            return Ok(());
                        };
                        self.mark_subquery(subquery, lock, &called, shown)
                    }
                    None => self.mark_table(table, lock, &called, shown),
                }
            }
            _ if is_named => Err(lock.refused("cannot be applied to a function")),
            _ => Ok(()),
        }
    }

    fn mark_subquery(
        &mut self,
        subquery: &mut Query,
        lock: Lock,
        called: &Ident,
        shown: &mut Vec<Shown>,
    ) -> Result<(), SqlError> {
        let all = Clause {
            lock,
            of: Vec::new(),
        };
        check_query(subquery, lock)?;
        if !is_simple(subquery) {
            // Those that are written out are locked on their own: see `push_down`.
            let what = format!("{} of a view with ORDER BY, LIMIT or WITH", lock.name());
            return Err(SqlError::unsupported(what));
        }
        let columns = self.mark(subquery, &[all])?;
        shown.extend(columns.into_iter().map(|column| Shown {
            relation: called.clone(),
            alias: column.clone(),
            column,
        }));
        Ok(())
    }

    fn mark_table(
        &mut self,
        name: &ObjectName,
        lock: Lock,
        called: &Ident,
        shown: &mut Vec<Shown>,
    ) -> Result<(), SqlError> {
        let Names {
            catalog,
            search_path,
            access,
            ..
        } = *self.names;
        let table = match ddl::resolve(catalog, search_path, name) {
            Ok(table) => table.clone(),
            // The query alone was planned: it is one of the system's.
            Err(error) if error.kind == ErrorKind::UndefinedTable => {
                let what = format!("{} of a system relation", lock.name());
                return Err(SqlError::unsupported(what));
            }
            Err(error) => return Err(error),
        };
        if table.materialized.is_some() {
            let message = format!("cannot lock rows in materialized view \"{}\"", table.name);
            return Err(SqlError::new(ErrorKind::WrongObjectType, message));
        }
        let sees_user = access.sees_user(&table);
        let key = |id: &ColumnId| Some(table.columns[table.index_of(*id)?].name.as_str());
        let columns: Vec<&str> = std::iter::once(SEQ)
            .chain(sees_user.then_some(USER))
            .chain(table.primary_key.iter().filter_map(key))
            .collect();
        let first = self.hidden;
        shown.extend(columns.iter().enumerate().map(|(n, column)| Shown {
            relation: called.clone(),
            column: quoted(column),
            alias: quoted(&format!("{HIDDEN}{}", first + n)),
        }));
        self.hidden += columns.len();
        self.targets.push(Target {
            lock,
            sees_user,
            first,
            table,
        });
        Ok(())
    }
}

/// Whether a column of a plan may be NULL because an outer join found no row.
fn may_be_missing(plan: &LogicalPlan, at: usize) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            let mut expr = &projection.expr[at];
            while let logical_expr::Expr::Alias(alias) = expr {
                expr = &alias.expr;
            }
            let logical_expr::Expr::Column(column) = expr else {
                return false;
            };
            let below = projection.input.schema().index_of_column(column);
            below.is_ok_and(|at| may_be_missing(&projection.input, at))
        }
        LogicalPlan::Join(join) => {
            use JoinType::{Full, Left, Right, RightAnti, RightMark, RightSemi};
            let width = match join.join_type {
                RightSemi | RightAnti | RightMark => 0,
                _ => join.left.schema().fields().len(),
            };
            match at.checked_sub(width) {
                None => matches!(join.join_type, Right | Full) || may_be_missing(&join.left, at),
                Some(at) if at < join.right.schema().fields().len() => {
                    matches!(join.join_type, Left | Full) || may_be_missing(&join.right, at)
                }
                Some(_) => false,
            }
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_) => plan.inputs().iter().any(|input| may_be_missing(input, at)),
        _ => false,
    }
}

/// Begins the names of columns that show which rows were found; no statement can write it.
const HIDDEN: &str = "\u{1}locked ";

/// What a relation goes by.
fn called(relation: &TableFactor) -> Option<Ident> {
    match relation {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => name.0.last()?.as_ident().cloned(),
        },
        TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => Some(alias.as_ref()?.name.clone()),
        _ => None,
    }
}

fn single(name: &ObjectName) -> Option<String> {
    match name.0.as_slice() {
        [only] => only.as_ident().map(ddl::fold),
        _ => None,
    }
}

/// A view's query in the place of the view; `None` when the name is no view's.
fn view_query(
    name: &ObjectName,
    called: &Ident,
    names: &Names<'_>,
) -> Result<Option<TableFactor>, SqlError> {
    let (schema, view) = ddl::split(name)?;
    let table = ddl::resolve(names.catalog, names.search_path, name);
    let view = ddl::view::find_view(names.catalog, names.search_path, schema.as_deref(), &view);
    let Some(view) = view.filter(|_| table.is_err()) else {
        return Ok(None);
    };
    let column = |(name, _): &(String, _)| ast::TableAliasColumnDef {
        name: quoted(name),
        data_type: None,
    };
    Ok(Some(TableFactor::Derived {
        lateral: false,
        subquery: Box::new(parse_query(&view.query)?),
        alias: Some(TableAlias {
            explicit: true,
            name: called.clone(),
            columns: view.columns.iter().map(column).collect(),
            at: None,
        }),
        sample: None,
    }))
}

/// Whether a view or a subquery stands in FROM.
fn has_nested(query: &Query, names: &Names<'_>) -> bool {
    let SetExpr::Select(select) = &*query.body else {
        return false;
    };
    let mut found = false;
    each_relation(&select.from, &mut |relation| {
        found |= match relation {
            TableFactor::Derived { .. } => true,
            TableFactor::Table { name, .. } => {
                ddl::resolve(names.catalog, names.search_path, name).is_err()
            }
            _ => false,
        };
    });
    found
}

fn each_relation(from: &[TableWithJoins], each: &mut dyn FnMut(&TableFactor)) {
    for from in from {
        let joined = from.joins.iter().map(|join| &join.relation);
        for relation in std::iter::once(&from.relation).chain(joined) {
            each(relation);
            if let TableFactor::NestedJoin {
                table_with_joins, ..
            } = relation
            {
                each_relation(std::slice::from_ref(table_with_joins), each);
            }
        }
    }
}

/// 42P01 for a name in the clause that no relation of FROM has.
fn check_names(select: &Select, clause: &Clause) -> Result<(), SqlError> {
    for name in &clause.of {
        let mut kind = None;
        each_relation(&select.from, &mut |relation| {
            if called(relation).is_some_and(|called| ddl::fold(&called) == *name) {
                kind = Some(matches!(relation, TableFactor::NestedJoin { .. }));
            }
        });
        match kind {
            Some(false) => {}
            Some(true) => return Err(clause.lock.refused("cannot be applied to a join")),
            None => {
                let clause = clause.lock.name();
                let message =
                    format!("relation \"{name}\" in {clause} clause not found in FROM clause");
                return Err(SqlError::new(ErrorKind::UndefinedTable, message));
            }
        }
    }
    Ok(())
}

/// 0A000 for a query that makes one row of several, or several of one.
fn check_query(query: &Query, lock: Lock) -> Result<(), SqlError> {
    let with = |what: &str| Err(lock.refused(&format!("is not allowed with {what}")));
    let select = match &*query.body {
        SetExpr::Select(select) => select,
        SetExpr::SetOperation { .. } => return with("UNION/INTERSECT/EXCEPT"),
        SetExpr::Values(_) => return Err(lock.refused("cannot be applied to VALUES")),
        _ => {
            let what = format!("{} on this query", lock.name());
            return Err(SqlError::unsupported(what));
        }
    };
    if select.distinct.is_some() {
        return with("DISTINCT clause");
    }
    if !matches!(&select.group_by, ast::GroupByExpr::Expressions(by, sets) if by.is_empty() && sets.is_empty())
    {
        return with("GROUP BY clause");
    }
    if select.having.is_some() {
        return with("HAVING clause");
    }
    let order = query.order_by.iter().flat_map(|order| match &order.kind {
        ast::OrderByKind::Expressions(items) => items.as_slice(),
        ast::OrderByKind::All(_) => &[],
    });
    let mut calls = Calls::default();
    let _ = select.projection.walk(&mut calls);
    let returns_sets = calls.sets;
    order.for_each(|item| {
        let _ = item.expr.walk(&mut calls);
    });
    match (calls.aggregates, calls.windows) {
        (true, _) => with("aggregate functions"),
        (_, true) => with("window functions"),
        _ if returns_sets => with("set-returning functions in the target list"),
        _ => Ok(()),
    }
}

/// Which kinds of functions an expression calls, outside its subqueries.
#[derive(Default)]
struct Calls {
    depth: usize,
    aggregates: bool,
    windows: bool,
    sets: bool,
}

impl ast::Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && self.depth == 0
            && let Some(name) = call.name.0.last().and_then(|part| part.as_ident())
        {
            let found = pg_proc::functions(&ddl::fold(name));
            let all = |is: &dyn Fn(&Function) -> bool| {
                !found.is_empty() && found.iter().all(|function| is(function))
            };
            self.windows |= call.over.is_some() || all(&|function| function.kind == "w");
            self.aggregates |= call.over.is_none() && all(&|function| function.kind == "a");
            self.sets |= all(&|function| function.returns_set);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a subquery's rows are those of its relations, so that these can be locked with the query around it.
fn is_simple(query: &Query) -> bool {
    query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && matches!(&*query.body, SetExpr::Select(_))
}

/// Whether a query gives rows of its own, which nobody else can have.
fn is_values(query: &Query) -> bool {
    matches!(&*query.body, SetExpr::Values(_))
}

/// Takes LIMIT and OFFSET off a query.
fn take_limits(
    query: &mut Query,
    clauses: &[Clause],
) -> Result<(Option<Expr>, Option<Expr>), SqlError> {
    let (mut limit, offset) = match query.limit_clause.take() {
        None => (None, None),
        Some(LimitClause::LimitOffset {
            limit,
            offset,
            limit_by,
        }) if limit_by.is_empty() => (limit, offset.map(|offset| offset.value)),
        Some(other) => return Err(SqlError::unsupported(other)),
    };
    let is_ties =
        |limit: &Expr| matches!(limit, Expr::Function(call) if call.name.to_string() == WITH_TIES);
    if limit.as_ref().is_some_and(is_ties) {
        if (clauses.iter()).any(|clause| clause.lock.patience == Patience::Skips) {
            let message = "SKIP LOCKED and WITH TIES options cannot be used together";
            return Err(SqlError::new(ErrorKind::SyntaxError, message));
        }
        let name = clauses.first().map_or("", |clause| clause.lock.name());
        return Err(SqlError::unsupported(format!("{name} with WITH TIES")));
    }
    if let Some(fetch) = query.fetch.take() {
        if fetch.with_ties || fetch.percent {
            return Err(SqlError::unsupported(format!(
                "a locking clause with {fetch}"
            )));
        }
        let one = || Expr::Value(ast::Value::Number("1".to_string(), false).into());
        limit = Some(fetch.quantity.unwrap_or_else(one));
    }
    Ok((limit, offset))
}

/// Gives the locking clauses of queries to those subqueries of FROM that are not just rows of their relations: as in
/// PostgreSQL the rows of such a one are locked before the query around it sees them.
pub(crate) fn push_down(statement: &mut Statement) {
    struct Pusher;
    impl ast::VisitorMut for Pusher {
        type Break = ();

        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            let locks = query.locks.clone();
            if let SetExpr::Select(select) = &mut *query.body
                && !locks.is_empty()
            {
                push_into(&mut select.from, &locks);
            }
            ControlFlow::Continue(())
        }
    }
    let _ = statement.walk_mut(&mut Pusher);
}

fn push_into(from: &mut [TableWithJoins], locks: &[LockClause]) {
    for from in from {
        let joined = from.joins.iter_mut().map(|join| &mut join.relation);
        for relation in std::iter::once(&mut from.relation).chain(joined) {
            let called = called(relation).map(|called| ddl::fold(&called));
            match relation {
                TableFactor::NestedJoin {
                    table_with_joins, ..
                } => push_into(std::slice::from_mut(table_with_joins), locks),
                TableFactor::Derived { subquery, .. } if !is_values(subquery) => {
                    let means = |clause: &&LockClause| {
                        called
                            .as_ref()
                            .is_some_and(|name| Clause::of(clause).means(name))
                    };
                    let all = |clause: &LockClause| LockClause {
                        of: crate::parse::locks::all(names_of(clause).0),
                        ..clause.clone()
                    };
                    let locks: Vec<_> = locks.iter().filter(means).map(all).collect();
                    let simple = is_simple(subquery);
                    match &mut *subquery.body {
                        SetExpr::Select(select) if simple => push_into(&mut select.from, &locks),
                        _ => subquery.locks.extend(locks),
                    }
                }
                _ => {}
            }
        }
    }
}
