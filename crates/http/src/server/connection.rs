//! A connection, from its first byte to its last.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Body as HttpBody;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use tautline_net::TcpStream;
use tautline_runtime::timer;

use super::answer::{Requests, answer};
use super::limits::Missed;
use super::shared::{Part, Phase, unless};
use super::sniff::sniff;
use super::under_way::Busy;
use super::watched::{Ask, End, Watched};
use super::{Accepted, Limits};
use crate::rt::{Clock, Executor, Io, Wire};
use crate::{Body, BoxError, Request};

/// What is told to a connection that is one too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\ncontent-length: 24\r\n\r\n503 Service Unavailable\n";

/// What is told to a client whose request never ends.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 20\r\n\r\n408 Request Timeout\n";

/// How long a client that has been told of an end may go on sending, so that it reads the answer
/// before the connection is reset.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes of a stream, and of all streams of a connection, that a client of HTTP/2 may send before
/// a service has read them: one that is not read leaves room for the others.
const STREAM_WINDOW: u32 = 128 << 10;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// One connection and what it needs.
pub(super) struct Serving<S> {
    pub(super) limits: Limits,
    pub(super) peer: SocketAddr,
    pub(super) part: Part,
    pub(super) service: Rc<S>,
}

/// Answers 503 without a service, and gives the client a moment to read it. At the end
/// of the server it goes at once.
pub(super) async fn refuse(stream: TcpStream, server: Part) {
    let mut io = Io::new(Wire::Tcp(stream));
    say(&io, FULL);
    let heard = timer::timeout(LINGER, async {
        poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut io), cx)).await?;
        hear_out(&mut io).await
    });
    // Whoever has reset it, or goes on for ever, needs no more patience.
    let _ = unless(server.reached(Phase::Draining), heard).await;
}

/// Reads until the peer ends, and forgets what it reads.
async fn hear_out(io: &mut Io<Wire>) -> io::Result<()> {
    while !io.ledger().ended.get() {
        poll_fn(|cx| io.poll_piece(cx, usize::MAX, |_| ())).await?;
    }
    Ok(())
}

