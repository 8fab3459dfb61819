//! Arrays of any shape: subscripts and slices, assignments to them, and arrays that are made of others; after PostgreSQL's
//! arrayfuncs.c and array_userfuncs.c.

use tidelog_storage::datum::{DIMENSIONS_MAX, ELEMENTS_MAX};
use tidelog_storage::{Datum, DatumRef, Dimension, Elements};

use super::integer;
use crate::error::{ErrorKind, SqlError};
use crate::text::array::{check_depth, check_size};

/// An array's elements, row by row, and its dimensions, the outermost first.
pub(super) struct Parts<'a> {
    pub(super) dimensions: Vec<Dimension>,
    pub(super) elements: Option<Elements<'a>>,
}

impl<'a> Parts<'a> {
    /// Of an array; of NULL those of an array without elements.
    pub(super) fn of(array: DatumRef<'a>) -> Parts<'a> {
        Parts {
            dimensions: array.dimensions(),
            elements: array.elements(),
        }
    }

    fn values(&self) -> Vec<Datum> {
        self.elements.map(Elements::to_vec).unwrap_or_default()
    }
}

/// What bounds a slice in one dimension; `None` for one that is left out.
pub(super) type Bounds = (Option<i64>, Option<i64>);

fn subscript_error(message: &str) -> SqlError {
    SqlError::new(ErrorKind::ArraySubscriptError, message)
}

/// Where an element stands among all, row by row; `None` when it is outside.
fn place(dimensions: &[Dimension], subscripts: &[i64]) -> Option<usize> {
    if dimensions.is_empty() || dimensions.len() != subscripts.len() {
        return None;
    }
    let mut within = dimensions.iter().zip(subscripts);
    within.try_fold(0, |place, (of, subscript)| {
        let length = of.length as usize;
        let at = subscript.checked_sub(i64::from(of.lower))?;
        let at = usize::try_from(at).ok().filter(|at| *at < length)?;
        Some(place * length + at)
    })
}

/// `array[1][2]`
pub(super) fn element<'a>(array: &Parts<'a>, subscripts: &[i64]) -> DatumRef<'a> {
    let at = place(&array.dimensions, subscripts);
    let element = at.and_then(|at| array.elements?.get(at));
    element.unwrap_or(DatumRef::Null)
}

/// The places of a box of elements among all, row by row: in each dimension from one index, so many.
fn places(dimensions: &[Dimension], within: &[(usize, usize)]) -> Vec<usize> {
    let mut places = vec![0];
    for (of, (from, count)) in dimensions.iter().zip(within) {
        let rows = places.iter().map(|row| row * of.length as usize + from);
        places = rows.flat_map(|first| first..first + count).collect();
    }
    places
}

/// Whether bounds lie within a dimension, and from which index on so many elements do.
fn within(of: Dimension, lower: i64, upper: i64) -> Option<(usize, usize)> {
    let is_within = lower >= i64::from(of.lower) && upper <= of.upper();
    let from = usize::try_from(lower.checked_sub(of.lower.into())?).ok();
    let count = usize::try_from(upper.checked_sub(lower)?.checked_add(1)?).ok();
    from.zip(count).filter(|_| is_within)
}

/// `array[1:2][3:4]`, whose subscripts begin at 1.
pub(super) fn slice(array: &Parts<'_>, bounds: &[Bounds]) -> Datum {
    let none = || Datum::Array(Vec::new());
    if array.dimensions.len() < bounds.len() {
        return none();
    }
    let mut taken = Vec::with_capacity(array.dimensions.len());
    for (at, of) in array.dimensions.iter().enumerate() {
        let (lower, upper) = bounds.get(at).copied().unwrap_or_default();
        let first = lower.unwrap_or(i64::MIN).max(of.lower.into());
        let last = upper.unwrap_or(i64::MAX).min(of.upper());
        match within(*of, first, last) {
            Some(part @ (_, 1..)) => taken.push(part),
            _ => return none(),
        }
    }
    let Some(elements) = array.elements else {
        return none();
    };
    let all = elements.to_vec();
    let places = places(&array.dimensions, &taken).into_iter();
    let values = places.filter_map(|at| all.get(at).cloned()).collect();
    let dimension = |(_, count): &(usize, usize)| Dimension {
        length: u32::try_from(*count).unwrap_or(u32::MAX),
        lower: 1,
    };
    let dimensions: Vec<_> = taken.iter().map(dimension).collect();
    Datum::of_elements(&dimensions, values)
}

