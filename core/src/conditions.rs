//! The closed lists of condition types and reasons.

use crate::closed_list;

closed_list! {
    /// Types of the conditions in `status.conditions`, in the order in which they are shown.
    pub enum ConditionType {
        /// Everything is as the spec wants it: one master, and all others follow it.
        Ready,
        /// There is a master, and it accepts writes.
        MasterAvailable,
        /// All replicas follow the master.
        Replicating,
        /// Pods are being added, removed or replaced.
        Progressing,
        /// The master is lost and no member may take its place; the message names what is missing.
        FailoverBlocked,
        /// The data of every master since the first, or since the last acknowledgement, has continued that of the one before it.
        DataIntact,
    }
}

closed_list! {
    /// Reasons of conditions. The printer column `Status` shows the one of `Ready`.
    pub enum Reason {
        /// One master, and all others follow it.
        Healthy,
        /// The pods are being made for the first time.
        Creating,
        /// No master yet: the members that may hold data have not all answered.
        Electing,
        /// The master was lost; another takes its place.
        FailingOver,
        /// The master hands over to another.
        SwitchingOver,
        /// The master is lost and no member may take its place.
        NoCandidate,
        /// The master cannot be reached, and it is not certain that it is gone.
        MasterUnreachable,
        /// The master is lost, and it is being made sure that it takes no more writes.
        Fencing,
        /// The master cannot be reached, and nothing keeps it from accepting writes that no other member has.
        MasterNotFenced,
        /// Too few replicas answer to know that no confirmed write is lost.
        QuorumMissing,
        /// The operator cannot reach the master, and cannot tell that it is the master's fault.
        OperatorIsolated,
        /// Some replicas are missing or do not answer.
        MembersMissing,
        /// Some replicas are copying the master's data.
        Syncing,
        /// There is nothing to follow: `replicas` is 1.
        SingleMember,
        /// Pods are being replaced by ones of the present spec.
        RollingOut,
        /// Pods are being added or removed.
        Scaling,
        /// Members change what they write to their volumes: `spec.persistence.mode` or `spec.config.save` is another.
        ChangingPersistence,
        /// Pods, objects and spec agree.
        Stable,
        /// `spec.paused` is set.
        Paused,
        /// The spec cannot be made into objects; the message says what to change.
        InvalidSpec,
        /// The Secret with the password, or its key, does not exist.
        SecretMissing,
        /// What the Secret holds is no password: one line of text.
        InvalidPassword,
        /// A Redis refuses the password that is in the Secret.
        WrongPassword,
        /// A Redis takes no more connections, the operator's neither.
        TooManyClients,
        /// The master could not save its data, and refuses writes until it can; its disk may be full.
        WritesRefused,
        /// Names that the objects need belong to others; the message says which and what to do.
        NameConflict,
        /// The API server refused an object.
        ApplyFailed,
        /// An image cannot be pulled.
        ImageUnavailable,
        /// Redis does not start; the message carries its last words.
        RedisFailsToStart,
        /// A container has used more memory than its limit allows, and was ended for it.
        OutOfMemory,
        /// Redis cannot load its data file; the message has the commands that heal it.
        DataDamaged,
        /// A pod does not come as far as Redis: an init container or another container fails, or its node refuses it.
        PodFailsToStart,
        /// A pod's Redis is ready, and its pod is not: a container beside it, or a readiness gate.
        PodNotReady,
        /// The API server refuses to create a pod: a quota, an admission policy, an object that the pod names and that is missing.
        PodRefused,
        /// A volume of a pod cannot be provided, attached or mounted.
        VolumeUnavailable,
        /// A pod runs, and the operator cannot connect to its Redis.
        MemberUnreachable,
        /// The master drops a replica again and again in the course of its copy, because its output buffer is full.
        OutputBufferTooSmall,
        /// A pod finds no node.
        Unschedulable,
        /// A master accepts writes.
        MasterServes,
        /// All replicas follow the master.
        ReplicasOnline,
        /// Nothing is in the way of a failover.
        NotBlocked,
        /// Every master's data has continued that of the one before it.
        DataContinues,
        /// A master was chosen whose data does not continue that of the one before it, and this has not been acknowledged.
        DataReplaced,
    }
}

impl Reason {
    /// Those that a user has to do something about; each is also an event.
    pub const FOR_PEOPLE: &[Self] = &[
        Self::NoCandidate,
        Self::MasterUnreachable,
        Self::MasterNotFenced,
        Self::QuorumMissing,
        Self::OperatorIsolated,
        Self::InvalidSpec,
        Self::SecretMissing,
        Self::InvalidPassword,
        Self::WrongPassword,
        Self::TooManyClients,
        Self::WritesRefused,
        Self::NameConflict,
        Self::ApplyFailed,
        Self::ImageUnavailable,
        Self::RedisFailsToStart,
        Self::OutOfMemory,
        Self::DataDamaged,
        Self::PodFailsToStart,
        Self::PodNotReady,
        Self::PodRefused,
        Self::VolumeUnavailable,
        Self::MemberUnreachable,
        Self::OutputBufferTooSmall,
        Self::Unschedulable,
        Self::DataReplaced,
    ];
}
