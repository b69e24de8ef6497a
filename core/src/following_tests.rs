#![allow(clippy::unwrap_used)]

use rstest::rstest;

use super::*;
use crate::info::Role;
use crate::{OffsetStall, RoleLabel, fixture::healthy, fixture::name, plan};

const SECOND: Duration = Duration::from_secs(1);

impl Observation {
    fn follow_state(&mut self, i: usize, follow: FollowState) {
        if let Role::Replica(side) = &mut self.info(i).role {
            side.follow = follow;
        }
    }

    /// Time passes, and everybody answers again; the offset of `still` has not moved meanwhile.
    fn later(&mut self, ms: u64, still: Option<usize>) {
        self.now += Duration::from_millis(ms);
        let now = self.now;
        for (n, member) in &mut self.members {
            if let Some((at, _)) = &mut member.server.info {
                let since = member.server.offset_stall.map_or(*at, |s| s.since);
                *at = now;
                let since = if still.map(name).as_ref() == Some(n) { since } else { now };
                member.server.offset_stall = Some(OffsetStall { since, until: now });
            }
        }
        self.memory = self.memory.after(self);
    }

    fn detached(&self, i: usize) -> bool {
        plan(self).steps.iter().any(|s| matches!(s, Step::Detach { member, .. } if *member == name(i)))
    }

    fn followed(&self, i: usize) -> bool {
        plan(self).steps.iter().any(|s| matches!(s, Step::Follow { member, .. } if *member == name(i)))
    }

    fn labelled(&self, i: usize) -> Option<RoleLabel> {
        plan(self).steps.into_iter().find_map(|s| match s {
            Step::Label { member, role } if member == name(i) => Some(role),
            _ => None,
        })
    }
}

/// `shop-1` asks for one copy after the other, and cannot load them.
fn copies_fail() -> Observation {
    let mut o = healthy(3);
    o.follow_state(1, FollowState::Handshake);
    o.later(1000, None);
    for _ in 0..2 {
        o.info(0).full_syncs += 12;
        o.later(1000, None);
    }
    o
}

#[test]
fn one_that_cannot_load_the_copy_is_detached_and_tries_again_after_growing_pauses() {
    let mut o = copies_fail();
    assert!(o.detached(1) && !o.detached(2), "{:?}", plan(&o).steps);
    for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
        o.detach(1);
        o.later(10, None);
        assert!(!o.followed(1), "it rests for {pause} s");
        assert!(message(&o, &name(1)).unwrap().contains("did not come to follow"));
        assert!(is_hopeless(&o, &name(1)));
        let due = plan(&o).due.unwrap();
        assert_eq!(due, o.now + pause * SECOND);
        o.now = due;
        assert!(o.followed(1), "after {pause} s");
        *o.info(1) = healthy(3).info(1).clone();
        o.follow_state(1, FollowState::Syncing(None));
        o.later(100, None);
        assert!(!o.detached(1), "the copy is under way");
        assert!(plan(&o).steps.iter().any(|s| matches!(s, Step::Refresh { members } if members.contains(&name(1)))));
        o.follow_state(1, FollowState::Handshake);
        o.later(100, None);
        assert!(o.detached(1), "one failure is enough now");
    }
    o.info(0).run_id = "another".into();
    o.record.members.get_mut(&name(0)).unwrap().run_id = Some("another".into());
    o.detach(1);
    o.later(10, None);
    assert!(o.followed(1), "another master begins anew");
}

/// While another fails again and again, one that copies for minutes, or waits for its turn, is left alone.
#[rstest]
#[case::copies_without_a_file(&[FollowState::Handshake, FollowState::Syncing(None), FollowState::Syncing(None), FollowState::Online])]
#[case::copies_a_file(&[FollowState::Syncing(Some(1)), FollowState::Syncing(Some(50)), FollowState::Syncing(Some(50)), FollowState::Online])]
#[case::once_fails(&[FollowState::Syncing(Some(50)), FollowState::Syncing(Some(10)), FollowState::Handshake, FollowState::Syncing(None), FollowState::Online])]
fn a_copy_that_takes_long_is_no_failure(#[case] states: &[FollowState]) {
    let mut o = healthy(3);
    o.follow_state(2, FollowState::Handshake);
    for state in states {
        o.follow_state(1, *state);
        o.info(0).full_syncs += 1;
        o.later(0, None);
        for _ in 0..20 {
            assert!(!o.detached(1), "{state:?}: {:?}", o.memory.links);
            if matches!(state, FollowState::Syncing(_)) {
                o.info(0).full_syncs += 12; // another's
            }
            o.later(100, None);
        }
    }
    assert!(!o.memory.links.contains_key(&name(1)));
}

