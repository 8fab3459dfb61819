//! Subqueries in expressions: as columns that are joined to what the expression is computed over.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, JoinType, ScalarValue, Spans};
use datafusion::error::Result;
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::{array_agg, bool_or, count};
use datafusion::logical_expr::expr::{
    AggregateFunction, Exists, InSubquery, SetComparison, SetQuantifier,
};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Distinct, DistinctOn, EmptyRelation, Expr, ExprFunctionExt, ExprSchemable, Filter,
    Join, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr, Subquery, Union, cast, lit, when,
};
use tidelog_storage::datum::{ColumnBuilder, shaped_of};
use tidelog_storage::{ColumnType, Datum};

use super::{
    Flatten, alias, domain_columns, filter, named, pairs, pick, project, push, shape, unsupported,
};
use crate::functions::collected::ordered_array_agg_of_arrays;
use crate::functions::{ARRAY_OF, single_value};
use crate::guards;
use crate::output;
use crate::plan::calls;

impl Flatten {
    /// Rewrites the subqueries of a node's expressions; those inside are rewritten already.
    pub(super) fn expressions(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = match plan {
            LogicalPlan::Aggregate(aggregate) if push::collects_in_order(&aggregate) => {
                LogicalPlan::Aggregate(self.in_order(aggregate)?)
            }
            plan => plan,
        };
        match &plan {
            LogicalPlan::Limit(limit) if push::has_ties(limit) => {
                return self.plan(push::limited(self, limit)?);
            }
            LogicalPlan::Distinct(Distinct::On(distinct))
                if plan.expressions().iter().any(shape::has_any_subquery) =>
            {
                return self.distinct_on(distinct);
            }
            plan if plan.expressions().iter().any(shape::has_any_subquery) => {}
            _ => return Ok(plan),
        }
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_down(|expr| self.array(expr))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        match plan.data {
            LogicalPlan::Filter(filter) => self.conditions(filter),
            LogicalPlan::Limit(limit) => self.plan(push::limited(self, &limit)?),
            LogicalPlan::Join(join) => self.join_conditions(join),
            LogicalPlan::Values(values) => {
                let rows = values.values.iter().map(|row| {
                    let columns = row.iter().enumerate().map(|(n, expr)| {
                        let field = values.schema.field(n);
                        cast(expr.clone(), field.data_type().clone()).alias(field.name())
                    });
                    let nothing = LogicalPlan::EmptyRelation(EmptyRelation {
                        produce_one_row: true,
                        schema: Arc::new(DFSchema::empty()),
                    });
                    let row = self.expressions(project(nothing, columns.collect())?)?;
                    Ok(Arc::new(row))
                });
                let mut rows = rows.collect::<Result<Vec<_>>>()?;
                match rows.len() {
                    1 => Ok(rows.remove(0).as_ref().clone()),
                    _ => Union::try_new_with_loose_types(rows).map(LogicalPlan::Union),
                }
            }
            plan if plan.inputs().len() == 1 => self.extended(plan),
            plan => Ok(plan),
        }
    }

    /// DISTINCT ON with subqueries: what it selects, tells rows apart and sorts by are columns of a query below.
    fn distinct_on(&self, distinct: &DistinctOn) -> Result<LogicalPlan> {
        let mut computed: Vec<Expr> = Vec::new();
        let relation = self.relation_name("distinct");
        let mut column = |expr: &Expr| {
            let known = computed.iter().position(|known| known == expr);
            let at = known.filter(|_| !expr.is_volatile()).unwrap_or_else(|| {
                computed.push(expr.clone());
                computed.len() - 1
            });
            Expr::Column(Column::new(Some(relation.clone()), at.to_string()))
        };
        let on = distinct.on_expr.iter().map(&mut column).collect();
        let select: Vec<Expr> = distinct.select_expr.iter().map(&mut column).collect();
        let sort = distinct.sort_expr.as_ref().map(|keys| {
            let key = |key: &SortExpr| SortExpr::new(column(&key.expr), key.asc, key.nulls_first);
            keys.iter().map(key).collect()
        });
        let select = select.into_iter().enumerate();
        let select = select.map(|(at, expr)| named(expr, &distinct.schema, at));
        let computed = computed
            .into_iter()
            .enumerate()
            .map(|(at, expr)| expr.alias_qualified(Some(relation.clone()), at.to_string()));
        let input = project(distinct.input.as_ref().clone(), computed.collect())?;
        let input = Arc::new(self.expressions(input)?);
        let distinct = DistinctOn::try_new(on, select.collect(), sort, input)?;
        Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
    }

