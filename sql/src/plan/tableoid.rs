//! `tableoid`, and `xmin` of catalogs, which are one number in all rows of a relation: the query is told the number. All
//! of a catalog was written by the newest change of the catalog. The `ctid` of a table's rows is what their `_seq` is as a tid, and
//! where it is compared with a value that is known, the `_seq` is compared.
//!
//! Does not: give `tableoid` for a table that an outer join may fill up with NULLs, nor any where two relations could be meant.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, Ident, JoinOperator, ObjectName, SelectItem, TableFactor, Value,
};
use tidelog_storage::Catalog;

use super::dialect::call;
use crate::functions::printed::{PLACE_OF_SEQ, SEQ_OF_PLACE};
use crate::parse::walk::WalkMut;
use crate::provider::SEQ;
use crate::{ddl, parse, system};

const TABLEOID: &str = "tableoid";
const XMIN: &str = "xmin";
const CTID: &str = "ctid";

/// Whether a query's text may name a `ctid`.
pub(super) fn mentions_ctid(text: &str) -> bool {
    let mut words = text.as_bytes().windows(CTID.len());
    words.any(|word| word.eq_ignore_ascii_case(CTID.as_bytes()))
}

/// Puts the numbers of relations in the place of `tableoid` and `xmin`, and rows' places in that of `ctid`.
pub(super) fn resolve(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    let text = query.to_string().to_ascii_lowercase();
    if text.contains(TABLEOID) || text.contains(XMIN) || text.contains(CTID) {
        let _ = query.walk_mut(&mut Selects {
            catalog,
            search_path,
        });
    }
}

struct Selects<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
}

/// A relation of FROM: what it is called, whether it is a table, and its oid and `xmin` where they are known for each row.
struct Relation {
    name: String,
    is_table: bool,
    oid: Option<i64>,
    xmin: Option<i64>,
    /// Whether an outer join may fill it up with NULLs.
    nullable: bool,
    /// Whether it has a column `oid`, which is NULL then.
    has_oid: bool,
}

impl ast::VisitorMut for Selects<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let relations = self.relations(&select.from);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && let Some((_, column)) = column_of(uncast(expr), &relations)
            {
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                let alias = Ident::new(column);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        let _ = select.walk_mut(&mut Columns {
            relations: &relations,
            inside: 0,
        });
        ControlFlow::Continue(())
    }

    /// The order, where a name alone is first a column of the result.
    fn post_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        let (ast::SetExpr::Select(select), Some(order)) = (&*query.body, &mut query.order_by)
        else {
            return ControlFlow::Continue(());
        };
        let relations = self.relations(&select.from);
        let columns = &mut Columns {
            relations: &relations,
            inside: 0,
        };
        let ast::OrderByKind::Expressions(keys) = &mut order.kind else {
            return ControlFlow::Continue(());
        };
        for key in keys {
            let is_column = matches!(&key.expr, Expr::Identifier(name) if select.projection.iter().any(|item| {
                matches!(item, SelectItem::ExprWithAlias { alias, .. } if ddl::fold(alias) == ddl::fold(name))
            }));
            if !is_column {
                let _ = key.expr.walk_mut(columns);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Selects<'_> {
    fn relations(&self, from: &[ast::TableWithJoins]) -> Vec<Relation> {
        let mut relations = Vec::new();
        for from in from {
            let first = relations.len();
            relations.push(self.relation(&from.relation));
            for join in &from.joins {
                let mut joined = self.relation(&join.relation);
                use JoinOperator::{FullOuter, Left, LeftOuter, Right, RightOuter};
                let (before, after) = match &join.join_operator {
                    Left(_) | LeftOuter(_) => (false, true),
                    Right(_) | RightOuter(_) => (true, false),
                    FullOuter(_) => (true, true),
                    _ => (false, false),
                };
                if before {
                    relations[first..]
                        .iter_mut()
                        .for_each(|r| r.nullable = true);
                }
                joined.nullable |= after;
                relations.push(joined);
            }
        }
        relations
    }

    fn relation(&self, factor: &TableFactor) -> Relation {
        let (name, alias) = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => (name, alias),
            other => {
                let alias = match other {
                    TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => alias,
                    _ => &None,
                };
                let name = alias.as_ref().map(|alias| ddl::fold(&alias.name));
                return Relation {
                    name: name.unwrap_or_default(),
                    is_table: false,
                    oid: None,
                    xmin: None,
                    nullable: false,
                    has_oid: false,
                };
            }
        };
        let parts: Vec<String> = (name.0.iter())
            .filter_map(|part| part.as_ident().map(ddl::fold))
            .collect();
        let (schema, last) = match parts.as_slice() {
            [.., schema, last] => (Some(schema.as_str()), last.as_str()),
            [last] => (None, last.as_str()),
            [] => (None, ""),
        };
        let (is_table, oid, xmin, has_oid) = match system::relation(schema, last) {
            Some(relation) if schema.is_none_or(system::is_system_schema) => {
                // As transactions are counted: with 32 bits.
                let version = i64::from(self.catalog.version as u32);
                let version = Some(version).filter(|_| !relation.has_column(XMIN));
                let has_oid = relation.has_column("oid");
                (false, Some(relation.oid()), version, has_oid)
            }
            _ => {
                let table = ddl::resolve(self.catalog, self.search_path, name).ok();
                let oid = table.map(|table| system::table_oid(table));
                (table.is_some(), oid, None, false)
            }
        };
        let called = alias.as_ref().map(|alias| ddl::fold(&alias.name));
        Relation {
            name: called.unwrap_or_else(|| last.to_string()),
            is_table,
            oid,
            xmin,
            nullable: false,
            has_oid,
        }
    }
}

