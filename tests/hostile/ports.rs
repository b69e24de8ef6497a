//! The steps of a plan are taken as the operator takes them; each server answers with what it said before, true or not.

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use futures::FutureExt;
use redis_replication_operator::{
    api::RequestKind,
    redis::Info,
    replication::{self, Act, Change, Cluster, Memory, Moment, Observation, Record, RoleLabel, Servers, Step},
};

#[derive(Debug, thiserror::Error)]
#[error("it says nothing")]
struct Silence;

struct Ports<'a> {
    o: &'a Observation,
    record: RefCell<&'a mut Record>,
}

/// Writes into the record and the memory what the operator would.
pub fn carry_out(steps: &[Step], o: &Observation, record: &mut Record, memory: &mut Memory) {
    let ports = Ports { o, record: RefCell::new(record) };
    replication::carry_out(&ports, o, steps, memory).now_or_never().expect("nobody is waited for");
}

impl Ports<'_> {
    fn info(&self, member: &str) -> Result<(Moment, Info), Silence> {
        self.o.members[member].server.info.clone().ok_or(Silence)
    }
}

impl Servers for Ports<'_> {
    type Error = Silence;
    async fn promote(&self, member: &str, _: usize) -> Result<Info, Silence> {
        Ok(self.info(member)?.1)
    }
    async fn detach(&self, member: &str) -> Result<Info, Silence> {
        Ok(self.info(member)?.1)
    }
    async fn follow(&self, member: &str, _: &str) -> Result<Info, Silence> {
        Ok(self.info(member)?.1)
    }
    async fn set_min_replicas(&self, _: &str, _: usize) -> Result<(), Silence> {
        Ok(())
    }
    async fn hold(&self, member: &str, _: Duration) -> Result<(Moment, Info), Silence> {
        Ok((self.o.now, self.info(member)?.1))
    }
    async fn release(&self, _: &str) -> Result<(), Silence> {
        Ok(())
    }
    async fn drop_clients(&self, _: &str) -> Result<(), Silence> {
        Ok(())
    }
    async fn drop_replicas(&self, _: &str, _: &BTreeSet<String>) -> Result<(), Silence> {
        Ok(())
    }
    async fn refresh(&self, _: &[String]) {}
    async fn persist(&self, _: &str, _: &Act) -> Result<Option<String>, Silence> {
        Ok(None)
    }
}

impl Cluster for Ports<'_> {
    type Error = Silence;
    type Written = ();
    async fn write_record(&self, next: &Record, _: &[Change]) -> Result<(), Silence> {
        self.record.borrow_mut().clone_from(next);
        Ok(())
    }
    async fn route(&self, _: &str) -> Result<(), Silence> {
        Ok(())
    }
    async fn label(&self, _: &str, _: &str, _: RoleLabel) -> Result<(), Silence> {
        Ok(())
    }
    async fn delete_pod(&self, _: &str, _: &str, _: Option<u32>) -> Result<(), Silence> {
        Ok(())
    }
    async fn resolve_request(&self, _: RequestKind) -> Result<(), Silence> {
        Ok(())
    }
}

impl replication::Ports for Ports<'_> {
    fn now(&self) -> Moment {
        self.o.now
    }
    fn may_act(&self) -> bool {
        true
    }
}
