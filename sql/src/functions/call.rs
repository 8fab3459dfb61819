//! Functions with PostgreSQL's overloads: which one a call means, what its arguments are converted to, its values.
//!
//! A family of functions is a table of [`Function`]s in a module of its own. A call is first planned as a function that
//! knows only its name; when the plan stands, [`Overloaded::resolve`] says which overload it is, so that later
//! rewrites cannot change that.

pub(crate) mod dsl;
mod unresolved;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::ListArray;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, i256};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use tidelog_storage::datum::{ColumnBuilder, Numeric};
use tidelog_storage::{ColumnType, Datum, DatumRef, ElementType, PrintedType};

use super::decimal::Decimal;
use super::special;
use crate::error::{ErrorKind, SqlError};
use crate::query_memory::Made;
use crate::text::{self, Style, datetime, number};
use crate::{output, precision};

pub(crate) use unresolved::{no_such, not_unique};

/// What a function knows besides its arguments.
pub(crate) struct Env<'a> {
    pub(crate) style: Style,
    /// The arguments' types as they were given; `None` for NULL alone.
    pub(crate) types: &'a [Option<ColumnType>],
}

pub(crate) type Eval = fn(&Env<'_>, &[DatumRef<'_>]) -> std::result::Result<Datum, SqlError>;

impl Function {
    /// Whether TimeZone or IntervalStyle may change what it gives.
    fn depends_on_style(&self) -> bool {
        use ColumnType::{
            Array, Date, Interval, Json, Jsonb, Time, TimeTz, Timestamp, TimestampTz,
        };
        let depends = |ty: ColumnType| match ty {
            Date | Time(_) | TimeTz(_) | Timestamp(_) | TimestampTz(_) | Interval(_) => true,
            // What has the text of a moment in it asks for no zone unless it says so.
            Json | Jsonb => self.volatility != Volatility::Immutable,
            Array(element) => element != ElementType::Text,
            _ => false,
        };
        let of_params = self.params.iter().any(|param| match param {
            Param::Of(ty) => depends(*ty),
            Param::Any => true,
        });
        of_params || depends(self.result)
    }
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Param {
    Of(ColumnType),
    /// Anything, as it is.
    Any,
}

/// One overload.
pub(crate) struct Function {
    name: &'static str,
    params: &'static [Param],
    result: ColumnType,
    eval: Eval,
    /// The last parameter takes any number of arguments.
    variadic: bool,
    /// NULL for any argument gives NULL without asking the function.
    strict: bool,
    /// The values are rows: they come as an array.
    set: bool,
    volatility: Volatility,
    /// Precision and scale of a numeric result, by the arguments' types.
    shape: Option<Shape>,
}

/// Tells precision and scale by the arguments' types and those that are constants.
pub(crate) type Shape = fn(&[Option<ColumnType>], &[Option<&ScalarValue>]) -> Option<(u8, i8)>;

impl Function {
    pub(super) const fn new(
        name: &'static str,
        params: &'static [Param],
        result: ColumnType,
        eval: Eval,
    ) -> Function {
        Function {
            name,
            params,
            result,
            eval,
            variadic: false,
            strict: true,
            set: false,
            volatility: Volatility::Immutable,
            shape: None,
        }
    }

    pub(super) const fn variadic(mut self) -> Function {
        self.variadic = true;
        self
    }

    pub(super) const fn called_on_null(mut self) -> Function {
        self.strict = false;
        self
    }

    pub(super) const fn set(mut self) -> Function {
        self.set = true;
        self
    }

    pub(super) const fn stable(mut self) -> Function {
        self.volatility = Volatility::Stable;
        self
    }

    pub(super) const fn volatile(mut self) -> Function {
        self.volatility = Volatility::Volatile;
        self
    }

    pub(super) const fn shape(mut self, shape: Shape) -> Function {
        self.shape = Some(shape);
        self
    }

    fn param(&self, at: usize) -> Option<Param> {
        match self.params.get(at) {
            None if self.variadic => self.params.last().copied(),
            param => param.copied(),
        }
    }

