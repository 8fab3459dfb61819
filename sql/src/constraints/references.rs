//! FOREIGN KEY: new rows look for their parents, parents that go for their children.
//!
//! Guarantees: the parents of a row are locked before it can be committed, and who takes a parent away holds its lock when
//! it looks for children: so neither can miss the other.
//! Does not: know when what is deferred is checked (`deferred` does).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use datafusion::sql::sqlparser::ast;
use tidelog_storage::catalog::{ForeignKeyDef, ReferentialAction, UniqueKey};
use tidelog_storage::snapshot::Lookup;
use tidelog_storage::transaction::unique_identity;
use tidelog_storage::{Catalog, ColumnId, ColumnType, CommitError, Datum, Partition, TableDef};

use super::deferred::{Keys, Side};
use crate::ddl::parents::referencing_keys_of;
use crate::error::{ErrorKind, SqlError, from_datafusion, shown_key};
use crate::functions::decimal::Decimal;
use crate::locking::Patience;
use crate::locks::LockMode;
use crate::modify::Found;
use crate::parse::{parse_expression, parse_query, quoted};
use crate::precision;
use crate::provider::{Scope, USER, blocking};
use crate::row::{Write, assign, check_given};
use crate::session::{RETRIES_MAX, Session};
use crate::text::Style;
use crate::turns::Turns;

/// Keys of one query about children, at most.
const KEYS_MAX: usize = 200;

/// Keys of a parent that went or became others: a foreign key is to look after the rows that have them.
pub(super) struct Departure {
    parent: Arc<TableDef>,
    child: Arc<TableDef>,
    key: ForeignKeyDef,
    /// The old key, and the new one of a parent that is still there.
    of: Vec<(Partition, Vec<Datum>, Option<Vec<Datum>>)>,
}

/// What changes of a table leave to do for each of the foreign keys that reference it.
pub(super) fn departures(
    catalog: &Catalog,
    parent: &Arc<TableDef>,
    writes: &[Write],
) -> Vec<Departure> {
    if writes.iter().all(|write| write.old.is_none()) {
        return Vec::new();
    }
    let of_key = |key: &ForeignKeyDef| {
        let departed = |write: &Write| {
            let old = values(parent, &key.parent_columns, &write.old.as_ref()?.row)?;
            let columns = key.parent_columns.iter();
            let new = write
                .new
                .as_ref()
                .map(|row| columns.map(|id| value(parent, *id, row)).collect());
            (new.as_ref() != Some(&old)).then(|| (write.partition.clone(), old, new))
        };
        writes.iter().filter_map(departed).collect::<Vec<_>>()
    };
    let keys = referencing_keys_of(catalog, parent);
    let departures = keys.map(|(child, key)| Departure {
        parent: parent.clone(),
        child: child.clone(),
        of: of_key(key),
        key: key.clone(),
    });
    departures
        .filter(|departure| !departure.of.is_empty())
        .collect()
}

impl Session {
    /// Locks the parents of new rows; 23503 when one is not there. Where that is deferred, or more rows come with the
    /// statement, it is done later.
    pub(super) async fn check_parents(
        &mut self,
        table: &Arc<TableDef>,
        writes: &[Write],
    ) -> Result<(), SqlError> {
        for key in &table.foreign_keys {
            let mut referring: Keys = Vec::new();
            let mut turns = Turns::default();
            for write in writes {
                turns.worked(1).await;
                let new = write.new.as_ref();
                let Some(new) = new.and_then(|row| values(table, &key.columns, row)) else {
                    continue;
                };
                let old = write.old.as_ref();
                let old = old.and_then(|old| values(table, &key.columns, &old.row));
                let same = |last: &(Partition, Vec<Datum>)| {
                    *last == (write.partition.clone(), new.clone())
                };
                if old.as_ref() != Some(&new) && !referring.last().is_some_and(same) {
                    referring.push((write.partition.clone(), new));
                }
            }
            let is_deferred = self.is_deferred(table.id, key);
            // PostgreSQL has a new row wait to be checked also when it refers to nothing.
            let mut comes = writes.iter().map(|write| (&write.old, &write.new));
            let waits = is_deferred && comes.any(|(old, new)| old.is_none() && new.is_some());
            if referring.is_empty() && !waits {
                continue;
            }
            if !is_deferred {
                referring = self.orphans(table, key, &referring).await?;
                if let Some((_, values)) = referring.first()
                    && !self.deferred().goes_on
                {
                    return Err(no_parent(table, key, values));
                }
                if referring.is_empty() {
                    continue;
                }
            }
            let parent = parent_of(&self.catalog(), key)?.0;
            self.put_off(table, &parent, key, Side::Children, referring);
        }
        Ok(())
    }

