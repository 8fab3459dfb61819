//! Planning: a query and a catalog snapshot give a logical plan. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, Volatility, WindowUDF,
};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast;
use tidelog_storage::{Catalog, ColumnType, EnumType, Store};

use crate::activity::{self, Activities};
use crate::advisory::{self, Advisory};
use crate::error::{ErrorKind, SqlError, VALUES_MISMATCH, from_datafusion};
use crate::locks::LockTable;
use crate::notify::PG_NOTIFY;
use crate::provider::{Access, Relation};
use crate::row::{infer, placeholder};
use crate::session::{CursorInfo, StatementInfo};
use crate::text::Style;
use crate::{ddl, evaluated_once, functions, system, types};

mod alike;
mod ambiguous;
mod arrays;
mod calls;
mod caseless;
mod columns;
mod comparable;
mod conditional;
mod dialect;
mod flatten;
mod forms;
pub(crate) mod frames;
mod group_keys;
mod grouping;
mod groups;
mod hidden;
mod inner;
mod keys;
mod limits;
mod list_keys;
mod merged;
mod moments;
pub(crate) mod names;
mod numerics;
mod operators;
mod order;
mod outer;
pub(crate) mod places;
pub(crate) mod qualified;
mod ranged;
mod ranges;
mod recursive;
pub(crate) mod reg;
mod relations;
mod repeated;
mod rows;
mod selects;
mod set_operations;
mod sets;
mod sort_names;
pub(crate) mod stars;
pub(crate) mod subqueries;
mod subscripts;
mod syntax;
mod tableoid;
mod unnested;
mod using;
mod vectors;
mod view;
mod window_calls;
mod windows;
mod with;

pub(crate) use arrays::ElementTypes;
pub(crate) use dialect::gives_set;
pub(crate) use flatten::is_outer;
pub(crate) use keys::KeylessQueries;
pub(crate) use limits::negative as negative_limit;
pub(crate) use names::shown;
pub(crate) use numerics::whole_and_scale;
pub(crate) use operators::PostgresOperators;
pub(crate) use order::{column_without_zero, looks_vary, sorted_by, without_zero};
pub(crate) use set_operations::SetOperations;
use view::ViewSource;

/// What names mean in one statement.
pub(crate) struct Planner<'a> {
    /// Functions and options.
    pub(crate) state: &'a SessionState,
    /// The store that functions ask for sizes when they run.
    pub(crate) store: &'a Arc<Store>,
    /// The session's settings with their values, for a query that asks.
    pub(crate) settings: &'a dyn Fn() -> Vec<(String, String)>,
    /// The catalog snapshot.
    pub(crate) catalog: &'a Catalog,
    /// Schemas that unqualified names are looked up in.
    pub(crate) search_path: &'a [String],
    /// Whose statement it is.
    pub(crate) access: &'a Access,
    /// Values of the functions that ask for the session, by name.
    pub(crate) constants: &'a HashMap<&'static str, ScalarValue>,
    /// What `nextval` and its like draw from.
    pub(crate) sequences: functions::sequence::Source,
    /// How text is read and written.
    pub(crate) style: Style,
    /// Planners of expressions: ours first, which reads literals in the session's style.
    pub(crate) expr_planners: Vec<Arc<dyn ExprPlanner>>,
    /// The session's `pg_notify`.
    pub(crate) pg_notify: &'a Arc<ScalarUDF>,
    /// What sessions are doing.
    pub(crate) activities: &'a Arc<Activities>,
    /// The locks of all sessions.
    pub(crate) locks: &'a Arc<LockTable>,
    /// The session's advisory locks.
    pub(crate) advisory: &'a Arc<Advisory>,
    /// The session's cursors.
    pub(crate) cursors: &'a dyn Fn() -> Vec<CursorInfo>,
    /// The statements that its client has prepared.
    pub(crate) statements: &'a dyn Fn() -> Vec<StatementInfo>,
    /// Whether tables show their pseudo-columns: only where the statement names one.
    pub(crate) pseudo_columns: bool,
    /// Whether each relation is named with its schema, as in the text of a view: what is not is a query of WITH.
    pub(crate) names_schemas: bool,
    /// What catalogs show.
    pub(crate) showing: system::Showing,
    /// Relations that stand in for tables (rows of RETURNING, `excluded`).
    pub(crate) replaced: Vec<(String, Arc<dyn TableProvider>)>,
}

