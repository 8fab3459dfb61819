//! `nextval`, `currval`, `setval`, `lastval`, and what a session knows of the numbers that it drew.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use tidelog_storage::catalog::FIRST_USER_OID;
use tidelog_storage::datum::datum_at;
use tidelog_storage::{Catalog, DatumRef, SequenceDef, SequenceError, SequenceState, Store};

use crate::error::{ErrorKind, SqlError};

/// The numbers that a session drew last.
#[derive(Debug, Default)]
pub(crate) struct Drawn(Mutex<DrawnInner>);

#[derive(Debug, Default)]
struct DrawnInner {
    /// By sequence.
    values: HashMap<u32, i64>,
    /// The sequence of the last draw.
    last: Option<u32>,
}

impl Drawn {
    /// Draws a sequence's next number.
    pub(crate) fn draw(
        &self,
        store: &Store,
        sequence: &SequenceDef,
    ) -> std::result::Result<i64, SqlError> {
        let value = store
            .draw(sequence)
            .map_err(|error| failed(error, "nextval"))?;
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.values.insert(sequence.id, value);
        inner.last = Some(sequence.id);
        Ok(value)
    }

    /// Forgets what was drawn from the sequence that had this id before.
    pub(crate) fn forget(&self, id: u32) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.values.remove(&id);
        inner.last = inner.last.filter(|last| *last != id);
    }

    /// What was drawn from a sequence last was drawn from the one that takes its place.
    pub(crate) fn carry_over(&self, from: u32, to: u32) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = inner.values.get(&from).copied() {
            inner.values.insert(to, value);
        }
    }

    /// Forgets everything (DISCARD SEQUENCES).
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = DrawnInner::default();
    }
}

fn failed(error: SequenceError, function: &str) -> SqlError {
    match error {
        SequenceError::Exhausted { .. } => SqlError::new(
            ErrorKind::SequenceLimitExceeded,
            format!("{function}: {error}"),
        ),
        SequenceError::Storage(error) => error.into(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Op {
    Next,
    Current,
    Set,
    Last,
}

/// What the functions of one statement draw from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) store: Arc<Store>,
    pub(crate) drawn: Arc<Drawn>,
}

/// Whether a function of this name is one of them.
pub(crate) fn is_one(name: &str) -> bool {
    matches!(name, "nextval" | "currval" | "setval" | "lastval")
}

/// The function with this name.
pub(crate) fn function(
    name: &str,
    catalog: &Catalog,
    search_path: &[String],
    source: &Source,
) -> Option<Arc<ScalarUDF>> {
    let (op, arguments) = match name {
        "nextval" => (Op::Next, TypeSignature::Any(1)),
        "currval" => (Op::Current, TypeSignature::Any(1)),
        "setval" => (
            Op::Set,
            TypeSignature::OneOf(vec![TypeSignature::Any(2), TypeSignature::Any(3)]),
        ),
        "lastval" => (Op::Last, TypeSignature::Nullary),
        _ => return None,
    };
    Some(Arc::new(ScalarUDF::from(SequenceFunction {
        name: name.to_string(),
        op,
        known: Arc::new(Known {
            sequences: catalog.sequences.clone(),
            search_path: search_path.to_vec(),
            source: source.clone(),
        }),
        signature: Signature::new(arguments, Volatility::Volatile),
    })))
}

struct Known {
    sequences: BTreeMap<(String, String), Arc<SequenceDef>>,
    search_path: Vec<String>,
    source: Source,
}

struct SequenceFunction {
    name: String,
    op: Op,
    known: Arc<Known>,
    signature: Signature,
}

impl std::fmt::Debug for SequenceFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SequenceFunction").field(&self.name).finish()
    }
}

impl PartialEq for SequenceFunction {
    fn eq(&self, other: &SequenceFunction) -> bool {
        self.op == other.op && Arc::ptr_eq(&self.known, &other.known)
    }
}

impl Eq for SequenceFunction {}

impl Hash for SequenceFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.op.hash(state);
    }
}

