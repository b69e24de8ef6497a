//! What the steps of a plan act through in the simulated world. Which answer means what is not simulated: the operator runs
//! the same `replication::carry_out`.

use std::{
    cell::{RefCell, RefMut},
    collections::BTreeSet,
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use redis_replication_operator::{
    api::RequestKind,
    redis::Info,
    replication::{self, Act, Change, Cluster, Moment, Observation, Record, RoleLabel, Servers, Step},
};

use super::{
    chance::{Chance, Fate},
    connection::ip,
    world::{Command, OPERATOR, World, index, moment},
};

/// Why a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("no connection")]
    NoLink,
    #[error("no answer")]
    NoAnswer,
    #[error("the API refuses")]
    Refused,
}

struct Ports<'a> {
    world: RefCell<&'a mut World>,
    chance: RefCell<Chance>,
    o: &'a Observation,
}

impl World {
    /// Takes the steps as the operator does. Time passes whenever all of them wait.
    pub fn carry_out(&mut self, o: &Observation, steps: &[Step], chance: Chance) {
        let mut memory = std::mem::take(&mut self.operator.memory);
        let ports = Ports { world: RefCell::new(self), chance: RefCell::new(chance), o };
        {
            let mut taking = pin!(replication::carry_out(&ports, o, steps, &mut memory));
            while taking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                let pause = ports.chance.borrow_mut().pause();
                ports.world().later(pause);
            }
        }
        self.operator.memory = memory;
    }
}

impl Ports<'_> {
    fn world(&self) -> RefMut<'_, World> {
        RefMut::map(self.world.borrow_mut(), |world| &mut **world)
    }

    fn fate(&self) -> Fate {
        self.chance.borrow_mut().fate()
    }

    /// Something else happens first.
    async fn pause(&self) {
        let mut waited = false;
        poll_fn(|_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    async fn command(&self, member: &str, command: Command) -> Result<(Moment, Info), Failure> {
        let fate = self.fate();
        if fate == Fate::Slow {
            self.pause().await;
        }
        let sent = self.world().send(member, command, fate);
        if fate == Fate::Slow {
            self.pause().await;
        }
        sent
    }

    /// A request to the API. `Late` and `Lost` are the same here: it is carried out, and nobody hears of it.
    async fn request<T>(&self, act: impl FnOnce(&mut World) -> Result<T, Failure>) -> Result<T, Failure> {
        let fate = self.fate();
        if fate == Fate::Slow {
            self.pause().await;
        }
        if self.world().api_down {
            return Err(Failure::Refused);
        }
        let done = act(&mut self.world())?;
        match fate {
            Fate::Answered => Ok(done),
            Fate::Slow => {
                self.pause().await;
                Ok(done)
            }
            Fate::Late | Fate::Lost => Err(Failure::NoAnswer),
        }
    }
}

impl Servers for Ports<'_> {
    type Error = Failure;

    async fn promote(&self, member: &str, min_replicas: usize) -> Result<Info, Failure> {
        let promote = Command::Promote { min_replicas, epoch: self.o.record.epoch };
        Ok(self.command(member, promote).await?.1)
    }

    async fn detach(&self, member: &str) -> Result<Info, Failure> {
        Ok(self.command(member, Command::Follow(None)).await?.1)
    }

    async fn follow(&self, member: &str, master: &str) -> Result<Info, Failure> {
        let target = {
            let mut world = self.world();
            let target = world.operator.links.get(&index(master)).ok_or(Failure::NoLink)?.host;
            let seen = self.o.members.get(member).and_then(|m| m.server.info.as_ref()).map(|(_, i)| i);
            let late = world.late;
            world.check_follow(member, master, seen, late);
            target
        };
        Ok(self.command(member, Command::Follow(Some(target))).await?.1)
    }

    async fn set_min_replicas(&self, member: &str, min_replicas: usize) -> Result<(), Failure> {
        self.command(member, Command::Fence(min_replicas)).await.map(drop)
    }

    async fn hold(&self, member: &str, limit: Duration) -> Result<(Moment, Info), Failure> {
        self.command(member, Command::Hold(u64::try_from(limit.as_millis()).unwrap())).await
    }

    async fn release(&self, member: &str) -> Result<(), Failure> {
        self.command(member, Command::Release).await.map(drop)
    }

    /// Clients find the Service anew with each write.
    async fn drop_clients(&self, member: &str) -> Result<(), Failure> {
        self.release(member).await
    }

    async fn drop_replicas(&self, member: &str, addresses: &BTreeSet<String>) -> Result<(), Failure> {
        let hosts = self.world().fleet.hosts.len();
        let dropped = (0..hosts).filter(|host| addresses.contains(&ip(*host).to_string()));
        for host in dropped {
            self.command(member, Command::DropReplica(host)).await?;
        }
        Ok(())
    }

    async fn refresh(&self, members: &[String]) {
        for member in members {
            self.world().poll(index(member), true);
        }
    }

    async fn persist(&self, _: &str, _: &Act) -> Result<Option<String>, Failure> {
        Err(Failure::NoLink) // no history has settings for it
    }
}