    fn takes(&self, count: usize) -> bool {
        count == self.params.len() || self.variadic && count > self.params.len()
    }
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Vec<&'static Function>>> = LazyLock::new(|| {
    let mut functions: HashMap<&'static str, Vec<&'static Function>> = HashMap::new();
    for function in super::FAMILIES.iter().copied().flatten() {
        functions.entry(function.name).or_default().push(function);
    }
    functions
});

/// Whether a function gives rows.
pub(crate) fn returns_set(name: &str) -> bool {
    FUNCTIONS
        .get(name)
        .is_some_and(|overloads| overloads[0].set)
}

/// The function that writes a row of its arguments as text.
const RECORD: &str = "pg_record";

/// Before the name of a function that gives rows, where they are asked for as an array.
const LIST: &str = "pg_list_";

/// The name of the function that gives the rows of another as an array.
pub(crate) fn as_list(name: &str) -> String {
    format!("{LIST}{name}")
}

/// The function whose rows this one gives as an array.
pub(crate) fn of_list(name: &str) -> Option<&str> {
    name.strip_prefix(LIST)
}

/// Whether a name is an operator's.
pub(crate) fn is_operator(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The function with this name, whichever of its overloads will be meant.
pub(crate) fn named(name: &str, style: Style) -> Option<Arc<ScalarUDF>> {
    let called = name;
    let (name, overloads) = FUNCTIONS.get_key_value(of_list(name).unwrap_or(name))?;
    let volatility = overloads[0].volatility;
    // It is the same function whatever the settings are, where these say nothing of its types.
    let style = match overloads.iter().any(|overload| overload.depends_on_style()) {
        true => style,
        false => Style::default(),
    };
    let arity = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Some(Arc::new(ScalarUDF::from(Overloaded {
        name,
        called: called.to_string(),
        style,
        signature: Signature::one_of(arity, volatility),
    })))
}

/// A type without its modifiers; the kinds of text are one.
fn plain(ty: ColumnType) -> ColumnType {
    match ty {
        ColumnType::Varchar(_) | ColumnType::Bpchar(_) | ColumnType::Name | ColumnType::Char => {
            ColumnType::Text
        }
        ColumnType::Bit(_) => ColumnType::Bit(None),
        ColumnType::Varbit(_) => ColumnType::Varbit(None),
        ColumnType::Numeric(_) => ColumnType::Numeric(None),
        ColumnType::Shaped(element) => plain(ColumnType::Array(element)),
        ty => precision::plain(ty),
    }
}

/// Whether an argument of a type becomes a parameter's by itself.
pub(crate) fn becomes(from: ColumnType, to: ColumnType) -> bool {
    let element = |ty: ColumnType| ty.elements().map(|element| plain(element.into()));
    match (element(from), element(to)) {
        (None, None) => implicit(plain(from), to),
        (from, to) => from == to,
    }
}

fn implicit(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType::{
        Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Oid, Time, TimeTz, Timestamp,
        TimestampTz,
    };
    from == to
        || matches!(
            (from, to),
            (Int2, Int4 | Int8 | Float4 | Float8 | Numeric(_) | Oid)
                | (Int4, Int8 | Float4 | Float8 | Numeric(_) | Oid)
                | (Int8, Float4 | Float8 | Numeric(_) | Oid)
                | (Oid, Int8 | ColumnType::Regproc | ColumnType::Reg(_))
                | (ColumnType::Regproc | ColumnType::Reg(_), Int8 | Oid)
                | (Int2 | Int4 | Int8, ColumnType::Regproc | ColumnType::Reg(_))
                | (
                    ColumnType::Printed(PrintedType::Cidr),
                    ColumnType::Printed(PrintedType::Inet)
                )
                | (ColumnType::Printed(PrintedType::Citext), ColumnType::Text)
                | (ColumnType::Bit(_), ColumnType::Varbit(_))
                | (ColumnType::Varbit(_), ColumnType::Bit(_))
                | (Numeric(_), Float4 | Float8)
                | (Float4, Float8)
                | (Date, Timestamp(_) | TimestampTz(_))
                | (Timestamp(_), TimestampTz(_))
                | (Time(_), Interval(_) | TimeTz(_))
        )
        || matches!((from, to), (ColumnType::Array(_), ColumnType::Array(_)))
}

/// PostgreSQL's categories of types, and whether a type is its category's preferred one.
fn category(ty: ColumnType) -> (char, bool) {
    use ColumnType::{
        Bool, Date, Float4, Float8, Int2, Int4, Int8, Interval, Numeric, Oid, Text, Time, TimeTz,
        Timestamp, TimestampTz,
    };
    match ty {
        Int2 | Int4 | Int8 | Float4 | Numeric(_) => ('N', false),
        ColumnType::Regproc | ColumnType::Reg(_) => ('N', false),
        ColumnType::Bit(_) => ('V', false),
        ColumnType::Varbit(_) => ('V', true),
        Float8 | Oid => ('N', true),
        Text => ('S', true),
        Date | Time(_) | TimeTz(_) | Timestamp(_) => ('D', false),
        TimestampTz(_) => ('D', true),
        Interval(_) => ('T', true),
        Bool => ('B', true),
        ColumnType::Array(_) => ('A', false),
        _ => ('U', false),
    }
}

/// The overload that arguments of these types mean, `None` standing for a type left open; after
/// func_select_candidate in PostgreSQL's parse_func.c.
fn select(
    name: &str,
    given: &[Option<ColumnType>],
) -> std::result::Result<&'static Function, SqlError> {
    let of: Vec<Option<ColumnType>> = given.iter().map(|ty| ty.map(plain)).collect();
    let accepts = |function: &&'static Function| {
        let fits = |(at, ty): (usize, &Option<ColumnType>)| match (function.param(at), ty) {
            (Some(Param::Of(param)), Some(ty)) => implicit(*ty, param),
            (Some(_), _) => true,
            (None, _) => false,
        };
        function.takes(of.len()) && of.iter().enumerate().all(fits)
    };
    let overloads = FUNCTIONS.get(name).map(Vec::as_slice).unwrap_or_default();
    let mut candidates: Vec<&'static Function> =
        overloads.iter().copied().filter(accepts).collect();
    if candidates.is_empty() {
        return Err(no_such(name, given));
    }
    // An open operand is of the other's type where there is an operator for it.
    if let [Some(ty), None] | [None, Some(ty)] = of.as_slice()
        && let alike = [Param::Of(*ty); 2]
        && let Some(same) = candidates.iter().find(|function| function.params == alike)
        && is_operator(name)
    {
        return Ok(same);
    }
    let exact =
        |function: &Function, at: usize, ty: ColumnType| function.param(at) == Some(Param::Of(ty));
    let known = || {
        of.iter()
            .enumerate()
            .filter_map(|(at, ty)| Some((at, (*ty)?)))
    };
    let keep_best = |candidates: &mut Vec<&'static Function>,
                     score: &dyn Fn(&'static Function) -> usize| {
        let best = candidates.iter().map(|f| score(f)).max().unwrap_or(0);
        candidates.retain(|f| score(f) == best);
    };
    keep_best(&mut candidates, &|function| {
        known().filter(|(at, ty)| exact(function, *at, *ty)).count()
    });
    keep_best(&mut candidates, &|function| {
        let good = |(at, ty): &(usize, ColumnType)| {
            exact(function, *at, *ty)
                || matches!(function.param(*at), Some(Param::Of(param))
                    if category(param) == (category(*ty).0, true))
        };
        known().filter(good).count()
    });
    // What is left open is text where a candidate takes text, or of the one category that all agree on.
    for at in (0..of.len()).filter(|at| of[*at].is_none()) {
        if candidates.len() == 1 {
            break;
        }
        let param = |function: &Function| match function.param(at) {
            Some(Param::Of(ty)) => Some(category(ty)),
            _ => None,
        };
        let categories: Vec<Option<(char, bool)>> = candidates.iter().map(|f| param(f)).collect();
        let wanted = match categories.iter().flatten().any(|(c, _)| *c == 'S') {
            true => Some('S'),
            false => {
                let first = categories[0].map(|(c, _)| c);
                let all = categories.iter().all(|c| c.map(|(c, _)| c) == first);
                first.filter(|_| all)
            }
        };
        let Some(wanted) = wanted else { continue };
        let in_category = |f: &&'static Function| param(f).is_some_and(|(c, _)| c == wanted);
        let preferred = |f: &&'static Function| param(f) == Some((wanted, true));
        if candidates.iter().any(preferred) {
            candidates.retain(|f| preferred(f));
        } else {
            candidates.retain(|f| in_category(f));
        }
    }
    // As a last resort what is open is of the type that all the others are of.
    if candidates.len() > 1 {
        let mut types = known().map(|(_, ty)| ty);
        if let Some(first) = types.next()
            && types.all(|ty| ty == first)
        {
            let takes = |f: &&'static Function| {
                (0..of.len()).all(
                    |at| matches!(f.param(at), Some(Param::Of(param)) if implicit(first, param)),
                )
            };
            if candidates.iter().filter(|f| takes(f)).count() == 1 {
                candidates.retain(|f| takes(f));
            }
        }
    }
    match candidates.as_slice() {
        [only] => Ok(only),
        _ => Err(not_unique(name, given)),
    }
}