impl SequenceFunction {
    fn sequence(&self, arg: DatumRef<'_>) -> std::result::Result<Arc<SequenceDef>, SqlError> {
        let missing = |name: &str| {
            SqlError::new(
                ErrorKind::UndefinedTable,
                format!("relation \"{name}\" does not exist"),
            )
        };
        let by_oid = |oid: i64| {
            let id = oid.checked_sub(i64::from(FIRST_USER_OID));
            let id = id.and_then(|id| u32::try_from(id).ok());
            let mut sequences = self.known.sequences.values();
            let found = sequences.find(|sequence| Some(sequence.id) == id);
            let found = found.filter(|sequence| self.sees(&sequence.schema).is_some());
            found.cloned().ok_or_else(|| {
                SqlError::new(
                    ErrorKind::UndefinedTable,
                    format!("could not open relation with OID {oid}"),
                )
            })
        };
        match arg {
            DatumRef::Int4(oid) => by_oid(oid.into()),
            DatumRef::Int8(oid) => by_oid(oid),
            DatumRef::Text(written) => {
                let parts = crate::system::functions::name_parts(written);
                let found = match parts.as_slice() {
                    [name] => self.known.search_path.iter().find_map(|schema| {
                        let key = (schema.clone(), name.clone());
                        self.known.sequences.get(&key)
                    }),
                    [schema, name] => self.sees(schema).and_then(|schema| {
                        let key = (schema.to_string(), name.clone());
                        self.known.sequences.get(&key)
                    }),
                    _ => None,
                };
                found.cloned().ok_or_else(|| missing(&parts.join(".")))
            }
            _ => Err(missing("")),
        }
    }

    /// The schema that a name in front of a sequence's means, if the session may see it.
    fn sees<'a>(&'a self, schema: &'a str) -> Option<&'a str> {
        crate::ddl::temp::resolved(&self.known.search_path, schema)
    }

    fn eval(&self, args: &[DatumRef<'_>]) -> std::result::Result<Option<i64>, SqlError> {
        if args.contains(&DatumRef::Null) {
            return Ok(None);
        }
        let Source { store, drawn } = &self.known.source;
        if self.op == Op::Last {
            let inner = drawn.0.lock().unwrap_or_else(PoisonError::into_inner);
            let last = inner.last.and_then(|id| inner.values.get(&id)).copied();
            return last.map(Some).ok_or_else(|| {
                SqlError::new(
                    ErrorKind::ObjectNotInPrerequisiteState,
                    "lastval is not yet defined in this session",
                )
            });
        }
        let sequence = self.sequence(args[0])?;
        match self.op {
            Op::Next => drawn.draw(store, &sequence).map(Some),
            Op::Current => {
                let inner = drawn.0.lock().unwrap_or_else(PoisonError::into_inner);
                let value = inner.values.get(&sequence.id).copied();
                value.map(Some).ok_or_else(|| {
                    SqlError::new(
                        ErrorKind::ObjectNotInPrerequisiteState,
                        format!(
                            "currval of sequence \"{}\" is not yet defined in this session",
                            sequence.name
                        ),
                    )
                })
            }
            _ => {
                let value = match args[1] {
                    DatumRef::Int2(v) => v.into(),
                    DatumRef::Int4(v) => v.into(),
                    DatumRef::Int8(v) => v,
                    _ => {
                        let message = "function setval does not exist for these arguments";
                        return Err(SqlError::new(ErrorKind::UndefinedFunction, message));
                    }
                };
                if !(sequence.min..=sequence.max).contains(&value) {
                    return Err(SqlError::new(
                        ErrorKind::NumericValueOutOfRange,
                        format!(
                            "setval: value {value} is out of bounds for sequence \"{}\" ({}..{})",
                            sequence.name, sequence.min, sequence.max
                        ),
                    ));
                }
                let called = !matches!(args.get(2), Some(DatumRef::Bool(false)));
                store
                    .set_sequence(&sequence, SequenceState { value, called })
                    .map_err(|error| failed(error, "setval"))?;
                if called {
                    let mut inner = drawn.0.lock().unwrap_or_else(PoisonError::into_inner);
                    inner.values.insert(sequence.id, value);
                }
                Ok(Some(value))
            }
        }
    }
}

impl ScalarUDFImpl for SequenceFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, _: &[datafusion::logical_expr::Expr]) -> Result<String> {
        Ok(self.name.clone())
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        // Once for every row, also where the arguments are the same in all.
        let arrays = args
            .args
            .iter()
            .map(|arg| arg.to_array(args.number_rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let mut values = Vec::with_capacity(args.number_rows);
        for row in 0..args.number_rows {
            let row = arrays.iter().map(|array| {
                datum_at(array.as_ref(), row).ok_or_else(|| {
                    DataFusionError::NotImplemented(format!("{} of this type", self.name))
                })
            });
            let row = row.collect::<Result<Vec<_>>>()?;
            let value = self
                .eval(&row)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            values.push(value);
        }
        let result = Int64Array::from(values);
        match result.len() {
            1 => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?)),
            _ => Ok(ColumnarValue::Array(Arc::new(result))),
        }
    }
}