impl Cluster for Ports<'_> {
    type Error = Failure;
    type Written = ();

    async fn write_record(&self, next: &Record, changes: &[Change]) -> Result<(), Failure> {
        self.request(|world| {
            if world.operator.version != world.version {
                world.refresh_resource();
                return Err(Failure::Refused);
            }
            world.check_record(next);
            world.record = next.clone();
            world.version += 1;
            for change in changes {
                if let Change::Begin { transition, .. } = change {
                    world.check_begin(self.o, transition.kind, &transition.to);
                }
            }
            Ok(())
        })
        .await?;
        self.world().refresh_resource();
        Ok(())
    }

    async fn route(&self, to: &str) -> Result<(), Failure> {
        self.request(|world| {
            world.check_route(to, world.late);
            world.route = Some(index(to));
            world.endpoints_changed_at = world.fleet.now;
            Ok(())
        })
        .await
    }

    async fn label(&self, member: &str, uid: &str, role: RoleLabel) -> Result<(), Failure> {
        self.request(|world| {
            let pod = world.pods.get_mut(&index(member)).filter(|pod| pod.host.to_string() == uid);
            pod.ok_or(Failure::Refused)?.label = Some(role);
            Ok(())
        })
        .await
    }

    async fn delete_pod(&self, member: &str, uid: &str, grace: Option<u32>) -> Result<(), Failure> {
        self.request(|world| {
            let hung = grace.is_some();
            if !hung {
                world.check_restart(self.o, member, world.late);
            }
            if world.pods.get(&index(member)).is_none_or(|pod| pod.host.to_string() != uid) {
                return Ok(()); // it is gone already
            }
            world.delete(index(member), hung);
            Ok(())
        })
        .await
    }

    async fn resolve_request(&self, _: RequestKind) -> Result<(), Failure> {
        self.request(|world| {
            world.settings.request = None;
            Ok(())
        })
        .await
    }
}

impl replication::Ports for Ports<'_> {
    fn now(&self) -> Moment {
        moment(self.world().fleet.now)
    }

    /// One that lost its lease was stopped after it had looked.
    fn may_act(&self) -> bool {
        true
    }
}

impl World {
    /// Sends a command over the connection; returns what the process says that carried it out, if its answer came back.
    fn send(&mut self, member: &str, command: Command, fate: Fate) -> Result<(Moment, Info), Failure> {
        let i = index(member);
        let l = self.operator.links.get(&i).ok_or(Failure::NoLink)?;
        let (host, run) = (l.host, l.run.ok_or(Failure::NoLink)?);
        let logged_in = l.is_logged_in();
        logged_in.then_some(()).ok_or(Failure::NoLink)?; // a connection that has ended those before it has an answer
        let process = self.fleet.redis(host).filter(|r| r.run == run).ok_or(Failure::NoLink)?;
        let waits = !self.fleet.path(OPERATOR, host) || process.stopped || self.lies_unread(host, run);
        if waits || fate == Fate::Late {
            self.delayed.push((host, run, command)); // it is on its way, or in a socket buffer
            return Err(Failure::NoAnswer);
        }
        self.carry_out_command(host, command);
        if !self.fleet.path(host, OPERATOR) {
            return Err(Failure::NoAnswer); // done, and nobody is told
        }
        if fate == Fate::Lost {
            self.disconnect(i);
            return Err(Failure::NoAnswer);
        }
        self.poll(i, true);
        let answer = self.operator.links.get(&i).and_then(|l| l.health.server().info.clone());
        answer.filter(|(_, info)| info.run_id == run.to_string()).ok_or(Failure::NoAnswer)
    }
}
