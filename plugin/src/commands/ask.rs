//! `switchover` and `failover`: a user makes a request by an annotation; the operator acts on it, and removes it.

use std::fmt::Write as _;

use kube::ResourceExt;
use redis_replication_operator::api::{ANY_MEMBER, ConditionType, MemberPhase, RedisReplication, RequestKind};
use serde_json::json;

use super::{
    status,
    wait::{self, Request},
};
use crate::{
    args::{Failover, Patience, Switchover},
    cluster::{Cluster, master, member, members},
    error::{Error, exit},
    render, terminal,
    view::View,
};

/// Has the master hand over.
pub async fn switchover(cluster: &Cluster, args: &Switchover) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    let to = args.to.as_deref().map(|to| member(&resource, to)).transpose()?;
    if to.is_some() && to == resource.status.as_ref().and_then(|status| status.master.clone()) {
        println!("{} is the master already", to.unwrap_or_default());
        return Ok(exit::OK);
    }
    can_hand_over(&resource, to.as_deref())?;
    ask(cluster, &resource, RequestKind::Switchover, to, &args.patience).await
}

/// Reports what would make the request pointless before the request is made.
fn can_hand_over(resource: &RedisReplication, to: Option<&str>) -> Result<(), Error> {
    let name = resource.name_any();
    not_paused(resource)?;
    master(resource)?;
    if members(resource).len() < 2 {
        return Err(Error::Pointless(format!("{name} has one member: there is no replica to hand over to")));
    }
    let phase = |pod: &str| {
        let said = resource.status.iter().flat_map(|status| &status.members).find(|member| member.name == pod);
        said.and_then(|member| member.phase)
    };
    match to.map(|to| (to, phase(to))) {
        None | Some((_, Some(MemberPhase::Online))) => Ok(()),
        Some((to, phase)) => {
            let phase = phase.map_or_else(|| "does not follow the master".into(), |phase| format!("is {phase:?}"));
            Err(Error::Pointless(format!("{to} {phase}, so it cannot take over now; see `kubectl rr status {name}`")))
        }
    }
}

fn not_paused(resource: &RedisReplication) -> Result<(), Error> {
    let name = resource.name_any();
    if resource.spec.paused {
        return Err(Error::Pointless(format!("{name} is paused: first `kubectl rr resume {name}`")));
    }
    Ok(())
}

/// `failover` without `--force` is refused before anything is read.
pub fn is_meant(args: &Failover) -> Result<(), Error> {
    if args.force {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "a forced failover can lose acknowledged writes: add --force, or, while the master is healthy, use `kubectl rr switchover {}`",
        args.name
    )))
}

/// Forces a failover that the operator refuses.
pub async fn failover(cluster: &Cluster, args: &Failover) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    let name = &args.name;
    let to = args.to.as_deref().map(|to| member(&resource, to)).transpose()?;
    not_paused(&resource)?;
    let condition = |type_: ConditionType| {
        let conditions = resource.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().find(|condition| condition.type_ == type_.to_string())
    };
    let holds = |type_| condition(type_).is_some_and(|condition| condition.status == "True");
    if holds(ConditionType::MasterAvailable) && !holds(ConditionType::FailoverBlocked) {
        let master = master(&resource)?;
        return Err(Error::Pointless(format!(
            "{master} accepts writes: `kubectl rr switchover {name}` changes the master and loses nothing"
        )));
    }
    let blocked = condition(ConditionType::FailoverBlocked).filter(|condition| condition.status == "True");
    let why = blocked.map_or("", |condition| condition.message.as_str());
    let view = status::one(cluster, &resource).await;
    terminal::confirm(&warning(&view, why, to.as_deref()), name, args.yes)?;
    ask(cluster, &resource, RequestKind::Failover, to, &args.patience).await
}

/// What may be lost, and what each member has.
fn warning(view: &View, why: &str, to: Option<&str>) -> String {
    let name = &view.name;
    let mut text = String::new();
    let heir = to.unwrap_or("the member with the newest data among those that answer");
    let _ = match &view.master {
        Some(master) => writeln!(
            text,
            "{name}: {heir} will replace {master} as master.\n\
             Every acknowledged write that the new master has not received is lost. If {master} still runs,\n\
             the writes that it acknowledges until the operator can reach and demote it are lost too."
        ),
        None => writeln!(
            text,
            "{name}: {heir} will become master.\n\
             Every write that only an absent member has is lost: when it returns, it copies the new master's data."
        ),
    };
    if !why.is_empty() {
        let _ = writeln!(text, "The operator leaves this decision to an administrator: {why}.");
    }
    for member in &view.members {
        let says = match member.offset {
            Some(offset) => format!("has {} of the history (offset {offset})", render::bytes(offset)),
            None => "does not answer".into(),
        };
        let _ = writeln!(text, "  {} {says}", member.name);
    }
    text.trim_end().to_owned()
}

async fn ask(
    cluster: &Cluster,
    resource: &RedisReplication,
    kind: RequestKind,
    to: Option<String>,
    patience: &Patience,
) -> Result<u8, Error> {
    let name = resource.name_any();
    let value = to.as_deref().unwrap_or(ANY_MEMBER);
    let annotation = kind.annotation();
    let told = wait::answers(cluster, &name).await;
    let asked = cluster.patch(&name, json!({ "metadata": { "annotations": { (annotation): value } } })).await?;
    if patience.no_wait {
        println!("requested; `kubectl rr status {name}` shows the progress");
        return Ok(exit::OK);
    }
    let request = Request { annotation, to, asked, told };
    let last = wait::until_done(cluster, &request, patience.timeout).await?;
    println!("{} is the master (epoch {}); {}", last.to, last.epoch, render::transition(&last));
    Ok(exit::OK)
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
