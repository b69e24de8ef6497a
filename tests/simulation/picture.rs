//! The world in a few lines, for people.

use std::fmt::Write as _;

use super::{
    redis::{Link, Role},
    world::World,
};

impl World {
    pub fn picture(&self) -> String {
        let r = &self.record;
        let t = r.transition.as_ref().map(|t| format!(" {:?} {}→{}", t.kind, t.from.as_deref().unwrap_or("-"), t.to));
        let runs: Vec<_> =
            r.members.iter().map(|(n, m)| format!("{n}:{}", m.run_id.as_deref().unwrap_or("-"))).collect();
        let mut out = format!(
            "          record {} e{}{} id {}/{} fence {} k {} [{}] route {:?}\n",
            r.master.as_deref().unwrap_or("-"),
            r.epoch,
            t.unwrap_or_default(),
            r.replication_id.as_deref().unwrap_or("-"),
            r.previous_replication_id.as_deref().unwrap_or("-"),
            r.min_replicas,
            r.wait_replicas,
            runs.join(" "),
            self.route,
        );
        for (h, host) in self.fleet.hosts.iter().enumerate().skip(1) {
            let member = self.pods.iter().find(|(_, p)| p.host == h);
            let Some(p) = &host.redis else { continue };
            let role = match &p.role {
                Role::Master => format!("master min {} good {}", p.min_replicas, p.good),
                Role::Replica { of, link, .. } => {
                    let link = match link {
                        Link::Down => "down".to_owned(),
                        Link::Receiving { .. } => "receiving".into(),
                        Link::Loading { .. } => "loading".into(),
                        Link::Online { pipe, .. } => format!("online, {} unread", pipe.len()),
                    };
                    format!("of {of:?} {link}")
                }
            };
            let data: Vec<_> = (0..128).filter(|w| p.data & (1 << w) != 0).map(|w: u32| w.to_string()).collect();
            let _ = writeln!(
                out,
                "          host {h} member {:?} run {} id {}/{:?} at {} {role}{}{} has {}",
                member.map(|(i, _)| i),
                p.run,
                p.id,
                p.id2,
                p.offset,
                if p.stopped { " STOPPED" } else { "" },
                if member.is_some_and(|(_, p)| p.leaving) { " LEAVING" } else { "" },
                data.join(","),
            );
        }
        if !self.fleet.cuts.is_empty() {
            let _ = writeln!(out, "          cut {:?}", self.fleet.cuts);
        }
        for step in &self.steps {
            let _ = writeln!(out, "          step: {step:?}");
        }
        for w in &self.waits {
            let _ = writeln!(out, "          waits: {}", w.text);
        }
        out
    }
}