    /// `ARRAY(SELECT …)`.
    fn array(&self, expr: Expr) -> Result<Transformed<Expr>> {
        let Expr::ScalarFunction(call) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let subquery = match call.args.as_slice() {
            [Expr::ScalarSubquery(subquery)] if call.name() == ARRAY_OF => subquery,
            // A json's is told to be one.
            [Expr::ScalarFunction(typed)] if call.name() == ARRAY_OF => match typed.args.as_slice()
            {
                [Expr::ScalarSubquery(subquery)] => subquery,
                _ => return Ok(Transformed::no(expr)),
            },
            _ => return Ok(Transformed::no(expr)),
        };
        let ty = output::column_type(subquery.subquery.schema().field(0));
        let array = ty.as_ref().ok().copied().and_then(ColumnType::array_of);
        let item = subquery.subquery.schema().field(0).data_type().clone();
        let rows = self.ordered(&subquery.subquery)?;
        let columns = rows.schema().columns();
        let last = columns.len() - 1;
        let value = Expr::Column(columns[0].clone());
        let number = Expr::Column(columns[last].clone());
        let of_arrays = shaped_of(&item);
        let all = match of_arrays {
            Some(_) => ordered_array_agg_of_arrays(value, number),
            None => array_agg(value)
                .order_by(vec![number.sort(true, false)])
                .build()?,
        };
        let made = Aggregate::try_new(Arc::new(rows), Vec::new(), vec![all])?;
        let made = scalar_subquery(LogicalPlan::Aggregate(made));
        let none = match ty
            .as_ref()
            .ok()
            .copied()
            .and_then(ColumnType::elements)
            .filter(|_| of_arrays.is_some())
        {
            Some(element) => {
                let mut none = ColumnBuilder::new(ColumnType::Shaped(element));
                none.append(Datum::Array(Vec::new()).as_ref());
                ScalarValue::try_from_array(&none.finish(), 0)?
            }
            None => ScalarValue::List(ScalarValue::new_list_nullable(&[], &item)),
        };
        let made = coalesce(vec![made, lit(none)]);
        Ok(Transformed::yes(match array {
            None => made,
            Some(ty) => {
                let tag = FieldMetadata::from(ty.field("", true).metadata().clone());
                made.alias_with_metadata("array", Some(tag))
            }
        }))
    }

    /// The rows of a query with their numbers in its order as the last column.
    fn ordered(&self, plan: &LogicalPlan) -> Result<LogicalPlan> {
        match plan {
            LogicalPlan::Limit(limit) => {
                let rows = self.numbered(&limit.input, push::has_ties(limit))?;
                let at = limit.input.schema().fields().len();
                let condition = push::within(limit, &rows, at);
                filter(rows, condition)
            }
            plan => self.numbered(plan, false),
        }
    }

    /// Conditions of a WHERE or HAVING.
    fn conditions(&self, condition: Filter) -> Result<LogicalPlan> {
        let wanted = condition.input.schema().clone();
        let mut plain = Vec::new();
        let mut others = Vec::new();
        for conjunct in split_conjunction_owned(condition.predicate) {
            let conjunct = simplified(conjunct)?;
            if !self.is_plain(&conjunct, &wanted)? {
                others.push(conjunct);
                continue;
            }
            match self.typed(&conjunct, &wanted)? {
                Some(typed) => plain.push(typed),
                None => others.push(conjunct),
            }
        }
        let mut input = condition.input.as_ref().clone();
        if let Some(plain) = conjunction(plain) {
            input = filter(input, plain)?;
        }
        let Some(others) = conjunction(others) else {
            return Ok(input);
        };
        let input = RefCell::new(input);
        let others = self.replaced(others, &input, true)?;
        pick(filter(input.into_inner(), others)?, &wanted)
    }

