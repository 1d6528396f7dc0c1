//! A connection whose messages go to a handler.

use std::io;
use std::rc::Rc;

use tautline_buffer::Pool;
use tautline_runtime::{Conn, Drained, task};

use super::receiving::{Filled, Receiving, Sight};
use super::shared::{Failure, Shared, State};
use super::{Sender, WebSocket};
use crate::Message;
use crate::read::Event;

impl WebSocket {
    /// Gives the connection to the loop, which calls `handler` with each message where it was
    /// received. What the handler sends leaves in one call when it has seen all that one receive
    /// has brought. An error that it returns cuts the connection. Messages that are longer than
    /// [`Limits::whole`](crate::read::Limits::whole) are refused: [`on_event`](Self::on_event)
    /// takes them in parts.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_message<F, R>(self, handler: F) -> io::Result<Sender>
    where
        F: FnMut(&Sender, Message<'_>) -> R + 'static,
        R: Answer,
    {
        self.give_to(OnMessage(handler))
    }

    /// As [`on_message`](Self::on_message), with parts of messages, pings and pongs too. Pings were
    /// answered by then.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_event<F, R>(self, handler: F) -> io::Result<Sender>
    where
        F: FnMut(&Sender, Event<'_>) -> R + 'static,
        R: Answer,
    {
        self.give_to(OnEvent(handler))
    }

    fn give_to(self, handler: impl Handler + 'static) -> io::Result<Sender> {
        let Self { shared, mut receiving, .. } = self;
        let sender = Sender { shared: shared.clone() };
        let conn = shared.wire.borrow().link.conn().clone();
        let mut fresh = !receiving.is_empty();
        let mut user = User { sender: sender.clone(), handler, failed: None };
        let ready = move |conn: &Conn| {
            let drained = look(&mut user, &mut receiving, &mut fresh, conn);
            user.sender.shared.tell_end();
            Ok(drained)
        };
        shared.wire.borrow_mut().link.on_readable(ready)?;
        let blocked = shared.clone();
        conn.on_writable(move |conn| {
            match blocked.flush() {
                Err(error) => blocked.fail(Failure::Io(error)),
                Ok(()) if blocked.is_blocked() => {}
                Ok(()) => conn.resume()?,
            }
            blocked.tell_end();
            io::Result::Ok(())
        });
        let broken = shared.clone();
        conn.on_close(move |_, result| {
            match result {
                Ok(()) => broken.stream_ended(),
                Err(error) => broken.fail(Failure::Io(error)),
            }
            broken.tell_end();
        });
        if fresh {
            // What came with the handshake is there although nothing more may ever come.
            conn.look_again();
        }
        Ok(sender)
    }
}

/// What a handler may return: nothing, or a result.
pub trait Answer {
    /// As the connection sees it.
    ///
    /// # Errors
    /// What the handler returned.
    fn into_result(self) -> io::Result<()>;
}

impl Answer for () {
    fn into_result(self) -> io::Result<()> {
        Ok(())
    }
}

impl<E: Into<io::Error>> Answer for Result<(), E> {
    #[inline]
    fn into_result(self) -> io::Result<()> {
        self.map_err(Into::into)
    }
}

/// A user's handler. It is called in one place alone, so that it becomes a part of the loop that
/// finds messages.
trait Handler {
    fn message(&mut self, sender: &Sender, message: Message<'_>) -> io::Result<()>;

    /// Anything but a message.
    fn event(&mut self, sender: &Sender, event: Event<'_>) -> io::Result<()>;
}

struct OnMessage<F>(F);

impl<F, R> Handler for OnMessage<F>
where
    F: FnMut(&Sender, Message<'_>) -> R,
    R: Answer,
{
    #[inline(always)]
    fn message(&mut self, sender: &Sender, message: Message<'_>) -> io::Result<()> {
        (self.0)(sender, message).into_result()
    }

    fn event(&mut self, _: &Sender, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Part(_) => Err(io::Error::other(
                "a message came in parts: take it by `on_event`, or raise `Limits::whole`",
            )),
            _ => Ok(()),
        }
    }
}

struct OnEvent<F>(F);

impl<F, R> Handler for OnEvent<F>
where
    F: FnMut(&Sender, Event<'_>) -> R,
    R: Answer,
{
    #[inline]
    fn message(&mut self, sender: &Sender, message: Message<'_>) -> io::Result<()> {
        (self.0)(sender, message.into()).into_result()
    }

    fn event(&mut self, sender: &Sender, event: Event<'_>) -> io::Result<()> {
        (self.0)(sender, event).into_result()
    }
}

/// The handler, and what it sends on.
struct User<H> {
    sender: Sender,
    handler: H,
    /// What it said of the last message, if that was an error.
    failed: Option<io::Error>,
}

impl<H: Handler> Sight for User<H> {
    #[inline(always)]
    fn message(&mut self, message: Message<'_>) -> bool {
        match self.handler.message(&self.sender, message) {
            Ok(()) => self.sender.shared.goes_on(),
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }

    #[inline(never)]
    fn event(&mut self, event: Event<'_>) -> Result<bool, Failure> {
        if let Some(event) = self.sender.shared.heed(event)? {
            self.handler.event(&self.sender, event)?;
        }
        Ok(self.sender.shared.goes_on())
    }
}

/// Something may be there: takes it in, and has the user see what it is.
fn look(
    user: &mut User<impl Handler>,
    receiving: &mut Receiving,
    fresh: &mut bool,
    conn: &Conn,
) -> Drained {
    let shared = &user.sender.shared;
    // What was left when there was no room for answers comes before anything else.
    let left = std::mem::take(fresh);
    if let Some(ring) = shared.spare.borrow_mut().take() {
        receiving.give(ring);
    }
    let filled = match left {
        true => Ok(Filled::Bytes),
        false => receiving.fill(&mut shared.wire.borrow_mut().link),
    };
    match filled {
        Ok(Filled::Bytes) => {}
        Ok(Filled::Nothing) => {
            receiving.rest();
            return Drained::Yes;
        }
        Ok(Filled::End) => {
            shared.stream_ended();
            return Drained::Yes;
        }
        Ok(Filled::NoRing(pool)) => {
            wait_for_ring(shared, &pool, conn);
            return Drained::Yes;
        }
        Err(error) => {
            shared.fail(Failure::Io(error));
            shared.drop_stream();
            return Drained::Yes;
        }
    }
    shared.hear();
    // More may be there even behind a receive that had room: an end, of which nobody tells again.
    if shared.state() == State::Over {
        receiving.forget();
        return Drained::No;
    }
    match answer(user, receiving) {
        Ok(seen) if !seen && user.sender.shared.state() != State::Over => {
            *fresh = true;
            conn.pause();
            Drained::Yes
        }
        Ok(_) => Drained::No,
        Err(failure) => {
            user.sender.shared.fail(failure);
            receiving.forget();
            Drained::No
        }
    }
}

/// Has the user see all that is there, and sends the answers in one call. Returns whether
/// everything was seen.
#[inline]
fn answer(user: &mut User<impl Handler>, receiving: &mut Receiving) -> Result<bool, Failure> {
    user.sender.shared.cork();
    let seen = receiving.each(user);
    let flushed = user.sender.shared.uncork();
    let seen = seen?;
    if let Some(error) = user.failed.take() {
        return Err(error.into());
    }
    flushed?;
    Ok(seen && user.sender.shared.goes_on())
}

/// Reads again when a ring comes back; until then the kernel holds what arrives.
#[cold]
fn wait_for_ring(shared: &Rc<Shared>, pool: &Pool, conn: &Conn) {
    conn.pause();
    let (lending, waiting) = (pool.lending(), Rc::downgrade(shared));
    let wait = async move {
        let lent = lending.await;
        let Some(shared) = waiting.upgrade() else { return };
        match lent {
            Ok(ring) => *shared.spare.borrow_mut() = Some(ring),
            Err(error) => shared.fail(Failure::Io(io::Error::other(error))),
        }
        // It can only be closed by now, and then there is nobody to read.
        let _ = shared.wire.borrow().link.conn().resume();
        shared.tell_end();
    };
    if task::spawn(wait).is_err() {
        // No task: what has arrived stays with the kernel, and the loop asks again.
        let _ = conn.resume();
    }
}