    /// Locks the parents of rows with these values of the referencing columns; gives the values that have none.
    pub(super) async fn orphans(
        &mut self,
        table: &Arc<TableDef>,
        key: &ForeignKeyDef,
        referring: &Keys,
    ) -> Result<Keys, SqlError> {
        let catalog = self.catalog();
        let (parent, unique) = parent_of(&catalog, key)?;
        let (mut orphans, mut wanted) = (Vec::new(), Vec::new());
        let (mut locks, mut seen) = (Vec::new(), HashSet::new());
        let mut turns = Turns::default();
        for (at, (partition, values)) in referring.iter().enumerate() {
            turns.worked(1).await;
            let parent_values = in_key_order(key, unique, &parent, table, values);
            let identity = parent_values.as_ref().and_then(|values| {
                let values = values.iter().map(Datum::as_ref);
                unique_identity(&parent, partition, unique, values)
            });
            match (parent_values, identity) {
                (Some(parent_values), Some(identity)) if seen.insert(identity.clone()) => {
                    locks.push((identity, LockMode::KeyShare));
                    wanted.push((at, partition.clone(), parent_values));
                }
                (Some(_), Some(_)) => {}
                _ => orphans.push(at),
            }
        }
        self.lock(&parent, locks, Patience::Waits).await?;
        let scope = self.latest_scope();
        let (def, id) = (parent.clone(), unique.id);
        let find = move || {
            let transaction = scope.transaction.read();
            let unique = def.unique_key(id).expect("is a key of this definition");
            let (snapshot, own) = (&scope.snapshot, Some(&*transaction));
            for (at, partition, values) in wanted {
                let found = snapshot.lookup_unique(&def, &partition, unique, &values, own)?;
                if found == Lookup::Absent {
                    orphans.push(at);
                }
            }
            orphans.sort_unstable();
            Ok(orphans)
        };
        let orphans = blocking(find).await.map_err(from_datafusion)?;
        Ok(orphans
            .into_iter()
            .map(|at| referring[at].clone())
            .collect())
    }

    /// Does to the children of rows that went, or got another key, what their foreign key says.
    pub(super) async fn follow(
        &mut self,
        departure: Departure,
        left: &mut VecDeque<Departure>,
    ) -> Result<(), SqlError> {
        use ReferentialAction::{NoAction, Restrict};
        let Departure {
            parent,
            child,
            key,
            of,
        } = departure;
        let mut gone = Vec::new();
        let mut deleted: BTreeMap<Partition, Vec<Vec<Datum>>> = BTreeMap::new();
        let mut moved = Vec::new();
        for (partition, old, new) in of {
            match new {
                Some(_) if key.on_update == NoAction => gone.push((partition, old)),
                None if key.on_delete == NoAction => gone.push((partition, old)),
                Some(new) => moved.push((partition, old, new)),
                None => deleted.entry(partition).or_default().push(old),
            }
        }
        match self.is_deferred(child.id, &key) {
            _ if gone.is_empty() => {}
            true => self.put_off(&child, &parent, &key, Side::Parents, gone),
            false => self.check_gone(&child, &key, &gone).await?,
        }
        for (partition, keys) in deleted {
            for keys in keys.chunks(KEYS_MAX) {
                if key.on_delete == Restrict {
                    self.refuse_children(&parent, &child, &key, &partition, keys)
                        .await?;
                } else {
                    self.change_children(&parent, &child, &key, &partition, keys, None, left)
                        .await?;
                }
            }
        }
        for (partition, old, new) in moved {
            let keys = &[old];
            if key.on_update == Restrict {
                self.refuse_children(&parent, &child, &key, &partition, keys)
                    .await?;
            } else {
                self.change_children(&parent, &child, &key, &partition, keys, Some(&new), left)
                    .await?;
            }
        }
        Ok(())
    }

