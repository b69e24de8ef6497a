//! What is measured, and which rounds are still to be done.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::results::Round;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
pub enum Subject {
    #[serde(rename = "operator")]
    #[value(name = "operator")]
    Operator,
    #[serde(rename = "operator-busy-cluster")]
    #[value(name = "operator-busy-cluster")]
    OperatorBusyCluster,
    #[serde(rename = "operator-own-slice")]
    #[value(name = "operator-own-slice")]
    OperatorOwnSlice,
    #[serde(rename = "sentinel-1s")]
    #[value(name = "sentinel-1s")]
    Sentinel1s,
    #[serde(rename = "sentinel-5s")]
    #[value(name = "sentinel-5s")]
    Sentinel5s,
    #[serde(rename = "sentinel-1s-boot-rule")]
    #[value(name = "sentinel-1s-boot-rule")]
    Sentinel1sBootRule,
    #[serde(rename = "sentinel-5s-boot-rule")]
    #[value(name = "sentinel-5s-boot-rule")]
    Sentinel5sBootRule,
}

impl Subject {
    pub const ALL: [Self; 7] = [
        Self::Operator,
        Self::OperatorBusyCluster,
        Self::OperatorOwnSlice,
        Self::Sentinel1s,
        Self::Sentinel5s,
        Self::Sentinel1sBootRule,
        Self::Sentinel5sBootRule,
    ];

    /// Whether it is this operator's.
    pub fn is_ours(self) -> bool {
        self.sentinel().is_none()
    }

    /// Sentinel's `down-after-milliseconds`, and whether a restarted Redis is a replica of nobody.
    pub fn sentinel(self) -> Option<(u32, bool)> {
        match self {
            Self::Operator | Self::OperatorBusyCluster | Self::OperatorOwnSlice => None,
            Self::Sentinel1s => Some((1000, false)),
            Self::Sentinel5s => Some((5000, false)),
            Self::Sentinel1sBootRule => Some((1000, true)),
            Self::Sentinel5sBootRule => Some((5000, true)),
        }
    }

    /// Faults that say something about it.
    pub fn bears(self, fault: Fault) -> bool {
        match self {
            Self::Operator => true,
            Self::OperatorBusyCluster => matches!(fault, Fault::Crash | Fault::Switchover | Fault::PodDelete),
            Self::OperatorOwnSlice => !matches!(fault, Fault::NodeCut | Fault::NodeKill | Fault::OperatorToo),
            // after a forced deletion no two rounds are alike: see the report's words about Sentinel
            Self::Sentinel1s | Self::Sentinel5s => !matches!(fault, Fault::OperatorToo | Fault::ForceDelete),
            Self::Sentinel1sBootRule | Self::Sentinel5sBootRule => fault == Fault::Crash, // the others find no process again
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Operator => "this operator",
            Self::OperatorBusyCluster => "this operator, busy cluster",
            Self::OperatorOwnSlice => "this operator, own slice",
            Self::Sentinel1s => "Sentinel, 1 s",
            Self::Sentinel5s => "Sentinel, 5 s",
            Self::Sentinel1sBootRule => "Sentinel, 1 s, boot rule",
            Self::Sentinel5sBootRule => "Sentinel, 5 s, boot rule",
        }
    }
}

/// What is done to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    Crash,
    Switchover,
    PodDelete,
    Drain,
    ForceDelete,
    Hang,
    NodeCut,
    NodeKill,
    OperatorToo,
}

impl Fault {
    pub const ALL: [Self; 9] = [
        Self::Crash,
        Self::Switchover,
        Self::PodDelete,
        Self::Drain,
        Self::ForceDelete,
        Self::Hang,
        Self::NodeCut,
        Self::NodeKill,
        Self::OperatorToo,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Switchover => "switchover",
            Self::PodDelete => "pod delete",
            Self::Drain => "drain",
            Self::ForceDelete => "force delete",
            Self::Hang => "hung process",
            Self::NodeCut => "node cut off",
            Self::NodeKill => "node killed",
            Self::OperatorToo => "master and operator",
        }
    }

    /// What exactly is done.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Crash => "`kill -9` of the master's process, a second after the `exec` that orders it",
            Self::Switchover => {
                "the annotation `redis.replication.dev/switchover-to: any`; with Sentinel, `SENTINEL FAILOVER`"
            }
            Self::PodDelete => "`kubectl delete pod` of the master",
            Self::Drain => "the master's node is cordoned and its pod evicted",
            Self::ForceDelete => "`kubectl delete pod --grace-period=0 --force` of the master",
            Self::Hang => "`SIGSTOP` to the master's process; `SIGCONT` once another has taken over",
            Self::NodeCut => "the cable of the master's node is pulled, and put back once another has taken over",
            Self::NodeKill => "the master's node and all that runs on it is lost at once, and booted again",
            Self::OperatorToo => "`kill -9` of the master's process and of the leading operator's at the same time",
        }
    }
}

/// How the writer writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    Idle,
    IdleWait,
    Busy,
    BusyWait,
}