impl Relation {
    fn number(&self, column: &str) -> Option<i64> {
        match column {
            XMIN => self.xmin,
            _ => self.oid,
        }
    }

    fn seq(&self) -> Expr {
        Expr::CompoundIdentifier(vec![parse::quoted(&self.name), Ident::new(SEQ)])
    }

    /// One of its columns as an expression.
    fn shown(&self, column: &str) -> Expr {
        if column == CTID {
            return call(PLACE_OF_SEQ, vec![self.seq()]);
        }
        let number = self.number(column).unwrap_or_default().to_string();
        let ty = match column {
            XMIN => "xid",
            _ => "oid",
        };
        let oid = Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(Expr::Value(Value::Number(number, false).into())),
            data_type: DataType::Custom(ObjectName::from(vec![Ident::new(ty)]), Vec::new()),
            array: false,
            format: None,
        };
        if !self.nullable {
            return oid;
        }
        let own = Expr::CompoundIdentifier(vec![parse::quoted(&self.name), Ident::new("oid")]);
        Expr::Case {
            case_token: ast::helpers::attached_token::AttachedToken::empty(),
            end_token: ast::helpers::attached_token::AttachedToken::empty(),
            operand: None,
            conditions: vec![ast::CaseWhen {
                condition: Expr::IsNotNull(Box::new(own)),
                result: oid,
            }],
            else_result: None,
        }
    }
}

struct Columns<'a> {
    relations: &'a [Relation],
    /// In so many subqueries, where a name alone is not one of these relations'.
    inside: usize,
}

impl Columns<'_> {
    fn of(&self, expr: &Expr) -> Option<(&Relation, &'static str)> {
        let is_name = matches!(expr, Expr::Identifier(_));
        column_of(expr, self.relations).filter(|_| self.inside == 0 || !is_name)
    }

    /// The `_seq` of the table whose `ctid` an expression is.
    fn seq(&self, expr: &Expr) -> Option<Expr> {
        let (relation, column) = self.of(expr)?;
        (column == CTID).then(|| relation.seq())
    }
}

impl ast::VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.inside += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.inside -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let seq_of = |place: &mut Expr| {
            let place = std::mem::replace(place, Expr::Value(Value::Null.into()));
            call(SEQ_OF_PLACE, vec![place])
        };
        match expr {
            Expr::BinaryOp {
                left,
                op: ast::BinaryOperator::Eq,
                right,
            } if is_known(right) => {
                if let Some(seq) = self.seq(left) {
                    (**left, **right) = (seq, seq_of(right));
                }
            }
            Expr::InList {
                expr: place, list, ..
            } if list.iter().all(is_known) => {
                if let Some(seq) = self.seq(place) {
                    **place = seq;
                    list.iter_mut().for_each(|place| *place = seq_of(place));
                }
            }
            // Every row lies between the first place of a table and the last.
            Expr::Between {
                expr: place,
                negated: false,
                low,
                high,
            } if self.seq(place).is_some()
                && is_tid(low, "(0,0)")
                && is_tid(high, "(4294967295,0)") =>
            {
                *expr = Expr::Value(Value::Boolean(true).into());
            }
            expr => {
                if let Some((relation, column)) = self.of(expr) {
                    *expr = relation.shown(column);
                }
            }
        }
        ControlFlow::Continue(())
    }
}

fn is_tid(expr: &Expr, place: &str) -> bool {
    let Expr::Cast {
        expr, data_type, ..
    } = expr
    else {
        return false;
    };
    let literal = match &**expr {
        Expr::Value(value) => value.value.clone().into_string(),
        _ => None,
    };
    data_type.to_string().eq_ignore_ascii_case("tid") && literal.as_deref() == Some(place)
}

/// What is cast, perhaps more than once: its name is that of the cast.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } => uncast(expr),
        expr => expr,
    }
}

/// Whether an expression is a literal or a parameter, cast or not.
fn is_known(expr: &Expr) -> bool {
    match expr {
        Expr::Value(_) | Expr::TypedString(_) => true,
        Expr::Cast { expr, .. } => is_known(expr),
        _ => false,
    }
}

/// The relation whose `tableoid`, `xmin` or `ctid` an expression is, if it can be told, and which of them.
fn column_of<'a>(expr: &Expr, relations: &'a [Relation]) -> Option<(&'a Relation, &'static str)> {
    let named = |column: &Ident| {
        let column = ddl::fold(column);
        [TABLEOID, XMIN, CTID]
            .into_iter()
            .find(|known| *known == column)
    };
    let (relation, column) = match expr {
        Expr::Identifier(column) => match relations {
            [only] => (only, named(column)?),
            _ => return None,
        },
        Expr::CompoundIdentifier(parts) => {
            let [.., relation, column] = parts.as_slice() else {
                return None;
            };
            let (name, column) = (ddl::fold(relation), named(column)?);
            let relation = relations.iter().find(|known| known.name == name)?;
            (relation, column)
        }
        _ => return None,
    };
    let told = match column {
        CTID => relation.is_table,
        _ => relation.number(column).is_some() && (!relation.nullable || relation.has_oid),
    };
    told.then_some((relation, column))
}
