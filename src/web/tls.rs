//! The guarded port: TLS for a bounded number of connections, each for one request and for a bounded time.

use std::{collections::VecDeque, convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// The most connections at a time, shaken hands or not. A Prometheus needs one.
pub const MOST_CONNECTIONS: usize = 64;
/// How long a connection may take until hands are shaken.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may take in all. A Prometheus gives up after 10 s, and a review of its token takes 5 s at most.
const LONGEST: Duration = Duration::from_secs(30);
/// After a failure to take a connection, such as too many open files.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves `app` until it is dropped, which ends all connections. Each takes the certificate that is the present one when it begins.
///
/// Where there are too many connections, the oldest one makes room: one that sends nothing is in nobody's way, and a scrape is
/// over long before so many others have come.
pub(super) async fn serve(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    app: Router,
) -> Infallible {
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection to the metrics cannot be taken");
                sleep(PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= MOST_CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        let acceptor = TlsAcceptor::from(config.borrow().clone());
        oldest_first.push_back(connections.spawn(timeout(LONGEST, answer(stream, acceptor, app.clone()))));
    }
}

/// One request. What goes wrong is the client's, and would let it fill the log.
async fn answer(stream: TcpStream, acceptor: TlsAcceptor, app: Router) -> io::Result<()> {
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let service = TowerToHyperService::new(app);
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    connection.await.map_err(io::Error::other)
}
