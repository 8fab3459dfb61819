//! Keys of sorts and windows that a projection below computes: CASE in a key, or a comparison of what a function gives, is not
//! found to be how rows are sorted already, and the plan is refused.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Projection, Sort, Window};

use super::in_turn;

/// A sort whose conditions are computed one behind the other, below it.
pub(super) fn sorted(mut sort: Sort) -> Result<Transformed<LogicalPlan>> {
    let schema = sort.input.schema().clone();
    let mut below = Below::default();
    for key in &mut sort.expr {
        below.take(&mut key.expr, &schema)?;
    }
    if below.computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Sort(sort)));
    }
    sort.input = below.over(sort.input)?;
    let columns = schema.columns().into_iter().map(Expr::Column);
    shown(LogicalPlan::Sort(sort), columns.collect(), schema).map(Transformed::yes)
}

/// The same of windows.
pub(super) fn windowed(window: Window) -> Result<Transformed<LogicalPlan>> {
    let schema = window.input.schema().clone();
    let mut below = Below::default();
    let mut calls = Vec::with_capacity(window.window_expr.len());
    for call in &window.window_expr {
        let call = call.clone().transform_down(|mut expr| {
            let Expr::WindowFunction(call) = &mut expr else {
                return Ok(Transformed::no(expr));
            };
            let params = &mut call.params;
            let keys = params.order_by.iter_mut().map(|key| &mut key.expr);
            let exprs = params.args.iter_mut().chain(&mut params.partition_by);
            for expr in exprs.chain(keys).chain(params.filter.as_deref_mut()) {
                below.take(expr, &schema)?;
            }
            Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
        })?;
        calls.push(call.data);
    }
    if below.computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let before = schema.fields().len() + below.computed.len();
    let input = below.over(window.input)?;
    let made = LogicalPlan::Window(Window::try_new(calls, input)?);
    let columns = schema.columns().into_iter().map(Expr::Column);
    let results = (schema.fields().len()..window.schema.fields().len()).enumerate();
    let results = results.map(|(n, at)| {
        let (qualifier, field) = window.schema.qualified_field(at);
        let result = Column::from(made.schema().qualified_field(before + n));
        Expr::Column(result).alias_qualified(qualifier.cloned(), field.name())
    });
    let shows: Vec<Expr> = columns.chain(results).collect();
    shown(made, shows, window.schema).map(Transformed::yes)
}

fn shown(plan: LogicalPlan, columns: Vec<Expr>, schema: DFSchemaRef) -> Result<LogicalPlan> {
    let shown = Projection::try_new_with_schema(columns, Arc::new(plan), schema)?;
    Ok(LogicalPlan::Projection(shown))
}

/// What is computed below.
#[derive(Default)]
struct Below {
    computed: Vec<Expr>,
}

impl Below {
    /// Has a column stand for an expression that is computed below, if it has to be.
    fn take(&mut self, expr: &mut Expr, schema: &DFSchema) -> Result<()> {
        let guarded = in_turn(std::mem::take(expr), schema)?;
        if !guarded.transformed && !compares_results(&guarded.data)? {
            *expr = guarded.data;
            return Ok(());
        }
        let name = format!("\u{1}key {}", self.computed.len());
        self.computed.push(guarded.data.alias(&name));
        *expr = Expr::Column(Column::new_unqualified(name));
        Ok(())
    }

    fn over(self, input: Arc<LogicalPlan>) -> Result<Arc<LogicalPlan>> {
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let exprs = columns.chain(self.computed).collect();
        let below = Projection::try_new(exprs, input)?;
        Ok(Arc::new(LogicalPlan::Projection(below)))
    }
}

/// Whether an expression has a comparison, AND or OR of what functions give.
fn compares_results(expr: &Expr) -> Result<bool> {
    let is_call = |expr: &Expr| Ok(matches!(expr, Expr::ScalarFunction(_)));
    Ok(expr.exists(|expr| Ok(compares(expr)))? && expr.exists(is_call)?)
}

/// Whether an expression is a comparison, AND or OR.
pub(super) fn compares(expr: &Expr) -> bool {
    use Operator::{And, Eq, Gt, GtEq, Lt, LtEq, NotEq, Or};
    matches!(expr, Expr::BinaryExpr(of) if matches!(of.op, And | Or | Eq | NotEq | Lt | LtEq | Gt | GtEq))
}
