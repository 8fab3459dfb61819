//! Rules of ours among DataFusion's.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{
    DFSchema, Dependency, FunctionalDependence, FunctionalDependencies, NullEquality,
};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, SortExpr,
};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::sanity_checker::SanityCheckPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::EvaluationType;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, replace_children_if_necessary,
};

use crate::extremes::ExtremesInOrder;
use crate::guards::{self, FilteredArguments};
use crate::in_turn::InTurnExec;
use crate::lists_apart;
use crate::lookup_join::LookupExec;
use crate::nullable_side;
use crate::numbers;
use crate::offset::FirstGroups;
use crate::ordered::ReadInOrder;
use crate::table_scan::FoundExec;
use crate::unseen::distinct_by_value;
use crate::volatile::{self, KeptEffects};
use crate::{arithmetic, evaluated_once, lookup_join, offset, row_by_row};

/// Makes integer arithmetic fail where it would wrap around, after DataFusion has made the operands' types agree.
#[derive(Debug)]
pub(crate) struct CheckedArithmetic;

impl AnalyzerRule for CheckedArithmetic {
    fn name(&self) -> &str {
        "checked_arithmetic"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|plan| {
            let mut schema = DFSchema::empty();
            for input in plan.inputs() {
                schema.merge(input.schema());
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                with_its_name(&names, expr, &mut |expr| {
                    expr.transform_up(|expr| {
                        Ok(match expr {
                            Expr::BinaryExpr(binary) => arithmetic::rewrite(binary, &schema),
                            Expr::Negative(inner) => arithmetic::negated(inner, &schema)?,
                            other => Transformed::no(other),
                        })
                    })
                })
            })
        })
        .map(|plan| plan.data)
    }
}

/// Rewrites an expression of a plan, whose column keeps its name. A grouping set is no column, its parts are.
pub(crate) fn with_its_name(
    names: &NamePreserver,
    expr: Expr,
    rewrite: &mut dyn FnMut(Expr) -> Result<Transformed<Expr>>,
) -> Result<Transformed<Expr>> {
    if let Expr::GroupingSet(_) = expr {
        return expr.map_children(|part| with_its_name(names, part, rewrite));
    }
    let name = names.save(&expr);
    Ok(rewrite(expr)?.update_data(|expr| name.restore(expr)))
}

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// DataFusion's rules for logical plans, some of them in our form.
pub(crate) fn logical_rules() -> Vec<Rule> {
    let rules = Optimizer::new().rules.into_iter();
    let ours = |rule: Rule| {
        let rewrite = match rule.name() {
            "extract_equijoin_predicate" => equal_joins,
            "eliminate_cross_join" => kept_conditions,
            "push_down_filter" => pushed_filters,
            "simplify_expressions" => lists_apart::simplified,
            "eliminate_join" => unneeded_joins,
            "replace_distinct_aggregate" => distinct_rows,
            "eliminate_duplicated_expr" => kept_orders,
            "eliminate_limit" | "push_down_limit" => countable_limits,
            "optimize_projections" => kept_groups,
            "single_distinct_aggregation_to_group_by" => distinct_arguments,
            _ => return rule,
        };
        Arc::new(InOurForm { rule, rewrite })
    };
    let mut rules: Vec<Rule> = rules.map(ours).collect();
    rules.insert(0, Arc::new(FilteredArguments));
    rules.insert(0, Arc::new(KeptEffects));
    // When constants are computed, and before filters are handed down.
    let at = (rules.iter()).position(|rule| rule.name() == "simplify_expressions");
    let at = at.map_or(0, |at| at + 1);
    rules.insert(at, Arc::new(NumbersOfColumns));
    rules.push(Arc::new(KeysOnce));
    rules.push(Arc::new(ExtremesInOrder));
    rules
}

