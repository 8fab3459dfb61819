//! What functions make counts as memory of queries where it is large: from when it is made until the last that reads it lets go.
//!
//! Constants of a plan, which is copied while it is made, are never large: what would be one is computed when the plan runs.
//!
//! Does not: count the one value that is being made, and what is copied out of a result.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericByteArray, ListArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};
use bytes::Bytes;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::common::{config_err, exec_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use tidelog_storage::Datum;

use crate::error::{ErrorKind, SqlError};
use crate::functions::BYTES_MAX;

/// Up to here nothing is counted: batches of ordinary values are small, and soon gone.
const UNCOUNTED: usize = 1 << 20;

/// What Arrow's texts and arrays of one batch may have in all, which their offsets say.
const BATCH_MAX: usize = i32::MAX as usize;

/// Where functions find the memory that all queries share: among the options that they are given where a plan runs.
#[derive(Clone, Debug)]
pub(crate) struct QueryMemory(pub(crate) Arc<dyn MemoryPool>);

impl ConfigExtension for QueryMemory {
    const PREFIX: &'static str = "query_memory";
}

impl ExtensionOptions for QueryMemory {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    /// The same memory: there is nothing to be set.
    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        config_err!("there is no option {key} of the memory of queries")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}

/// The values that a function makes of a batch of rows.
pub(crate) struct Made<'a> {
    options: &'a ConfigOptions,
    bytes: usize,
    reservation: Option<MemoryReservation>,
}

impl<'a> Made<'a> {
    /// Nothing yet, by a function that is called with these options.
    pub(crate) fn new(options: &'a ConfigOptions) -> Made<'a> {
        Made {
            options,
            bytes: 0,
            reservation: None,
        }
    }

    /// Counts a value.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(crate) fn count(&mut self, value: &Datum) -> Result<()> {
        let bytes = size(value);
        self.bytes += bytes;
        if self.bytes <= UNCOUNTED {
            return Ok(());
        }
        if bytes > BYTES_MAX {
            let message = format!("invalid memory alloc request size {bytes}");
            let error = SqlError::new(ErrorKind::ProgramLimitExceeded, message);
            return Err(DataFusionError::External(Box::new(error)));
        }
        if self.bytes > BATCH_MAX {
            let what = "a function makes more than 2 GiB of some rows at once";
            return Err(DataFusionError::ResourcesExhausted(what.to_string()));
        }
        let Some(memory) = self.options.extensions.get::<QueryMemory>() else {
            return exec_err!("what is so large is no constant of a plan");
        };
        let reservation = self
            .reservation
            .get_or_insert_with(|| MemoryConsumer::new("what functions make").register(&memory.0));
        reservation.try_resize(self.bytes)
    }

    /// The array of the values, which counts while any of it is in use.
    pub(crate) fn kept(self, array: ArrayRef) -> Result<ArrayRef> {
        match self.reservation {
            Some(reservation) => kept(array, reservation),
            None => Ok(array),
        }
    }
}

/// About so many bytes of memory hold a value, beside those that every value has.
fn size(value: &Datum) -> usize {
    match value {
        Datum::Text(text) => text.len(),
        Datum::Bytea(bytes) => bytes.len(),
        Datum::Number(number) => number.as_ref().bytes().len(),
        Datum::Array(elements) | Datum::Shaped(_, elements) => {
            let own = size_of_val(elements.as_slice());
            own + elements.iter().map(size).sum::<usize>()
        }
        _ => 0,
    }
}

fn kept(array: ArrayRef, reservation: MemoryReservation) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8 => kept_bytes::<Utf8Type>(&array, reservation)?,
        DataType::Binary => kept_bytes::<BinaryType>(&array, reservation)?,
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let elements = kept(list.values().clone(), reservation)?;
            let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
            Arc::new(ListArray::try_new(item.clone(), offsets, elements, nulls)?)
        }
        // Only what is large in the end is worth it.
        _ => array,
    })
}

fn kept_bytes<T: ByteArrayType<Offset = i32>>(
    array: &ArrayRef,
    reservation: MemoryReservation,
) -> Result<ArrayRef> {
    let (offsets, values, nulls) = array.as_bytes::<T>().clone().into_parts();
    let values = Bytes::from_owner(Counted {
        values,
        _reservation: reservation,
    });
    let array = GenericByteArray::<T>::try_new(offsets, Buffer::from(values), nulls)?;
    Ok(Arc::new(array))
}

/// Bytes, and the memory that they count as.
struct Counted {
    values: Buffer,
    _reservation: MemoryReservation,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    #[test]
    fn large_values_count_while_they_are_in_use() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10 << 20));
        let mut options = ConfigOptions::new();
        options.extensions.insert(QueryMemory(pool.clone()));
        let large = "x".repeat(4 << 20);
        let mut made = Made::new(&options);
        made.count(&Datum::Text(large.clone())).unwrap();
        let array: ArrayRef = Arc::new(StringArray::from(vec![large.as_str()]));
        let array = made.kept(array).unwrap();
        assert_eq!(pool.reserved(), 4 << 20);
        assert_eq!(array.as_string::<i32>().value(0), large);
        let slice = array.slice(0, 1);
        drop(array);
        let mut more = Made::new(&options);
        more.count(&Datum::Text(large.clone())).unwrap();
        assert!(more.count(&Datum::Text(large)).is_err());
        drop(more);
        assert_eq!(pool.reserved(), 4 << 20);
        drop(slice);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn small_values_do_not() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1));
        let mut options = ConfigOptions::new();
        options.extensions.insert(QueryMemory(pool.clone()));
        let mut made = Made::new(&options);
        (0..8192).for_each(|_| made.count(&Datum::Text("x".repeat(100))).unwrap());
        assert_eq!(pool.reserved(), 0);
    }
}
