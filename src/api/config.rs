//! A value of `spec.config`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Number;

/// A text, or a number. The schema lets integers of any size in, so all of them are decoded: Kubernetes' own
/// int-or-string has 32 bits.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// A plain number.
    Number(Number),
    /// A quoted value.
    Text(String),
}

impl ConfigValue {
    /// What redis.conf gets; `None` for a number of which only an approximation was kept.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Number(number) => (number.is_i64() || number.is_u64()).then(|| number.to_string()),
            Self::Text(text) => Some(text.clone()),
        }
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = ConfigValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text (quote \"yes\" and \"no\")")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Number(number.into()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Number(number.into()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<ConfigValue, E> {
                let number = Number::from_f64(number);
                number.map(ConfigValue::Number).ok_or_else(|| E::custom("not a finite number"))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for ConfigValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigValue".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::more_than_32_bits("4294967296", Some("4294967296"))]
    #[case::below_32_bits("-2147483649", Some("-2147483649"))]
    #[case::largest("9223372036854775807", Some("9223372036854775807"))]
    #[case::smallest("-9223372036854775808", Some("-9223372036854775808"))]
    #[case::unsigned("18446744073709551615", Some("18446744073709551615"))]
    #[case::text("\"2gb\"", Some("2gb"))]
    #[case::beyond_64_bits("18446744073709551616", None)]
    #[case::exponent("1e300", None)]
    #[case::fraction("0.5", None)]
    fn numbers_of_any_size_are_decoded(#[case] json: &str, #[case] text: Option<&str>) {
        let value: ConfigValue = serde_json::from_str(json).unwrap();
        assert_eq!(value.text().as_deref(), text, "{value:?}");
        let again: ConfigValue = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
        assert_eq!(again, value);
    }

    #[test]
    fn what_is_neither_says_what_to_quote() {
        let error = serde_json::from_str::<ConfigValue>("true").unwrap_err().to_string();
        assert!(error.contains("expected a number or a text (quote \"yes\" and \"no\")"), "{error}");
    }
}
