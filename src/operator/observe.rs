//! The only reader: gathers what the stores and the connections know into one [`Observation`], and judges nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod as KubePod, Service},
    discovery::v1::{Endpoint, EndpointSlice},
    policy::v1::PodDisruptionBudget,
};
use kube::{Resource, ResourceExt, runtime::reflector::Store};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    advice::Place,
    holdings, pods,
    questions::{Question, questions},
    registry::ReconcileReport,
    slices,
    status::record,
    trouble,
};
use crate::{
    api::{ANY_MEMBER, RedisReplication, RequestKind, Routing},
    kubernetes::{owned::Owned, ownership::Stranger, stores::Key},
    objects::{self, names},
    password::Password,
    redis::{Clock, LeadershipCheck, Link, Target},
    replication::{
        Bond, Contact, Effect, Former, Member, Memory, Moment, Observation, Pod, Record, Request, RoleLabel, Server,
        Settings, is_worth_connecting,
    },
};

/// For so long an own write is trusted, until the watch shows it.
const OWN_WRITE: Duration = Duration::from_secs(3);
/// For so long the address of a pod that is gone stays behind the master Service: one change, to that of the next master, is
/// heard of a second sooner than two.
const LINGERS_AFTER: Duration = Duration::from_secs(3);

/// What is known of the cluster.
#[derive(Clone)]
pub struct Stores {
    /// The resources.
    pub resources: Store<RedisReplication>,
    /// Their pods.
    pub pods: Owned<KubePod>,
    /// Their volume claims.
    pub claims: Owned<PersistentVolumeClaim>,
    /// Their `StatefulSet`s.
    pub stateful_sets: Owned<StatefulSet>,
    /// Their Services.
    pub services: Owned<Service>,
    /// Where the Services lead: what kube-proxy acts on.
    pub slices: Owned<EndpointSlice>,
    /// Their `ConfigMap`s.
    pub config_maps: Owned<ConfigMap>,
    /// Their `PodDisruptionBudget`s.
    pub budgets: Owned<PodDisruptionBudget>,
}

/// Watches the members of one resource.
pub struct Observer {
    key: Key,
    /// The resource's identity: whose the objects are.
    owner: String,
    stores: Stores,
    changed: Arc<Notify>,
    authority: LeadershipCheck,
    clock: Clock,
    links: BTreeMap<String, Watched>,
    /// For all links, each of which takes the present one at each login.
    password: Option<watch::Sender<Password>>,
    /// How the master Service is to find its pod.
    routing: Routing,
    routed: Option<(Instant, String)>,
    lingers_since: Option<Instant>,
    labelled: HashMap<String, (Instant, RoleLabel)>,
    restarted: HashMap<String, Instant>,
    /// What became of the processes in pods that are gone, by the pods' identity.
    former: HashMap<String, Former>,
    /// When each pod that is being deleted was first seen to be.
    leaving: HashMap<String, Moment>,
    /// Since when each pod that answers the kubelet has not been connected to.
    unreached: HashMap<String, Moment>,
    /// Since when something beside its Redis has kept each pod from being ready.
    unready: HashMap<String, Moment>,
    /// What the endpoints of the Services depend on, and when it last changed.
    endpoints: (Moment, Endpoints),
}

/// Of each pod: name, identity, whether it is ready and leaving, its role label. Of each endpoint slice: its version. The
/// slices follow the pods by up to a second.
type Endpoints = (Vec<(String, String, bool, bool, Option<RoleLabel>)>, Vec<(String, Option<String>)>);

/// A connection, and the pod that it was made to.
struct Watched {
    pod: Pod,
    link: Link,
}

