//! What the halves of a connection and its sender have in common.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tautline_buffer::Lent;
use tautline_net::Link;
use tautline_runtime::task;
use tautline_runtime::timer::{self, Timer};

use super::wire::Wire;
use super::{Ended, SendError};
use crate::close::Farewell;
use crate::frame::{Header, MOST_CONTROL, Opcode};
use crate::read::{Event, Kind};
use crate::{Options, ProtocolError, Role, Stock};

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Messages go both ways.
    Open,
    /// This end has said farewell, and waits for the peer's.
    Closing,
    /// Both have, or the peer has done wrong: nothing more is read or sent.
    Over,
}

/// What the halves of a connection and its sender have in common.
pub(super) struct Shared {
    pub(super) wire: RefCell<Wire>,
    state: Cell<State>,
    /// No more messages are to be looked at: it is over, or what was sent in answer to the last
    /// ones has not left.
    halted: Cell<bool>,
    pub(super) role: Role,
    options: Options,
    /// The message that is being sent in fragments.
    sending: Cell<Option<Sending>>,
    /// Something has come since the last look of the watch.
    heard: Cell<bool>,
    /// Looks whether the peer is alive, or has said farewell in time.
    watch: RefCell<Option<Timer>>,
    /// How it ended, until that was told.
    ended: RefCell<Option<io::Result<Ended>>>,
    /// Is told how.
    on_close: RefCell<Option<OnClose>>,
    /// A ring that came back for it, to be read into.
    pub(super) spare: RefCell<Option<Lent>>,
    /// Wait until more may be sent.
    waiting: RefCell<Vec<Waker>>,
    /// A task sends what the peer has not taken, when it does.
    drains: Cell<bool>,
}

/// A message that is being sent in fragments.
#[derive(Clone, Copy)]
struct Sending {
    kind: Kind,
    compressed: bool,
}

type OnClose = Box<dyn FnOnce(io::Result<Ended>)>;

