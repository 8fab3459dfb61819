//! Whole rows in `to_json(t)`, `to_jsonb(t)` and `row_to_json(t)`: an object of the relation's columns, which are known
//! before planning where the relation is of the catalog or a query that names them. In a select list, and cast to text,
//! the text of a row.
//!
//! Where an outer join may have filled a relation up with NULLs, a row without a value is none: NULL. One that is in a table
//! so, and meets something in such a join, is taken for it, too.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem,
    SetExpr, TableFactor,
};
use tidelog_storage::Catalog;

use super::qualified::GET_FIELD;
use super::relations::{Relation, Relations};
use crate::ddl;
use crate::functions::UNTAGGED;
use crate::functions::json::NEW_LINE;
use crate::parse::walk::WalkMut;
use crate::parse::{parse_expression, quoted};

/// Writes whole rows in these functions as objects, and what a function in FROM gives that is no row as its column.
pub(super) fn expand(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    let _ = query.walk_mut(&mut Rows(Relations::new(catalog, search_path)));
}

struct Rows<'a>(Relations<'a>);

impl ast::VisitorMut for Rows<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        self.0.know_all(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(query) = of_query(expr) {
            *expr = Expr::Subquery(Box::new(query));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let relations = self.0.of(&select.from);
        let calls = &mut Calls {
            known: &self.0,
            relations: &relations,
            inner: Vec::new(),
        };
        name_groups(select, calls);
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item
            else {
                continue;
            };
            if let (Expr::Identifier(name), Some(value)) = (&*expr, calls.scalar(expr)) {
                let alias = name.clone();
                *expr = value;
                if let SelectItem::UnnamedExpr(expr) = item {
                    let expr = super::dialect::take(expr);
                    *item = SelectItem::ExprWithAlias { expr, alias };
                }
                continue;
            }
            let Some(record) = calls.record(expr) else {
                continue;
            };
            let name = super::names::name_of(expr);
            *expr = record;
            if let SelectItem::UnnamedExpr(expr) = item {
                let expr = super::dialect::take(expr);
                let alias = quoted(name.as_ref().map_or("?column?", |(name, _)| name));
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        let _ = select.walk_mut(calls);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order)) = (&*query.body, &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        let mut relations = self.0.of(&select.from);
        let given = |name: &str| {
            select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if ddl::fold(alias) == name)
            })
        };
        // A name alone is first a column of the result.
        relations.retain(|relation| !relation.is_scalar || !given(&relation.name));
        let _ = order.walk_mut(&mut Calls {
            known: &self.0,
            relations: &relations,
            inner: vec![Vec::new()],
        });
        ControlFlow::Continue(())
    }
}

/// `row_to_json((SELECT e FROM … e))` as `(SELECT row_to_json(e) FROM … e)`: a value of a subquery is no whole row here.
fn of_query(expr: &Expr) -> Option<ast::Query> {
    let Expr::Function(call) = expr else {
        return None;
    };
    let name = ddl::fold(call.name.0.last()?.as_ident()?);
    let FunctionArguments::List(list) = &call.args else {
        return None;
    };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(query)))] = list.args.as_slice()
    else {
        return None;
    };
    if !matches!(name.as_str(), "row_to_json" | "to_json" | "to_jsonb") {
        return None;
    }
    let mut query = query.as_ref().clone();
    let SetExpr::Select(select) = &mut *query.body else {
        return None;
    };
    let (from, [SelectItem::UnnamedExpr(row)]) = (&select.from, select.projection.as_mut_slice())
    else {
        return None;
    };
    let is_row = matches!((row as &Expr, from.as_slice()), (Expr::Identifier(row), [only])
        if only.joins.is_empty() && alias_of(&only.relation).is_some_and(|alias| ddl::fold(alias) == ddl::fold(row)));
    if !is_row || select.distinct.is_some() {
        return None;
    }
    let mut call = call.clone();
    let arg = FunctionArg::Unnamed(FunctionArgExpr::Expr(row.clone()));
    if let FunctionArguments::List(list) = &mut call.args {
        list.args = vec![arg];
    }
    *row = Expr::Function(call);
    Some(query)
}

fn alias_of(relation: &TableFactor) -> Option<&ast::Ident> {
    match relation {
        TableFactor::Derived { alias, .. } | TableFactor::Table { alias, .. } => {
            alias.as_ref().map(|alias| &alias.name)
        }
        _ => None,
    }
}