impl Observer {
    /// For one resource; `changed` is woken when something about a member changes. Members are connected to with
    /// `authority` only.
    pub fn new(key: Key, stores: Stores, changed: Arc<Notify>, authority: LeadershipCheck) -> Self {
        Self {
            key,
            owner: String::new(),
            stores,
            changed,
            authority,
            clock: Clock::start(),
            links: BTreeMap::new(),
            password: None,
            routing: Routing::default(),
            routed: None,
            lingers_since: None,
            labelled: HashMap::new(),
            restarted: HashMap::new(),
            former: HashMap::new(),
            leaving: HashMap::new(),
            unreached: HashMap::new(),
            unready: HashMap::new(),
            endpoints: (Moment::ZERO, Endpoints::default()),
        }
    }

    /// The present.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Is there a pod of a `StatefulSet` that is not the one of the resource with the identity `owner`?
    pub fn has_pods_of_another_set(&self, owner: &str) -> bool {
        let own = holdings::stateful_set(&self.stores.stateful_sets, &self.key, owner).and_then(|set| set.uid());
        let pods = holdings::pods(&self.stores.pods, &self.key, &[]);
        pods.iter().any(|pod| holdings::is_of_another_set(pod, own.as_deref()))
    }

    /// The connection to a member.
    pub fn link(&self, member: &str) -> Option<&Link> {
        self.links.get(member).map(|w| &w.link)
    }

    /// Trusts own writes that the watches have yet to show.
    pub fn note(&mut self, effect: &Effect) {
        let now = Instant::now();
        match effect {
            Effect::Routed { to, .. } => self.routed = Some((now, to.clone())),
            Effect::Labelled { uid, role } => drop(self.labelled.insert(uid.clone(), (now, *role))),
            Effect::Replaced { uid } => drop(self.restarted.insert(uid.clone(), now)),
            _ => {}
        }
    }

    /// Gathers the facts.
    pub fn observe(
        &mut self,
        resource: &RedisReplication,
        removed: bool,
        report: &ReconcileReport,
        memory: &Memory,
    ) -> Observation {
        let password = report.password.as_ref();
        self.owner = resource.uid().unwrap_or_default();
        self.forget_old_writes();
        self.take_in_password(password);
        let place = Place::of(resource);
        self.routing = resource.spec.master_routing();
        let settings = settings(resource, removed);
        let record = record::of(resource);
        let revision = self.stateful_set().and_then(|set| holdings::update_revision(&set));
        let pods = holdings::pods(&self.stores.pods, &self.key, &report.strangers);
        let found_by = names::selector_labels(&self.key.name);
        let facts = |pod: &Arc<KubePod>| {
            let mut facts = pods::facts(pod, revision.as_deref());
            facts.role.take_if(|_| !names::carries(pod.labels(), &found_by)); // no Service finds it
            facts.short_of_memory = pods::short_of_memory(pod, Timestamp::now());
            (pod.name_any(), facts)
        };
        let mut pods: BTreeMap<String, Pod> = pods.iter().map(facts).collect();
        let now = self.now();
        for pod in pods.values_mut() {
            pod.leaving |= self.restarted.contains_key(&pod.uid);
            if pod.leaving {
                pod.failure = None;
                pod.leaving_since = *self.leaving.entry(pod.uid.clone()).or_insert(now);
            }
            match &pod.unready {
                Some(_) => pod.unready_since = *self.unready.entry(pod.uid.clone()).or_insert(now),
                None => drop(self.unready.remove(&pod.uid)),
            }
            if let Some((_, role)) = self.labelled.get(&pod.uid) {
                pod.role = Some(*role);
            }
        }
        let slices = self.stores.slices.of(&self.key);
        let mut versions: Vec<_> = slices
            .iter()
            .filter(|slice| slices::is_looked_at(slice))
            .map(|slice| (slice.name_any(), slice.resource_version()))
            .collect();
        versions.sort();
        let pods_now = pods.iter().map(|(name, p)| (name.clone(), p.uid.clone(), p.ready, p.leaving, p.role)).collect();
        let endpoints: Endpoints = (pods_now, versions);
        if endpoints != self.endpoints.1 {
            self.endpoints = (now, endpoints);
        }
        self.leaving.retain(|uid, _| pods.values().any(|pod| pod.uid == *uid));
        self.unready.retain(|uid, _| pods.values().any(|pod| pod.uid == *uid));
        self.unreached.retain(|uid, _| pods.values().any(|pod| pod.uid == *uid));
        self.former.retain(|uid, _| record.members.values().any(|m| m.uid.as_ref() == Some(uid)));
        let expected = (0..settings.replicas).map(|i| settings.name_of(i));
        let names: BTreeSet<String> = expected.chain(pods.keys().cloned()).chain(self.links.keys().cloned()).collect();
        let at_master = record.master.as_ref().is_some_and(|master| self.accepts_present(master));
        let mut members = BTreeMap::new();
        for name in names {
            let pod = self.connect(&name, pods.remove(&name), &settings);
            let mut server =
                self.links.get(&name).map(|w| self.server(&name, &w.link, &place, at_master)).unwrap_or_default();
            server.unreached_since = self.unreached_since(pod.as_ref(), server.contact);
            let claim_may_hold_data = settings.persistent && self.claim_may_hold_data(&name, resource, &record);
            if pod.is_some() || claim_may_hold_data || settings.ordinal(&name) < settings.replicas {
                let recorded = record.members.get(&name).and_then(|m| m.uid.as_ref());
                let former = recorded.and_then(|uid| self.former.get(uid)).copied().unwrap_or_default();
                members.insert(name, Member { pod, server, claim_may_hold_data, former, absent: None });
            }
        }
        Observation {
            now: self.now(),
            settings,
            record,
            members,
            endpoints_changed_at: self.endpoints.0,
            route: self.route(report),
            memory: memory.clone(),
        }
    }

