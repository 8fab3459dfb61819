//! Conditions that keep others from being computed: of `x <> 0 AND 10 / x > 1` the second is computed for rows for which the first
//! is not false, as in PostgreSQL. DataFusion computes it for all rows of a batch unless few are left, and what an aggregate takes
//! also for rows that its FILTER leaves out.
//!
//! What may fail behind another condition is a result of CASE, which is computed for its own rows alone. Where a filter's
//! conditions cannot fail they stay what they are, since scans, joins and orders are found by them.

mod keys;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{AggregateFunction, Case, Cast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, binary_expr, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_expr::expressions::{self as physical, CaseExpr, CastExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;

use crate::optimize::with_its_name;
use crate::text::Style;
use crate::{casts, output};

/// An optimized plan whose conditions keep those behind them from failing for rows that they leave out.
pub(crate) fn guarded(plan: &LogicalPlan) -> Result<Cow<'_, LogicalPlan>> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= connects(plan)?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    if !found {
        return Ok(Cow::Borrowed(plan));
    }
    let plan = plan.clone().transform_up_with_subqueries(|plan| {
        if !connects(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            schema.merge(input.schema());
        }
        match plan {
            // What a scan has was taken from a filter above, and is for finding files and rows.
            LogicalPlan::TableScan(_) => Ok(Transformed::no(plan)),
            LogicalPlan::Sort(sort) => keys::sorted(sort),
            LogicalPlan::Window(window) => keys::windowed(window),
            LogicalPlan::Filter(mut filter) => {
                let predicate = std::mem::take(&mut filter.predicate);
                Ok(filtered(predicate, &schema)?.update_data(|predicate| {
                    filter.predicate = predicate;
                    LogicalPlan::Filter(filter)
                }))
            }
            LogicalPlan::Join(mut join) => {
                let filter = join.filter.take();
                let filter = filter
                    .map(|filter| condition(filter, &schema))
                    .transpose()?;
                let changed = filter.as_ref().is_some_and(|filter| filter.transformed);
                join.filter = filter.map(|filter| filter.data);
                Ok(Transformed::new_transformed(
                    LogicalPlan::Join(join),
                    changed,
                ))
            }
            plan => {
                let names = NamePreserver::new(&plan);
                plan.map_expressions(|expr| {
                    with_its_name(&names, expr, &mut |expr| in_turn(expr, &schema))
                })
            }
        }
    });
    plan.data().map(Cow::Owned)
}

/// Whether an expression of a node has AND or OR, or a comparison that it sorts by.
fn connects(plan: &LogicalPlan) -> Result<bool> {
    let sorts = matches!(plan, LogicalPlan::Sort(_) | LogicalPlan::Window(_));
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|expr| {
            Ok(match expr {
                Expr::BinaryExpr(of) if matches!(of.op, Operator::And | Operator::Or) => true,
                expr => sorts && keys::compares(expr),
            })
        })?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// The condition of a filter.
fn filtered(predicate: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let conditions = split_conjunction_owned(predicate);
    let is_safe = |one: &&Expr| !may_fail(one, schema) && !asks(one);
    let safe = conditions.iter().take_while(is_safe).count();
    let is_guarded = safe < conditions.len() && conditions.len() > 1;
    let is_guarded = is_guarded && conditions.len() - safe <= CONDITIONS_MAX;
    let mut changed = is_guarded;
    let conditions = conditions.into_iter().map(|one| {
        let one = condition(one, schema)?;
        changed |= one.transformed;
        Ok(one.data)
    });
    let mut first = conditions.collect::<Result<Vec<_>>>()?;
    let rest = match is_guarded {
        true => first.split_off(safe),
        false => Vec::new(),
    };
    let rest = rest.into_iter();
    let rest = rest.reduce(|before, next| behind(before, Operator::And, next, schema));
    let all = match (conjunction(first), rest) {
        (Some(first), Some(rest)) => {
            let rest = case(first.clone(), vec![(lit(true), rest)], lit(false));
            Some(first.and(rest))
        }
        (first, rest) => first.or(rest),
    };
    let all = all.unwrap_or_else(|| lit(true));
    Ok(Transformed::new_transformed(all, changed))
}

/// More conditions than so many are left to DataFusion: each stands one CASE deeper.
const CONDITIONS_MAX: usize = 200;

/// What is larger is not computed at two places.
const TWICE_MAX: usize = 1000;

