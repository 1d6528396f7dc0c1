//! New connections.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tautline_net::Dial;
use tautline_runtime::time::Instant;
use tautline_runtime::{task, timer};

use super::pool::{Sender, Single};
use super::{Client, ClientError, Target};
use crate::rt::{Clock, Executor, Io, Ledger, Queue, Sleep, Wire};

impl Client {
    /// A connection, and whether it was there. Where one may serve all, and somebody is about to
    /// open it, that is waited for, once.
    pub(super) async fn connection(&self, target: &Target) -> Result<(Sender, bool), ClientError> {
        if let Some(sender) = self.pool.take(target).await {
            return Ok((sender, true));
        }
        if !(target.secure || self.prior_knowledge) || self.pool.is_single(target) {
            return Ok((self.open(target).await?, false));
        }
        let Some(_dialing) = self.pool.dialing(target) else {
            self.pool.dialed(target).await;
            return match self.pool.take(target).await {
                Some(sender) => Ok((sender, true)),
                None => Ok((self.open(target).await?, false)),
            };
        };
        Ok((self.open(target).await?, false))
    }

    /// Connects, and finds out which protocol is spoken.
    async fn open(&self, target: &Target) -> Result<Sender, ClientError> {
        let failed = |source| ClientError::Connect { target: target.to_string(), source };
        let wire = self.dial(target).await.map_err(failed)?;
        let h2 = wire.is_h2().unwrap_or(!target.secure && self.prior_knowledge);
        if !h2 {
            self.pool.note_single(target);
            return self.begin_h1(wire).await.map_err(failed);
        }
        let sender = self.begin_h2(wire).await.map_err(failed)?;
        Ok(self.pool.share(target, sender, self.limits.idle_within))
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
        let io = Io::new(wire);
        let held = io.get_ref().conn().clone();
        let carried = Carried::new(&io, self.limits.progress_within);
        let (sender, conn) = http1::Builder::new()
            .max_buf_size(self.limits.header_bytes.max(8192))
            .max_headers(self.limits.header_count)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        task::spawn(carried.run(conn))?;
        Ok(Sender::H1(Single { sender, held }))
    }

    async fn begin_h2(&self, wire: Wire) -> io::Result<http2::SendRequest<super::Outgoing>> {
        let io = Io::new(wire);
        let carried = Carried::new(&io, self.limits.progress_within);
        let head = u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX);
        let (sender, conn) = http2::Builder::new(Executor)
            .timer(Clock::new()?)
            .max_header_list_size(head)
            .keep_alive_interval(self.limits.ping_every)
            .keep_alive_timeout(self.limits.ping_within)
            .keep_alive_while_idle(true)
            .handshake(io)
            .await
            .map_err(io::Error::other)?;
        task::spawn(carried.run(conn))?;
        Ok(sender)
    }
}

/// What a connection needs beside `hyper`: an end for servers that take nothing.
struct Carried {
    ledger: Rc<Ledger>,
    queue: Queue,
    within: Duration,
    armed: Option<(Instant, Sleep)>,
}

impl Carried {
    fn new(io: &Io<Wire>, within: Duration) -> Self {
        let queue = Queue::new(io.get_ref().conn().clone());
        Self { ledger: io.ledger().clone(), queue, within, armed: None }
    }

    /// Runs a connection to its end.
    async fn run(mut self, conn: impl Future<Output = hyper::Result<()>>) {
        let mut conn = pin!(conn);
        let done = poll_fn(|cx| match conn.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_stalled(cx).map(|()| None),
        });
        match done.await {
            Some(Ok(())) => {}
            Some(Err(error)) => log::debug!("a connection of a client has ended: {error}"),
            None => {
                log::debug!("a server has taken nothing for {:?} and was left", self.within);
                self.queue.abort();
            }
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(since) = self.ledger.stalled.get() else { return Poll::Pending };
            let due = self.queue.until(since + self.within);
            let arm = || (due, Sleep::new(timer::sleep_until(due)));
            let (armed, sleep) = self.armed.get_or_insert_with(arm);
            if Pin::new(sleep).poll(cx).is_pending() {
                return Poll::Pending;
            }
            let is_due = due <= *armed;
            self.armed = None;
            if is_due && !self.queue.is_taken(due, self.within) {
                return Poll::Ready(());
            }
        }
    }
}