    fn take_in_password(&mut self, password: Option<&Password>) {
        let Some(password) = password else { return }; // the former one is the best that there is
        let sender = self.password.get_or_insert_with(|| watch::Sender::new(password.clone()));
        sender.send_if_modified(|present| {
            let changed = present != password;
            present.clone_from(password);
            changed
        });
    }

    /// The password that the members accepted last; where they differ, the master.
    pub fn accepted(&self, master: Option<&str>) -> Option<Password> {
        let accepted = |w: &Watched| w.link.report().accepted;
        let masters = master.and_then(|master| self.links.get(master)).and_then(accepted);
        masters.or_else(|| self.links.values().find_map(accepted))
    }

    fn accepts_present(&self, member: &str) -> bool {
        let report = self.links.get(member).map(|w| w.link.report());
        let present = self.password.as_ref().map(|password| password.borrow().clone());
        report.is_some_and(|r| {
            r.outdated.is_none() && r.problem.is_none() && r.accepted.is_some() && r.accepted == present
        })
    }

    /// Keeps the connection to the member's pod; returns the pod that the connection is about.
    fn connect(&mut self, name: &str, pod: Option<Pod>, settings: &Settings) -> Option<Pod> {
        if let Some(watched) = self.links.get_mut(name) {
            match Bond::of(&watched.pod, watched.link.report().server().contact, pod.as_ref()) {
                Bond::Holds => {
                    watched.pod.clone_from(pod.as_ref()?);
                    return pod;
                }
                Bond::Outlives(former) => return Some(*former),
                Bond::Ends(former) => {
                    self.former.insert(watched.pod.uid.clone(), former);
                    self.links.remove(name);
                }
            }
        }
        let pod = pod?;
        if let (Some(ip), Some(password), true) = (pod.ip, &self.password, is_worth_connecting(&pod)) {
            let target = Target { ip, port: names::REDIS_PORT };
            let changed = Arc::clone(&self.changed);
            let authority = Arc::clone(&self.authority);
            let silence = settings.unreachable_after;
            let link = Link::open(target, self.clock, password.subscribe(), silence, changed, authority);
            self.links.insert(name.to_owned(), Watched { pod: pod.clone(), link });
        }
        Some(pod)
    }