    /// 23503 when a row references one of some keys that parents had, unless another parent has it by now.
    pub(super) async fn check_gone(
        &mut self,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        keys: &Keys,
    ) -> Result<(), SqlError> {
        let catalog = self.catalog();
        let parent = parent_of(&catalog, key)?.0;
        let mut gone: BTreeMap<Partition, Vec<Vec<Datum>>> = BTreeMap::new();
        for (partition, values) in keys {
            if !self.parent_exists(&parent, key, partition, values).await? {
                let gone = gone.entry(partition.clone()).or_default();
                gone.push(values.clone());
            }
        }
        for (partition, keys) in gone {
            for keys in keys.chunks(KEYS_MAX) {
                self.refuse_children(&parent, child, key, &partition, keys)
                    .await?;
            }
        }
        Ok(())
    }

    /// 23503 when a row references one of some keys of one partition that no parent has any more.
    async fn refuse_children(
        &mut self,
        parent: &Arc<TableDef>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        keys: &[Vec<Datum>],
    ) -> Result<(), SqlError> {
        loop {
            let scope = self.latest_scope();
            let found = self
                .children(&scope, child, key, Side::Parents, partition, keys, Some(1))
                .await?;
            let Some(found) = found.into_iter().next() else {
                return Ok(());
            };
            // One who is taking it away is waited for.
            let row = found.version.row.clone();
            let locks = found.becomes(None).locks(child).into_iter();
            let locks = locks.map(|(row, _)| (row, LockMode::KeyShare)).collect();
            if !self.lock(child, locks, Patience::Waits).await? {
                return Err(still_referenced(parent, child, key, &row, keys));
            }
        }
    }

    /// Acts on the children of some keys of one partition; `new` is what the one key has become.
    #[allow(clippy::too_many_arguments)] // They say what happened to whose children.
    async fn change_children(
        &mut self,
        parent: &Arc<TableDef>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        keys: &[Vec<Datum>],
        new: Option<&[Datum]>,
        left: &mut VecDeque<Departure>,
    ) -> Result<(), SqlError> {
        use ReferentialAction::{Cascade, NoAction, Restrict, SetDefault, SetNull};
        let action = match new {
            None => key.on_delete,
            Some(_) => key.on_update,
        };
        for _ in 0..RETRIES_MAX {
            let scope = self.scope();
            let found = self
                .children(&scope, child, key, Side::Parents, partition, keys, None)
                .await?;
            let mut writes = Vec::with_capacity(found.len());
            for found in &found {
                let row = match (action, new) {
                    (Cascade, None) => None,
                    _ => {
                        let mut row = found.version.row.clone();
                        for (n, id) in key.columns.iter().enumerate() {
                            let at = child
                                .index_of(*id)
                                .expect("a key's column cannot be dropped");
                            let column = &child.columns[at];
                            row[at] = match (action, new) {
                                (Cascade, Some(new)) => {
                                    let parent_ty = parent
                                        .index_of(key.parent_columns[n])
                                        .map_or(column.ty, |at| parent.columns[at].ty);
                                    assign(
                                        new[n].clone(),
                                        parent_ty,
                                        column.ty,
                                        &column.name,
                                        Style::default(),
                                    )?
                                }
                                (SetDefault, _) => match &column.default {
                                    Some(sql) => {
                                        let default = parse_expression(sql)?;
                                        self.evaluate_as(&default, column.ty).await?
                                    }
                                    None => Datum::Null,
                                },
                                (SetNull | Cascade | NoAction | Restrict, _) => Datum::Null,
                            };
                        }
                        check_given(child, &row)?;
                        Some(row)
                    }
                };
                writes.push(found.becomes(row));
            }
            let rows = writes.iter_mut().filter_map(|write| write.new.as_mut());
            self.generate(child, rows).await?;
            if !self.lock_writes(&scope, child, found, &writes).await? {
                continue;
            }
            self.apply(child, &writes, left).await?;
            if action == SetDefault {
                // A row that had its default before refers to what has gone still, and did not change.
                let gone = keys.iter().map(|key| (partition.clone(), key.clone()));
                self.check_gone(child, key, &gone.collect()).await?;
            }
            if self.isolation().keeps_snapshot() {
                let latest = self.latest_scope();
                let unseen = self
                    .children(&latest, child, key, Side::Parents, partition, keys, Some(1))
                    .await?;
                if !unseen.is_empty() {
                    return Err(CommitError::Conflict.into());
                }
            }
            return Ok(());
        }
        Err(CommitError::Conflict.into())
    }

