//! What follows from each event of a connection.

use std::time::Duration;

use super::*;
use crate::{fixture, info::SlaveState};

fn at(s: u64) -> Moment {
    Duration::from_secs(s)
}

fn info(i: usize) -> Info {
    fixture::healthy(3).info(i).clone()
}

fn informed(s: u64, role: u64) -> Event<u64> {
    Event::Informed { asked: at(s), info: info(1), role }
}

fn after(events: impl IntoIterator<Item = Event<u64>>) -> Health<u64> {
    let mut health = Health::default();
    for event in events {
        health.take(event);
    }
    health
}

/// A connection that was made at 1, and told the whole state at 2.
fn up() -> [Event<u64>; 3] {
    [Event::Connected { at: at(1) }, Event::Asked { at: at(2) }, informed(2, 7)]
}

/// The same, and what happens then.
fn then(events: impl IntoIterator<Item = Event<u64>>) -> Health<u64> {
    after(up().into_iter().chain(events))
}

fn contact(health: &Health<u64>) -> Contact {
    health.server().contact
}

const CLOSED: Event<u64> = Event::Ended { at: Duration::from_secs(9), host_silent: false };
const SILENT: Event<u64> = Event::Ended { at: Duration::from_secs(9), host_silent: true };

#[test]
fn a_connection_comes_about() {
    let new = Health::<u64>::default();
    assert_eq!(contact(&new), Contact::None);
    let connected = after([Event::Connected { at: at(1) }]);
    assert_eq!((contact(&connected), connected.server().silent_since), (Contact::Up, Some(at(1))));
    let up = after(up());
    assert_eq!((contact(&up), up.server().silent_since), (Contact::Up, None));
    assert_eq!(up.server().info, Some((at(2), info(1))));
    assert_eq!(up.server().offset_stall, Some(OffsetStall { since: at(2), until: at(2) }));
}

#[test]
fn another_connection_may_lead_to_another_process() {
    let again = then([CLOSED, Event::Connected { at: at(10) }]);
    let server = again.server();
    assert_eq!((server.contact, server.silent_since), (Contact::Up, Some(at(10))));
    assert!(server.info.is_none() && server.offset_stall.is_none());
    let told = then([CLOSED, Event::Connected { at: at(10) }, informed(11, 7)]);
    assert_eq!(told.server().offset_stall, Some(OffsetStall { since: at(11), until: at(11) }), "an answer of its own");
}

#[test]
fn the_end_of_a_connection() {
    assert_eq!(contact(&then([CLOSED])), Contact::Closed { since: at(9) });
    assert_eq!(contact(&then([SILENT])), Contact::HostSilent { since: at(9) });
    let asked = || Event::Asked { at: at(3) };
    assert_eq!(contact(&then([asked(), CLOSED])), Contact::Closed { since: at(9) }, "the process was there until then");
    assert_eq!(contact(&then([asked(), SILENT])), Contact::HostSilent { since: at(3) }, "the host was silent before");
    for end in [CLOSED, SILENT] {
        let ended = then([asked(), end]);
        assert_eq!(ended.server().silent_since, None, "nobody is asked over a connection that has ended");
        assert_eq!(ended.server().info, Some((at(2), info(1))), "what it last said is still known");
    }
}

#[test]
fn a_refusal_is_the_proof_of_death_of_what_was_connected_to() {
    assert_eq!(contact(&then([CLOSED, Event::AttemptRefused])), Contact::Refused { since: at(9) });
    assert_eq!(contact(&then([SILENT, Event::AttemptRefused])), Contact::Refused { since: at(9) });
    assert_eq!(
        contact(&then([CLOSED, Event::AttemptRefused, Event::AttemptRefused])),
        Contact::Refused { since: at(9) }
    );
    assert_eq!(contact(&after([Event::AttemptRefused])), Contact::None, "nobody was connected to");
}

#[test]
fn a_host_that_acknowledges_no_attempt() {
    let silent = |s| Event::AttemptSilent { began: at(s) };
    assert_eq!(contact(&after([silent(1), silent(2)])), Contact::HostSilent { since: at(1) });
    assert_eq!(contact(&then([CLOSED, silent(10)])), Contact::Closed { since: at(9) }, "its process may have ended");
    assert_eq!(contact(&then([SILENT, silent(10)])), Contact::HostSilent { since: at(9) });
}

