//! Parts of a SELECT in the forms that DataFusion knows: windows that are made of others, GROUP BY with rows, the
//! merged columns of RIGHT and FULL joins.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, NamedWindowExpr,
    SelectItem, SetExpr, TableFactor, Value, Visit, VisitMut, WindowSpec, WindowType,
};

use super::forms::merging;
use super::frames;
use crate::ddl;
use crate::error::{ErrorKind, SqlError};
use crate::parse::{parse_expression, parse_query};

/// Rewrites each SELECT of a query.
pub(super) fn rewrite(query: &mut ast::Query) -> Result<(), SqlError> {
    match query.visit(&mut Selects) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Selects;

impl ast::VisitorMut for Selects {
    type Break = SqlError;

    /// ORDER BY sees the windows and merged columns of the one SELECT that it orders.
    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<SqlError> {
        let Some(order_by) = &mut query.order_by else {
            return ControlFlow::Continue(());
        };
        let done = match &*query.body {
            SetExpr::Select(select) => order(order_by, select),
            _ => each_own(order_by, |expr| in_window(expr, &HashMap::new())),
        };
        done.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        unnest_alone(select);
        let done = positions(select)
            .and_then(|()| windows(select))
            .and_then(|()| groups(select))
            .and_then(|()| merged_columns(select));
        merged_first(select);
        let done = done.and_then(|()| merged_in_conditions(select));
        done.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

fn order(order_by: &mut ast::OrderBy, select: &ast::Select) -> Result<(), SqlError> {
    let known = named_windows(select)?;
    each_own(order_by, |expr| in_window(expr, &known))?;
    let Some(merged) = merged(select)? else {
        return Ok(());
    };
    let ast::OrderByKind::Expressions(keys) = &mut order_by.kind else {
        return Ok(());
    };
    for key in keys {
        // A name alone is first a column of the result.
        let is_result = |item: &SelectItem| match (item, &key.expr) {
            (SelectItem::ExprWithAlias { alias, .. }, Expr::Identifier(ident)) => {
                ddl::fold(alias) == ddl::fold(ident)
            }
            _ => false,
        };
        if !select.projection.iter().any(is_result) {
            merged.replace(&mut key.expr)?;
        }
    }
    Ok(())
}

/// Visits the expressions of one SELECT, but not those of its subqueries.
struct Own<F> {
    depth: usize,
    change: F,
}

impl<F: FnMut(&mut Expr) -> Result<(), SqlError>> ast::VisitorMut for Own<F> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        match (self.change)(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn each_own<T: VisitMut>(
    node: &mut T,
    change: impl FnMut(&mut Expr) -> Result<(), SqlError>,
) -> Result<(), SqlError> {
    match node.visit(&mut Own { depth: 0, change }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// `unnest` to the right of RIGHT and FULL joins, where it sees nothing, as a subquery: DataFusion takes it for lateral.
fn unnest_alone(select: &mut ast::Select) {
    let joins = select.from.iter_mut().flat_map(|from| &mut from.joins);
    let joins = joins.filter(|join| {
        matches!(
            join.join_operator,
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) | JoinOperator::FullOuter(_)
        )
    });
    for join in joins {
        let TableFactor::UNNEST {
            alias: Some(alias), ..
        } = &join.relation
        else {
            continue;
        };
        let alias = ast::TableAlias {
            columns: Vec::new(),
            ..alias.clone()
        };
        let mut query = parse_query("SELECT * FROM t").expect("a query of ours is one");
        if let SetExpr::Select(inner) = &mut *query.body {
            std::mem::swap(&mut inner.from[0].relation, &mut join.relation);
        }
        join.relation = TableFactor::Derived {
            lateral: false,
            subquery: Box::new(query),
            alias: Some(alias),
            sample: None,
        };
    }
}

/// `DISTINCT ON (1)`: the first column of the result.
fn positions(select: &mut ast::Select) -> Result<(), SqlError> {
    let Some(ast::Distinct::On(exprs)) = &mut select.distinct else {
        return Ok(());
    };
    for expr in exprs {
        let Expr::Value(value) = &*expr else { continue };
        let Value::Number(digits, _) = &value.value else {
            continue;
        };
        let item = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        *expr = match item.and_then(|n| select.projection.get(n)) {
            Some(SelectItem::UnnamedExpr(item) | SelectItem::ExprWithAlias { expr: item, .. }) => {
                item.clone()
            }
            Some(_) => {
                return Err(SqlError::unsupported("a position behind * in DISTINCT ON"));
            }
            None => {
                let message = format!("DISTINCT ON position {digits} is not in select list");
                return Err(SqlError::new(ErrorKind::InvalidColumnReference, message));
            }
        };
    }
    Ok(())
}

/// Writes out windows that are made of named ones, and bounds of frames as DataFusion reads them.
fn windows(select: &mut ast::Select) -> Result<(), SqlError> {
    let known = named_windows(select)?;
    for definition in &mut select.named_window {
        if let Some(spec) = known.get(&ddl::fold(&definition.0)) {
            definition.1 = NamedWindowExpr::WindowSpec(spec.clone());
        }
    }
    each_own(&mut select.projection, |expr| in_window(expr, &known))
}

fn named_windows(select: &ast::Select) -> Result<HashMap<String, WindowSpec>, SqlError> {
    let mut known: HashMap<String, WindowSpec> = HashMap::new();
    for definition in &select.named_window {
        let name = ddl::fold(&definition.0);
        let spec = match &definition.1 {
            NamedWindowExpr::WindowSpec(spec) => resolved(spec, &known)?,
            NamedWindowExpr::NamedWindow(base) => find(&known, base)?.clone(),
        };
        if known.insert(name.clone(), spec).is_some() {
            let message = format!("window \"{name}\" is already defined");
            return Err(SqlError::new(ErrorKind::WindowingError, message));
        }
    }
    Ok(known)
}

fn find<'w>(
    known: &'w HashMap<String, WindowSpec>,
    name: &Ident,
) -> Result<&'w WindowSpec, SqlError> {
    let name = ddl::fold(name);
    known.get(&name).ok_or_else(|| {
        let message = format!("window \"{name}\" does not exist");
        SqlError::new(ErrorKind::UndefinedObject, message)
    })
}

fn resolved(
    spec: &WindowSpec,
    known: &HashMap<String, WindowSpec>,
) -> Result<WindowSpec, SqlError> {
    let mut spec = spec.clone();
    if let Some(frame) = &mut spec.window_frame {
        frames::simplify(frame)?;
    }
    let Some(base_name) = spec.window_name.take() else {
        return Ok(spec);
    };
    let base = find(known, &base_name)?;
    let name = ddl::fold(&base_name);
    let refused = |what: &str| {
        let message = format!("cannot override {what} clause of window \"{name}\"");
        Err(SqlError::new(ErrorKind::WindowingError, message))
    };
    if !spec.partition_by.is_empty() {
        return refused("PARTITION BY");
    }
    if !spec.order_by.is_empty() && !base.order_by.is_empty() {
        return refused("ORDER BY");
    }
    if base.window_frame.is_some() {
        let message = format!("cannot copy window \"{name}\" because it has a frame clause");
        return Err(SqlError::new(ErrorKind::WindowingError, message));
    }
    spec.partition_by = base.partition_by.clone();
    if spec.order_by.is_empty() {
        spec.order_by = base.order_by.clone();
    }
    Ok(spec)
}

fn in_window(expr: &mut Expr, known: &HashMap<String, WindowSpec>) -> Result<(), SqlError> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    match &mut function.over {
        None => return Ok(()),
        Some(WindowType::WindowSpec(spec)) => *spec = resolved(spec, known)?,
        // DataFusion finds it by its name in the select list only.
        Some(over @ WindowType::NamedWindow(_)) => {
            if let WindowType::NamedWindow(name) = over {
                let spec = find(known, name)?.clone();
                *over = WindowType::WindowSpec(spec);
            }
        }
    }
    let name = function.name.0.last().and_then(|part| part.as_ident());
    if name.is_some_and(|name| ddl::fold(name) == "ntile") {
        let cast = |expr: Expr, data_type: DataType| Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(expr),
            data_type,
            array: false,
            format: None,
        };
        // DataFusion's is an unsigned integer.
        let signed = cast(expr.clone(), DataType::Int8(None));
        *expr = cast(signed, DataType::Int4(None));
    }
    Ok(())
}

/// ROLLUP and CUBE of rows as GROUPING SETS, and `()`.
fn groups(select: &mut ast::Select) -> Result<(), SqlError> {
    let GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        let message = "syntax error at or near \"ALL\"";
        return Err(SqlError::new(ErrorKind::SyntaxError, message));
    };
    let is_empty = |expr: &Expr| matches!(expr, Expr::Tuple(fields) if fields.is_empty());
    if exprs.iter().any(is_empty) {
        if exprs.iter().any(|expr| !is_empty(expr)) {
            exprs.retain(|expr| !is_empty(expr));
        } else {
            *exprs = vec![Expr::GroupingSets(vec![Vec::new()])];
        }
    }
    for expr in exprs {
        if let Expr::Rollup(rows) | Expr::Cube(rows) | Expr::GroupingSets(rows) = expr {
            let mut keys = rows.iter_mut().flatten();
            keys.try_for_each(|key| listed(key, &select.projection))?;
        }
        let sets = match expr {
            Expr::Rollup(rows) if rows.iter().any(|row| row.len() != 1) => {
                (0..=rows.len()).rev().map(|n| rows[..n].concat()).collect()
            }
            Expr::Cube(rows) if rows.iter().any(|row| row.len() != 1) => {
                if rows.len() > 12 {
                    let message = "CUBE is limited to 12 elements";
                    return Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message));
                }
                let chosen = |set: usize| {
                    let rows = rows.iter().enumerate();
                    let rows = rows.filter(move |(n, _)| set & (1 << n) != 0);
                    rows.flat_map(|(_, row)| row.clone()).collect::<Vec<Expr>>()
                };
                (0..1 << rows.len()).rev().map(chosen).collect()
            }
            _ => continue,
        };
        *expr = Expr::GroupingSets(sets);
    }
    Ok(())
}

