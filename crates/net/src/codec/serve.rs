//! A framed stream that the loop has: its handler is called with items.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Conn, Drained, task};

use super::outlet::{Hold, Outlet, Shared};
use super::{Decode, Error, Framed, Reader, Writer};

/// What an item handler may return: nothing, or a result whose error closes the stream and reaches
/// its close handler.
pub trait Handled {
    /// As the loop sees it.
    ///
    /// # Errors
    /// What the handler returned.
    fn handled(self) -> io::Result<()>;
}

impl Handled for () {
    fn handled(self) -> io::Result<()> {
        Ok(())
    }
}

impl<E: Into<io::Error>> Handled for Result<(), E> {
    fn handled(self) -> io::Result<()> {
        self.map_err(Into::into)
    }
}

impl<D, E> Framed<D, E>
where
    D: Decode + 'static,
    E: 'static,
{
    /// Gives the stream to the loop, which calls `handler` with each item, where it was received, and
    /// with the half that sends. What answers all items of one receive leaves in one call.
    ///
    /// While the peer does not take the answers, it is given no more items, and receives no more:
    /// memory is bounded by the two buffers and the [high-water mark](super::Options::high_water).
    /// The stream is closed at its end, after an error, and by [`Writer::close`].
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use tautline_net::UnixStream;
    /// use tautline_net::codec::{Framed, Lines};
    ///
    /// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
    /// let (near, far) = UnixStream::pair()?;
    /// Framed::new(far, Lines::new(80)).on_item(|tx, line| tx.send(line))?;
    /// let echoed = runtime.block_on(async {
    ///     let mut near = Framed::new(near, Lines::new(80));
    ///     near.send("hello")?;
    ///     near.next().await.expect("it has not ended").map(str::to_owned).map_err(Into::into)
    /// })?;
    /// # let echoed: std::io::Result<String> = echoed;
    /// assert_eq!(echoed?, "hello");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_item<F, R>(self, handler: F) -> io::Result<Served<D>>
    where
        F: FnMut(&mut Writer<E>, D::Item<'_>) -> R + 'static,
        R: Handled,
    {
        let Self { mut reader, writer } = self;
        reader.give_to_loop();
        let outlet = reader.outlet().clone();
        let closing = Rc::new(RefCell::new(None));
        let mut serving = Serving { reader, writer, handler, closing: closing.clone() };
        let conn = outlet.conn();
        if serving.reader.half_open {
            conn.keep_half_open();
        }
        let (told, weak) = (closing.clone(), outlet.downgrade());
        conn.on_close(move |_, result| {
            if let Some(shared) = weak.upgrade() {
                shared.borrow_mut().granted = None;
            }
            tell(&told, result.map_err(Error::Io));
        });
        let weak = outlet.downgrade();
        conn.on_writable(move |_| writable(&weak));
        let given = outlet.get().link.on_readable(move |conn| serving.turn(conn));
        given?;
        // What was received and not asked for is there although nothing more may ever come.
        conn.look_again();
        Ok(Served { outlet, closing })
    }
}

/// The peer takes bytes again.
fn writable(shared: &Weak<RefCell<Shared>>) -> io::Result<()> {
    let Some(shared) = shared.upgrade() else { return Ok(()) };
    let mut shared = shared.borrow_mut();
    shared.make_way();
    shared.push()?;
    if shared.is_full() { Ok(()) } else { shared.release(Hold::Full) }
}

type OnClose<E> = Box<dyn FnOnce(Result<(), Error<E>>)>;
type Closing<E> = Rc<RefCell<Option<OnClose<E>>>>;

/// Tells the close handler, once.
fn tell<E: std::error::Error + 'static>(closing: &Closing<E>, result: Result<(), Error<E>>) {
    let handler = closing.borrow_mut().take();
    if let Some(handler) = handler {
        handler(result);
    }
}

struct Serving<D: Decode, E, F> {
    reader: Reader<D>,
    writer: Writer<E>,
    handler: F,
    closing: Closing<D::Error>,
}

/// What came of handing out what is at hand.
enum Handed<E: std::error::Error + 'static> {
    /// All of it: more must be received.
    All,
    /// The stream is held up.
    Held,
    /// There is nothing more.
    Over(Result<(), Error<E>>),
}

