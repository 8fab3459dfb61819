//! A domain pushed through a plan: the plan's result for each row of the domain.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchemaRef, JoinType, ScalarValue, TableReference};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_window::expr_fn::{rank, row_number};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, Expr, ExprFunctionExt, Join, Limit, LogicalPlan,
    LogicalPlanBuilder, RecursiveQuery, SortExpr, Union, Values, Window, cast, lit, when,
};

use super::{
    Domain, Flatten, alias, domain_columns, external, filter, named, pick, project, shape,
    unsupported,
};
use crate::error::{ErrorKind, SqlError};
use crate::functions::WITH_TIES;
use crate::{casts, output};

/// Whether a plan has to do with the domain: by its outer columns, or by rows that carry them.
fn uses(plan: &LogicalPlan, domain: &Domain) -> Result<bool> {
    let carries = || plan.exists(|plan| Ok(round(plan, domain).is_some()));
    Ok(shape::mentions(plan, &domain.columns)? || !domain.rounds.is_empty() && carries()?)
}

/// What stands for the rows of the round before where a plan reads them.
fn round<'d>(plan: &LogicalPlan, domain: &'d Domain) -> Option<&'d LogicalPlan> {
    let LogicalPlan::TableScan(scan) = plan else {
        return None;
    };
    let mut rounds = domain.rounds.iter().rev();
    let own = rounds.find(|(name, _)| scan.table_name == TableReference::bare(name.as_str()));
    own.map(|(_, round)| round)
}

/// How deep a plan may be, so that the stack suffices.
const DEPTH_MAX: usize = 200;