/// Where no other copies, the master's figure tells, whatever the replica was doing when it was asked.
#[test]
fn one_that_copies_again_and_again_alone_is_noticed_at_once() {
    let mut o = healthy(3);
    o.follow_state(1, FollowState::Syncing(None));
    o.later(10, None);
    for (given, detached) in [(1, false), (2, false), (1, true)] {
        o.later(500, None);
        o.info(0).full_syncs += given;
        o.later(500, None);
        assert_eq!(o.detached(1), detached, "{:?}", o.memory.links);
    }
}

#[test]
fn the_words_name_an_older_version() {
    let mut o = copies_fail();
    o.detach(1);
    o.info(1).product = "Redis 7.0.15".into();
    o.later(10, None);
    let message = message(&o, &name(1)).unwrap();
    assert!(
        message.contains("Redis 7.0.15 may not be able to load the snapshot of the master's Redis 8.0"),
        "{message}"
    );
}

/// The link of `shop-1` is up by its own word, and for seconds it has not had what the master has written.
fn deaf(seconds: u64) -> Observation {
    let mut o = healthy(3);
    o.later(0, None);
    for _ in 0..seconds {
        o.info(0).offset += 14;
        o.info(2).offset += 14;
        o.later(1000, Some(1));
    }
    o
}

#[test]
fn a_deaf_replica_is_not_read_from_and_its_link_is_opened_again() {
    assert_eq!(plan(&deaf(4)).steps, vec![], "it may be slow");
    let mut o = deaf(6);
    assert!(is_stalled(&o, &name(1)) && !is_stalled(&o, &name(2)));
    assert_eq!(o.labelled(1), Some(RoleLabel::Stale));
    assert!(o.detached(1) && !o.detached(2));
    assert!(!crate::rollout::online(&o, &name(1)), "it takes over from nobody");
    o.member(1).pod.as_mut().unwrap().role = Some(RoleLabel::Stale);
    o.detach(1);
    o.later(10, None);
    assert!(o.followed(1), "at once");
    *o.info(1) = healthy(3).info(1).clone();
    o.follow_state(1, FollowState::Connecting);
    o.later(100, None);
    assert_eq!(o.labelled(1), None, "not before it follows");
    o.follow_state(1, FollowState::Online);
    o.info(1).offset = o.info(0).offset;
    o.later(100, None);
    assert_eq!(o.labelled(1), Some(RoleLabel::Replica));
    assert!(o.memory.links.contains_key(&name(1)), "if it happens again soon, the next pause is longer");
    o.later(10_000, None);
    assert!(!o.memory.links.contains_key(&name(1)));
}

#[test]
fn a_master_that_writes_nothing_makes_nobody_deaf() {
    let mut o = healthy(3);
    for _ in 0..100 {
        o.later(1000, Some(1));
        assert_eq!(plan(&o).steps, vec![]);
    }
}

#[test]
fn one_that_lags_and_moves_is_not_deaf() {
    let mut o = healthy(3);
    for _ in 0..100 {
        o.info(0).offset += 1000;
        o.info(2).offset += 1000;
        o.info(1).offset += 10;
        o.later(1000, None);
        assert_eq!(plan(&o).steps, vec![]);
    }
}

#[test]
fn a_link_that_does_not_come_about_is_tried_anew() {
    let mut o = healthy(3);
    o.follow_state(1, FollowState::Connecting);
    if let Role::Master(side) = &mut o.info(0).role {
        side.slaves.retain(|s| s.ip != "10.0.0.2");
    }
    let mut at = Vec::new();
    o.later(0, None);
    for ms in (0..200_000).step_by(100) {
        o.later(100, None);
        if o.detached(1) {
            at.push((ms + 100) / 1000);
            o.detach(1);
            o.later(0, None);
            assert!(o.followed(1));
            *o.info(1) = healthy(3).info(1).clone();
            o.follow_state(1, FollowState::Connecting);
            o.later(0, None);
        }
    }
    assert_eq!(at, [5, 10, 15, 20, 28, 44, 76, 136, 196]);
    let mut seen = healthy(3);
    seen.follow_state(1, FollowState::Handshake);
    for _ in 0..100 {
        seen.later(1000, None);
        assert!(!seen.detached(1), "the master knows it: it waits for its turn");
    }
}
