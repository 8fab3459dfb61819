//! The expressions of indexes: what they give for rows, and which may be in an index.
//!
//! Guarantees: a row that is written has its entries, or is refused. Does not: read the clauses of CREATE INDEX
//! (`ddl::index`), or know which entry is whose (`tidelog_storage::computed`).

use std::any::Any;
use std::sync::Weak;

use arrow::array::ArrayRef;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{Column, DFSchema};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use tidelog_storage::catalog::IndexDef;
use tidelog_storage::computed::{Compiler, Compute};

use super::generated::Place;
use super::*;
use crate::session::{Engine, simplified};

/// Reads the expressions of tables' indexes, in a session of its own: they mean the same in each.
pub(crate) struct Reader(pub(crate) Weak<Engine>);

impl Compiler for Reader {
    fn compile(&self, table: &TableDef) -> Option<Arc<dyn Compute>> {
        let engine = self.0.upgrade()?;
        let database = engine.database_of(table.id);
        let session = Session::of_system(engine, database);
        let computed = session.compile(table);
        computed.ok().map(|computed| Arc::new(computed) as _)
    }
}

/// What computes the expressions of one definition of a table.
#[derive(Debug)]
pub(crate) struct Computed {
    expressions: Vec<Expression>,
}

#[derive(Debug)]
struct Expression {
    /// As it stands in filters over the table.
    logical: Logical,
    /// Over the columns of the table at `columns`, which have these types.
    physical: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    types: Vec<ColumnType>,
    /// The type of what it gives.
    ty: ColumnType,
}

impl Expression {
    fn evaluate(&self, row: &Row) -> Result<Datum, SqlError> {
        let values: Vec<Datum> = self.columns.iter().map(|at| row[*at].clone()).collect();
        let batch = output::batch_of_rows(&self.types, &[values])?;
        let value: ArrayRef = self
            .physical
            .evaluate(&batch)
            .and_then(|value| value.into_array(1))
            .map_err(from_datafusion)?;
        let value = output::conform(&value, self.ty)?;
        Ok(output::value(&value, 0)?.to_owned())
    }
}

