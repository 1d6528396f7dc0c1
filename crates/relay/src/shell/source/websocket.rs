//! Messages of WebSockets, each a packet: from a server, or from publishers who connect.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use tautline_runtime::{Descriptor, SocketOption, task};
use tautline_websocket::read::{Event, Kind};
use tautline_websocket::{CloseCode, Options, Sender, WebSocket};

use super::Source;
use crate::endpoint::{Source as Endpoint, WebSocketListener, WebSocketPeer};
use crate::shell::dial::Dialer;
use crate::shell::fanout::Fanout;
use crate::shell::listener::{self, Listener};
use crate::shell::websocket::{Greeter, Target, options};
use crate::stats::EndpointState;

/// Messages that are passed on in one turn at most.
const BURST: u32 = 64;

/// What all connections of a source share.
struct Readers {
    fanout: Rc<Fanout>,
    stopped: Cell<bool>,
    /// Of the tasks that wait for room.
    waiting: RefCell<Vec<Waker>>,
    /// By which the open connections are told farewell.
    senders: RefCell<Vec<Sender>>,
}

impl Readers {
    fn new(fanout: &Rc<Fanout>) -> Self {
        Self {
            fanout: fanout.clone(),
            stopped: Cell::new(false),
            waiting: RefCell::default(),
            senders: RefCell::default(),
        }
    }

    /// Passes on messages until the connection ends; says how it has.
    async fn read(&self, mut socket: WebSocket) -> io::Result<String> {
        let sender = socket.sender();
        self.senders.borrow_mut().retain(Sender::is_open);
        self.senders.borrow_mut().push(sender);
        let mut count = 0_u32;
        while let Some(event) = self.next(&mut socket).await? {
            poll_fn(|context| self.poll_room(context)).await;
            if self.stopped.get() {
                break;
            }
            self.publish(event);
            count = count.wrapping_add(1);
            if count.is_multiple_of(BURST) {
                self.fanout.flush();
                task::yield_now().await;
            }
        }
        Ok(match socket.ended() {
            Some(end) => {
                end.code.map_or_else(String::new, |code| format!(": {code} {}", end.reason))
            }
            None => String::new(),
        })
    }

    /// The next message. Before it has to be waited for, all that came before is sent.
    async fn next<'s>(&self, socket: &'s mut WebSocket) -> io::Result<Option<Event<'s>>> {
        let mut read = pin!(socket.read());
        poll_fn(|context| {
            let polled = read.as_mut().poll(context);
            if polled.is_pending() {
                self.fanout.flush();
            }
            polled
        })
        .await
    }

    /// Ready when a message can be passed on, or none is to be any more.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.stopped.get() || self.fanout.is_ready() {
            return Poll::Ready(());
        }
        self.fanout.flush();
        self.fanout.await_room();
        self.waiting.borrow_mut().push(context.waker().clone());
        Poll::Pending
    }

    fn publish(&self, event: Event<'_>) {
        let arrival = crate::shell::arrival();
        match event {
            Event::Text(text) => self.fanout.publish_message(text.as_bytes(), true, arrival),
            Event::Binary(bytes) => self.fanout.publish_message(bytes, false, arrival),
            Event::Part(part) if part.first => self.refuse(part.kind),
            _ => {}
        }
    }

    /// A message that is longer than a packet may be; it comes in parts, which are passed over.
    fn refuse(&self, kind: Kind) {
        let source = self.fanout.source();
        source.drop_packets(|drops| drops.too_long += 1);
        source.note(&format!("a message ({kind:?}) is longer than a packet may be: raise ?size="));
    }

    fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn stop(&self) {
        self.stopped.set(true);
        for sender in self.senders.take() {
            // One that has gone by now needs no farewell.
            let _ = sender.close(CloseCode::GOING_AWAY, "");
            let _ = sender.flush();
        }
        self.wake();
    }
}

/// What connections are like. One that stands still for a lossless destination hears no sign of its
/// peer, who is not to be given up for that.
fn patience(from: &Endpoint, fanout: &Fanout) -> Options {
    let options = options(from.max_packet);
    let ping_every = options.ping_every.filter(|_| !fanout.is_lossless());
    Options { ping_every, ..options }
}

/// The connection to a server, or the attempts at one.
struct Connection {
    readers: Readers,
    target: RefCell<Option<Target>>,
    dialer: RefCell<Option<Rc<Dialer<Target>>>>,
    own: Weak<Self>,
}

/// A source that connects.
pub(super) fn connect(
    from: &Endpoint,
    peer: &WebSocketPeer,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let target = Target::new(peer, patience(from, fanout))?;
    Ok(Rc::new_cyclic(|own| Connection {
        readers: Readers::new(fanout),
        target: RefCell::new(Some(target)),
        dialer: RefCell::new(None),
        own: own.clone(),
    }))
}

