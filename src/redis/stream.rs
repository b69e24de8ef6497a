//! A TCP stream that tells a silent host from a silent process.
//!
//! The kernel closes a connection with `ETIMEDOUT` when sent bytes stay unacknowledged for `TCP_USER_TIMEOUT` (tcp(7),
//! RFC 5482). As long as the connection is open, the peer's kernel acknowledges; what its process does shows in answers
//! only. So the reason why a connection ended is the evidence, and it is kept.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A connection; see the module.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    host_silent: Arc<AtomicBool>,
}

/// Whether a connection ended because the host fell silent.
#[derive(Clone, Debug, Default)]
pub struct HostSilent(Arc<AtomicBool>);

impl HostSilent {
    /// Did it?
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Stream {
    /// Connects. Unacknowledged bytes end the connection after `user_timeout`.
    pub async fn connect(address: SocketAddr, user_timeout: Duration) -> io::Result<(Self, HostSilent)> {
        let inner = TcpStream::connect(address).await?;
        inner.set_nodelay(true)?;
        SockRef::from(&inner).set_tcp_user_timeout(Some(user_timeout))?;
        let host_silent = Arc::new(AtomicBool::new(false));
        Ok((Self { inner, host_silent: Arc::clone(&host_silent) }, HostSilent(host_silent)))
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(e)) = &result
            && is_silence(e)
        {
            self.host_silent.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Does this error say that the host, or the way to it, is silent?
pub fn is_silence(e: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(e.kind(), TimedOut | HostUnreachable | NetworkUnreachable)
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.note(result)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
