//! What a Redis said before it ended: the lines that say why, without the noise of every start.

/// How many characters are shown.
const LIMIT: usize = 400;

/// A message of so many bytes may have lost its beginning: the kubelet keeps 2048 bytes of a log.
const CUT: usize = 2000;

/// What every start and every orderly end says, as a warning in some versions.
const NOISE: &[&str] = &[
    "oO0OoO0OoO0Oo",
    "Redis version=",
    "Valkey version=",
    "Configuration loaded",
    "Server initialized",
    "WARNING Memory overcommit",
    "WARNING overcommit_memory",
    "WARNING: The TCP backlog",
    "WARNING you have Transparent Huge Pages",
    "WARNING Your system is configured to use the",
    "Error condition on socket for SYNC",
    "User requested shutdown",
    "is now ready to exit",
    ":signal-handler (",
];

/// Why a data file cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The append-only file ends in something that is no command, which `redis-check-aof --fix` cuts off.
    Tail,
    /// A file of the append-only log, or its manifest, is missing or unreadable.
    AppendOnly,
    /// The snapshot is incomplete or no snapshot.
    Snapshot,
    /// The file was written by a newer version.
    Newer,
}

/// What Redis says of each kind of damage, in all versions.
const DAMAGE: &[(&str, Damage)] = &[
    ("Can't handle RDB format version", Damage::Newer),
    ("Bad file format reading the append only file", Damage::Tail),
    ("Unexpected end of file reading the append only file", Damage::Tail),
    ("FATAL AOF MANIFEST FILE ERROR", Damage::AppendOnly),
    ("Invalid AOF manifest file format", Damage::AppendOnly),
    ("Unable to obtain the AOF file", Damage::AppendOnly),
    ("Unrecoverable error reading the append only file", Damage::AppendOnly),
    ("Wrong signature trying to load DB", Damage::Snapshot),
    ("Short read or OOM loading DB", Damage::Snapshot),
    ("Wrong RDB checksum", Damage::Snapshot),
    ("Internal error in RDB reading", Damage::Snapshot),
    ("Unexpected EOF reading RDB file", Damage::Snapshot),
];

/// The damage that a message speaks of.
pub fn damage(message: &str) -> Option<Damage> {
    let found = DAMAGE.iter().find(|(words, _)| message.contains(words)).map(|(_, damage)| *damage);
    // the base of an append-only log is a snapshot too
    found.map(
        |damage| if damage == Damage::Snapshot && message.contains(".base.rdb") { Damage::AppendOnly } else { damage },
    )
}

/// The lines that matter, on one: warnings, what is said without a level (the script before Redis, a fatal error of the
/// configuration); without any, the end.
pub fn last_words(message: &str) -> String {
    let mut lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if message.len() >= CUT && lines.len() > 1 {
        lines.remove(0);
    }
    let noisy = |line: &str| NOISE.iter().any(|noise| line.contains(noise));
    let matter: Vec<&str> = lines
        .iter()
        .filter_map(|line| match logged(line) {
            Some(('#', words)) => Some(words.trim()),
            Some(_) => None,
            None => Some(*line),
        })
        .filter(|words| !words.is_empty() && !noisy(words))
        .collect();
    if matter.is_empty() {
        let all = lines.join(" | ");
        let skip = all.chars().count().saturating_sub(LIMIT);
        return if all.is_empty() { "it said nothing".into() } else { printable(&all).skip(skip).collect() };
    }
    printable(&matter.join(" | ")).take(LIMIT).collect()
}

/// The process may say what it likes.
fn printable(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| if c.is_control() { ' ' } else { c })
}