    /// Whether DataFusion takes a condition as it is.
    fn is_plain(&self, condition: &Expr, outer: &DFSchema) -> Result<bool> {
        match condition {
            Expr::Not(inner) if matches!(**inner, Expr::Exists(_)) => self.is_plain(inner, outer),
            // The first row tells where every row has the same.
            Expr::Exists(exists) => Ok(!exists.subquery.subquery.all_out_ref_exprs().is_empty()
                && shape::is_plain(&exists.subquery.subquery, outer)?),
            // DataFusion forgets the NULLs of NOT IN when one side is, or turns out to be, a constant.
            Expr::InSubquery(within) => Ok(!within.negated
                && !shape::has_any_subquery(&within.expr)
                && shape::is_plain(&within.subquery.subquery, outer)?),
            condition => Ok(!shape::has_any_subquery(condition)),
        }
    }

    /// A condition whose two sides have been made one type; `None` where they compare by what is computed of both.
    fn typed(&self, condition: &Expr, outer: &DFSchema) -> Result<Option<Expr>> {
        let Expr::InSubquery(within) = condition else {
            return Ok(Some(condition.clone()));
        };
        // Under a name that none outside has.
        let field = within.subquery.subquery.schema().fields()[0].clone();
        let relation = self.relation_name("subquery");
        let value = Expr::Column(Column::new(Some(relation.clone()), field.name()));
        let inner = vec![(Some(relation), field)];
        let inner = DFSchema::new_with_metadata(inner, HashMap::new())?;
        let mut schema = outer.clone();
        schema.merge(&inner);
        let left = within.expr.as_ref().clone();
        let compared = calls::compare(Operator::Eq, left, value.clone(), &schema, self.style)?;
        Ok(match compared {
            Expr::BinaryExpr(compared) if *compared.right == value => Some(Expr::InSubquery(
                InSubquery::new(compared.left, within.subquery.clone(), within.negated),
            )),
            _ => None,
        })
    }

    fn join_conditions(&self, join: Join) -> Result<LogicalPlan> {
        let wanted = join.schema.clone();
        let on = join.on.into_iter().map(|(left, right)| left.eq(right));
        let all = on.chain(join.filter.into_iter().flat_map(split_conjunction_owned));
        let (subqueries, mut plain): (Vec<Expr>, Vec<Expr>) =
            all.partition(shape::has_any_subquery);
        let (mut left, mut right) = (join.left.as_ref().clone(), join.right.as_ref().clone());
        let joined = |left, right, condition| -> Result<LogicalPlan> {
            let made = Join::try_new(
                Arc::new(left),
                Arc::new(right),
                Vec::new(),
                condition,
                join.join_type,
                join.join_constraint,
                join.null_equality,
                false,
            )?;
            Ok(LogicalPlan::Join(made))
        };
        if join.join_type == JoinType::Inner {
            let made = joined(left, right, conjunction(plain))?;
            let Some(condition) = conjunction(subqueries) else {
                return Ok(made);
            };
            let made = self.conditions(Filter::try_new(condition, Arc::new(made))?)?;
            return pick(made, &wanted);
        }
        // A condition that is about the side which may be missing alone decides which of its rows count.
        for condition in subqueries {
            let (inner, outer) = match join.join_type {
                JoinType::Left => (&mut right, left.schema()),
                JoinType::Right => (&mut left, right.schema()),
                _ => return Err(unsupported("a subquery in the ON of a full join")),
            };
            if concerns(&condition, outer, inner.schema())? {
                let kept = match join.join_type {
                    JoinType::Left => &mut left,
                    _ => &mut right,
                };
                plain.push(self.beside_kept(condition, kept, &wanted)?);
                continue;
            }
            let condition = Filter::try_new(condition, Arc::new(inner.clone()))?;
            *inner = self.conditions(condition)?;
        }
        pick(joined(left, right, conjunction(plain))?, &wanted)
    }

