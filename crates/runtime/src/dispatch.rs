//! What happened reaches those who wait for it. Only here, in a turn's other phases and
//! in the polls of tasks is user code called, and never while the engine is borrowed.

use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::conn::Conn;
use crate::core::Core;
use crate::descriptor::Descriptor;
use crate::engine::io::Class;
use crate::engine::ops::Continuation;
use crate::engine::outbox::Segment;
use crate::engine::outcome::Failure;
use crate::engine::{Engine, Event, Received};
use crate::handlers::{Drained, Handlers, Named, OnAccept, OnData, OnReadable};
use crate::slab::Key;

impl Core {
    /// Tells everybody what happened. Ends, because immediate completions are limited.
    pub(crate) fn dispatch(self: &Rc<Self>) -> usize {
        let mut told = 0;
        loop {
            let event = self.with(|engine| engine.events.pop_front());
            let Some(event) = event else { return told };
            told += 1;
            match event {
                Event::Wake(waker) => waker.wake(),
                Event::Fiber(key) => self.fibers.wake(key),
                Event::Call(key) => self.call(key),
                Event::Data(key, received) => self.data(key, received),
                Event::Inbox(key) => self.inbox(key),
                Event::Accepted(key, fd) => self.accepted(key, fd),
                Event::Readable(key) => self.readable(key),
                Event::Look(key) => {
                    self.readable(key);
                    // A look that finds nothing is not to keep the loop awake.
                    told -= usize::from(!self.with(|engine| engine.was_hit(key)));
                }
                Event::Writable(key) => self.writable(key),
                Event::Ended(key, failure) => self.ended(key, failure),
                Event::Offload(key) => self.send_to_pool(key),
            }
        }
    }

    fn conn(self: &Rc<Self>, key: Key) -> Conn {
        Conn { core: self.clone(), key }
    }

    fn call(&self, key: Key) {
        let finished = self.with(|engine| engine.take_finished(key));
        if let Some((finished, Continuation::Callback(callback))) = finished {
            self.user_code(callback.name(), || callback.call(finished));
        }
    }

    fn data(self: &Rc<Self>, key: Key, received: Received) {
        let lent = self.with(|engine| engine.lend_data(key, received));
        let Some((handler, start)) = lent else { return };
        // SAFETY: the driver (or the engine's scratch) wrote `len` bytes there; the
        // memory is not given back before `recycle` below.
        let bytes = unsafe { std::slice::from_raw_parts(start, received.len) };
        self.run_handler(key, handler, |h| &mut h.data, |call, conn| call(conn, bytes));
        self.with(|engine| engine.recycle(received.at));
    }

    /// Gives what lies in the inbox to the data handler. It is taken out first, since the
    /// handler may close the stream, and that empties the inbox.
    fn inbox(self: &Rc<Self>, key: Key) {
        while let Some((segment, handler)) = self.with(|engine| engine.lend_inbox(key)) {
            let bytes = self.with(|engine| engine.bytes_of(&segment));
            // SAFETY: the segment owns the bytes until it is dropped or given back below.
            let bytes = unsafe { &*bytes };
            self.run_handler(key, handler, |h| &mut h.data, |call, conn| call(conn, bytes));
            self.with(|engine| engine.give_back(segment));
        }
        self.with(|engine| engine.retell_end(key));
    }

    fn accepted(self: &Rc<Self>, key: Key, fd: RawFd) {
        let Some(handler) = self.with(|engine| engine.lend_accept(key, fd)) else { return };
        match Descriptor::adopt(self, fd, Class::Stream) {
            Ok(descriptor) => {
                self.run_handler(key, handler, |h| &mut h.accept, |call, _| call(descriptor));
            }
            Err(error) => {
                log::warn!("a connection was accepted and closed again: {error}");
                drop(self.with(|engine| restore(engine, key, handler, |h| &mut h.accept)));
            }
        }
        self.with(|engine| engine.tell_accepted(key));
    }

    fn readable(self: &Rc<Self>, key: Key) {
        let handler = self.with(|engine| engine.lend_readable(key));
        let Some(handler) = handler else { return };
        let mut more = false;
        self.run_handler(
            key,
            handler,
            |h| &mut h.readable,
            |call, conn| {
                more = call(conn)? == Drained::No;
                Ok(())
            },
        );
        if more {
            self.with(|engine| engine.look_again(key));
        }
    }

    fn writable(self: &Rc<Self>, key: Key) {
        let handler = self.with(|engine| lend(engine, key, |h| &mut h.writable));
        if let Some(handler) = handler {
            self.run_handler(key, handler, |h| &mut h.writable, |call, conn| call(conn));
        }
    }

    /// Receiving or sending ended.
    fn ended(self: &Rc<Self>, key: Key, failure: Option<Failure>) {
        let rests = self.with(|engine| engine.rests(key, failure));
        if let Some(error) = rests {
            log::warn!("accepting rests for a moment: {error}");
        } else if !self.with(|engine| engine.has_unread(key)) {
            self.end(key, failure.map_or(Ok(()), |failure| Err(failure.into())));
        }
    }