impl Flatten {
    /// A plan with the columns of `plan` and then those of the domain: the rows of `plan` for each of its rows. Order
    /// is lost, but for what a limit makes of it.
    pub(super) fn push(
        &self,
        plan: &LogicalPlan,
        domain: &Domain,
        depth: usize,
    ) -> Result<LogicalPlan> {
        if depth > DEPTH_MAX {
            let message = "stack depth limit exceeded";
            return Err(external(SqlError::new(
                ErrorKind::StatementTooComplex,
                message,
            )));
        }
        if !uses(plan, domain)? {
            let relation = self.fresh(domain)?;
            return match plan {
                LogicalPlan::EmptyRelation(empty)
                    if empty.produce_one_row && empty.schema.fields().is_empty() =>
                {
                    Ok(relation)
                }
                plan => LogicalPlanBuilder::from(plan.clone())
                    .cross_join(relation)?
                    .build(),
            };
        }
        let pushed = |input: &LogicalPlan| self.push(input, domain, depth + 1);
        let kept = |plan: &LogicalPlan| -> Vec<Expr> {
            let columns = domain_columns(domain, plan);
            columns.into_iter().map(Expr::Column).collect()
        };
        match plan {
            LogicalPlan::Filter(filtered) => {
                let input = pushed(&filtered.input)?;
                let condition = substitute(filtered.predicate.clone(), domain, &input)?;
                filter(input, condition)
            }
            LogicalPlan::Projection(projection) => {
                let input = pushed(&projection.input)?;
                let mut columns = all_named(&projection.expr, &projection.schema, domain, &input)?;
                columns.extend(kept(&input));
                project(input, columns)
            }
            LogicalPlan::SubqueryAlias(aliased) => {
                alias(pushed(&aliased.input)?, aliased.alias.clone())
            }
            LogicalPlan::Subquery(subquery) => pushed(&subquery.subquery),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => pushed(&sort.input),
            LogicalPlan::Limit(limit) => {
                let input = pushed(&self.numbered(&limit.input, has_ties(limit))?)?;
                let at = limit.input.schema().fields().len();
                let condition = substitute(within(limit, &input, at), domain, &input)?;
                let mut columns: Vec<Expr> = input
                    .schema()
                    .columns()
                    .into_iter()
                    .map(Expr::Column)
                    .collect();
                columns.drain(at..columns.len() - domain.columns.len());
                project(filter(input, condition)?, columns)
            }
            LogicalPlan::Aggregate(aggregate) => self.push_aggregate(aggregate, domain, depth),
            LogicalPlan::Distinct(Distinct::All(input)) => Ok(LogicalPlan::Distinct(
                Distinct::All(Arc::new(pushed(input)?)),
            )),
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let input = pushed(&distinct.input)?;
                let keys = kept(&input);
                let exprs = |exprs: &[Expr]| -> Result<Vec<Expr>> {
                    let exprs = exprs.iter().cloned();
                    exprs.map(|expr| substitute(expr, domain, &input)).collect()
                };
                let mut on = keys.clone();
                on.extend(exprs(&distinct.on_expr)?);
                let mut select =
                    all_named(&distinct.select_expr, &distinct.schema, domain, &input)?;
                select.extend(keys.clone());
                let sort = match &distinct.sort_expr {
                    None => None,
                    Some(sort) => {
                        let own = sort.iter().map(|key| {
                            let expr = substitute(key.expr.clone(), domain, &input)?;
                            Ok(SortExpr::new(expr, key.asc, key.nulls_first))
                        });
                        let keys = keys.iter().map(|key| Ok(key.clone().sort(true, false)));
                        Some(keys.chain(own).collect::<Result<Vec<_>>>()?)
                    }
                };
                let distinct = DistinctOn::try_new(on, select, sort, Arc::new(input))?;
                Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
            }
            LogicalPlan::Window(window) => {
                let input = pushed(&window.input)?;
                let keys = kept(&input);
                let width = window.input.schema().fields().len();
                let exprs = window.window_expr.iter().enumerate().map(|(n, expr)| {
                    let expr = substitute(expr.clone(), domain, &input)?;
                    let expr = expr.transform_up(|expr| match expr {
                        Expr::WindowFunction(mut function) => {
                            function.params.partition_by.extend(keys.clone());
                            Ok(Transformed::yes(Expr::WindowFunction(function)))
                        }
                        expr => Ok(Transformed::no(expr)),
                    })?;
                    Ok(named(expr.data, &window.schema, width + n))
                });
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                let made = Window::try_new(exprs, Arc::new(input))?;
                with_domain(LogicalPlan::Window(made), &window.schema, keys)
            }
            LogicalPlan::Union(union) => {
                let inputs = union
                    .inputs
                    .iter()
                    .map(|input| Ok(Arc::new(pushed(input)?)));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                let made = Union::try_new_with_loose_types(inputs)?;
                Ok(LogicalPlan::Union(made))
            }
            LogicalPlan::Join(join) => self.push_join(join, domain, depth),
            LogicalPlan::Unnest(unnest) => LogicalPlanBuilder::from(pushed(&unnest.input)?)
                .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
                .build(),
            LogicalPlan::Values(values) => self.push_values(values, domain),
            LogicalPlan::RecursiveQuery(query) => self.push_recursive(query, domain, depth),
            LogicalPlan::TableScan(_) => {
                let round = round(plan, domain);
                round
                    .cloned()
                    .ok_or_else(|| unsupported("this form of correlated subquery"))
            }
            _ => Err(unsupported("this form of correlated subquery")),
        }
    }

    /// The domain's relation, by a name of its own.
    pub(super) fn fresh(&self, domain: &Domain) -> Result<LogicalPlan> {
        alias(domain.relation.clone(), self.relation_name("outer"))
    }

    /// A plan with the place of each row in its order as one more column; before it, with `ties`, the first place of
    /// those that are equal.
    pub(super) fn numbered(&self, plan: &LogicalPlan, ties: bool) -> Result<LogicalPlan> {
        let number = |input: &LogicalPlan, keys: Option<&[SortExpr]>| {
            let mut places = Vec::with_capacity(2);
            match keys {
                Some(keys) => {
                    if ties {
                        places.push(rank().order_by(keys.to_vec()).build()?);
                    }
                    places.push(row_number().order_by(keys.to_vec()).build()?);
                }
                None if ties => {
                    let message = "WITH TIES cannot be specified without ORDER BY clause";
                    return Err(external(SqlError::new(ErrorKind::SyntaxError, message)));
                }
                None => places.push(row_number()),
            }
            let places = places
                .into_iter()
                .map(|place| place.alias(self.name("number")));
            LogicalPlanBuilder::from(input.clone())
                .window(places.collect::<Vec<_>>())?
                .build()
        };
        match plan {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => {
                number(&sort.input, Some(&sort.expr))
            }
            LogicalPlan::Projection(projection) if is_sorted(&projection.input) => {
                let input = self.numbered(&projection.input, ties)?;
                let mut columns = projection.expr.clone();
                let places = input.schema().columns().into_iter();
                columns.extend(
                    places
                        .skip(projection.input.schema().fields().len())
                        .map(Expr::Column),
                );
                project(input, columns)
            }
            LogicalPlan::SubqueryAlias(aliased) if is_sorted(&aliased.input) => {
                let input = self.numbered(&aliased.input, ties)?;
                alias(input, aliased.alias.clone())
            }
            plan => number(plan, None),
        }
    }

    /// A sorted plan with the place of each row as its last column.
    fn placed(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Filter(filtered) => {
                filter(self.placed(&filtered.input)?, filtered.predicate.clone())
            }
            plan => self.numbered(plan, false),
        }
    }

    /// An aggregate that collects the values of a sorted query in that order.
    pub(super) fn in_order(&self, aggregate: Aggregate) -> Result<Aggregate> {
        let input = self.placed(&aggregate.input)?;
        let number = input.schema().columns().pop().map(Expr::Column);
        let order = number.map(|number| number.sort(true, false));
        let width = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let calls = aggregate.aggr_expr.into_iter().enumerate();
        let calls = calls.map(|(n, call)| {
            let call = call.transform_up(|expr| match expr {
                Expr::AggregateFunction(mut call) if collects_all(&call) => {
                    call.params.order_by = order.iter().cloned().collect();
                    Ok(Transformed::yes(Expr::AggregateFunction(call)))
                }
                expr => Ok(Transformed::no(expr)),
            })?;
            Ok(named(call.data, &aggregate.schema, width + n))
        });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        Aggregate::try_new(Arc::new(input), aggregate.group_expr, calls)
    }

    fn push_aggregate(
        &self,
        aggregate: &Aggregate,
        domain: &Domain,
        depth: usize,
    ) -> Result<LogicalPlan> {
        let input = self.push(&aggregate.input, domain, depth + 1)?;
        let keys: Vec<Expr> = domain_columns(domain, &input)
            .into_iter()
            .map(Expr::Column)
            .collect();
        let width = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        let calls = aggregate.aggr_expr.iter().enumerate().map(|(n, expr)| {
            let call = substitute(expr.clone(), domain, &input)?;
            Ok(named(call, &aggregate.schema, width + n))
        });
        let calls = calls.collect::<Result<Vec<_>>>()?;
        if !aggregate.group_expr.is_empty() {
            let mut groups = match aggregate.group_expr.as_slice() {
                [Expr::GroupingSet(_)] => {
                    let groups = aggregate.group_expr.iter().cloned();
                    groups
                        .map(|expr| substitute(expr, domain, &input))
                        .collect::<Result<Vec<_>>>()?
                }
                groups => all_named(groups, &aggregate.schema, domain, &input)?,
            };
            groups.extend(keys.clone());
            let made = Aggregate::try_new(Arc::new(input), groups, calls)?;
            return with_domain(LogicalPlan::Aggregate(made), &aggregate.schema, keys);
        }
        // It gives a row for what has no rows, too.
        let made = Aggregate::try_new(Arc::new(input), keys, calls)?;
        let made = LogicalPlan::Aggregate(made);
        let group = self.name("group");
        let count = domain.columns.len();
        let mut columns: Vec<Expr> = made.schema().columns()[count..]
            .iter()
            .enumerate()
            .map(|(n, column)| Expr::Column(column.clone()).alias(format!("{group}.{n}")))
            .collect();
        let width = columns.len();
        columns.push(lit(true).alias(format!("{group} found")));
        columns.extend(
            made.schema().columns()[..count]
                .iter()
                .cloned()
                .map(Expr::Column),
        );
        let grouped = alias(project(made, columns)?, TableReference::bare(group))?;
        let relation = self.fresh(domain)?;
        let all = relation.schema().columns().into_iter().map(Expr::Column);
        let of_groups = domain_columns(domain, &grouped)
            .into_iter()
            .map(Expr::Column);
        let pairs = all.clone().zip(of_groups).collect();
        let columns = grouped.schema().columns();
        let found = Expr::Column(columns[width].clone());
        let mut result = Vec::with_capacity(width + count);
        for (n, call) in aggregate.aggr_expr.iter().enumerate() {
            let value = Expr::Column(columns[n].clone());
            let empty = default_value(call, aggregate.schema.field(n).data_type())?;
            let value = match empty.is_null() {
                true => value,
                false => when(found.clone().is_null(), lit(empty)).otherwise(value)?,
            };
            result.push(named(value, &aggregate.schema, n));
        }
        result.extend(all);
        let joined = self.join_on(relation, grouped, pairs, None, JoinType::Left)?;
        project(joined, result)
    }

    fn push_join(&self, join: &Join, domain: &Domain, depth: usize) -> Result<LogicalPlan> {
        use JoinType::{Full, Inner, Left, LeftAnti, LeftSemi, Right};
        let (left_uses, right_uses) = (uses(&join.left, domain)?, uses(&join.right, domain)?);
        let pushed = |plan: &LogicalPlan| self.push(plan, domain, depth + 1);
        let (left_pushed, right_pushed) = match join.join_type {
            Inner if left_uses => (true, right_uses),
            Inner => (false, true),
            Left | LeftSemi | LeftAnti => (true, right_uses),
            Right => (left_uses, true),
            Full => (true, true),
            _ => return Err(unsupported("this form of correlated subquery")),
        };
        let left = match left_pushed {
            true => pushed(&join.left)?,
            false => join.left.as_ref().clone(),
        };
        let right = match right_pushed {
            true => pushed(&join.right)?,
            false => join.right.as_ref().clone(),
        };
        // Where the domain is on both sides the conditions take the left one's.
        let source = if left_pushed { &left } else { &right };
        let replaced = |expr: &Expr| substitute(expr.clone(), domain, source);
        let condition = join.filter.as_ref().map(replaced).transpose()?;
        let mut on = Vec::with_capacity(join.on.len());
        for (l, r) in &join.on {
            on.push((replaced(l)?, replaced(r)?));
        }
        let left_keys = left_pushed.then(|| domain_columns(domain, &left));
        let right_keys = right_pushed.then(|| domain_columns(domain, &right));
        let pairs = match (&left_keys, &right_keys) {
            (Some(l), Some(r)) => {
                let pairs = l.iter().cloned().zip(r.iter().cloned());
                let pairs = pairs.map(|(l, r)| (Expr::Column(l), Expr::Column(r)));
                pairs.collect()
            }
            _ => Vec::new(),
        };
        let (left, right, same_domain) = self.keyed(left, right, pairs)?;
        on.extend(same_domain);
        let keys: Vec<Expr> = match (join.join_type, left_keys, right_keys) {
            (Full, Some(l), Some(r)) => {
                let both = l.into_iter().zip(r);
                both.map(|(l, r)| {
                    let name = l.name.clone();
                    let (l, r) = (Expr::Column(l), Expr::Column(r));
                    Ok(when(l.clone().is_null(), r).otherwise(l)?.alias(name))
                })
                .collect::<Result<_>>()?
            }
            (Right, _, Some(keys)) | (_, Some(keys), _) | (_, None, Some(keys)) => {
                keys.into_iter().map(Expr::Column).collect()
            }
            (_, None, None) => return Err(unsupported("this form of correlated subquery")),
        };
        let made = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            condition,
            join.join_type,
            join.join_constraint,
            join.null_equality,
            join.null_aware,
        )?;
        with_domain(LogicalPlan::Join(made), &join.schema, keys)
    }

    /// A recursive query whose rows carry the domain's columns from round to round.
    fn push_recursive(
        &self,
        query: &RecursiveQuery,
        domain: &Domain,
        depth: usize,
    ) -> Result<LogicalPlan> {
        let first = self.push(&query.static_term, domain, depth + 1)?;
        // What no row of the first round has, one of a later round may: NULL.
        let columns = first.schema().columns().into_iter().enumerate();
        let nullable = columns.map(|(at, column)| {
            let field = first.schema().field(at);
            let column = Expr::Column(column);
            let value = match output::column_type(field) {
                _ if field.is_nullable() => column,
                Ok(ty) if !field.metadata().is_empty() => casts::typed(column, ty, self.style),
                _ => when(lit(true), column).end()?,
            };
            Ok(named(value, first.schema(), at))
        });
        let nullable = nullable.collect::<Result<Vec<_>>>()?;
        let first = project(first, nullable)?;
        let schema = Arc::new(first.schema().as_arrow().clone());
        let table = Arc::new(CteWorkTable::new(&query.name, schema));
        let source = provider_as_source(table);
        let round = LogicalPlanBuilder::scan(query.name.as_str(), source, None)?.build()?;
        let mut rounds = domain.rounds.clone();
        rounds.push((query.name.clone(), round));
        let inside = Domain {
            relation: domain.relation.clone(),
            columns: domain.columns.clone(),
            rounds,
        };
        let next = self.push(&query.recursive_term, &inside, depth + 1)?;
        LogicalPlanBuilder::from(first)
            .to_recursive_query(query.name.clone(), next, query.is_distinct)?
            .build()
    }

    /// VALUES that use outer columns: one projection of the domain for each row.
    fn push_values(&self, values: &Values, domain: &Domain) -> Result<LogicalPlan> {
        let mut rows = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let relation = self.fresh(domain)?;
            let mut columns = Vec::new();
            for (n, expr) in row.iter().enumerate() {
                let ty = values.schema.field(n).data_type().clone();
                let expr = cast(substitute(expr.clone(), domain, &relation)?, ty);
                columns.push(named(expr, &values.schema, n));
            }
            columns.extend(
                domain_columns(domain, &relation)
                    .into_iter()
                    .map(Expr::Column),
            );
            rows.push(Arc::new(project(relation, columns)?));
        }
        match rows.len() {
            1 => Ok(rows.remove(0).as_ref().clone()),
            _ => Union::try_new_with_loose_types(rows).map(LogicalPlan::Union),
        }
    }
}

