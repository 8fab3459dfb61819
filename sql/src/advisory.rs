//! Advisory locks: numbers that sessions lock for purposes of their own.
//!
//! They stand in the table of the row locks, so that a circle of waits is found also where some of them are for rows. A
//! session has two owners there: one for what it holds until it unlocks it, as often as it locked it, and one for what it
//! holds until its transaction ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::async_udf::{AsyncScalarUDF, AsyncScalarUDFImpl};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use tidelog_storage::{ColumnType, DatabaseId};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{ErrorKind, SqlError};
use crate::functions::{Same, undefined};
use crate::locks::{LockError, LockMode, LockTable, Locks, RowKey, advisory_key};
use crate::output;
use crate::session::Login;

/// What a session has of advisory locks.
#[derive(Debug)]
pub(crate) struct Advisory {
    /// Each has locks of its own.
    database: DatabaseId,
    held: Mutex<Held>,
    /// `lock_timeout` of the statement under way.
    timeout: parking_lot::Mutex<Option<Duration>>,
    /// What the client is still to be warned of.
    warnings: parking_lot::Mutex<Vec<SqlError>>,
}

#[derive(Debug)]
struct Held {
    session: Locks,
    transaction: Locks,
    /// How often the session has locked each key, shared and exclusively.
    counts: HashMap<RowKey, [usize; 2]>,
}

impl Advisory {
    /// None yet, for a session whose transactions are of this group of owners.
    pub(crate) fn new(table: &Arc<LockTable>, group: u64, login: &Login) -> Advisory {
        let pid = login.pid;
        Advisory {
            database: login.database,
            held: Mutex::new(Held {
                session: Locks::of(table, group, pid),
                transaction: Locks::of(table, group, pid),
                counts: HashMap::new(),
            }),
            timeout: parking_lot::Mutex::default(),
            warnings: parking_lot::Mutex::default(),
        }
    }

    /// How long the next statement waits for a lock.
    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) {
        *self.timeout.lock() = timeout;
    }

    /// What a transaction holds, for its end: the next has none.
    pub(crate) fn take_transaction(&self) -> Locks {
        let mut held = self.hold();
        let fresh = held.transaction.fresh();
        std::mem::replace(&mut held.transaction, fresh)
    }

    /// A mark in what the transaction holds, for `release_to`.
    pub(crate) fn mark(&self) -> usize {
        self.hold().transaction.mark()
    }

    /// Gives back what the transaction locked since the mark.
    pub(crate) fn release_to(&self, mark: usize) {
        self.hold().transaction.release_to(mark);
    }

    /// What the client is to be warned of, once.
    pub(crate) fn take_warnings(&self) -> Vec<SqlError> {
        std::mem::take(&mut *self.warnings.lock())
    }

    /// Whether the session holds any beyond its transaction.
    pub(crate) fn is_held(&self) -> bool {
        !self.hold().counts.is_empty()
    }

    /// Gives back all that the session holds beyond its transaction.
    pub(crate) fn unlock_all(&self) {
        let mut held = self.hold();
        held.counts.clear();
        held.session.release_to(0);
    }

    fn hold(&self) -> MutexGuard<'_, Held> {
        match self.held.try_lock() {
            Ok(held) => held,
            // Another row of the same statement is waiting for a lock.
            Err(_) => tokio::task::block_in_place(|| self.held.blocking_lock()),
        }
    }
}

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Lock,
    Try,
    Unlock,
    UnlockAll,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    name: &'static str,
    act: Act,
    shared: bool,
    of_transaction: bool,
}

const fn kind(name: &'static str, act: Act, shared: bool, of_transaction: bool) -> Kind {
    Kind {
        name,
        act,
        shared,
        of_transaction,
    }
}

