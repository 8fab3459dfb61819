//! What the catalog's functions say, by what they are asked for.
//!
//! Guarantees: nothing is made before something asks for it, and what was made serves later statements, too, until the
//! catalog changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tidelog_storage::catalog::ColumnOrder;
use tidelog_storage::{Catalog, SequenceDef};

use super::{Session, visible};
use crate::parse::identifier;
use crate::system::keys::Form;
use crate::system::{
    self, Showing, comments, deparse, keys, pg_catalog, schema_oid, table_oid, views,
};

type Names = BTreeMap<i64, (String, String)>;
type Oids = BTreeMap<(String, String), i64>;

/// So many are kept: of databases and search paths that are in use.
const KEPT_MAX: usize = 4;

static KEPT: Mutex<VecDeque<Arc<Facts>>> = Mutex::new(VecDeque::new());

/// What there is to say of one catalog.
pub(super) struct Facts {
    catalog: Catalog,
    showing: Showing,
    pub(super) search_path: Vec<String>,
    classes: OnceLock<Names>,
    oids: OnceLock<Oids>,
    tables: OnceLock<BTreeSet<i64>>,
    indexes: OnceLock<Indexes>,
    definitions: OnceLock<BTreeMap<i64, Definition>>,
    comments: OnceLock<BTreeMap<comments::On, String>>,
    defaults: OnceLock<BTreeMap<String, String>>,
    owned_sequences: OnceLock<BTreeMap<(i64, String), String>>,
    types: OnceLock<BTreeMap<i64, String>>,
    type_names: OnceLock<Names>,
    type_oids: OnceLock<Oids>,
    roles: OnceLock<BTreeMap<i64, String>>,
    schemas: OnceLock<BTreeMap<i64, String>>,
}

/// The indexes.
#[derive(Default)]
pub(super) struct Indexes {
    pub(super) by_oid: BTreeMap<i64, IndexFacts>,
    /// Conditions with few parentheses, by what they are with all.
    pub(super) bare_conditions: BTreeMap<String, String>,
}

/// The definition of a constraint or a view.
pub(super) struct Definition {
    pub(super) full: String,
    /// With few parentheses, where that may be something else.
    pub(super) bare: Option<String>,
}

/// An index.
pub(super) struct IndexFacts {
    /// Its definition and its columns.
    pub(super) full: (String, Vec<String>),
    /// Both with few parentheses, where that is something else.
    pub(super) bare: Option<(String, Vec<String>)>,
    /// The numbers of its columns; 0 for an expression.
    pub(super) keys: Vec<i64>,
    /// How its keys are sorted.
    pub(super) orders: Vec<ColumnOrder>,
}

impl Facts {
    /// What there is to say to a session.
    pub(super) fn of(catalog: &Catalog, session: &Session<'_>) -> Arc<Facts> {
        let same = |kept: &&Arc<Facts>| {
            Arc::ptr_eq(&kept.catalog.databases, &catalog.databases)
                && Arc::ptr_eq(&kept.catalog.roles, &catalog.roles)
                && kept.catalog.database == catalog.database
                && kept.showing == session.showing
                && kept.search_path == session.search_path
        };
        let mut all = KEPT.lock();
        if let Some(found) = all.iter().find(same) {
            return found.clone();
        }
        let facts = Arc::new(Facts {
            catalog: catalog.clone(),
            showing: session.showing,
            search_path: session.search_path.to_vec(),
            classes: OnceLock::new(),
            oids: OnceLock::new(),
            tables: OnceLock::new(),
            indexes: OnceLock::new(),
            definitions: OnceLock::new(),
            comments: OnceLock::new(),
            defaults: OnceLock::new(),
            owned_sequences: OnceLock::new(),
            types: OnceLock::new(),
            type_names: OnceLock::new(),
            type_oids: OnceLock::new(),
            roles: OnceLock::new(),
            schemas: OnceLock::new(),
        });
        all.push_front(facts.clone());
        all.truncate(KEPT_MAX);
        facts
    }

    /// Schema and name of every relation and index.
    pub(super) fn classes(&self) -> &Names {
        (self.classes).get_or_init(|| pg_catalog::class_names(&self.catalog))
    }

    /// Their oids by name.
    pub(super) fn oids(&self) -> &Oids {
        self.oids.get_or_init(|| by_name(self.classes()))
    }

    /// The oids of tables.
    pub(super) fn tables(&self) -> &BTreeSet<i64> {
        let tables = self.catalog.tables.values();
        (self.tables).get_or_init(|| tables.map(|table| table_oid(table)).collect())
    }

    /// The names of a table's or view's columns; `None` for what is neither.
    pub(super) fn columns_of(&self, class: i64) -> Option<Vec<&str>> {
        let known = self.classes().get(&class)?;
        if let Some(table) = self.catalog.tables.get(known) {
            return Some(table.columns.iter().map(|of| &*of.name).collect());
        }
        if let Some(view) = self.catalog.views.get(known) {
            return Some(view.columns.iter().map(|(name, _)| &**name).collect());
        }
        let system = system::SYSTEM.get(&(&*known.0, &*known.1))?;
        Some(system.columns.iter().map(|(name, _)| *name).collect())
    }