/// A condition that is not met where it is NULL, with its ANDs and ORs computed one behind the other.
fn condition(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let Some((op, conditions)) = connected(&expr, schema) else {
        return in_turn(expr, schema);
    };
    let conditions = conditions.into_iter().cloned();
    let conditions = conditions.map(|one| Ok(condition(one, schema)?.data));
    let conditions = conditions.collect::<Result<Vec<_>>>()?.into_iter();
    let all = conditions.reduce(|before, next| behind(before, op, next, schema));
    Ok(Transformed::yes(all.unwrap_or(expr)))
}

/// Two conditions, of which the second is computed behind the first, where NULL is as good as false.
fn behind(before: Expr, op: Operator, next: Expr, schema: &DFSchema) -> Expr {
    match op {
        _ if !may_fail(&next, schema) => binary_expr(before, op, next),
        Operator::And => case(before, vec![(lit(true), next)], lit(false)),
        _ => case(before, vec![(lit(true), lit(true))], next),
    }
}

/// An expression whose ANDs and ORs compute one condition behind the other, where one that is behind others may fail.
pub(crate) fn in_turn(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_down(|expr| {
        let Expr::BinaryExpr(BinaryExpr { op, .. }) = &expr else {
            return Ok(Transformed::no(expr));
        };
        if !matches!(op, Operator::And | Operator::Or) {
            return Ok(Transformed::no(expr));
        }
        let Some((op, conditions)) = connected(&expr, schema) else {
            return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
        };
        let is_safe = |one: &&&Expr| !may_fail(one, schema) && !asks(one);
        let safe = conditions.iter().take_while(is_safe).count();
        let conditions = conditions.into_iter().cloned();
        let conditions = conditions.map(|one| Ok(in_turn(one, schema)?.data));
        let mut first = conditions.collect::<Result<Vec<_>>>()?;
        let rest = first.split_off(safe);
        let null = || Expr::Literal(ScalarValue::Boolean(None), None);
        let (decided, undecided) = (lit(op == Operator::Or), lit(op == Operator::And));
        let first = (first.into_iter()).reduce(|before, next| binary_expr(before, op, next));
        let rest = rest.into_iter().reduce(|before, next| {
            if !may_fail(&next, schema) || is_large(&next) {
                return binary_expr(before, op, next);
            }
            let decided = (decided.clone(), decided.clone());
            let results = vec![decided, (undecided.clone(), next.clone())];
            case(before, results, binary_expr(next, op, null()))
        });
        let all = match (first, rest) {
            // Where the first decide, the others may be anything.
            (Some(first), Some(rest)) => {
                let rest = case(first.clone(), vec![(decided, null())], rest);
                binary_expr(first, op, rest)
            }
            (first, rest) => first.or(rest).unwrap_or(expr),
        };
        Ok(Transformed::new(all, true, TreeNodeRecursion::Jump))
    })
}

/// An expression in which what IN looks for in a subquery (`10 / x IN (SELECT …)`) is NULL where the condition before it decides:
/// it is computed for a join, below all conditions.
pub(crate) fn keys_in_turn(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let expr = expr.transform_down(|expr| {
        let Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) = expr
        else {
            return Ok(Transformed::no(expr));
        };
        if !asks(&right) || asks(&left) || left.is_volatile() || is_large(&left) {
            return Ok(Transformed::no(binary_expr(*left, op, *right)));
        }
        let behind = |key: Box<Expr>| {
            let decided = (lit(op == Operator::Or), null_of(&key, schema)?);
            Ok::<_, DataFusionError>(Box::new(case(*left.clone(), vec![decided], *key)))
        };
        let right = right.transform_down(|expr| match expr {
            Expr::InSubquery(mut of) if may_fail(&of.expr, schema) => {
                of.expr = behind(of.expr)?;
                Ok(Transformed::yes(Expr::InSubquery(of)))
            }
            Expr::SetComparison(mut of) if may_fail(&of.expr, schema) => {
                of.expr = behind(of.expr)?;
                Ok(Transformed::yes(Expr::SetComparison(of)))
            }
            expr => Ok(Transformed::no(expr)),
        })?;
        Ok(Transformed::yes(binary_expr(*left, op, right.data)))
    })?;
    Ok(expr.data)
}

fn null_of(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    let null = ScalarValue::try_from(&expr.get_type(schema)?)?;
    Ok(Expr::Literal(null, None))
}

/// The conditions that ANDs, or ORs, connect, if one may fail; `None` for any other expression.
fn connected<'e>(expr: &'e Expr, schema: &DFSchema) -> Option<(Operator, Vec<&'e Expr>)> {
    let Expr::BinaryExpr(BinaryExpr { op, .. }) = expr else {
        return None;
    };
    if !matches!(op, Operator::And | Operator::Or) {
        return None;
    }
    let mut conditions = Vec::new();
    operands(expr, *op, &mut conditions);
    let is_wanted =
        conditions.len() <= CONDITIONS_MAX && conditions.iter().any(|one| may_fail(one, schema));
    is_wanted.then_some((*op, conditions))
}

