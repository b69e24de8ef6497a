//! The text that a Redis server answers `INFO` with: lines of `field:value`.
//!
//! The answers may come from processes that nobody trusts to be well-behaved: nothing here panics, and [`lines`] and [`Replica`]
//! keep no copy.

use std::{collections::BTreeMap, str::FromStr};

/// Goes through the fields, in the order of the text. Headings and empty lines are no fields.
pub fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(':'))
}

/// Is the field this name with a number after it: `db0`, `slave12`?
pub fn is_numbered(field: &str, name: &str) -> bool {
    field.strip_prefix(name).is_some_and(|number| number.parse::<u32>().is_ok())
}

/// One part of a value such as `keys=3,expires=0`.
pub fn part<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

/// How a master sees one replica: the value of `slave0`, `slave1`, ….
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica<'a> {
    /// The address that the replica announced.
    pub ip: &'a str,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: &'a str,
    /// What the replica has acknowledged, in bytes.
    pub offset: u64,
    /// How long ago that was, in seconds.
    pub lag: u64,
}

impl<'a> Replica<'a> {
    /// Reads `ip=10.0.0.2,port=6379,state=online,offset=14,lag=0`.
    pub fn parse(value: &'a str) -> Option<Self> {
        Some(Self {
            ip: part(value, "ip")?,
            state: part(value, "state")?,
            offset: part(value, "offset")?.parse().ok()?,
            lag: part(value, "lag")?.parse().ok()?,
        })
    }
}

/// All fields of a text, for whoever trusts the server with the memory. Of a field that is said twice the last counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        Self(lines(text).map(|(field, value)| (field.to_owned(), value.to_owned())).collect())
    }

    /// One field; empty if it is not there.
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    /// One field as a number, if it is one.
    pub fn number<T: FromStr>(&self, field: &str) -> Option<T> {
        self.get(field).parse().ok()
    }

    /// A master's replicas.
    pub fn replicas(&self) -> impl Iterator<Item = Replica<'_>> {
        let slaves = self.0.iter().filter(|(field, _)| is_numbered(field, "slave"));
        slaves.filter_map(|(_, value)| Replica::parse(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let text = "# Replication\r\nrole:master\r\nslave0:ip=fd00::7,port=6379,state=online,offset=900,lag=1\r\n\
            slave1:ip=10.0.0.2,port=6379,state=online,offset=,lag=0\r\nslave_read_only:1\r\nempty:\r\nrole:slave\n";
        let fields = Fields::parse(text);
        assert_eq!((fields.get("role"), fields.get("empty"), fields.get("none")), ("slave", "", ""));
        assert_eq!((fields.number("slave_read_only"), fields.number::<u8>("role")), (Some(1), None));
        let replicas: Vec<_> = fields.replicas().collect();
        assert_eq!(replicas, [Replica { ip: "fd00::7", state: "online", offset: 900, lag: 1 }]);
    }

    #[test]
    fn numbers_belong_to_names() {
        assert!(is_numbered("db0", "db") && is_numbered("slave12", "slave"));
        for other in ["db", "dbx", "db-1", "db0x", "slave_repl_offset", "xdb0"] {
            assert!(!is_numbered(other, "db") && !is_numbered(other, "slave"), "{other}");
        }
        assert_eq!(part("keys=3,expires=0", "expires"), Some("0"));
        assert_eq!((part("keys=3", "key"), part("", "keys")), (None, None));
    }
}
