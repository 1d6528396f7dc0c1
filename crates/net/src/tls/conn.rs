//! A name for a TLS connection that the loop owns, as handlers see it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;

use tautline_runtime::{Conn, Descriptor, Drained, Outcome};

use super::Facts;
use super::layer::Tls;
use super::session::MOST_PLAIN;
use crate::link::{Layer, Received};

/// Calls of a handler in one turn, before others have theirs.
const TURN: usize = 32;

/// Is told of the end, once: `Ok` at the peer's orderly end.
type OnClose = Box<dyn FnOnce(&TlsConn, io::Result<()>)>;

/// Names a TLS connection whose owner is the loop: what the handler of
/// [`TlsStream::on_data`](super::TlsStream::on_data) is given. Cheap to clone.
#[derive(Clone)]
pub struct TlsConn {
    conn: Conn,
    shared: Rc<Shared>,
}

struct Shared {
    tls: RefCell<Tls>,
    facts: Facts,
    on_close: RefCell<Option<OnClose>>,
    half_open: Cell<bool>,
}

thread_local! {
    /// Where plain bytes lie while a handler sees them.
    static PLAIN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl TlsConn {
    pub(super) fn start<F, R>(
        descriptor: Descriptor,
        tls: Tls,
        facts: Facts,
        mut handler: F,
    ) -> io::Result<Self>
    where
        F: FnMut(&Self, &[u8]) -> R + 'static,
        R: Outcome,
    {
        let holds = tls.holds();
        let (on_close, half_open) = (RefCell::new(None), Cell::new(false));
        let shared = Shared { tls: RefCell::new(tls), facts, on_close, half_open };
        let this = Self { conn: descriptor.conn().clone(), shared: Rc::new(shared) };
        let own = this.clone();
        descriptor.on_maybe_readable(move |_| own.feed(&mut handler))?;
        if holds {
            this.conn.look_again();
        }
        Ok(this)
    }

    /// Hands on what is there.
    fn feed<F, R>(&self, handler: &mut F) -> io::Result<Drained>
    where
        F: FnMut(&Self, &[u8]) -> R,
        R: Outcome,
    {
        let mut plain = PLAIN.take();
        plain.resize(MOST_PLAIN, 0);
        let fed = self.feed_from(&mut plain, handler);
        PLAIN.set(plain);
        fed
    }

    fn feed_from<F, R>(&self, plain: &mut [u8], handler: &mut F) -> io::Result<Drained>
    where
        F: FnMut(&Self, &[u8]) -> R,
        R: Outcome,
    {
        for _ in 0..TURN {
            if self.conn.is_paused() || !self.conn.is_open() {
                return Ok(Drained::Yes);
            }
            let received = self.shared.tls.borrow_mut().receive(&self.conn, plain)?;
            match received {
                Received::Nothing => return Ok(Drained::Yes),
                Received::End => {
                    self.end();
                    return Ok(Drained::Yes);
                }
                Received::Bytes { count, more } => {
                    handler(self, &plain[..count]).into_result()?;
                    if !more {
                        break; // but for an end, maybe: the next look tells
                    }
                }
            }
        }
        Ok(Drained::No)
    }

    /// The peer has ended in order.
    fn end(&self) {
        let on_close = self.shared.on_close.take();
        if let Some(on_close) = on_close {
            on_close(self, Ok(()));
        }
        if self.shared.half_open.get() {
            // There is nothing more to be told of.
            self.conn.pause();
        } else {
            self.close();
        }
    }

    /// Queues bytes to leave at the end of the turn. Returns how many were taken: fewer than all
    /// when the queue is full; then [`on_writable`](Self::on_writable) tells when to go on.
    ///
    /// # Errors
    /// When it is closed, was finished, or sending has failed.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// The same for parts that follow each other, which share records where they fit.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.shared.tls.borrow_mut().send(&self.conn, parts)
    }

    /// Sends what is queued now rather than at the end of the turn.
    pub fn flush(&self) {
        self.conn.flush();
    }

    /// Tells the peer that nothing more comes, and ends sending; receiving goes on.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(&self) -> io::Result<()> {
        self.shared.tls.borrow_mut().finish(&self.conn)?;
        self.conn.shutdown_write()
    }

    /// Closes it in order: receiving ends now, and what was written is still sent. The close
    /// handler is not called.
    pub fn close(&self) {
        drop(self.shared.on_close.take());
        // It fails only if nothing can be sent any more.
        let _ = self.shared.tls.borrow_mut().finish(&self.conn);
        self.conn.close();
    }

    /// Calls `handler` when the queue has room again, after a write was not taken whole.
    pub fn on_writable<F, R>(&self, mut handler: F) -> &Self
    where
        F: FnMut(&Self) -> R + 'static,
        R: Outcome,
    {
        let weak = Rc::downgrade(&self.shared);
        self.conn.on_writable(move |conn| match weak.upgrade() {
            Some(shared) => handler(&Self { conn: conn.clone(), shared }).into_result(),
            None => Ok(()),
        });
        self
    }

    /// Calls `handler` once when the stream ends: `Ok` when the peer ended it in order, an error
    /// when it broke, was cut off or a handler returned one. It is closed afterwards.
    pub fn on_close<F>(&self, handler: F) -> &Self
    where
        F: FnOnce(&Self, io::Result<()>) + 'static,
    {
        let unused = self.shared.on_close.replace(Some(Box::new(handler)));
        drop(unused);
        let weak = Rc::downgrade(&self.shared);
        self.conn.on_close(move |conn, result| {
            let Some(shared) = weak.upgrade() else { return };
            let on_close = shared.on_close.take();
            if let Some(on_close) = on_close {
                on_close(&Self { conn: conn.clone(), shared }, result);
            }
        });
        self
    }

    /// Keeps the stream open for sending after the peer has ended its side; the close handler is
    /// still called at that end. Close it yourself.
    pub fn keep_half_open(&self) -> &Self {
        self.shared.half_open.set(true);
        self
    }

    /// What was agreed on, and what is known of the peer.
    pub fn facts(&self) -> &Facts {
        &self.shared.facts
    }

    /// Names its descriptor: what is queued, its marks, pausing.
    pub fn conn(&self) -> &Conn {
        &self.conn
    }
}

impl fmt::Debug for TlsConn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConn")
            .field("conn", &self.conn)
            .field("tls", &self.shared.tls)
            .finish_non_exhaustive()
    }
}
