//! Results: from DataFusion's batches to columns of PostgreSQL's types.

mod modifier;
mod origin;
pub(crate) mod precision;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tidelog_storage::catalog::PG_TYPE_KEY;
use tidelog_storage::datum::{self, ColumnBuilder, datum_at, elements_type};
use tidelog_storage::{ColumnType, Datum, DatumRef, ElementType};

use crate::arithmetic;
use crate::error::{ErrorKind, SqlError};
use crate::plan::reg::is_named;

/// A column of a result.
#[derive(Clone, Debug)]
pub struct OutputColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Whether an array is shown as the vector that it is in a catalog: `1 2`.
    pub vector: bool,
    /// Whether it is of type void, which is shown as an empty text.
    pub void: bool,
    /// Whether it has the modifier of its type: that of `numeric(10,2)`, which a sum of such has not.
    pub modified: bool,
    /// The oid of the table and the number of the column that it is, if it is one.
    pub origin: Option<(u32, i16)>,
}

/// Whether a client that was told of the one takes the other for it.
impl PartialEq for OutputColumn {
    fn eq(&self, other: &OutputColumn) -> bool {
        // Arrays of any shape are of the type of others to clients.
        let ty = |of: &OutputColumn| of.ty.elements().map_or(of.ty, ColumnType::Array);
        (&self.name, ty(self), self.vector) == (&other.name, ty(other), other.vector)
    }
}

impl OutputColumn {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, ty: ColumnType) -> OutputColumn {
        OutputColumn {
            name: name.into(),
            ty,
            vector: false,
            void: false,
            modified: true,
            origin: None,
        }
    }
}

/// In the metadata of fields whose arrays are vectors of a catalog.
pub(crate) const VECTOR: &str = "pg_vector";

/// In the metadata of fields that are the texts of rows.
const RECORD: &str = "pg_record";

/// The text of a row.
pub(crate) fn record(name: &str) -> Field {
    let metadata = [(RECORD.to_string(), String::new())];
    (ColumnType::Text.field(name, true)).with_metadata(metadata.into())
}

/// Whether a field is the text of a row.
pub(crate) fn is_record(field: &Field) -> bool {
    field.metadata().contains_key(RECORD)
}

/// In the metadata of fields that are of type void.
const VOID: &str = "pg_void";

/// The result of a function that gives nothing.
pub(crate) fn void(name: &str) -> Field {
    let mark = (VOID.to_string(), String::new());
    Field::new(name, DataType::Utf8, true).with_metadata([mark].into())
}

/// In the metadata of fields that hold names and oids, as `text::reg` writes them: of which type they are.
const NAMES: &str = "pg_names";

/// A field of such values, or of arrays of them.
pub(crate) fn of_names(name: &str, arrow: &DataType, ty: ColumnType) -> Field {
    let tag = ty.tag().unwrap_or_default();
    Field::new(name, arrow.clone(), true).with_metadata([(NAMES.to_string(), tag)].into())
}

/// Batches of result rows, each column of the Arrow type that `OutputColumn::ty` says.
pub type RowStream = BoxStream<'static, Result<RecordBatch, SqlError>>;

/// The tag of a command that gave rows; SHOW does not count them.
pub fn row_tag(verb: &str, rows: u64) -> String {
    match verb {
        "SHOW" | "EXPLAIN" | "CALL" => verb.to_string(),
        verb => format!("{verb} {rows}"),
    }
}

/// The field that an expression gives, but for its name and whether it can be NULL: DataFusion's own writes the name of
/// each part out, in the whole the cube of a chain's length when each link is asked.
pub(crate) fn field_of(expr: &Expr, schema: &DFSchema) -> Result<FieldRef, DataFusionError> {
    let plain = |ty| Arc::new(Field::new("", ty, true));
    match expr {
        Expr::BinaryExpr(binary) if matches!(binary.op, Operator::And | Operator::Or) => {
            Ok(plain(DataType::Boolean))
        }
        Expr::BinaryExpr(_) => expr.get_type(schema).map(plain),
        Expr::ScalarFunction(call) => match arithmetic::operands(call) {
            Some([operand, ..]) => field_of(operand, schema),
            _ => match field_of_call(call, schema) {
                Ok(field) => Ok(field),
                Err(_) => Ok(expr.to_field(schema)?.1),
            },
        },
        // One that only says another type for the same bytes keeps nothing of what the value was.
        Expr::Cast(cast) if cast.expr.get_type(schema)? == *cast.field.data_type() => {
            Ok(cast.field.clone())
        }
        _ => Ok(expr.to_field(schema)?.1),
    }
}