fn is_large(expr: &Expr) -> bool {
    let mut nodes = 0;
    let counted = expr.apply(|_| {
        nodes += 1;
        Ok(match nodes > TWICE_MAX {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    });
    counted.is_err() || nodes > TWICE_MAX
}

/// The conditions that ANDs, or ORs, connect, from left to right.
fn operands<'e>(expr: &'e Expr, op: Operator, found: &mut Vec<&'e Expr>) {
    let mut behind = Vec::new();
    let mut first = expr;
    while let Expr::BinaryExpr(of) = first
        && of.op == op
    {
        behind.push(&*of.right);
        first = &of.left;
    }
    found.push(first);
    for right in behind.into_iter().rev() {
        match right {
            Expr::BinaryExpr(of) if of.op == op => operands(right, op, found),
            right => found.push(right),
        }
    }
}

fn case(of: Expr, results: Vec<(Expr, Expr)>, otherwise: Expr) -> Expr {
    let results = results.into_iter();
    let results = results.map(|(when, then)| (Box::new(when), Box::new(then)));
    Expr::Case(Case::new(
        Some(Box::new(of)),
        results.collect(),
        Some(Box::new(otherwise)),
    ))
}

/// What such a CASE of a physical plan connects, and how; `None` for any other expression.
pub(crate) fn connected_by(expr: &Arc<dyn PhysicalExpr>) -> Option<Connected<'_>> {
    let case = expr.downcast_ref::<CaseExpr>()?;
    let (before, otherwise) = (case.expr()?, case.else_expr()?);
    let is = |expr: &Arc<dyn PhysicalExpr>, value| {
        let literal = expr.downcast_ref::<Literal>();
        literal.is_some_and(|it| *it.value() == ScalarValue::Boolean(Some(value)))
    };
    let is_null = |expr: &Arc<dyn PhysicalExpr>| {
        let literal = expr.downcast_ref::<Literal>();
        literal.is_some_and(|it| it.value().is_null())
    };
    match case.when_then_expr() {
        [(when, then)] if is_null(then) => {
            let op = match is(when, true) {
                true => Operator::Or,
                false => Operator::And,
            };
            is(when, op == Operator::Or).then_some((before, op, otherwise))
        }
        [(when, then)] if is(when, true) && is(then, true) => {
            Some((before, Operator::Or, otherwise))
        }
        [(when, behind)] if is(when, true) && is(otherwise, false) => {
            Some((before, Operator::And, behind))
        }
        [(when, then), (other, behind)] => {
            let op = match is(when, true) {
                true => Operator::Or,
                false => Operator::And,
            };
            let decided = op == Operator::Or;
            let is_so = is(when, decided) && is(then, decided) && is(other, !decided);
            is_so.then_some((before, op, behind))
        }
        _ => None,
    }
}

type Connected<'e> = (
    &'e Arc<dyn PhysicalExpr>,
    Operator,
    &'e Arc<dyn PhysicalExpr>,
);

/// Whether a node is a filter that may fail for rows that another one leaves out, from which nothing but columns and streams
/// sets it apart: DataFusion makes one filter of the two, the upper one first.
pub(crate) fn is_above_another(node: &Arc<dyn ExecutionPlan>) -> bool {
    let Some(filter) = node.downcast_ref::<FilterExec>() else {
        return false;
    };
    let fails = |expr: &Arc<dyn PhysicalExpr>| {
        let call = expr.downcast_ref::<ScalarFunctionExpr>();
        let arithmetic = expr.downcast_ref::<physical::BinaryExpr>();
        Ok(call.is_some_and(|call| !NEVER_FAIL.contains(&call.name()))
            || arithmetic.is_some_and(|of| of.op().is_numerical_operators())
            || expr.is::<CastExpr>())
    };
    let mut below = filter.input();
    while below.is::<ProjectionExec>()
        || below.is::<RepartitionExec>()
        || below.is::<CoalescePartitionsExec>()
    {
        below = below.children()[0];
    }
    below.is::<FilterExec>() && filter.predicate().exists(fails).unwrap_or(true)
}

/// Whether an expression may fail, or give something else each time.
fn may_fail(expr: &Expr, schema: &DFSchema) -> bool {
    expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(call) => !NEVER_FAIL.contains(&call.func.name()),
            Expr::Cast(cast) => !is_wider(cast, schema),
            Expr::BinaryExpr(BinaryExpr { op, .. }) => op.is_numerical_operators(),
            Expr::Negative(_) | Expr::HigherOrderFunction(_) => true,
            _ => false,
        })
    })
    .unwrap_or(true)
}

