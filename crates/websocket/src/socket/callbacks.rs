//! A connection whose messages go to a handler.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use tautline_buffer::Pool;
use tautline_runtime::{Conn, Drained, task};

use super::receiving::{Filled, Receiving};
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
    pub fn on_message<F, R>(self, mut handler: F) -> io::Result<Sender>
    where
        F: FnMut(&Sender, Message<'_>) -> R + 'static,
        R: Answer,
    {
        self.on_event(move |sender, event| match event {
            Event::Text(text) => handler(sender, Message::Text(text)).into_result(),
            Event::Binary(bytes) => handler(sender, Message::Binary(bytes)).into_result(),
            Event::Part(_) => Err(io::Error::other(
                "a message came in parts: take it by `on_event`, or raise `Limits::whole`",
            )),
            Event::Ping(_) | Event::Pong(_) | Event::Close(_) => Ok(()),
        })
    }

    /// As [`on_message`](Self::on_message), with parts of messages, pings and pongs too. Pings were
    /// answered by then.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_event<F, R>(self, mut handler: F) -> io::Result<Sender>
    where
        F: FnMut(&Sender, Event<'_>) -> R + 'static,
        R: Answer,
    {
        let Self { shared, mut receiving, .. } = self;
        let sender = Sender { shared: shared.clone() };
        let conn = shared.wire.borrow().link.conn().clone();
        let theirs = sender.clone();
        let mut fresh = !receiving.is_empty();
        let ready = move |conn: &Conn| {
            let shared = &theirs.shared;
            let drained = look(shared, &mut receiving, &mut fresh, conn, |event| {
                handler(&theirs, event).into_result()
            });
            shared.tell_end();
            Ok(drained)
        };
        shared.wire.borrow_mut().link.on_readable(ready)?;
        let blocked = shared.clone();
        conn.on_writable(move |conn| {
            let flushed = blocked.wire.borrow_mut().flush();
            match flushed {
                Err(error) => blocked.fail(Failure::Io(error)),
                Ok(()) if blocked.wire.borrow().is_blocked() => {}
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

/// Something may be there: takes it in, and has `handler` see what it is.
fn look(
    shared: &Rc<Shared>,
    receiving: &mut Receiving,
    fresh: &mut bool,
    conn: &Conn,
    mut handler: impl FnMut(Event<'_>) -> io::Result<()>,
) -> Drained {
    // What was left when there was no room for answers comes before anything else.
    let left = std::mem::take(fresh);
    let filled = match left {
        true => Ok(Filled::Bytes { more: true }),
        false => receiving.fill(&mut shared.wire.borrow_mut().link),
    };
    let more = match filled {
        Ok(Filled::Bytes { more }) => more,
        Ok(Filled::Nothing) => {
            receiving.rest();
            return Drained::Yes;
        }
        Ok(Filled::End) => {
            shared.stream_ended();
            return Drained::Yes;
        }
        Ok(Filled::NoRing(pool)) => {
            wait_for_ring(pool, conn);
            return Drained::Yes;
        }
        Err(error) => {
            shared.fail(Failure::Io(error));
            shared.drop_stream();
            return Drained::Yes;
        }
    };
    shared.hear();
    if shared.state.get() == State::Over {
        receiving.forget();
        return if more { Drained::No } else { Drained::Yes };
    }
    match answer(shared, receiving, &mut handler) {
        Ok(seen) if !seen && shared.state.get() != State::Over => {
            *fresh = true;
            conn.pause();
            Drained::Yes
        }
        Ok(_) if more => Drained::No,
        Ok(_) => Drained::Yes,
        Err(failure) => {
            shared.fail(failure);
            receiving.forget();
            Drained::No
        }
    }
}

/// Has `handler` see all that is there, and sends its answers in one call. Returns whether it has
/// seen everything.
#[inline]
fn answer(
    shared: &Rc<Shared>,
    receiving: &mut Receiving,
    handler: &mut impl FnMut(Event<'_>) -> io::Result<()>,
) -> Result<bool, Failure> {
    shared.wire.borrow_mut().cork();
    let seen = receiving.each(|event| {
        if let Some(event) = shared.heed(event)? {
            handler(event)?;
        }
        Ok(shared.goes_on())
    });
    let flushed = shared.wire.borrow_mut().uncork();
    let seen = seen?;
    flushed?;
    Ok(seen && !shared.wire.borrow().is_blocked())
}

/// Reads again when a ring comes back; until then the kernel holds what arrives.
#[cold]
fn wait_for_ring(pool: Pool, conn: &Conn) {
    conn.pause();
    let waiting = conn.clone();
    let wait = async move {
        ring_back(&pool).await;
        if waiting.is_open() {
            // It can only be closed by now, and then there is nobody to read.
            let _ = waiting.resume();
        } else {
            pool.pass_on();
        }
    };
    if task::spawn(wait).is_err() {
        // No task: what has arrived stays with the kernel, and the loop asks again.
        let _ = conn.resume();
    }
}

/// Waits until a ring has come back, or others were woken for one.
pub(super) async fn ring_back(pool: &Pool) {
    let mut asked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        pool.wait(cx.waker());
        Poll::Pending
    })
    .await;
}
