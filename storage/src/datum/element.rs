//! Types of array elements, and values of arrays.

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::{
    ColumnType, Datum, DatumRef, EnumType, IntervalModifier, PrintedType, RegType, datum_at,
};

/// Declares [`ElementType`]: every column type but an array.
macro_rules! element_types {
    ($($name:ident $(($field:ident: $ty:ty))?,)*) => {
        /// The type of an array's elements: any type of a column but an array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(remote = "Self")]
        #[allow(missing_docs)]
        pub enum ElementType {
            $($name $(($ty))?,)*
        }

        impl From<ElementType> for ColumnType {
            fn from(element: ElementType) -> ColumnType {
                match element {
                    $(ElementType::$name $(($field))? => ColumnType::$name $(($field))?,)*
                }
            }
        }

        impl ColumnType {
            /// The type as one of an array's elements; `None` for an array.
            pub fn as_element(self) -> Option<ElementType> {
                match self {
                    $(ColumnType::$name $(($field))? => Some(ElementType::$name $(($field))?),)*
                    ColumnType::Array(_) | ColumnType::Shaped(_) => None,
                }
            }
        }
    };
}

element_types! {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric(shape: Option<(u8, i8)>),
    Text,
    Varchar(length: Option<u32>),
    Bpchar(length: Option<u32>),
    Name,
    Char,
    Oid,
    Regproc,
    Reg(of: RegType),
    Bit(length: Option<u32>),
    Varbit(length: Option<u32>),
    Bool,
    Bytea,
    Uuid,
    Date,
    Time(digits: Option<u8>),
    TimeTz(digits: Option<u8>),
    Timestamp(digits: Option<u8>),
    TimestampTz(digits: Option<u8>),
    Interval(kept: Option<IntervalModifier>),
    Json,
    Jsonb,
    Printed(of: PrintedType),
    Enum(of: EnumType),
}

impl ColumnType {
    /// The type of arrays of this type; `None` when it is one.
    pub fn array(self) -> Option<ColumnType> {
        self.as_element().map(ColumnType::Array)
    }

    /// The type of what gathers values of this type: of arrays of it, or of arrays with a dimension more.
    pub fn array_of(self) -> Option<ColumnType> {
        let more = self.elements().map(ColumnType::Shaped);
        more.or_else(|| self.array())
    }

    /// The type of arrays of this type, of any shape; `None` when it is an array.
    pub fn shaped(self) -> Option<ColumnType> {
        self.as_element().map(ColumnType::Shaped)
    }
}

/// The elements of an array value, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub struct Elements<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Owned(&'a [Datum]),
    /// The elements from one index of an Arrow array to another.
    Arrow(&'a dyn Array, usize, usize),
    /// As a record has them, checked.
    Stored(ElementType, &'a [u8]),
}

impl<'a> Elements<'a> {
    /// The elements of an array value.
    pub fn owned(values: &'a [Datum]) -> Elements<'a> {
        Elements(Source::Owned(values))
    }

    pub(super) fn arrow(values: &'a dyn Array, start: usize, end: usize) -> Elements<'a> {
        Elements(Source::Arrow(values, start, end))
    }

    /// Elements in the bytes of a record, which `record::read_array` has passed once.
    pub(crate) fn stored(ty: ElementType, bytes: &'a [u8]) -> Elements<'a> {
        Elements(Source::Stored(ty, bytes))
    }

    /// How many there are.
    pub fn len(self) -> usize {
        match self.0 {
            Source::Owned(values) => values.len(),
            Source::Arrow(_, start, end) => end - start,
            Source::Stored(_, bytes) => crate::record::array_length(bytes),
        }
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Hands on one element after the other; one that is of no type that a column has as `None`.
    pub fn for_each(self, mut put: impl FnMut(Option<DatumRef<'a>>)) {
        match self.0 {
            Source::Owned(values) => values.iter().for_each(|value| put(Some(value.as_ref()))),
            Source::Arrow(values, start, end) => {
                (start..end).for_each(|index| put(datum_at(values, index)));
            }
            Source::Stored(ty, bytes) => {
                crate::record::read_array(ty, bytes, &mut |value| put(Some(value)))
                    .expect("the bytes were checked when the row was read");
            }
        }
    }

    /// The element at an index; `None` behind the last.
    pub fn get(self, index: usize) -> Option<DatumRef<'a>> {
        if index >= self.len() {
            return None;
        }
        match self.0 {
            Source::Owned(values) => values.get(index).map(Datum::as_ref),
            Source::Arrow(values, start, _) => datum_at(values, start + index),
            Source::Stored(..) => {
                let (mut at, mut found) = (0, None);
                self.for_each(|value| {
                    if at == index {
                        found = value;
                    }
                    at += 1;
                });
                found
            }
        }
    }

    /// The elements, owned.
    pub fn to_vec(self) -> Vec<Datum> {
        let mut values = Vec::with_capacity(self.len());
        self.for_each(|value| values.push(value.map_or(Datum::Null, DatumRef::to_owned)));
        values
    }
}

impl PartialEq for Elements<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.to_vec() == other.to_vec()
    }
}