/// As `to_field`, which also writes out the names of all that is in the call, at each level anew.
fn field_of_call(call: &ScalarFunction, schema: &DFSchema) -> Result<FieldRef, DataFusionError> {
    let given: Vec<FieldRef> = (call.args.iter())
        .map(|arg| field_of(arg, schema))
        .collect::<Result<_, _>>()?;
    let arg_fields = fields_with_udf(&given, call.func.as_ref())?;
    let args = call.args.iter();
    let scalar_arguments: Vec<Option<&ScalarValue>> = args
        .map(|arg| match arg {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        })
        .collect();
    call.func.return_field_from_args(ReturnFieldArgs {
        arg_fields: &arg_fields,
        scalar_arguments: &scalar_arguments,
    })
}

/// The column type that a field of a DataFusion schema is shown as.
pub(crate) fn column_type(field: &Field) -> Result<ColumnType, SqlError> {
    if let Some(tag) = field.metadata().get(PG_TYPE_KEY)
        && let Some(ty) = ColumnType::from_tag(field.data_type(), tag)
    {
        return Ok(ty);
    }
    if let Some(tag) = field.metadata().get(NAMES) {
        // Its own arrays hold numbers.
        let numbers = match field.data_type() {
            DataType::List(_) => DataType::new_list(DataType::Int64, true),
            _ => DataType::Int64,
        };
        if let Some(ty) = ColumnType::from_tag(&numbers, tag) {
            return Ok(ty);
        }
    }
    Ok(match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => ColumnType::Int2,
        DataType::Int32 | DataType::UInt16 => ColumnType::Int4,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => ColumnType::Int8,
        DataType::Float16 | DataType::Float32 => ColumnType::Float4,
        DataType::Float64 => ColumnType::Float8,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => ColumnType::Numeric(Some((*p, *s))),
        DataType::LargeBinary => ColumnType::Numeric(None),
        DataType::Null => ColumnType::Text,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            match column_type(item)? {
                // PostgreSQL's array types say nothing of dimensions.
                array @ ColumnType::Array(_) => array,
                element => element.array().expect("it is no array"),
            }
        }
        DataType::Struct(_)
            if let Some(DataType::List(item)) = elements_type(field.data_type()) =>
        {
            let element = column_type(item)?;
            element.shaped().expect("elements of arrays are none")
        }
        DataType::Time32(_) | DataType::Time64(_) => ColumnType::Time(None),
        DataType::Interval(_) | DataType::Duration(_) => ColumnType::Interval(None),
        DataType::FixedSizeBinary(12) => ColumnType::TimeTz(None),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text,
        DataType::Dictionary(_, value) => column_type(
            &Field::new(field.name(), (**value).clone(), true)
                .with_metadata(field.metadata().clone()),
        )?,
        DataType::Boolean => ColumnType::Bool,
        DataType::FixedSizeBinary(16) => ColumnType::Uuid,
        DataType::Binary | DataType::BinaryView => ColumnType::Bytea,
        DataType::Date32 => ColumnType::Date,
        DataType::Timestamp(_, None) | DataType::Date64 => ColumnType::Timestamp(None),
        DataType::Timestamp(_, Some(_)) => ColumnType::TimestampTz(None),
        other => {
            return Err(SqlError::unsupported(format!(
                "result column \"{}\" of type {other}",
                field.name()
            ))
            .hint("Cast it to text."));
        }
    })
}

/// The columns of a result with this schema.
pub(crate) fn columns(schema: &Schema) -> Result<Vec<OutputColumn>, SqlError> {
    let column = |field: &Arc<Field>| {
        Ok(OutputColumn {
            vector: field.metadata().contains_key(VECTOR),
            void: field.metadata().contains_key(VOID),
            ..OutputColumn::new(crate::plan::shown(field.name()), column_type(field)?)
        })
    };
    schema.fields().iter().map(column).collect()
}

/// The columns of a plan's result, with the tables that they come from.
pub(crate) fn columns_of(plan: &LogicalPlan) -> Result<Vec<OutputColumn>, SqlError> {
    let mut columns = columns(plan.schema().as_arrow())?;
    for (at, column) in columns.iter_mut().enumerate() {
        column.origin = origin::of(plan, at);
        column.modified = modifier::is_kept(plan, at);
    }
    Ok(columns)
}