/// What a plan that was optimized without the values of its parameters becomes once it has them.
pub(crate) fn with_values(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    static RULES: LazyLock<Optimizer> = LazyLock::new(|| {
        let rules = logical_rules().into_iter();
        let of_values = |rule: &Rule| OF_VALUES.contains(&rule.name());
        Optimizer::with_rules(rules.filter(of_values).collect())
    });
    RULES.optimize(plan, state, |_, _| {})
}

/// The rules that look at values: a LIMIT may be one, and conditions are computed as far as they are known.
const OF_VALUES: [&str; 6] = [
    "simplify_expressions",
    "numbers_of_columns",
    "eliminate_filter",
    "propagate_empty_relation",
    "eliminate_limit",
    "push_down_limit",
];

/// Leaves out keys of an aggregate's order that stand there twice, as two expressions may once they are simplified: DataFusion
/// leaves them out of what it sorts by, and counts on them then.
#[derive(Debug)]
struct KeysOnce;

impl OptimizerRule for KeysOnce {
    fn name(&self) -> &str {
        "keys_once"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(_) = plan else {
            return Ok(Transformed::no(plan));
        };
        let names = NamePreserver::new(&plan);
        let once = |expr| match expr {
            Expr::AggregateFunction(mut call) => {
                let (mut seen, keys) = (HashSet::new(), call.params.order_by.len());
                let bare = |key: &SortExpr| key.expr.clone().unalias_nested().data;
                (call.params.order_by).retain(|key| seen.insert(bare(key)));
                let is_other = call.params.order_by.len() < keys;
                let call = Expr::AggregateFunction(call);
                Ok(Transformed::new_transformed(call, is_other))
            }
            other => Ok(Transformed::no(other)),
        };
        plan.map_expressions(|expr| {
            with_its_name(&names, expr, &mut |expr| expr.transform_up(once))
        })
    }
}

/// Compares columns with numbers of their own type, by which rows and files are found.
#[derive(Debug)]
struct NumbersOfColumns;

impl OptimizerRule for NumbersOfColumns {
    fn name(&self) -> &str {
        "numbers_of_columns"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(mut filter) => {
                let predicate = std::mem::take(&mut filter.predicate);
                let predicate = numbers::of_columns(predicate, filter.input.schema())?;
                Ok(predicate.update_data(|predicate| {
                    filter.predicate = predicate;
                    LogicalPlan::Filter(filter)
                }))
            }
            plan => Ok(Transformed::no(plan)),
        }
    }
}

/// A rule of DataFusion's, with what we do in its place.
#[derive(Debug)]
struct InOurForm {
    rule: Rule,
    rewrite: fn(&Rule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>,
}

impl OptimizerRule for InOurForm {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        (self.rewrite)(&self.rule, plan, config)
    }
}

/// Takes equalities of a join's condition for its keys, but not `IS NOT DISTINCT FROM`: DataFusion would unite that join,
/// for which NULL equals NULL, with others, for which it does not.
fn equal_joins(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let plan = constants_behind(plan)?;
    let made = rule.rewrite(plan.clone(), config)?;
    Ok(match &made.data {
        LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => {
            Transformed::no(plan)
        }
        _ => made,
    })
}

/// A filter's or join's conditions with constants on the right side. DataFusion takes `1 = a AND a = 1` for a contradiction,
/// and makes of `1 = a` in an outer join a key that nothing meets.
fn constants_behind(plan: LogicalPlan) -> Result<LogicalPlan> {
    let turned = |condition: Expr| {
        let turn = |expr| match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right })
                if matches!(*left, Expr::Literal(..)) && !matches!(*right, Expr::Literal(..)) =>
            {
                Ok(match op.swap() {
                    Some(op) => {
                        Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(right, op, left)))
                    }
                    None => Transformed::no(Expr::BinaryExpr(BinaryExpr::new(left, op, right))),
                })
            }
            expr => Ok(Transformed::no(expr)),
        };
        condition.transform_up(turn).data()
    };
    Ok(match plan {
        LogicalPlan::Filter(mut filter) => {
            filter.predicate = turned(filter.predicate)?;
            LogicalPlan::Filter(filter)
        }
        LogicalPlan::Join(mut join) => {
            join.filter = join.filter.map(turned).transpose()?;
            LogicalPlan::Join(join)
        }
        plan => plan,
    })
}

