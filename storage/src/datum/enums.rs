//! Enum types, as part of the types of columns.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What CREATE TYPE … AS ENUM and ALTER TYPE made of an enum type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumDef {
    /// Its oid, for ever.
    pub oid: u32,
    /// The schema it stands in.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its labels, in their order.
    pub labels: Vec<EnumLabel>,
}

/// A value of an enum type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnumLabel {
    /// How it is written.
    pub name: String,
    /// Where it stands among the others (`pg_enum.enumsortorder`). It never changes, so that keys stay in order
    /// when a label is put between two others.
    pub order: f64,
}

impl EnumDef {
    /// Where a label stands among the others; `None` when the type has no such label.
    pub fn order(&self, label: &str) -> Option<f64> {
        let found = self.labels.iter().find(|known| known.name == label);
        found.map(|label| label.order)
    }
}

/// One definition of an enum type, for use as a column's type.
///
/// A definition lives as long as the process, because types are copied into every plan; there is one for each
/// CREATE TYPE and ALTER TYPE.
#[derive(Clone, Copy, Debug)]
pub struct EnumType(&'static EnumDef);

/// Every definition that there was, by its JSON.
static DEFINITIONS: LazyLock<Mutex<HashMap<String, EnumType>>> = LazyLock::new(Mutex::default);

impl EnumType {
    /// The type of a definition. Equal definitions give equal types.
    pub fn new(definition: EnumDef) -> EnumType {
        let json = serde_json::to_string(&definition).expect("strings and numbers have a JSON");
        let mut known = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner);
        *(known.entry(json)).or_insert_with(|| EnumType(Box::leak(Box::new(definition))))
    }

    /// Whether the other is a later definition of this type, or this one.
    pub fn is_before(self, other: EnumType) -> bool {
        let (old, new) = (self.0, other.0);
        let kept = |label: &EnumLabel| new.order(&label.name) == Some(label.order);
        old.oid == new.oid && old.labels.iter().all(kept)
    }

    /// The definition.
    pub fn definition(self) -> &'static EnumDef {
        self.0
    }
}

impl PartialEq for EnumType {
    fn eq(&self, other: &EnumType) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for EnumType {}

impl Hash for EnumType {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.oid.hash(state);
    }
}

impl Serialize for EnumType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for EnumType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EnumType, D::Error> {
        EnumDef::deserialize(deserializer).map(EnumType::new)
    }
}