/// The level and the words of a line of Redis' log: `1:M 27 Nov 2026 19:21:18.123 # Words`.
fn logged(line: &str) -> Option<(char, &str)> {
    let (process, rest) = line.split_once(' ')?;
    let (id, role) = process.split_once(':')?;
    let is_log = !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()) && role.len() == 1;
    let mut parts = rest.splitn(6, ' ');
    let level = parts.nth(4).filter(|level| is_log && level.len() == 1)?;
    Some((level.chars().next()?, parts.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the servers said it, in Debian's Redis 7.0.15 and 8.0.2 and Valkey 8.1.1.
    #[test]
    fn what_real_servers_said() {
        let start = "1:C 27 Nov 2026 19:21:18.101 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo\n\
            1:C 27 Nov 2026 19:21:18.101 # Redis version=7.0.15, bits=64, commit=00000000, modified=0, pid=1, just started\n\
            1:C 27 Nov 2026 19:21:18.101 # Configuration loaded\n\
            1:S 27 Nov 2026 19:21:18.102 # WARNING Memory overcommit must be enabled! Without it, a background save may fail.\n\
            1:S 27 Nov 2026 19:21:18.102 * Running mode=standalone, port=6379.\n\
            1:S 27 Nov 2026 19:21:18.102 # Server initialized\n";
        for (end, expected, found) in [
            (
                "\n*** FATAL CONFIG FILE ERROR (Redis 7.0.15) ***\nReading the configuration file, at line 2\n\
                 >>> 'no-such-directive 1'\nBad directive or wrong number of arguments\n",
                "*** FATAL CONFIG FILE ERROR (Redis 7.0.15) *** | Reading the configuration file, at line 2 | \
                 >>> 'no-such-directive 1' | Bad directive or wrong number of arguments",
                None,
            ),
            (
                "1:S 27 Nov 2026 19:21:18.102 # Unresolved Configuration(s) Detected:\n\
                 1:S 27 Nov 2026 19:21:18.102 # >>> 'no-such-directive 1'\n\
                 1:S 27 Nov 2026 19:21:18.102 # Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting\n",
                "Unresolved Configuration(s) Detected: | >>> 'no-such-directive 1' | \
                 Module Configuration detected without loadmodule directive or no ApplyConfig call: aborting",
                None,
            ),
            (
                "1:S 27 Nov 2026 19:21:18.102 # Warning: Could not create server TCP listening socket *:6379: bind: Address already in use\n\
                 1:S 27 Nov 2026 19:21:18.102 # Failed listening on port 6379 (tcp), aborting.\n",
                "Warning: Could not create server TCP listening socket *:6379: bind: Address already in use | \
                 Failed listening on port 6379 (tcp), aborting.",
                None,
            ),
            (
                "1:S 27 Nov 2026 19:21:18.102 * Reading RDB base file on AOF loading...\n\
                 1:S 27 Nov 2026 19:21:18.102 # Bad file format reading the append only file appendonly.aof.1.incr.aof: \
                 make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>\n",
                "Bad file format reading the append only file appendonly.aof.1.incr.aof: \
                 make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>",
                Some(Damage::Tail),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # \n*** FATAL AOF MANIFEST FILE ERROR ***\n\n\
                 1:M 27 Nov 2026 19:21:18.102 # Reading the manifest file, at line 1\n\n\
                 1:M 27 Nov 2026 19:21:18.102 # >>> 'garbage'\n\n1:M 27 Nov 2026 19:21:18.102 # Invalid AOF manifest file format\n",
                "*** FATAL AOF MANIFEST FILE ERROR *** | Reading the manifest file, at line 1 | >>> 'garbage' | \
                 Invalid AOF manifest file format",
                Some(Damage::AppendOnly),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Unable to obtain the AOF file appendonly.aof.1.incr.aof length. stat: No such file or directory\n",
                "Unable to obtain the AOF file appendonly.aof.1.incr.aof length. stat: No such file or directory",
                Some(Damage::AppendOnly),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Can't handle RDB format version 99\n\
                 1:M 27 Nov 2026 19:21:18.102 # Fatal error loading the DB, check server logs. Exiting.\n",
                "Can't handle RDB format version 99 | Fatal error loading the DB, check server logs. Exiting.",
                Some(Damage::Newer),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Wrong signature trying to load DB from file\n\
                 1:M 27 Nov 2026 19:21:18.102 # Fatal error loading the DB: Invalid argument. Exiting.\n",
                "Wrong signature trying to load DB from file | Fatal error loading the DB: Invalid argument. Exiting.",
                Some(Damage::Snapshot),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Short read or OOM loading DB. Unrecoverable error, aborting now.\n\
                 1:M 27 Nov 2026 19:21:18.102 # Internal error in RDB reading offset 0, function at rdb.c:3732 -> Unexpected EOF reading RDB file\n\
                 [offset 0] Checking RDB file appendonly.aof.2.base.rdb\n",
                "Short read or OOM loading DB. Unrecoverable error, aborting now. | \
                 Internal error in RDB reading offset 0, function at rdb.c:3732 -> Unexpected EOF reading RDB file | \
                 [offset 0] Checking RDB file appendonly.aof.2.base.rdb",
                Some(Damage::AppendOnly),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Short read or OOM loading DB. Unrecoverable error, aborting now.\n\
                 [offset 0] Checking RDB file dump.rdb\n",
                "Short read or OOM loading DB. Unrecoverable error, aborting now. | [offset 0] Checking RDB file dump.rdb",
                Some(Damage::Snapshot),
            ),
            (
                "1:M 27 Nov 2026 19:21:18.102 # Fatal error: can't open the RDB file dump.rdb for reading: Permission denied\n",
                "Fatal error: can't open the RDB file dump.rdb for reading: Permission denied",
                None,
            ),
            (
                "1:S 27 Nov 2026 19:21:18.102 # Fatal: Can't initialize Background Jobs. Error message: Cannot allocate memory\n",
                "Fatal: Can't initialize Background Jobs. Error message: Cannot allocate memory",
                None,
            ),
            (
                "Redis is not started: the password in the Secret is empty\n",
                "Redis is not started: the password in the Secret is empty",
                None,
            ),
        ] {
            for before in ["", start] {
                let message = format!("{before}{end}");
                assert_eq!(last_words(&message), expected);
                assert_eq!(damage(&last_words(&message)), found, "{expected}");
            }
        }
        let orderly = format!("{start}1:signal-handler (1795807271) Received SIGTERM scheduling shutdown...\n");
        assert!(last_words(&orderly).contains("SIGTERM"), "nothing else is known: the end");
    }

    #[test]
    fn it_is_short_whatever_was_said() {
        assert_eq!(last_words(" \n"), "it said nothing");
        let cut = format!("of a word\n1:M 27 Nov 2026 19:21:18.102 # {}\n", "\u{e9}".repeat(1500));
        let words = last_words(&cut);
        assert!(
            words.starts_with('\u{e9}') && words.chars().count() == LIMIT,
            "a line that has lost its beginning is left out"
        );
        assert_eq!(last_words("Killed\n"), "Killed");
        assert_eq!(last_words("a\u{1b}[0mb\n"), "a [0mb");
        assert_eq!(last_words(&"1:M 27 Nov 2026 19:21:18.102 * loading\n".repeat(30)).chars().count(), LIMIT);
    }
}
