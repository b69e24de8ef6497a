//! What a Redis says about itself.

use std::collections::BTreeMap;

/// The answer to INFO.
#[derive(Clone, Debug)]
pub struct Info(BTreeMap<String, String>);

impl Info {
    /// Reads `field:value` lines.
    pub fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect())
    }

    /// One field; empty if there is none.
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    /// One field as a number; 0 if it is none.
    pub fn number(&self, field: &str) -> i64 {
        self.get(field).parse().unwrap_or_default()
    }
}
