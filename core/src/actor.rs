//! Takes the steps of a plan: which act each is, and what an answer to it means. Generic over what it acts through: the
//! operator, the simulation and the hostile test run the same lines.

use std::{collections::BTreeSet, future::Future, time::Duration};

use futures_util::future::join_all;

use super::{
    effect::Effect,
    info::Info,
    kinds::RequestKind,
    memory::Memory,
    observation::{Member, Moment, Observation, RoleLabel},
    persistence::{Act, Attempt},
    record::{Change, Record},
    steps::Step,
    transition::HOLD,
};

/// The grace of a pod whose process hangs, in seconds.
const HUNG_GRACE: u32 = 1;

/// The commands to Redis. Those that return an [`Info`] return the state after the command.
#[allow(async_fn_in_trait)] // the caller knows the type, and so whether its futures are Send
pub trait Servers {
    /// Why a command fails. It may have been carried out.
    type Error;
    /// `REPLICAOF NO ONE`, together with `min-replicas-to-write`.
    async fn promote(&self, member: &str, min_replicas: usize) -> Result<Info, Self::Error>;
    /// Makes it follow no server; it accepts no writes then.
    async fn detach(&self, member: &str) -> Result<Info, Self::Error>;
    /// `REPLICAOF` another member.
    async fn follow(&self, member: &str, master: &str) -> Result<Info, Self::Error>;
    /// Sets `min-replicas-to-write`.
    async fn set_min_replicas(&self, member: &str, min_replicas: usize) -> Result<(), Self::Error>;
    /// Holds clients' writes back, for so long at most. Returns the state after that, and when it was asked for.
    async fn hold(&self, member: &str, limit: Duration) -> Result<(Moment, Info), Self::Error>;
    /// Lets them through again.
    async fn release(&self, member: &str) -> Result<(), Self::Error>;
    /// Closes the connections of its clients.
    async fn drop_clients(&self, member: &str) -> Result<(), Self::Error>;
    /// Closes the connections of replicas from these addresses.
    async fn drop_replicas(&self, member: &str, addresses: &BTreeSet<String>) -> Result<(), Self::Error>;
    /// Asks for their state, and does not wait for long.
    async fn refresh(&self, members: &[String]);
    /// Changes what it writes to its disk. Returns what it says if it refuses.
    async fn persist(&self, member: &str, act: &Act) -> Result<Option<String>, Self::Error>;
}

/// The writes to Kubernetes.
#[allow(async_fn_in_trait)]
pub trait Cluster {
    /// Why a write fails. It may have been carried out.
    type Error;
    /// The resource as it was written.
    type Written;
    /// Writes the record into the status, unless the resource was written in between. `changes` made it what it is.
    async fn write_record(&self, next: &Record, changes: &[Change]) -> Result<Self::Written, Self::Error>;
    /// Points the master Service at a pod.
    async fn route(&self, to: &str) -> Result<(), Self::Error>;
    /// Writes the role label of this very pod.
    async fn label(&self, member: &str, uid: &str, role: RoleLabel) -> Result<(), Self::Error>;
    /// Deletes this very pod, and no other of its name. `grace` is in seconds; the pod's own if it is not given.
    async fn delete_pod(&self, member: &str, uid: &str, grace: Option<u32>) -> Result<(), Self::Error>;
    /// Takes a request of a user off the resource.
    async fn resolve_request(&self, request: RequestKind) -> Result<Self::Written, Self::Error>;
}

/// All that an operator process acts through.
#[allow(async_fn_in_trait)]
pub trait Ports: Servers<Error = <Self as Cluster>::Error> + Cluster {
    /// The present.
    fn now(&self) -> Moment;
    /// Does this process hold the lease?
    fn may_act(&self) -> bool;
    /// Accompanies the taking of one step, to trace it and to announce at once what came of it. It changes neither.
    async fn accompany(&self, _step: &Step, taking: impl Future<Output = Outcome<Self>>) -> Outcome<Self> {
        taking.await
    }
}

/// What came of a step.
pub type Outcome<P> = Result<Taken<<P as Cluster>::Written>, StepError<<P as Cluster>::Error>>;

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<W> {
    /// What it brought about.
    pub effect: Effect,
    /// What the server said of itself afterwards, if that is what the step is about.
    pub info: Option<Info>,
    /// The resource, if it was written to.
    pub written: Option<W>,
}

/// A step that failed. Nothing is lost: what is the case is observed again, and planned again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError<E> {
    /// Another process acts now, or may.
    #[error("this process does not hold the lease")]
    NotLeading,
    /// It was told to be a master and is not.
    #[error("{0} did not become a master")]
    NotPromoted(String),
    /// The server or Kubernetes refused, or did not answer.
    #[error(transparent)]
    Port(#[from] E),
}

impl<W> From<Effect> for Taken<W> {
    fn from(effect: Effect) -> Self {
        Self { effect, info: None, written: None }
    }
}

/// Takes the steps of a plan side by side, and remembers what they brought about. Returns what came of each.
pub async fn carry_out<P: Ports>(ports: &P, o: &Observation, steps: &[Step], memory: &mut Memory) -> Vec<Outcome<P>> {
    let outcomes = join_all(steps.iter().map(|step| ports.accompany(step, take(ports, o, step)))).await;
    for (step, outcome) in steps.iter().zip(&outcomes) {
        match outcome {
            Ok(taken) => memory.apply(&taken.effect),
            // it may have been carried out
            Err(StepError::Port(_)) if matches!(step, Step::Record(_)) => memory.record_unsure = true,
            Err(_) => {}
        }
    }
    outcomes
}

