//! What can happen.

use super::world::Template;

/// Something that happens. Members are named by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A client writes where the master Service leads, and perhaps waits for replicas.
    Write {
        wait: bool,
    },
    /// A client writes over an old connection.
    WriteTo {
        member: usize,
        wait: bool,
    },
    /// A replica reads so many entries, or takes the next step of a synchronisation.
    Receive {
        member: usize,
        count: usize,
    },
    ReceiveAll,
    /// The operator looks, and acts; it dies after so many steps. `luck` is what happens to them on their way: see `chance.rs`.
    Round {
        cut_after: usize,
        luck: u64,
    },
    /// The operator asks some members for their state.
    Poll {
        member: usize,
    },
    Crash,
    /// The operator plans, checks its lease, and is stopped before it sends anything; another takes over.
    Stall,
    /// It goes on, and sends.
    Unstall,
    Kill {
        member: usize,
    },
    Start {
        member: usize,
    },
    PowerOff {
        member: usize,
    },
    Delete {
        member: usize,
    },
    ForceDelete {
        member: usize,
    },
    Kubelet,
    Stop {
        member: usize,
    },
    Continue {
        member: usize,
    },
    /// Nothing that one sends reaches the other; `None` is the operator.
    Cut {
        from: Option<usize>,
        to: Option<usize>,
    },
    Isolate {
        member: usize,
    },
    /// A firewall resets and refuses the operator's connections to a member.
    Reject {
        member: usize,
    },
    Heal,
    Api {
        up: bool,
    },
    Save {
        member: usize,
    },
    /// A person says `REPLICAOF NO ONE`.
    PromoteByHand {
        member: usize,
    },
    Outdate,
    /// The pods are to be made from another template.
    Change {
        template: Template,
    },
    Scale {
        replicas: usize,
    },
    Wait {
        replicas: usize,
    },
    Later {
        ms: u16,
    },
}
