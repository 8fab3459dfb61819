//! A table's indexes and constraints as the catalogs show them, and their definitions as SQL.

use tidelog_storage::catalog::{ColumnOrder, Deferral, IndexId, ReferentialAction};
use tidelog_storage::computed::ComputedDef;
use tidelog_storage::{Catalog, ColumnId, ColumnType, TableDef};

use super::{FIRST_USER_OID, Showing, deparse, named_oid};
use crate::ddl::enums::texts::unqualified;
use crate::ddl::index::called_alone;
use crate::ddl::names::distinct_names;
use crate::parse::identifier;
use crate::provider::USER;
use crate::types;

/// The index of a primary key, of a UNIQUE constraint, or of CREATE INDEX.
pub(super) struct Index<'a> {
    pub(super) table: &'a TableDef,
    pub(super) oid: i64,
    pub(super) name: &'a str,
    pub(super) columns: &'a [ColumnId],
    pub(super) included: &'a [ColumnId],
    pub(super) predicate: Option<ColumnId>,
    pub(super) orders: Vec<ColumnOrder>,
    pub(super) unique: bool,
    pub(super) primary: bool,
    pub(super) constraint: bool,
    pub(super) ready: bool,
    pub(super) deferral: Deferral,
    /// The number of `_user` where it is shown as the first column.
    pub(super) user: Option<u16>,
}

/// The indexes of a table, its primary key's first.
pub(super) fn indexes(table: &TableDef) -> Vec<Index<'_>> {
    let primary = table.primary().map(|key| Index {
        table,
        oid: index_oid(table, key.id),
        name: key.name,
        columns: key.columns,
        included: &[],
        predicate: None,
        orders: vec![ColumnOrder::default(); key.columns.len()],
        unique: true,
        primary: true,
        constraint: true,
        ready: true,
        deferral: Deferral::NotDeferrable,
        user: None,
    });
    let others = table.indexes.iter().map(|index| Index {
        table,
        oid: index_oid(table, index.id),
        name: &index.name,
        columns: &index.columns,
        included: &index.included,
        predicate: index.predicate,
        orders: index.orders.clone(),
        unique: index.unique,
        primary: index.primary,
        constraint: index.constraint,
        ready: index.ready,
        deferral: index.deferral,
        user: None,
    });
    primary.into_iter().chain(others).collect()
}

pub(super) fn index_oid(table: &TableDef, index: IndexId) -> i64 {
    match index.get() {
        0 => (1 << 29) + i64::from(table.id.get()),
        n => named_oid(&format!("index {} {n}", table.id.get())),
    }
}

impl<'a> Index<'a> {
    /// The names of its columns as SQL writes them, without their order.
    pub(super) fn column_names(&self, form: Form<'_>) -> Vec<String> {
        let user = self.user.map(|_| USER.to_string());
        let columns = self.columns.iter().chain(self.included);
        let names = columns.map(|id| deparse::index_column(self.table, *id, form));
        user.into_iter().chain(names).collect()
    }

    /// What its columns are called in pg_attribute.
    pub(super) fn attributes(&self) -> Vec<(String, ColumnType)> {
        let columns = self.columns.iter().chain(self.included);
        let names = columns.clone().map(|id| called_alone(self.table, *id));
        let types = columns.map(|id| self.table.type_of(*id).unwrap_or(ColumnType::Text));
        distinct_names(names).into_iter().zip(types).collect()
    }

    /// Its columns that are expressions.
    pub(super) fn computed(&self) -> impl Iterator<Item = &'a ComputedDef> {
        let table = self.table;
        self.columns.iter().filter_map(|id| table.computed_of(*id))
    }

    /// What pg_get_expr says of them.
    pub(super) fn expressions(&self) -> Option<String> {
        let shown = |of: &ComputedDef| deparse::over(self.table, &of.expression);
        let shown: Vec<String> = self.computed().map(shown).collect();
        (!shown.is_empty()).then(|| shown.join(", "))
    }

    /// What it says of the condition.
    pub(super) fn condition(&self, form: Form<'_>) -> Option<String> {
        let predicate = self.predicate?;
        Some(deparse::predicate(self.table, predicate, form))
    }

    /// The index as it is shown: a unique one has the user before its columns.
    pub(super) fn shown(self, showing: Showing) -> Index<'a> {
        let user = showing.user_column(self.table);
        Index {
            user: user.filter(|_| self.unique),
            ..self
        }
    }

    /// What pg_get_indexdef says.
    pub(super) fn definition(&self, form: Form<'_>) -> String {
        let column = |(id, order): (&ColumnId, &ColumnOrder)| {
            let mut text = deparse::index_column(self.table, *id, form);
            if order.descending {
                text.push_str(" DESC");
            }
            if order.nulls_first != order.descending {
                text.push_str(if order.nulls_first {
                    " NULLS FIRST"
                } else {
                    " NULLS LAST"
                });
            }
            text
        };
        let user = self.user.map(|_| USER.to_string());
        let columns = self.columns.iter().zip(&self.orders).map(column);
        let columns: Vec<String> = user.into_iter().chain(columns).collect();
        let mut text = format!(
            "CREATE {}INDEX {} ON {}.{} USING btree ({})",
            if self.unique { "UNIQUE " } else { "" },
            identifier(self.name),
            identifier(&self.table.schema),
            identifier(&self.table.name),
            columns.join(", ")
        );
        if !self.included.is_empty() {
            let names = self.included.iter().map(|id| name_of(self.table, *id));
            let names: Vec<String> = names.collect();
            text.push_str(&format!(" INCLUDE ({})", names.join(", ")));
        }
        if let Some(condition) = self.condition(form) {
            text.push_str(&format!(" WHERE {condition}"));
        }
        text
    }
}