impl<S, B> Serving<S>
where
    S: Service<Request<Body>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) async fn run(self, accepted: Accepted) {
        let peer = self.peer;
        if let Err(error) = self.serve(accepted).await {
            log::debug!("the connection of {peer} has ended: {error}");
        }
    }

    async fn serve(self, accepted: Accepted) -> Result<(), BoxError> {
        let within = self.limits.header_within;
        let begun = timer::timeout(within, begin(accepted));
        let Some(begun) = unless(self.part.reached(Phase::Draining), begun).await else {
            return Ok(());
        };
        let Some((io, h2)) = begun?? else { return Ok(()) };
        let requests = Rc::new(Requests {
            limits: self.limits,
            peer: self.peer,
            service: self.service.clone(),
            ledger: io.ledger().clone(),
            busy: Busy::new(io.ledger().clone(), tautline_runtime::now()?),
            heir: Cell::default(),
        });
        match h2 {
            true => self.speak_h2(io, requests).await,
            false => self.speak_h1(io, requests).await,
        }
    }

    async fn speak_h1(self, io: Io<Wire>, requests: Rc<Requests<S>>) -> Result<(), BoxError> {
        let (ledger, busy) = (requests.ledger.clone(), requests.busy.clone());
        let held = io.get_ref().conn().clone();
        let asked = requests.clone();
        let service = service_fn(move |request| answer(asked.clone(), request));
        let mut conn = http1::Builder::new()
            .half_close(true)
            .max_buf_size(self.limits.head_bytes())
            .max_headers(self.limits.header_count)
            .serve_connection(io, service);
        let watched = Watched::new(self.limits, &self.part, held, ledger.clone(), busy).heads();
        let end = watched
            .run(|ask| match ask {
                Ask::Poll(cx) => Pin::new(&mut conn).poll(cx),
                Ask::Finish => {
                    Pin::new(&mut conn).graceful_shutdown();
                    Poll::Pending
                }
            })
            .await;
        let parts = conn.into_parts();
        let io = parts.io;
        match end {
            End::Done(Ok(())) if let Some(take) = requests.heir.take() => {
                let (wire, ahead) = io.into_parts();
                let beyond = [&parts.read_buf[..], &ahead[..]].concat();
                Ok(take(wire.into_link(), &beyond)?)
            }
            End::Cut | End::Missed(Missed::Progress) => {
                io.get_ref().conn().abort();
                Ok(())
            }
            End::Missed(missed) => {
                if missed == Missed::Header {
                    say(&io, LATE);
                    ledger.refused.set(true);
                }
                self.linger(io).await
            }
            End::Done(done) => {
                ledger.refused.set(ledger.refused.get() || done.is_err());
                self.linger(io).await?;
                Ok(done?)
            }
        }
    }

    async fn speak_h2(self, io: Io<Wire>, requests: Rc<Requests<S>>) -> Result<(), BoxError> {
        let (ledger, busy) = (requests.ledger.clone(), requests.busy.clone());
        let held = io.get_ref().conn().clone();
        let service = service_fn(move |request| answer(requests.clone(), request));
        let head = u32::try_from(self.limits.head_bytes()).unwrap_or(u32::MAX);
        let mut conn = http2::Builder::new(Executor)
            .timer(Clock::new()?)
            .max_header_list_size(head)
            .max_concurrent_streams(self.limits.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_connect_protocol()
            .keep_alive_interval(self.limits.ping_every)
            .keep_alive_timeout(self.limits.ping_within)
            .serve_connection(io, service);
        let watched = Watched::new(self.limits, &self.part, held.clone(), ledger, busy);
        let end = watched
            .run(|ask| match ask {
                Ask::Poll(cx) => Pin::new(&mut conn).poll(cx),
                Ask::Finish => {
                    Pin::new(&mut conn).graceful_shutdown();
                    Poll::Pending
                }
            })
            .await;
        match end {
            End::Done(done) => Ok(done?),
            End::Missed(_) | End::Cut => {
                held.abort();
                Ok(())
            }
        }
    }

    /// Ends the writing side, and lets the peer end its own: a while if it may still be sending,
    /// so that it reads its answer before it is reset.
    async fn linger(&self, mut io: Io<Wire>) -> Result<(), BoxError> {
        let until = if io.ledger().refused.get() { Phase::Cut } else { Phase::Draining };
        let finished = unless(self.part.reached(Phase::Cut), self.finish(&mut io)).await;
        let Some(Some(finished)) = finished else {
            io.get_ref().conn().abort();
            return Ok(());
        };
        finished?;
        // Whoever has reset it, or goes on for ever, needs no more patience.
        let heard = timer::timeout(LINGER, hear_out(&mut io));
        let _ = unless(self.part.reached(until), heard).await;
        Ok(())
    }

    /// Ends the writing side once everything has left. `None`: the peer takes nothing any more.
    async fn finish(&self, io: &mut Io<Wire>) -> Option<io::Result<()>> {
        let mut before = usize::MAX;
        loop {
            let finish = poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut *io), cx));
            if let Ok(finished) = timer::timeout(self.limits.progress_within, finish).await {
                return Some(finished);
            }
            let queued = io.get_ref().conn().queued();
            if std::mem::replace(&mut before, queued) <= queued {
                return None;
            }
        }
    }
}

/// Queues a short answer, for which there is room where nothing was answered yet.
fn say(io: &Io<Wire>, answer: &[u8]) {
    // Whoever has gone does not hear it.
    let _ = match io.get_ref() {
        Wire::Tcp(stream) => stream.conn().write(answer),
        Wire::Tls(stream) => stream.try_write_vectored(&[io::IoSlice::new(answer)]),
    };
}

/// Makes the handshake if there is one, and finds out which protocol is spoken. `None`: the client
/// has gone without a word.
async fn begin(accepted: Accepted) -> io::Result<Option<(Io<Wire>, bool)>> {
    let wire = match accepted {
        Accepted::Plain(stream) => Wire::Tcp(stream),
        Accepted::Tls(call) => Wire::Tls(Box::new(call.await?)),
    };
    let agreed = wire.is_h2();
    let mut io = Io::new(wire);
    if let Some(h2) = agreed {
        return Ok(Some((io, h2)));
    }
    let Some(begun) = sniff(&mut io).await? else { return Ok(None) };
    Ok(Some((io.with_ahead(begun.bytes), begun.h2)))
}