    /// A condition of an outer join with columns in the place of its subqueries, where these are about the side that is
    /// kept: they are computed there.
    fn beside_kept(
        &self,
        condition: Expr,
        kept: &mut LogicalPlan,
        joined: &DFSchema,
    ) -> Result<Expr> {
        let own = kept.schema().clone();
        let mut columns: Vec<Expr> = own.columns().into_iter().map(Expr::Column).collect();
        let condition = condition.transform_down(|expr| {
            let (subquery, operand) = match &expr {
                Expr::ScalarSubquery(subquery) => (subquery, None),
                Expr::Exists(exists) => (&exists.subquery, None),
                Expr::InSubquery(within) => (&within.subquery, Some(&within.expr)),
                _ => return Ok(Transformed::no(expr)),
            };
            let outer = shape::outer_columns(&subquery.subquery, joined)?;
            let compared = operand.map(|operand| operand.column_refs());
            let mut of_rows = outer.iter().chain(compared.iter().flatten().copied());
            if !of_rows.all(|column| own.has_column(column)) {
                return Ok(Transformed::no(expr));
            }
            let name = self.name("subquery value");
            columns.push(expr.alias(&name));
            Ok(Transformed::yes(Expr::Column(Column::from_name(name))))
        })?;
        if shape::has_any_subquery(&condition.data) {
            return Err(unsupported(
                "a subquery in the ON of an outer join about both of its sides",
            ));
        }
        *kept = self.expressions(project(kept.clone(), columns)?)?;
        Ok(condition.data)
    }