/// Moves filters down, but none without columns below an aggregate that gives a row of no rows: there it would not take
/// that row away. Nor volatile ones to other rows (`volatile::filters_kept`).
fn pushed_filters(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Filter(filter) = &plan
        && let LogicalPlan::Aggregate(aggregate) = &*filter.input
        && (aggregate.group_expr.is_empty()
            || matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]))
        && (split_conjunction(&filter.predicate).iter())
            .any(|condition| condition.column_refs().is_empty())
    {
        return Ok(Transformed::no(plan));
    }
    let push = |plan| rule.rewrite(constants_behind(plan)?, config);
    match volatile::filters_kept(plan, &push)? {
        Ok(kept) => Ok(kept),
        Err(plan) => push(plan),
    }
}

/// Orders inner joins so that each has a key where it can, but loses none: DataFusion forgets one like `c.n = a.n + b.n`
/// when it joins `c` before `a` and `b` are both there. Then such keys are conditions, which it keeps.
fn kept_conditions(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let keys = join_keys(&plan)?;
    if !keys
        .iter()
        .any(|(left, right)| is_of_several(left) || is_of_several(right))
    {
        return rule.rewrite(plan, config);
    }
    let ordered = rule.rewrite(plan.clone(), config)?;
    let kept = join_keys(&ordered.data)?;
    let is_kept = |(left, right): &(Expr, Expr)| {
        kept.contains(&(left.clone(), right.clone()))
            || kept.contains(&(right.clone(), left.clone()))
    };
    if keys.iter().all(is_kept) {
        return Ok(ordered);
    }
    let plan = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Join(mut join) = plan else {
            return Ok(Transformed::no(plan));
        };
        if join.join_type != JoinType::Inner {
            return Ok(Transformed::no(LogicalPlan::Join(join)));
        }
        let (conditions, keys) = (join.on.into_iter())
            .partition(|(left, right)| is_of_several(left) || is_of_several(right));
        join.on = keys;
        let conditions: Vec<(Expr, Expr)> = conditions;
        let conditions = conditions.into_iter().map(|(left, right)| left.eq(right));
        join.filter = conjunction(join.filter.into_iter().chain(conditions));
        Ok(Transformed::yes(LogicalPlan::Join(join)))
    })?;
    Ok(Transformed::yes(rule.rewrite(plan.data, config)?.data))
}

/// The keys of all inner joins of a plan.
fn join_keys(plan: &LogicalPlan) -> Result<HashSet<(Expr, Expr)>> {
    let mut keys = HashSet::new();
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Join(join) = plan
            && join.join_type == JoinType::Inner
        {
            keys.extend(join.on.iter().cloned());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(keys)
}

/// Whether an expression has columns of several relations.
fn is_of_several(expr: &Expr) -> bool {
    let relations = expr
        .column_refs()
        .into_iter()
        .map(|column| &column.relation);
    relations.collect::<HashSet<_>>().len() > 1
}

/// Takes limits down whose sum is a number of rows.
fn countable_limits(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    rule.rewrite(offset::countable(plan), config)
}

/// Groups by the argument of a DISTINCT aggregate first, unless there is a sum: DataFusion would add up the groups'
/// sums by the same function, but the sum of integers is a bigint or numeric, whose sum has another type again. Nor where
/// columns have names that it gives to others.
fn distinct_arguments(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let is_sum =
        |expr: &Expr| matches!(expr, Expr::AggregateFunction(call) if call.func.name() == "sum");
    let is_taken = |name: &str| name.starts_with("alias") || name.starts_with("group_alias_");
    match &plan {
        LogicalPlan::Aggregate(groups)
            if groups.aggr_expr.iter().any(is_sum)
                || (groups.input.schema().fields().iter()).any(|field| is_taken(field.name())) =>
        {
            Ok(Transformed::no(plan))
        }
        _ => rule.rewrite(plan, config),
    }
}

/// Leaves joins out whose rows and columns nobody needs, but not where sets are spread into rows: DataFusion takes a key of
/// what is spread for a key of the rows. Nor where something volatile tells rows apart that are otherwise alike. A GROUP BY or DISTINCT below has no key but its columns together, see `kept_groups`.
fn unneeded_joins(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match spreads(&plan)? || volatile::has_some(&plan)? {
        true => Ok(Transformed::no(plan)),
        false => {
            let plan = plan.transform_up_with_subqueries(with_sound_keys)?;
            rule.rewrite(plan.data, config)
        }
    }
}

/// Leaves out what stands in GROUP BY twice, but nothing of an ORDER BY: DataFusion takes what a key determined before a
/// join for what it determines after a GROUP BY behind the join.
fn kept_orders(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Sort(_) => Ok(Transformed::no(plan)),
        plan => rule.rewrite(plan, config),
    }
}