impl Planner<'_> {
    /// Plans a query; `parameters` are the types of `$1`, … as far as they are known. A parameter is of the type that the
    /// first of its places wants.
    pub(crate) fn query(
        &self,
        query: ast::Query,
        parameters: &[Option<ColumnType>],
    ) -> std::result::Result<LogicalPlan, SqlError> {
        let query = match set_operations::lists_modified_types(&query) {
            true => set_operations::values_as_unions(&query).unwrap_or(query),
            false => query,
        };
        let (query, plan) = self.with_values(query, parameters)?;
        let Some(types) = disagreeing(&plan).map_err(from_datafusion)? else {
            return Ok(plan);
        };
        let mut known = parameters.to_vec();
        for (index, ty) in types.into_iter().enumerate() {
            if let Some(ty) = ty {
                infer(&mut known, index, ty);
            }
        }
        self.plan_once(query, &known)
    }

    /// The plan of a query, and the query as it was planned: where the rows of VALUES have types that are known too late to
    /// be brought together, as a UNION of them.
    fn with_values(
        &self,
        query: ast::Query,
        parameters: &[Option<ColumnType>],
    ) -> std::result::Result<(ast::Query, LogicalPlan), SqlError> {
        let error = match self.plan_once(query.clone(), parameters) {
            Ok(plan) => return Ok((query, plan)),
            Err(error) => error,
        };
        if error.message != VALUES_MISMATCH {
            return Err(error);
        }
        let Some(united) = set_operations::values_as_unions(&query) else {
            return Err(error);
        };
        match self.plan_once(united.clone(), parameters) {
            Ok(plan) => Ok((united, plan)),
            Err(mut said) if said.kind == ErrorKind::DatatypeMismatch => {
                said.message = said.message.replacen("UNION", "VALUES", 1);
                Err(said)
            }
            Err(_) => Err(error),
        }
    }

    fn plan_once(
        &self,
        mut query: ast::Query,
        parameters: &[Option<ColumnType>],
    ) -> std::result::Result<LogicalPlan, SqlError> {
        let mut parameters = parameters.to_vec();
        places::check(&query)?;
        forms::follow_postgres(&mut query)?;
        using::resolve(&mut query)?;
        ambiguous::check(&query, self.catalog, self.search_path)?;
        with::tell_apart(&mut query);
        recursive::order(&mut query)?;
        recursive::check(&query, &|name| {
            self.state.aggregate_functions().contains_key(name)
        })?;
        windows::follow_postgres(&mut query, &|name| self.is_of_one_row(name))?;
        unnested::tell_apart(&mut query, &|name| {
            self.state.aggregate_functions().contains_key(name)
        });
        outer::name(&mut query, self.catalog, self.search_path);
        tableoid::resolve(&mut query, self.catalog, self.search_path);
        dialect::name_fields(&mut query, self.catalog, self.search_path);
        dialect::spread(&mut query)?;
        dialect::as_functions(&mut query);
        qualified::simplify(&mut query);
        names::follow_postgres(&mut query, &mut parameters, &|schema, name| {
            ddl::enums::find(self.catalog, self.search_path, schema, name)
        });
        group_keys::tell_sets_apart(&mut query)?;
        columns::tell_apart(&mut query, self.catalog, self.search_path)?;
        rows::expand(&mut query, self.catalog, self.search_path);
        sort_names::tell_apart(&mut query, self.catalog, self.search_path);
        inner::check(&query, self.catalog, self.search_path)?;
        hidden::rename(&mut query, self.catalog, self.search_path);
        keys::with_in_from(&mut query);
        dialect::write_numbers_out(&mut query);
        subqueries::simplify(&mut query)?;
        conditional::as_functions(&mut query);
        limits::whole(&mut query)?;
        if self.pseudo_columns {
            stars::expand(&mut query, self.catalog, self.search_path)?;
        }
        alike::tell_apart(&mut query, &|name| {
            self.state.aggregate_functions().contains_key(name)
        });
        group_keys::tell_apart(&mut query);
        with::mark_evaluated_once(&mut query, &|name| {
            let function = self.get_function_meta(name);
            function.is_some_and(|of| of.signature().volatility == Volatility::Volatile)
        })?;
        selects::rewrite(&mut query)?;
        set_operations::as_relations(&mut query);
        let options = ParserOptions {
            parse_float_as_decimal: true,
            map_string_types_to_utf8view: false,
            ..ParserOptions::default()
        };
        let fields: Vec<Option<FieldRef>> = parameters
            .iter()
            .map(|ty| ty.map(|ty| Arc::new(ty.field("", true))))
            .collect();
        let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
        SqlToRel::new_with_options(self, options)
            .sql_statement_to_plan_with_context(
                ast::Statement::Query(Box::new(query)),
                &mut context,
            )
            .and_then(|plan| operators::follow_postgres(plan, self.style))
            .and_then(sets::sorted_first)
            .and_then(|plan| flatten::flatten(plan, self.style))
            .and_then(|plan| reg::with_names(plan, &|name| self.of_catalog(name)))
            .and_then(evaluated_once::nodes)
            .map_err(from_datafusion)
    }
}

