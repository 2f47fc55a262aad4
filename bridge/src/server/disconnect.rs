//! Notices that the peer of an event stream is gone.
//!
//! A client may half-close after its request and still read. On a mostly idle stream nothing else would notice
//! that it is gone.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Wraps a stream.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    /// Whether the end of what the peer sends ends the stream.
    watch: Arc<AtomicBool>,
    /// A byte that the peer sent meanwhile: it is read before anything else.
    read_ahead: Option<u8>,
}

impl<S: AsyncRead + Unpin> Watched<S> {
    /// Watches the peer once `watch` is set.
    pub(super) const fn new(stream: S, watch: Arc<AtomicBool>) -> Self {
        Self {
            stream,
            watch,
            read_ahead: None,
        }
    }

    /// Fails if the peer is gone; else the task is woken when it goes.
    fn poll_peer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.read_ahead.is_some() || !self.watch.load(Relaxed) {
            return Ok(());
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, &mut buffer) else {
            return Ok(());
        };
        read?;
        self.read_ahead = buffer.filled().first().copied();
        if self.read_ahead.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // The waker of whoever reads was consumed by this read.
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(byte) = self.read_ahead.take()
        {
            buffer.put_slice(&[byte]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_peer(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn a_peer_that_disconnects_is_noticed_only_while_it_is_watched() {
        let (near, far) = duplex(64);
        let watch = Arc::default();
        let mut stream = Watched::new(near, Arc::clone(&watch));
        stream.flush().await.unwrap();
        drop(far);
        stream.flush().await.unwrap();
        watch.store(true, Relaxed);
        let error = stream.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }

    #[tokio::test]
    async fn what_a_watched_peer_sends_is_read_in_order() {
        let (near, mut far) = duplex(64);
        let mut stream = Watched::new(near, Arc::new(AtomicBool::new(true)));
        far.write_all(b"another question").await.unwrap();
        for _ in 0..3 {
            stream.flush().await.unwrap();
        }
        let mut text = [0; 16];
        let read = timeout(Duration::from_secs(5), stream.read_exact(&mut text));
        read.await.unwrap().unwrap();
        assert_eq!(&text, b"another question");
    }
}