/// Says whether names in GROUP BY that the select list gives are columns of FROM, which come first: those are written with
/// their relation, and in ROLLUP and its like the others as what the select list calls so.
fn name_groups(select: &mut ast::Select, calls: &Calls<'_>) {
    let ast::GroupByExpr::Expressions(exprs, _) = &mut select.group_by else {
        return;
    };
    let mut relations = calls.relations.iter();
    if relations.any(|relation| relation.columns.is_none()) {
        return;
    }
    let named = |key: &mut Expr, is_in_set: bool| {
        let Expr::Identifier(name) = &*key else {
            return;
        };
        let name = ddl::fold(name);
        let item = select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if ddl::fold(alias) == name => Some(expr),
            _ => None,
        });
        let Some(item) = item else {
            return;
        };
        let mut owners = calls.relations.iter().filter(|owner| owner.has(&name));
        match (owners.next(), owners.next()) {
            (None, _) if is_in_set => *key = item.clone(),
            (Some(owner), None) if !is_in_set => *key = owner.column(&name),
            _ => {}
        }
    };
    for key in exprs {
        match key {
            Expr::Rollup(sets) | Expr::Cube(sets) | Expr::GroupingSets(sets) => {
                let keys = sets.iter_mut().flatten();
                keys.for_each(|key| named(key, true));
            }
            key => named(key, false),
        }
    }
}

struct Calls<'a> {
    known: &'a Relations<'a>,
    relations: &'a [Relation],
    /// The relations of the selects that are being looked at, of which the first is the one itself.
    inner: Vec<Vec<Relation>>,
}

impl ast::VisitorMut for Calls<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        self.inner.push(self.known.of(&select.from));
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut ast::Select) -> ControlFlow<()> {
        self.inner.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(object) = self.object(expr) {
            *expr = object;
        }
        if let Some(value) = self.scalar(expr) {
            *expr = value;
        }
        match expr {
            Expr::IsNull(row) | Expr::IsNotNull(row) => self.fields_of(row),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::Eq | BinaryOperator::NotEq,
                right,
            } if self.row(left).is_some() && self.row(right).is_some() => {
                self.fields_of(left);
                self.fields_of(right);
            }
            Expr::Function(call) => {
                self.count(call);
                self.gather(call);
                self.build(call);
            }
            _ => {}
        }
        if let Some(field) = self.field(expr) {
            *expr = field;
        }
        if let Expr::Cast {
            expr,
            data_type: ast::DataType::Text | ast::DataType::Varchar(None),
            ..
        } = expr
            && let Some(record) = self.record(expr)
        {
            **expr = record;
        }
        ControlFlow::Continue(())
    }
}

