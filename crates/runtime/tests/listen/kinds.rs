//! Six kinds of receivers: how each is made, and what it hears.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::rc::Rc;

use tautline_bus::broadcast::lossy::{self, Lossy, LossyError};
use tautline_bus::broadcast::{self, Broadcast};
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::channel::{self, Channel};
use tautline_bus::request::{self, Requests, Server};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Local, ReceiveError, Wait};
use tautline_runtime::listen::Source;

/// What is sent on each: the numbers from 1 to this one.
pub(crate) const COUNT: u32 = 64;

/// What all of them have heard, and how many have heard of the end.
#[derive(Clone, Default)]
pub(crate) struct Tally(Rc<Cell<(u64, usize)>>);

impl Tally {
    /// Another number, or the end.
    pub(crate) fn note(&self, heard: Option<u64>) -> ControlFlow<()> {
        let (sum, ended) = self.0.get();
        match heard {
            Some(n) => self.0.set((sum + n, ended)),
            None => self.0.set((sum, ended + 1)),
        }
        if heard.is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0.get().0
    }

    pub(crate) fn ended(&self) -> usize {
        self.0.get().1
    }
}

/// What all receivers of all kinds hear together. A signal brings counts, not numbers.
pub(crate) fn expected() -> u64 {
    let count = u64::from(COUNT);
    3 * (5 * count * (count + 1) / 2 + count)
}

/// Sends a number.
pub(crate) type Send = Box<dyn FnMut(u32) + std::marker::Send>;

/// A receiver: what an event of it brings, and how a task or a fiber waits for the next.
pub(crate) trait Kind: Source + Sized {
    /// The number, or `None` at the end.
    fn value(event: Self::Event<'_>) -> Option<u64>;
    /// Waits for it.
    async fn next(&mut self) -> Option<u64>;
}

fn closed<T>(result: Result<T, ReceiveError>) -> Option<T> {
    result.inspect_err(|why| assert_eq!(*why, ReceiveError::Closed)).ok()
}

impl Kind for channel::Receiver<u32, Local> {
    fn value(event: Result<u32, ReceiveError>) -> Option<u64> {
        closed(event).map(u64::from)
    }

    async fn next(&mut self) -> Option<u64> {
        Self::value(self.receive_async().await)
    }
}

/// Three channels.
pub(crate) fn channels(wait: Wait, sends: &mut Vec<Send>) -> [channel::Receiver<u32, Local>; 3] {
    [(); 3].map(|()| {
        let channel = Channel::new(channel::Config { wait, ..Default::default() }).unwrap();
        let mut sender = channel.sender().unwrap();
        sends.push(Box::new(move |n| sender.send(n).unwrap()));
        channel.receiver().unwrap()
    })
}

impl Kind for bytes::Receiver<Local> {
    fn value(event: Result<bytes::Message<'_, Local>, ReceiveError>) -> Option<u64> {
        closed(event).map(|bytes| std::str::from_utf8(&bytes).unwrap().parse().unwrap())
    }

    async fn next(&mut self) -> Option<u64> {
        Self::value(self.receive_async().await)
    }
}

/// Three byte channels.
pub(crate) fn byte_channels(wait: Wait, sends: &mut Vec<Send>) -> [bytes::Receiver<Local>; 3] {
    [(); 3].map(|()| {
        let channel = Bytes::new(bytes::Config { wait, ..Default::default() }).unwrap();
        let mut sender = channel.sender().unwrap();
        sends.push(Box::new(move |n| sender.send(n.to_string().as_bytes()).unwrap()));
        channel.receiver().unwrap()
    })
}

impl Kind for broadcast::Subscriber<u32, Local> {
    fn value(event: Result<broadcast::Loan<'_, u32, Local>, ReceiveError>) -> Option<u64> {
        closed(event).map(|message| u64::from(*message))
    }

    async fn next(&mut self) -> Option<u64> {
        closed(self.receive_async().await).map(u64::from)
    }
}

/// A broadcast to three.
pub(crate) fn broadcasts(
    wait: Wait,
    sends: &mut Vec<Send>,
) -> [broadcast::Subscriber<u32, Local>; 3] {
    let config = broadcast::Config { wait, subscribers: 3, ..Default::default() };
    let broadcast = Broadcast::new(config).unwrap();
    let mut publisher = broadcast.publisher().unwrap();
    sends.push(Box::new(move |n| publisher.send(n).unwrap()));
    // Two more, so that there is one for each receiver: they send nothing.
    sends.extend([(); 2].map(|()| Box::new(|_| ()) as Send));
    [(); 3].map(|()| broadcast.subscriber().unwrap())
}

impl Kind for lossy::Subscriber<u32, Local> {
    fn value(event: Result<u32, LossyError>) -> Option<u64> {
        match event {
            Ok(n) => Some(n.into()),
            Err(LossyError::Receive(why)) => closed(Err(why)),
            Err(missed) => panic!("{missed}"),
        }
    }

    async fn next(&mut self) -> Option<u64> {
        Self::value(self.receive_async().await)
    }
}

/// Three lossy broadcasts that lose nothing.
pub(crate) fn lossy_broadcasts(
    wait: Wait,
    sends: &mut Vec<Send>,
) -> [lossy::Subscriber<u32, Local>; 3] {
    [(); 3].map(|()| {
        let capacity = COUNT as usize;
        let broadcast = Lossy::new(lossy::Config { wait, capacity, ..Default::default() }).unwrap();
        let mut publisher = broadcast.publisher().unwrap();
        sends.push(Box::new(move |n| publisher.send(n).unwrap()));
        broadcast.subscriber().unwrap()
    })
}

impl Kind for signal::Waiter<Local> {
    fn value(event: Result<u64, ReceiveError>) -> Option<u64> {
        closed(event)
    }

    async fn next(&mut self) -> Option<u64> {
        closed(self.wait_async().await).map(|()| 1)
    }
}

/// Three signals, raised once for each number.
pub(crate) fn signals(wait: Wait, sends: &mut Vec<Send>) -> [signal::Waiter<Local>; 3] {
    [(); 3].map(|()| {
        let signal = Signal::new(signal::Config { wait, ..Default::default() }).unwrap();
        let raiser = signal.raiser().unwrap();
        sends.push(Box::new(move |_| raiser.raise(1)));
        signal.waiter().unwrap()
    })
}

impl Kind for Server<u32, u32, Local> {
    fn value(event: Result<request::Request<u32, u32, Local>, ReceiveError>) -> Option<u64> {
        closed(event).map(|request| {
            let n = request.message;
            request.reply(n + 1);
            n.into()
        })
    }

    async fn next(&mut self) -> Option<u64> {
        Self::value(self.receive_async().await)
    }
}

/// Three servers, whose clients wait for each reply.
pub(crate) fn servers(wait: Wait, sends: &mut Vec<Send>) -> [Server<u32, u32, Local>; 3] {
    [(); 3].map(|()| {
        let requests = Requests::new(request::Config { wait, ..Default::default() }).unwrap();
        let mut client = requests.client().unwrap();
        sends.push(Box::new(move |n| assert_eq!(client.request(n), Ok(n + 1))));
        requests.server().unwrap()
    })
}
