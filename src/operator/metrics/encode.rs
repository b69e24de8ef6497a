//! From what is kept of the resources to series. A resource or member that is gone is in no list, and so in no series.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::MetricType,
};

use super::{
    reading::{MemberReading, Reading, VERDICTS},
    resource::Resource,
};
use crate::kubernetes::stores::Key;

type Labels<'a> = Vec<(&'a str, &'a str)>;
/// What a gauge of a resource shows.
type OfResource = fn(&Reading) -> u64;
/// What a gauge of a member shows, given how long ago it was looked at; `None`: no series.
type OfMember = fn(&MemberReading, Duration) -> Option<f64>;

const RESOURCE_GAUGES: [(&str, &str, OfResource); 7] = [
    ("master_present", "1 while the recorded master accepts writes", |r| r.serving.into()),
    ("masters", "Members that call themselves master; more than one only while a former one is being demoted", |r| {
        r.masters as u64
    }),
    ("epoch", "How often the master has been chosen", |r| r.epoch.unsigned_abs()),
    ("members", "Pods that exist", |r| r.members.len() as u64),
    ("members_wanted", "Pods that spec.replicas asks for", |r| r.wanted as u64),
    ("replicas_online", "Replicas whose link to the master is up", |r| r.online as u64),
    ("wait_replicas", "Replicas that are to hold a write (spec.durability.waitReplicas)", |r| r.wait_replicas as u64),
];

const MEMBER_GAUGES: [(&str, &str, OfMember); 9] = [
    ("member_master", "1 for a member that calls itself master", |m, _| m.master.map(one_if)),
    ("member_offset_bytes", "Position in the replication stream", |m, _| m.offset.map(float)),
    ("member_lag_bytes", "Bytes that the replica is behind the master, by what each has last said", |m, _| {
        m.lag.map(float)
    }),
    (
        "member_heard_seconds",
        "Since the replica's offset last moved; a master that it hears moves it every second",
        |m, age| m.heard.map(|heard| (heard + age).as_secs_f64()),
    ),
    ("member_answered_seconds", "Since the operator asked what the member answered last", |m, age| {
        m.answered.map(|answered| (answered + age).as_secs_f64())
    }),
    ("member_link_up", "1 while the replica follows the master's stream, 0 while it connects or copies", |m, _| {
        m.link.map(one_if)
    }),
    ("member_sync_percent", "In a full sync: how much of the data has arrived or is loaded", |m, _| {
        m.sync_percent.map(f64::from)
    }),
    ("member_memory_used_bytes", "Memory that Redis uses (used_memory)", |m, _| m.memory.map(float)),
    ("member_memory_limit_bytes", "maxmemory; absent without a limit", |m, _| m.memory_limit.map(float)),
];

/// Makes the series when they are asked for.
#[derive(Debug)]
pub struct Collector {
    /// Those that are looked after.
    pub resources: BTreeMap<Key, Resource>,
    /// Kind and name of what cannot be decoded.
    pub undecodable: Vec<(String, Key)>,
}

impl prometheus_client::collector::Collector for Collector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        self.resources(&mut encoder)?;
        self.undecodable(&mut encoder)?;
        self.conditions(&mut encoder)?;
        self.transitions(&mut encoder)?;
        self.members(&mut encoder)
    }
}

impl Collector {
    fn readings(&self) -> impl Iterator<Item = (&Key, &Reading)> {
        self.resources.iter().filter_map(|(key, resource)| Some((key, &**resource.reading.as_ref()?)))
    }

    fn resources(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        for (name, help, value) in RESOURCE_GAUGES {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, reading) in self.readings() {
                gauge.encode_family(&labels(key))?.encode_gauge(&value(reading))?;
            }
        }
        Ok(())
    }

    fn undecodable(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "1 for each object that the operator cannot decode and does without";
        let mut gauge = encoder.encode_descriptor("undecodable", help, None, MetricType::Gauge)?;
        for (kind, key) in &self.undecodable {
            gauge.encode_family(&with(key, &[("kind", kind)]))?.encode_gauge(&1u64)?;
        }
        Ok(())
    }

    fn conditions(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let help = "1 while the condition of the status is True";
        let mut gauge = encoder.encode_descriptor("condition", help, None, MetricType::Gauge)?;
        for (key, reading) in self.readings() {
            for (type_, holds, _) in &reading.conditions {
                let type_ = type_.to_string();
                gauge.encode_family(&with(key, &[("condition", &type_)]))?.encode_gauge(&u64::from(*holds))?;
            }
        }
        let help = "1 for the present reason of each condition of the status";
        let mut gauge = encoder.encode_descriptor("condition_reason", help, None, MetricType::Gauge)?;
        for (key, reading) in self.readings() {
            for (type_, _, reason) in &reading.conditions {
                let type_ = type_.to_string();
                gauge.encode_family(&with(key, &[("condition", &type_), ("reason", reason)]))?.encode_gauge(&1u64)?;
            }
        }
        Ok(())
    }

    fn transitions(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let mut counter = encoder.encode_descriptor("transitions", "Changes of master", None, MetricType::Counter)?;
        for (key, resource) in &self.resources {
            for ((kind, reason, outcome), count) in &resource.transitions {
                let labels = with(key, &[("kind", kind), ("reason", reason), ("outcome", outcome)]);
                counter.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
            }
        }
        let help = "From the beginning of a change of master until the master Service named the new one";
        let mut histograms =
            encoder.encode_descriptor("transition_duration_seconds", help, None, MetricType::Histogram)?;
        for (key, resource) in &self.resources {
            for (kind, histogram) in &resource.durations {
                histogram.encode(histograms.encode_family(&with(key, &[("kind", kind)]))?)?;
            }
        }
        Ok(())
    }

    fn members(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        let members = || self.readings().flat_map(|(key, r)| r.members.iter().map(move |m| (key, r, m)));
        let help = "1 for what the operator believes of the member, 0 for all else";
        let mut gauge = encoder.encode_descriptor("member_verdict", help, None, MetricType::Gauge)?;
        for (key, _, m) in members() {
            for verdict in VERDICTS {
                let labels = with(key, &[("member", &m.name), ("verdict", verdict)]);
                gauge.encode_family(&labels)?.encode_gauge(&u64::from(verdict == m.verdict))?;
            }
        }
        for (name, help, value) in MEMBER_GAUGES {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, r, m) in members() {
                if let Some(value) = value(m, r.seen.elapsed()) {
                    gauge.encode_family(&with(key, &[("member", &m.name)]))?.encode_gauge(&value)?;
                }
            }
        }
        let help = "Full copies of its data that the member has given to replicas since its process started";
        let mut counter = encoder.encode_descriptor("member_full_syncs", help, None, MetricType::Counter)?;
        for (key, _, m) in members() {
            if let Some(count) = m.full_syncs {
                let labels = with(key, &[("member", &m.name)]);
                counter.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        Ok(())
    }
}

fn labels(key: &Key) -> Labels<'_> {
    with(key, &[])
}

fn with<'a>(key: &'a Key, more: &[(&'a str, &'a str)]) -> Labels<'a> {
    let mut labels = vec![("namespace", key.namespace.as_str()), ("name", key.name.as_str())];
    labels.extend_from_slice(more);
    labels
}

fn one_if(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

#[allow(clippy::cast_precision_loss)] // bytes: exact up to 8 PiB
fn float(n: u64) -> f64 {
    n as f64
}