impl Calls<'_> {
    /// The relation that a name alone means, unless it is a column.
    fn relation(&self, row: &str) -> Option<&Relation> {
        if self.has_column(row) {
            return None;
        }
        let mut rows = self.relations.iter().filter(|relation| !relation.is_scalar);
        rows.find(|relation| relation.name == row)
    }

    /// The relation whose row `t` or `t.*` is.
    fn row(&self, expr: &Expr) -> Option<&Relation> {
        let name = match expr {
            Expr::Identifier(name) => name,
            Expr::QualifiedWildcard(name, _) => name.0.last()?.as_ident()?,
            _ => return None,
        };
        let name = ddl::fold(name);
        let hides =
            |inner: &Relation| inner.columns.is_none() || inner.has(&name) || inner.name == name;
        let is_hidden = self.inner.iter().skip(1).flatten().any(hides);
        self.relation(&name).filter(|_| !is_hidden)
    }

    /// Puts the columns of a whole row in its place.
    fn fields_of(&self, expr: &mut Expr) {
        if let Some(row) = self.row(expr)
            && let Some(columns) = &row.columns
        {
            *expr = Expr::Tuple(columns.iter().map(|name| row.column(name)).collect());
        }
    }

    /// The column that `(t).a` means, which is a call by now.
    fn field(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Function(call) = expr else {
            return None;
        };
        let FunctionArguments::List(list) = &call.args else {
            return None;
        };
        let [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Nested(row))),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(field))),
        ] = list.args.as_slice()
        else {
            return None;
        };
        let ast::Value::SingleQuotedString(field) = &field.value else {
            return None;
        };
        if call.name.to_string() != GET_FIELD {
            return None;
        }
        if let Some(fields) = super::subqueries::fields(row) {
            let number = field.strip_prefix('f')?.parse::<usize>().ok()?;
            let field = fields.into_iter().nth(number.checked_sub(1)?);
            return field.map(super::names::typed);
        }
        let row = self.row(row).filter(|row| row.has(field))?;
        Some(row.column(field))
    }

    /// `count(t)` is that of rows, but for those that an outer join has made.
    fn count(&self, call: &mut ast::Function) {
        let FunctionArguments::List(list) = &mut call.args else {
            return;
        };
        let is_count = call.name.to_string().eq_ignore_ascii_case("count");
        let [FunctionArg::Unnamed(argument)] = list.args.as_mut_slice() else {
            return;
        };
        let row = match &*argument {
            FunctionArgExpr::Expr(row) => self.row(row),
            FunctionArgExpr::QualifiedWildcard(name) => {
                let name = name.0.last().and_then(|part| part.as_ident());
                name.and_then(|name| self.relation(&ddl::fold(name)))
            }
            _ => None,
        };
        // In a subquery it would be an aggregate of the query around.
        let Some(row) = row.filter(|_| is_count && self.inner.len() <= 1) else {
            return;
        };
        let is_distinct = list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct);
        *argument = match (&row.never_null, row.is_padded) {
            _ if is_distinct => match record_of(row) {
                Some(record) => FunctionArgExpr::Expr(record),
                None => return,
            },
            (_, false) => FunctionArgExpr::Wildcard,
            (Some(column), true) => FunctionArgExpr::Expr(row.column(column)),
            (None, true) => {
                FunctionArgExpr::Expr(if_found(row, Expr::Value(ast::Value::Boolean(true).into())))
            }
        };
    }

    /// `array_agg(t)` and `array_agg((a, b))` gather the texts of rows.
    fn gather(&self, call: &mut ast::Function) {
        let FunctionArguments::List(list) = &mut call.args else {
            return;
        };
        let is_array = call.name.to_string().eq_ignore_ascii_case("array_agg");
        if let [FunctionArg::Unnamed(argument)] = list.args.as_mut_slice()
            && is_array
        {
            let row = match argument {
                FunctionArgExpr::Expr(row) => self.record(row),
                FunctionArgExpr::QualifiedWildcard(name) => {
                    let name = name.0.last().and_then(|part| part.as_ident()).cloned();
                    name.and_then(|name| self.record(&Expr::Identifier(name)))
                }
                _ => None,
            };
            if let Some(row) = row {
                *argument = FunctionArgExpr::Expr(row);
            }
        }
    }

    /// Whole rows as parts of a JSON value that is built.
    fn build(&self, call: &mut ast::Function) {
        let name = call.name.0.last().and_then(|part| part.as_ident());
        let is_jsonb = match name.map(ddl::fold).as_deref() {
            Some("json_build_object" | "json_build_array" | "json_object_agg") => false,
            Some("jsonb_build_object" | "jsonb_build_array" | "jsonb_object_agg") => true,
            _ => return,
        };
        let FunctionArguments::List(list) = &mut call.args else {
            return;
        };
        for argument in &mut list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(row)) = argument else {
                continue;
            };
            let Some(relation) = self.row(row) else {
                continue;
            };
            let object = members(relation).and_then(|members| match is_jsonb {
                true => jsonb(&members),
                false => json("{", &members, false),
            });
            if let Some(object) = object {
                *row = if_found(relation, object);
            }
        }
    }

    fn has_column(&self, name: &str) -> bool {
        self.relations.iter().any(|relation| relation.has(name))
    }

    /// The column that the name of a function in FROM alone means, where it gives no rows.
    fn scalar(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Identifier(ident) = expr else {
            return None;
        };
        let name = ddl::fold(ident);
        let mut scalars = self.relations.iter().filter(|relation| relation.is_scalar);
        let relation = scalars.find(|relation| relation.name == name)?;
        let column = relation.columns.as_ref()?.first()?;
        // A select inside may have a column of this name.
        let hides = |relation: &Relation| relation.columns.is_none() || relation.has(&name);
        if self.has_column(&name) || self.inner.iter().skip(1).flatten().any(hides) {
            return None;
        }
        Some(relation.column(column))
    }

    /// `t`, `(a, b)` or `ROW(a, b)` as the text of a row.
    fn record(&self, expr: &Expr) -> Option<Expr> {
        if let Expr::Function(function) = expr
            && function.name.to_string() == UNTAGGED
            && let FunctionArguments::List(list) = &function.args
            && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(inner))] = list.args.as_slice()
        {
            return self.record(inner);
        }
        match expr {
            Expr::Identifier(ident) => record_of(self.relation(&ddl::fold(ident))?),
            expr => Some(super::dialect::call(
                "pg_record",
                super::subqueries::fields(expr)?,
            )),
        }
    }

    fn object(&self, expr: &Expr) -> Option<Expr> {
        let Expr::Function(function) = expr else {
            return None;
        };
        let name = ddl::fold(function.name.0.last()?.as_ident()?);
        let FunctionArguments::List(list) = &function.args else {
            return None;
        };
        let (row, pretty) = match list.args.as_slice() {
            [row] => (row, false),
            [
                row,
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(pretty))),
            ] if name == "row_to_json" => (row, pretty.value == ast::Value::Boolean(true)),
            _ => return None,
        };
        let row = match row {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(row))) => {
                Ok(self.relation(&ddl::fold(row))?)
            }
            FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name)) => {
                Ok(self.relation(&ddl::fold(name.0.last()?.as_ident()?))?)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(row)) => Err(row),
            _ => return None,
        };
        let members = match row {
            Ok(relation) => members(relation)?,
            Err(row) => {
                let fields = super::subqueries::fields(row)?.into_iter().zip(1..);
                let member = |(field, n): (Expr, usize)| (format!("f{n}"), field.to_string());
                fields.map(member).collect()
            }
        };
        let object = match name.as_str() {
            "to_jsonb" => jsonb(&members),
            "to_json" | "row_to_json" => json("{", &members, pretty),
            "json_element" => json(&format!("{NEW_LINE}{{"), &members, false),
            _ => None,
        }?;
        Some(match row {
            Ok(relation) => if_found(relation, object),
            Err(_) => object,
        })
    }
}

