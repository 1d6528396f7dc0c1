//! New connections.

use std::future::Future;
use std::io;

use hyper::client::conn::{http1, http2};
use tautline_net::Dial;
use tautline_runtime::task;

use super::pool::Sender;
use super::{Client, ClientError, Target};
use crate::rt::{Clock, Executor, Io, Wire};

impl Client {
    /// Connects, and finds out which protocol is spoken.
    pub(super) async fn open(&self, target: &Target) -> Result<Sender, ClientError> {
        let failed = |source| ClientError::Connect { target: target.to_string(), source };
        let wire = self.dial(target).await.map_err(failed)?;
        let h2 = wire.is_h2().unwrap_or(!target.secure && self.prior_knowledge);
        let sender = if h2 { self.begin_h2(wire).await } else { self.begin_h1(wire).await };
        let sender = sender.map_err(failed)?;
        self.pool.opened(target, &sender);
        Ok(sender)
    }

    async fn dial(&self, target: &Target) -> io::Result<Wire> {
        let dial = Dial::new().timeout(self.limits.connect_within);
        let addr = (target.host.as_str(), target.port);
        match target.secure {
            false => Ok(Wire::Tcp(dial.connect(addr).await?)),
            true => Ok(Wire::Tls(Box::new(self.tls()?.connect_by(dial, addr).await?))),
        }
    }

    async fn begin_h1(&self, wire: Wire) -> io::Result<Sender> {
        let (sender, conn) = http1::Builder::new()
            .max_buf_size(self.limits.header_bytes.max(8192))
            .max_headers(self.limits.header_count)
            .handshake(Io::new(wire))
            .await
            .map_err(io::Error::other)?;
        carry(conn)?;
        Ok(Sender::H1(sender))
    }

    async fn begin_h2(&self, wire: Wire) -> io::Result<Sender> {
        let head = u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX);
        let (sender, conn) = http2::Builder::new(Executor)
            .timer(Clock::new()?)
            .max_header_list_size(head)
            .handshake(Io::new(wire))
            .await
            .map_err(io::Error::other)?;
        carry(conn)?;
        Ok(Sender::H2(sender))
    }
}

/// Runs a connection to its end.
fn carry(conn: impl Future<Output = hyper::Result<()>> + 'static) -> io::Result<()> {
    task::spawn(async move {
        if let Err(error) = conn.await {
            log::debug!("a connection of a client has ended: {error}");
        }
    })?;
    Ok(())
}
