//! `tableoid`, which is one number in all rows of a relation: the query is told the number.
//!
//! Does not: give it for a table that an outer join may fill up with NULLs, nor where two relations could be meant.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, Ident, JoinOperator, ObjectName, SelectItem, TableFactor, Value, VisitMut,
};
use tidelog_storage::Catalog;

use crate::{ddl, parse, system};

const TABLEOID: &str = "tableoid";

/// Puts the oids of relations in the place of `tableoid`.
pub(super) fn resolve(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    if query.to_string().to_ascii_lowercase().contains(TABLEOID) {
        let _ = query.visit(&mut Selects {
            catalog,
            search_path,
        });
    }
}

struct Selects<'a> {
    catalog: &'a Catalog,
    search_path: &'a [String],
}

/// A relation of FROM: what it is called, and its oid where that is known for each row.
struct Relation {
    name: String,
    oid: Option<i64>,
    /// Whether an outer join may fill it up with NULLs.
    nullable: bool,
    /// Whether it has a column `oid`, which is NULL then.
    has_oid: bool,
}

impl ast::VisitorMut for Selects<'_> {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        let mut relations = Vec::new();
        for from in &select.from {
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
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && oid_of(expr, &relations).is_some()
            {
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                let alias = Ident::new(TABLEOID);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        let _ = select.visit(&mut Columns {
            relations: &relations,
        });
        ControlFlow::Continue(())
    }
}

impl Selects<'_> {
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
                    oid: None,
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
        let (oid, has_oid) = match system::relation(schema, last) {
            Some(relation) if schema.is_none_or(system::is_system_schema) => {
                (Some(relation.oid()), relation.has_column("oid"))
            }
            _ => {
                let table = ddl::resolve(self.catalog, self.search_path, name).ok();
                (table.map(|table| system::table_oid(table)), false)
            }
        };
        let called = alias.as_ref().map(|alias| ddl::fold(&alias.name));
        Relation {
            name: called.unwrap_or_else(|| last.to_string()),
            oid,
            nullable: false,
            has_oid,
        }
    }
}

impl Relation {
    /// Its `tableoid` as an expression.
    fn tableoid(&self) -> Expr {
        let number = self.oid.unwrap_or_default().to_string();
        let oid = Expr::Cast {
            kind: ast::CastKind::DoubleColon,
            expr: Box::new(Expr::Value(Value::Number(number, false).into())),
            data_type: DataType::Custom(ObjectName::from(vec![Ident::new("oid")]), Vec::new()),
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
}

impl ast::VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some(relation) = oid_of(expr, self.relations) {
            *expr = relation.tableoid();
        }
        ControlFlow::Continue(())
    }
}

/// The relation whose `tableoid` an expression is, if it can be told.
fn oid_of<'a>(expr: &Expr, relations: &'a [Relation]) -> Option<&'a Relation> {
    let relation = match expr {
        Expr::Identifier(column) if ddl::fold(column) == TABLEOID => match relations {
            [only] => only,
            _ => return None,
        },
        Expr::CompoundIdentifier(parts) => {
            let [.., relation, column] = parts.as_slice() else {
                return None;
            };
            if ddl::fold(column) != TABLEOID {
                return None;
            }
            let name = ddl::fold(relation);
            relations.iter().find(|known| known.name == name)?
        }
        _ => return None,
    };
    let told = relation.oid.is_some() && (!relation.nullable || relation.has_oid);
    told.then_some(relation)
}