/// A value of another type as an implicit cast makes it.
pub(crate) fn converted<'a>(
    value: DatumRef<'a>,
    to: ColumnType,
    style: Style,
) -> std::result::Result<DatumRef<'a>, SqlError> {
    let integer = match value {
        DatumRef::Int2(v) => Some(i64::from(v)),
        DatumRef::Int4(v) => Some(i64::from(v)),
        DatumRef::Int8(v) => Some(v),
        _ => None,
    };
    let moment = match (value, to) {
        (DatumRef::Date(days), ColumnType::Timestamp(_) | ColumnType::TimestampTz(_)) => {
            Some(datetime::midnight(days)?)
        }
        (DatumRef::Timestamp(at), _) => Some(at),
        _ => None,
    };
    Ok(match (to, value, integer, moment) {
        (ColumnType::Array(_), DatumRef::Shaped(..), ..) => return Err(text::array::unshaped()),
        (ColumnType::Int2, _, Some(v), _) => {
            DatumRef::Int2(i16::try_from(v).map_err(|_| out_of_range("smallint"))?)
        }
        (ColumnType::Int4, _, Some(v), _) => {
            DatumRef::Int4(i32::try_from(v).map_err(|_| out_of_range("integer"))?)
        }
        (
            ColumnType::Int8 | ColumnType::Oid | ColumnType::Regproc | ColumnType::Reg(_),
            _,
            Some(v),
            _,
        ) => DatumRef::Int8(v),
        (ColumnType::Float4, _, Some(v), _) => DatumRef::Float4(v as f32),
        (ColumnType::Float8, _, Some(v), _) => DatumRef::Float8(v as f64),
        (ColumnType::Numeric(_), _, Some(v), _) => DatumRef::Numeric(Numeric {
            unscaled: i256::from_i128(v.into()),
            scale: 0,
        }),
        (ColumnType::Float4, DatumRef::Numeric(_) | DatumRef::Number(_), ..) => {
            DatumRef::Float4(nearest(value).unwrap_or(f32::NAN))
        }
        (ColumnType::Float8, DatumRef::Numeric(_) | DatumRef::Number(_), ..) => {
            DatumRef::Float8(float_of(value))
        }
        (ColumnType::Float8, DatumRef::Float4(v), ..) => DatumRef::Float8(v.into()),
        (ColumnType::Timestamp(_), _, _, Some(at)) => DatumRef::Timestamp(at),
        (ColumnType::TimestampTz(_), _, _, Some(at)) => {
            DatumRef::TimestampTz(datetime::moment_of(at, style.zone)?)
        }
        (ColumnType::Interval(_), DatumRef::Time(micros), ..) => {
            DatumRef::Interval(tidelog_storage::Interval {
                micros,
                ..Default::default()
            })
        }
        (ColumnType::TimeTz(_), DatumRef::Time(micros), ..) => {
            let now = datetime::now_micros();
            DatumRef::TimeTz(tidelog_storage::TimeTz {
                micros,
                west: -(style.zone.offset_at(now) as i32),
            })
        }
        _ => value,
    })
}

