//! One object that cannot be decoded must not stop the watch of all others.
//!
//! What the schema of a definition lets in and what our types understand may differ: an older definition is installed, a newer
//! operator has written a status, a free-form field is nested a thousand levels deep. kube decodes a whole list at once, so
//! one such object would fail the list. Here each object is decoded by itself; of one that cannot be, the metadata and the
//! first field at fault are kept.

use std::{borrow::Cow, fmt};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::fault::{Fault, locate};

/// The deepest object that is read. A pod template has some twelve levels; the JSON parser gives up a whole list at 128.
const DEEPEST: usize = 64;

/// An object as the API server sent it, if it can be decoded.
#[derive(Clone, Debug)]
pub struct Isolated<K>(pub Result<K, Box<Undecodable>>);

/// What is known of an object that cannot be decoded.
#[derive(Clone)]
pub struct Undecodable {
    /// Its metadata, without the managed fields.
    pub metadata: ObjectMeta,
    /// The first field at fault.
    pub fault: Fault,
    content: Value,
}

/// Never prints the content: it may be another's secret.
impl fmt::Debug for Undecodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecodable").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Undecodable {
    /// A top-level part such as `spec`, where that alone can be decoded.
    pub fn part<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        T::deserialize(self.content.get(name).unwrap_or(&Value::Null)).ok()
    }

    /// An integer at a JSON pointer.
    pub fn integer(&self, pointer: &str) -> Option<i64> {
        self.content.pointer(pointer)?.as_i64()
    }

    /// The object without the fields at fault. Only for kinds of which a missing field means the same as one that is not known.
    pub fn pruned<K: DeserializeOwned>(&self) -> Option<K> {
        const MOST: usize = 16;
        let mut content = self.content.clone();
        for _ in 0..MOST {
            match K::deserialize(&content) {
                Ok(object) => return Some(object),
                Err(_) => locate::<K>(&content).remove_from(&mut content)?,
            }
        }
        None
    }
}

impl<K: DeserializeOwned> Isolated<K> {
    fn of(mut content: Value) -> Self {
        let too_deep = cut(&mut content);
        let fault = match (too_deep, K::deserialize(&content)) {
            (None, Ok(object)) => return Self(Ok(object)),
            (Some(path), _) => Fault::too_deep(path, DEEPEST),
            (None, Err(_)) => locate::<K>(&content),
        };
        let metadata = content.get("metadata").unwrap_or(&Value::Null);
        let metadata = ObjectMeta::deserialize(metadata).unwrap_or_else(|_| identity(metadata));
        Self(Err(Box::new(Undecodable { metadata, fault, content })))
    }
}

/// What must be known of any object.
fn identity(metadata: &Value) -> ObjectMeta {
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).map(str::to_owned);
    ObjectMeta {
        name: text("name"),
        namespace: text("namespace"),
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        ..ObjectMeta::default()
    }
}

/// Puts a mark that no type understands in the place of each part that is too deep; returns the path of the first.
fn cut(content: &mut Value) -> Option<String> {
    let mut first = None;
    for (name, part) in content.as_object_mut()? {
        let inner = part.as_object().and_then(|fields| fields.iter().find(|(_, value)| depth(value) > DEEPEST - 2));
        if let Some((field, _)) = inner {
            first.get_or_insert(format!("{name}.{field}"));
            *part = Value::Bool(false);
        } else if depth(part) > DEEPEST - 1 {
            first.get_or_insert(name.clone());
            *part = Value::Bool(false);
        }
    }
    first
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Isolated<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Bounded { left: DEEPEST + 1 }.deserialize(deserializer).map(Self::of)
    }
}

/// Reads any JSON, and passes over what is deeper than so many levels: that needs no stack. An object's managed fields are never read.
#[derive(Clone, Copy)]
struct Bounded {
    left: usize,
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        match self.left.checked_sub(1) {
            None => while items.next_element::<IgnoredAny>()?.is_some() {},
            Some(left) => {
                while let Some(item) = items.next_element_seed(Self { left })? {
                    all.push(item);
                }
            }
        }
        Ok(Value::Array(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            match self.left.checked_sub(1) {
                Some(left) if self.left != DEEPEST || name != "managedFields" => {
                    drop(all.insert(name, fields.next_value_seed(Self { left })?));
                }
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(all))
    }
}

impl<K: Resource> Resource for Isolated<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &K::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }
    fn group(dt: &K::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }
    fn version(dt: &K::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }
    fn plural(dt: &K::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }
    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(broken) => &broken.metadata,
        }
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(broken) => &mut broken.metadata,
        }
    }
}

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod tests;
