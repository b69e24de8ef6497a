//! The certificate of the guarded port: from a directory, a mounted Secret say, and followed there; or made at the start.

use std::{convert::Infallible, future::pending, io, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};
use tokio::{sync::watch, time::sleep};

/// How often the directory is looked at. The kubelet takes up to a minute to write a changed Secret there.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// `tls.crt` (the chain, in PEM) and `tls.key` in this directory.
    Directory(PathBuf),
    /// Made by this process: it encrypts, and nobody can verify it.
    OwnMade,
}

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// They are no PEM.
    #[error("not a certificate with its key: {0}")]
    Pem(#[from] pem::Error),
    /// They do not belong together.
    #[error("not a certificate with its key: {0}")]
    Unusable(#[from] rustls::Error),
    /// None could be made.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A chain and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
struct Pair {
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn config(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(&self.chain).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)?;
        let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Certificate {
    /// That in `directory`, or one of our own.
    pub fn new(directory: Option<PathBuf>) -> Self {
        directory.map_or(Self::OwnMade, Self::Directory)
    }

    /// Waits until there is one that can be used, and returns it with what follows its renewals.
    pub(super) async fn serve(self) -> (watch::Receiver<Arc<ServerConfig>>, impl Future<Output = Infallible>) {
        let mut complaint = String::new();
        let (pair, config) = loop {
            match self.load().await {
                Ok(loaded) => break loaded,
                Err(error) => complain(&mut complaint, &error, "no metrics are served"),
            }
            sleep(LOOK_EVERY).await;
        };
        let config = watch::Sender::new(config);
        (config.subscribe(), self.follow(pair, config))
    }

    async fn follow(self, mut served: Pair, config: watch::Sender<Arc<ServerConfig>>) -> Infallible {
        if matches!(self, Self::OwnMade) {
            return pending().await;
        }
        let mut complaint = String::new();
        loop {
            sleep(LOOK_EVERY).await;
            match self.pair().await {
                Ok(pair) if pair == served => complaint.clear(),
                Ok(pair) => match pair.config() {
                    Ok(renewed) => {
                        config.send_replace(renewed);
                        tracing::info!("the metrics' certificate was renewed");
                        served = pair;
                    }
                    Err(e) => complain(&mut complaint, &e, "the former one stays"),
                },
                Err(error) => complain(&mut complaint, &error, "the former one stays"),
            }
        }
    }

    async fn load(&self) -> Result<(Pair, Arc<ServerConfig>), CertificateError> {
        let pair = self.pair().await?;
        let config = pair.config()?;
        Ok((pair, config))
    }

    async fn pair(&self) -> Result<Pair, CertificateError> {
        match self {
            Self::Directory(directory) => {
                let read = async |name: &str| {
                    let path = directory.join(name);
                    let content = tokio::fs::read(&path).await;
                    content.map_err(|source| CertificateError::Read { path: path.display().to_string(), source })
                };
                Ok(Pair { chain: read("tls.crt").await?, key: read("tls.key").await? })
            }
            Self::OwnMade => {
                let made = rcgen::generate_simple_self_signed([env!("CARGO_PKG_NAME").to_owned()])?;
                Ok(Pair { chain: made.cert.pem().into_bytes(), key: made.signing_key.serialize_pem().into_bytes() })
            }
        }
    }
}

/// Once for each thing that is wrong, not every time that it is seen.
fn complain(before: &mut String, error: &CertificateError, so: &str) {
    let words = error.to_string();
    if *before != words {
        tracing::error!(error = words, "the metrics' certificate: {so}");
        *before = words;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{fs, path::Path, sync::Arc};

    use tokio::time::timeout;

    use super::*;

    async fn write_new(directory: &Path) {
        let pair = Certificate::OwnMade.pair().await.unwrap();
        fs::write(directory.join("tls.crt"), pair.chain).unwrap();
        fs::write(directory.join("tls.key"), pair.key).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_waited_for_and_its_renewals_are_followed() {
        let directory = std::env::temp_dir().join(format!("certificate-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let certificate = Certificate::new(Some(directory.clone()));
        let missing = certificate.load().await.err().unwrap().to_string();
        assert!(missing.contains("tls.crt: No such file"), "{missing}");
        let waiting = timeout(LOOK_EVERY * 5, certificate.clone().serve()).await;
        assert!(waiting.is_err(), "there is none yet");

        write_new(&directory).await;
        let (config, renewals) = timeout(LOOK_EVERY, certificate.clone().serve()).await.unwrap();
        let mut renewals = Box::pin(renewals);
        let first = config.borrow().clone();
        let mut look = async || timeout(LOOK_EVERY * 2, &mut renewals).await.is_err();
        assert!(look().await);
        assert!(Arc::ptr_eq(&first, &config.borrow().clone()), "nothing has changed");

        fs::write(directory.join("tls.key"), "not a key").unwrap();
        let unusable = certificate.load().await.err().unwrap().to_string();
        assert!(unusable.contains("not a certificate with its key"), "{unusable}");
        assert!(look().await);
        assert!(Arc::ptr_eq(&first, &config.borrow().clone()), "the former stays");

        write_new(&directory).await;
        assert!(look().await);
        assert!(!Arc::ptr_eq(&first, &config.borrow().clone()), "renewed");
        fs::remove_dir_all(directory).unwrap();
    }
}
