//! What sessions are doing: `pg_stat_activity`, `pg_blocking_pids`, which tells who keeps one from it, and
//! `pg_cancel_backend` and `pg_terminate_backend`, which end it.
//!
//! Owns: the list of the sessions that are shown. How a session's statement or connection is ended is told by who shows it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, ListArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int32Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use parking_lot::Mutex;
use tidelog_storage::{DatabaseId, RoleId};

use crate::error::{ErrorKind, SqlError};
use crate::functions::{Same, undefined};
use crate::locks::LockTable;
use crate::provider::Access;
use crate::session::{Login, Session, TransactionStatus};
use crate::text::datetime::now_micros;

/// What another session asks of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// That its statement ends.
    Cancel,
    /// That its connection ends.
    Terminate,
}

/// The sessions that are shown, by process id.
#[derive(Default)]
pub(crate) struct Activities(Mutex<BTreeMap<i32, Arc<Activity>>>);

/// Between which addresses a session's connection is.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The client's.
    pub client: SocketAddr,
    /// The server's.
    pub server: SocketAddr,
}

/// A session that is shown.
pub(crate) struct Activity {
    pub(crate) login: Arc<Login>,
    pub(crate) ends: Ends,
    pub(crate) began_us: i64,
    signal: Box<dyn Fn(Signal) + Send + Sync>,
    pub(crate) now: Mutex<Now>,
}

/// What a session is doing now.
#[derive(Clone)]
pub(crate) struct Now {
    pub(crate) application: Arc<str>,
    pub(crate) state: &'static str,
    /// The query string that runs, or ran last.
    pub(crate) query: Arc<str>,
    pub(crate) query_began_us: Option<i64>,
    pub(crate) transaction_began_us: Option<i64>,
    pub(crate) changed_us: i64,
}

/// Keeps a session in the list as long as it lives.
pub(crate) struct Shown {
    all: Arc<Activities>,
    activity: Arc<Activity>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.all.0.lock().remove(&self.activity.login.pid);
    }
}

impl Activities {
    /// Those that are there now.
    pub(crate) fn list(&self) -> Vec<Arc<Activity>> {
        self.0.lock().values().cloned().collect()
    }
}

impl Shown {
    /// Between which addresses its connection is.
    pub(crate) fn ends(&self) -> &Ends {
        &self.activity.ends
    }

    /// A statement of a query string begins.
    pub(crate) fn begins(&self, query: &Arc<str>, application: &str, transaction_us: i64) {
        let at = now_micros();
        let mut now = self.activity.now.lock();
        if &*now.application != application {
            now.application = application.into();
        }
        now.state = "active";
        now.query = query.clone();
        now.query_began_us = Some(at);
        now.transaction_began_us = Some(transaction_us);
        now.changed_us = at;
    }

    fn rests(&self, status: TransactionStatus) {
        let mut now = self.activity.now.lock();
        now.state = match status {
            TransactionStatus::Idle => "idle",
            TransactionStatus::InTransaction => "idle in transaction",
            TransactionStatus::Failed => "idle in transaction (aborted)",
        };
        if status == TransactionStatus::Idle {
            now.transaction_began_us = None;
        }
        now.changed_us = now_micros();
    }
}

impl Activities {
    /// The sessions that are in a database.
    pub(crate) fn of(&self, database: DatabaseId) -> Vec<Arc<Activity>> {
        let mut all = self.list();
        all.retain(|activity| activity.login.database == database);
        all
    }
}

impl Activity {
    /// Asks something of the session.
    pub(crate) fn ask(&self, signal: Signal) {
        (self.signal)(signal);
    }
}

impl Session {
    /// Shows the session in `pg_stat_activity` as long as it lives. `signal` is called when another one asks something of it.
    pub fn show(&mut self, ends: Ends, signal: impl Fn(Signal) + Send + Sync + 'static) {
        let at = now_micros();
        let login = self.login();
        let activity = Arc::new(Activity {
            login: login.clone(),
            ends,
            began_us: at,
            signal: Box::new(signal),
            now: Mutex::new(Now {
                application: self.application().into(),
                state: "idle",
                query: "".into(),
                query_began_us: None,
                transaction_began_us: None,
                changed_us: at,
            }),
        });
        let all = self.activities().clone();
        all.0.lock().insert(login.pid, activity.clone());
        self.set_shown(Shown { all, activity });
    }