/// Puts an item of the select list in the place of its number.
fn listed(key: &mut Expr, items: &[SelectItem]) -> Result<(), SqlError> {
    let number = match &*key {
        Expr::Value(value) => match &value.value {
            ast::Value::Number(number, _) => number,
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    let at = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    match at.and_then(|at| items.get(at)) {
        Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
            *key = expr.clone();
            Ok(())
        }
        Some(_) => Err(SqlError::unsupported("a position in GROUP BY beside *")),
        None => {
            let message = format!("GROUP BY position {number} is not in select list");
            Err(SqlError::new(ErrorKind::InvalidColumnReference, message))
        }
    }
}

/// The merged columns of a RIGHT or FULL join, by their names.
struct Merged(HashMap<String, Expr>);

impl Merged {
    /// Puts the merged columns in the place of their names. 0A000 where a subquery has such a name, which may mean one of its own.
    fn replace<T: Visit + VisitMut>(&self, node: &mut T) -> Result<(), SqlError> {
        let mut names = InSubquery {
            depth: 0,
            merged: self,
        };
        if Visit::visit(node, &mut names).is_break() {
            return Err(SqlError::unsupported(
                "a merged column of RIGHT or FULL JOIN in a subquery",
            ));
        }
        each_own(node, |expr| {
            if let Expr::Identifier(ident) = expr
                && let Some(value) = self.0.get(&ddl::fold(ident))
            {
                *expr = value.clone();
            }
            Ok(())
        })
    }
}

struct InSubquery<'m> {
    depth: usize,
    merged: &'m Merged,
}

