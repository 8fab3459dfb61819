//! What types the functions and operators of json take.

use std::ops::RangeInclusive;

use datafusion::sql::sqlparser::ast::BinaryOperator;
use tidelog_storage::{ColumnType, ElementType};

use super::operand;
use crate::error::SqlError;
use crate::functions::call;

/// Whether an operator whose left operand is json or jsonb takes a right one of this type; true of those that are none of json's.
pub(crate) fn takes(op: &BinaryOperator, json: ColumnType, ty: ColumnType) -> bool {
    let jsonb = json == ColumnType::Jsonb;
    let is = |wanted| call::becomes(ty, wanted);
    let wanted = operand(op);
    match op {
        _ if !jsonb && json != ColumnType::Json => true,
        BinaryOperator::Arrow | BinaryOperator::LongArrow => is(wanted) || is(ColumnType::Int4),
        BinaryOperator::HashArrow | BinaryOperator::HashLongArrow => is(wanted),
        _ if !jsonb => true,
        // With a text it joins texts.
        BinaryOperator::StringConcat => is(wanted) || is(ColumnType::Text),
        BinaryOperator::Minus => {
            is(wanted) || is(ColumnType::Int4) || is(ColumnType::Array(ElementType::Text))
        }
        BinaryOperator::AtArrow
        | BinaryOperator::ArrowAt
        | BinaryOperator::Question
        | BinaryOperator::QuestionPipe
        | BinaryOperator::QuestionAnd
        | BinaryOperator::HashMinus
        | BinaryOperator::AtQuestion
        | BinaryOperator::AtAt => is(wanted),
        _ => true,
    }
}

/// What a function takes.
pub(crate) struct Parameters {
    /// The name that PostgreSQL has for it.
    pub(super) name: String,
    /// Their types, which bare literals and untyped parameters become; the last one's that of all that follow, if any
    /// number may.
    types: Vec<ColumnType>,
    counts: RangeInclusive<usize>,
}

/// The parameters of a function; `None` for one that takes any.
pub(crate) fn parameters(name: &str) -> Option<Parameters> {
    use ColumnType::{Bool, Int4, Text};
    let (prefix, rest) = name.split_once('_')?;
    let json = match prefix {
        "jsonb" => ColumnType::Jsonb,
        "json" => ColumnType::Json,
        _ => return None,
    };
    let path = ColumnType::Array(ElementType::Text);
    let (types, counts) = match rest {
        "set" | "insert" => (vec![json, path, json, Bool], 3..=4),
        "set_lax" => (vec![json, path, json, Bool, Text], 3..=5),
        "object" => (vec![path, path], 1..=2),
        "concat" | "contains" | "contained" => (vec![json, json], 2..=2),
        "exists_any" | "exists_all" | "delete_path" => (vec![json, path], 2..=2),
        "exists" | "object_field" | "object_field_text" => (vec![json, Text], 2..=2),
        "delete" => (vec![json, Text], 2..=usize::MAX),
        "array_element" | "array_element_text" => (vec![json, Int4], 2..=2),
        "extract_path" | "extract_path_text" => (vec![json, Text], 2..=usize::MAX),
        "typeof" | "array_length" | "strip_nulls" | "pretty" => (vec![json], 1..=1),
        "list_of_to_record" | "list_of_to_recordset" => (vec![json], 1..=3),
        rest if rest.starts_with("list_of_") => (vec![json], 1..=1),
        _ => return None,
    };
    let called = match rest {
        "list_of_elements" => "array_elements",
        "list_of_elements_text" => "array_elements_text",
        "list_of_keys" => "object_keys",
        "list_of_each_keys" | "list_of_values" => "each",
        "list_of_each_text_keys" | "list_of_values_text" => "each_text",
        rest => rest,
    };
    Some(Parameters {
        name: format!("{prefix}_{called}"),
        types,
        counts,
    })
}

impl Parameters {
    /// The type of the parameter at this place.
    pub(crate) fn at(&self, place: usize) -> Option<ColumnType> {
        let last = self
            .types
            .last()
            .filter(|_| *self.counts.end() == usize::MAX);
        self.types.get(place).or(last).copied()
    }

    /// 42883 unless it takes arguments of these types; `None` is one that is not known.
    pub(crate) fn check(&self, given: &[Option<ColumnType>]) -> std::result::Result<(), SqlError> {
        let takes = |(place, ty): (usize, &Option<ColumnType>)| match (self.at(place), *ty) {
            (Some(wanted), Some(ty)) => call::becomes(ty, wanted) || place == 1 && self.deletes(ty),
            _ => true,
        };
        match self.counts.contains(&given.len()) && given.iter().enumerate().all(takes) {
            true => Ok(()),
            false => Err(call::no_such(&self.name, given)),
        }
    }

    /// `jsonb_delete` takes a place or several keys, too.
    fn deletes(&self, ty: ColumnType) -> bool {
        let keys = ColumnType::Array(ElementType::Text);
        self.name == "jsonb_delete"
            && (call::becomes(ty, ColumnType::Int4) || call::becomes(ty, keys))
    }
}
