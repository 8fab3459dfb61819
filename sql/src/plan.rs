//! Planning: a query and a catalog snapshot give a logical plan. No I/O.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::{TableProvider, provider_as_source};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{
    ContextProvider, ExprPlanner, RelationPlanner, TypePlanner,
};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{self, VisitMut};
use tidelog_storage::{Catalog, ColumnType};

use crate::error::{SqlError, from_datafusion};
use crate::provider::{Access, Relation, SEQ, USER};
use crate::{ddl, functions, parse, types};

/// What names mean in one statement.
pub(crate) struct Planner<'a> {
    /// Functions and options.
    pub(crate) state: &'a SessionState,
    /// The catalog snapshot.
    pub(crate) catalog: &'a Catalog,
    /// Schemas that unqualified names are looked up in.
    pub(crate) search_path: &'a [String],
    /// Whose statement it is.
    pub(crate) access: &'a Access,
    /// Values of the functions that ask for the session, by name.
    pub(crate) constants: &'a HashMap<&'static str, ScalarValue>,
    /// Whether tables show their pseudo-columns: only where the statement names one.
    pub(crate) pseudo_columns: bool,
    /// A relation that stands in for a table (rows of RETURNING).
    pub(crate) replaced: Option<(String, Arc<dyn TableProvider>)>,
}

impl Planner<'_> {
    /// Plans a query; `parameters` are the types of `$1`, … as far as they are known.
    pub(crate) fn query(
        &self,
        query: ast::Query,
        parameters: &[Option<ColumnType>],
    ) -> std::result::Result<LogicalPlan, SqlError> {
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
            .map_err(from_datafusion)
    }
}

/// Whether a statement may name a pseudo-column.
pub(crate) fn mentions_pseudo_columns(statement: &impl std::fmt::Display) -> bool {
    let text = statement.to_string();
    text.contains(SEQ) || text.contains(USER)
}

/// Spells out the `*` of a query over tables that show pseudo-columns: `*` never means these.
pub(crate) fn expand_stars(
    query: &mut ast::Query,
    catalog: &Catalog,
    search_path: &[String],
) -> std::result::Result<(), SqlError> {
    let mut expand = ExpandStars {
        catalog,
        search_path,
        ctes: HashSet::new(),
    };
    match query.visit(&mut expand) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct ExpandStars<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
    ctes: HashSet<String>,
}

impl ast::VisitorMut for ExpandStars<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(ddl::fold(&cte.alias.name));
        }
        match self.expand_body(&mut query.body) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl ExpandStars<'_> {
    fn expand_body(&self, body: &mut ast::SetExpr) -> std::result::Result<(), SqlError> {
        match body {
            ast::SetExpr::SetOperation { left, right, .. } => {
                self.expand_body(left)?;
                self.expand_body(right)
            }
            ast::SetExpr::Select(select) => self.expand_select(select),
            _ => Ok(()),
        }
    }

    fn expand_select(&self, select: &mut ast::Select) -> std::result::Result<(), SqlError> {
        let mut relations = Vec::new();
        let mut merges = false;
        for from in &select.from {
            relations.extend(self.relation(&from.relation));
            for join in &from.joins {
                relations.extend(self.relation(&join.relation));
                merges |=
                    join.to_string().contains("NATURAL") || join.to_string().contains("USING(");
            }
        }
        if relations.iter().all(|(_, columns)| columns.is_none()) {
            return Ok(());
        }
        let mut projection = Vec::new();
        for item in select.projection.drain(..) {
            match item {
                ast::SelectItem::Wildcard(_) if merges => {
                    return Err(SqlError::unsupported(
                        "* over NATURAL JOIN or USING beside a pseudo-column",
                    ));
                }
                ast::SelectItem::Wildcard(_) => {
                    relations.iter().for_each(|r| projection.extend(star(r)))
                }
                ast::SelectItem::QualifiedWildcard(ref kind, _) => {
                    let wanted = kind.to_string();
                    let named = |(name, _): &&Relations| {
                        wanted == format!("{}.*", parse::quoted(name))
                            || wanted == format!("{name}.*")
                    };
                    match relations.iter().find(named) {
                        Some(relation) => projection.extend(star(relation)),
                        None => projection.push(item),
                    }
                }
                item => projection.push(item),
            }
        }
        select.projection = projection;
        Ok(())
    }

    /// The name a FROM item goes by and, for a table of the catalog, its columns.
    fn relation(&self, factor: &ast::TableFactor) -> Option<Relations> {
        match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => {
                let last = name.0.last()?.as_ident()?;
                let called = alias
                    .as_ref()
                    .map_or_else(|| ddl::fold(last), |alias| ddl::fold(&alias.name));
                if name.0.len() == 1 && self.ctes.contains(&ddl::fold(last)) {
                    return Some((called, None));
                }
                let table = ddl::resolve(self.catalog, self.search_path, name).ok();
                Some((
                    called,
                    table.map(|t| t.columns.iter().map(|c| c.name.clone()).collect()),
                ))
            }
            ast::TableFactor::Derived { alias, .. } => {
                Some((ddl::fold(&alias.as_ref()?.name), None))
            }
            ast::TableFactor::Table { alias, name, .. } => {
                let called = alias
                    .as_ref()
                    .map(|alias| &alias.name)
                    .or_else(|| name.0.last()?.as_ident())?;
                Some((ddl::fold(called), None))
            }
            _ => None,
        }
    }
}