const KINDS: [Kind; 11] = [
    kind("pg_advisory_lock", Act::Lock, false, false),
    kind("pg_advisory_lock_shared", Act::Lock, true, false),
    kind("pg_advisory_xact_lock", Act::Lock, false, true),
    kind("pg_advisory_xact_lock_shared", Act::Lock, true, true),
    kind("pg_try_advisory_lock", Act::Try, false, false),
    kind("pg_try_advisory_lock_shared", Act::Try, true, false),
    kind("pg_try_advisory_xact_lock", Act::Try, false, true),
    kind("pg_try_advisory_xact_lock_shared", Act::Try, true, true),
    kind("pg_advisory_unlock", Act::Unlock, false, false),
    kind("pg_advisory_unlock_shared", Act::Unlock, true, false),
    kind("pg_advisory_unlock_all", Act::UnlockAll, false, false),
];

/// The type of the arguments of such a function, of which there are so many.
pub(crate) fn argument(count: usize) -> ColumnType {
    match count {
        1 => ColumnType::Int8,
        _ => ColumnType::Int4,
    }
}

/// Whether a function of this name is about advisory locks.
pub(crate) fn is_one(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == name)
}

/// The function of this name, for a session.
pub(crate) fn function(name: &str, advisory: &Arc<Advisory>) -> Option<Arc<ScalarUDF>> {
    let kind = *KINDS.iter().find(|kind| kind.name == name)?;
    let signature = match kind.act {
        Act::UnlockAll => Signature::nullary(Volatility::Volatile),
        _ => Signature::one_of(
            vec![TypeSignature::Any(1), TypeSignature::Any(2)],
            Volatility::Volatile,
        ),
    };
    let function = Function {
        kind,
        advisory: Same(advisory.clone()),
        signature,
    };
    Some(Arc::new(match kind.act {
        Act::Lock => AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf(),
        _ => ScalarUDF::from(function),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    advisory: Same<Advisory>,
    signature: Signature,
}

impl Function {
    fn mode(&self) -> LockMode {
        match self.kind.shared {
            true => LockMode::Share,
            false => LockMode::Update,
        }
    }

    /// The key of each row; one number is of 64 bits, two are of 32 each. NULL locks nothing.
    fn keys(&self, args: &ScalarFunctionArgs) -> Result<Vec<Option<RowKey>>> {
        let options = CastOptions {
            safe: false,
            ..CastOptions::default()
        };
        let numbers = args.args.iter().map(|arg| {
            let array = arg.to_array(args.number_rows)?;
            Ok(cast_with_options(&array, &DataType::Int64, &options)?)
        });
        let numbers = numbers.collect::<Result<Vec<ArrayRef>>>()?;
        let value = |at: usize, row: usize| {
            let array = numbers[at].as_primitive::<Int64Type>();
            array.is_valid(row).then(|| array.value(row))
        };
        let database = self.advisory.0.database;
        let key = |row: usize| -> Result<Option<RowKey>> {
            if numbers.len() == 1 {
                return Ok(value(0, row).map(|key| advisory_key(database, 1, key)));
            }
            let (Some(high), Some(low)) = (value(0, row), value(1, row)) else {
                return Ok(None);
            };
            let (Ok(high), Ok(low)) = (i32::try_from(high), i32::try_from(low)) else {
                let message = "integer out of range";
                let error = SqlError::new(ErrorKind::NumericValueOutOfRange, message);
                return Err(DataFusionError::External(Box::new(error)));
            };
            let both = i64::from(high) << 32 | i64::from(low.cast_unsigned());
            Ok(Some(advisory_key(database, 2, both)))
        };
        (0..args.number_rows).map(key).collect()
    }

    fn count(&self, held: &mut Held, key: &RowKey) {
        if !self.kind.of_transaction {
            let counts = held.counts.entry(key.clone()).or_default();
            counts[usize::from(!self.kind.shared)] += 1;
        }
    }

    fn try_lock(&self, key: &RowKey) -> bool {
        let mut held = self.advisory.0.hold();
        let locks = match self.kind.of_transaction {
            true => &mut held.transaction,
            false => &mut held.session,
        };
        let locked = locks.try_lock(key, self.mode());
        if locked {
            self.count(&mut held, key);
        }
        locked
    }

    /// Whether the session had locked it so; a warning where it had not.
    fn unlock(&self, key: &RowKey) -> bool {
        let unlocked = self.unlocked(key);
        if !unlocked {
            let lock = match self.kind.shared {
                true => "ShareLock",
                false => "ExclusiveLock",
            };
            let message = format!("you don't own a lock of type {lock}");
            let warning = SqlError::new(ErrorKind::Warning, message);
            self.advisory.0.warnings.lock().push(warning);
        }
        unlocked
    }

    fn unlocked(&self, key: &RowKey) -> bool {
        let held = &mut *self.advisory.0.hold();
        let Some(counts) = held.counts.get_mut(key) else {
            return false;
        };
        let own = &mut counts[usize::from(!self.kind.shared)];
        let Some(left) = own.checked_sub(1) else {
            return false;
        };
        *own = left;
        match *counts {
            [0, 0] => {
                held.counts.remove(key);
                held.session.release(key);
            }
            [_, 0] => held.session.weaken(key, LockMode::Share),
            _ => {}
        }
        true
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        // Bare strings are read as numbers before it is called.
        let is_number = |ty: &DataType| ty.is_integer() || ty.is_null() || *ty == DataType::Utf8;
        if !types.iter().all(is_number) {
            return Err(undefined(self.name(), types));
        }
        Ok(match self.kind.act {
            Act::Lock | Act::UnlockAll => DataType::Utf8,
            Act::Try | Act::Unlock => DataType::Boolean,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = args
            .arg_fields
            .iter()
            .map(|field| field.data_type().clone());
        let ty = self.return_type(&types.collect::<Vec<_>>())?;
        Ok(Arc::new(match self.kind.act {
            Act::Lock | Act::UnlockAll => output::void(self.name()),
            Act::Try | Act::Unlock => Field::new(self.name(), ty, true),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let done: BooleanArray = match self.kind.act {
            Act::UnlockAll => {
                self.advisory.0.unlock_all();
                let void = StringArray::from(vec![""; args.number_rows]);
                return Ok(ColumnarValue::Array(Arc::new(void)));
            }
            Act::Lock => {
                let message = format!("{} waits, so it is not called but awaited", self.name());
                return Err(DataFusionError::Internal(message));
            }
            Act::Try => {
                let keys = self.keys(&args)?.into_iter();
                keys.map(|key| key.map(|key| self.try_lock(&key))).collect()
            }
            Act::Unlock => {
                let keys = self.keys(&args)?.into_iter();
                keys.map(|key| key.map(|key| self.unlock(&key))).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(done)))
    }
}

#[async_trait]
impl AsyncScalarUDFImpl for Function {
    async fn invoke_async_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let timeout = *self.advisory.0.timeout.lock();
        let keys = self.keys(&args)?;
        for key in keys.iter().flatten() {
            let mut held = self.advisory.0.held.lock().await;
            let locks = match self.kind.of_transaction {
                true => &mut held.transaction,
                false => &mut held.session,
            };
            let locked = locks
                .lock_all(&[(key.clone(), self.mode())], false, timeout)
                .await;
            locked.map_err(|error| DataFusionError::External(Box::new(not_locked(error))))?;
            self.count(&mut held, key);
        }
        // PostgreSQL's void is shown as nothing.
        let void = keys.iter().map(|key| key.as_ref().map(|_| ""));
        Ok(ColumnarValue::Array(Arc::new(StringArray::from_iter(void))))
    }
}

fn not_locked(error: LockError) -> SqlError {
    match error {
        LockError::Deadlock(pids) => crate::locking::deadlock(&pids),
        LockError::Timeout | LockError::Busy => SqlError::new(
            ErrorKind::LockNotAvailable,
            "canceling statement due to lock timeout",
        ),
    }
}
