//! Which pod a connection is about, and what became of its process when it is given up. Pure.

use super::observation::{Contact, Former, Moment, Pod};

/// A connection, and the pod of that name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bond {
    /// It is the pod that was connected to.
    Holds,
    /// The pod object is gone, and its process still answers: after a forced deletion. It may still take writes.
    Outlives(Box<Pod>),
    /// The connection is given up: its address may come to belong to somebody else. So much is known of the process.
    Ends(Former),
}

impl Bond {
    /// Of a connection that was made to `watched`, while `pod` has its name.
    pub fn of(watched: &Pod, contact: Contact, pod: Option<&Pod>) -> Self {
        let up = contact == Contact::Up;
        let same = pod.is_some_and(|pod| pod.uid == watched.uid && pod.ip == watched.ip);
        if same && (up || pod.is_some_and(is_worth_connecting)) {
            return Self::Holds;
        }
        if up {
            let outlives = Pod { leaving: true, leaving_since: Moment::ZERO, running: true, ..watched.clone() };
            return Self::Outlives(Box::new(outlives));
        }
        Self::Ends(match contact {
            Contact::HostSilent { .. } => Former::Silent,
            _ if !watched.running => Former::Ended,
            Contact::Closed { .. } | Contact::Refused { .. } => Former::Ended,
            Contact::None | Contact::Up => Former::Unknown,
        })
    }
}

/// Is or will there be a process in it?
pub fn is_worth_connecting(pod: &Pod) -> bool {
    !pod.leaving || pod.running
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SINCE: Moment = Duration::from_secs(3);

    fn pod(uid: &str, leaving: bool, running: bool) -> Pod {
        let ip = "10.0.0.1".parse().ok();
        Pod { uid: uid.into(), ip, leaving, leaving_since: SINCE, running, ready: true, ..Pod::default() }
    }

    const CLOSED: Contact = Contact::Closed { since: SINCE };
    const REFUSED: Contact = Contact::Refused { since: SINCE };
    const SILENT: Contact = Contact::HostSilent { since: SINCE };
    const ALL: [Contact; 5] = [Contact::None, Contact::Up, CLOSED, REFUSED, SILENT];

    #[test]
    fn a_connection_holds_while_its_pod_is_there_and_may_run() {
        let watched = pod("a", false, true);
        for contact in ALL {
            assert_eq!(Bond::of(&watched, contact, Some(&pod("a", false, true))), Bond::Holds);
            assert_eq!(Bond::of(&watched, contact, Some(&pod("a", false, false))), Bond::Holds, "it may start");
            assert_eq!(Bond::of(&watched, contact, Some(&pod("a", true, true))), Bond::Holds, "it has not ended");
        }
        assert_eq!(Bond::of(&watched, Contact::Up, Some(&pod("a", true, false))), Bond::Holds, "it answers");
        assert_eq!(Bond::of(&watched, CLOSED, Some(&pod("a", true, false))), Bond::Ends(Former::Ended));
    }

    #[test]
    fn a_process_outlives_its_pod_object() {
        let watched = pod("a", false, false);
        let outlives = Pod { leaving: true, leaving_since: Moment::ZERO, running: true, ..watched.clone() };
        let moved = Pod { ip: "10.0.0.9".parse().ok(), ..pod("a", false, true) };
        for now in [None, Some(pod("b", false, true)), Some(moved)] {
            assert_eq!(Bond::of(&watched, Contact::Up, now.as_ref()), Bond::Outlives(Box::new(outlives.clone())));
        }
    }

    #[test]
    fn what_became_of_a_process_whose_pod_is_gone() {
        let of = |running, contact| Bond::of(&pod("a", false, running), contact, Some(&pod("b", false, true)));
        assert_eq!(of(true, SILENT), Bond::Ends(Former::Silent));
        assert_eq!(of(false, SILENT), Bond::Ends(Former::Silent), "nobody can say so of a node that nobody hears");
        assert_eq!(of(true, CLOSED), Bond::Ends(Former::Ended));
        assert_eq!(of(true, REFUSED), Bond::Ends(Former::Ended));
        assert_eq!(of(true, Contact::None), Bond::Ends(Former::Unknown));
        assert_eq!(of(false, Contact::None), Bond::Ends(Former::Ended), "its container had ended");
    }

    #[test]
    fn who_has_ended_is_not_connected_to() {
        assert!(is_worth_connecting(&pod("a", false, false)) && is_worth_connecting(&pod("a", true, true)));
        assert!(!is_worth_connecting(&pod("a", true, false)));
    }
}
