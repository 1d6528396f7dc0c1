//! A TCP listener that speaks TLS.

use std::io;
use std::net::SocketAddr;

use tautline_runtime::{Conn, Outcome};

use super::{Acceptor, TlsStream};
use crate::address::ToAddress;
use crate::call::Call;
use crate::error::at;
use crate::{ListenOptions, TcpListener};

/// A TCP socket that waits for connections by TLS.
#[derive(Debug)]
pub struct TlsListener {
    tcp: TcpListener,
    acceptor: Acceptor,
}

impl TlsListener {
    /// Listens on `addr`, with the default options.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind(addr: impl ToAddress, acceptor: Acceptor) -> io::Result<Self> {
        Self::bind_with(&ListenOptions::default(), addr, acceptor)
    }

    /// Listens on `addr` as `options` say.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind_with(
        options: &ListenOptions,
        addr: impl ToAddress,
        acceptor: Acceptor,
    ) -> io::Result<Self> {
        Ok(Self { tcp: options.bind(addr)?, acceptor })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// What makes its streams; [`reload`](Acceptor::reload) gives it other certificates.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// Names it.
    pub fn conn(&self) -> &Conn {
        self.tcp.conn()
    }

    /// Accepts a connection, and says whose it is. Its handshake is a call of its own, to be
    /// awaited by a task of its own, so that a slow peer does not hold up the next.
    ///
    /// # Errors
    /// As [`TcpListener::accept`].
    pub async fn accept(&self) -> io::Result<(Call<TlsStream>, SocketAddr)> {
        let (stream, peer) = self.tcp.accept().await?;
        Ok((self.handshake(stream, peer), peer))
    }

    fn handshake(&self, stream: crate::TcpStream, peer: SocketAddr) -> Call<TlsStream> {
        let call = self.acceptor.accept(stream);
        Call::new(async move { call.await.map_err(at("speak TLS with", peer)) })
    }

    /// Gives the listener to the loop, which makes the handshake of each connection, all of them
    /// at the same time, and calls `handler` with what has become of it: a stream, or an error
    /// that names the peer. An error that the handler returns is logged, and the listener goes on.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_accept<F, R>(self, handler: F) -> io::Result<Conn>
    where
        F: FnMut(io::Result<TlsStream>) -> R + 'static,
        R: Outcome,
    {
        let handler = std::rc::Rc::new(std::cell::RefCell::new(handler));
        let Self { tcp, acceptor } = self;
        tcp.on_accept(move |stream| {
            // One that was reset meanwhile is nobody's.
            let Ok(peer) = stream.peer_addr() else { return Ok(()) };
            let (handler, call) = (handler.clone(), acceptor.accept(stream));
            call.then(move |made| {
                let made = made.map_err(at("speak TLS with", peer));
                let told = handler.borrow_mut()(made).into_result();
                if let Err(error) = told {
                    log::warn!("a TLS stream was not taken: {error}");
                }
            })
        })
    }
}
