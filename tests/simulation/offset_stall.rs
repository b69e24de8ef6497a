//! What the verdict on a silent master rests on: a real replica's offset moves every second while it hears its master, and
//! the operator notices soon when it stops.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, sleep};

use super::succession::{PASSWORD, SECOND, operator, server, until};

#[tokio::test]
async fn an_offset_stands_still_only_while_the_master_is_not_heard() {
    let mut master = server(&["--repl-ping-replica-period", "1"]);
    master.ask::<()>("REPLICAOF NO ONE").unwrap();
    let mut replica = server(&["--masterauth", PASSWORD]);
    let (link, _leads, clock) = operator(replica.port);
    replica.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", master.port)).unwrap();
    until("the replica is online", || link.report().server().info.as_ref().is_some_and(|(_, i)| i.is_online())).await;

    let (began, mut moved, mut asked, mut told) = (Instant::now(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    while began.elapsed() < 6 * SECOND {
        let report = link.report();
        told.extend(report.server().info.as_ref().map(|(at, _)| *at));
        if let Some(s) = report.server().offset_stall {
            moved.insert(s.since);
            asked.insert(s.until);
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert!(moved.len() >= 4, "{} motions in six seconds", moved.len());
    assert!(asked.len() > 2 * told.len(), "asked {} times, its whole state {} times", asked.len(), told.len());

    master.signal("STOP");
    let stopped = clock.now();
    until("it has heard nothing for three seconds", || {
        link.report().server().offset_stall.is_some_and(|s| s.length() > 3 * SECOND)
    })
    .await;
    let since = link.report().server().offset_stall.unwrap().since;
    assert!(since < stopped + SECOND, "noticed {:?} after", since.saturating_sub(stopped));
    master.signal("CONT");
    until("it hears the master again", || link.report().server().offset_stall.is_some_and(|s| s.length() < SECOND))
        .await;
}