/// A bound as one that a dimension has.
fn bound(subscript: i64) -> Result<i32, SqlError> {
    i32::try_from(subscript).map_err(|_| {
        let message = "integer out of range";
        SqlError::new(ErrorKind::NumericValueOutOfRange, message)
    })
}

fn checked_length(length: i64) -> Result<u32, SqlError> {
    match u32::try_from(length) {
        Ok(length) if i64::from(length) <= ELEMENTS_MAX => Ok(length),
        _ => {
            let message = format!("array size exceeds the maximum allowed ({ELEMENTS_MAX})");
            Err(SqlError::new(ErrorKind::ProgramLimitExceeded, message))
        }
    }
}

/// An array with another value at subscripts. One of one dimension grows to reach them, with NULLs between.
pub(super) fn assigned(
    array: &Parts<'_>,
    subscripts: &[i64],
    value: DatumRef<'_>,
) -> Result<Datum, SqlError> {
    check_depth(subscripts.len())?;
    let mut dimensions = array.dimensions.clone();
    if dimensions.is_empty() {
        for subscript in subscripts {
            let lower = bound(*subscript)?;
            dimensions.push(Dimension { length: 1, lower });
        }
        check_size(&dimensions)?;
        return Ok(Datum::of_elements(&dimensions, vec![value.to_owned()]));
    }
    if dimensions.len() != subscripts.len() {
        return Err(subscript_error("wrong number of array subscripts"));
    }
    let mut values = array.values();
    if let ([of], [subscript]) = (dimensions.as_mut_slice(), subscripts) {
        reach(of, &mut values, *subscript, *subscript)?;
    }
    match place(&dimensions, subscripts) {
        Some(at) => values[at] = value.to_owned(),
        None => return Err(subscript_error("array subscript out of range")),
    }
    Ok(Datum::of_elements(&dimensions, values))
}

/// Makes an array of one dimension long enough for what lies between two subscripts.
fn reach(
    of: &mut Dimension,
    values: &mut Vec<Datum>,
    first: i64,
    last: i64,
) -> Result<(), SqlError> {
    let before = i64::from(of.lower).saturating_sub(first).max(0);
    let behind = last.saturating_sub(of.upper()).max(0);
    if before == 0 && behind == 0 {
        return Ok(());
    }
    let length = before
        .saturating_add(behind)
        .saturating_add(of.length.into());
    of.length = checked_length(length)?;
    of.lower = bound(first.min(of.lower.into()))?;
    check_size(&[*of])?;
    let nulls = usize::try_from(before).unwrap_or(0);
    values.splice(0..0, std::iter::repeat_n(Datum::Null, nulls));
    values.resize(of.length as usize, Datum::Null);
    Ok(())
}