impl Planner<'_> {
    /// Plans a query whose rows a session is told.
    pub(crate) fn shown_query(
        &self,
        query: ast::Query,
        parameters: &[Option<ColumnType>],
    ) -> std::result::Result<LogicalPlan, SqlError> {
        let plan = self.query(query, parameters)?;
        reg::shown(plan, self.style, &|name| self.of_catalog(name))
    }

    /// A function that asks the catalog.
    fn of_catalog(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        let session = system::functions::Session {
            search_path: self.search_path,
            settings: self.settings,
            store: self.store,
            showing: self.showing,
        };
        system::functions::function(name, self.catalog, &session)
    }

    /// Whether a function is neither an aggregate nor a window function.
    fn is_of_one_row(&self, name: &str) -> bool {
        let of_many = self.get_aggregate_meta(name).is_some()
            || self.get_window_meta(name).is_some()
            || dialect::is_function(name) && !dialect::is_set(name);
        !of_many && (dialect::is_set(name) || functions::named(name, self.style).is_some())
    }

    /// The names in pg_proc's file that can be called here.
    fn callable(&self) -> BTreeSet<&'static str> {
        let (scalars, aggregates) = (
            self.state.scalar_functions(),
            self.state.aggregate_functions(),
        );
        let mut names = system::pg_proc::names();
        names.retain(|name| {
            self.constants.contains_key(name)
                || scalars.contains_key(*name)
                || aggregates.contains_key(*name)
                || matches!(*name, "every" | "variance" | PG_NOTIFY)
                || self.state.window_functions().contains_key(*name)
                || self.state.table_functions().contains_key(*name)
                || dialect::is_function(name)
                || functions::named(name, self.style).is_some() && !functions::is_missing(name)
                || functions::sequence::is_one(name)
                || advisory::is_one(name)
                || activity::is_one(name)
                || system::functions::is_one(name)
        });
        names
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let replaced = |(replaced, _): &&(String, _)| name.table() == replaced;
        if let Some((_, provider)) = self.replaced.iter().find(replaced) {
            return Ok(provider_as_source(provider.clone()));
        }
        if name.schema().is_none_or(system::is_system_schema)
            && let Some(relation) = system::relation(name.schema(), name.table())
        {
            return Ok(provider_as_source(match name.table() {
                "pg_settings" => {
                    let mut settings = (self.settings)();
                    settings.retain(|(name, _)| !crate::settings::is_hidden(name));
                    relation.of_rows(system::settings_rows(settings))?
                }
                "pg_cursors" => relation.of_rows(system::cursor_rows((self.cursors)()))?,
                "pg_prepared_statements" => {
                    relation.of_rows(system::statement_rows((self.statements)()))?
                }
                "pg_stat_activity" => {
                    let waiting = self.locks.waiting();
                    let sessions = self.activities.list();
                    relation.of_activities(&sessions, &waiting, self.access, self.catalog)?
                }
                "pg_stat_database" => {
                    let sessions = self.activities.list();
                    relation.of_rows(system::statistics::databases(&sessions, self.catalog))?
                }
                "pg_stat_ssl" => relation.of_rows(system::statistics::unencrypted(
                    &self.activities.list(),
                    "ssl",
                ))?,
                "pg_stat_gssapi" => {
                    let sessions = self.activities.list();
                    relation.of_rows(system::statistics::unencrypted(
                        &sessions,
                        "gss_authenticated",
                    ))?
                }
                "pg_locks" => relation.of_locks(self.locks.shown(), self.catalog)?,
                "pg_proc" => Arc::new(relation.of_functions(self.callable())),
                _ => Arc::new(relation.shown(self.showing)),
            }));
        }
        // DataFusion asks for what it takes from WITH, too.
        if (name.schema().is_some() || !self.names_schemas)
            && let Some(view) =
                ddl::view::find_view(self.catalog, self.search_path, name.schema(), name.table())
        {
            let source = ViewSource::new(self, view);
            let source = source.map_err(|error| DataFusionError::External(Box::new(error)))?;
            return Ok(provider_as_source(Arc::new(source)));
        }
        let sequence = match name.schema() {
            Some(schema) => ddl::temp::resolved(self.search_path, schema)
                .and_then(|schema| self.catalog.sequence(schema, name.table())),
            None => (self.search_path.iter())
                .find_map(|schema| self.catalog.sequence(schema, name.table())),
        };
        if let Some(sequence) = sequence {
            let relation = system::SequenceRelation::new(sequence.clone());
            return Ok(provider_as_source(Arc::new(relation)));
        }
        let parts = [name.catalog(), name.schema(), Some(name.table())];
        let idents: Vec<ast::Ident> = parts
            .into_iter()
            .flatten()
            .map(|part| ast::Ident::with_quote('"', part))
            .collect();
        let table = ddl::resolve(
            self.catalog,
            self.search_path,
            &ast::ObjectName::from(idents),
        )
        .map_err(|e| DataFusionError::External(Box::new(e)))?;
        if let Err(error) = ddl::materialized::check_populated(table) {
            return Err(DataFusionError::External(Box::new(error)));
        }
        let user = self.pseudo_columns && self.access.sees_user(table);
        let relation = Relation::new(table.clone(), self.pseudo_columns, user);
        Ok(provider_as_source(Arc::new(
            match self.access.sees_user(table) {
                true => relation,
                false => relation.with_unique_key(),
            },
        )))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        // What the planner itself writes; generate_series is a function with overloads.
        let name = match name {
            "pg_series" => "generate_series",
            name => name,
        };
        let function = self
            .state
            .table_functions()
            .get(name)
            .ok_or_else(|| DataFusionError::Plan(format!("Invalid function '{name}'")))?;
        let arguments = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(
            function.create_table_provider_with_args(arguments)?,
        ))
    }

    fn create_cte_work_table(
        &self,
        name: &str,
        schema: arrow::datatypes::SchemaRef,
    ) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(
            name, schema,
        ))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PostgresTypes {
            enums: self.catalog.types.clone(),
            search_path: self.search_path.to_vec(),
        }))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(value) = self.constants.get(name) {
            return Some(functions::constant(name, value.clone()));
        }
        if let Some(name) = windows::without_such_arguments(name) {
            return Some(functions::unknown(name));
        }
        let sequences = &self.sequences;
        if let Some(function) =
            functions::sequence::function(name, self.catalog, self.search_path, sequences)
        {
            return Some(function);
        }
        if let Some(function) = functions::named(name, self.style) {
            return Some(function);
        }
        if let Some(function) = advisory::function(name, self.advisory) {
            return Some(function);
        }
        if let Some(function) = activity::function(name, self.activities, self.locks, self.access) {
            return Some(function);
        }
        if name == PG_NOTIFY {
            return Some(self.pg_notify.clone());
        }
        if let Some(function) = self.state.scalar_functions().get(name) {
            return Some(function.clone());
        }
        if let Some(function) = self.of_catalog(name) {
            return Some(function);
        }
        let is_other = name.starts_with("unnest")
            || self.get_higher_order_meta(name).is_some()
            || self.get_aggregate_meta(name).is_some()
            || self.get_window_meta(name).is_some();
        (!is_other).then(|| functions::unknown(name))
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        let name = match name {
            "every" => "bool_and",
            // DataFusion's own, or its names for others.
            "any_value"
            | "approx_distinct"
            | "approx_median"
            | "approx_percentile_cont"
            | "approx_percentile_cont_with_weight"
            | "covar"
            | "first_value"
            | "last_value"
            | "mean"
            | "median"
            | "nth_value"
            | "quantile_cont"
            | "stddev_sample"
            | "stddev_population"
            | "var"
            | "var_sample"
            | "var_population" => return None,
            name => name,
        };
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state
            .higher_order_functions()
            .keys()
            .cloned()
            .collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// Type names in casts, by PostgreSQL's meaning.