    /// The session waits for its client: what it has no use for goes, and `pg_stat_activity` tells it.
    pub fn rests(&self) {
        self.live_snapshots().forget();
        if let Some(shown) = self.shown() {
            shown.rests(self.transaction_status());
        }
    }
}

/// Whether a function of this name is about another session.
pub(crate) fn is_one(name: &str) -> bool {
    matches!(
        name,
        "pg_blocking_pids" | "pg_cancel_backend" | "pg_terminate_backend"
    )
}

/// The function of this name, for a role.
pub(crate) fn function(
    name: &str,
    all: &Arc<Activities>,
    locks: &Arc<LockTable>,
    access: &Access,
) -> Option<Arc<ScalarUDF>> {
    let (name, signal, signatures) = match name {
        "pg_blocking_pids" => {
            return Some(Arc::new(ScalarUDF::from(BlockingPids {
                locks: Same(locks.clone()),
                signature: Signature::any(1, Volatility::Volatile),
            })));
        }
        "pg_cancel_backend" => (
            "pg_cancel_backend",
            Signal::Cancel,
            vec![TypeSignature::Any(1)],
        ),
        "pg_terminate_backend" => (
            "pg_terminate_backend",
            Signal::Terminate,
            vec![TypeSignature::Any(1), TypeSignature::Any(2)],
        ),
        _ => return None,
    };
    Some(Arc::new(ScalarUDF::from(Ask {
        name,
        signal,
        all: Same(all.clone()),
        role: access.role.as_ref().map(|role| role.id),
        superuser: access.superuser,
        signature: Signature::one_of(signatures, Volatility::Volatile),
    })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ask {
    name: &'static str,
    signal: Signal,
    all: Same<Activities>,
    role: Option<RoleId>,
    superuser: bool,
    signature: Signature,
}

impl Ask {
    /// Asks it of a session; `false` when there is none.
    fn ask(&self, pid: i32) -> std::result::Result<bool, SqlError> {
        let Some(activity) = self.all.0.0.lock().get(&pid).cloned() else {
            return Ok(false);
        };
        if !self.superuser && Some(activity.login.role.id) != self.role {
            let done = match self.signal {
                Signal::Cancel => "query is being canceled",
                Signal::Terminate => "process is being terminated",
            };
            let message =
                format!("must be a member of the role whose {done} or member of pg_signal_backend");
            return Err(SqlError::new(ErrorKind::InsufficientPrivilege, message));
        }
        (activity.signal)(self.signal);
        Ok(true)
    }
}

impl ScalarUDFImpl for Ask {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_numbers(self.name, types)?;
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pids = pids(&args)?;
        let asked = pids.iter().map(|pid| match pid {
            None => Ok(None),
            Some(pid) => (self.ask(pid).map(Some))
                .map_err(|error| DataFusionError::External(Box::new(error))),
        });
        let asked = asked.collect::<Result<BooleanArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(asked)))
    }
}

/// `pg_blocking_pids(pid)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct BlockingPids {
    locks: Same<LockTable>,
    signature: Signature,
}

impl ScalarUDFImpl for BlockingPids {
    fn name(&self) -> &str {
        "pg_blocking_pids"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_numbers(self.name(), types)?;
        let item = Field::new_list_field(DataType::Int32, true);
        Ok(DataType::List(Arc::new(item)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pids = pids(&args)?;
        let blocking = pids.iter().map(|pid| {
            let blocking = self.locks.0.blocking(pid?);
            Some(blocking.into_iter().map(Some).collect::<Vec<_>>())
        });
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(blocking);
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}

/// Refuses what is no number; bare strings are read as numbers before a function is called.
fn check_numbers(name: &str, types: &[DataType]) -> Result<()> {
    let is_number = |ty: &DataType| ty.is_integer() || ty.is_null() || *ty == DataType::Utf8;
    match types.iter().all(is_number) {
        true => Ok(()),
        false => Err(undefined(name, types)),
    }
}

/// The first argument's values as process ids.
fn pids(args: &ScalarFunctionArgs) -> Result<PrimitiveArray<Int32Type>> {
    let given = args.args[0].to_array(args.number_rows)?;
    Ok(cast(&given, &DataType::Int32)?.as_primitive().clone())
}