impl Connection {
    fn connected(self: Rc<Self>, socket: WebSocket) {
        self.readers.fanout.source().peer_came();
        let reader = self.clone();
        let read = async move {
            let ended = reader.readers.read(socket).await;
            reader.ended(ended);
        };
        if let Err(error) = task::spawn(read) {
            self.ended(Err(error.into()));
        }
    }

    fn ended(&self, how: io::Result<String>) {
        let source = self.readers.fanout.source();
        match how {
            Ok(farewell) => source.note(&format!("the connection was closed{farewell}")),
            Err(error) => source.note(&crate::shell::explain(&error)),
        }
        source.peer_went();
        if let Some(dialer) = &*self.dialer.borrow() {
            dialer.again();
        }
    }
}

impl Source for Connection {
    fn start(&self) {
        let (Some(own), Some(target)) = (self.own.upgrade(), self.target.take()) else { return };
        let tally = self.readers.fanout.source();
        match Dialer::start(target, tally, move |socket| own.clone().connected(socket)) {
            Ok(dialer) => drop(self.dialer.replace(Some(dialer))),
            Err(error) => self.readers.fanout.ending().fail(tally.url(), &error),
        }
    }

    fn resume(&self) {
        self.readers.wake();
    }

    fn stop(&self) {
        if let Some(dialer) = self.dialer.take() {
            dialer.stop();
        }
        self.readers.stop();
    }
}

/// All publishers of one listening socket.
struct Publishers {
    from: Endpoint,
    readers: Readers,
    greeter: Greeter,
    /// Publishers that are here, with those whose handshake is not over.
    here: Cell<u32>,
    /// Newcomers that were turned away since there were too many.
    turned_away: Cell<u64>,
    /// Bound, but not yet accepting.
    waiting: RefCell<Option<Listener>>,
    listener: RefCell<Option<Rc<Listener>>>,
    own: Weak<Self>,
}

/// A source that publishers connect to.
pub(super) async fn listen(
    from: &Endpoint,
    at: &WebSocketListener,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let greeter = Greeter::new(at, patience(from, fanout))?;
    let listener = listener::tcp(&at.address, fanout.source()).await?;
    fanout.source().set_state(EndpointState::Open);
    Ok(Rc::new_cyclic(|own| Publishers {
        from: from.clone(),
        readers: Readers::new(fanout),
        greeter,
        here: Cell::new(0),
        turned_away: Cell::new(0),
        waiting: RefCell::new(Some(listener)),
        listener: RefCell::new(None),
        own: own.clone(),
    }))
}

impl Publishers {
    fn welcome(self: Rc<Self>, socket: Descriptor) {
        if self.here.get() >= self.from.publishers {
            return self.turn_away();
        }
        if let Some(bytes) = self.from.receive_buffer {
            // Best effort: the connection works without.
            let _ = socket.set_option(SocketOption::ReceiveBuffer(bytes as usize));
        }
        self.here.set(self.here.get() + 1);
        let host = self.clone();
        let attend = async move {
            if let Err(error) = host.attend(socket).await {
                host.readers.fanout.source().note(&format!("a publisher went: {error}"));
            }
            host.here.set(host.here.get() - 1);
        };
        if let Err(error) = task::spawn(attend) {
            self.readers.fanout.source().note(&error);
            self.here.set(self.here.get() - 1);
        }
    }

    async fn attend(&self, socket: Descriptor) -> io::Result<()> {
        let socket = self.greeter.clone().greet(socket).await?;
        let source = self.readers.fanout.source();
        source.peer_came();
        let ended = self.readers.read(socket).await;
        source.peer_went();
        ended.map(drop)
    }

    fn turn_away(&self) {
        let (count, limit) = (self.turned_away.get() + 1, self.from.publishers);
        self.turned_away.set(count);
        let remedy = "raise ?publishers=";
        let why = format!("{count} turned away: {limit} publishers are here; {remedy}");
        self.readers.fanout.source().note(&why);
    }
}

impl Source for Publishers {
    fn start(&self) {
        let (Some(own), Some(listener)) = (self.own.upgrade(), self.waiting.take()) else { return };
        let tally = self.readers.fanout.source();
        let listener = listener.serve(tally, move |socket| own.clone().welcome(socket));
        self.listener.replace(Some(listener));
    }

    fn resume(&self) {
        self.readers.wake();
    }

    fn stop(&self) {
        if let Some(listener) = self.listener.take() {
            listener.close();
        }
        self.readers.stop();
    }
}
