//! The methods of a path's items: `.type()`, `.double()`, `.datetime()`, `.keyvalue()` and their like.

use std::rc::Rc;

use tidelog_storage::{ColumnType, Datum};

use super::{BASE_DISTANCE, Base, Done, Items, Outcome, Runner};
use crate::error::{ErrorKind, SqlError};
use crate::functions::decimal::Decimal;
use crate::functions::to_char;
use crate::jsonpath::item::{Item, Json};
use crate::jsonpath::moment::Moment;
use crate::jsonpath::{Method, Step, layout};
use crate::text;

/// A numeric as PostgreSQL makes it of a float: of 15 digits.
fn of_float(value: f64) -> Result<Decimal, SqlError> {
    let Datum::Number(number) = text::parse(ColumnType::Numeric(None), &format!("{value:.14e}"))?
    else {
        return Ok(Decimal::default());
    };
    let number = Decimal::of_number(number.as_ref()).unwrap_or_default();
    Ok(number.rounded(number.scale_min()))
}

impl Runner {
    pub(super) fn method(
        &mut self,
        method: Method,
        rest: &[Step],
        item: &Item,
        items: Items<'_>,
    ) -> Outcome {
        let name = method.name();
        match method {
            Method::Type => self.next(rest, Item::string(item.type_name()), items),
            Method::Size => {
                if !item.is_array() && !self.lax {
                    let message =
                        format!("jsonpath item method .{name}() can only be applied to an array");
                    return self.lacks(ErrorKind::JsonArrayNotFound, message);
                }
                let size = match item.is_array() {
                    true => item.parts().len(),
                    false => 1,
                };
                self.next(rest, Item::number(&Decimal::from(size as i64)), items)
            }
            Method::Abs | Method::Ceiling | Method::Floor => {
                let Some(number) = item.as_number() else {
                    let message = format!(
                        "jsonpath item method .{name}() can only be applied to a numeric value"
                    );
                    return self.fail(ErrorKind::NonNumericJsonItem, message);
                };
                let cut = number.truncated(0);
                let value = match method {
                    Method::Abs => number.abs(),
                    Method::Ceiling if number > cut => cut.plus(&Decimal::from(1)),
                    Method::Floor if number < cut => cut.minus(&Decimal::from(1)),
                    _ => cut,
                };
                self.next(rest, Item::number(&value), items)
            }
            Method::Double => self.double(rest, item, items),
            Method::Keyvalue => self.keyvalue(rest, item, items),
        }
    }

    fn double(&mut self, rest: &[Step], item: &Item, items: Items<'_>) -> Outcome {
        let float = |text: &str| match text::parse(ColumnType::Float8, text) {
            Ok(Datum::Float8(value)) => Some(value),
            _ => None,
        };
        let kind = ErrorKind::NonNumericJsonItem;
        let method = "jsonpath item method .double()";
        if let (Some(_), Item::Json(json)) = (item.as_number(), item) {
            if float(json.text()).is_none_or(|value| value.is_infinite()) {
                let message = format!(
                    "numeric argument of {method} is out of range for type double precision"
                );
                return self.fail(kind, message);
            }
            return self.next(rest, item.clone(), items);
        }
        let Some(string) = item.as_string() else {
            let message = format!("{method} can only be applied to a string or numeric value");
            return self.fail(kind, message);
        };
        match float(&string).filter(|value| value.is_finite()) {
            Some(value) => self.next(rest, Item::number(&of_float(value)?), items),
            None => {
                let message = format!(
                    "string argument of {method} is not a valid representation of a double precision number"
                );
                self.fail(kind, message)
            }
        }
    }

    pub(super) fn datetime(
        &mut self,
        template: Option<&str>,
        rest: &[Step],
        item: &Item,
        items: Items<'_>,
    ) -> Outcome {
        let kind = ErrorKind::InvalidArgumentForJsonDatetime;
        let Some(string) = item.as_string() else {
            let message = "jsonpath item method .datetime() can only be applied to a string";
            return self.fail(kind, message);
        };
        let moment = match template {
            Some(template) => {
                // What is wrong with the template is an error also where others are none.
                let template = to_char::template(template)?;
                match Moment::read_by(&string, &template) {
                    Ok(moment) => moment,
                    Err(error) if self.throws => return Err(error),
                    Err(_) => return Ok(Done::Failed),
                }
            }
            None => match Moment::read(&string) {
                Some(moment) => moment,
                None if self.throws => {
                    let message = format!("datetime format is not recognized: \"{string}\"");
                    return Err(SqlError::new(kind, message).hint(
                        "Use a datetime template argument to specify the input data format.",
                    ));
                }
                None => return Ok(Done::Failed),
            },
        };
        self.next(rest, Item::Moment(moment), items)
    }

    fn keyvalue(&mut self, rest: &[Step], item: &Item, mut items: Items<'_>) -> Outcome {
        let Item::Json(json) = item else {
            return self.no_object();
        };
        if !item.is_object() {
            return self.no_object();
        }
        let id = match Rc::ptr_eq(&json.whole, &self.base.json.whole) {
            true => {
                let base = &self.base.json;
                layout::offset(base.text(), json.start - base.start) as i64
            }
            false => 0,
        };
        let id = id + self.base.id * BASE_DISTANCE;
        let mut done = Done::Nothing;
        for (key, value) in item.members() {
            if rest.is_empty() && items.is_none() {
                return Ok(Done::Found);
            }
            let key = Item::string(&key).into_json();
            let pair = format!(
                "{{\"id\": {id}, \"key\": {key}, \"value\": {}}}",
                value.into_json()
            );
            let pair = Json::from(pair.as_str());
            let base = Base {
                json: pair.clone(),
                id: self.ids,
            };
            self.ids += 1;
            let before = std::mem::replace(&mut self.base, base);
            let went = self.next(rest, Item::Json(pair), items.as_deref_mut());
            self.base = before;
            done = went?;
            if done == Done::Failed || done == Done::Found && items.is_none() {
                return Ok(done);
            }
        }
        Ok(done)
    }

    fn no_object(&self) -> Outcome {
        self.fail(
            ErrorKind::JsonObjectNotFound,
            "jsonpath item method .keyvalue() can only be applied to an object",
        )
    }
}
