//! The streams under HTTP, as one type.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use tautline_net::tls::TlsStream;
use tautline_net::{Link, TcpStream};
use tautline_runtime::Conn;

/// TCP, plain or through TLS.
#[derive(Debug)]
pub enum Wire {
    /// Plain.
    Tcp(TcpStream),
    /// Through TLS, which is larger than most connections need.
    Tls(Box<TlsStream>),
}

impl Wire {
    /// Names its descriptor.
    pub fn conn(&self) -> &Conn {
        match self {
            Self::Tcp(stream) => stream.conn(),
            Self::Tls(stream) => stream.conn(),
        }
    }

    /// For another protocol.
    pub fn into_link(self) -> Link {
        match self {
            Self::Tcp(stream) => stream.into(),
            Self::Tls(stream) => (*stream).into(),
        }
    }

    /// Whether HTTP/2 was agreed on, where something was.
    pub(crate) fn is_h2(&self) -> Option<bool> {
        match self {
            Self::Tcp(_) => None,
            Self::Tls(stream) => stream.alpn().map(|name| name == b"h2"),
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Self::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => AsyncRead::poll_read(stream, cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => AsyncWrite::poll_write(stream, cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &*self {
            Self::Tcp(stream) => stream.conn().write_vectored(parts),
            Self::Tls(stream) => stream.try_write_vectored(parts),
        };
        match written {
            Ok(0) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => return Poll::Ready(written),
        }
        // Waits for room; none of them is empty but where nothing is to be written.
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[], |part| part))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => AsyncWrite::poll_flush(stream, cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => AsyncWrite::poll_close(stream, cx))
    }
}