impl ast::Visitor for InSubquery<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &ast::Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident)
                if self.depth > 0 && self.merged.0.contains_key(&ddl::fold(ident)) =>
            {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A merged column of a RIGHT join is the right side's, one of a FULL join whichever is there; DataFusion's is always
/// the left side's.
fn merged(select: &ast::Select) -> Result<Option<Merged>, SqlError> {
    let found = select.from.iter().find_map(|from| merging(&from.joins));
    let Some((kind, names)) = found else {
        return Ok(None);
    };
    if names.is_empty() {
        return Err(SqlError::unsupported(kind));
    }
    let single = match select.from.as_slice() {
        [from] => match from.joins.as_slice() {
            [join] => bare_name(&from.relation).zip(bare_name(&join.relation)),
            _ => None,
        },
        _ => None,
    };
    let Some((left, right)) = single else {
        let what = format!("{kind} but between two relations of one name each");
        return Err(SqlError::unsupported(what));
    };
    let mut merged: HashMap<String, Expr> = HashMap::new();
    for name in names {
        let Some(name) = name.0.last().and_then(|part| part.as_ident()) else {
            continue;
        };
        let text = match kind.starts_with("FULL") {
            true => format!("coalesce({left}.{name}, {right}.{name})"),
            false => format!("{right}.{name}"),
        };
        merged.insert(ddl::fold(name), parse_expression(&text)?);
    }
    Ok(Some(Merged(merged)))
}

fn merged_columns(select: &mut ast::Select) -> Result<(), SqlError> {
    let Some(merged) = merged(select)? else {
        return Ok(());
    };
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident))
                if merged.0.contains_key(&ddl::fold(ident)) =>
            {
                *item = SelectItem::ExprWithAlias {
                    expr: merged.0[&ddl::fold(ident)].clone(),
                    alias: ident.clone(),
                };
            }
            item => merged.replace(item)?,
        }
    }
    if let Some(ast::Distinct::On(exprs)) = &mut select.distinct {
        merged.replace(exprs)?;
    }
    if let Some(selection) = &mut select.selection {
        merged.replace(selection)?;
    }
    if let GroupByExpr::Expressions(exprs, _) = &mut select.group_by {
        merged.replace(exprs)?;
    }
    if let Some(having) = &mut select.having {
        merged.replace(having)?;
    }
    merged.replace(&mut select.named_window)
}

