//! Lengths of time as people write them: `90s`, `5m`.

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It has no number at its beginning.
    #[error("{0:?} is not a duration such as 90s or 5m")]
    NoNumber(String),
    /// What follows the number is unknown.
    #[error("{0:?} is not a unit of time: use ms, s, m or h")]
    Unit(String),
    /// No machine waits that long.
    #[error("{0} is too long")]
    TooLong(String),
}

/// Reads `1500ms`, `90s`, `5m`, `1h`, or seconds without a unit.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let spelled = unit.bytes().all(|byte| byte.is_ascii_alphabetic());
    if number.is_empty() || !spelled {
        return Err(DurationError::NoNumber(text.to_owned()));
    }
    let too_long = || DurationError::TooLong(text.to_owned());
    let number: u64 = number.parse().map_err(|_| too_long())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs).ok_or_else(too_long);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        other => Err(DurationError::Unit(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("90s", 90_000), ("5m", 300_000), ("250ms", 250), ("2h", 7_200_000), ("7", 7000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told() {
        for text in ["", "s", "soon", "-1s", "+1s", "1.5s", "3 fortnights", "1s2", " 1s", "１s"] {
            assert_eq!(parse(text), Err(DurationError::NoNumber(text.to_owned())), "{text}");
        }
        assert_eq!(parse("3w"), Err(DurationError::Unit("w".to_owned())));
        assert_eq!(parse("1S"), Err(DurationError::Unit("S".to_owned())));
        for text in ["99999999999999999999ms", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(DurationError::TooLong(text.to_owned())), "{text}");
        }
    }
}