/// The double precision that is nearest to a numeric.
pub(crate) fn float_of(value: DatumRef<'_>) -> f64 {
    /// The powers of ten that a double precision has exactly, as it has integers up to 2^53: a quotient of such is the nearest.
    const EXACT: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    if let DatumRef::Numeric(value) = value
        && let Some(unscaled) = value.unscaled.to_i128()
        && unscaled.unsigned_abs() <= 1 << f64::MANTISSA_DIGITS
        && let Some(power) = usize::try_from(value.scale)
            .ok()
            .and_then(|at| EXACT.get(at))
    {
        return unscaled as f64 / power;
    }
    nearest(value).unwrap_or(f64::NAN)
}

fn nearest<T: std::str::FromStr>(numeric: DatumRef<'_>) -> Option<T> {
    let mut written = String::new();
    let ty = ColumnType::Numeric(None);
    text::write(numeric, ty, Style::default(), &mut written);
    written.parse().ok()
}

pub(super) fn out_of_range(ty: &str) -> SqlError {
    SqlError::new(
        ErrorKind::NumericValueOutOfRange,
        format!("{ty} out of range"),
    )
}

impl Function {
    /// One row's value.
    fn call(&self, env: &Env<'_>, args: &[DatumRef<'_>]) -> std::result::Result<Datum, SqlError> {
        if self.strict && args.contains(&DatumRef::Null) {
            return Ok(Datum::Null);
        }
        let mut converted_args = Vec::with_capacity(args.len());
        for (at, value) in args.iter().enumerate() {
            converted_args.push(match self.param(at) {
                Some(Param::Of(ty)) => converted(*value, ty, env.style)?,
                _ => *value,
            });
        }
        let takes_numerics = self.params.contains(&dsl::NUMERIC);
        if takes_numerics && converted_args.iter().any(special::is_one) {
            return special::call(self.name, &converted_args);
        }
        let value = (self.eval)(env, &converted_args)?;
        if let Datum::Timestamp(at) | Datum::TimestampTz(at) = value {
            datetime::in_range(Some(at))?;
        }
        Ok(value)
    }

    /// The result's type: of a numeric, with the scale that types and constants tell.
    fn result_type(
        &self,
        given: &[Option<ColumnType>],
        constants: &[Option<&ScalarValue>],
    ) -> ColumnType {
        match self.shape {
            Some(shape) => ColumnType::Numeric(shape(given, constants)),
            None => self.result,
        }
    }

    fn field(&self, name: &str, result: ColumnType) -> Field {
        match (self.set, result.array()) {
            _ if self.name == RECORD => output::record(name),
            // What the elements are stands in the field of their array.
            (true, Some(array)) => array.field(name, true),
            (true, None) => {
                let item = Field::new_list_field(result.arrow(), true);
                Field::new(name, DataType::List(Arc::new(item)), true)
            }
            (false, _) => result.field(name, true),
        }
    }
}

