//! The dimensions of arrays, and Arrow arrays of values that may have several.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};

/// PostgreSQL's limit of an array's dimensions.
pub const DIMENSIONS_MAX: usize = 6;

/// PostgreSQL's limit of an array's elements.
pub const ELEMENTS_MAX: i64 = 134_217_727;

/// One dimension of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// How many elements, or arrays, it has; at least one.
    pub length: u32,
    /// The subscript of the first.
    pub lower: i32,
}

impl Dimension {
    /// The subscript of the last.
    pub fn upper(self) -> i64 {
        i64::from(self.lower) + i64::from(self.length) - 1
    }
}

/// The dimensions of an array that has several, or whose subscripts do not begin at 1.
///
/// Its bytes sort as PostgreSQL sorts arrays of equal elements: their number as a byte, the lengths, then the lower bounds, as big-endian
/// words, of which the bounds have their sign bits flipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape(Vec<u8>);

/// A shape, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeRef<'a>(&'a [u8]);

impl Shape {
    /// The shape of an array of these dimensions; `None` for one dimension that begins at 1, and for none.
    pub fn new(dimensions: &[Dimension]) -> Option<Shape> {
        match dimensions {
            [] | [Dimension { lower: 1, .. }] => None,
            of => Some(Shape(bytes(of))),
        }
    }

    /// The shape, borrowed.
    pub fn as_ref(&self) -> ShapeRef<'_> {
        ShapeRef(&self.0)
    }
}

/// How arrays of equal elements in these dimensions stand to each other.
pub fn compare_shapes(a: &[Dimension], b: &[Dimension]) -> Ordering {
    bytes(a).cmp(&bytes(b))
}

/// Dimensions as a shape's bytes.
pub(crate) fn bytes(dimensions: &[Dimension]) -> Vec<u8> {
    let count = u8::try_from(dimensions.len()).expect("arrays have six dimensions at most");
    let mut bytes = vec![count];
    bytes.extend((dimensions.iter()).flat_map(|of| of.length.to_be_bytes()));
    bytes.extend((dimensions.iter()).flat_map(|of| (of.lower ^ i32::MIN).to_be_bytes()));
    bytes
}

impl<'a> ShapeRef<'a> {
    /// The shape at the start of some bytes, and what follows it; `None` where there is none.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(ShapeRef<'a>, &'a [u8])> {
        let count = usize::from(*bytes.first()?);
        let (shape, rest) = bytes.split_at_checked(1 + 8 * count)?;
        ((1..=DIMENSIONS_MAX).contains(&count)).then_some((ShapeRef(shape), rest))
    }

    /// The shape in an Arrow array.
    pub(super) fn of_array(bytes: &'a [u8]) -> ShapeRef<'a> {
        ShapeRef(bytes)
    }

    /// Its bytes, which sort as PostgreSQL sorts arrays of equal elements.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// The dimensions, the outermost first.
    pub fn dimensions(self) -> Vec<Dimension> {
        let words: Vec<u32> = (self.0.get(1..).unwrap_or_default().chunks_exact(4))
            .map(|word| u32::from_be_bytes(word.try_into().expect("a word has four bytes")))
            .collect();
        let (lengths, lowers) = words.split_at(words.len() / 2);
        let dimension = |(length, lower): (&u32, &u32)| Dimension {
            length: *length,
            lower: lower.cast_signed() ^ i32::MIN,
        };
        lengths.iter().zip(lowers).map(dimension).collect()
    }

    /// The shape, owned.
    pub fn to_owned(self) -> Shape {
        Shape(self.0.to_vec())
    }
}

/// The Arrow type of arrays of any shape: a list of the elements, row by row, and the shape where it is no plain one.
pub fn shaped_type(elements: DataType) -> DataType {
    DataType::Struct(fields(elements))
}

pub(super) fn fields(elements: DataType) -> Fields {
    let of = |name, ty| Field::new(name, ty, true);
    vec![of(ELEMENTS, elements), of(SHAPE, DataType::Binary)].into()
}

const ELEMENTS: &str = "elements";
const SHAPE: &str = "shape";

/// The Arrow type of the elements' list of such a type; `None` for any other type.
pub fn elements_type(arrow: &DataType) -> Option<&DataType> {
    match arrow {
        DataType::Struct(fields) => match fields.as_ref() {
            [elements, shape]
                if elements.name() == ELEMENTS
                    && shape.name() == SHAPE
                    && matches!(elements.data_type(), DataType::List(_)) =>
            {
                Some(elements.data_type())
            }
            _ => None,
        },
        _ => None,
    }
}

/// The Arrow type of arrays of any shape that has the elements of arrays of this type; `None` for what is no type of arrays.
pub fn shaped_of(arrays: &DataType) -> Option<DataType> {
    match arrays {
        DataType::List(_) => Some(shaped_type(arrays.clone())),
        shaped => elements_type(shaped).map(|_| shaped.clone()),
    }
}

/// The elements of arrays of any shape, without their shapes; `None` for other arrays.
pub fn flat(array: &dyn Array) -> Option<ListArray> {
    elements_type(array.data_type())?;
    let shaped = array.as_any().downcast_ref::<StructArray>()?;
    let lists = shaped.column(0).as_any().downcast_ref::<ListArray>()?;
    // Where the whole is NULL the parts are.
    Some(lists.clone())
}

/// The shapes of such arrays.
pub(super) fn shapes(array: &StructArray) -> &BinaryArray {
    let shapes = array.column(1).as_any().downcast_ref::<BinaryArray>();
    shapes.expect("the array's type says so")
}

/// Arrays of other elements, in the shapes that they have.
pub fn with_elements(shaped: &StructArray, elements: ListArray) -> ArrayRef {
    Arc::new(StructArray::new(
        fields(elements.data_type().clone()),
        vec![Arc::new(elements), shaped.column(1).clone()],
        shaped.nulls().cloned(),
    ))
}

/// Arrays of one dimension that begin at 1 as such of any shape.
pub fn shaped(lists: &ListArray) -> ArrayRef {
    Arc::new(StructArray::new(
        fields(lists.data_type().clone()),
        vec![
            Arc::new(lists.clone()),
            Arc::new(BinaryArray::new_null(lists.len())),
        ],
        lists.nulls().cloned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(of: &[(u32, i32)]) -> Vec<Dimension> {
        let dimension = |(length, lower): &(u32, i32)| Dimension {
            length: *length,
            lower: *lower,
        };
        of.iter().map(dimension).collect()
    }

    #[test]
    fn shapes_come_back_and_sort_as_in_postgresql() {
        let sorted = [
            dimensions(&[(2, -1)]),
            dimensions(&[(2, 0)]),
            dimensions(&[(2, 3)]),
            dimensions(&[(1, 1), (2, 1)]),
            dimensions(&[(2, 1), (1, 1)]),
            dimensions(&[(2, 1), (1, 2)]),
            dimensions(&[(1, 1), (1, 1), (2, i32::MIN)]),
        ];
        for of in &sorted {
            let shape = Shape::new(of).unwrap();
            assert_eq!(shape.as_ref().dimensions(), *of);
            let stored = [shape.as_ref().bytes(), b"rest"].concat();
            let (read, rest) = ShapeRef::read(&stored).unwrap();
            assert_eq!((read, rest), (shape.as_ref(), &b"rest"[..]));
        }
        assert!(sorted.is_sorted_by(|a, b| compare_shapes(a, b).is_lt()));
        assert_eq!(Shape::new(&dimensions(&[(5, 1)])), None);
        assert_eq!(ShapeRef::read(&[7; 60]), None);
    }
}