/// Whether a limit is FETCH FIRST … WITH TIES.
pub(super) fn has_ties(limit: &Limit) -> bool {
    matches!(limit.fetch.as_deref(), Some(Expr::ScalarFunction(call)) if call.name() == WITH_TIES)
}

/// The condition that rows are inside a limit, by their places, which begin at column `at`.
pub(super) fn within(limit: &Limit, numbered: &LogicalPlan, at: usize) -> Expr {
    let columns = numbered.schema().columns();
    let int8 = |expr| cast(expr, arrow::datatypes::DataType::Int64);
    let ties = has_ties(limit);
    let first = int8(Expr::Column(columns[at].clone()));
    let number = int8(Expr::Column(columns[at + usize::from(ties)].clone()));
    let skip = limit.skip.as_deref().map(|skip| match skip {
        Expr::Literal(ScalarValue::Int64(Some(_)), _) => skip.clone(),
        skip => coalesce(vec![int8(skip.clone()), lit(0_i64)]),
    });
    let fetch = match limit.fetch.as_deref() {
        Some(Expr::ScalarFunction(call)) if ties => call.args.first().cloned(),
        fetch => fetch.cloned(),
    };
    let after = skip.clone().unwrap_or(lit(0_i64));
    let condition = skip.map_or(lit(true), |skip| number.gt(skip));
    match fetch {
        None => condition,
        Some(fetch) => {
            let all = fetch.clone().is_null();
            condition.and(all.or((first - after).lt_eq(int8(fetch))))
        }
    }
}

