//! `json_to_record` and its like: a field of a json object as a value of a type, as PostgreSQL's populate_record_field
//! reads it. A column of their rows is an array of SQL, like those of other functions that give sets.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use tidelog_storage::datum::{ColumnBuilder, datum_at};
use tidelog_storage::{ColumnType, Datum, DatumRef};

use super::refused;
use crate::error::{ErrorKind, SqlError};
use crate::output;
use crate::text::jsonb::scan::{self, Kind};
use crate::text::{self, Style};

/// The function with this name: of a json, a field's name and a NULL of the field's type.
pub(crate) fn function(name: &str, style: Style) -> Option<Arc<ScalarUDF>> {
    let (prefix, of) = name.split_once("_list_of_")?;
    let jsonb = match prefix {
        "json" => false,
        "jsonb" => true,
        _ => return None,
    };
    let many = match of {
        "to_record" => false,
        "to_recordset" => true,
        _ => return None,
    };
    Some(made(jsonb, many, None, style))
}

/// The call with the type that its NULL has; as it is when it is none of such a function.
pub(crate) fn typed(mut call: ScalarFunction, ty: Option<ColumnType>) -> ScalarFunction {
    if let Some(of) = call.func.inner().downcast_ref::<FieldOf>()
        && of.ty.is_none()
        && call.args.len() == 3
    {
        call.func = made(of.jsonb, of.many, ty, of.style);
        call.args.truncate(2);
    }
    call
}

fn made(jsonb: bool, many: bool, ty: Option<ColumnType>, style: Style) -> Arc<ScalarUDF> {
    let prefix = if jsonb { "jsonb" } else { "json" };
    let of = if many { "to_recordset" } else { "to_record" };
    Arc::new(ScalarUDF::from(FieldOf {
        name: format!("{prefix}_list_of_{of}"),
        called: format!("{prefix}_{of}"),
        jsonb,
        many,
        ty,
        style,
        signature: Signature::variadic_any(Volatility::Immutable),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FieldOf {
    name: String,
    /// What PostgreSQL calls it.
    called: String,
    jsonb: bool,
    /// Whether it is of an array of objects.
    many: bool,
    ty: Option<ColumnType>,
    style: Style,
    signature: Signature,
}

impl FieldOf {
    fn field_of(&self, ty: ColumnType) -> Result<Field> {
        if let Some(element) = ty.elements()
            && (ColumnType::from(element).tag().is_some() || matches!(ty, ColumnType::Shaped(_)))
        {
            let name = crate::types::name(ty);
            let what = format!("{}() with a column of type {name}", self.called);
            return Err(external(SqlError::unsupported(what)));
        }
        let item = Arc::new(Field::new_list_field(ty.arrow(), true));
        let field = Field::new(&self.name, DataType::List(item), true);
        let tag = ty.array().map(|array| array.field("", true));
        Ok(match tag {
            Some(tag) => field.with_metadata(tag.metadata().clone()),
            None => field,
        })
    }

    /// The objects that a row's json stands for; none where it is NULL.
    fn objects<'j>(&self, json: Option<&'j str>) -> Result<Vec<Option<&'j str>>, SqlError> {
        let called = &self.called;
        let Some(json) = json else {
            return Ok(if self.many { Vec::new() } else { vec![None] });
        };
        if !self.many {
            return match scan::kind(json) {
                Kind::Object => Ok(vec![Some(json)]),
                Kind::Array => Err(refused("cannot call populate_composite on an array")),
                _ => Err(refused("cannot call populate_composite on a scalar")),
            };
        }
        match scan::kind(json) {
            Kind::Array => {}
            _ if self.jsonb => {
                return Err(refused(&format!("cannot call {called} on a non-array")));
            }
            Kind::Object => return Err(refused(&format!("cannot call {called} on an object"))),
            _ => return Err(refused(&format!("cannot call {called} on a scalar"))),
        }
        let elements = scan::elements(json);
        if elements.iter().any(|of| scan::kind(of) != Kind::Object) {
            let message = format!("argument of {called} must be an array of objects");
            return Err(refused(&message));
        }
        Ok(elements.into_iter().map(Some).collect())
    }

    fn value(&self, json: &str, ty: ColumnType, name: &str) -> Result<Datum, SqlError> {
        let kind = scan::kind(json);
        match (ty, kind) {
            (_, Kind::Null) => Ok(Datum::Null),
            (ColumnType::Json | ColumnType::Jsonb, _) => {
                text::parse_in(ty, scan::trim(json), self.style)
            }
            (ColumnType::Array(element) | ColumnType::Shaped(element), Kind::Array) => {
                let element = element.into();
                let elements = scan::elements(json).into_iter();
                let elements = elements.map(|of| match scan::kind(of) {
                    Kind::Array => Err(SqlError::unsupported("an array of several dimensions")),
                    _ => self.value(of, element, name),
                });
                elements.collect::<Result<_, _>>().map(Datum::Array)
            }
            (ColumnType::Array(_) | ColumnType::Shaped(_), kind) if kind != Kind::String => {
                let kind = ErrorKind::InvalidTextRepresentation;
                let error = SqlError::new(kind, "expected JSON array");
                Err(error.hint(format!("See the value of key \"{name}\".")))
            }
            _ => {
                let shown = scan::as_text(json).unwrap_or_default();
                text::parse_in(ty, &shown, self.style)
            }
        }
    }

    fn apply(&self, jsons: &ArrayRef, names: &ArrayRef, ty: ColumnType) -> Result<ArrayRef> {
        let mut values = ColumnBuilder::new(ty);
        let mut lengths = Vec::with_capacity(jsons.len());
        for row in 0..jsons.len() {
            let text = |array: &ArrayRef| match datum_at(array, row) {
                Some(DatumRef::Text(text)) => Some(text.to_string()),
                _ => None,
            };
            let (json, name) = (text(jsons), text(names).unwrap_or_default());
            let objects = self.objects(json.as_deref()).map_err(external)?;
            lengths.push(objects.len());
            for object in objects {
                let found = object.and_then(|object| scan::member(object, &name));
                let value = match found {
                    Some(json) => self.value(json, ty, &name).map_err(external)?,
                    None => Datum::Null,
                };
                values.append(value.as_ref());
            }
        }
        let item = Arc::new(Field::new_list_field(ty.arrow(), true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(item, offsets, values.finish(), None)?;
        Ok(Arc::new(list))
    }
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for FieldOf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        let ty = self.ty.unwrap_or(ColumnType::Text);
        Ok(self.field_of(ty)?.data_type().clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let ty = match (self.ty, args.arg_fields.get(2)) {
            (Some(ty), _) => ty,
            (None, Some(field)) => output::column_type(field).map_err(external)?,
            (None, None) => ColumnType::Text,
        };
        self.field_of(ty).map(Arc::new)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(ty), [json, name]) = (self.ty, args.args.as_slice()) else {
            let message = format!("{} without a type", self.name);
            return Err(DataFusionError::Internal(message));
        };
        let scalar = matches!(json, ColumnarValue::Scalar(_));
        let rows = if scalar { 1 } else { args.number_rows };
        let list = self.apply(&json.to_array(rows)?, &name.to_array(rows)?, ty)?;
        Ok(match scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&list, 0)?),
            false => ColumnarValue::Array(list),
        })
    }
}