    /// The sequence with this oid.
    pub(super) fn sequence(&self, class: i64) -> Option<&SequenceDef> {
        let known = self.classes().get(&class)?;
        self.catalog.sequences.get(known).map(|of| &**of)
    }

    pub(super) fn indexes(&self) -> &Indexes {
        self.indexes.get_or_init(|| {
            let mut indexes = Indexes::default();
            for table in self.catalog.tables.values() {
                for index in keys::indexes(table) {
                    let index = index.shown(self.showing);
                    let computed = !table.computed.is_empty();
                    let form = |bare| Form {
                        bare,
                        path: Some(&self.search_path),
                    };
                    let written =
                        |bare| (index.definition(form(bare)), index.column_names(form(bare)));
                    if computed {
                        let full = index.condition(Form::FULL);
                        let conditions = full.zip(index.condition(form(true)));
                        indexes.bare_conditions.extend(conditions);
                    }
                    let facts = IndexFacts {
                        full: written(false),
                        bare: computed.then(|| written(true)),
                        keys: pg_catalog::key_numbers(&index),
                        orders: index
                            .user
                            .map(|_| ColumnOrder::default())
                            .into_iter()
                            .chain(index.orders.clone())
                            .collect(),
                    };
                    indexes.by_oid.insert(index.oid, facts);
                }
            }
            indexes
        })
    }

    /// Definitions of constraints and views.
    pub(super) fn definitions(&self) -> &BTreeMap<i64, Definition> {
        self.definitions.get_or_init(|| {
            let mut definitions = BTreeMap::new();
            for table in self.catalog.tables.values() {
                for constraint in keys::constraints(table, &self.catalog) {
                    let shown = constraint.shown(self.showing);
                    let written = |bare| shown.definition(&self.search_path, bare);
                    let bare = shown.is_check().then(|| written(true));
                    let full = written(false);
                    definitions.insert(shown.oid, Definition { full, bare });
                }
            }
            let views = views::definitions(&self.catalog);
            definitions.extend(views.map(|(oid, full)| (oid, Definition { full, bare: None })));
            definitions
        })
    }

    pub(super) fn comments(&self) -> &BTreeMap<comments::On, String> {
        (self.comments).get_or_init(|| comments::all(&self.catalog))
    }

    /// Defaults of columns as SQL shows them, by what stands for their trees.
    pub(super) fn defaults(&self) -> &BTreeMap<String, String> {
        self.defaults.get_or_init(|| {
            let mut defaults = BTreeMap::new();
            for table in self.catalog.tables.values() {
                for column in &table.columns {
                    let tree = pg_catalog::default_tree(table, column);
                    let shown = deparse::of_column(&self.catalog, &self.search_path, column);
                    defaults.extend(shown.map(|shown| (tree, shown)));
                }
            }
            defaults
        })
    }

    /// The sequences that columns own, by table and column.
    pub(super) fn owned_sequences(&self) -> &BTreeMap<(i64, String), String> {
        self.owned_sequences.get_or_init(|| {
            let sequences = self.catalog.sequences.values();
            let sequences: BTreeMap<u32, _> = sequences.map(|of| (of.id, of)).collect();
            let mut owned = BTreeMap::new();
            for table in self.catalog.tables.values() {
                for column in &table.columns {
                    let id = column.sequence;
                    if let Some(sequence) = id.and_then(|id| sequences.get(&id)) {
                        let (schema, name) = (&sequence.schema, &sequence.name);
                        let name = format!("{}.{}", identifier(schema), identifier(name));
                        owned.insert((table_oid(table), column.name.clone()), name);
                    }
                }
            }
            owned
        })
    }

    /// Names of types that users made, as SQL writes them.
    pub(super) fn types(&self) -> &BTreeMap<i64, String> {
        (self.types).get_or_init(|| visible::type_names(&self.catalog, &self.search_path))
    }

    /// Schema and name of these.
    pub(super) fn type_names(&self) -> &Names {
        (self.type_names).get_or_init(|| visible::types(&self.catalog))
    }

    /// Their oids by name.
    pub(super) fn type_oids(&self) -> &Oids {
        self.type_oids.get_or_init(|| by_name(self.type_names()))
    }

    pub(super) fn roles(&self) -> &BTreeMap<i64, String> {
        self.roles.get_or_init(|| {
            let roles = self.catalog.roles.values();
            let roles = roles.map(|role| (role.id.oid().into(), role.name.clone()));
            let owner = system::DATABASE_OWNER_NAME.to_string();
            roles.chain([(system::DATABASE_OWNER, owner)]).collect()
        })
    }

    pub(super) fn schemas(&self) -> &BTreeMap<i64, String> {
        self.schemas.get_or_init(|| {
            let schemas = pg_catalog::schemas(&self.catalog).into_iter();
            schemas.map(|name| (schema_oid(&name), name)).collect()
        })
    }
}

fn by_name(names: &Names) -> Oids {
    let names = names.iter();
    names.map(|(oid, name)| (name.clone(), *oid)).collect()
}
