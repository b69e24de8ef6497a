//! How much one answer may be, checked on the bytes before they are parsed.
//!
//! A server says beforehand how long a text or how many items follow, and the client's parser makes room for all of it at
//! once: `*2000000000` would end the operator, which has few megabytes. An honest answer to what is asked here has some
//! dozen items and some kilobytes; the longest is `INFO keyspace` of a server with thousands of databases.

/// The longest answer, in bytes.
pub const LONGEST: usize = 1 << 18;
/// The most items in an answer, those in nested lists among them.
pub const MOST: u64 = 4096;
/// The longest line that says a length or a number of items: a type, a sign, 19 digits and the line's end fit.
const HEADER: usize = 32;

/// An answer that is larger than any honest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyTooLarge {
    /// It has too many bytes.
    #[error("an answer of more than {LONGEST} bytes")]
    Bytes,
    /// It has too many items.
    #[error("an answer of more than {MOST} items")]
    Items,
    /// A length that is none.
    #[error("an answer with a length that is none")]
    Length,
}

/// Follows the answers of one connection. It need not know how lists are nested: how many items are still to come is
/// enough to tell where an answer ends.
#[derive(Debug)]
pub struct ReplyLimiter {
    at: At,
    /// Items of the present answer that have not begun.
    pending: u64,
    /// Items of the present answer so far.
    items: u64,
    /// Bytes of the present answer so far.
    bytes: usize,
}

#[derive(Debug)]
enum At {
    /// Before the type of an item.
    Start,
    /// In a line whose text means nothing here.
    Line,
    /// In a line that says how many bytes or items follow.
    Header(u8, Vec<u8>),
    /// In a text of so many more bytes, with the line's end behind it.
    Text(usize),
}

impl Default for ReplyLimiter {
    fn default() -> Self {
        Self { at: At::Start, pending: 1, items: 0, bytes: 0 }
    }
}

impl ReplyLimiter {
    /// Takes in what has arrived.
    ///
    /// # Errors
    /// When the present answer is too large. The connection is of no use after that.
    pub fn read(&mut self, mut arrived: &[u8]) -> Result<(), ReplyTooLarge> {
        while let Some((&first, rest)) = arrived.split_first() {
            let used = match &mut self.at {
                At::Start => {
                    self.pending = self.pending.saturating_sub(1);
                    self.items += 1;
                    self.at = match first {
                        b'$' | b'!' | b'=' | b'*' | b'~' | b'>' | b'%' | b'|' => At::Header(first, Vec::new()),
                        _ => At::Line,
                    };
                    1
                }
                At::Line => match arrived.iter().position(|b| *b == b'\n') {
                    Some(end) => {
                        self.at = At::Start;
                        end + 1
                    }
                    None => arrived.len(),
                },
                At::Header(_, line) if first != b'\n' => {
                    line.push(first);
                    if line.len() > HEADER {
                        return Err(ReplyTooLarge::Length);
                    }
                    1
                }
                At::Header(kind, line) => {
                    let (kind, line) = (*kind, std::mem::take(line));
                    self.begin(kind, &line)?;
                    1
                }
                At::Text(left) => {
                    let used = rest.len().saturating_add(1).min(*left);
                    *left -= used;
                    if *left == 0 {
                        self.at = At::Start;
                    }
                    used
                }
            };
            self.bytes = self.bytes.saturating_add(used);
            if self.bytes > LONGEST {
                return Err(ReplyTooLarge::Bytes);
            }
            arrived = arrived.get(used..).unwrap_or_default();
            if matches!(self.at, At::Start) && self.pending == 0 {
                *self = Self::default();
            }
        }
        Ok(())
    }

