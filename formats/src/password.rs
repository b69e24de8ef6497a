//! What the password is: one definition for the operator, the drill, and (in shell) the container's start script.

use std::{fmt, sync::Arc};

/// Redis takes no more from a client that is not logged in ("unauthenticated bulk length").
pub const LONGEST: usize = 16384;

/// The password of a replication: one line of UTF-8 text.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<str>);

/// Why bytes are no password. The words are those of `boot.sh`, which checks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nothing, or a line feed alone.
    #[error("is empty")]
    Empty,
    /// More than [`LONGEST`] bytes.
    #[error("is longer than {LONGEST} bytes, which is the most that Redis takes at a login")]
    TooLong,
    /// Other bytes than UTF-8 text has.
    #[error("is not UTF-8 text")]
    NotText,
    /// What some editors put before a text, and nobody types.
    #[error("begins with a byte order mark")]
    ByteOrderMark,
    /// Lines that end as on Windows.
    #[error("contains a carriage return")]
    CarriageReturn,
    /// A tab is the only one that is meant.
    #[error("contains a control character")]
    ControlCharacter,
    /// A line feed anywhere but at the end.
    #[error("has several lines")]
    SeveralLines,
}

impl Password {
    /// The password in a file or a Secret. One line feed at the end is the file's, and not meant.
    pub fn read(bytes: &[u8]) -> Result<Self, PasswordError> {
        use PasswordError as E;
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if line.is_empty() {
            return Err(E::Empty);
        }
        if line.len() > LONGEST {
            return Err(E::TooLong);
        }
        let text = std::str::from_utf8(line).map_err(|_| E::NotText)?;
        if text.starts_with('\u{feff}') {
            return Err(E::ByteOrderMark);
        }
        let refused = text.bytes().find_map(|byte| match byte {
            b'\n' => Some(E::SeveralLines),
            b'\r' => Some(E::CarriageReturn),
            b'\t' => None,
            byte if byte < b' ' => Some(E::ControlCharacter),
            _ => None,
        });
        refused.map_or_else(|| Ok(Self(text.into())), Err)
    }

    /// A new one: 62^32, some 190 bits, if `letter` is one of letters and digits at random.
    pub fn made_up(letter: impl FnMut() -> char) -> Self {
        Self(std::iter::repeat_with(letter).take(32).collect::<String>().into())
    }

    /// The password itself, to log in with.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Never in a log.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}