impl<D, E, F, R> Serving<D, E, F>
where
    D: Decode,
    F: FnMut(&mut Writer<E>, D::Item<'_>) -> R,
    R: Handled,
{
    /// Hands out what is at hand, then what one receive brings; answers leave behind that.
    fn turn(&mut self, conn: &Conn) -> io::Result<Drained> {
        self.outlet().get().cork(true);
        let handed = self.hand_on();
        let mut shared = self.outlet().get();
        shared.cork(false);
        let left = shared.leave();
        drop(shared);
        match handed? {
            Handed::Over(result) => {
                self.over(conn, result);
                Ok(Drained::Yes)
            }
            _ if left.is_err() => left.map(|()| Drained::Yes),
            Handed::All if !self.reader.found_nothing() => Ok(Drained::No),
            Handed::All | Handed::Held => Ok(Drained::Yes),
        }
    }

    fn outlet(&self) -> &Outlet {
        self.reader.outlet()
    }

    fn hand_on(&mut self) -> io::Result<Handed<D::Error>> {
        match self.hand_out()? {
            Handed::All => {}
            other => return Ok(other),
        }
        let received = match self.reader.try_ring() {
            Ok(true) => self.reader.receive(),
            Ok(false) => return self.wait_for_ring(),
            Err(error) => Err(error),
        };
        match received {
            Ok(()) => self.hand_out(),
            Err(error) => Ok(Handed::Over(Err(error))),
        }
    }

    fn hand_out(&mut self) -> io::Result<Handed<D::Error>> {
        let Self { reader, writer, handler, .. } = self;
        let outlet = reader.outlet().clone();
        loop {
            if !outlet.has_room()? {
                return Ok(Handed::Held);
            }
            match reader.at_hand() {
                Ok(Some(Ok(item))) => handler(writer, item).handled()?,
                Ok(Some(Err(error))) => return Ok(Handed::Over(Err(error))),
                Ok(None) => return Ok(Handed::Over(Ok(()))),
                Err(_) => return Ok(Handed::All),
            }
        }
    }

    /// All buffers are in use: it is called again when there is one for it.
    fn wait_for_ring(&self) -> io::Result<Handed<D::Error>> {
        let Some(lending) = self.reader.queue() else { return Ok(Handed::All) };
        self.outlet().get().hold(Hold::NoRing);
        let shared = self.outlet().downgrade();
        let waiting = task::spawn(async move {
            let ring = lending.await;
            let Some(shared) = shared.upgrade() else { return };
            let mut shared = shared.borrow_mut();
            if shared.link.conn().is_open() {
                // Where the system grants none, its next attempt says so.
                shared.granted = ring.ok();
                // It is open.
                let _ = shared.release(Hold::NoRing);
            }
        });
        drop(waiting.map_err(io::Error::other)?);
        Ok(Handed::Held)
    }

    /// Nothing more will be handed out: tells so, and closes the stream unless its user will.
    fn over(&mut self, conn: &Conn, result: Result<(), Error<D::Error>>) {
        let stays = self.reader.half_open && result.is_ok();
        // Whoever is told may have it closed, or go on sending.
        self.outlet().get().hold(Hold::Ended);
        tell(&self.closing, result);
        if !stays && conn.is_open() {
            self.outlet().close();
        }
    }
}

impl Outlet {
    /// Whether the handler may be called: nothing holds it up, and there is room for an answer.
    #[inline]
    fn has_room(&self) -> io::Result<bool> {
        let mut shared = self.get();
        if shared.is_half_full() || shared.is_full() {
            shared.push()?;
            if shared.is_full() {
                shared.hold(Hold::Full);
            }
        }
        Ok(!shared.is_held())
    }
}

/// A framed stream that the loop has: what [`Framed::on_item`] returns. Dropping it changes nothing.
pub struct Served<D: Decode> {
    outlet: Outlet,
    closing: Closing<D::Error>,
}

impl<D: Decode> Served<D> {
    /// Calls `handler` once when no more items will come: `Ok` when the peer has ended the stream in
    /// order, between two frames. The stream is closed afterwards, unless it is [kept half
    /// open](super::Options::keep_half_open).
    pub fn on_close<F>(&self, handler: F) -> &Self
    where
        F: FnOnce(Result<(), Error<D::Error>>) + 'static,
    {
        let before = self.closing.borrow_mut().replace(Box::new(handler));
        drop(before);
        self
    }

    /// Hands out no more items: see [`Writer::pause`].
    pub fn pause(&self) {
        self.outlet.get().hold(Hold::User);
    }

    /// Goes on.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn resume(&self) -> io::Result<()> {
        self.outlet.get().release(Hold::User)
    }

    /// Closes it: see [`Writer::close`].
    pub fn close(&self) {
        self.outlet.close();
    }

    /// Names the stream's descriptor.
    pub fn conn(&self) -> Conn {
        self.outlet.conn()
    }
}

impl<D: Decode> fmt::Debug for Served<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("conn", &self.conn()).finish_non_exhaustive()
    }
}