    /// A node over an input with more columns, which stand in for its subqueries.
    fn extended(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let wanted = plan.schema().clone();
        let plain = matches!(plan, LogicalPlan::Projection(_));
        let input = RefCell::new(plan.inputs()[0].clone());
        let names = NamePreserver::new(&plan);
        let plan = plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = self.replaced(expr, &input, plain)?;
            Ok(Transformed::yes(name.restore(expr)))
        })?;
        let plan = plan.data;
        let made = plan.with_new_exprs(plan.expressions(), vec![input.into_inner()])?;
        match made.schema().fields().len() == wanted.fields().len() {
            true => Ok(made),
            false => pick(made, &wanted),
        }
    }

    /// An expression with columns of `input`, which is extended by them, in place of its subqueries. `plain`: plain
    /// aggregates may stay.
    fn replaced(&self, expr: Expr, input: &RefCell<LogicalPlan>, plain: bool) -> Result<Expr> {
        let expr = guards::keys_in_turn(expr, input.borrow().schema())?;
        let replaced = expr.transform_up(|expr| {
            Ok(Transformed::yes(match expr {
                Expr::ScalarSubquery(subquery) => {
                    let schema = input.borrow().schema().clone();
                    let rows = &subquery.subquery;
                    if rows.all_out_ref_exprs().is_empty() {
                        // DataFusion takes a column that is, or turns out to be, never NULL for a value that is never NULL.
                        return Ok(match !shape::is_one_row(rows) {
                            true => {
                                let rows = single(rows.as_ref().clone(), Vec::new())?;
                                Transformed::yes(scalar_subquery(rows))
                            }
                            false => Transformed::no(Expr::ScalarSubquery(subquery)),
                        });
                    }
                    if plain && shape::is_plain_aggregate(rows, &schema)? {
                        return Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
                    }
                    self.scalar(rows, input)?
                }
                Expr::Exists(exists) => {
                    let found = self.exists(&exists.subquery.subquery, input)?;
                    match exists.negated {
                        true => Expr::Not(Box::new(found)),
                        false => found,
                    }
                }
                Expr::InSubquery(within) => {
                    let any = self.any(*within.expr, Operator::Eq, &within.subquery, input)?;
                    match within.negated {
                        true => Expr::Not(Box::new(any)),
                        false => any,
                    }
                }
                Expr::SetComparison(comparison) => {
                    let SetComparison {
                        expr,
                        subquery,
                        op,
                        quantifier,
                    } = comparison;
                    match quantifier {
                        SetQuantifier::Any => self.any(*expr, op, &subquery, input)?,
                        // `x < ALL s` is `NOT (x >= ANY s)`, also where NULLs are.
                        SetQuantifier::All => {
                            let negated = op
                                .negate()
                                .ok_or_else(|| unsupported(&format!("{op} ALL (SELECT …)")))?;
                            Expr::Not(Box::new(self.any(*expr, negated, &subquery, input)?))
                        }
                    }
                }
                expr => return Ok(Transformed::no(expr)),
            }))
        })?;
        Ok(replaced.data)
    }

    /// The value of a subquery, for each row.
    fn scalar(&self, subquery: &LogicalPlan, input: &RefCell<LogicalPlan>) -> Result<Expr> {
        let name = self.relation_name("subquery");
        let outer = shape::outer_columns(subquery, input.borrow().schema())?;
        // No relation's name tells it apart from a column of the result that ORDER BY sees.
        let value = subquery.schema().columns().swap_remove(0);
        let is_taken = (input.borrow().schema()).has_column_with_unqualified_name(value.name());
        let renamed = match is_taken {
            true => Some(project(
                subquery.clone(),
                vec![Expr::Column(value).alias(self.name("value"))],
            )?),
            false => None,
        };
        let subquery = renamed.as_ref().unwrap_or(subquery);
        if outer.is_empty() {
            let rows = match shape::is_at_most_one_row(subquery) {
                true => subquery.clone(),
                false => single(subquery.clone(), Vec::new())?,
            };
            let rows = alias(rows, name)?;
            let value = rows.schema().columns().remove(0);
            let left = input.borrow().clone();
            let joined = self.join_on(left, rows, Vec::new(), Some(lit(true)), JoinType::Left)?;
            input.replace(joined);
            return Ok(Expr::Column(value));
        }
        if shape::is_local(subquery) && shape::is_one_row(subquery) {
            let left = input.borrow().clone();
            let made = self.beside(left, subquery, Some(&name))?;
            let columns = made.schema().columns();
            input.replace(made);
            return Ok(Expr::Column(columns[columns.len() - 1].clone()));
        }
        let domain = self.domain(&input.borrow(), outer)?;
        let mut rows = self.push(subquery, &domain, 0)?;
        if !shape::is_at_most_one_row(subquery) {
            let keys = domain_columns(&domain, &rows);
            rows = single(rows, keys.into_iter().map(Expr::Column).collect())?;
        }
        let rows = alias(rows, name)?;
        let value = rows.schema().columns().remove(0);
        let pairs = pairs(&domain, &rows);
        let left = input.borrow().clone();
        input.replace(self.join_on(left, rows, pairs, None, JoinType::Left)?);
        Ok(Expr::Column(value))
    }

    /// Whether a subquery has rows, for each row.
    fn exists(&self, subquery: &LogicalPlan, input: &RefCell<LogicalPlan>) -> Result<Expr> {
        let outer = shape::outer_columns(subquery, input.borrow().schema())?;
        if outer.is_empty() {
            // The first row tells, unless it is about a query further out.
            let rows = match subquery.all_out_ref_exprs().is_empty() {
                true => LogicalPlanBuilder::from(subquery.clone())
                    .limit(0, Some(1))?
                    .build()?,
                false => subquery.clone(),
            };
            let rows = Aggregate::try_new(Arc::new(rows), Vec::new(), vec![count(lit(1_i64))])?;
            let rows = LogicalPlan::Aggregate(rows);
            let some = Expr::Column(rows.schema().columns().remove(0)).gt(lit(0_i64));
            let made = project(rows, vec![some.alias("exists")])?;
            return match made.all_out_ref_exprs().is_empty() {
                true => Ok(scalar_subquery(made)),
                false => self.scalar(&made, input),
            };
        }
        let domain = self.domain(&input.borrow(), outer)?;
        let rows = self.push(subquery, &domain, 0)?;
        let keys = domain_columns(&domain, &rows).into_iter().map(Expr::Column);
        let keys = project(rows, keys.collect())?;
        let keys = LogicalPlan::Distinct(Distinct::All(Arc::new(keys)));
        let mut columns = vec![lit(true).alias("found")];
        columns.extend(keys.schema().columns().into_iter().map(Expr::Column));
        let rows = alias(project(keys, columns)?, self.relation_name("subquery"))?;
        let found = rows.schema().columns().remove(0);
        let pairs = pairs(&domain, &rows);
        let left = input.borrow().clone();
        input.replace(self.join_on(left, rows, pairs, None, JoinType::Left)?);
        Ok(Expr::Column(found).is_not_null())
    }

    /// `expr op ANY (subquery)`, for each row: TRUE, FALSE or NULL.
    fn any(
        &self,
        expr: Expr,
        op: Operator,
        subquery: &Subquery,
        input: &RefCell<LogicalPlan>,
    ) -> Result<Expr> {
        let subquery = &subquery.subquery;
        let schema = input.borrow().schema().clone();
        let mut outer = shape::outer_columns(subquery, &schema)?;
        let correlated = !subquery.all_out_ref_exprs().is_empty();
        if op == Operator::Eq && !correlated {
            return self.equals_any(expr, subquery, input);
        }
        for column in expr.column_refs() {
            if !outer.contains(column) {
                outer.push(column.clone());
            }
        }
        let constant = outer.is_empty();
        let (rows, keys, expr, domain) = match constant {
            true => (subquery.as_ref().clone(), Vec::new(), expr, None),
            false => {
                let domain = self.domain(&input.borrow(), outer)?;
                let rows = self.push(subquery, &domain, 0)?;
                let keys = domain_columns(&domain, &rows);
                let expr = expr.transform_up(|expr| match &expr {
                    Expr::Column(column) => {
                        let at = domain.columns.iter().position(|known| known == column);
                        Ok(match at {
                            Some(at) => Transformed::yes(Expr::Column(keys[at].clone())),
                            None => Transformed::no(expr),
                        })
                    }
                    _ => Ok(Transformed::no(expr)),
                })?;
                (rows, keys, expr.data, Some(domain))
            }
        };
        let value = Expr::Column(rows.schema().columns().remove(0));
        let compared = calls::compare(op, expr, value, rows.schema(), self.style)?;
        let width = keys.len();
        let keys = keys.into_iter().map(Expr::Column).collect();
        let some = bool_or(compared.clone()).alias("some");
        let open = bool_or(compared.is_null()).alias("open");
        let made = Aggregate::try_new(Arc::new(rows), keys, vec![some, open])?;
        let made = LogicalPlan::Aggregate(made);
        let mut columns = made.schema().columns();
        columns.rotate_left(width);
        let made = project(made, columns.into_iter().map(Expr::Column).collect())?;
        let rows = alias(made, self.relation_name("subquery"))?;
        let columns = rows.schema().columns();
        let (some, open) = (
            Expr::Column(columns[0].clone()),
            Expr::Column(columns[1].clone()),
        );
        let (pairs, condition) = match &domain {
            Some(domain) => (pairs(domain, &rows), None),
            None => (Vec::new(), Some(lit(true))),
        };
        let left = input.borrow().clone();
        input.replace(self.join_on(left, rows, pairs, condition, JoinType::Left)?);
        when(some, lit(true))
            .when(open, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))
    }

    /// `expr = ANY (subquery)` of a subquery that is the same for all rows.
    fn equals_any(
        &self,
        expr: Expr,
        subquery: &Arc<LogicalPlan>,
        input: &RefCell<LogicalPlan>,
    ) -> Result<Expr> {
        let left = input.borrow().clone();
        let value: Column = subquery.schema().columns().remove(0);
        let values = project(
            subquery.as_ref().clone(),
            vec![Expr::Column(value).alias("value")],
        )?;
        let values = alias(values, self.relation_name("subquery"))?;
        let value = Expr::Column(values.schema().columns().remove(0));
        let mut both = left.schema().as_ref().clone();
        both.merge(values.schema());
        let matches = calls::compare(Operator::Eq, expr.clone(), value.clone(), &both, self.style)?;
        let Expr::BinaryExpr(matches) = matches else {
            return Err(unsupported("IN with a subquery of these types"));
        };
        // Values that differ may be equal as what they are compared as: 1 and 1.0, or two numerics as one float.
        let known = filter(values.clone(), value.clone().is_not_null())?;
        let known = project(known, vec![matches.right.alias("key")])?;
        let known = LogicalPlan::Distinct(Distinct::All(Arc::new(known)));
        let key = Expr::Column(known.schema().columns().remove(0));
        let known = project(known, vec![key, lit(true).alias("found")])?;
        let known = alias(known, self.relation_name("subquery"))?;
        let columns = known.schema().columns();
        let (key, found) = (
            Expr::Column(columns[0].clone()),
            Expr::Column(columns[1].clone()),
        );
        let matches = (*matches.left).eq(key);
        let number = count(lit(1_i64)).alias("rows");
        let number_known = count(value).alias("known");
        let counts = Aggregate::try_new(Arc::new(values), Vec::new(), vec![number, number_known])?;
        let counts = alias(
            LogicalPlan::Aggregate(counts),
            self.relation_name("subquery"),
        )?;
        let columns = counts.schema().columns();
        let (rows, rows_known) = (
            Expr::Column(columns[0].clone()),
            Expr::Column(columns[1].clone()),
        );
        let joined = self.join_on(left, known, Vec::new(), Some(matches), JoinType::Left)?;
        let joined = self.join_on(joined, counts, Vec::new(), None, JoinType::Inner)?;
        let is_null = match expr.nullable(&both)? {
            true => expr.is_null().and(rows.clone().gt(lit(0_i64))),
            false => lit(false),
        };
        input.replace(joined);
        when(found.is_not_null(), lit(true))
            .when(
                is_null.or(rows.gt(rows_known)),
                lit(ScalarValue::Boolean(None)),
            )
            .otherwise(lit(false))
    }
}