    fn unreached_since(&mut self, pod: Option<&Pod>, contact: Contact) -> Option<Moment> {
        let (pod, now) = (pod?, self.now());
        if contact == Contact::Up || !pod.started {
            self.unreached.remove(&pod.uid);
            return None;
        }
        Some(*self.unreached.entry(pod.uid.clone()).or_insert(now))
    }

    /// What has to be asked for in events.
    pub fn questions(&self, o: &Observation) -> BTreeSet<Question> {
        if o.members.values().all(|m| m.pod.as_ref().is_some_and(|pod| pod.running)) {
            return BTreeSet::new(); // as in nearly every round
        }
        let pods = self.stores.pods.of(&self.key);
        let claims = self.stores.claims.of(&self.key);
        let set = self.stateful_set();
        questions(o, &pods, &claims, set.as_deref())
    }

    fn server(&self, member: &str, link: &Link, place: &Place, at_master: bool) -> Server {
        let report = link.report();
        let present = self.password.as_ref().map(|password| password.borrow().clone());
        let problem = trouble::of(&report, member, place, present.as_ref(), at_master);
        Server { problem, ..report.health.into_server() }
    }

    /// The master Service, if it is the resource's own.
    pub fn master_service(&self) -> Option<Arc<Service>> {
        holdings::named(&self.stores.services, &self.key, &self.owner, &names::master_service(&self.key.name))
    }

    /// The `StatefulSet`, if it is the resource's own.
    pub fn stateful_set(&self) -> Option<Arc<StatefulSet>> {
        holdings::stateful_set(&self.stores.stateful_sets, &self.key, &self.owner)
    }

    fn slices(&self) -> Vec<Arc<EndpointSlice>> {
        holdings::slices(&self.stores.slices, &self.stores.services, &self.key, &self.owner)
    }

    /// The master Service's selector; empty if it has none.
    pub fn master_selector(&self) -> BTreeMap<String, String> {
        self.master_service().map(|service| selector(&service)).unwrap_or_default()
    }

    fn forget_old_writes(&mut self) {
        self.routed.take_if(|(at, _)| at.elapsed() > OWN_WRITE);
        self.labelled.retain(|_, (at, _)| at.elapsed() < OWN_WRITE);
        self.restarted.retain(|_, at| at.elapsed() < OWN_WRITE);
    }

    /// The pod that the master Service leads to; `None` if there is no Service, or no slice, that may be written to.
    fn route(&self, report: &ReconcileReport) -> Option<Option<String>> {
        let service = self.master_service()?;
        let is_slice = |stranger: &Stranger| stranger.kind == EndpointSlice::kind(&());
        if self.routing == Routing::EndpointSlice && report.strangers.iter().any(is_slice) {
            return None;
        }
        let slices = self.slices();
        if let Some((_, to)) = &self.routed {
            return Some(Some(to.clone()));
        }
        let selector = selector(&service);
        let own = slices::own(&slices, &self.key.name);
        Some(match self.routing {
            // anything beside the pod's name is not ours
            Routing::Selector if own.is_none() && selector.len() == 1 => selector.get(names::POD_NAME_LABEL).cloned(),
            Routing::EndpointSlice
                if selector.is_empty() && slices::of_controllers(&slices, &self.key.name).is_empty() =>
            {
                own.and_then(|slice| self.member_behind(&slice))
            }
            _ => None,
        })
    }

    /// The member that an own slice leads to: its very pod, at its present address. A process outlives its pod object after a
    /// forced deletion.
    fn member_behind(&self, slice: &EndpointSlice) -> Option<String> {
        let (uid, address) = slices::leads_to(slice)?;
        let is_it = |pod: &Pod| pod.uid == uid && pod.ip.is_some_and(|ip| ip.to_string() == address);
        if let Some((name, _)) = self.links.iter().find(|(_, w)| is_it(&w.pod)) {
            return Some(name.clone());
        }
        let pods = self.stores.pods.of(&self.key);
        let unlinked = pods.iter().filter(|pod| !self.links.contains_key(&pod.name_any()));
        unlinked.map(|pod| (pod.name_any(), pods::facts(pod, None))).find(|(_, pod)| is_it(pod)).map(|(name, _)| name)
    }

