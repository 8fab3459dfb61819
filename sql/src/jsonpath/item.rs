//! What a path's steps find: values of json, and moments that `datetime()` made of strings.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Operator;
use super::moment::Moment;
use crate::error::SqlError;
use crate::functions::decimal::Decimal;
use crate::json::write_string;
use crate::text::jsonb::scan::{self, Kind};

/// An item of a path's sequence.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Json(Json),
    Moment(Moment),
}

/// A value inside of another one.
#[derive(Clone, Debug)]
pub(super) struct Json {
    pub(super) whole: Rc<str>,
    pub(super) start: usize,
    end: usize,
}

impl From<&str> for Json {
    fn from(text: &str) -> Json {
        Json {
            whole: text.into(),
            start: 0,
            end: text.len(),
        }
    }
}

impl Json {
    pub(super) fn text(&self) -> &str {
        &self.whole[self.start..self.end]
    }

    /// A part, of which the text is a slice of this one's.
    fn part(&self, text: &str) -> Json {
        let start = text.as_ptr() as usize - self.whole.as_ptr() as usize;
        Json {
            whole: self.whole.clone(),
            start,
            end: start + text.len(),
        }
    }
}

/// Three-valued truth: `None` is unknown.
pub(super) type Truth = Option<bool>;

impl Item {
    pub(super) fn json(text: &str) -> Item {
        Item::Json(text.into())
    }

    pub(super) fn string(text: &str) -> Item {
        let mut quoted = String::new();
        write_string(text, &mut quoted);
        Item::json(&quoted)
    }

    pub(super) fn number(value: &Decimal) -> Item {
        Item::json(&value.shown())
    }

    pub(super) fn truth(value: Truth) -> Item {
        Item::json(match value {
            Some(true) => "true",
            Some(false) => "false",
            None => "null",
        })
    }

    /// What it is, unless it is a moment.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self {
            Item::Json(json) => Some(scan::kind(json.text())),
            Item::Moment(_) => None,
        }
    }

    pub(super) fn is_array(&self) -> bool {
        self.kind() == Some(Kind::Array)
    }

    pub(super) fn is_object(&self) -> bool {
        self.kind() == Some(Kind::Object)
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Item::Json(json) => scan::kind(json.text()).name(),
            Item::Moment(moment) => moment.type_name(),
        }
    }

    /// The number that it is, if it is one.
    pub(super) fn as_number(&self) -> Option<Decimal> {
        match self {
            Item::Json(json) if self.kind() == Some(Kind::Number) => Decimal::read(json.text()),
            _ => None,
        }
    }

    /// The string that it is, if it is one.
    pub(super) fn as_string(&self) -> Option<String> {
        match self {
            Item::Json(json) if self.kind() == Some(Kind::String) => {
                Some(scan::unquoted(json.text()))
            }
            _ => None,
        }
    }

    /// Its elements, or the values of its members.
    pub(super) fn parts(&self) -> Vec<Item> {
        let Item::Json(json) = self else {
            return Vec::new();
        };
        let part = |text: &str| Item::Json(json.part(text));
        match scan::kind(json.text()) {
            Kind::Array => scan::elements(json.text()).into_iter().map(part).collect(),
            Kind::Object => {
                let members = scan::members(json.text()).into_iter();
                members.map(|(_, value)| part(value)).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn members(&self) -> Vec<(String, Item)> {
        match self {
            Item::Json(json) if self.is_object() => {
                let members = scan::members(json.text()).into_iter();
                let part = |(key, text)| (key, Item::Json(json.part(text)));
                members.map(part).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn member(&self, key: &str) -> Option<Item> {
        match self {
            Item::Json(json) if self.is_object() => {
                scan::member(json.text(), key).map(|text| Item::Json(json.part(text)))
            }
            _ => None,
        }
    }

    /// The text of the json that it is in a result.
    pub(super) fn into_json(self) -> String {
        match self {
            Item::Json(json) => json.text().to_string(),
            Item::Moment(moment) => {
                let mut out = String::new();
                write_string(&moment.to_string(), &mut out);
                out
            }
        }
    }
}

/// What a comparison says, after compareItems in jsonpath_exec.c. `zone` is that of the functions `…_tz`.
pub(super) fn compare(
    operator: Operator,
    left: &Item,
    right: &Item,
    zone: Option<crate::text::Zone>,
) -> Result<Truth, SqlError> {
    let order = match (left, right) {
        (Item::Moment(left), Item::Moment(right)) => match left.compare(*right, zone)? {
            Some(order) => order,
            None => return Ok(None),
        },
        _ => match (left.kind(), right.kind()) {
            (Some(Kind::Null), Some(Kind::Null)) => Ordering::Equal,
            // Unequal to whatever else, and neither before nor behind it.
            (Some(Kind::Null), _) | (_, Some(Kind::Null)) => {
                return Ok(Some(operator == Operator::NotEqual));
            }
            (Some(left_kind), Some(right_kind)) if left_kind == right_kind => {
                let (Item::Json(one), Item::Json(other)) = (left, right) else {
                    return Ok(None);
                };
                match left_kind {
                    // true is behind false.
                    Kind::Boolean => other.text().len().cmp(&one.text().len()),
                    Kind::Number => {
                        let order = left.as_number().partial_cmp(&right.as_number());
                        order.unwrap_or(Ordering::Equal)
                    }
                    Kind::String => left.as_string().cmp(&right.as_string()),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        },
    };
    Ok(Some(match operator {
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    }))
}