/// Whether a subquery stands in an expression, which is not run twice.
fn asks(expr: &Expr) -> bool {
    let is_subquery = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
        ))
    };
    expr.exists(is_subquery).unwrap_or(true)
}

/// Functions that give a value for all others, of which many conditions are.
const NEVER_FAIL: [&str; 11] = [
    "char_length",
    "coalesce",
    "elements_order",
    "enum_order",
    "hex_order",
    "length",
    "lower",
    "printed_order",
    "starts_with",
    "upper",
    "value_order",
];

/// Whether a cast is to a type that has all values of the other.
fn is_wider(cast: &Cast, schema: &DFSchema) -> bool {
    let from = cast.expr.get_type(schema);
    from.is_ok_and(|from| has_all_of(cast.field.data_type(), &from))
}

fn has_all_of(to: &DataType, from: &DataType) -> bool {
    let digits = |ty: &DataType| match ty {
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale)))
        }
        _ => None,
    };
    if to == from || from.is_null() {
        return true;
    }
    match (digits(from), digits(to)) {
        (Some((whole, scale)), Some((to_whole, to_scale))) => {
            whole <= to_whole && scale <= to_scale
        }
        (Some(_), None) => *to == DataType::Float64,
        _ => *from == DataType::Float32 && *to == DataType::Float64,
    }
}

/// Has aggregates compute what they take for the rows that their FILTER leaves, where that may fail: before what several of
/// them take is computed once for all rows.
#[derive(Debug)]
pub(crate) struct FilteredArguments;

impl OptimizerRule for FilteredArguments {
    fn name(&self) -> &str {
        "filtered_arguments"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let schema = match &plan {
            LogicalPlan::Aggregate(groups) => groups.input.schema().clone(),
            LogicalPlan::Window(window) => window.input.schema().clone(),
            _ => return Ok(Transformed::no(plan)),
        };
        let mut is_filtered = false;
        plan.apply_expressions(|expr| {
            is_filtered |= expr.exists(|expr| {
                Ok(match expr {
                    Expr::AggregateFunction(call) => call.params.filter.is_some(),
                    Expr::WindowFunction(call) => call.params.filter.is_some(),
                    _ => false,
                })
            })?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !is_filtered {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            with_its_name(&names, expr, &mut |expr| {
                expr.transform_up(|mut expr| {
                    let (computed, filter): (Vec<&mut Expr>, _) = match &mut expr {
                        Expr::AggregateFunction(AggregateFunction { params, .. }) => {
                            let keys = params.order_by.iter_mut().map(|key| &mut key.expr);
                            (params.args.iter_mut().chain(keys).collect(), &params.filter)
                        }
                        // The keys are those of the window, which has all rows.
                        Expr::WindowFunction(call) => {
                            let params = &mut call.params;
                            (params.args.iter_mut().collect(), &params.filter)
                        }
                        _ => return Ok(Transformed::no(expr)),
                    };
                    let mut changed = false;
                    if let Some(filter) = filter {
                        for computed in computed {
                            changed |= compute_where(computed, filter, &schema);
                        }
                    }
                    Ok(Transformed::new_transformed(expr, changed))
                })
            })
        })
    }
}

/// Has an argument be NULL where a condition is not true, if it may fail.
fn compute_where(arg: &mut Expr, condition: &Expr, schema: &DFSchema) -> bool {
    if is_computed_where(arg, condition)
        || condition.is_volatile()
        || asks(condition)
        || !may_fail(arg, schema)
    {
        return false;
    }
    let field = output::field_of(arg, schema).ok();
    let ty = field.and_then(|field| output::column_type(&field).ok());
    let result = (Box::new(lit(true)), Box::new(std::mem::take(arg)));
    let case = Expr::Case(Case::new(
        Some(Box::new(condition.clone())),
        vec![result],
        None,
    ));
    *arg = match ty {
        // CASE does not say of what type it is beyond Arrow's.
        Some(ty) => casts::typed(case, ty, Style::default()),
        None => case,
    };
    true
}

fn is_computed_where(arg: &Expr, condition: &Expr) -> bool {
    match arg {
        Expr::Case(case) => case.expr.as_deref() == Some(condition),
        Expr::ScalarFunction(typed) => match typed.args.as_slice() {
            [arg] => is_computed_where(arg, condition),
            _ => false,
        },
        _ => false,
    }
}
