//! SUBSCRIBE as a plan: what to send first, and which changes to follow.
//!
//! Owns: checking a subscription when it begins, what it shows of a row ([`Lens`]), its snapshots, and whether it
//! can go on after the catalog has changed. Does not: follow the log.

mod constant;
mod lens;
mod options;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arrow::array::ArrayRef;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, CopyLegacyOption, CopyOption};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tidelog_storage::{
    Catalog, ColumnType, Datum, FeedScope, Partition, PartitionSet, RoleRef, Row, Seq, TableDef,
    TableKind,
};

use crate::copy::CopyFormat;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::output::{self, OutputColumn, RowStream};
use crate::parse::walk::Walk;
use crate::parse::{Subscribe, parse_query};
use crate::plan;
use crate::provider::{SEQ, USER};
use crate::session::{Outcome, Session, SessionSeed, bind};
use crate::text::{self, Style};

pub(crate) use options::{literal_options, seq};

use lens::Lens;
pub use lens::{Asked, Seen};
pub use options::SubscribeOptions;

/// A planned SUBSCRIBE: what there is to send first, and what to follow then. It can be planned again by itself,
/// after the catalog has changed or when changes were missed.
pub struct SubscribePlan {
    /// What is followed.
    pub subject: Arc<Subject>,
    /// The version of the catalog that it was planned with.
    pub catalog_version: u64,
    /// The version of the catalog for which its rights were looked at last.
    rights_version: u64,
    /// The rows as they stand at `after`, oldest Seq first: the Seq and then the query's columns. `None` when the
    /// subscription begins without.
    pub snapshot: Option<RowStream>,
    /// The tail begins strictly after this Seq: the snapshot's, or `from`.
    pub after: Seq,
    /// Whether the reader named it.
    pub resumed: bool,
    /// Whether the table has become another since then, so that what the reader has is void.
    pub altered: bool,
    /// The options, but for `from`.
    pub options: Arc<SubscribeOptions>,
    /// How lines are written when it was wrapped in COPY (…) TO STDOUT.
    pub copy: Option<Box<CopyFormat>>,
    session: Box<SessionSeed>,
}

/// A subscription's query over its table as that was when it was planned. Subscriptions of an equal statement share it.
pub struct Subject {
    /// The table.
    pub table: Arc<TableDef>,
    /// Whose changes to follow.
    pub scope: FeedScope,
    /// The result's columns: `_seq bigint, _op text, _commit boolean`, those of the query, and `_old jsonb` unless
    /// the envelope is upsert.
    pub columns: Arc<[OutputColumn]>,
    /// Where the primary key's columns stand in the query's, when the envelope is upsert.
    pub key: Option<Box<[usize]>>,
    /// Tells what is seen of a row, and under which envelope, from what other subjects with the same scope show. `None`
    /// when that depends on more than the statement, such as the time.
    pub identity: Option<Identity>,
    /// How values are written as text: as the session said when it subscribed.
    pub style: Style,
    lens: Lens,
    /// The query that it is planned from, and its parameters; most have none.
    text: Box<str>,
    parameters: Option<Box<Parameters>>,
}

/// The types and values of a statement's parameters, `$1` first.
struct Parameters(Vec<ColumnType>, Vec<Datum>);

/// The beginning of the SHA-256 of all that makes something what it is.
pub type Identity = [u8; 16];

fn identity(all: &str) -> Identity {
    let digest: [u8; 32] = Sha256::digest(all).into();
    *digest.first_chunk().expect("it is longer")
}

/// What several subscriptions may have, as long as one has it.
#[derive(Default)]
pub(crate) struct Subjects {
    subjects: Mutex<Known<Subject>>,
    columns: Mutex<Known<[OutputColumn]>>,
    options: Mutex<Known<SubscribeOptions>>,
}

struct Known<T: ?Sized> {
    all: HashMap<Identity, Weak<T>>,
    /// Sweep when there are so many.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Known<T> {
    fn default() -> Known<T> {
        Known {
            all: HashMap::new(),
            sweep_at: 0,
        }
    }
}

impl<T: ?Sized> Known<T> {
    /// The one of this identity, if it is `like` that, or `new`.
    fn share(&mut self, identity: Identity, like: impl Fn(&T) -> bool, new: Arc<T>) -> Arc<T> {
        let known = self.all.get(&identity).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| like(known)) {
            return known;
        }
        if self.all.len() >= self.sweep_at.max(16) {
            self.all.retain(|_, known| known.strong_count() > 0);
            self.sweep_at = 2 * self.all.len();
        }
        self.all.insert(identity, Arc::downgrade(&new));
        new
    }
}