/// The array as one of the type that the column type has in results.
pub(crate) fn conform(array: &ArrayRef, ty: ColumnType) -> Result<ArrayRef, SqlError> {
    if let ColumnType::Shaped(element) = ty {
        return conform_shaped(array, element);
    }
    // As a result shows them.
    if is_named(ty) {
        return Ok(array.clone());
    }
    let want = match array.data_type() {
        // A decimal's own shape stays: declared precision was checked when the value was made.
        DataType::Decimal128(..) | DataType::Decimal256(..) => array.data_type().clone(),
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        DataType::List(item) if is_decimal(item.data_type()) => array.data_type().clone(),
        _ => ty.arrow(),
    };
    if *array.data_type() == want {
        return Ok(array.clone());
    }
    // DataFusion's clock has nanoseconds: now() is cut to PostgreSQL's microseconds here.
    let options = CastOptions {
        safe: false,
        ..Default::default()
    };
    cast_with_options(array, &want, &options).map_err(|e| crate::error::from_arrow(&e))
}

/// A value of an array that conforms to a column type.
pub(crate) fn value(array: &dyn Array, row: usize) -> Result<DatumRef<'_>, SqlError> {
    datum_at(array, row).ok_or_else(|| {
        let message = format!("a value of the unexpected type {}", array.data_type());
        SqlError::new(ErrorKind::InternalError, message)
    })
}

/// Arrays as ones of any shape.
fn conform_shaped(array: &ArrayRef, element: ElementType) -> Result<ArrayRef, SqlError> {
    let conform_lists = |lists: ListArray| -> Result<ListArray, SqlError> {
        let lists = conform(&(Arc::new(lists) as ArrayRef), ColumnType::Array(element))?;
        Ok(lists.as_list::<i32>().clone())
    };
    match (array.as_struct_opt(), datum::flat(array)) {
        (Some(shaped), Some(lists)) => Ok(datum::with_elements(shaped, conform_lists(lists)?)),
        _ if array.data_type().is_null() => Ok(new_null_array(
            &ColumnType::Shaped(element).arrow(),
            array.len(),
        )),
        _ => match array.as_list_opt::<i32>() {
            Some(lists) => Ok(datum::shaped(&conform_lists(lists.clone())?)),
            None => Err(SqlError::unsupported(format!(
                "arrays of type {}",
                array.data_type()
            ))),
        },
    }
}

fn is_decimal(ty: &DataType) -> bool {
    matches!(ty, DataType::Decimal128(..) | DataType::Decimal256(..))
}

/// Turns DataFusion's batches into result batches.
pub(crate) fn stream(
    columns: &[OutputColumn],
    batches: datafusion::execution::SendableRecordBatchStream,
) -> RowStream {
    let types: Vec<ColumnType> = columns.iter().map(|column| column.ty).collect();
    let convert = move |batch: Result<RecordBatch, _>| {
        let batch = batch.map_err(crate::error::from_datafusion)?;
        let arrays = batch
            .columns()
            .iter()
            .zip(&types)
            .map(|(array, ty)| conform(array, *ty));
        batch_of(arrays.collect::<Result<_, _>>()?, batch.num_rows())
    };
    batches.map(convert).boxed()
}

/// A batch of unnamed columns; their names and types are told apart from it.
pub(crate) fn batch_of(arrays: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, SqlError> {
    let fields: Vec<Field> = arrays
        .iter()
        .map(|array| Field::new("", array.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| crate::error::from_arrow(&e))
}

/// A batch of rows of these types.
pub(crate) fn batch_of_rows(
    types: &[ColumnType],
    rows: &[impl AsRef<[Datum]>],
) -> Result<RecordBatch, SqlError> {
    let column = |(n, ty): (usize, &ColumnType)| {
        let mut builder = ColumnBuilder::new(*ty);
        let values = rows.iter().map(|row| row.as_ref()[n].as_ref());
        values.for_each(|value| builder.append(value));
        builder.finish()
    };
    batch_of(types.iter().enumerate().map(column).collect(), rows.len())
}

/// The stream, read to its end.
pub(crate) async fn collected(rows: RowStream) -> Result<RowStream, SqlError> {
    let batches: Vec<_> = rows.try_collect().await?;
    Ok(futures::stream::iter(batches.into_iter().map(Ok)).boxed())
}

/// The stream, with something that lives as long: rows that wait to be fetched hold their snapshot, though they
/// were read.
pub(crate) fn holding<T: Send + Sync + 'static>(rows: RowStream, held: T) -> RowStream {
    rows.inspect(move |_| {
        let _ = &held;
    })
    .boxed()
}

/// A stream of one batch.
pub(crate) fn once(batch: RecordBatch) -> RowStream {
    futures::stream::once(async { Ok(batch) }).boxed()
}
