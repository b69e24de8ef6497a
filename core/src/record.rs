//! What the status has recorded, and what each decision makes of it. Pure. The operator, the simulation and the hostile
//! test write what [`Record::next`] says, so that what is proven of one is true of the others.

use std::collections::{BTreeMap, BTreeSet};

use super::{cause::Cause, durability::Commitments};
use crate::{kinds::Outcome, kinds::TransitionKind, kinds::TransitionPhase};

/// What the status has recorded: the decisions that outlive any operator process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Who may accept writes.
    pub master: Option<String>,
    /// How often that has been decided.
    pub epoch: i64,
    /// The history that the master writes (`master_replid`).
    pub replication_id: Option<String>,
    /// The history that it continues (`master_replid2`): that of members which have not followed it yet.
    pub previous_replication_id: Option<String>,
    /// The members by name. Only a recorded one is made to follow the master: those that are not can't have confirmed a
    /// write.
    pub members: BTreeMap<String, Recorded>,
    /// The master refuses writes when fewer replicas than this follow it: what its `min-replicas-to-write` is at least.
    pub min_replicas: usize,
    /// How many replicas have confirmed a write that `WAIT` reported as confirmed, at least. Raised only when so many have
    /// all that was written before.
    pub wait_replicas: usize,
    /// The change of master in progress.
    pub transition: Option<Pending>,
    /// The last master whose data did not continue that of the one before it.
    pub replaced: Option<Replaced>,
}

/// What the status has recorded of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Its process when it was last known to have all data, or was chosen. Another process may have lost some.
    pub run_id: Option<String>,
    /// The pod's identity at that time.
    pub uid: Option<String>,
}

/// A master was chosen whose data does not continue that of the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// In which epoch.
    pub epoch: i64,
    /// Which.
    pub master: String,
    /// What is known of what was lost, in words.
    pub reason: String,
}

/// A recorded change of master that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The epoch that it opened.
    pub epoch: i64,
    /// Why.
    pub kind: TransitionKind,
    /// The master before it.
    pub from: Option<String>,
    /// The master after it.
    pub to: String,
    /// Whether the master before it was known to take no more writes when this was recorded.
    pub phase: TransitionPhase,
    /// The evidence, in words.
    pub reason: String,
}

/// One change of the record. All changes of one round are one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A change of master begins. Recorded before anything is done about it.
    Begin {
        /// Why. It is not recorded: no decision rests on it.
        cause: Cause,
        /// What is to be done.
        transition: Pending,
        /// The process that is to be the master. It counts from now on.
        target: Recorded,
        /// Members that are recorded from now on: each may follow the target as soon as it is promoted.
        members: BTreeSet<String>,
        /// The `min-replicas-to-write` that the target is promoted with.
        min_replicas: usize,
        /// What is known of data that this choice gives up.
        replaced: Option<Replaced>,
    },
    /// What is promised of the members: recorded where that has to come first, or has become true.
    Commit(Commitments),
    /// The change of master has ended.
    Complete {
        /// How.
        outcome: Outcome,
        /// Why it was abandoned, in words; empty when it was completed.
        note: String,
    },
    /// A process of a recorded member has all data, so a later failover may count it.
    Enrol {
        /// Of which member.
        member: String,
        /// The process.
        run_id: String,
        /// Its pod.
        uid: String,
    },
    /// The history that the master writes.
    History {
        /// Its `master_replid`.
        replication_id: String,
        /// Its `master_replid2`.
        previous: Option<String>,
    },
}

impl Record {
    /// The member that may accept writes: the target of a change of master, or else the master.
    pub fn authorized_master(&self) -> Option<&str> {
        self.transition.as_ref().map(|t| &t.to).or(self.master.as_ref()).map(String::as_str)
    }

    /// The record after a change. A change that does not apply changes nothing.
    #[must_use]
    pub fn next(&self, change: &Change) -> Self {
        let mut next = self.clone();
        match change {
            Change::Begin { cause: _, transition, target, members, min_replicas, replaced } => {
                next.epoch = transition.epoch;
                next.min_replicas = *min_replicas;
                next.replaced.clone_from(replaced);
                for name in members {
                    next.members.entry(name.clone()).or_default();
                }
                next.members.insert(transition.to.clone(), target.clone());
                next.transition = Some(transition.clone());
            }
            Change::Commit(Commitments { min_replicas, wait_replicas, members }) => {
                (next.min_replicas, next.wait_replicas) = (*min_replicas, *wait_replicas);
                next.members.retain(|name, _| members.contains(name));
                for name in members {
                    next.members.entry(name.clone()).or_default();
                }
            }
            Change::Complete { outcome, note: _ } => {
                if let (Some(ended), Outcome::Completed) = (next.transition.take(), outcome) {
                    next.master = Some(ended.to);
                }
            }
            Change::Enrol { member, run_id, uid } => {
                // a member that is not recorded was not counted when the promises were made
                if let Some(recorded) = next.members.get_mut(member) {
                    *recorded = Recorded { run_id: Some(run_id.clone()), uid: Some(uid.clone()) };
                }
            }
            Change::History { replication_id, previous } => {
                next.replication_id = Some(replication_id.clone());
                next.previous_replication_id.clone_from(previous);
            }
        }
        next
    }

    /// The record after the changes of one round.
    #[must_use]
    pub fn after(&self, changes: &[Change]) -> Self {
        changes.iter().fold(self.clone(), |record, change| record.next(change))
    }
}