impl Subjects {
    /// The one that is equal to this one, or it.
    fn share(&self, new: Subject) -> Arc<Subject> {
        let new = Arc::new(new);
        let Some(identity) = new.identity else {
            return new;
        };
        let like = |known: &Subject| {
            Arc::ptr_eq(&known.table, &new.table)
                && (&known.scope, &known.key) == (&new.scope, &new.key)
        };
        self.subjects.lock().share(identity, like, new.clone())
    }

    /// These columns, as another subject has them.
    fn share_columns(&self, new: Vec<OutputColumn>) -> Arc<[OutputColumn]> {
        let identity = identity(&format!("{new:?}"));
        self.columns.lock().share(identity, |_| true, new.into())
    }

    /// These options, as another subscription has them.
    fn share_options(&self, new: SubscribeOptions) -> Arc<SubscribeOptions> {
        let identity = identity(&format!("{new:?}"));
        self.options.lock().share(identity, |_| true, new.into())
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default)]
pub enum Begin {
    /// As its statement says.
    #[default]
    AsWritten,
    /// Strictly after this Seq.
    After(Seq),
    /// With the rows as they stand.
    Over,
}

/// What became of a subscription when the catalog changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It goes on where it was.
    GoesOn,
    /// The table's data is another: it begins again, with a snapshot.
    StartsOver,
}

/// The columns of a subscription's rows before those of its query.
const HEAD: [(&str, ColumnType); 3] = [
    (SEQ, ColumnType::Int8),
    ("_op", ColumnType::Text),
    ("_commit", ColumnType::Bool),
];

/// How many columns stand before those of the query.
pub const HEAD_COLUMNS: usize = HEAD.len();

/// The format of a COPY (SUBSCRIBE …), which is one of lines.
fn text_format(
    options: &[CopyOption],
    legacy: &[CopyLegacyOption],
) -> Result<CopyFormat, SqlError> {
    let format = CopyFormat::from_options(options, legacy)?;
    match format.is_binary() {
        true => Err(SqlError::unsupported("SUBSCRIBE in COPY's binary format")),
        false => Ok(format),
    }
}

fn column(name: &str, ty: ColumnType) -> OutputColumn {
    OutputColumn::new(name, ty)
}

impl Subject {
    /// The columns of its query.
    pub fn selected(&self) -> &[OutputColumn] {
        let end = self.columns.len() - usize::from(self.key.is_none());
        &self.columns[HEAD_COLUMNS..end]
    }

    /// Where in its query the columns stand that tell the rows apart; `None` when not all of them are there as they are.
    pub fn row_key(&self) -> Option<Vec<usize>> {
        let table = &self.table;
        let mut key = table.key_indexes();
        if key.is_empty() {
            return None;
        }
        if table.kind == TableKind::User && self.scope.partitions == PartitionSet::All {
            // `_user`, behind `_seq`.
            key.push(table.columns.len() + 1);
        }
        let source = |column| self.lens.source(column);
        let place = |column| (0..self.selected().len()).find(|at| source(*at) == Some(column));
        key.into_iter().map(place).collect()
    }

    /// Whether all of every row is seen.
    pub fn is_clear(&self) -> bool {
        self.lens.is_clear()
    }

    /// Whether to look at a few rows takes a moment.
    pub fn is_light(&self) -> bool {
        self.lens.is_light()
    }

    /// The values that the conditions ask for in a column (`a = 1`, `a IN (1, 2)`, with others by AND), the fewest
    /// that there are.
    pub fn asked(&self) -> Option<Asked> {
        self.lens.asked(&self.table)
    }

    /// What `look` needs of versions: the same for each subject of the table.
    pub fn columns_of(&self, versions: &[(Seq, &Partition, &Row)]) -> Vec<ArrayRef> {
        lens::columns(&self.table, versions)
    }

    /// What is seen of each version, in order; `columns` are `columns_of` the versions.
    pub fn look(
        &self,
        versions: &[(Seq, &Partition, &Row)],
        columns: &[ArrayRef],
    ) -> Result<Vec<Seen>, SqlError> {
        self.lens.look(versions, columns, self.selected())
    }

    /// The types and values of its parameters.
    fn parameters(&self) -> (&[ColumnType], &[Datum]) {
        let parameters = self.parameters.as_deref();
        parameters.map_or((&[], &[]), |Parameters(types, values)| (types, values))
    }
}