#[test]
fn a_login_that_fails_proves_nothing_of_the_process() {
    let ended = |host_silent| [Event::Connected { at: at(10) }, Event::LoginEnded { at: at(12), host_silent }];
    assert_eq!(contact(&after(ended(false))), Contact::None);
    assert_eq!(contact(&then([CLOSED].into_iter().chain(ended(false)))), Contact::Closed { since: at(9) });
    assert_eq!(contact(&then([SILENT].into_iter().chain(ended(false)))), Contact::HostSilent { since: at(9) });
    assert_eq!(contact(&then([CLOSED].into_iter().chain(ended(true)))), Contact::HostSilent { since: at(10) });
    assert_eq!(after(ended(false)).server().silent_since, None);
    let refused = ended(false).into_iter().chain([Event::AttemptRefused]);
    assert_eq!(contact(&then([CLOSED].into_iter().chain(refused))), Contact::Refused { since: at(9) });
}

#[test]
fn the_oldest_unanswered_question_counts() {
    let asked = |s| Event::Asked { at: at(s) };
    let silent = then([asked(3), asked(4)]);
    assert_eq!(silent.server().silent_since, Some(at(3)));
    for answer in [Event::Answered { role: None }, Event::Answered { role: Some((at(4), 7)) }, informed(4, 7)] {
        assert_eq!(then([asked(3), answer]).server().silent_since, None);
    }
}

#[test]
fn an_offset_that_stands_still() {
    let answered = |s, role| Event::Answered { role: Some((at(s), role)) };
    let stall = |health: Health<u64>| health.server().offset_stall.unwrap();
    assert_eq!(stall(then([answered(3, 7), answered(4, 7)])), OffsetStall { since: at(2), until: at(4) });
    assert_eq!(stall(then([answered(3, 8), answered(4, 8)])), OffsetStall { since: at(3), until: at(4) });
    assert_eq!(stall(then([answered(3, 8), informed(4, 7)])), OffsetStall { since: at(4), until: at(4) });
    assert_eq!(stall(then([Event::Answered { role: None }])), OffsetStall { since: at(2), until: at(2) });
}

/// Does the state that is answered then change a decision?
fn is_news(change: impl FnOnce(&mut Info)) -> bool {
    is_news_of(1, change)
}

fn is_news_of(i: usize, change: impl FnOnce(&mut Info)) -> bool {
    let mut health = after([Event::Connected { at: at(1) }, Event::Informed { asked: at(2), info: info(i), role: 7 }]);
    let mut next = info(i);
    change(&mut next);
    health.take(Event::Informed { asked: at(3), info: next, role: 8 })
}

#[test]
fn what_could_change_a_decision() {
    assert!(!is_news(|_| ()));
    assert!(!is_news(|i| (i.offset, i.keys) = (200, 20)), "an offset alone does not");
    assert!(is_news(|i| i.run_id = "another".into()));
    assert!(is_news(|i| i.replication_id = "another".into()));
    assert!(is_news(|i| i.min_replicas = 9));
    assert!(is_news(|i| i.loading = true));
    assert!(is_news(|i| i.loading_percent = Some(1)));
    assert!(is_news(|i| i.snapshot_percent = Some(1)));
    assert!(is_news(|i| i.files.append_only = true));
    assert!(is_news(|i| i.role = info(0).role));
    assert!(is_news(|i| i.role = crate::info::Role::Replica(fixture::nobody())));
    let slaves = |change: fn(&mut Vec<SlaveState>)| {
        is_news_of(0, |i| {
            let crate::info::Role::Master(side) = &mut i.role else { panic!() };
            change(&mut side.slaves);
        })
    };
    assert!(slaves(|s| drop(s.pop())));
    assert!(slaves(|s| s[0].state = "wait_bgsave".into()));
    assert!(slaves(|s| s[0].ip = "10.9.9.9".into()));
    assert!(!slaves(|s| (s[0].offset, s[0].lag) = (200, 1)));
}

#[test]
fn whatever_changes_the_contact_could_change_a_decision() {
    let news = |before: Vec<Event<u64>>, event| after(before).take(event);
    let told = || up().to_vec();
    assert!(news(vec![], Event::Connected { at: at(1) }));
    assert!(news(vec![Event::Connected { at: at(1) }], informed(2, 7)), "the first answer");
    assert!(news(told(), CLOSED) && news(told(), SILENT));
    assert!(news([told(), vec![CLOSED]].concat(), Event::AttemptRefused));
    assert!(!news([told(), vec![CLOSED, Event::AttemptRefused]].concat(), Event::AttemptRefused));
    assert!(news([told(), vec![CLOSED]].concat(), Event::Connected { at: at(10) }));
    assert!(news(vec![], Event::AttemptSilent { began: at(1) }));
    assert!(news(vec![Event::Connected { at: at(1) }], Event::LoginEnded { at: at(2), host_silent: false }));
    assert!(!news(told(), Event::Asked { at: at(3) }), "that is for later to tell");
    assert!(!news(told(), Event::Answered { role: Some((at(3), 9)) }));
    // over the same kind of contact another process may answer
    assert!(news(told(), Event::Connected { at: at(3) }), "what was known is known no more");
}
