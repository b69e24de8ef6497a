//! What a step brought about, and what is to be remembered of it. Pure. The operator and the simulation remember the same.

use std::collections::BTreeSet;

use super::{
    memory::{Demotion, Hold, Memory},
    observation::{Moment, RoleLabel},
    persistence::Attempt,
    record::Change,
    transition::HOLD,
};
use crate::kinds::Outcome;

/// What a step brought about. Neither an answer of Redis nor a watch tells it, or not at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that the next answers do not tell.
    Nothing,
    /// A master holds clients' writes back.
    Held {
        /// Which.
        member: String,
        /// Its process.
        run_id: String,
        /// When that was asked for: Redis ends it by itself [`HOLD`] after that, or later.
        asked: Moment,
        /// When it was certainly in force.
        since: Moment,
    },
    /// It lets them through again.
    Released,
    /// A master was demoted while alive.
    Demoted {
        /// Which.
        member: String,
        /// Its process.
        run_id: String,
        /// When.
        at: Moment,
        /// All that it acknowledged is below this offset.
        offset: u64,
    },
    /// The clients of a former master were sent away.
    Dropped {
        /// Of which.
        member: String,
    },
    /// Replicas that are no members were disconnected.
    Disconnected {
        /// Their addresses.
        addresses: BTreeSet<String>,
        /// When.
        at: Moment,
    },
    /// The master Service leads to another pod.
    Routed {
        /// To which.
        to: String,
        /// Since when.
        at: Moment,
    },
    /// A pod has another role label.
    Labelled {
        /// The pod's identity.
        uid: String,
        /// Which.
        role: RoleLabel,
    },
    /// A pod was deleted, to be made anew.
    Replaced {
        /// Its identity.
        uid: String,
    },
    /// A pod was deleted because its process hung.
    Killed {
        /// Its identity.
        uid: String,
        /// When.
        at: Moment,
    },
    /// A member was asked to change what it writes to its disk.
    Persisted {
        /// Which.
        member: String,
        /// How, and what it answered.
        attempt: Attempt,
    },
    /// Changes of the record are in the status.
    Recorded {
        /// Which.
        changes: Vec<Change>,
        /// Since when.
        at: Moment,
    },
}