    async fn parent_exists(
        &self,
        parent: &Arc<TableDef>,
        key: &ForeignKeyDef,
        partition: &Partition,
        values: &[Datum],
    ) -> Result<bool, SqlError> {
        let Some(unique) = unique_of(parent, key) else {
            return Ok(false);
        };
        let at = |id: &ColumnId| key.parent_columns.iter().position(|other| other == id);
        let in_order = unique.columns.iter().filter_map(at);
        let values: Vec<Datum> = in_order.map(|at| values[at].clone()).collect();
        let (scope, def, id) = (self.latest_scope(), parent.clone(), unique.id);
        let partition = partition.clone();
        let find = move || {
            let unique = def.unique_key(id).expect("is a key of this definition");
            let transaction = scope.transaction.read();
            let (snapshot, transaction) = (&scope.snapshot, Some(&*transaction));
            snapshot.lookup_unique(&def, &partition, unique, &values, transaction)
        };
        let found = blocking(find).await.map_err(from_datafusion)?;
        Ok(found != Lookup::Absent)
    }

    /// The rows that reference some keys of one partition, which are values of the columns of that side.
    #[allow(clippy::too_many_arguments)] // They say whose children are looked for.
    pub(super) async fn children(
        &self,
        scope: &Arc<Scope>,
        child: &Arc<TableDef>,
        key: &ForeignKeyDef,
        side: Side,
        partition: &Partition,
        keys: &[Vec<Datum>],
        limit: Option<usize>,
    ) -> Result<Vec<Found>, SqlError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let key_types = match side {
            Side::Parents => parent_types(scope.snapshot.catalog(), child, key)?,
            Side::Children => types_of(child, &key.columns)?,
        };
        let (mut types, mut values, mut matches) = (Vec::new(), Vec::new(), Vec::new());
        let name = |id: &ColumnId| {
            let at = child
                .index_of(*id)
                .expect("a key's column cannot be dropped");
            quoted(&child.columns[at].name)
        };
        for tuple in keys {
            let mut equal = Vec::with_capacity(tuple.len());
            for ((value, ty), id) in tuple.iter().zip(&key_types).zip(&key.columns) {
                types.push(*ty);
                values.push(value.clone());
                equal.push(format!("{} = ${}", name(id), types.len()));
            }
            matches.push(format!("({})", equal.join(" AND ")));
        }
        let mut condition = matches.join(" OR ");
        if scope.access.sees_user(child) {
            types.push(ColumnType::Text);
            values.push(Datum::Text(partition.as_str().into()));
            condition = format!("({condition}) AND {USER} = ${}", types.len());
        }
        let from = parse_query(&format!(
            "SELECT 1 FROM {}.{}",
            quoted(&child.schema),
            quoted(&child.name)
        ))?;
        let ast::SetExpr::Select(select) = *from.body else {
            return Ok(Vec::new());
        };
        let given: Vec<_> = types.iter().map(|ty| Some(*ty)).collect();
        let plan = self.plan_found(
            child,
            &select.from[0],
            Some(parse_expression(&condition)?),
            Vec::new(),
            limit,
            &given,
            scope.snapshot.catalog(),
        )?;
        let (found, _) = self
            .find(child, &plan, scope.clone(), &types, &values)
            .await?;
        Ok(found)
    }
}

/// The parent of a foreign key, and its key that is referenced.
fn parent_of<'a>(
    catalog: &'a Catalog,
    key: &ForeignKeyDef,
) -> Result<(Arc<TableDef>, UniqueKey<'a>), SqlError> {
    let parent = catalog.table(&key.parent.0, &key.parent.1);
    let parent = parent.ok_or(CommitError::CatalogChanged)?;
    let unique = unique_of(parent, key).ok_or(CommitError::CatalogChanged)?;
    Ok((parent.clone(), unique))
}

