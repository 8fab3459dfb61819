//! The rows of relations that say what the catalog says, kept until it changes: clients that load a schema ask for them again
//! and again, and to make them takes time by the number of tables.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::error::{DataFusionError, Result};
use parking_lot::Mutex;
use tidelog_storage::Catalog;

use super::{Showing, SystemRelation, statistics};
use crate::provider::{Access, Scope};

/// Bytes of rows that are kept.
const KEPT_BYTES_MAX: usize = 64 << 20;

static KEPT: Mutex<VecDeque<Kept>> = Mutex::new(VecDeque::new());

/// The rows of one relation, and what they were made of.
struct Kept {
    relation: (&'static str, &'static str),
    catalog: Arc<Catalog>,
    access: Access,
    showing: Showing,
    callable: Option<Arc<BTreeSet<&'static str>>>,
    rows: RecordBatch,
}

impl Kept {
    fn is_of(&self, relation: &SystemRelation, scope: &Scope) -> bool {
        let (then, now) = (&self.catalog, scope.snapshot.catalog());
        self.relation == (relation.schema, relation.name)
            && Arc::ptr_eq(&then.databases, &now.databases)
            && Arc::ptr_eq(&then.roles, &now.roles)
            && (then.version, then.database) == (now.version, now.database)
            && self.access == scope.access
            && self.showing == relation.showing
            && self.callable == relation.callable
    }
}

/// The rows of a relation in a scope.
pub(super) fn batch(relation: &SystemRelation, scope: &Scope) -> Result<RecordBatch> {
    // Sequences and counts go on without the catalog.
    let of_catalog = relation.schema != "tidelog"
        && relation.name != "pg_sequences"
        && !statistics::COUNTED.contains(&relation.name);
    let is_same = |kept: &Kept| of_catalog && kept.is_of(relation, scope);
    if let Some(kept) = KEPT.lock().iter().find(|kept| is_same(kept)) {
        return Ok(kept.rows.clone());
    }
    let rows = relation.rows(scope);
    let rows = relation.batch(rows.map_err(|error| DataFusionError::External(Box::new(error)))?)?;
    if of_catalog {
        let mut all = KEPT.lock();
        // Those of another catalog are mostly of one that has gone.
        let now = &scope.snapshot.catalog().databases;
        all.retain(|kept| Arc::ptr_eq(&kept.catalog.databases, now));
        all.push_back(Kept {
            relation: (relation.schema, relation.name),
            catalog: scope.snapshot.catalog().clone(),
            access: scope.access.clone(),
            showing: relation.showing,
            callable: relation.callable.clone(),
            rows: rows.clone(),
        });
        let bytes = |kept: &Kept| kept.rows.get_array_memory_size();
        let mut held: usize = all.iter().map(bytes).sum();
        while held > KEPT_BYTES_MAX
            && let Some(oldest) = all.pop_front()
        {
            held -= bytes(&oldest);
        }
    }
    Ok(rows)
}