impl Memory {
    /// Remembers what a step brought about.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Held { member, run_id, asked, since } => {
                let (member, run_id) = (member.clone(), run_id.clone());
                self.hold = Some(Hold { member, run_id, since: *since, until: *asked + HOLD });
            }
            Effect::Released => self.hold = None,
            Effect::Demoted { member, run_id, at, offset } => {
                let demotion = Demotion { run_id: run_id.clone(), at: *at, offset: *offset, dropped: 0 };
                self.demoted.insert(member.clone(), demotion);
            }
            Effect::Dropped { member } => {
                if let Some(demotion) = self.demoted.get_mut(member) {
                    demotion.dropped += 1;
                }
            }
            Effect::Disconnected { addresses, at } => {
                self.disconnected.extend(addresses.iter().map(|address| (address.clone(), *at)));
            }
            Effect::Routed { to: _, at } => self.routed_at = Some(*at),
            Effect::Killed { uid, at } => drop(self.killed.insert(uid.clone(), *at)),
            Effect::Persisted { member, attempt } => drop(self.files.insert(member.clone(), attempt.clone())),
            Effect::Recorded { changes, at } => changes.iter().for_each(|change| self.apply_change(change, *at)),
            Effect::Nothing | Effect::Labelled { .. } | Effect::Replaced { .. } => {} // the watches tell
        }
    }

    fn apply_change(&mut self, change: &Change, at: Moment) {
        match change {
            Change::Complete { outcome, note: _ } => {
                self.hold = None; // released, or its master is demoted
                if *outcome == Outcome::Abandoned {
                    self.abandoned_at = Some(at);
                }
            }
            Change::Begin { .. } | Change::Commit(_) | Change::Enrol { .. } | Change::History { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{super::persistence::Act, *};

    const AT: Moment = Duration::from_secs(10);
    const LATER: Moment = Duration::from_secs(11);

    /// A memory in which each effect changes something, and what is left alone shows.
    fn memory() -> Memory {
        let mut memory = Memory::default();
        let hold = (Moment::ZERO, Moment::ZERO);
        memory.hold = Some(Hold { member: "shop-9".into(), run_id: "before".into(), since: hold.0, until: hold.1 });
        for effect in [demoted("shop-1", "run-1", 7), Effect::Killed { uid: "uid-1".into(), at: AT }] {
            memory.apply(&effect);
        }
        memory
    }

    fn demoted(member: &str, run_id: &str, offset: u64) -> Effect {
        Effect::Demoted { member: member.into(), run_id: run_id.into(), at: AT, offset }
    }

    /// What is remembered after the effect, and the rest as it was.
    fn remembers(effect: &Effect, expected: impl FnOnce(&mut Memory)) {
        let (mut found, mut wanted) = (memory(), memory());
        found.apply(effect);
        expected(&mut wanted);
        assert_eq!(found, wanted, "{effect:?}");
    }

    #[test]
    fn writes_that_are_held_back() {
        let effect = Effect::Held { member: "shop-0".into(), run_id: "run-0".into(), asked: AT, since: LATER };
        let hold = Hold { member: "shop-0".into(), run_id: "run-0".into(), since: LATER, until: AT + HOLD };
        remembers(&effect, |m| m.hold = Some(hold));
        remembers(&Effect::Released, |m| m.hold = None);
    }

    #[test]
    fn masters_that_were_demoted() {
        let demotion = |run_id: &str, offset| Demotion { run_id: run_id.into(), at: AT, offset, dropped: 0 };
        assert_eq!(memory().demoted, BTreeMap::from([("shop-1".into(), demotion("run-1", 7))]));
        remembers(&demoted("shop-2", "run-2", 8), |m| drop(m.demoted.insert("shop-2".into(), demotion("run-2", 8))));
        remembers(&demoted("shop-1", "again", 9), |m| drop(m.demoted.insert("shop-1".into(), demotion("again", 9))));
        let once = Demotion { dropped: 1, ..demotion("run-1", 7) };
        remembers(&Effect::Dropped { member: "shop-1".into() }, |m| drop(m.demoted.insert("shop-1".into(), once)));
        remembers(&Effect::Dropped { member: "shop-2".into() }, |_| ());
        let mut twice = memory();
        (0..2).for_each(|_| twice.apply(&Effect::Dropped { member: "shop-1".into() }));
        assert_eq!(twice.demoted.values().map(|d| d.dropped).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn pods_and_the_service() {
        remembers(&Effect::Routed { to: "shop-1".into(), at: LATER }, |m| m.routed_at = Some(LATER));
        let killed = |uid: &str| Effect::Killed { uid: uid.into(), at: LATER };
        remembers(&killed("uid-2"), |m| m.killed.extend([("uid-2".to_owned(), LATER)]));
        remembers(&killed("uid-1"), |m| m.killed = BTreeMap::from([("uid-1".to_owned(), LATER)]));
        for told in [
            Effect::Nothing,
            Effect::Labelled { uid: "uid-1".into(), role: RoleLabel::Master },
            Effect::Replaced { uid: "uid-1".into() },
        ] {
            remembers(&told, |_| ());
        }
    }

    #[test]
    fn what_a_member_was_asked_to_write() {
        let act = Act::EndLog("60 1".into());
        let attempt = Attempt { run_id: "run-1".into(), act, at: AT, saved: 7, refused: Some("ERR".into()) };
        let effect = Effect::Persisted { member: "shop-1".into(), attempt: attempt.clone() };
        remembers(&effect, |m| drop(m.files.insert("shop-1".into(), attempt)));
    }

    #[test]
    fn changes_of_the_record() {
        let recorded = |changes: &[Change]| Effect::Recorded { changes: changes.to_vec(), at: LATER };
        let complete = |outcome| Change::Complete { outcome, note: String::new() };
        let history = Change::History { replication_id: "next".into(), previous: None };
        remembers(&recorded(&[complete(Outcome::Completed)]), |m| m.hold = None);
        let given_up = |m: &mut Memory| (m.hold, m.abandoned_at) = (None, Some(LATER));
        remembers(&recorded(&[complete(Outcome::Abandoned)]), given_up);
        remembers(&recorded(&[history.clone(), complete(Outcome::Abandoned)]), given_up);
        remembers(&recorded(&[history]), |_| ());
    }
}