/// An array with a slice that has the elements of another array, as many as it takes.
pub(super) fn slice_assigned(
    array: &Parts<'_>,
    bounds: &[Bounds],
    source: &Parts<'_>,
) -> Result<Datum, SqlError> {
    check_depth(bounds.len())?;
    let crossed = || subscript_error("upper bound cannot be less than lower bound");
    let mut dimensions = array.dimensions.clone();
    let mut given = source.values();
    let enough = |wanted: usize, given: &[Datum]| match wanted <= given.len() {
        true => Ok(()),
        false => Err(subscript_error("source array too small")),
    };
    if dimensions.is_empty() {
        for bounds in bounds {
            let (Some(lower), Some(upper)) = bounds else {
                let detail = "When assigning to a slice of an empty array value, slice boundaries must be fully specified.";
                let message = "array slice subscript must provide both boundaries";
                return Err(subscript_error(message).detail(detail));
            };
            let length = checked_length(upper.saturating_sub(*lower).saturating_add(1))?;
            let lower = bound(*lower)?;
            dimensions.push(Dimension { length, lower });
        }
        check_size(&dimensions)?;
        let wanted = dimensions.iter().map(|of| of.length as usize).product();
        enough(wanted, &given)?;
        given.truncate(wanted);
        return Ok(Datum::of_elements(&dimensions, given));
    }
    if dimensions.len() < bounds.len() {
        return Err(subscript_error("wrong number of array subscripts"));
    }
    let mut values = array.values();
    let is_single = dimensions.len() == 1;
    let mut taken = Vec::with_capacity(dimensions.len());
    for (at, of) in dimensions.iter_mut().enumerate() {
        let (lower, upper) = bounds.get(at).copied().unwrap_or_default();
        let lower = lower.unwrap_or(of.lower.into());
        let upper = upper.unwrap_or(of.upper());
        if lower > upper {
            return Err(crossed());
        }
        if is_single {
            reach(of, &mut values, lower, upper)?;
        }
        match within(*of, lower, upper) {
            Some(part) => taken.push(part),
            None => return Err(subscript_error("array subscript out of range")),
        }
    }
    let places = places(&dimensions, &taken);
    enough(places.len(), &given)?;
    for (place, value) in places.into_iter().zip(given) {
        values[place] = value;
    }
    Ok(Datum::of_elements(&dimensions, values))
}

/// `ARRAY[…]` of arrays: one more dimension around theirs.
pub(super) fn stacked(arrays: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let uneven = || {
        subscript_error(
            "multidimensional arrays must have array expressions with matching dimensions",
        )
    };
    let mut values = Vec::new();
    let mut inner: Option<Vec<Dimension>> = None;
    let mut empty = false;
    for array in arrays {
        let parts = Parts::of(*array);
        if parts.dimensions.is_empty() {
            empty = true;
            continue;
        }
        if *inner.get_or_insert_with(|| parts.dimensions.clone()) != parts.dimensions {
            return Err(uneven());
        }
        values.extend(parts.values());
    }
    match inner {
        None => Ok(Datum::Array(Vec::new())),
        Some(_) if empty => Err(uneven()),
        Some(inner) => around(arrays.len(), inner, values),
    }
}

/// `array_agg` of arrays.
pub(crate) fn accumulated<'a>(
    arrays: impl Iterator<Item = DatumRef<'a>>,
) -> Result<Datum, SqlError> {
    let mut values = Vec::new();
    let mut inner: Option<Vec<Dimension>> = None;
    let mut count = 0;
    for array in arrays {
        if array == DatumRef::Null {
            let message = "cannot accumulate null arrays";
            return Err(SqlError::new(ErrorKind::NullValueNotAllowed, message));
        }
        let parts = Parts::of(array);
        if parts.dimensions.is_empty() && inner.is_none() {
            return Err(subscript_error("cannot accumulate empty arrays"));
        }
        if *inner.get_or_insert_with(|| parts.dimensions.clone()) != parts.dimensions {
            return Err(subscript_error(
                "cannot accumulate arrays of different dimensionality",
            ));
        }
        values.extend(parts.values());
        count += 1;
    }
    around(count, inner.unwrap_or_default(), values)
}

fn around(count: usize, inner: Vec<Dimension>, values: Vec<Datum>) -> Result<Datum, SqlError> {
    let length = checked_length(i64::try_from(count).unwrap_or(i64::MAX))?;
    let mut dimensions = vec![Dimension { length, lower: 1 }];
    dimensions.extend(inner);
    check_depth(dimensions.len())?;
    check_size(&dimensions)?;
    Ok(Datum::of_elements(&dimensions, values))
}

