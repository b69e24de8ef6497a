//! The Secret with the password, if none was given.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};

use super::{Cluster, metadata::object_meta, names};

/// `<name>-auth` with this password. The operator makes it once and never changes it: people may have read it.
pub fn generated_secret(cluster: &Cluster, password: &str) -> Secret {
    let data = [(names::auth_secret_key(&cluster.spec).to_owned(), ByteString(password.as_bytes().to_vec()))];
    Secret {
        metadata: object_meta(cluster, names::auth_secret(&cluster.name, &cluster.spec)),
        data: Some(BTreeMap::from(data)),
        type_: Some("Opaque".into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::fixture::cluster;
    use super::*;

    #[test]
    fn holds_the_password_and_is_owned() {
        let secret = generated_secret(&cluster("{}"), "s3cret");
        assert_eq!(secret.metadata.name.as_deref(), Some("cache-auth"));
        assert_eq!(secret.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(secret.data.unwrap()["password"].0, b"s3cret");
        assert_eq!(secret.metadata.owner_references.unwrap()[0].name, "cache");
    }
}
