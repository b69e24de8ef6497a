//! Kubernetes' own rules for names, labels and quantities, checked before an object is made that it would refuse.

/// A quantity above zero, such as `10Gi`.
pub(super) fn is_positive_quantity(text: &str) -> bool {
    is_quantity(text) && !text.starts_with('-') && number(text).bytes().any(|byte| (b'1'..=b'9').contains(&byte))
}

/// A quantity: a decimal number, and a suffix such as `m`, `k`, `Gi` or `e3`.
pub(super) fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = number(text);
    let digits = number.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && number.bytes().filter(|byte| *byte == b'.').count() <= 1 && is_suffix(&unsigned[number.len()..])
}

/// How many bytes a quantity above zero is, rounded down; `None` for what is none, and for one beyond all memory.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let number = is_positive_quantity(text).then(|| number(text))?;
    let suffix = text.strip_prefix('+').unwrap_or(text).get(number.len()..)?;
    let power =
        |base: f64, suffix: &str| "kMGTPE".find(suffix).and_then(|i| i32::try_from(i).ok()).map(|i| base.powi(i + 1));
    let factor = match (suffix, suffix.strip_suffix('i')) {
        ("", _) => 1.0,
        ("n", _) => 1e-9,
        ("u", _) => 1e-6,
        ("m", _) => 1e-3,
        ("Ki", _) => 1024.0,
        (_, Some(binary)) => power(1024.0, binary)?,
        _ if suffix.len() > 1 => format!("1{suffix}").parse().ok()?,
        _ => power(1000.0, suffix)?,
    };
    let bytes = number.parse::<f64>().ok()? * factor;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within bounds
    (bytes < 1e18).then_some(bytes as u64)
}

/// How many bytes a size in redis.conf is: `100`, `1k`, `1kb`, `5GB` (`memtoull` in Redis' util.c). `None` for a text that is no size.
pub(super) fn redis_bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The digits and points after the sign.
fn number(text: &str) -> &str {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    &unsigned[..end]
}

fn is_suffix(suffix: &str) -> bool {
    const SUFFIXES: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let exponent = suffix.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    SUFFIXES.contains(&suffix)
        || exponent.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The key of a label or annotation: a name, perhaps with a domain before a slash.
pub(super) fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(domain) && is_name(name),
        None => is_name(key),
    }
}

/// The value of a label: a name, or nothing.
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

/// Letters, digits, `-`, `_` and `.`, at most 63, with a letter or digit at both ends.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    name.len() <= 63 && name.bytes().all(inner) && has_ends(name, |byte| byte.is_ascii_alphanumeric())
}

/// The name of most objects: lower-case letters, digits, `-` and `.`, at most 253.
pub(super) fn is_dns_subdomain(name: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| label.bytes().all(|byte| lower(byte) || byte == b'-') && has_ends(label, lower);
    name.len() <= 253 && name.split('.').all(label)
}

/// The key of a Secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !key.is_empty() && key.len() <= 253 && key != "." && !key.starts_with("..") && key.bytes().all(allowed)
}

fn has_ends(text: &str, end: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(&end) && text.bytes().last().is_some_and(&end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for text in ["1", "10Gi", "1.5Gi", ".5", "5.", "100m", "+2k", "1e3", "1E-3", "2E"] {
            assert!(is_positive_quantity(text), "{text}");
        }
        for text in ["0", "-1Gi", "0.0Gi"] {
            assert!(is_quantity(text) && !is_positive_quantity(text), "{text}");
        }
        for text in ["", "Gi", "10GB", "ten", "1.2.3", "1 Gi", "1e", "10gi", ".", "+-1", "1ü"] {
            assert!(!is_quantity(text) && !is_positive_quantity(text), "{text}");
        }
    }

    #[test]
    fn bytes_of_memory() {
        for (text, expected) in [
            ("1", Some(1)),
            ("128974848", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("129M", Some(129_000_000)),
            ("+123Mi", Some(123 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("2k", Some(2000)),
            ("4Ki", Some(4096)),
            ("1Ti", Some(1 << 40)),
            ("1500m", Some(1)),
            ("9999999E", None),
            ("0", None),
            ("-1", None),
            ("lots", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn labels() {
        for key in ["team", "a.b-c_D", "example.com/team", "x.y.example.com/A"] {
            assert!(is_qualified_name(key), "{key}");
        }
        for key in ["", "-a", "a-", "a b", "/a", "a/", "a/b/c", "Example.com/a", "ä", &"x".repeat(64)] {
            assert!(!is_qualified_name(key), "{key}");
        }
        for value in ["", "web", "1.0_b"] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["a b", "-", "a/b", &"x".repeat(64)] {
            assert!(!is_label_value(value), "{value}");
        }
    }

    #[test]
    fn names() {
        for name in ["a", "my-secret", "my.secret.2"] {
            assert!(is_dns_subdomain(name), "{name}");
        }
        for name in ["", "A", "a_b", "a..b", "-a", "a.", "a/b", &"x".repeat(254)] {
            assert!(!is_dns_subdomain(name), "{name}");
        }
        for key in ["password", "redis_password", "a.B-c", ".hidden"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["", ".", "..", "..a", "a/b", "a b"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }
}
