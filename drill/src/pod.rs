//! The pod that a writer runs in: of `kubectl rr rehearse`, and of the end-to-end tests.

use std::time::Duration;

use serde_json::{Value, json};

/// Beyond the verification: for the answer to SIGTERM, and for the last lines.
const GRACE: Duration = Duration::from_secs(30);

/// What a writer has to know.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// An image of the operator.
    pub image: &'a str,
    /// host:port of the master's Service.
    pub address: &'a str,
    /// Name and key of the Secret that holds the password.
    pub secret: (&'a str, &'a str),
    /// How long it may look for what it has written, after it was told to end.
    pub verify_within: Duration,
}

impl Place<'_> {
    /// The spec of the pod. It meets the *restricted* Pod Security Standard; the password is in a file and nowhere else.
    /// `options` are more options of `drill`.
    #[must_use]
    pub fn pod_spec(&self, options: &[String]) -> Value {
        let (secret, key) = self.secret;
        let fixed = [
            "drill".to_owned(),
            format!("--address={}", self.address),
            "--password-file=/auth/password".to_owned(),
            format!("--verify-within={}s", self.verify_within.as_secs()),
        ];
        let args = [&fixed[..], options].concat();
        json!({
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": (self.verify_within + GRACE).as_secs(),
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "writer",
                "image": self.image,
                "args": args,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] },
                },
                "volumeMounts": [{ "name": "auth", "mountPath": "/auth", "readOnly": true }],
            }],
            "volumes": [{
                "name": "auth",
                "secret": { "secretName": secret, "items": [{ "key": key, "path": "password" }] },
            }],
        })
    }
}
