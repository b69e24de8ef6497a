//! Commands that heal a member whose data file cannot be loaded.

use super::trouble::Place;
use crate::{
    objects::names,
    operator::last_words::{Damage, damage},
};

/// What is wrong, and what to do: where a master serves, its data is there, and is copied.
pub(super) fn of_damage(words: &str, place: &Place, member: &str, served: bool) -> String {
    let Place { namespace, image, persistent, .. } = place;
    let restart = format!("kubectl -n {namespace} delete pod {member}");
    if !persistent {
        return format!("{words}. It has no volume that is kept: replace it with: {restart}");
    }
    let claim = format!("{}-{member}", names::DATA_VOLUME);
    if served {
        return format!(
            "{words}. The master has the data: let this member copy it, with: kubectl -n {namespace} delete pvc {claim} --wait=false \
             && {restart}"
        );
    }
    let in_pod = |script: &str| {
        format!(
            "echo '{{\"volumeMounts\":[{{\"name\":\"{}\",\"mountPath\":\"/data\"}}]}}' | kubectl -n {namespace} debug {member} -i \
             --image={image} --profile=restricted --custom=/dev/stdin -- sh -c '{script}' && {restart}",
            names::DATA_VOLUME
        )
    };
    match damage(words) {
        Some(Damage::Newer) => format!(
            "{words}. Its file was written by a newer version: go back to that in spec.image. Nothing is lost meanwhile"
        ),
        Some(Damage::Tail) => format!(
            "{words}. No master serves that it could copy from. Cut off what is damaged, with a copy of the file kept beside it in \
             appendonlydir.damaged: {}",
            in_pod(
                "cp -a /data/appendonlydir /data/appendonlydir.damaged && \
                 ln -sf $(command -v redis-server || command -v valkey-server) /tmp/redis-check-aof && \
                 echo y | /tmp/redis-check-aof --fix /data/appendonlydir/appendonly.aof.manifest"
            )
        ),
        Some(Damage::Snapshot) => format!(
            "{words}. No master serves that it could copy from. Put a backup in the place of its file, or let it start without: {}",
            in_pod("mv /data/dump.rdb /data/dump.rdb.damaged")
        ),
        _ => format!(
            "{words}. No master serves that it could copy from. Put a backup in the place of its files, or let it start without: {}",
            in_pod("mv /data/appendonlydir /data/appendonlydir.damaged")
        ),
    }
}
