//! `tableoid`, and `xmin` of catalogs, which are one number in all rows of a relation: the query is told the number. All
//! of a catalog was written by the newest change of the catalog.
//!
//! Does not: give it for a table that an outer join may fill up with NULLs, nor where two relations could be meant.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    self, DataType, Expr, Ident, JoinOperator, ObjectName, SelectItem, TableFactor, Value,
};
use tidelog_storage::Catalog;

use crate::parse::walk::WalkMut;
use crate::{ddl, parse, system};

const TABLEOID: &str = "tableoid";
const XMIN: &str = "xmin";

/// Puts the numbers of relations in the place of `tableoid` and `xmin`.
pub(super) fn resolve(query: &mut ast::Query, catalog: &Catalog, search_path: &[String]) {
    let text = query.to_string().to_ascii_lowercase();
    if text.contains(TABLEOID) || text.contains(XMIN) {
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

/// A relation of FROM: what it is called, and its oid and `xmin` where they are known for each row.
struct Relation {
    name: String,
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
                && let Some((_, column)) = column_of(expr, &relations)
            {
                let expr = std::mem::replace(expr, Expr::Value(Value::Null.into()));
                let alias = Ident::new(column);
                *item = SelectItem::ExprWithAlias { expr, alias };
            }
        }
        let _ = select.walk_mut(&mut Columns {
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
        let (oid, xmin, has_oid) = match system::relation(schema, last) {
            Some(relation) if schema.is_none_or(system::is_system_schema) => {
                // As transactions are counted: with 32 bits.
                let version = i64::from(self.catalog.version as u32);
                let version = Some(version).filter(|_| !relation.has_column(XMIN));
                (Some(relation.oid()), version, relation.has_column("oid"))
            }
            _ => {
                let table = ddl::resolve(self.catalog, self.search_path, name).ok();
                (table.map(|table| system::table_oid(table)), None, false)
            }
        };
        let called = alias.as_ref().map(|alias| ddl::fold(&alias.name));
        Relation {
            name: called.unwrap_or_else(|| last.to_string()),
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

    /// One of its columns as an expression.
    fn shown(&self, column: &str) -> Expr {
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
}

impl ast::VisitorMut for Columns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Some((relation, column)) = column_of(expr, self.relations) {
            *expr = relation.shown(column);
        }
        ControlFlow::Continue(())
    }
}

/// The relation whose `tableoid` or `xmin` an expression is, if it can be told, and which of them.
fn column_of<'a>(expr: &Expr, relations: &'a [Relation]) -> Option<(&'a Relation, &'static str)> {
    let named = |column: &Ident| {
        let column = ddl::fold(column);
        [TABLEOID, XMIN].into_iter().find(|known| *known == column)
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
    let told = relation.number(column).is_some() && (!relation.nullable || relation.has_oid);
    told.then_some((relation, column))
}
