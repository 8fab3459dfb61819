//! `Concerned`: all groups of readers of a scope, and of them those that a commit may concern: they are found by the values
//! that their statements ask for, so that a commit costs the same however many follow other values.
//!
//! Guarantees: a group that is not found sees nothing of the versions. Does not: look at statements' other conditions, nor
//! hold a group.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use tidelog_storage::ColumnType;
use tidelog_storage::key::sortable;

use crate::lens::Versions;
use crate::lookout::Group;

/// A column, in a version of the catalog.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Column {
    catalog_version: u64,
    index: usize,
    ty: ColumnType,
}

/// Groups, by the values that they ask for, which are as [`sortable`] writes them.
type ByValue = HashMap<Box<[u8]>, Vec<Weak<Group>>>;

/// All groups of a scope.
#[derive(Default)]
pub(crate) struct Concerned {
    by_column: HashMap<Column, ByValue>,
    /// Those that any row may concern.
    unasking: Vec<Weak<Group>>,
    entries: usize,
    /// Sweep when there are so many entries.
    sweep_at: usize,
}

impl Concerned {
    pub(crate) fn add(&mut self, group: &Arc<Group>) {
        if self.entries >= self.sweep_at.max(64) {
            self.sweep();
            self.sweep_at = 2 * self.entries;
        }
        let reader = &group.reader;
        let asked = reader.lens.as_ref().and_then(|lens| lens.asked());
        let Some(asked) = asked else {
            self.entries += 1;
            return self.unasking.push(Arc::downgrade(group));
        };
        let column = Column {
            catalog_version: reader.catalog_version,
            index: asked.column,
            ty: asked.ty,
        };
        let by_value = self.by_column.entry(column).or_default();
        for value in asked.values {
            self.entries += 1;
            let groups = by_value.entry(value.into()).or_default();
            groups.push(Arc::downgrade(group));
        }
    }

    /// All groups that are still held.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        let mut found = Found::default();
        found.add(&self.unasking);
        let by_value = self.by_column.values().flat_map(ByValue::values);
        by_value.for_each(|groups| found.add(groups));
        found.groups
    }

    /// The groups that versions of rows may concern, which are in the columns of this version of the catalog.
    pub(crate) fn by(&self, catalog_version: u64, versions: &Versions<'_>) -> Vec<Arc<Group>> {
        let mut found = Found::default();
        found.add(&self.unasking);
        for (column, by_value) in &self.by_column {
            if column.catalog_version != catalog_version {
                // They are to be told.
                by_value.values().for_each(|groups| found.add(groups));
                continue;
            }
            for (_, _, row) in versions.rows() {
                let value = row.get(column.index);
                let value = value.and_then(|value| sortable(column.ty, value.as_ref()));
                if let Some(groups) = value.and_then(|value| by_value.get(value.as_slice())) {
                    found.add(groups);
                }
            }
        }
        found.groups
    }

    fn sweep(&mut self) {
        let held = |groups: &mut Vec<Weak<Group>>| {
            groups.retain(|group| group.strong_count() > 0);
            groups.len()
        };
        self.entries = held(&mut self.unasking);
        self.by_column.retain(|_, by_value| {
            by_value.retain(|_, groups| {
                let left = held(groups);
                self.entries += left;
                left > 0
            });
            !by_value.is_empty()
        });
    }
}

/// Groups, each once.
#[derive(Default)]
struct Found {
    groups: Vec<Arc<Group>>,
    known: HashSet<*const Group>,
}

impl Found {
    fn add(&mut self, groups: &[Weak<Group>]) {
        for group in groups {
            if self.known.insert(group.as_ptr())
                && let Some(group) = group.upgrade()
            {
                self.groups.push(group);
            }
        }
    }
}