type Relations = (String, Option<Vec<String>>);

fn star((name, columns): &Relations) -> Vec<ast::SelectItem> {
    let relation = parse::quoted(name);
    match columns {
        Some(columns) => columns
            .iter()
            .map(|column| {
                parse::item(ast::Expr::CompoundIdentifier(vec![
                    relation.clone(),
                    parse::quoted(column),
                ]))
            })
            .collect(),
        None => vec![ast::SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(vec![relation].into()),
            ast::WildcardAdditionalOptions::default(),
        )],
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        if let Some((replaced, provider)) = &self.replaced
            && name.table() == replaced
        {
            return Ok(provider_as_source(provider.clone()));
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
        let user = self.pseudo_columns && self.access.sees_user(table);
        Ok(provider_as_source(Arc::new(Relation::new(
            table.clone(),
            self.pseudo_columns,
            user,
        ))))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
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
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        self.state.relation_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        match self.constants.get(name) {
            Some(value) => Some(functions::constant(name, value.clone())),
            None => self.state.scalar_functions().get(name).cloned(),
        }
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
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
struct PostgresTypes;

impl TypePlanner for PostgresTypes {
    fn plan_type_field(&self, sql_type: &ast::DataType) -> Result<Option<FieldRef>> {
        match types::column_type(sql_type) {
            Ok(ty) => Ok(Some(Arc::new(ty.field("", true)))),
            Err(_) => Ok(None),
        }
    }
}

/// The types of a plan's parameters: the client's where it gave one, else what the plan infers, else text.
pub(crate) fn parameter_types(
    plan: &LogicalPlan,
    given: &[Option<ColumnType>],
) -> std::result::Result<Vec<ColumnType>, SqlError> {
    let fields = plan.get_parameter_fields().map_err(from_datafusion)?;
    let mut types = given.to_vec();
    for (id, field) in fields {
        let Some(index) = id
            .strip_prefix('$')
            .and_then(|n| n.parse::<usize>().ok())
            .and_then(|n| n.checked_sub(1))
        else {
            return Err(SqlError::unsupported(format!("parameter {id}")));
        };
        if types.len() <= index {
            types.resize(index + 1, None);
        }
        if let (None, Some(field)) = (types[index], field) {
            types[index] = Some(crate::output::column_type(&field)?);
        }
    }
    Ok(types
        .into_iter()
        .map(|ty| ty.unwrap_or(ColumnType::Text))
        .collect())
}