impl SubscribePlan {
    /// The snapshot was read: nothing of it is kept.
    pub fn end_snapshot(&mut self) {
        self.snapshot = None;
        self.session.live_snapshots().forget();
    }

    /// An error once whoever subscribed may not see any more what it sees. `version` is the newest one of the catalog.
    pub fn check_rights(&mut self, version: u64) -> Result<(), SqlError> {
        if version != self.rights_version {
            let session = self.session.grow();
            self.check_access(&session, &session.committed_catalog())?;
            self.rights_version = version;
        }
        Ok(())
    }

    fn check_access(&self, session: &Session, catalog: &Catalog) -> Result<(), SqlError> {
        session.check_roles(catalog)?;
        // As they are for the table that it was planned with, which may have been truncated or dropped since.
        let partitions = session.access(catalog).partitions(&self.subject.table);
        if partitions == self.subject.scope.partitions {
            return Ok(());
        }
        let message = format!(
            "the rights of role \"{}\" have changed, the subscription ends",
            session.role_name()
        );
        Err(SqlError::new(ErrorKind::InsufficientPrivilege, message))
    }

    /// Goes on with the catalog as it is now, or says why it cannot.
    pub fn renew(&mut self) -> Result<Renewed, SqlError> {
        let session = self.session.grow();
        let catalog = session.committed_catalog();
        self.check_access(&session, &catalog)?;
        let before = &self.subject.table;
        let name = format!("\"{}.{}\"", before.schema, before.name);
        let current = catalog.table_by_id(before.id);
        let table = current.or_else(|| catalog.table(&before.schema, &before.name));
        let Some(table) = table else {
            let message = format!("table {name} was dropped, the subscription ends");
            return Err(SqlError::new(ErrorKind::UndefinedTable, message));
        };
        if Arc::ptr_eq(table, before) {
            self.catalog_version = catalog.version;
            return Ok(Renewed::GoesOn);
        }
        // Its feed goes on from there only for who has read all of it as it is now.
        let hint = match table.id == before.id {
            true => "Read the table again and subscribe to what comes after.",
            false => {
                "Read the table again and subscribe to what comes after: its rows were written anew."
            }
        };
        let altered = |detail: String| {
            let message =
                format!("table {name} was altered, the subscription cannot go on with its columns");
            SqlError::new(ErrorKind::ObjectNotInPrerequisiteState, message)
                .detail(detail)
                .hint(hint)
        };
        let planned = (self.plan_again(&session, &catalog, false))
            .map_err(|error| altered(format!("{}.", error.message)))?;
        if planned.subject.columns != self.subject.columns {
            return Err(altered("Its columns are others now.".to_string()));
        }
        let truncated = planned.subject.table.id != before.id;
        self.subject = planned.subject;
        self.catalog_version = catalog.version;
        Ok(match truncated {
            true => Renewed::StartsOver,
            false => Renewed::GoesOn,
        })
    }