/// `array_append` and `array_prepend`
pub(super) fn grown(
    array: &Parts<'_>,
    value: DatumRef<'_>,
    in_front: bool,
) -> Result<Datum, SqlError> {
    let mut dimensions = array.dimensions.clone();
    match dimensions.as_mut_slice() {
        [] => dimensions.push(Dimension {
            length: 1,
            lower: 1,
        }),
        [of] => of.length = checked_length(i64::from(of.length) + 1)?,
        _ => {
            let message = "argument must be empty or one-dimensional array";
            return Err(SqlError::new(ErrorKind::DataException, message));
        }
    }
    check_size(&dimensions)?;
    let mut values = array.values();
    let at = if in_front { 0 } else { values.len() };
    values.insert(at, value.to_owned());
    Ok(Datum::of_elements(&dimensions, values))
}

/// `array_cat`
pub(super) fn joined(left: DatumRef<'_>, right: DatumRef<'_>) -> Result<Datum, SqlError> {
    if left == DatumRef::Null || right == DatumRef::Null {
        return Ok(if left == DatumRef::Null { right } else { left }.to_owned());
    }
    let (first, second) = (Parts::of(left), Parts::of(right));
    let (a, b) = (first.dimensions.as_slice(), second.dimensions.as_slice());
    if a.is_empty() || b.is_empty() {
        return Ok(if a.is_empty() { right } else { left }.to_owned());
    }
    let incompatible =
        |detail: String| subscript_error("cannot concatenate incompatible arrays").detail(detail);
    let differ = |of: &str| {
        let detail = format!("Arrays with differing {of} are not compatible for concatenation.");
        Err(incompatible(detail))
    };
    let mut dimensions;
    if a.len() == b.len() {
        if a[1..] != b[1..] {
            return differ("element dimensions");
        }
        dimensions = a.to_vec();
        dimensions[0].length = checked_length(i64::from(a[0].length) + i64::from(b[0].length))?;
    } else {
        let (outer, inner) = if a.len() > b.len() { (a, b) } else { (b, a) };
        if outer.len() != inner.len() + 1 {
            let detail = format!(
                "Arrays of {} and {} dimensions are not compatible for concatenation.",
                a.len(),
                b.len()
            );
            return Err(incompatible(detail));
        }
        if outer[1..] != *inner {
            return differ("dimensions");
        }
        dimensions = outer.to_vec();
        dimensions[0].length = checked_length(i64::from(outer[0].length) + 1)?;
    }
    check_size(&dimensions)?;
    let mut values = first.values();
    values.extend(second.values());
    Ok(Datum::of_elements(&dimensions, values))
}

/// `array_fill(value, dimensions, bounds)`
pub(super) fn filled(args: &[DatumRef<'_>]) -> Result<Datum, SqlError> {
    let null = |message| Err(SqlError::new(ErrorKind::NullValueNotAllowed, message));
    let mut lists = Vec::with_capacity(2);
    for list in &args[1..] {
        if *list == DatumRef::Null {
            return null("dimension array or low bound array cannot be null");
        }
        let parts = Parts::of(*list);
        if parts.dimensions.len() > 1 {
            let detail = "Dimension array must be one dimensional.";
            return Err(subscript_error("wrong number of array subscripts").detail(detail));
        }
        let values = parts.values();
        let numbers = values.iter().map(|value| integer(value.as_ref()));
        match numbers.collect::<Option<Vec<_>>>() {
            Some(numbers) => lists.push(numbers),
            None => return null("dimension values cannot be null"),
        }
    }
    let lengths = &lists[0];
    check_depth(lengths.len())?;
    let lowers = lists.get(1);
    if lowers.is_some_and(|lowers| lowers.len() != lengths.len()) {
        let detail = "Low bound array has different size than dimensions array.";
        return Err(subscript_error("wrong number of array subscripts").detail(detail));
    }
    let mut dimensions = Vec::with_capacity(DIMENSIONS_MAX);
    for (at, length) in lengths.iter().enumerate() {
        let lower = lowers.map_or(Ok(1), |lowers| bound(lowers[at]))?;
        let length = checked_length(*length)?;
        dimensions.push(Dimension { length, lower });
    }
    check_size(&dimensions)?;
    let count = match dimensions.as_slice() {
        [] => 0,
        of => of.iter().map(|of| of.length as usize).product(),
    };
    let values = vec![args[0].to_owned(); count];
    Ok(Datum::of_elements(&dimensions, values))
}