/// Whether an aggregate collects values of a sorted query, in whatever order they come.
pub(super) fn collects_in_order(aggregate: &Aggregate) -> bool {
    let collects = |call: &Expr| {
        let found =
            |expr: &Expr| matches!(expr, Expr::AggregateFunction(call) if collects_all(call));
        call.exists(|expr| Ok(found(expr))).unwrap_or(false)
    };
    comes_sorted(&aggregate.input) && aggregate.aggr_expr.iter().any(collects)
}

fn collects_all(call: &AggregateFunction) -> bool {
    let params = &call.params;
    matches!(call.func.name(), "array_agg" | "string_agg")
        && params.order_by.is_empty()
        && !params.distinct
}

fn comes_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Limit(limit) => comes_sorted(&limit.input),
        LogicalPlan::Projection(projection) => comes_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => comes_sorted(&alias.input),
        LogicalPlan::Filter(filtered) => comes_sorted(&filtered.input),
        _ => false,
    }
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(sort) => sort.fetch.is_none(),
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        _ => false,
    }
}

/// The columns that a plan had, then the domain's.
fn with_domain(plan: LogicalPlan, wanted: &DFSchemaRef, keys: Vec<Expr>) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = wanted.columns().into_iter().map(Expr::Column).collect();
    columns.extend(keys);
    project(plan, columns)
}