    /// Tells the close handler, once, and closes the descriptor.
    pub(crate) fn end(self: &Rc<Self>, key: Key, result: io::Result<()>) {
        let orderly = result.is_ok();
        let (close, half_open) = self.with(|engine| {
            let handlers = engine.ios.get_mut(key).and_then(|io| io.handlers.as_mut());
            handlers.map_or((None, false), |h| (h.close.take(), h.half_open))
        });
        if let Some(Named { name, call }) = close {
            let conn = self.conn(key);
            self.user_code(name, || call(&conn, result));
        }
        if !(half_open && orderly) {
            self.with(|engine| engine.close(key));
        }
    }

    /// Calls a handler that was lent, and puts it back unless it failed.
    fn run_handler<F>(
        self: &Rc<Self>,
        key: Key,
        mut handler: Named<F>,
        place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
        call: impl FnOnce(&mut F, &Conn) -> io::Result<()>,
    ) {
        let conn = self.conn(key);
        match self.user_code(handler.name, || call(&mut handler.call, &conn)) {
            Some(Ok(())) => {
                let unused = self.with(|engine| restore(engine, key, handler, place));
                drop(unused);
            }
            Some(Err(error)) => self.end(key, Err(error)),
            None => {
                let name = handler.name;
                self.end(key, Err(io::Error::other(format!("`{name}` panicked"))));
            }
        }
    }
}

/// Takes a handler out for a call.
fn lend<F>(
    engine: &mut Engine,
    key: Key,
    place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
) -> Option<Named<F>> {
    place(engine.ios.get_mut(key)?.handlers.as_mut()?).take()
}

/// Puts a handler back, unless another took its place or the descriptor is closed; then
/// it is given back, to be dropped outside the engine.
fn restore<F>(
    engine: &mut Engine,
    key: Key,
    handler: Named<F>,
    place: impl Fn(&mut Handlers) -> &mut Option<Named<F>>,
) -> Option<Named<F>> {
    let Some(handlers) = engine.ios.get_mut(key).and_then(|io| io.handlers.as_mut()) else {
        return Some(handler);
    };
    match place(handlers) {
        Some(_) => Some(handler),
        empty => {
            *empty = Some(handler);
            None
        }
    }
}

impl Engine {
    /// The data handler and the first of its bytes. `None`: it is not to be called, or has
    /// gone; the bytes are kept or recycled.
    fn lend_data(&mut self, key: Key, received: Received) -> Option<(Named<OnData>, *const u8)> {
        let waits = self.ios.get(key).is_some_and(|io| io.paused || !io.inbox.is_empty());
        let handler = if waits { None } else { lend(self, key, |h| &mut h.data) };
        if handler.is_none() {
            self.keep(key, received);
            self.tell_inbox(key);
        }
        Some((handler?, self.received(received.at).cast_const()))
    }

    /// The data handler and what it is to see next, out of the inbox.
    fn lend_inbox(&mut self, key: Key) -> Option<(Segment, Named<OnData>)> {
        let io = self.io(key).ok()?;
        if io.paused || io.inbox.is_empty() {
            return None;
        }
        let handler = lend(self, key, |h| &mut h.data)?;
        let segment = self.ios.get_mut(key)?.inbox.pop()?;
        Some((segment, handler))
    }

    /// The accept handler. `None`: it rests, or has gone; the connection is kept.
    fn lend_accept(&mut self, key: Key, fd: RawFd) -> Option<Named<OnAccept>> {
        let rests = self.ios.get(key).is_none_or(|io| io.paused);
        let handler = if rests { None } else { lend(self, key, |h| &mut h.accept) };
        if handler.is_none() {
            self.keep_accepted(key, fd);
        }
        handler
    }

    /// The readiness handler. `None`: it is paused, and looks when it is resumed, or has gone.
    fn lend_readable(&mut self, key: Key) -> Option<Named<OnReadable>> {
        let paused = self.ios.get(key).is_none_or(|io| io.paused);
        if paused { None } else { lend(self, key, |h| &mut h.readable) }
    }

    /// A readiness handler has left something: it is called again in the next turn.
    pub(crate) fn look_again(&mut self, key: Key) {
        if self.io(key).is_ok() && !self.is_own_probe(key) {
            self.again.push(key);
        }
    }

    /// Whether bytes wait that the data handler has to see before it hears of the end.
    fn has_unread(&mut self, key: Key) -> bool {
        self.ios.get(key).is_some_and(|io| io.is_open() && !io.inbox.is_empty())
    }

    /// Tells of an end that had to wait until the inbox was empty.
    fn retell_end(&mut self, key: Key) {
        let Some(io) = self.ios.get(key) else { return };
        if let Some(failure) = io.ended
            && io.inbox.is_empty()
            && io.is_open()
        {
            self.events.push_back(Event::Ended(key, failure));
        }
    }

    /// For a listener that only rests for want of descriptors: why.
    fn rests(&mut self, key: Key, failure: Option<Failure>) -> Option<io::Error> {
        let io = self.ios.get(key)?;
        io.resting.then(|| failure.map(Into::into)).flatten()
    }
}
