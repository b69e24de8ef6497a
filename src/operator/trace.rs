//! One change of master is one span, and whatever is done or waited for meanwhile logs under it.

use tracing::{Span, info_span};

use crate::{
    kubernetes::stores::Key,
    replication::{Change, Observation, Plan, Step},
};

/// The change of master that is under way.
#[derive(Debug, Default)]
pub struct Trace(Option<(i64, String, Span)>);

impl Trace {
    /// The span of what is planned now; none while the master stays. The one before ends when the change has.
    pub fn span(&mut self, key: &Key, o: &Observation, p: &Plan) -> Span {
        let pending = o.record.transition.as_ref().map(|t| (t.epoch, t.kind, t.from.as_ref(), &t.to));
        let begins = p.begins().map(|t| (t.epoch, t.kind, t.from.as_ref(), &t.to));
        let Some((epoch, kind, from, to)) = begins.or(pending) else {
            self.0 = None;
            return Span::none();
        };
        if let Some((e, t, span)) = &self.0
            && (*e, t) == (epoch, to)
        {
            return span.clone();
        }
        let from = from.map(String::as_str).unwrap_or_default();
        let (namespace, resource) = (&key.namespace, &key.name);
        let span = info_span!("transition", %namespace, %resource, epoch, ?kind, from, %to);
        self.0 = Some((epoch, to.clone(), span.clone()));
        span
    }
}

/// The span of one step, if it is one of a change of master.
pub fn step(step: &Step) -> Span {
    let (what, member) = match step {
        Step::Record(changes) => written(changes),
        Step::Promote { member, .. } => ("promote", member.as_str()),
        Step::SetMinReplicas { member, .. } => ("set-min-replicas", member.as_str()),
        Step::Detach { member, .. } => ("detach", member.as_str()),
        Step::DeleteHungPod { member, .. } => ("delete hung pod", member.as_str()),
        Step::Demote { member, .. } => ("demote", member.as_str()),
        Step::Follow { member, .. } => ("follow", member.as_str()),
        Step::HoldWrites { member } => ("hold writes", member.as_str()),
        Step::ReleaseWrites { member } => ("release writes", member.as_str()),
        Step::DropClients { member } => ("drop clients", member.as_str()),
        Step::DropReplicas { member, .. } => ("drop replicas", member.as_str()),
        Step::Refresh { .. } => return Span::none(), // many times a second
        Step::Route { to } => ("route", to.as_str()),
        Step::Label { member, .. } => ("label", member.as_str()),
        Step::Persist { member, .. } => ("persist", member.as_str()),
        Step::ReplacePod { member, .. } => ("replace pod", member.as_str()),
        Step::ResolveRequest { .. } => ("answer the request", ""),
    };
    if Span::current().is_none() { Span::none() } else { info_span!("step", what, member) }
}

/// What is written, by the change that matters most.
fn written(changes: &[Change]) -> (&'static str, &str) {
    let mut what = ("enrol", "");
    for change in changes {
        match change {
            Change::Begin { transition, .. } => return ("record", transition.to.as_str()),
            Change::Complete { .. } => what = ("close", ""),
            Change::Commit(_) if what.0 != "close" => what = ("promise", ""),
            Change::Commit(_) | Change::Enrol { .. } | Change::History { .. } => {}
        }
    }
    what
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        api::{TransitionKind, TransitionPhase},
        replication::{Cause, Pending, Recorded, fixture},
    };

    fn pending(epoch: i64, to: &str) -> Pending {
        Pending {
            epoch,
            kind: TransitionKind::Failover,
            from: Some("shop-0".into()),
            to: to.into(),
            phase: TransitionPhase::Promoting,
            reason: String::new(),
        }
    }

    fn begin(epoch: i64, to: &str) -> Plan {
        let change = Change::Begin {
            cause: Cause::ProcessEnded,
            transition: pending(epoch, to),
            target: Recorded::default(),
            members: BTreeSet::new(),
            min_replicas: 1,
            replaced: None,
        };
        let step = Step::Record(vec![change]);
        Plan { steps: vec![step], ..Plan::default() }
    }

    #[test]
    fn a_change_of_master_is_one_span_from_its_beginning_to_its_end() {
        let key = Key { namespace: "default".into(), name: "shop".into() };
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let (mut trace, mut o, nothing) = (Trace::default(), fixture::healthy(3), Plan::default());
            assert!(trace.span(&key, &o, &nothing).is_none());
            assert!(step(&Step::Route { to: "shop-1".into() }).is_none(), "there is no change to be a step of");

            let first = trace.span(&key, &o, &begin(2, "shop-1"));
            assert_eq!(first.metadata().map(tracing::Metadata::name), Some("transition"));
            for field in ["epoch", "kind", "from", "to"] {
                assert!(first.has_field(field), "{field}");
            }
            o.record.transition = Some(pending(2, "shop-1"));
            let going_on = trace.span(&key, &o, &nothing);
            assert_eq!(going_on.id(), first.id());
            going_on.in_scope(|| assert!(!step(&Step::Promote { member: "shop-1".into(), min_replicas: 1 }).is_none()));

            assert_ne!(trace.span(&key, &o, &begin(3, "shop-2")).id(), first.id(), "the target was lost as well");
            o.record.transition = None;
            assert!(trace.span(&key, &o, &nothing).is_none());
        });
    }
}