impl Variant {
    pub const ALL: [Self; 4] = [Self::Idle, Self::IdleWait, Self::Busy, Self::BusyWait];

    /// Writes a second; 0: one after the other without a pause.
    pub fn rate(self) -> u32 {
        match self {
            Self::Idle | Self::IdleWait => 200,
            Self::Busy | Self::BusyWait => 0,
        }
    }

    /// Replicas that each write waits for.
    pub fn wait(self) -> u32 {
        match self {
            Self::Idle | Self::Busy => 0,
            Self::IdleWait | Self::BusyWait => 1,
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Idle => "200 writes a second",
            Self::IdleWait => "200 writes a second, each with `WAIT 1`",
            Self::Busy => "as many writes as one connection can",
            Self::BusyWait => "as many writes as one connection can, each with `WAIT 1`",
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Rounds of everything; none: what the fault deserves.
    pub rounds: Option<usize>,
    pub faults: Vec<Fault>,
    pub variants: Vec<Variant>,
}

impl Wanted {
    fn rounds(&self, subject: Subject, fault: Fault, variant: Variant) -> usize {
        let often = subject == Subject::Operator
            && matches!(fault, Fault::Crash | Fault::Switchover)
            && self.variants.first() == Some(&variant);
        self.rounds.unwrap_or(if often { 100 } else { 20 })
    }

    /// The rounds that are missing, in such an order that an interrupted run has a little of everything.
    pub fn missing(&self, subject: Subject, done: &[Round]) -> Vec<(Fault, Variant)> {
        let mut missing = Vec::new();
        for &fault in self.faults.iter().filter(|&&fault| subject.bears(fault)) {
            for &variant in &self.variants {
                let is_one = |r: &&Round| r.subject == subject && r.fault == fault && r.variant == variant;
                let first = done.iter().filter(is_one).count();
                missing.extend((first..self.rounds(subject, fault, variant)).map(|n| (n, fault, variant)));
            }
        }
        missing.sort_by_key(|&(n, ..)| n);
        missing.into_iter().map(|(_, fault, variant)| (fault, variant)).collect()
    }
}

/// Whether the next round is to leave the leading operator alone: of the rounds in which a node is lost, one in five may be
/// on the leader's, whose lease is waited for then.
pub fn spares_leader(done: &[Round], subject: Subject, fault: Fault) -> bool {
    let done = done.iter().filter(|round| round.subject == subject && round.fault == fault);
    let (lost, spared): (Vec<_>, Vec<_>) = done.partition(|round| round.leader_lost);
    lost.len() * 4 > spared.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::round;

    #[test]
    fn a_resumed_run_does_what_is_missing() {
        let faults = vec![Fault::Crash, Fault::Drain];
        let wanted = Wanted { rounds: Some(2), faults, variants: vec![Variant::Idle] };
        let all = wanted.missing(Subject::Operator, &[]);
        let both = [(Fault::Crash, Variant::Idle), (Fault::Drain, Variant::Idle)];
        assert_eq!(all, [both, both].concat(), "in turns");

        let done = [round(Subject::Operator, Fault::Crash, 1.0), round(Subject::Sentinel1sBootRule, Fault::Crash, 1.0)];
        assert_eq!(wanted.missing(Subject::Operator, &done), [both[1], both[0], both[1]]);
        assert_eq!(wanted.missing(Subject::Sentinel1sBootRule, &done), [both[0]], "which says nothing of a drain");
    }

    #[test]
    fn what_happens_often_is_measured_often() {
        let wanted =
            Wanted { rounds: None, faults: Fault::ALL.to_vec(), variants: vec![Variant::Idle, Variant::BusyWait] };
        let missing = wanted.missing(Subject::Operator, &[]);
        let count = |fault, variant| missing.iter().filter(|&&one| one == (fault, variant)).count();
        assert_eq!(count(Fault::Crash, Variant::Idle), 100);
        assert_eq!(count(Fault::Switchover, Variant::Idle), 100);
        assert_eq!(count(Fault::Crash, Variant::BusyWait), 20);
        assert_eq!(count(Fault::NodeKill, Variant::Idle), 20);
        assert_eq!(wanted.missing(Subject::Sentinel5s, &[]).len(), 7 * 2 * 20);
    }

    #[test]
    fn one_round_in_five_may_lose_the_leading_operator() {
        let node_kill = |leader_lost| Round { leader_lost, ..round(Subject::Operator, Fault::NodeKill, 5000.0) };
        let mut done = vec![round(Subject::Operator, Fault::NodeCut, 5000.0)];
        let spares = |done: &[Round]| spares_leader(done, Subject::Operator, Fault::NodeKill);
        assert!(!spares(&done), "none was lost");
        done.push(node_kill(true));
        for _ in 0..4 {
            assert!(spares(&done), "one of {} was lost", done.len() - 1);
            done.push(node_kill(false));
        }
        assert!(!spares(&done), "one of five was lost");
    }
}