async fn take<P: Ports>(ports: &P, o: &Observation, step: &Step) -> Outcome<P> {
    if !ports.may_act() {
        return Err(StepError::NotLeading);
    }
    match step {
        Step::Record(changes) => record(ports, o, changes).await,
        Step::Promote { member, min_replicas } => promote(ports, member, *min_replicas).await,
        Step::SetMinReplicas { member, min_replicas } => {
            ports.set_min_replicas(member, *min_replicas).await?;
            Ok(Effect::Nothing.into())
        }
        Step::Detach { member, .. } => {
            ports.detach(member).await?;
            Ok(Effect::Nothing.into())
        }
        Step::Demote { member, offset, .. } => {
            let info = ports.detach(member).await?;
            // what it acknowledged after it was asked last
            Ok(demoted(ports, member, &info, info.offset.max(*offset)).into())
        }
        Step::Follow { member, master, .. } => follow(ports, o, member, master).await,
        Step::HoldWrites { member } => hold(ports, member).await,
        Step::ReleaseWrites { member } => {
            ports.release(member).await?;
            Ok(Effect::Released.into())
        }
        Step::DropClients { member } => {
            let _ = ports.drop_clients(member).await; // if it is gone, so are its clients
            Ok(Effect::Dropped { member: member.clone() }.into())
        }
        Step::DropReplicas { member, addresses } => {
            ports.drop_replicas(member, addresses).await?;
            Ok(Effect::Disconnected { addresses: addresses.clone(), at: ports.now() }.into())
        }
        Step::Refresh { members } => {
            ports.refresh(members).await;
            Ok(Effect::Nothing.into())
        }
        Step::Route { to } => {
            ports.route(to).await?;
            Ok(Effect::Routed { to: to.clone(), at: ports.now() }.into())
        }
        Step::Label { member, role } => label(ports, o, member, *role).await,
        Step::ResolveRequest { request, .. } => {
            let written = ports.resolve_request(*request).await?;
            Ok(Taken { written: Some(written), ..Effect::Nothing.into() })
        }
        Step::Persist { member, act } => persist(ports, o, member, act).await,
        Step::ReplacePod { member, .. } => {
            let replaced = |uid| Effect::Replaced { uid };
            Ok(delete(ports, o, member, None).await?.map_or(Effect::Nothing, replaced).into())
        }
        Step::DeleteHungPod { member, .. } => {
            let killed = |uid| Effect::Killed { uid, at: ports.now() };
            Ok(delete(ports, o, member, Some(HUNG_GRACE)).await?.map_or(Effect::Nothing, killed).into())
        }
    }
}

async fn record<P: Ports>(ports: &P, o: &Observation, changes: &[Change]) -> Outcome<P> {
    let written = ports.write_record(&o.record.after(changes), changes).await?;
    let effect = Effect::Recorded { changes: changes.to_vec(), at: ports.now() };
    Ok(Taken { written: Some(written), ..effect.into() })
}

async fn promote<P: Ports>(ports: &P, member: &str, min_replicas: usize) -> Outcome<P> {
    let info = ports.promote(member, min_replicas).await?;
    if !info.is_master() {
        return Err(StepError::NotPromoted(member.to_owned()));
    }
    Ok(Taken { info: Some(info), ..Effect::Nothing.into() })
}

async fn follow<P: Ports>(ports: &P, o: &Observation, member: &str, master: &str) -> Outcome<P> {
    let was_master = o.members.get(member).and_then(|m| m.server.info.as_ref()).is_some_and(|(_, i)| i.is_master());
    let info = ports.follow(member, master).await?;
    let effect = if was_master { demoted(ports, member, &info, info.offset) } else { Effect::Nothing };
    Ok(effect.into())
}

fn demoted<P: Ports>(ports: &P, member: &str, info: &Info, offset: u64) -> Effect {
    Effect::Demoted { member: member.to_owned(), run_id: info.run_id.clone(), at: ports.now(), offset }
}

async fn hold<P: Ports>(ports: &P, member: &str) -> Outcome<P> {
    let asked = ports.now();
    // in force at the latest when the question was asked that came after it
    let (since, info) = ports.hold(member, HOLD).await?;
    Ok(Effect::Held { member: member.to_owned(), run_id: info.run_id, asked, since }.into())
}

async fn label<P: Ports>(ports: &P, o: &Observation, member: &str, role: RoleLabel) -> Outcome<P> {
    let Some(uid) = uid(o, member) else { return Ok(Effect::Nothing.into()) };
    ports.label(member, &uid, role).await?;
    Ok(Effect::Labelled { uid, role }.into())
}

/// What a server refuses is remembered, and tried again after a while.
async fn persist<P: Ports>(ports: &P, o: &Observation, member: &str, act: &Act) -> Outcome<P> {
    let Some((_, info)) = o.members.get(member).and_then(|m| m.server.info.as_ref()) else {
        return Ok(Effect::Nothing.into());
    };
    let at = ports.now();
    let refused = ports.persist(member, act).await?;
    let attempt = Attempt { run_id: info.run_id.clone(), act: act.clone(), at, saved: info.files.saved, refused };
    Ok(Effect::Persisted { member: member.to_owned(), attempt }.into())
}

/// Deletes the pod that was observed; returns its identity.
async fn delete<P: Ports>(
    ports: &P,
    o: &Observation,
    member: &str,
    grace: Option<u32>,
) -> Result<Option<String>, StepError<<P as Cluster>::Error>> {
    let Some(uid) = uid(o, member) else { return Ok(None) };
    ports.delete_pod(member, &uid, grace).await?;
    Ok(Some(uid))
}

fn uid(o: &Observation, member: &str) -> Option<String> {
    o.members.get(member).and_then(|Member { pod, .. }| pod.as_ref()).map(|pod| pod.uid.clone())
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
#[path = "actor_tests.rs"]
mod tests;