    fn begin(&mut self, kind: u8, line: &[u8]) -> Result<(), ReplyTooLarge> {
        let text = std::str::from_utf8(line).map_err(|_| ReplyTooLarge::Length)?;
        let said: i64 = text.trim().parse().map_err(|_| ReplyTooLarge::Length)?;
        self.at = At::Start;
        let count = match u64::try_from(said) {
            Ok(count) => count,
            // nothing, as RESP2 says it
            Err(_) if said == -1 && matches!(kind, b'$' | b'*') => return Ok(()),
            Err(_) => return Err(ReplyTooLarge::Length),
        };
        let more = match kind {
            b'$' | b'!' | b'=' => {
                let length = usize::try_from(count).ok().filter(|n| *n <= LONGEST).ok_or(ReplyTooLarge::Bytes)?;
                self.at = At::Text(length + 2);
                0
            }
            b'%' => count.saturating_mul(2),
            b'|' => count.saturating_mul(2).saturating_add(1),
            _ => count,
        };
        self.pending = self.pending.saturating_add(more);
        if self.pending.saturating_add(self.items) > MOST { Err(ReplyTooLarge::Items) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"+PONG\r\n")]
    #[case(b"-LOADING Redis is loading\r\n:12\r\n")]
    #[case(b"$-1\r\n*-1\r\n*0\r\n$0\r\n\r\n")]
    #[case(b"*3\r\n$6\r\nmaster\r\n:0\r\n*1\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n+OK\r\n")]
    #[case(b"%1\r\n+a\r\n_\r\n|1\r\n+b\r\n#t\r\n,nan\r\n>1\r\n+c\r\n=5\r\ntxt:d\r\n")]
    fn an_honest_answer_passes_however_it_arrives(#[case] answer: &[u8]) {
        for size in 1..=answer.len() {
            let mut guard = ReplyLimiter::default();
            for part in answer.chunks(size) {
                assert_eq!(guard.read(part), Ok(()));
            }
            assert_eq!((guard.pending, guard.items, guard.bytes), (1, 0, 0), "it knows where the answers end");
        }
    }

    #[rstest]
    #[case(b"*9223372036854775807\r\n", ReplyTooLarge::Items)]
    #[case(b"*2000000000\r\n", ReplyTooLarge::Items)]
    #[case(b"*4000\r\n*4000\r\n", ReplyTooLarge::Items)]
    #[case(b"%3000\r\n", ReplyTooLarge::Items)]
    #[case(b"|9223372036854775807\r\n", ReplyTooLarge::Items)]
    #[case(b"$262145\r\n", ReplyTooLarge::Bytes)]
    #[case(b"!9223372036854775807\r\n", ReplyTooLarge::Bytes)]
    #[case(b"=-1\r\n", ReplyTooLarge::Length)]
    #[case(b"%-1\r\n", ReplyTooLarge::Length)]
    #[case(b"$99999999999999999999\r\n", ReplyTooLarge::Length)]
    #[case(b"$00000000000000000000000000000000000000000", ReplyTooLarge::Length)]
    #[case(b"*\xff\r\n", ReplyTooLarge::Length)]
    fn a_dishonest_one_does_not(#[case] answer: &[u8], #[case] excess: ReplyTooLarge) {
        assert_eq!(ReplyLimiter::default().read(answer), Err(excess));
    }

    #[test]
    fn neither_does_one_without_an_end() {
        for beginning in [b"+".as_slice(), b"-ERR ", b"*2\r\n$3\r\nabc\r\n+"] {
            let mut guard = ReplyLimiter::default();
            assert_eq!(guard.read(beginning), Ok(()));
            let read = (0..).take_while(|_| guard.read(&[b'a'; 4096]).is_ok()).take(1000).count();
            assert!(read * 4096 <= LONGEST, "{read}");
        }
        let nested = b"*1\r\n".repeat(10_000);
        assert_eq!(ReplyLimiter::default().read(&nested), Err(ReplyTooLarge::Items));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_parts_do_not_matter(bytes: Vec<u8>, digits in "[*$%|!=~>+:][-0-9]{0,25}\r\n", size in 1usize..64) {
            let bytes = [digits.as_bytes(), &bytes].concat();
            let whole = ReplyLimiter::default().read(&bytes);
            let mut guard = ReplyLimiter::default();
            let parts = bytes.chunks(size).try_for_each(|part| guard.read(part));
            prop_assert_eq!(whole, parts);
        }
    }
}
