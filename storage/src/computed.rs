//! What indexes hold besides columns: values that are computed of a row, and conditions that a row must meet.
//!
//! Owns: which values of a row stand in a key or index, and whether it has an entry there at all. Guarantees: the same
//! row gives the same values at any time, so entries can be taken out by the row that they were made of.
//! Does not: evaluate expressions. Who knows their language hands a [`Compiler`] in.

use std::any::Any;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::catalog::{ColumnId, IndexDef, TableDef, UniqueKey};
use crate::datum::{ColumnType, Datum, DatumRef, Row};

/// An expression over a table's columns that an index has as a column, or as its condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComputedDef {
    /// What stands for it among an index's columns.
    pub id: ColumnId,
    /// The expression, as SQL text over the table's columns. It gives the same for the same row at any time.
    pub expression: String,
    /// The type of its values.
    pub ty: ColumnType,
}

/// What computes the expressions of one definition of a table.
pub trait Compute: Debug + Send + Sync {
    /// The values of `TableDef::computed` in a row, in their order; `None` for one that fails.
    fn compute(&self, row: &Row) -> Vec<Option<Datum>>;

    /// The same, for whoever made it.
    fn as_any(&self) -> &dyn Any;
}

/// Reads the expressions of tables.
pub trait Compiler: Send + Sync {
    /// `None` when one of them cannot be read.
    fn compile(&self, table: &TableDef) -> Option<Arc<dyn Compute>>;
}

/// The compiler of one store's catalogs, once there is one.
#[derive(Clone, Default)]
pub struct CompilerSlot(Arc<OnceLock<Box<dyn Compiler>>>);

impl CompilerSlot {
    /// A slot of its own for a compiler.
    pub(crate) fn of(compiler: Box<dyn Compiler>) -> CompilerSlot {
        CompilerSlot(Arc::new(OnceLock::from(compiler)))
    }

    /// Puts the compiler in; the first one stays.
    pub(crate) fn put(&self, compiler: Box<dyn Compiler>) {
        let _ = self.0.set(compiler);
    }

    /// Whether expressions can be read.
    pub(crate) fn is_filled(&self) -> bool {
        self.0.get().is_some()
    }
}

impl Debug for CompilerSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CompilerSlot")
    }
}

/// The expressions of a table's indexes, compiled when they are first wanted. It is no part of the definition: a changed
/// copy compiles its own.
#[derive(Default)]
pub struct Compiled {
    slot: CompilerSlot,
    compute: OnceLock<Option<Arc<dyn Compute>>>,
}

impl Compiled {
    pub(crate) fn by(slot: &CompilerSlot) -> Compiled {
        Compiled {
            slot: slot.clone(),
            compute: OnceLock::new(),
        }
    }
}

impl Clone for Compiled {
    fn clone(&self) -> Compiled {
        Compiled::by(&self.slot)
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Compiled) -> bool {
        true
    }
}

impl Debug for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compiled")
    }
}

/// The first id of a computed value; no table has so many columns.
const FIRST_COMPUTED: u16 = 1 << 15;

impl ColumnId {
    /// Whether it stands for what is computed, not for a column.
    pub fn is_computed(self) -> bool {
        self.get() >= FIRST_COMPUTED
    }
}

impl TableDef {
    /// What computes the expressions of its indexes; `None` when nothing can.
    pub fn compute(&self) -> Option<&Arc<dyn Compute>> {
        let compile = || self.compiled.slot.0.get()?.compile(self);
        self.compiled.compute.get_or_init(compile).as_ref()
    }

    /// The expression that an index's column or condition is, if it is none of the table's columns.
    pub fn computed_of(&self, id: ColumnId) -> Option<&ComputedDef> {
        self.computed.iter().find(|computed| computed.id == id)
    }

    /// Adds an expression, or finds it among those that are there.
    pub fn put_computed(&mut self, expression: String, ty: ColumnType) -> ColumnId {
        let same = |of: &&ComputedDef| of.expression == expression && of.ty == ty;
        if let Some(known) = self.computed.iter().find(same) {
            return known.id;
        }
        let last = self.computed.iter().map(|computed| computed.id.get()).max();
        let id = ColumnId::new(last.map_or(FIRST_COMPUTED, |last| last + 1));
        self.computed.push(ComputedDef { id, expression, ty });
        id
    }

    /// Forgets the expressions that no index has any more.
    pub fn prune_computed(&mut self) {
        let indexes = &self.indexes;
        let is_used = |id: ColumnId| {
            let has = |index: &IndexDef| index.columns.contains(&id) || index.predicate == Some(id);
            indexes.iter().any(has)
        };
        self.computed.retain(|computed| is_used(computed.id));
    }

    /// The type of a column or of what is computed.
    pub fn type_of(&self, id: ColumnId) -> Option<ColumnType> {
        match id.is_computed() {
            true => self.computed_of(id).map(|computed| computed.ty),
            false => self.index_of(id).map(|at| self.columns[at].ty),
        }
    }

    /// Whether entries of an index may have NULL for this.
    pub fn may_be_null(&self, id: ColumnId) -> bool {
        let at = self.index_of(id);
        at.is_none_or(|at| !self.columns[at].not_null && !self.primary_key.contains(&id))
    }
}

/// A row with what the indexes of its table compute of it.
pub struct Keyed<'r> {
    table: &'r TableDef,
    row: &'r Row,
    computed: Vec<Option<Datum>>,
}

impl<'r> Keyed<'r> {
    /// Computes it. Where nothing can compute, the row has no entry in the indexes that want it.
    pub fn new(table: &'r TableDef, row: &'r Row) -> Keyed<'r> {
        let computed = match table.computed.is_empty() {
            true => Vec::new(),
            false => (table.compute()).map_or_else(Vec::new, |compute| compute.compute(row)),
        };
        Keyed {
            table,
            row,
            computed,
        }
    }

    /// A column's value, or one that is computed; `None` when there is none.
    pub(crate) fn value(&self, id: ColumnId) -> Option<DatumRef<'_>> {
        if id.is_computed() {
            let at = self.table.computed.iter().position(|of| of.id == id)?;
            return self.computed.get(at)?.as_ref().map(Datum::as_ref);
        }
        Some(self.row.get(self.table.index_of(id)?)?.as_ref())
    }

    /// Whether the row meets an index's condition, and what it computes of it can be computed.
    pub(crate) fn is_in(&self, columns: &[ColumnId], predicate: Option<ColumnId>) -> bool {
        let met = |id| matches!(self.value(id), Some(DatumRef::Bool(true)));
        let fails = |id: &ColumnId| id.is_computed() && self.value(*id).is_none();
        predicate.is_none_or(met) && !columns.iter().any(fails)
    }

    /// The row's values in a unique key; `None` when it has no entry there: for a NULL, or for the key's condition.
    pub fn values(&self, key: UniqueKey<'_>) -> Option<Vec<DatumRef<'_>>> {
        if !self.is_in(key.columns, key.predicate) {
            return None;
        }
        let values = key.columns.iter().map(|id| self.value(*id));
        let values: Vec<DatumRef<'_>> = values.collect::<Option<_>>()?;
        (!values.contains(&DatumRef::Null)).then_some(values)
    }
}