/// The columns of a relation, as what they are shown as and how they are written.
fn members(relation: &Relation) -> Option<Vec<(String, String)>> {
    let columns = relation.columns.as_ref()?.iter();
    let member = |name: &String| {
        let column = relation.column(name).to_string();
        (super::shown(name).to_string(), column)
    };
    Some(columns.map(member).collect())
}

/// A relation's row as text.
fn record_of(relation: &Relation) -> Option<Expr> {
    let columns = relation.columns.as_ref()?.iter();
    let fields = columns.map(|name| relation.column(name)).collect();
    let record = super::dialect::call("pg_record", fields);
    Some(if_found(relation, record))
}

/// A value of a relation's row, or NULL where an outer join has found none.
fn if_found(relation: &Relation, value: Expr) -> Expr {
    let tells = match (&relation.never_null, &relation.columns) {
        (Some(column), _) => std::slice::from_ref(column),
        (None, Some(columns)) => columns,
        (None, None) => &[],
    };
    let has = |name: &String| Expr::IsNotNull(Box::new(relation.column(name)));
    let found = tells.iter().map(has).reduce(|left, right| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::Or,
        right: Box::new(right),
    });
    match found.filter(|_| relation.is_padded) {
        Some(found) => Expr::Case {
            case_token: ast::helpers::attached_token::AttachedToken::empty(),
            end_token: ast::helpers::attached_token::AttachedToken::empty(),
            operand: None,
            conditions: vec![ast::CaseWhen {
                condition: found,
                result: value,
            }],
            else_result: None,
        },
        None => value,
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn jsonb(members: &[(String, String)]) -> Option<Expr> {
    let member = |(name, value): &(String, String)| format!("{}, {value}", literal(name));
    let members: Vec<String> = members.iter().map(member).collect();
    parse_expression(&format!("jsonb_build_object({})", members.join(", "))).ok()
}

/// The text of a row's json has no spaces, unlike that of json_build_object.
fn json(open: &str, members: &[(String, String)], pretty: bool) -> Option<Expr> {
    let comma = if pretty { ",\n " } else { "," };
    let member = |(at, (name, value)): (usize, &(String, String))| {
        let mut key = String::from(if at == 0 { open } else { comma });
        crate::json::write_string(name, &mut key);
        key.push(':');
        let value = format!("to_json({value})::text");
        format!("{} || coalesce({value}, 'null')", literal(&key))
    };
    let members: Vec<String> = members.iter().enumerate().map(member).collect();
    let text = match members.is_empty() {
        true => literal(&format!("{open}}}")),
        false => format!("{} || '}}'", members.join(" || ")),
    };
    parse_expression(&format!("({text})::json")).ok()
}