impl Shared {
    pub(super) fn new(link: Link, role: Role, options: Options, stock: Stock) -> Rc<Self> {
        let shared = Rc::new(Self {
            wire: RefCell::new(Wire::new(link, stock, role, options.write_limit)),
            state: Cell::new(State::Open),
            halted: Cell::new(false),
            role,
            options,
            sending: Cell::new(None),
            heard: Cell::new(false),
            watch: RefCell::new(None),
            ended: RefCell::new(None),
            on_close: RefCell::new(None),
            spare: RefCell::new(None),
            waiting: RefCell::new(Vec::new()),
            drains: Cell::new(false),
        });
        if let Some(every) = options.ping_every {
            shared.look_after(every, Self::see_whether_heard);
        }
        shared
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Something has come.
    #[inline]
    pub(super) fn hear(&self) {
        self.heard.set(true);
    }

    /// How far it is.
    pub(super) fn state(&self) -> State {
        self.state.get()
    }

    fn set_state(&self, state: State) {
        self.state.set(state);
        self.take_stock();
    }

    /// Something has changed on which it depends whether messages can be sent and looked at.
    fn take_stock(&self) {
        let state = self.state.get();
        let blocked = self.wire.borrow().is_blocked();
        let sends = state == State::Open && self.sending.get().is_none();
        self.wire.borrow_mut().let_send(sends);
        self.halted.set(state == State::Over || blocked);
        if blocked && state != State::Over {
            return;
        }
        if !self.waiting.borrow().is_empty() {
            self.waiting.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Waits until more may be sent, or nothing more will be.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let is_open = self.state.get() != State::Over && self.wire.borrow().link.conn().is_open();
        if !(is_open && self.is_blocked()) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Sees to it that what the peer has not taken leaves when it does, where no handler of the loop
    /// does so.
    #[cold]
    fn drain(self: &Rc<Self>) {
        if self.drains.get() || !self.wire.borrow().link.is_owned() {
            return;
        }
        let this = Rc::downgrade(self);
        let drain = async move {
            while poll_fn(|cx| poll_room(&this, cx)).await.is_ok() {
                let Some(this) = this.upgrade() else { return };
                if this.flush().is_err() || !this.is_blocked() {
                    break;
                }
            }
            if let Some(this) = this.upgrade() {
                this.drains.set(false);
            }
        };
        // Without a task it leaves with the next that is sent.
        self.drains.set(task::spawn(drain).is_ok());
    }

    /// Sends a message in one frame.
    #[inline(always)]
    pub(super) fn send(self: &Rc<Self>, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        if self.wire.borrow_mut().put_short(kind.opcode(), payload) {
            return Ok(());
        }
        self.send_any(kind, payload)
    }

    #[inline(never)]
    fn send_any(self: &Rc<Self>, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        if self.wire.borrow().compresses(payload.len()) {
            self.check_whole()?;
            return self.put_deflated(Header::new(kind.opcode(), payload.len()), payload).map(drop);
        }
        self.send_plain(kind, payload)
    }

    /// The same, not compressed whatever was agreed.
    pub(super) fn send_plain(self: &Rc<Self>, kind: Kind, payload: &[u8]) -> Result<(), SendError> {
        self.check_whole()?;
        self.put(Header::new(kind.opcode(), payload.len()), payload)
    }

    /// Whether a message in one frame may be sent.
    fn check_whole(&self) -> Result<(), SendError> {
        self.check_open()?;
        match self.sending.get() {
            None => Ok(()),
            Some(_) => Err(SendError::Order(
                "a message in fragments is under way: send its last one first",
            )),
        }
    }

    /// Whether it was compressed.
    fn put_deflated(self: &Rc<Self>, header: Header, payload: &[u8]) -> Result<bool, SendError> {
        let sent = self.wire.borrow_mut().put_deflated(header, payload);
        self.after_sending();
        sent
    }

    fn put(self: &Rc<Self>, header: Header, payload: &[u8]) -> Result<(), SendError> {
        let sent = self.wire.borrow_mut().put(header, payload);
        self.after_sending();
        sent
    }

    /// Sends what waits, as far as it can be.
    pub(super) fn flush(self: &Rc<Self>) -> io::Result<()> {
        let flushed = self.wire.borrow_mut().flush();
        self.after_sending();
        flushed
    }

    fn after_sending(self: &Rc<Self>) {
        self.take_stock();
        if self.is_blocked() {
            self.drain();
        }
    }

    /// Whether what was sent waits for the peer to take some.
    pub(super) fn is_blocked(&self) -> bool {
        self.wire.borrow().is_blocked()
    }

    /// What follows is sent together, until it is uncorked.
    #[inline]
    pub(super) fn cork(&self) {
        self.wire.borrow_mut().cork();
    }

    /// Sends what was sent since it was corked.
    #[inline]
    pub(super) fn uncork(&self) -> io::Result<()> {
        let uncorked = self.wire.borrow_mut().uncork();
        self.take_stock();
        uncorked
    }

    /// Sends the next fragment of a message.
    //= RFC 6455 §5.4
    pub(super) fn send_part(
        self: &Rc<Self>,
        kind: Kind,
        payload: &[u8],
        last: bool,
    ) -> Result<(), SendError> {
        self.check_open()?;
        let (opcode, compressed) = match self.sending.get() {
            None => (kind.opcode(), self.wire.borrow().compresses(payload.len())),
            Some(sending) if sending.kind == kind => (Opcode::Continuation, sending.compressed),
            Some(_) => {
                return Err(SendError::Order(
                    "a fragment of another kind than the first of its message: give all the same",
                ));
            }
        };
        let header = Header { fin: last, ..Header::new(opcode, payload.len()) };
        let compressed = match compressed {
            true => self.put_deflated(header, payload)?,
            false => self.put(header, payload).map(|()| false)?,
        };
        self.sending.set((!last).then_some(Sending { kind, compressed }));
        self.take_stock();
        Ok(())
    }

    /// Sends a ping or pong.
    pub(super) fn control(
        self: &Rc<Self>,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.check_open()?;
        let payload = &payload[..payload.len().min(MOST_CONTROL)];
        self.put(Header::new(opcode, payload.len()), payload)
    }

    #[inline]
    fn check_open(&self) -> Result<(), SendError> {
        if self.state.get() == State::Open { Ok(()) } else { Err(SendError::Closing) }
    }

    /// Whether the next message is to be looked at.
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        !self.halted.get()
    }

    /// Says farewell: nothing is sent after it, and the peer's is waited for.
    //= RFC 6455 §7.1.2
    pub(super) fn close(self: &Rc<Self>, farewell: Option<Farewell<'_>>) -> Result<(), SendError> {
        self.check_open()?;
        match self.say_farewell(farewell) {
            // There is no memory to say it in: the peer is cut off when its time is over.
            Ok(()) | Err(SendError::Full { .. }) => {}
            Err(error) => return Err(error),
        }
        self.set_state(State::Closing);
        self.look_after(self.options.close_within, Self::give_up);
        Ok(())
    }

    fn say_farewell(self: &Rc<Self>, farewell: Option<Farewell<'_>>) -> Result<(), SendError> {
        let mut room = [0; MOST_CONTROL];
        let length = farewell.map_or(0, |farewell| farewell.put(&mut room));
        let header = Header::new(Opcode::Close, length);
        let said = self.wire.borrow_mut().put_last(header, &room[..length]);
        self.after_sending();
        said
    }

    /// Does what a frame of control asks for. What is left is for the user.
    #[inline]
    pub(super) fn heed<'b>(
        self: &Rc<Self>,
        event: Event<'b>,
    ) -> Result<Option<Event<'b>>, Failure> {
        match event {
            Event::Ping(payload) => {
                self.answer_ping(payload)?;
                Ok(Some(event))
            }
            Event::Close(farewell) => {
                self.hear_farewell(farewell)?;
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }

    /// One that finds no room is left out: the peer does not take what it is sent.
    //= RFC 6455 §5.5.2
    //= RFC 6455 §5.5.3
    #[cold]
    fn answer_ping(self: &Rc<Self>, payload: &[u8]) -> Result<(), Failure> {
        match self.control(Opcode::Pong, payload) {
            Ok(()) | Err(SendError::Closing | SendError::Full { .. }) => Ok(()),
            Err(error) => Err(Failure::Io(error.into())),
        }
    }

    /// The peer says farewell: so does this end, if it has not.
    //= RFC 6455 §5.5.1
    #[cold]
    fn hear_farewell(self: &Rc<Self>, farewell: Option<Farewell<'_>>) -> Result<(), Failure> {
        if self.state.get() == State::Open {
            let answer = farewell.map(|farewell| Farewell::new(farewell.code));
            self.say_farewell(answer).map_err(|error| Failure::Io(error.into()))?;
        }
        let ended = Ended {
            code: farewell.map(|farewell| farewell.code),
            reason: farewell.map_or_else(String::new, |farewell| farewell.reason.to_owned()),
        };
        self.end(Ok(ended));
        Ok(())
    }

    /// The connection is over. The server ends it; the client waits for that, for a while.
    //= RFC 6455 §7.1.1
    fn end(self: &Rc<Self>, how: io::Result<Ended>) {
        self.set_state(State::Over);
        self.ended.borrow_mut().get_or_insert(how);
        self.look_after(self.options.close_within, Self::give_up);
        // It may be broken by now; then nothing is to be sent.
        let _ = self.flush();
        if self.role == Role::Server {
            let _ = self.wire.borrow_mut().link.finish();
        }
    }

    /// The peer has done wrong: tells it why, and is over.
    //= RFC 6455 §7.1.7
    #[cold]
    pub(super) fn fail(self: &Rc<Self>, failure: Failure) {
        if self.state.get() == State::Over {
            return;
        }
        let error = match failure {
            Failure::Protocol(error) => {
                let reason = error.reason();
                if self.state.get() == State::Open {
                    let farewell = Farewell { code: error.code(), reason: &reason };
                    let _ = self.say_farewell(Some(farewell));
                }
                io::Error::new(io::ErrorKind::InvalidData, error)
            }
            Failure::Io(error) => error,
        };
        self.end(Err(error));
        let _ = self.wire.borrow_mut().link.finish();
    }

    /// The stream has ended. Without a farewell that is no orderly end.
    pub(super) fn stream_ended(self: &Rc<Self>) {
        if self.state.get() != State::Over {
            let error = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the peer has ended the stream without a farewell",
            );
            self.end(Err(error));
        }
        self.drop_stream();
    }

    /// Nothing more is read or sent; what was given to the stream still leaves.
    pub(super) fn drop_stream(&self) {
        self.stop_watch();
        self.wire.borrow().link.conn().close();
    }

    /// Has `handler` told how it ends.
    pub(super) fn on_close(&self, handler: OnClose) {
        // Dropped when nothing is borrowed, for what it holds may call back.
        drop(self.on_close.replace(Some(handler)));
    }

    /// Tells the handler how it has ended, if it has.
    pub(super) fn tell_end(&self) {
        if self.ended.borrow().is_none() {
            return;
        }
        let handler = self.on_close.borrow_mut().take();
        if let Some(handler) = handler
            && let Some(how) = self.take_end()
        {
            handler(how);
        }
    }

    /// Tells the handler, if there is one, how it has ended: for who takes the end himself.
    pub(super) fn tell(&self, how: io::Result<Ended>) {
        let handler = self.on_close.borrow_mut().take();
        if let Some(handler) = handler {
            handler(how);
        }
    }

    /// How it has ended, told once.
    pub(super) fn take_end(&self) -> Option<io::Result<Ended>> {
        self.ended.borrow_mut().take()
    }

    /// Calls `look` after a while, in place of any other look. A connection that nobody looks after
    /// is cut.
    fn look_after(self: &Rc<Self>, time: Duration, look: fn(&Rc<Self>)) {
        let this: Weak<Self> = Rc::downgrade(self);
        let timer = timer::after(time, move || {
            if let Some(this) = this.upgrade() {
                look(&this);
            }
        });
        self.stop_watch();
        match timer {
            Ok(timer) => *self.watch.borrow_mut() = Some(timer),
            Err(error) => {
                self.ended.borrow_mut().get_or_insert(Err(error.into()));
                self.set_state(State::Over);
                self.wire.borrow().link.conn().abort();
            }
        }
    }

    fn stop_watch(&self) {
        if let Some(timer) = self.watch.borrow_mut().take() {
            timer.cancel();
        }
    }

    /// Nothing was heard for a while: asks the peer for a sign.
    fn see_whether_heard(self: &Rc<Self>) {
        let Some(every) = self.options.ping_every else { return };
        if self.heard.take() {
            return self.look_after(every, Self::see_whether_heard);
        }
        // If there is no room for it, the peer takes nothing, and will not be heard either.
        let _ = self.control(Opcode::Ping, b"");
        self.look_after(self.options.pong_within, Self::see_whether_answered);
    }

    fn see_whether_answered(self: &Rc<Self>) {
        let Some(every) = self.options.ping_every else { return };
        if self.heard.take() {
            return self.look_after(every, Self::see_whether_heard);
        }
        let text = format!(
            "the peer is dead: it has not answered a ping within {:?}",
            self.options.pong_within
        );
        self.end(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        self.give_up();
    }

    /// The peer has had its time.
    fn give_up(self: &Rc<Self>) {
        if self.state.get() != State::Over {
            let text = format!(
                "the peer has not answered the farewell within {:?}",
                self.options.close_within
            );
            self.set_state(State::Over);
            let error = io::Error::new(io::ErrorKind::TimedOut, text);
            self.ended.borrow_mut().get_or_insert(Err(error));
        }
        self.stop_watch();
        self.wire.borrow().link.conn().abort();
        self.tell_end();
    }
}

/// Waits until the stream of a connection takes much more.
fn poll_room(shared: &Weak<Shared>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    match shared.upgrade() {
        Some(shared) => shared.wire.borrow().link.poll_room(cx, shared.options.write_limit / 2),
        None => Poll::Ready(Ok(0)),
    }
}

/// Why reading has ended.
pub(super) enum Failure {
    Protocol(ProtocolError),
    Io(io::Error),
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