/// Expressions over a plan that the domain was pushed through, under the names that they had.
fn all_named(
    exprs: &[Expr],
    schema: &DFSchemaRef,
    domain: &Domain,
    input: &LogicalPlan,
) -> Result<Vec<Expr>> {
    let exprs = exprs.iter().enumerate().map(|(n, expr)| {
        let expr = substitute(expr.clone(), domain, input)?;
        Ok(named(expr, schema, n))
    });
    exprs.collect()
}

/// An expression with the domain's columns, as this plan has them, in place of the outer ones.
fn substitute(expr: Expr, domain: &Domain, plan: &LogicalPlan) -> Result<Expr> {
    if !shape::uses(&expr, &domain.columns)? {
        return Ok(expr);
    }
    let columns: Vec<Column> = domain_columns(domain, plan);
    expr.transform_up(|expr| match &expr {
        Expr::OuterReferenceColumn(_, column) => {
            let at = domain.columns.iter().position(|known| known == column);
            Ok(match at {
                Some(at) => Transformed::yes(Expr::Column(columns[at].clone())),
                None => Transformed::no(expr),
            })
        }
        _ => Ok(Transformed::no(expr)),
    })
    .map(|expr| expr.data)
}

/// What an aggregate gives for no rows.
fn default_value(call: &Expr, ty: &arrow::datatypes::DataType) -> Result<ScalarValue> {
    match call.clone().unalias_nested().data {
        Expr::AggregateFunction(call) => call.func.default_value(ty),
        _ => ScalarValue::try_from(ty),
    }
}

/// The order of a limit's rows by their numbers, and the limit by them.
pub(super) fn limited(flatten: &Flatten, limit: &Limit) -> Result<LogicalPlan> {
    let wanted = limit.input.schema().clone();
    let plan = flatten.numbered(&limit.input, has_ties(limit))?;
    let at = wanted.fields().len();
    let condition = within(limit, &plan, at);
    let columns = plan.schema().columns();
    let number = Expr::Column(columns[columns.len() - 1].clone());
    let sorted = LogicalPlanBuilder::from(filter(plan, condition)?)
        .sort([number.sort(true, false)])?
        .build()?;
    pick(sorted, &wanted)
}