fn scalar_subquery(plan: LogicalPlan) -> Expr {
    Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: Vec::new(),
        spans: Spans::new(),
    })
}

/// The one value of a query for each of its keys, behind which they stand.
fn single(rows: LogicalPlan, keys: Vec<Expr>) -> Result<LogicalPlan> {
    let value = Expr::Column(rows.schema().columns().remove(0));
    let single = Expr::AggregateFunction(AggregateFunction::new_udf(
        Arc::new(single_value()),
        vec![value],
        false,
        None,
        Vec::new(),
        None,
    ));
    let width = keys.len();
    let made = Aggregate::try_new(Arc::new(rows), keys, vec![single])?;
    let made = LogicalPlan::Aggregate(made);
    let mut columns = made.schema().columns();
    columns.rotate_left(width);
    project(made, columns.into_iter().map(Expr::Column).collect())
}

/// A condition of WHERE, where NULL is FALSE, in the form that is easiest to join.
fn simplified(condition: Expr) -> Result<Expr> {
    Ok(match condition {
        Expr::SetComparison(comparison) => match (comparison.op, &comparison.quantifier) {
            (Operator::Eq, SetQuantifier::Any) if *comparison.expr == lit(true) => {
                exists_true(comparison)?
            }
            (Operator::Eq, SetQuantifier::Any) => {
                Expr::InSubquery(InSubquery::new(comparison.expr, comparison.subquery, false))
            }
            (Operator::NotEq, SetQuantifier::All) => {
                Expr::InSubquery(InSubquery::new(comparison.expr, comparison.subquery, true))
            }
            _ => Expr::SetComparison(comparison),
        },
        Expr::Not(inner) => match *inner {
            Expr::InSubquery(within) => Expr::InSubquery(InSubquery::new(
                within.expr,
                within.subquery,
                !within.negated,
            )),
            Expr::Exists(exists) => Expr::Exists(Exists {
                negated: !exists.negated,
                ..exists
            }),
            inner => Expr::Not(Box::new(inner)),
        },
        condition => condition,
    })
}

