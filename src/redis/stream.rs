//! A TCP stream that tells a silent host from a silent process, and lets no answer through that is too large.
//!
//! The kernel closes a connection with `ETIMEDOUT` when sent bytes stay unacknowledged for `TCP_USER_TIMEOUT` (tcp(7),
//! RFC 5482). As long as the connection is open, the peer's kernel acknowledges; what its process does shows in answers
//! only. So the reason why a connection ended is the evidence, and it is kept.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
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

use super::reply_limit::{ReplyLimiter, ReplyTooLarge};

/// The kernel counts `TCP_USER_TIMEOUT` from the first retransmission, which comes 0.2 to 0.4 s after the bytes (measured: with
/// 1 s, connections ended 1.42 to 1.45 s after the first unanswered question).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(400);
/// One lost packet is no silence.
const SHORTEST_USER_TIMEOUT: Duration = Duration::from_millis(100);

/// A connection; see the module.
#[derive(Debug)]
pub struct Stream {
    inner: TcpStream,
    guard: ReplyLimiter,
    ending: Ending,
}

/// Why a connection ended, as far as only the stream knows.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    host_silent: Arc<AtomicBool>,
    excess: Arc<OnceLock<ReplyTooLarge>>,
}

impl Ending {
    /// Because the host fell silent?
    pub fn host_silent(&self) -> bool {
        self.host_silent.load(Ordering::Relaxed)
    }

    /// Because an answer was too large?
    pub fn excess(&self) -> Option<ReplyTooLarge> {
        self.excess.get().copied()
    }
}

impl Stream {
    /// Connects. Bytes that stay unacknowledged for `silence` end the connection, or already a fifth of a second before.
    pub async fn connect(address: SocketAddr, silence: Duration) -> io::Result<(Self, Ending)> {
        let user_timeout = silence.saturating_sub(FIRST_RETRANSMISSION).max(SHORTEST_USER_TIMEOUT);
        let inner = TcpStream::connect(address).await?;
        inner.set_nodelay(true)?;
        SockRef::from(&inner).set_tcp_user_timeout(Some(user_timeout))?;
        let ending = Ending::default();
        Ok((Self { inner, guard: ReplyLimiter::default(), ending: ending.clone() }, ending))
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(e)) = &result
            && is_silence(e)
        {
            self.ending.host_silent.store(true, Ordering::Relaxed);
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
        let before = buf.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Err(excess) = self.guard.read(buf.filled().get(before..).unwrap_or_default()) {
            buf.set_filled(before);
            let _ = self.ending.excess.set(excess); // the first one says it
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, excess)));
        }
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