#[derive(Debug)]
struct PostgresTypes {
    enums: BTreeMap<(String, String), EnumType>,
    search_path: Vec<String>,
}

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        let user_types = |schema: Option<&str>, name: &str| {
            let of = |schema: &str| self.enums.get(&(schema.to_string(), name.to_string()));
            let found = match schema {
                Some(schema) => of(ddl::temp::resolved(&self.search_path, schema)?),
                None => self.search_path.iter().find_map(|schema| of(schema)),
            };
            found.map(|of| ColumnType::Enum(*of))
        };
        match types::column_type_among(sql_type, &user_types) {
            Ok(ty) => Ok(Some(Arc::new(ty.field("", true)))),
            Err(_) if let Some(ty) = qualified::reg_array(sql_type).or(counting_type(sql_type)) => {
                Ok(Some(Arc::new(ty.field("", true))))
            }
            // Types that only catalogs have, by what they are shown as there.
            Err(error) => Ok(
                match sql_type.to_string().trim_start_matches("pg_catalog.") {
                    // The domains of the standard's catalog.
                    "information_schema.character_data"
                    | "information_schema.sql_identifier"
                    | "information_schema.yes_or_no" => {
                        Some(Arc::new(ColumnType::Varchar(None).field("", true)))
                    }
                    "information_schema.cardinal_number" => {
                        Some(Arc::new(ColumnType::Int4.field("", true)))
                    }
                    "information_schema.time_stamp" => {
                        Some(Arc::new(ColumnType::TimestampTz(None).field("", true)))
                    }
                    _ => return Err(DataFusionError::External(Box::new(error))),
                },
            ),
        }
    }
}