fn unique_of<'a>(parent: &'a TableDef, key: &ForeignKeyDef) -> Option<UniqueKey<'a>> {
    let columns = &key.parent_columns;
    parent.referable_keys().find(|unique| {
        unique.columns.len() == columns.len()
            && unique.columns.iter().all(|id| columns.contains(id))
    })
}

/// A row's values of some columns; `None` when one is NULL.
fn values(table: &TableDef, columns: &[ColumnId], row: &[Datum]) -> Option<Vec<Datum>> {
    let values: Vec<Datum> = columns.iter().map(|id| value(table, *id, row)).collect();
    (!values.iter().any(Datum::is_null)).then_some(values)
}

fn value(table: &TableDef, column: ColumnId, row: &[Datum]) -> Datum {
    let at = table
        .index_of(column)
        .expect("a key's column cannot be dropped");
    row[at].clone()
}

/// A child's values as those of the parent's key, in that key's order; `None` when they cannot be.
fn in_key_order(
    key: &ForeignKeyDef,
    unique: UniqueKey<'_>,
    parent: &TableDef,
    child: &TableDef,
    values: &[Datum],
) -> Option<Vec<Datum>> {
    let value = |id: &ColumnId| {
        let at = key.parent_columns.iter().position(|other| other == id)?;
        let from = child.columns[child.index_of(key.columns[at])?].ty;
        let column = &parent.columns[parent.index_of(*id)?];
        // Not rounded: what the parent's type cannot be is not among its values.
        assign(
            values[at].clone(),
            from,
            precision::plain(column.ty),
            &column.name,
            Style::default(),
        )
        .ok()
    };
    unique.columns.iter().map(value).collect()
}

pub(super) fn no_parent(table: &TableDef, key: &ForeignKeyDef, values: &[Datum]) -> SqlError {
    let message = format!(
        "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
        table.name, key.name
    );
    SqlError::new(ErrorKind::ForeignKeyViolation, message)
        .detail(format!(
            "{} is not present in table \"{}\".",
            shown_key(table, &key.columns, values),
            key.parent.1
        ))
        .of_constraint(table, &key.name)
}

fn still_referenced(
    parent: &TableDef,
    child: &TableDef,
    key: &ForeignKeyDef,
    row: &[Datum],
    parents: &[Vec<Datum>],
) -> SqlError {
    let message = format!(
        "update or delete on table \"{}\" violates foreign key constraint \"{}\" on table \"{}\"",
        parent.name, key.name, child.name
    );
    let values: Vec<Datum> = key
        .columns
        .iter()
        .map(|id| value(child, *id, row))
        .collect();
    // The parent's numeric may have other digits behind the point.
    let is_it = |of: &&Vec<Datum>| of.iter().zip(&values).all(|(a, b)| is_same(a, b));
    let of_parent = parents.iter().find(is_it).unwrap_or(&values);
    SqlError::new(ErrorKind::ForeignKeyViolation, message)
        .detail(format!(
            "{} is still referenced from table \"{}\".",
            shown_key(parent, &key.parent_columns, of_parent),
            child.name
        ))
        .of_constraint(child, &key.name)
}

/// Whether two values are the same, or the same number.
fn is_same(a: &Datum, b: &Datum) -> bool {
    let number = |value: &Datum| match value {
        Datum::Number(number) => Decimal::of_number(number.as_ref()),
        Datum::Numeric(number) => Some(Decimal::from(*number)),
        _ => None,
    };
    a == b || number(a).is_some_and(|a| number(b) == Some(a))
}

fn parent_types(
    catalog: &Catalog,
    child: &TableDef,
    key: &ForeignKeyDef,
) -> Result<Vec<ColumnType>, SqlError> {
    let parent = if (&child.schema, &child.name) == (&key.parent.0, &key.parent.1) {
        child
    } else {
        let parent = catalog.table(&key.parent.0, &key.parent.1);
        parent.ok_or(CommitError::CatalogChanged)?.as_ref()
    };
    types_of(parent, &key.parent_columns)
}

fn types_of(table: &TableDef, columns: &[ColumnId]) -> Result<Vec<ColumnType>, SqlError> {
    let ty = |id: &ColumnId| Some(table.columns[table.index_of(*id)?].ty);
    let types: Option<Vec<ColumnType>> = columns.iter().map(ty).collect();
    types.ok_or_else(|| CommitError::CatalogChanged.into())
}