/// How a definition is written.
#[derive(Clone, Copy)]
pub(super) struct Form<'a> {
    /// Whether parentheses that are not needed are left out.
    pub(super) bare: bool,
    /// The search path: types of other schemas are shown with them. `None`: none is.
    pub(super) path: Option<&'a [String]>,
}

impl Form<'_> {
    /// With all parentheses, and without schemas.
    pub(super) const FULL: Form<'static> = Form {
        bare: false,
        path: None,
    };

    /// What a type is called.
    pub(super) fn type_name(self, ty: ColumnType) -> String {
        let name = types::name(ty);
        match (ty.elements().map_or(ty, ColumnType::from), self.path) {
            (ColumnType::Enum(of), Some(path)) => {
                let schema = &of.definition().schema;
                match path.contains(schema) {
                    true => name,
                    false => format!("{}.{name}", identifier(schema)),
                }
            }
            _ => name,
        }
    }
}

/// What kind of constraint, with what only that kind has.
pub(super) enum ConstraintKind<'a> {
    Key {
        index: i64,
        primary: bool,
        included: &'a [ColumnId],
        deferral: Deferral,
    },
    Check {
        condition: &'a str,
    },
    Foreign {
        parent: &'a TableDef,
        parent_columns: &'a [ColumnId],
        on_delete: ReferentialAction,
        on_update: ReferentialAction,
        deferral: Deferral,
        /// The index of the referenced key.
        index: i64,
    },
}

/// A constraint of a table.
pub(super) struct Constraint<'a> {
    pub(super) table: &'a TableDef,
    pub(super) oid: i64,
    pub(super) name: &'a str,
    pub(super) columns: Vec<ColumnId>,
    pub(super) ready: bool,
    pub(super) kind: ConstraintKind<'a>,
    /// Whether it has `_user` before its columns where that is shown: what is unique is so for each user.
    pub(super) users: bool,
}

/// The constraints of a table.
pub(super) fn constraints<'a>(table: &'a TableDef, catalog: &'a Catalog) -> Vec<Constraint<'a>> {
    let oid = |name: &str| named_oid(&format!("constraint {} {name}", table.id.get()));
    let mut constraints = Vec::new();
    for index in indexes(table).into_iter().filter(|index| index.constraint) {
        constraints.push(Constraint {
            table,
            oid: oid(index.name),
            name: index.name,
            columns: index.columns.to_vec(),
            ready: index.ready,
            kind: ConstraintKind::Key {
                index: index.oid,
                primary: index.primary,
                included: index.included,
                deferral: index.deferral,
            },
            users: false,
        });
    }
    // SET NOT NULL checks by constraints that nobody named.
    for check in table
        .checks
        .iter()
        .filter(|check| !crate::ddl::constraint::is_implied(&check.name))
    {
        constraints.push(Constraint {
            table,
            oid: oid(&check.name),
            name: &check.name,
            columns: crate::ddl::constraint::checked_columns(table, &check.condition),
            ready: check.ready && !check.not_valid,
            kind: ConstraintKind::Check {
                condition: &check.condition,
            },
            users: false,
        });
    }
    for key in &table.foreign_keys {
        let Some(parent) = catalog.table(&key.parent.0, &key.parent.1) else {
            continue;
        };
        let same = |index: &Index<'_>| {
            index.unique
                && index.predicate.is_none()
                && index.columns.len() == key.parent_columns.len()
                && index
                    .columns
                    .iter()
                    .all(|id| key.parent_columns.contains(id))
        };
        let index = indexes(parent).into_iter().find(same);
        constraints.push(Constraint {
            table,
            oid: oid(&key.name),
            name: &key.name,
            columns: key.columns.clone(),
            ready: key.ready && !key.not_valid,
            kind: ConstraintKind::Foreign {
                parent,
                parent_columns: &key.parent_columns,
                on_delete: key.on_delete,
                on_update: key.on_update,
                deferral: key.deferral,
                index: index.map_or(i64::from(FIRST_USER_OID), |index| index.oid),
            },
            users: false,
        });
    }
    constraints
}

