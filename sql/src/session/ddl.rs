//! DDL in a session: committed at once outside a transaction block, with the block inside one.
//!
//! Guarantees: one transaction at a time changes what lasts in the catalog, and one the roles, others wait; nobody waits for
//! a session's temporary objects. What a transaction has changed its own statements see, upon what others have committed
//! meanwhile, and nobody else before the commit; an error or a rollback leaves no trace of it.
//! Does not: plan the changes (`crate::ddl`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::sql::sqlparser::ast::{AlterRoleOperation, Expr, Query, RoleOption, Statement};
use parking_lot::{Mutex, RwLock};
use tidelog_storage::catalog::Concern;
use tidelog_storage::{
    Catalog, CatalogChange, ColumnType, CommitError, DatabaseId, Datum, Partition, PartitionSet,
    ReadSet, Seq, SequenceError, SequenceState, Snapshot, TableDef, TableId, TableKind,
    Transaction,
};

use super::{Notice, Outcome, Session};
use crate::constraints::undo::Undo;
use crate::ddl::constraint::is_implied;
use crate::ddl::{self, Ddl, DdlPlan, SequenceStand};
use crate::error::{ErrorKind, SqlError, duplicate_rows};
use crate::output;
use crate::row::Write;

/// A DDL statement that meets another change of the catalog is planned again this often.
const RETRIES_MAX: usize = 100;
/// Catalogs that are not committed have versions of their own, so that no plan made on one fits another.
const UNCOMMITTED: u64 = 1 << 63;

/// Catalog changes of the open transaction block.
pub(super) struct PendingDdl {
    changes: Vec<CatalogChange>,
    stand: Mutex<Stand>,
    /// Tables whose rows were checked, and at which Seq: nobody may have written to them since.
    checked: Vec<(TableId, Seq)>,
}

/// What the changes make of a catalog.
struct Stand {
    /// What is committed. What the changes are about is as it was when they were planned: its lock is held, or it is the
    /// session's own.
    base: Arc<Catalog>,
    catalog: Arc<Catalog>,
}

impl Stand {
    fn of(base: Arc<Catalog>, changes: &[CatalogChange]) -> Option<Stand> {
        static VERSIONS: AtomicU64 = AtomicU64::new(0);
        if changes.is_empty() {
            let catalog = base.clone();
            return Some(Stand { base, catalog });
        }
        let mut catalog = base.try_changed(changes)?;
        catalog.version = UNCOMMITTED | VERSIONS.fetch_add(1, Ordering::Relaxed);
        let catalog = Arc::new(catalog);
        Some(Stand { base, catalog })
    }
}

/// How far the changes of the catalog had come.
#[derive(Clone, Copy)]
pub(super) struct DdlMark {
    changes: usize,
    checked: usize,
}

impl PendingDdl {
    fn new(base: Arc<Catalog>) -> PendingDdl {
        let catalog = base.clone();
        PendingDdl {
            changes: Vec::new(),
            stand: Mutex::new(Stand { base, catalog }),
            checked: Vec::new(),
        }
    }

    /// The committed catalog that the changes stand upon now.
    pub(super) fn base(&self) -> Arc<Catalog> {
        self.stand.lock().base.clone()
    }

    /// What the changes make of what is committed, as far as a committed catalog shows it. What would not go with that any more
    /// is left where it was: the commit is refused.
    fn catalog(&self, committed: &Arc<Catalog>) -> Arc<Catalog> {
        let mut stand = self.stand.lock();
        if committed.version > stand.base.version
            && !committed.is_past(stand.base.version, &self.changes)
            && let Some(newer) = Stand::of(committed.clone(), &self.changes)
        {
            *stand = newer;
        }
        stand.catalog.clone()
    }