/// Takes columns out of a GROUP BY that others of it determine, but knows of a GROUP BY below only that its columns together
/// are a key: DataFusion has the key of a table for one behind the join that gives its rows more than once.
fn kept_groups(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let mut groups = 0;
    plan.apply(|plan| {
        groups += usize::from(matches!(plan, LogicalPlan::Aggregate(_)));
        Ok(TreeNodeRecursion::Continue)
    })?;
    let plan = match groups {
        0 | 1 => plan,
        _ => plan.transform_up(with_sound_keys)?.data,
    };
    rule.rewrite(plan, config)
}

fn with_sound_keys(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut plan = plan.recompute_schema()?;
    if let LogicalPlan::Aggregate(groups) = &mut plan {
        let schema = Arc::unwrap_or_clone(groups.schema.clone());
        let columns = schema.fields().len();
        let is_set = matches!(groups.group_expr.as_slice(), [Expr::GroupingSet(_)]);
        let key: Vec<usize> = (0..groups.group_expr.len()).collect();
        let nullable = key.iter().any(|at| schema.field(*at).is_nullable());
        let keys = match key.is_empty() || is_set {
            true => FunctionalDependencies::empty(),
            false => FunctionalDependencies::new(vec![
                FunctionalDependence::new(key, (0..columns).collect(), nullable)
                    .with_mode(Dependency::Single),
            ]),
        };
        groups.schema = Arc::new(schema.with_functional_dependencies(keys)?);
    }
    Ok(Transformed::yes(plan))
}

/// DataFusion's rules for physical plans with ours among them.
pub(crate) fn physical_rules() -> Vec<PhysicalRule> {
    let mut rules = PhysicalOptimizer::new().rules;
    // When limits have reached the sorts, and before the sorts' dynamic filters are handed down.
    let at = rules.iter().position(|rule| rule.name() == "PushdownSort");
    rules.insert(at.unwrap_or(rules.len()), Arc::new(ReadInOrder));
    // Behind what spreads rows.
    let spreads = rules
        .iter()
        .position(|rule| rule.name() == "EnsureRequirements");
    let spreads = spreads.unwrap_or(rules.len());
    let values_in_order = OfOurOwn("values_in_order", values_in_order);
    rules.insert(spreads + 1, Arc::new(values_in_order));
    let hide_constants = OfOurOwn("hide_constants", nullable_side::hide_constants);
    rules.insert(spreads, Arc::new(hide_constants));
    rules.insert(spreads, Arc::new(OfOurOwn("look_up", lookup_join::look_up)));
    let without_columns = OfOurOwn("sorts_without_columns", offset::without_columns);
    rules.insert(0, Arc::new(without_columns));
    rules.push(Arc::new(OfOurOwn("unions_in_order", unions_in_order)));
    rules.push(Arc::new(OfOurOwn("distinct_by_value", distinct_by_value)));
    rules.push(Arc::new(OfOurOwn("yielding_joins", yielding_joins)));
    rules.push(Arc::new(OfOurOwn("computed_once", evaluated_once::share)));
    rules.push(Arc::new(OfOurOwn("attach", lookup_join::attach)));
    rules.push(Arc::new(OfOurOwn("draw_in_turn", row_by_row::draw_in_turn)));
    let ours = |rule: PhysicalRule| match rule.name() {
        name if name.starts_with("FilterPushdown") => Arc::new(FiltersByName(rule)) as PhysicalRule,
        "aggregate_statistics" => Arc::new(StatisticsOfAll(rule)) as PhysicalRule,
        "EnsureRequirements" => Arc::new(SpreadsMany(rule)) as PhysicalRule,
        "LimitAggregation" => Arc::new(FirstGroups(rule)) as PhysicalRule,
        _ => rule,
    };
    rules.into_iter().map(ours).collect()
}