    /// Does an own slice lead to a pod that has been gone for long? Its address may become another's.
    pub fn lingers(&mut self) -> bool {
        let slice = self.own_slice().filter(|slice| !slice.endpoints.is_empty());
        if slice.is_none_or(|slice| self.member_behind(&slice).is_some()) {
            self.lingers_since = None;
            return false;
        }
        self.lingers_since.get_or_insert_with(Instant::now).elapsed() > LINGERS_AFTER
    }

    /// The pod that a member is connected to, as Kubernetes has it.
    pub fn pod(&self, member: &str) -> Option<Arc<KubePod>> {
        let uid = &self.links.get(member)?.pod.uid;
        self.stores.pods.of(&self.key).into_iter().find(|pod| pod.uid().as_ref() == Some(uid))
    }

    /// The master Service's slice that the operator wrote.
    pub fn own_slice(&self) -> Option<Arc<EndpointSlice>> {
        slices::own(&self.slices(), &self.key.name)
    }

    /// Those that Kubernetes wrote.
    pub fn slices_of_controllers(&self) -> Vec<Arc<EndpointSlice>> {
        slices::of_controllers(&self.slices(), &self.key.name)
    }

    /// The master Service's endpoint slice, and the endpoint that it will have when the Service leads to `to`.
    pub fn slice_ahead(&self, to: &str) -> Option<(Arc<EndpointSlice>, Endpoint)> {
        slices::ahead(&self.slices(), &self.key.name, &self.links.get(to)?.pod.uid)
    }

    /// A bound volume that is older than the resource, or that a master has been there to fill.
    fn claim_may_hold_data(&self, pod: &str, resource: &RedisReplication, record: &Record) -> bool {
        let name = format!("{}-{pod}", names::DATA_VOLUME);
        let claims = self.stores.claims.of(&self.key);
        claims.iter().find(|c| c.name_any() == name).is_some_and(|claim| {
            let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
            let older = match (claim.creation_timestamp(), resource.creation_timestamp()) {
                (Some(claim), Some(resource)) => claim.0 < resource.0,
                _ => true,
            };
            bound && (record.epoch > 0 || older)
        })
    }
}

fn settings(resource: &RedisReplication, removed: bool) -> Settings {
    Settings {
        name: resource.name_any(),
        replicas: usize::try_from(resource.spec.replicas).unwrap_or(0),
        persistent: resource.spec.persistence.is_some(),
        persistence: resource.spec.persistence.is_some().then(|| objects::persistence(&resource.spec)),
        paused: resource.spec.paused,
        removed,
        policy: resource.spec.failover_policy(),
        wait_replicas: resource.spec.wait_replicas(),
        unreachable_after: resource.spec.unreachable_after(),
        unresponsive_after: resource.spec.hung_after(),
        accept_data_loss_after: resource.spec.accept_data_loss_after(),
        preferred_master: resource.spec.failover.as_ref().and_then(|f| f.preferred_master.clone()),
        request: request(resource),
    }
}

/// What a user requests by an annotation. A failover by force is the stronger word.
fn request(resource: &RedisReplication) -> Option<Request> {
    let asked = |kind: RequestKind| {
        let to = resource.annotations().get(kind.annotation())?.trim().to_owned();
        Some(Request { kind, to: (to != ANY_MEMBER).then_some(to) })
    };
    asked(RequestKind::Failover).or_else(|| asked(RequestKind::Switchover))
}

fn selector(service: &Service) -> BTreeMap<String, String> {
    service.spec.as_ref().and_then(|s| s.selector.clone()).unwrap_or_default()
}