/// What stands for the types that PostgreSQL counts transactions and commands by.
fn counting_type(sql_type: &ast::DataType) -> Option<ColumnType> {
    let name = sql_type.to_string().to_ascii_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    matches!(name, "xid" | "cid").then_some(ColumnType::Oid)
}

/// The types of a plan's parameters: the client's where it gave one, else what the plan infers, else text.
pub(crate) fn parameter_types(
    plan: &LogicalPlan,
    given: &[Option<ColumnType>],
) -> std::result::Result<Vec<ColumnType>, SqlError> {
    let types = known_parameters(plan, given)?.into_iter();
    Ok(types.map(|ty| ty.unwrap_or(ColumnType::Text)).collect())
}

/// The same, without a type where nothing tells one.
pub(crate) fn known_parameters(
    plan: &LogicalPlan,
    given: &[Option<ColumnType>],
) -> std::result::Result<Vec<Option<ColumnType>>, SqlError> {
    let fields = plan.get_parameter_fields().map_err(from_datafusion)?;
    let mut types = given.to_vec();
    for (id, field) in fields {
        let Ok(index) = placeholder(&id) else {
            return Err(SqlError::unsupported(format!("parameter {id}")));
        };
        if types.len() <= index {
            types.resize(index + 1, None);
        }
        if let (None, Some(field)) = (types[index], field) {
            types[index] = Some(crate::output::column_type(&field)?);
        }
    }
    Ok(types)
}

/// The types of parameters as their first places tell them, where other places tell others or none; `None` where they agree.
fn disagreeing(plan: &LogicalPlan) -> Result<Option<Vec<Option<ColumnType>>>> {
    let (mut types, mut disagree) = (Vec::new(), false);
    let mut untold = BTreeSet::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(found) = expr
                    && let Ok(index) = placeholder(&found.id)
                {
                    let told = found
                        .field
                        .as_ref()
                        .map(|field| crate::output::column_type(field));
                    if let Some(Ok(ty)) = told {
                        infer(&mut types, index, ty);
                        disagree |= types[index] != Some(ty);
                    } else {
                        untold.insert(index);
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let is_told = |index: &usize| matches!(types.get(*index), Some(Some(_)));
    Ok((disagree || untold.iter().any(is_told)).then_some(types))
}