/// A function of this name, the overload left open.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Overloaded {
    name: &'static str,
    /// As a plan names it.
    called: String,
    style: Style,
    signature: Signature,
}

/// The type of an argument; `None` for one left open.
fn given_type(field: &Field, constant: Option<&ScalarValue>) -> Option<ColumnType> {
    match constant {
        Some(ScalarValue::Utf8(_)) if field.metadata().is_empty() => None,
        // An integer literal is an int4 where it fits.
        Some(ScalarValue::Int64(Some(value))) if i32::try_from(*value).is_ok() => {
            Some(ColumnType::Int4)
        }
        _ if field.data_type().is_null() => None,
        _ => output::column_type(field).ok(),
    }
}

/// The types of arguments; `None` for those left open.
pub(super) fn given_types(
    fields: &[FieldRef],
    constants: &[Option<&ScalarValue>],
) -> Vec<Option<ColumnType>> {
    fields
        .iter()
        .zip(constants)
        .map(|(field, constant)| given_type(field, *constant))
        .collect()
}

impl Overloaded {
    /// The overload that these arguments mean, and the type that each should become.
    pub(crate) fn resolve(
        &self,
        fields: &[FieldRef],
        constants: &[Option<&ScalarValue>],
    ) -> std::result::Result<(Arc<ScalarUDF>, Vec<Option<ColumnType>>), SqlError> {
        let (function, given, result) = self.meant(fields, constants)?;
        let params = (0..given.len())
            .map(|at| match function.param(at) {
                Some(Param::Of(ty)) => Some(ty),
                _ => None,
            })
            .collect();
        let resolved = Resolved {
            function,
            given,
            result,
            style: self.style,
            signature: Signature {
                volatility: function.volatility,
                ..self.signature.clone()
            },
        };
        Ok((Arc::new(ScalarUDF::from(resolved)), params))
    }

