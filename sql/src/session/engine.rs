//! What all sessions share: the store, DataFusion's settings and the row locks.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use tidelog_storage::{CommitError, DatabaseId, Store, TableId};
use tokio::runtime::Handle;

use crate::activity::Activities;
use crate::apart::Threads;
use crate::cold_scan;
use crate::constraints::ExpressionCache;
use crate::constraints::computed::Reader;
use crate::evaluated_once;
use crate::functions;
use crate::locks::LockTable;
use crate::optimize::{self, CheckedArithmetic};
use crate::plan::{ElementTypes, KeylessQueries, SetOperations};
use crate::query_memory::QueryMemory;
use crate::subscribe::Subjects;
use crate::text::datetime::now_micros;

/// What all sessions share.
pub struct Engine {
    pub(super) store: Arc<Store>,
    pub(super) state: SessionState,
    pub(super) locks: Arc<LockTable>,
    pub(super) activities: Arc<Activities>,
    pub(super) expressions: ExpressionCache,
    pub(super) subjects: Subjects,
    pub(super) transaction_bytes_max: usize,
    pub(super) threads: Threads,
    pub(super) connections_max: usize,
    /// When it was made, which the server calls its start.
    pub(super) began_us: i64,
}

/// How an engine works.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How large a transaction's changes may become before they are committed, and the rows that one statement
    /// gathers for them: bytes of memory.
    pub transaction_bytes_max: usize,
    /// How much memory the sorts, groups, joins and large results of functions of all statements may take together, in bytes.
    pub query_memory: usize,
    /// The runtime for statements that may keep a thread for long; the present one without.
    pub heavy: Option<Handle>,
    /// How many connections the server takes, as it tells who asks.
    pub connections_max: usize,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            transaction_bytes_max: 1 << 30,
            query_memory: 4 << 30,
            heavy: None,
            connections_max: 1000,
        }
    }
}

impl Engine {
    /// The database that a table is in; the first one for a table that nobody committed.
    pub(crate) fn database_of(&self, table: TableId) -> DatabaseId {
        let found = self.store.catalog().database_of(table);
        found.unwrap_or(DatabaseId::FIRST)
    }

    /// An engine over an open store.
    pub fn new(store: Arc<Store>, options: EngineOptions) -> Arc<Engine> {
        let EngineOptions {
            transaction_bytes_max,
            query_memory,
            heavy,
            connections_max,
        } = options;
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.map_string_types_to_utf8view = false;
        // What is collected of a sorted subquery comes in its order.
        options.sql_parser.enable_subquery_sort_elimination = false;
        options.execution.parquet.schema_force_view_types = false;
        options.execution.collect_statistics = false;
        // It leaves out rows of min(a), max(b) while one of them has seen none
        // (https://github.com/apache/datafusion/issues/24816 and its like).
        options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        // Rules of DataFusion's change whether a column can be NULL, and leave the schemas above as they were.
        options.execution.skip_physical_aggregate_schema_check = true;
        options.execution.parquet.max_in_list_size = 200;
        options.execution.time_zone = Some("UTC".to_string());
        // What does not fit is refused: nothing is written to disk for it.
        let spills = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let memory = Arc::new(GreedyMemoryPool::new(query_memory));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(memory.clone())
            .with_disk_manager_builder(spills)
            .build_arc()
            .expect("without files nothing can fail");
        let url = url_of_store();
        runtime.register_object_store(&url, store.object_store());
        let mut builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_query_planner(Arc::new(evaluated_once::Plans))
            .with_analyzer_rule(Arc::new(CheckedArithmetic))
            .with_optimizer_rules(optimize::logical_rules())
            .with_relation_planners(vec![
                Arc::new(SetOperations),
                Arc::new(ElementTypes),
                Arc::new(KeylessQueries),
            ])
            .with_physical_optimizer_rules(optimize::physical_rules());
        let id = functions::snowflake_id(store.clone());
        let scalars = builder.scalar_functions().get_or_insert_default();
        scalars.push(id);
        scalars.extend(functions::random_uuids());
        scalars.extend(functions::syntax());
        let aggregates = builder.aggregate_functions().get_or_insert_default();
        aggregates.push(Arc::new(functions::sum()));
        aggregates.push(Arc::new(functions::collected::array_agg()));
        aggregates.extend(functions::moments::moments().map(Arc::new));
        aggregates.extend(functions::pairs::pairs().map(Arc::new));
        aggregates.extend(functions::collected::ordered_sets().map(Arc::new));
        let windows = builder.window_functions().get_or_insert_default();
        windows.extend(functions::ranks::ranks());
        let mut state = builder.build();
        // Functions find it where a plan runs, not where its constants are computed.
        let mut options = ConfigOptions::clone(state.config_options());
        options.extensions.insert(QueryMemory(memory));
        state.execution_props_mut().config_options = Some(Arc::new(options));
        let engine = Arc::new(Engine {
            store,
            state,
            locks: Arc::default(),
            activities: Arc::default(),
            expressions: ExpressionCache::default(),
            subjects: Subjects::default(),
            transaction_bytes_max,
            threads: Threads(heavy.unwrap_or_else(Handle::current)),
            connections_max,
            began_us: now_micros(),
        });
        let reader = Reader(Arc::downgrade(&engine));
        engine.store.read_expressions_by(Box::new(reader));
        engine
    }

    /// Drops the temporary tables of sessions that ended with an earlier run of the server, before any new one begins.
    pub async fn drop_temporary(&self) -> Result<(), CommitError> {
        let catalog = self.store.catalog();
        let mut changes = Vec::new();
        for id in catalog.databases.keys() {
            let all = crate::ddl::temp::drop_all(&catalog.looking_into(*id), |_| true);
            changes.extend(id.changes(all));
        }
        match changes.is_empty() {
            true => Ok(()),
            false => self
                .store
                .change_catalog(catalog.version, changes)
                .await
                .map(drop),
        }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

fn url_of_store() -> url::Url {
    cold_scan::STORE_URL.parse().expect("a constant URL")
}