    /// Makes it more changes, or fewer; gives the catalogs that they made before and make now. `CatalogChanged` when they do
    /// not go with what is committed.
    fn change(
        &mut self,
        change: impl FnOnce(&mut Vec<CatalogChange>),
    ) -> Result<(Arc<Catalog>, Arc<Catalog>), CommitError> {
        change(&mut self.changes);
        let stand = self.stand.get_mut();
        let changed = Stand::of(stand.base.clone(), &self.changes);
        let before = std::mem::replace(stand, changed.ok_or(CommitError::CatalogChanged)?);
        Ok((before.catalog, stand.catalog.clone()))
    }

    /// Hands the changes to the transaction that commits them.
    pub(super) fn hand_over(self, transaction: &mut Transaction) {
        if self.changes.is_empty() {
            return;
        }
        let base = self.base();
        let changes = base.database.changes(self.changes);
        transaction.change_catalog(base.version, changes);
        for (table, since) in self.checked {
            let partitions = [(table, PartitionSet::All)].into();
            transaction.depends_on(ReadSet { since, partitions });
        }
    }
}

impl Session {
    /// The catalog as the session's statements see it now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        let committed = self.committed_catalog();
        match &self.work.ddl {
            Some(ddl) => ddl.catalog(&committed),
            None => committed,
        }
    }

    /// The same for whoever plans changes of it: new ids are free. With the version of what is committed of it.
    pub(super) fn catalog_to_change(&self) -> (Arc<Catalog>, u64) {
        let mut catalog = self.catalog();
        let base = self.work.ddl.as_ref().map(PendingDdl::base);
        let version = base.map_or(catalog.version, |base| base.version);
        let next_id = self.engine.store.next_id();
        if next_id > catalog.next_table_id {
            Arc::make_mut(&mut catalog).next_table_id = next_id;
        }
        (catalog, version)
    }

    /// The catalog as everybody sees it now who is in the session's database.
    pub(crate) fn committed_catalog(&self) -> Arc<Catalog> {
        let catalog = self.engine.store.catalog();
        catalog.looking_into(self.login.database)
    }

    /// The catalog that belongs to what a query reads: of a kept snapshot, the one that was there then.
    pub(crate) fn read_catalog(&self) -> Arc<Catalog> {
        let kept = match self.has_changed_catalog() {
            true => None,
            false => self.kept_snapshot(),
        };
        let database = self.login.database;
        kept.map_or_else(
            || self.catalog(),
            |kept| kept.catalog().looking_into(database),
        )
    }

    /// The type that users made under this oid, as a column's.
    pub fn type_by_oid(&self, oid: u32) -> Option<ColumnType> {
        self.catalog().type_by_oid(oid)
    }

    /// The version of that catalog: what was planned at another one is to be planned again.
    pub fn catalog_version(&self) -> u64 {
        match &self.work.ddl {
            Some(_) => self.catalog().version,
            None => self.engine.store.catalog().version,
        }
    }

    /// Plans on a catalog that is not the store's from now on.
    pub(crate) fn plan_on(&mut self, catalog: Arc<Catalog>) {
        self.work.ddl = Some(PendingDdl::new(catalog));
    }

    /// Whether the open transaction has changed the catalog.
    pub(crate) fn has_changed_catalog(&self) -> bool {
        self.work.ddl.is_some()
    }

    /// What the transaction changes.
    pub(crate) fn pending(&self) -> &RwLock<Transaction> {
        &self.work.changes
    }

    /// What is committed now, with the catalog as the session sees it.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.with_own_catalog(self.engine.store.snapshot())
    }

    pub(super) fn with_own_catalog(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        match &self.work.ddl {
            Some(ddl) => {
                let committed = snapshot.catalog().looking_into(self.login.database);
                Arc::new(snapshot.with_catalog(ddl.catalog(&committed)))
            }
            None if self.login.database == DatabaseId::FIRST => snapshot,
            None => {
                let catalog = snapshot.catalog().looking_into(self.login.database);
                Arc::new(snapshot.with_catalog(catalog))
            }
        }
    }

    pub(super) async fn ddl(&mut self, statement: Ddl<'_>) -> Result<Outcome, SqlError> {
        self.begin_temporary(statement)?;
        let mut refused = None;
        for _ in 0..RETRIES_MAX {
            let (catalog, version) = self.catalog_to_change();
            let planned = self.plan_ddl(&catalog, statement);
            let concerns = concerns(&planned, self.is_superuser());
            self.lock_catalog(&concerns).await?;
            // Who had to wait may find it changed.
            let committed = self.committed_catalog();
            if concerns.iter().any(|of| committed.is_changed(*of, version)) {
                continue;
            }
            let plan = planned?;
            if !self.engine.store.reserve_ids(&catalog, &plan.changes) {
                continue;
            }
            let is_whole = plan.all_or_nothing || self.may_be_unlike(statement);
            if is_whole && !self.defers_commit() {
                let told = self.notices.len();
                self.locks().release_to(0);
                self.begin_implicit();
                let done = Box::pin(self.ddl(statement)).await;
                match self.end_alone(true, done).await {
                    // Others wrote to the table meanwhile.
                    Err(error) if error.kind == ErrorKind::SerializationFailure => {
                        self.notices.truncate(told);
                        refused = Some(error);
                        continue;
                    }
                    done => return done,
                }
            }
            self.note_on_commit(&catalog, Some(statement), &plan.changes);
            if let Some(stand) = &plan.stands {
                self.check_stand(stand)?;
            }
            let mut undo = None;
            if !plan.changes.is_empty() {
                self.begin_sequences(&catalog, &plan.changes)?;
                if !plan.rewrites.is_empty() {
                    self.rewrite(&plan.rewrites, plan.changes).await?;
                } else if self.defers_commit() {
                    self.change_with_block(plan.changes)?;
                } else {
                    let store = &self.engine.store;
                    let changes = catalog.database.changes(plan.changes);
                    let changed = match &plan.finish {
                        None => store.change_catalog(version, changes).await.map(|_| None),
                        Some((table, steps)) => {
                            let finish = (*table, steps.as_slice());
                            Undo::change_catalog(store, version, changes, finish, &self.undoing)
                                .await
                                .map(Some)
                        }
                    };
                    match changed {
                        Ok(armed) => undo = armed,
                        Err(CommitError::CatalogChanged) => continue,
                        Err(error) => return Err(error.into()),
                    }
                    // Rows are checked and indexes filled while others may change the catalog.
                    self.locks().release_to(0);
                }
            }
            if let Some(stand) = &plan.stands {
                self.settle_stand(stand)?;
            }
            self.notices
                .extend(plan.notices.into_iter().map(|error| Notice::Message {
                    severity: "NOTICE",
                    error: noticed(error),
                }));
            if let Some(warning) = plan.warning {
                self.notice("WARNING", warning);
            }
            if let Some((table, steps)) = &plan.finish {
                self.finish(*table, steps, undo).await?;
            }
            return Ok(Outcome::Command(plan.tag.to_string()));
        }
        Err(refused.unwrap_or_else(|| {
            let message = "the catalog is being changed by other sessions";
            SqlError::new(ErrorKind::SerializationFailure, message)
        }))
    }

    /// Lets the sequences that are about to be made stand at their beginning.
    fn begin_sequences(
        &self,
        catalog: &Catalog,
        changes: &[CatalogChange],
    ) -> Result<(), SqlError> {
        for change in changes {
            if let CatalogChange::PutSequence(sequence) = change
                && catalog.sequence_by_id(sequence.id).is_none()
            {
                self.engine.store.begin_sequence(sequence.id)?;
                self.drawn.forget(sequence.id);
                // TRUNCATE … RESTART IDENTITY: what was drawn from it was.
                if let Some(old) = catalog.sequence(&sequence.schema, &sequence.name) {
                    self.drawn.carry_over(old.id, sequence.id);
                }
            }
        }
        Ok(())
    }

    /// Whether a role gives itself another password, and changes nothing else.
    fn is_own_password(&self, statement: Ddl<'_>) -> bool {
        let Ddl::Sql(Statement::AlterRole { name, operation }, _) = statement else {
            return false;
        };
        let AlterRoleOperation::WithOptions { options } = operation else {
            return false;
        };
        let is_password = |option: &RoleOption| matches!(option, RoleOption::Password(_));
        ddl::fold(name) == self.role_name() && options.iter().all(is_password)
    }

    pub(super) fn plan_ddl(
        &self,
        catalog: &Catalog,
        statement: Ddl<'_>,
    ) -> Result<DdlPlan, SqlError> {
        let evaluate = |expr: &Expr, ty: ColumnType| self.evaluate_default(expr, ty);
        let describe = |catalog: &Catalog, query: &Query| self.describe(catalog, query);
        let path = self.search_path();
        self.check_database(catalog)?;
        // Before anything else that could be wrong with it.
        if let Ddl::Sql(Statement::AlterTable(alter), _) = statement
            && let Ok(table) = ddl::resolve(catalog, &path, &alter.name)
        {
            self.check_not_pending(table, "ALTER TABLE")?;
        }
        let plan = ddl::plan(catalog, &path, statement, &evaluate, &describe)?;
        let mut plan = match (plan, statement) {
            (Some(plan), _) => plan,
            (None, Ddl::Sql(statement, _)) => {
                let text = statement.to_string();
                let words: Vec<&str> = text.split_whitespace().take(2).collect();
                return Err(SqlError::unsupported(words.join(" ")));
            }
            (None, Ddl::Ours(_) | Ddl::Shapes(_)) => {
                return Err(SqlError::unsupported("this definition"));
            }
        };
        let is_free = matches!(statement, Ddl::Shapes(_)) || self.is_own_password(statement);
        if !ddl::temp::only_own(&path, &plan.changes) && !is_free {
            self.require_superuser(plan.tag)?;
        }
        self.check_may_write(plan.tag)?;
        self.check_nothing_pending(catalog, &plan.changes, plan.tag)?;
        if let Ddl::Sql(Statement::CreateIndex(create), _) = statement
            && create.concurrently
        {
            self.refuse_in_block("CREATE INDEX CONCURRENTLY")?;
        }
        let renames_types =
            (plan.changes.iter()).any(|change| matches!(change, CatalogChange::PutType(_)));
        for change in &mut plan.changes {
            match change {
                CatalogChange::DropRole(role) => self.check_without_rows(role, "dropped")?,
                CatalogChange::RenameRole { name, .. } => self.check_may_rename(name)?,
                CatalogChange::DropDatabase(id) => self.check_unused(catalog, *id)?,
                CatalogChange::RenameDatabase(def) => self.check_unused(catalog, def.id)?,
                _ => {}
            }
            if let CatalogChange::PutTable(table) = change {
                if renames_types {
                    self.check_renamed(catalog, table)?;
                    continue;
                }
                self.check_generated(table)?;
                self.check_computed(table)?;
                let checks = table.checks.iter().any(|check| !is_implied(&check.name));
                if checks || table.has_generated() {
                    self.plan_expressions(table)?;
                }
            }
        }
        Ok(plan)
    }

    /// What a table's definition says is the same under a type's new name. 0A000 where an index's entries would be computed
    /// before all know it.
    fn check_renamed(&self, catalog: &Catalog, table: &TableDef) -> Result<(), SqlError> {
        let before = catalog.table_by_id(table.id);
        let texts = |table: &TableDef| -> Vec<String> {
            let computed = table.computed.iter();
            computed
                .map(|computed| computed.expression.clone())
                .collect()
        };
        match before.is_some_and(|before| texts(before) != texts(table)) && self.defers_commit() {
            true => Err(SqlError::unsupported(
                "renaming a type that an index names in a transaction block",
            )),
            false => Ok(()),
        }
    }

    /// A role's rows are kept by its name, and who is in use cannot be renamed.
    fn check_may_rename(&self, name: &str) -> Result<(), SqlError> {
        let catalog = self.catalog();
        let renamed = catalog.roles.get(name).map(|role| role.id);
        for (of, what) in [(&self.login.role, "session"), (&self.role(), "current")] {
            if Some(of.id) == renamed {
                let message = format!("{what} user cannot be renamed");
                return Err(SqlError::new(ErrorKind::FeatureNotSupported, message));
            }
        }
        self.check_without_rows(name, "renamed")
    }

    /// 2BP01 when a role that is about to be dropped or renamed has rows. The committer looks again.
    fn check_without_rows(&self, role: &str, done: &str) -> Result<(), SqlError> {
        let mut tables = self.engine.store.tables_of_user(role)?;
        tables.extend(self.work.changes.read().tables_of_user(role));
        match tables.is_empty() {
            true => Ok(()),
            false => Err(ddl::role::has_rows(
                role,
                done,
                &tables,
                &self.search_path(),
            )),
        }
    }

    /// 42704 when the session's role was dropped, or renamed since the rows were made, and the table is one whose rows
    /// belong to roles. Should that be done from here on, the commit is refused.
    pub(super) fn check_role_writes(
        &self,
        table: &TableDef,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        let access = self.access(&self.catalog());
        let foreign = |own: &Partition| writes.iter().any(|write| write.partition != *own);
        let refused = match access.partitions(table) {
            _ if table.kind != TableKind::User => false,
            PartitionSet::All => false,
            PartitionSet::One(own) => access.role.is_none() || foreign(&own),
        };
        match refused {
            true => Err(ddl::role::undefined(&self.role().name)),
            false => Ok(()),
        }
    }

    /// Checks that a sequence stands, or will stand, inside its limits.
    fn check_stand(&self, stand: &SequenceStand) -> Result<(), SqlError> {
        let value = match stand.restart {
            Some(value) => value,
            None => {
                let state = self.engine.store.sequence_state(&stand.sequence);
                state.map_err(sequence_error)?.value
            }
        };
        ddl::sequence::check_limits(&stand.sequence, "RESTART", value)
    }

    /// Lets a sequence go on. As numbers are drawn outside transactions, so is where they go on.
    fn settle_stand(&self, stand: &SequenceStand) -> Result<(), SqlError> {
        let store = &self.engine.store;
        let settled = match stand.restart {
            Some(value) => {
                let called = false;
                store.set_sequence(&stand.sequence, SequenceState { value, called })
            }
            None => store.settle_sequence(&stand.sequence),
        };
        settled.map_err(sequence_error)
    }

    /// Adds changes to those that the open block commits.
    pub(crate) fn change_with_block(
        &mut self,
        changes: Vec<CatalogChange>,
    ) -> Result<(), SqlError> {
        let base = self.committed_catalog();
        let ddl = self.work.ddl.get_or_insert_with(|| PendingDdl::new(base));
        let (before, after) = ddl.change(|pending| pending.extend(changes))?;
        match self.work.changes.write().follow_catalog(&before, &after) {
            Err(CommitError::UniqueViolation { table, index, key }) => {
                Err(duplicate_rows(&table, index, &key))
            }
            followed => Ok(followed?),
        }
    }

    /// Has the commit of the open block fail when others write to a table after the snapshot at `since`.
    pub(crate) fn depend_on_table(&mut self, table: TableId, since: Seq) {
        // Nobody else knows a table that the block has made.
        if let Some(ddl) = &mut self.work.ddl
            && ddl.base().table_by_id(table).is_some()
        {
            ddl.checked.push((table, since));
        }
    }

    pub(super) fn ddl_mark(&self) -> DdlMark {
        let ddl = self.work.ddl.as_ref();
        DdlMark {
            changes: ddl.map_or(0, |ddl| ddl.changes.len()),
            checked: ddl.map_or(0, |ddl| ddl.checked.len()),
        }
    }

    /// Takes back what was changed of the catalog since the mark; row changes since then must be gone.
    pub(super) fn undo_ddl(&mut self, mark: DdlMark) {
        let Some(ddl) = &mut self.work.ddl else {
            return;
        };
        ddl.checked.truncate(mark.checked);
        let (before, after) = (ddl.change(|pending| pending.truncate(mark.changes)))
            .expect("fewer changes go with what more of them went with");
        (self.work.changes.write().follow_catalog(&before, &after))
            .expect("the rows had these keys at the savepoint");
        if mark.changes == 0 {
            self.work.ddl = None;
        }
    }

    /// Names and types that the columns of a query have in what is made of it.
    pub(super) fn describe(
        &self,
        catalog: &Catalog,
        query: &Query,
    ) -> Result<Vec<(String, ColumnType)>, SqlError> {
        let plan = self.plan_query(query.clone(), &[], catalog)?.plan;
        let columns = output::columns(plan.schema().as_arrow())?;
        let declared = |(at, column): (usize, output::OutputColumn)| {
            let ty = output::precision::declared(&plan, at, column.ty);
            (column.name, ty)
        };
        Ok(columns.into_iter().enumerate().map(declared).collect())
    }

    /// A default's value now. DDL is planned without waiting, so only what needs no table can be evaluated.
    fn evaluate_default(&self, expr: &Expr, ty: ColumnType) -> Result<Datum, SqlError> {
        let evaluation = self.evaluate_as(expr, ty);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(evaluation))
    }
}