    /// Plans the query against a catalog. `anew`: its parameters have the types that it gives them now.
    fn plan_again(
        &self,
        session: &Session,
        catalog: &Catalog,
        anew: bool,
    ) -> Result<Planned, SqlError> {
        let query = parse_query(&self.subject.text)?;
        let (types, values) = self.subject.parameters();
        if !anew || types.is_empty() {
            return session.plan_subscription(&query, &self.options, types, values, catalog);
        }
        let open = vec![None; types.len()];
        let plan = session.plan_with_pseudo_columns(&query, &open, catalog)?;
        let now = plan::parameter_types(&plan, &open)?;
        let values = types.iter().zip(values).zip(&now);
        let values = values.map(|((ty, value), now)| match value {
            Datum::Null => Ok(Datum::Null),
            value if ty == now => Ok(value.clone()),
            value => {
                let mut written = String::new();
                text::write(value.as_ref(), *ty, Style::default(), &mut written);
                text::parse(*now, &written)
            }
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        session.plan_subscription(&query, &self.options, &now, &values, catalog)
    }

    /// Begins again with a snapshot of the rows as they are now. `anew`: in the columns that the query has now, whatever they
    /// were.
    pub async fn start_over(&mut self, anew: bool) -> Result<(), SqlError> {
        let session = self.session.grow();
        let scope = session.scope();
        let catalog = scope.snapshot.catalog().clone();
        session.check_roles(&catalog)?;
        let planned = self.plan_again(&session, &catalog, anew)?;
        if !anew && planned.subject.columns != self.subject.columns {
            let message = "the columns of the subscription have changed";
            return Err(SqlError::new(
                ErrorKind::ObjectNotInPrerequisiteState,
                message,
            ));
        }
        let after = scope.snapshot.seq();
        let snapshot = match self.options.snapshot {
            true => Some(session.run(planned.snapshot_plan, scope, &[], &[]).await?),
            false => None,
        };
        self.subject = planned.subject;
        self.catalog_version = catalog.version;
        self.snapshot = snapshot;
        self.after = after;
        Ok(())
    }
}

/// A subscription's query against one catalog.
struct Planned {
    subject: Arc<Subject>,
    snapshot_plan: LogicalPlan,
}

impl Session {
    /// The types of a subscription's parameters, and its columns.
    pub(crate) fn describe_subscription(
        &self,
        subscribe: &Subscribe,
        given: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<(Vec<ColumnType>, Vec<OutputColumn>), SqlError> {
        let mut types = given.to_vec();
        options::infer_parameters(&subscribe.options, &mut types);
        let options = options::check(subscribe, None)?;
        let plan = self.plan_with_pseudo_columns(&subscribe.query, &types, catalog)?;
        let columns = columns_of(&plan, &options)?;
        Ok((plan::parameter_types(&plan, &types)?, columns))
    }

    fn plan_with_pseudo_columns(
        &self,
        query: &ast::Query,
        types: &[Option<ColumnType>],
        catalog: &Catalog,
    ) -> Result<LogicalPlan, SqlError> {
        crate::locking::refuse(query)?;
        self.refuse_views(query, catalog)?;
        self.plan_over(Vec::new(), query.clone(), types, true, catalog)
    }

    /// 0A000 when a query names a view, whose definition may change under the subscription.
    fn refuse_views(&self, query: &ast::Query, catalog: &Catalog) -> Result<(), SqlError> {
        let path = self.search_path();
        let is_view = |name: &ast::ObjectName| {
            let mut parts = name
                .0
                .iter()
                .rev()
                .filter_map(|part| part.as_ident())
                .map(ddl::fold);
            let (name, schema) = (parts.next().unwrap_or_default(), parts.next());
            ddl::view::find_view(catalog, &path, schema.as_deref(), &name).is_some()
        };
        match query.has_relation(is_view) {
            true => Err(SqlError::unsupported("SUBSCRIBE with a view")),
            false => Ok(()),
        }
    }

    fn plan_subscription(
        &self,
        query: &ast::Query,
        options: &SubscribeOptions,
        types: &[ColumnType],
        values: &[Datum],
        catalog: &Catalog,
    ) -> Result<Planned, SqlError> {
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let plan = self.plan_with_pseudo_columns(query, &given, catalog)?;
        let plan = bind(plan, types, values)?;
        let table = lens::table_of(&plan)?;
        let columns = columns_of(&plan, options)?;
        let snapshot_plan = lens::snapshot_plan(&plan, options.last_rows)?;
        let mut state = self.state().clone();
        state.execution_props_mut().query_execution_start_time = Some(self.started());
        let lens = Lens::new(&state, &plan, &table)?;
        let selected = columns.len() - HEAD_COLUMNS;
        let key = match options.upsert {
            true => Some(self.key_in(&lens, selected, &table, catalog)?.into()),
            false => None,
        };
        let style = self.style();
        let text = query.to_string();
        let identity = lens::is_immutable(&plan)?.then(|| {
            identity(&format!(
                "{text} {types:?} {values:?} {columns:?} {style:?}"
            ))
        });
        let scope = FeedScope {
            table: table.id,
            partitions: self.access(catalog).partitions(&table),
        };
        let subject = Subject {
            table,
            scope,
            columns: self.subjects().share_columns(columns),
            key,
            identity,
            style,
            lens,
            text: text.into(),
            parameters: (!types.is_empty())
                .then(|| Box::new(Parameters(types.to_vec(), values.to_vec()))),
        };
        Ok(Planned {
            subject: self.subjects().share(subject),
            snapshot_plan,
        })
    }

    /// Where the columns that tell rows apart stand in the select list, which has so many. Others may have their names.
    fn key_in(
        &self,
        lens: &Lens,
        selected: usize,
        table: &TableDef,
        catalog: &Catalog,
    ) -> Result<Vec<usize>, SqlError> {
        let user = self.access(catalog).sees_user(table).then_some(USER);
        let indexes = table.key_indexes();
        // `_user` comes behind `_seq`.
        let wanted = (indexes.iter().copied()).chain(user.map(|_| table.columns.len() + 1));
        let place = |column| (0..selected).find(|at| lens.source(*at) == Some(column));
        let places: Option<Vec<usize>> = wanted.map(place).collect();
        match places {
            Some(places) if !indexes.is_empty() => Ok(places),
            _ => {
                let message =
                    "the upsert envelope needs the columns of the primary key in the select list";
                let needed: Vec<&str> = (indexes.iter())
                    .map(|at| table.columns[*at].name.as_str())
                    .chain(user)
                    .collect();
                let error = SqlError::new(ErrorKind::InvalidParameterValue, message);
                Err(if indexes.is_empty() {
                    error.detail(format!("Table \"{}\" has no primary key.", table.name))
                } else {
                    error.detail(format!("These are: {}.", needed.join(", ")))
                })
            }
        }
    }

    /// The plan of a SUBSCRIBE. It reads what is committed, also in a transaction block.
    pub(crate) async fn plan_subscribe(
        &self,
        subscribe: &Subscribe,
        copy: Option<&(Vec<CopyOption>, Vec<CopyLegacyOption>)>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<SubscribePlan, SqlError> {
        let copy = copy
            .map(|(options, legacy)| text_format(options, legacy).map(Box::new))
            .transpose()?;
        let session = self.seed().grow();
        let scope = session.scope();
        let catalog = scope.snapshot.catalog().clone();
        session.check_roles(&catalog)?;
        let mut options = options::check(subscribe, Some(values))?;
        let query = &subscribe.query;
        let planned = session.plan_subscription(query, &options, types, values, &catalog)?;
        let visible = scope.snapshot.seq();
        let from = match subscribe.begin {
            Begin::After(from) => Some(from),
            Begin::AsWritten | Begin::Over => options.from.take(),
        };
        let after = from.unwrap_or(visible);
        if let Some(up_to) = options.up_to
            && up_to < after
        {
            let message = format!("SUBSCRIBE option \"up_to\" lies before its beginning, {after}");
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message));
        }
        if after > visible && from.is_some() {
            let message = format!("SUBSCRIBE option \"from\" lies in the future: {after}");
            return Err(SqlError::new(ErrorKind::InvalidParameterValue, message)
                .detail(format!("The newest Seq is {visible}.")));
        }
        // Who comes from zero has nothing.
        let altered = match from.filter(|from| *from > Seq::ZERO) {
            Some(from) => (scope.snapshot.history(planned.subject.table.id))
                .map_err(SqlError::from)?
                .is_some_and(|history| from < history.altered && history.created <= from),
            None => false,
        };
        let snapshot = match from.is_none() && options.snapshot {
            true => Some(session.run(planned.snapshot_plan, scope, &[], &[]).await?),
            false => None,
        };
        Ok(SubscribePlan {
            subject: planned.subject,
            catalog_version: catalog.version,
            rights_version: catalog.version,
            snapshot,
            after,
            resumed: from.is_some(),
            altered,
            options: self.subjects().share_options(options),
            copy,
            session: Box::new(self.seed()),
        })
    }

    pub(crate) async fn subscribe(
        &mut self,
        subscribe: &Subscribe,
        copy: Option<&(Vec<CopyOption>, Vec<CopyLegacyOption>)>,
        types: &[ColumnType],
        values: &[Datum],
    ) -> Result<Outcome, SqlError> {
        let plan = self.plan_subscribe(subscribe, copy, types, values).await?;
        Ok(Outcome::Subscribe(Box::new(plan)))
    }

    /// Whether the roles that the session has are still there and may be had.
    pub(crate) fn check_roles(&self, catalog: &Catalog) -> Result<(), SqlError> {
        let there = |role: &RoleRef| match catalog.role(role) {
            Some(found) => Ok(found.clone()),
            None => {
                let message = format!("role \"{}\" was dropped", role.name);
                Err(SqlError::new(ErrorKind::InvalidAuthorization, message))
            }
        };
        let (login, role) = (there(&self.login().role)?, there(&self.role())?);
        if login.superuser || login.id == role.id {
            return Ok(());
        }
        let message = format!("permission denied to set role \"{}\"", role.name);
        Err(SqlError::new(ErrorKind::InsufficientPrivilege, message))
    }
}

fn columns_of(
    plan: &LogicalPlan,
    options: &SubscribeOptions,
) -> Result<Vec<OutputColumn>, SqlError> {
    let mut columns: Vec<_> = HEAD.iter().map(|(name, ty)| column(name, *ty)).collect();
    columns.extend(output::columns(plan.schema().as_arrow())?);
    if !options.upsert {
        columns.push(column("_old", ColumnType::Jsonb));
    }
    Ok(columns)
}