/// `TRUE = ANY (SELECT condition …)` as `EXISTS (SELECT … WHERE condition)`.
fn exists_true(comparison: SetComparison) -> Result<Expr> {
    let plan = match comparison.subquery.subquery.as_ref() {
        LogicalPlan::Projection(projection) => {
            let condition = projection.expr[0].clone().unalias_nested().data;
            filter(projection.input.as_ref().clone(), condition)?
        }
        plan => {
            let value = Expr::Column(plan.schema().columns().remove(0));
            filter(plan.clone(), value)?
        }
    };
    Ok(Expr::Exists(Exists {
        subquery: Subquery {
            outer_ref_columns: plan.all_out_ref_exprs(),
            subquery: Arc::new(plan),
            spans: Spans::new(),
        },
        negated: false,
    }))
}

/// Whether a condition is about columns of `outer`.
fn concerns(condition: &Expr, outer: &DFSchema, inner: &DFSchema) -> Result<bool> {
    let own = |column: &Column| inner.has_column(column);
    if condition
        .column_refs()
        .into_iter()
        .any(|column| !own(column))
    {
        return Ok(true);
    }
    condition.exists(|expr| {
        let Some(subquery) = shape::subquery_of(expr) else {
            return Ok(false);
        };
        let columns = shape::outer_columns(&subquery.subquery, outer)?;
        Ok(columns.iter().any(|column| !own(column)))
    })
}