/// Which parts of the catalog a statement changes, and so waits for. One that is refused for what it finds waits, too: what is
/// being changed may be what it asks for. Not so when it is about nothing that is there.
fn concerns(planned: &Result<DdlPlan, SqlError>, superuser: bool) -> BTreeSet<Concern> {
    use ErrorKind::{
        DuplicateDatabase, DuplicateObject, DuplicateSchema, DuplicateTable, InsufficientPrivilege,
        InvalidSchemaName, UndefinedDatabase, UndefinedObject, UndefinedTable,
    };
    match planned {
        Ok(plan) => {
            let stands = plan.stands.iter().map(|stand| &*stand.sequence.schema);
            let stands = stands.map(Concern::of_schema);
            let changes = plan.changes.iter().map(CatalogChange::concern);
            changes.chain(stands).collect()
        }
        Err(error) => match error.kind {
            DuplicateDatabase
            | DuplicateObject
            | DuplicateSchema
            | DuplicateTable
            | InsufficientPrivilege
            | InvalidSchemaName
            | UndefinedDatabase
            | UndefinedObject
            | UndefinedTable => BTreeSet::new(),
            // Others change only what is their own.
            _ if !superuser => BTreeSet::new(),
            _ => [Concern::Lasting].into(),
        },
    }
}

/// A notice with PostgreSQL's code: only what tells of something that is there already has one.
fn noticed(error: SqlError) -> SqlError {
    use ErrorKind::{
        DependentObjectsStillExist, InvalidSchemaName, ObjectNotInPrerequisiteState,
        UndefinedColumn, UndefinedFunction, UndefinedObject, UndefinedTable,
    };
    let kind = match error.kind {
        DependentObjectsStillExist
        | InvalidSchemaName
        | ObjectNotInPrerequisiteState
        | UndefinedColumn
        | UndefinedFunction
        | UndefinedObject
        | UndefinedTable => ErrorKind::SuccessfulCompletion,
        kind => kind,
    };
    SqlError { kind, ..error }
}

fn sequence_error(error: SequenceError) -> SqlError {
    match error {
        SequenceError::Storage(error) => error.into(),
        exhausted => SqlError::new(ErrorKind::SequenceLimitExceeded, exhausted.to_string()),
    }
}