    #[allow(
        clippy::type_complexity,
        reason = "an overload and the types around it"
    )]
    fn meant(
        &self,
        fields: &[FieldRef],
        constants: &[Option<&ScalarValue>],
    ) -> std::result::Result<(&'static Function, Vec<Option<ColumnType>>, ColumnType), SqlError>
    {
        let given = given_types(fields, constants);
        let function = select(self.name, &given)?;
        let result = function.result_type(&given, constants);
        Ok((function, given, result))
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for Overloaded {
    fn name(&self) -> &str {
        &self.called
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Internal(format!(
            "the type of {} depends on its arguments",
            self.name
        )))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let (function, _, result) = self
            .meant(args.arg_fields, args.scalar_arguments)
            .map_err(external)?;
        Ok(Arc::new(function.field(self.name, result)))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal(format!(
            "{} is resolved before it is called",
            self.name
        )))
    }
}

/// An overload with the type of its result.
struct Resolved {
    function: &'static Function,
    given: Vec<Option<ColumnType>>,
    result: ColumnType,
    style: Style,
    signature: Signature,
}

impl std::fmt::Debug for Resolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Resolved")
            .field(&self.function.name)
            .finish()
    }
}

impl PartialEq for Resolved {
    fn eq(&self, other: &Resolved) -> bool {
        std::ptr::eq(self.function, other.function)
            && (self.result, self.style) == (other.result, other.style)
    }
}

impl Eq for Resolved {}

impl Hash for Resolved {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.function.name, self.result).hash(state);
    }
}

impl Resolved {
    fn append(&self, builder: &mut ColumnBuilder, value: &Datum) -> Result<()> {
        match (value, self.result) {
            (Datum::Number(value), ColumnType::Numeric(Some((precision, scale)))) => {
                let value = Decimal::of_number(value.as_ref());
                let fitted = value.ok_or_else(number::overflow);
                let fitted = fitted.and_then(|value| number::fitted(&value, precision, scale));
                builder.append(DatumRef::Numeric(fitted.map_err(external)?));
            }
            (value, _) => builder.append(value.as_ref()),
        }
        Ok(())
    }
}

impl ScalarUDFImpl for Resolved {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        let field = self.function.field(self.function.name, self.result);
        Ok(field.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(
            self.function.field(self.function.name, self.result),
        ))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_volatile = self.function.volatility == Volatility::Volatile;
        let (arrays, scalar, rows) = super::arrays(&args, is_volatile)?;
        let env = Env {
            style: self.style,
            types: &self.given,
        };
        let mut builder = ColumnBuilder::new(self.result);
        let mut made = Made::new(&args.config_options);
        let (mut lengths, mut present) = (Vec::new(), Vec::new());
        let mut values = Vec::with_capacity(arrays.len());
        for row in 0..rows {
            values.clear();
            for array in &arrays {
                values.push(super::value_at(array.as_ref(), row).ok_or_else(|| {
                    let what = format!("{}() of {}", self.function.name, array.data_type());
                    external(SqlError::unsupported(what))
                })?);
            }
            let value = self.function.call(&env, &values).map_err(external)?;
            made.count(&value)?;
            match (self.function.set, &value) {
                (false, value) => self.append(&mut builder, value)?,
                (true, Datum::Array(items)) => {
                    for item in items {
                        self.append(&mut builder, item)?;
                    }
                    lengths.push(items.len());
                    present.push(true);
                }
                (true, _) => {
                    lengths.push(0);
                    present.push(false);
                }
            }
        }
        let mut result = made.kept(builder.finish())?;
        if self.function.set {
            if i32::try_from(result.len()).is_err() {
                return Err(external(SqlError::new(
                    ErrorKind::ProgramLimitExceeded,
                    "a set of more than 2^31 values is not supported here",
                )));
            }
            let item = Field::new_list_field(result.data_type().clone(), true);
            result = Arc::new(ListArray::try_new(
                Arc::new(item),
                OffsetBuffer::from_lengths(lengths),
                result,
                Some(NullBuffer::from(present)),
            )?);
        }
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?),
            false => ColumnarValue::Array(result),
        })
    }
}