type PhysicalRule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// A rule for physical plans: its name, and the plan that it makes of another, with the same columns.
#[derive(Debug)]
struct OfOurOwn(&'static str, fn(Plan) -> Result<Plan>);

type Plan = Arc<dyn ExecutionPlan>;

impl PhysicalOptimizerRule for OfOurOwn {
    fn name(&self) -> &str {
        self.0
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        (self.1)(plan)
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Groups for DISTINCT, by all columns: DataFusion takes keys of what is spread, and what is left of a GROUP BY's key behind a
/// projection, for keys of the rows.
fn distinct_rows(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) if !input.schema().fields().is_empty() => {
            let columns = input.schema().columns().into_iter().map(Expr::Column);
            let groups = Aggregate::try_new(input, columns.collect(), Vec::new())?;
            Ok(Transformed::yes(LogicalPlan::Aggregate(groups)))
        }
        LogicalPlan::Distinct(Distinct::On(mut distinct)) => {
            // DataFusion counts on keys that its orders leave out: constants, and what stands there already.
            let mut seen = HashSet::new();
            let mut at = 0;
            let mut needed = |key: &SortExpr| {
                at += 1;
                let is_constant = !key.expr.any_column_refs() && !key.expr.is_volatile();
                let is_new = seen.insert(key.expr.clone());
                at <= distinct.on_expr.len() || is_new && !is_constant
            };
            if let Some(keys) = &mut distinct.sort_expr {
                keys.retain(|key| needed(key));
            }
            let plan = LogicalPlan::Distinct(Distinct::On(distinct));
            rule.rewrite(plan, config)
        }
        plan => rule.rewrite(plan, config),
    }
}

/// Whether sets are spread into rows somewhere in a plan.
fn spreads(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        found |= matches!(plan, LogicalPlan::Unnest(_));
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// Hands filters down, unless two columns of one node have one name: DataFusion finds the columns of what is below by their
/// names, and would filter one table by a condition on another. Nor where a column is volatile, which the filter would
/// compute once more, or a filter may fail for rows that one below it leaves out.
#[derive(Debug)]
struct FiltersByName(PhysicalRule);

impl PhysicalOptimizerRule for FiltersByName {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let repeats = plan.exists(|node| {
            let schema = node.schema();
            let mut names = HashSet::new();
            let mut fields = schema.fields().iter();
            Ok(fields.any(|field| !names.insert(field.name()))
                || nullable_side::computes_volatile(node)
                || guards::is_above_another(node))
        })?;
        match repeats {
            true => Ok(plan),
            false => self.0.optimize(plan, config),
        }
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Answers aggregates from statistics, but in no plan that has one with FILTER: DataFusion looks below it for another, and puts
/// that one's values in its place.
#[derive(Debug)]
struct StatisticsOfAll(PhysicalRule);

impl PhysicalOptimizerRule for StatisticsOfAll {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let is_filtered = plan.exists(|node| {
            let aggregate = node.downcast_ref::<AggregateExec>();
            Ok(aggregate.is_some_and(|of| of.filter_expr().iter().any(Option::is_some)))
        })?;
        match is_filtered {
            true => Ok(plan),
            false => self.0.optimize(plan, config),
        }
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Spreads rows over streams and sorts those that have to be sorted, but leaves a plan as it is whose rows are few, in one
/// stream and in order: to look at all that could be done for them would cost more than to read them.
#[derive(Debug)]
struct SpreadsMany(PhysicalRule);

impl PhysicalOptimizerRule for SpreadsMany {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn optimize(&self, plan: Plan, config: &ConfigOptions) -> Result<Plan> {
        let fits = |plan: Plan| SanityCheckPlan::new().optimize(plan, config).is_ok();
        match are_few(&plan) && fits(plan.clone()) {
            true => Ok(plan),
            false => offset::apart(plan, &|plan| self.0.optimize(plan, config)),
        }
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether all rows were found by keys and indexes, or stand in the statement, and all of the plan is one stream.
fn are_few(plan: &Plan) -> bool {
    let children = plan.children();
    plan.output_partitioning().partition_count() == 1
        && match children.is_empty() || plan.is::<FoundExec>() {
            true => {
                plan.is::<FoundExec>() || plan.is::<LookupExec>() || plan.is::<PlaceholderRowExec>()
            }
            false => children.into_iter().all(are_few),
        }
}

/// Leaves rows that the statement itself makes (series, VALUES, elements of arrays, recursive queries) in one stream: they
/// come in the order in which they are made, as in PostgreSQL, and nothing has to be read for them that several could read faster.
fn values_in_order(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let spread = node.downcast_ref::<RepartitionExec>().filter(|spread| {
            matches!(spread.partitioning(), Partitioning::RoundRobinBatch(_))
                && reads_nothing(spread.input())
        });
        Ok(match spread {
            Some(spread) => Transformed::yes(spread.input().clone()),
            None => Transformed::no(node),
        })
    })
    .map(|plan| plan.data)
}

/// Whether all rows are made in memory, or round by round of a recursive query.
fn reads_nothing(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<RecursiveQueryExec>() {
        return true;
    }
    let children = plan.children();
    if !children.is_empty() {
        return children.into_iter().all(reads_nothing);
    }
    let is_memory = |source: &DataSourceExec| source.data_source().is::<MemorySourceConfig>();
    plan.is::<LazyMemoryExec>()
        || plan.is::<PlaceholderRowExec>()
        || plan.downcast_ref::<DataSourceExec>().is_some_and(is_memory)
}

/// Gives the rows of a UNION ALL branch by branch where its branches become one stream.
fn unions_in_order(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        Ok(match node.downcast_ref::<CoalescePartitionsExec>() {
            Some(gathered) if gives_branches(gathered.input()) => {
                let rows = Arc::new(InTurnExec::new(gathered.input().clone()));
                Transformed::yes(replace_children_if_necessary(node, vec![rows])?)
            }
            _ => Transformed::no(node),
        })
    })?;
    Ok(match gives_branches(&plan.data) {
        true => Arc::new(InTurnExec::new(plan.data)),
        false => plan.data,
    })
}

/// Whether the partitions of a plan are a union's branches.
fn gives_branches(plan: &Arc<dyn ExecutionPlan>) -> bool {
    if plan.is::<ProjectionExec>() || plan.is::<FilterExec>() || plan.is::<CooperativeExec>() {
        return plan.children().into_iter().all(gives_branches);
    }
    plan.is::<UnionExec>()
}

/// Lets what multiplies rows yield. DataFusion makes leaves yield, but a join turns one batch of a leaf into
/// millions, and until it asks for the next no cancel would reach the query.
fn yielding_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    plan.transform_up(|node| {
        let joins =
            node.children().len() > 1 && node.properties().evaluation_type == EvaluationType::Lazy;
        Ok(if joins {
            Transformed::yes(Arc::new(CooperativeExec::new(node)))
        } else {
            Transformed::no(node)
        })
    })
    .map(|plan| plan.data)
}