/// A column that an inner or left join merges is the left side's, which DataFusion does not know in a WHERE.
fn merged_in_conditions(select: &mut ast::Select) -> Result<(), SqlError> {
    let mut merged: HashMap<String, Expr> = HashMap::new();
    for from in &select.from {
        for (at, join) in from.joins.iter().enumerate() {
            let (JoinOperator::Join(JoinConstraint::Using(names))
            | JoinOperator::Inner(JoinConstraint::Using(names))
            | JoinOperator::Left(JoinConstraint::Using(names))
            | JoinOperator::LeftOuter(JoinConstraint::Using(names))) = &join.join_operator
            else {
                continue;
            };
            let (Some(names), Some(left)) = (using_names(names), bare_name(&from.relation)) else {
                continue;
            };
            // Behind other joins it may be of any of the relations before.
            for name in names.into_iter().filter(|_| at == 0) {
                let parts = vec![left.clone(), Ident::with_quote('"', &name)];
                merged.insert(name, Expr::CompoundIdentifier(parts));
            }
        }
    }
    let Some(selection) = &mut select.selection else {
        return Ok(());
    };
    each_own(selection, |expr| {
        if let Expr::Identifier(ident) = expr
            && let Some(column) = merged.get(&ddl::fold(ident))
        {
            *expr = column.clone();
        }
        Ok(())
    })
}

/// `*` over two relations shows the columns that USING merges first. (Over more, or NATURAL, they stay in the order of
/// the relations.)
fn merged_first(select: &mut ast::Select) {
    let [from] = select.from.as_slice() else {
        return;
    };
    let [join] = from.joins.as_slice() else {
        return;
    };
    let (kept, constraint) = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint) => (Some(&from.relation), constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (Some(&join.relation), constraint)
        }
        JoinOperator::FullOuter(constraint) => (None, constraint),
        _ => return,
    };
    let JoinConstraint::Using(names) = constraint else {
        return;
    };
    let called = bare_name(&from.relation).zip(bare_name(&join.relation));
    let (Some((left, right)), Some(names)) = (called, using_names(names)) else {
        return;
    };
    let of = |relation: &Ident, name: &str| {
        Expr::CompoundIdentifier(vec![relation.clone(), Ident::with_quote('"', name)])
    };
    let others = |relation: &Ident| {
        let mut names = names.iter().map(|name| Ident::with_quote('"', name));
        let except = names.next().map(|first_element| ast::ExceptSelectItem {
            first_element,
            additional_elements: names.collect(),
        });
        SelectItem::QualifiedWildcard(
            ast::SelectItemQualifiedWildcardKind::ObjectName(vec![relation.clone()].into()),
            ast::WildcardAdditionalOptions {
                opt_except: except,
                ..Default::default()
            },
        )
    };
    let kept = kept.and_then(bare_name);
    let mut all: Vec<SelectItem> = names
        .iter()
        .map(|name| SelectItem::ExprWithAlias {
            expr: match &kept {
                Some(kept) => of(kept, name),
                None => coalesced(of(&left, name), of(&right, name)),
            },
            alias: Ident::with_quote('"', name),
        })
        .collect();
    all.extend([others(&left), others(&right)]);
    let items = std::mem::take(&mut select.projection);
    select.projection = items
        .into_iter()
        .flat_map(|item| match item {
            SelectItem::Wildcard(_) => all.clone(),
            item => vec![item],
        })
        .collect();
}

fn coalesced(left: Expr, right: Expr) -> Expr {
    super::dialect::call("coalesce", vec![left, right])
}

fn using_names(names: &[ast::ObjectName]) -> Option<Vec<String>> {
    let name = |name: &ast::ObjectName| Some(ddl::fold(name.0.last()?.as_ident()?));
    names.iter().map(name).collect()
}

/// What a relation's columns are qualified with, where that is one name.
fn bare_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table {
            name, alias: None, ..
        } if name.0.len() > 1 => None,
        factor => relation_name(factor),
    }
}

fn relation_name(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(alias.name.clone()),
            None => name.0.last()?.as_ident().cloned(),
        },
        TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => {
            alias.as_ref().map(|alias| alias.name.clone())
        }
        _ => None,
    }
}
