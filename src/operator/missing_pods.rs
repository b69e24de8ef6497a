//! Pods that are not made although they are wanted.
//!
//! While a pod of a former `StatefulSet` still ends under the name of one that is wanted, the controller's attempts to make it
//! fail, and it waits twice as long after each; of that pod's end it does not hear, since it belonged to another. Seen: three
//! minutes and more. Whatever changes the `StatefulSet` makes it look at once.

use std::collections::BTreeSet;

use tokio::time::{Duration, Instant};

/// Usually a pod is made anew within a second.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where there is another reason (a quota, a webhook), the controller's own patience is right.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Which wanted pods are missing, and when their controller is to be reminded of them.
#[derive(Clone, Debug, Default)]
pub struct MissingPods {
    missing: BTreeSet<String>,
    due: Option<Instant>,
}

impl MissingPods {
    /// Is it time to remind the `StatefulSet`'s controller? If so, it counts as done.
    pub fn calls_for_reminder(&mut self, missing: BTreeSet<String>, now: Instant) -> bool {
        if missing != self.missing {
            self.due = Some(now + PATIENCE);
            self.missing = missing;
        }
        let is_due = !self.missing.is_empty() && self.due.is_some_and(|due| now >= due);
        if is_due {
            self.due = Some(now + AGAIN_AFTER);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controller_is_reminded_now_and_then() {
        let (mut absence, began) = (MissingPods::default(), Instant::now());
        let mut at = |seconds, missing: &[&str]| {
            let missing = missing.iter().map(|name| (*name).to_owned()).collect();
            absence.calls_for_reminder(missing, began + Duration::from_secs(seconds))
        };
        assert!(!at(0, &["a"]) && !at(4, &["a"]), "it may be about to be made");
        assert!(at(5, &["a"]) && !at(6, &["a"]) && !at(34, &["a"]) && at(35, &["a"]));
        assert!(!at(36, &["a", "b"]) && at(41, &["a", "b"]), "another name has become free");
        assert!(!at(42, &[]) && !at(99, &[]), "all are there");
        assert!(!at(100, &["a"]) && at(105, &["a"]), "another time");
    }
}