impl<'a> Constraint<'a> {
    /// The constraint as it is shown.
    pub(super) fn shown(self, showing: Showing) -> Constraint<'a> {
        let users = self.letter() != "c" && showing.user_column(self.table).is_some();
        Constraint { users, ..self }
    }

    /// When it is checked.
    pub(super) fn deferral(&self) -> Deferral {
        match self.kind {
            ConstraintKind::Foreign { deferral, .. } | ConstraintKind::Key { deferral, .. } => {
                deferral
            }
            ConstraintKind::Check { .. } => Deferral::NotDeferrable,
        }
    }

    /// `pg_constraint.contype`.
    pub(super) fn letter(&self) -> &'static str {
        match self.kind {
            ConstraintKind::Key { primary: true, .. } => "p",
            ConstraintKind::Key { primary: false, .. } => "u",
            ConstraintKind::Check { .. } => "c",
            ConstraintKind::Foreign { .. } => "f",
        }
    }

    /// What information_schema calls its kind.
    pub(super) fn kind_name(&self) -> &'static str {
        match self.kind {
            ConstraintKind::Key { primary: true, .. } => "PRIMARY KEY",
            ConstraintKind::Key { primary: false, .. } => "UNIQUE",
            ConstraintKind::Check { .. } => "CHECK",
            ConstraintKind::Foreign { .. } => "FOREIGN KEY",
        }
    }

    /// What pg_get_constraintdef says along a search path, with few parentheses when `bare`.
    pub(super) fn definition(&self, search_path: &[String], bare: bool) -> String {
        let not_valid = if self.ready { "" } else { " NOT VALID" };
        format!("{}{not_valid}", self.valid_definition(search_path, bare))
    }

    pub(super) fn is_check(&self) -> bool {
        matches!(self.kind, ConstraintKind::Check { .. })
    }

    fn valid_definition(&self, search_path: &[String], bare: bool) -> String {
        let names = |table: &TableDef, columns: &[ColumnId]| {
            let user = self.users.then(|| USER.to_string());
            let names = columns.iter().map(|id| name_of(table, *id));
            let names: Vec<String> = user.into_iter().chain(names).collect();
            names.join(", ")
        };
        let columns = names(self.table, &self.columns);
        match &self.kind {
            ConstraintKind::Key {
                primary,
                included,
                deferral,
                ..
            } => {
                let included = included.iter().map(|id| name_of(self.table, *id));
                let included = included.collect::<Vec<String>>().join(", ");
                let included = match included.is_empty() {
                    true => included,
                    false => format!(" INCLUDE ({included})"),
                };
                let what = if *primary { "PRIMARY KEY" } else { "UNIQUE" };
                let deferral = deferral_clause(*deferral);
                format!("{what} ({columns}){included}{deferral}")
            }
            ConstraintKind::Check { condition } => {
                let form = Form {
                    bare,
                    path: Some(search_path),
                };
                let shown = deparse::check(self.table, condition, form);
                format!("CHECK ({})", unqualified(&shown, search_path))
            }
            ConstraintKind::Foreign {
                parent,
                parent_columns,
                on_delete,
                on_update,
                deferral,
                ..
            } => {
                let mut name = identifier(&parent.name);
                if !search_path.contains(&parent.schema) {
                    name = format!("{}.{name}", identifier(&parent.schema));
                }
                let theirs = names(parent, parent_columns);
                let mut text = format!("FOREIGN KEY ({columns}) REFERENCES {name}({theirs})");
                for (event, action) in [("UPDATE", on_update), ("DELETE", on_delete)] {
                    if *action != ReferentialAction::NoAction {
                        text.push_str(&format!(" ON {event} {}", action_name(*action)));
                    }
                }
                text.push_str(deferral_clause(*deferral));
                text
            }
        }
    }
}

/// When a constraint is checked, as SQL says it behind the rest.
pub(crate) fn deferral_clause(deferral: Deferral) -> &'static str {
    match deferral {
        Deferral::NotDeferrable => "",
        Deferral::InitiallyImmediate => " DEFERRABLE",
        Deferral::InitiallyDeferred => " DEFERRABLE INITIALLY DEFERRED",
    }
}

/// A referential action as SQL writes it.
pub(super) fn action_name(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "NO ACTION",
        ReferentialAction::Restrict => "RESTRICT",
        ReferentialAction::Cascade => "CASCADE",
        ReferentialAction::SetNull => "SET NULL",
        ReferentialAction::SetDefault => "SET DEFAULT",
    }
}

/// A referential action as pg_constraint has it.
pub(super) fn action_letter(action: ReferentialAction) -> &'static str {
    match action {
        ReferentialAction::NoAction => "a",
        ReferentialAction::Restrict => "r",
        ReferentialAction::Cascade => "c",
        ReferentialAction::SetNull => "n",
        ReferentialAction::SetDefault => "d",
    }
}

fn name_of(table: &TableDef, column: ColumnId) -> String {
    let at = table.index_of(column);
    at.map_or_else(String::new, |at| identifier(&table.columns[at].name))
}