impl Compute for Computed {
    fn compute(&self, row: &Row) -> Vec<Option<Datum>> {
        let expressions = self.expressions.iter();
        expressions
            .map(|expression| expression.evaluate(row).ok())
            .collect()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the expressions of a table's indexes are in filters over it, in the order of `TableDef::computed`.
pub(crate) fn filters_of(table: &TableDef) -> Vec<Logical> {
    let computed = (!table.computed.is_empty()).then(|| table.compute());
    let computed = computed
        .flatten()
        .and_then(|compute| compute.as_any().downcast_ref::<Computed>());
    computed.map_or_else(Vec::new, |computed| {
        let expressions = computed.expressions.iter();
        expressions.map(|it| it.logical.clone()).collect()
    })
}

/// An error when an index of the table cannot take the row: one of its expressions fails for it.
pub(crate) fn check_row(table: &TableDef, row: &Row) -> Result<(), SqlError> {
    let compute = table.compute().ok_or_else(|| {
        let message = format!("the indexes of \"{}\" cannot be read", table.name);
        SqlError::new(ErrorKind::InternalError, message)
    })?;
    let Some(computed) = compute.as_any().downcast_ref::<Computed>() else {
        return Ok(());
    };
    let evaluate = |id: ColumnId| -> Result<Option<Datum>, SqlError> {
        let at = table.computed.iter().position(|of| of.id == id);
        let expression = at.and_then(|at| computed.expressions.get(at));
        expression.map(|of| of.evaluate(row)).transpose()
    };
    let is_in = |index: &IndexDef| match index.predicate {
        Some(id) => evaluate(id).map(|met| met == Some(Datum::Bool(true))),
        None => Ok(true),
    };
    for index in &table.indexes {
        if !is_in(index)? {
            continue;
        }
        for id in index.columns.iter().filter(|id| id.is_computed()) {
            evaluate(*id)?;
        }
    }
    Ok(())
}

/// The same expression over columns without their table's name.
fn unqualified(expr: Logical) -> Result<Logical, SqlError> {
    let strip = |expr| {
        Ok(match expr {
            Logical::Column(column) => {
                let name = Column::new_unqualified(column.name);
                Transformed::yes(Logical::Column(name))
            }
            expr => Transformed::no(expr),
        })
    };
    expr.transform(strip).data().map_err(from_datafusion)
}

impl Session {
    /// What computes the expressions of a table's indexes.
    pub(crate) fn compile(&self, table: &TableDef) -> Result<Computed, SqlError> {
        let written = table.computed.iter();
        let items: Vec<String> = written.map(|it| format!("({})", it.expression)).collect();
        let plan = self.plan_items(table, &items)?;
        let state = self.state();
        let plan = state
            .analyzer()
            .execute_and_check(plan, state.config_options(), |_, _| {})
            .map_err(from_datafusion)?;
        let LogicalPlan::Projection(projection) = &plan else {
            return Err(SqlError::unsupported("this expression in an index"));
        };
        let schema = projection.input.schema();
        let mut expressions = Vec::with_capacity(items.len());
        for (at, expr) in projection.expr.iter().enumerate() {
            let ty = output::column_type(plan.schema().field(at))?;
            expressions.push(self.compile_one(table, expr.clone().unalias(), schema, ty)?);
        }
        Ok(Computed { expressions })
    }

    fn compile_one(
        &self,
        table: &TableDef,
        expr: Logical,
        schema: &Arc<DFSchema>,
        ty: ColumnType,
    ) -> Result<Expression, SqlError> {
        let state = self.state();
        let simplified = simplified(state, None, &expr, schema)?;
        let physical = physical(state, None, &expr, schema)?;
        let mut columns: Vec<usize> = (collect_columns(&physical).iter())
            .map(|column| column.index())
            .collect();
        columns.sort_unstable();
        let types: Vec<ColumnType> = columns.iter().map(|at| table.columns[*at].ty).collect();
        let narrow = schema.as_arrow().project(&columns);
        let narrow = narrow.map_err(|error| crate::error::from_arrow(&error))?;
        let physical = reassign_expr_columns(physical, &narrow).map_err(from_datafusion)?;
        Ok(Expression {
            logical: unqualified(simplified)?,
            physical,
            columns,
            types,
            ty,
        })
    }

    /// Gives the expressions of a table's indexes their types; refuses those that must not be there.
    pub(crate) fn check_computed(&self, table: &mut TableDef) -> Result<(), SqlError> {
        for at in 0..table.computed.len() {
            let id = table.computed[at].id;
            let is_condition = |index: &IndexDef| index.predicate == Some(id);
            let place = match table.indexes.iter().any(is_condition) {
                true => Place::IndexPredicate,
                false => Place::IndexExpression,
            };
            let (ty, immutable) = self.examine(table, &table.computed[at].expression, place)?;
            let ty = ty.unwrap_or(ColumnType::Text);
            if place == Place::IndexPredicate && ty != ColumnType::Bool {
                let name = crate::types::bare_name(ty);
                let message = format!("argument of WHERE must be type boolean, not type {name}");
                return Err(SqlError::new(ErrorKind::DatatypeMismatch, message));
            }
            if !immutable {
                let what = match place {
                    Place::IndexPredicate => "predicate",
                    _ => "expression",
                };
                let message = format!("functions in index {what} must be marked IMMUTABLE");
                return Err(SqlError::new(ErrorKind::InvalidObjectDefinition, message));
            }
            table.computed[at].ty = ty;
            if table.indexes.iter().any(|it| it.columns.contains(&id)) {
                crate::ddl::index::check_sortable_type(ty)?;
            }
        }
        if table.computed.is_empty() {
            return Ok(());
        }
        // Entries are computed in a session that has no settings of its own.
        let (here, anywhere) = (self.compile(table)?, self.of_no_client().compile(table)?);
        let before = self.catalog().table_by_id(table.id).cloned();
        let known = |expression: &str| {
            let mut computed = before.iter().flat_map(|table| &table.computed);
            computed.any(|of| of.expression == expression)
        };
        let both = here.expressions.iter().zip(&anywhere.expressions);
        for (of, (here, anywhere)) in table.computed.iter().zip(both) {
            // Its functions are immutable: settings tell of its literals only, which it is written with.
            let same = here.logical.to_string() == anywhere.logical.to_string();
            if !same && !known(&of.expression) {
                let what = "a literal in an index that means something else under other settings";
                let hint = "Write it out in full, such as a time with its offset from UTC.";
                return Err(SqlError::unsupported(what).hint(hint));
            }
        }
        Ok(())
    }
}
