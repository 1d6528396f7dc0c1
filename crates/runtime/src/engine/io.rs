//! The table of descriptors: what the loop knows of each.

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::task::Waker;

use crate::engine::outbox::{Inbox, Outbox};
use crate::engine::outcome::Failure;
use crate::handlers::Handlers;
use crate::slab::Key;
use crate::time::{Instant, TimerKey};

/// Stands for a descriptor that is still to come.
pub(crate) const NO_FD: RawFd = -1;

/// What sort of descriptor it is, which decides how it is driven.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// A connected stream socket.
    Stream,
    /// A socket of messages.
    Datagram,
    /// A listening socket.
    Listener,
    /// Anything else that can be polled: pipe, terminal, eventfd.
    Plain,
    /// A regular file: always ready, read and written at offsets.
    File,
}

impl Class {
    /// Whether `recv` and `send` work on it.
    pub(crate) fn is_socket(self) -> bool {
        matches!(self, Self::Stream | Self::Datagram | Self::Listener)
    }
}

/// What the pump of a descriptor brings to its handlers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Feeding {
    /// Received bytes.
    Bytes,
    /// Accepted connections.
    Connections,
    /// Word that something can be taken.
    Readiness,
}

/// The operations of one direction, first come, first served. Only the first is with
/// the driver.
#[derive(Default, Debug)]
pub(crate) struct Lane {
    pub(crate) head: Option<Key>,
    pub(crate) tail: Option<Key>,
}

impl Lane {
    /// Nothing is pending.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.head.is_none()
    }
}

/// How far the closing of a descriptor has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Closing {
    /// In use.
    No,
    /// What was given for sending is still sent; receiving has ended.
    Draining,
    /// Only the driver's last completions are awaited.
    Ending,
}

/// One descriptor.
pub(crate) struct Io {
    pub(crate) fd: RawFd,
    pub(crate) class: Class,
    pub(crate) read: Lane,
    pub(crate) write: Lane,
    /// Arrived, not taken. While it is not empty no receive is armed, but for a pump that is
    /// being paused, and for one that feeds this and soon ends if nobody takes from it.
    pub(crate) inbox: Inbox,
    /// The place behind all that reads with buffers of their own have taken so far. Only
    /// the order of places means something.
    pub(crate) place: u64,
    /// Pending operations that keep no order: polls and file operations.
    pub(crate) others: Vec<Key>,
    /// Accepted for someone who had gone: the next accept takes them first.
    pub(crate) accepted: VecDeque<RawFd>,
    /// Given to send, not taken by the kernel.
    pub(crate) outbox: Outbox,
    /// The operation that empties the outbox, while the kernel does not take more, and
    /// the outbox position up to which it does.
    pub(crate) flush: Option<Key>,
    /// Persistent handlers.
    pub(crate) handlers: Option<Box<Handlers>>,
    /// The operation that feeds the handlers or the inbox.
    pub(crate) pump: Option<Key>,
    /// The pump is to stand still.
    pub(crate) paused: bool,
    /// The listener waits for a while because descriptors or memory are exhausted.
    pub(crate) resting: bool,
    /// In the list of those whose outbox is to be sent at the end of the turn.
    pub(crate) dirty: bool,
    /// The outbox was above its high mark and not since below its low mark.
    pub(crate) congested: bool,
    /// Waits for a chunk of the pool.
    pub(crate) starved: bool,
    /// Operations on this descriptor that the driver holds; it is closed at zero.
    pub(crate) armed: u32,
    pub(crate) closing: Closing,
    /// Armed while the descriptor is draining.
    pub(crate) linger: Option<TimerKey>,
    /// Receiving is over: `None` inside means the peer's orderly end.
    pub(crate) ended: Option<Option<Failure>>,
    /// Why the connection broke, if the kernel said so to an operation that was given up,
    /// or to a write. It says it once, and from then on gives an end that looks orderly:
    /// the read that meets that end is told this instead.
    pub(crate) unheard: Option<i32>,
    /// Counts what was sent: whether something was since an earlier look.
    pub(crate) sends: u64,
    /// Sending is over.
    pub(crate) broken: Option<Failure>,
    /// The sending side is to be shut down once the outbox is empty.
    pub(crate) shut_write: bool,
    /// The last receive brought less than there was room for: another would block.
    pub(crate) drained: bool,
    /// The turn in which a read with a buffer of its own found that.
    pub(crate) drained_in: Option<Instant>,
    /// The task that waits for the inbox.
    pub(crate) reader: Option<Waker>,
    /// The task that waits for room in the outbox, or for it to be empty.
    pub(crate) writer: Option<Waker>,
    /// Consecutive receives while no other descriptor had any.
    pub(crate) streak: u32,
}

impl Io {
    /// A descriptor with nothing pending.
    pub(crate) fn new(fd: RawFd, class: Class, write_limit: usize) -> Self {
        Self {
            fd,
            class,
            read: Lane::default(),
            write: Lane::default(),
            inbox: Inbox::default(),
            place: 0,
            others: Vec::new(),
            accepted: VecDeque::new(),
            outbox: Outbox::new(write_limit),
            flush: None,
            handlers: None,
            pump: None,
            paused: false,
            resting: false,
            dirty: false,
            congested: false,
            starved: false,
            armed: 0,
            closing: Closing::No,
            linger: None,
            ended: None,
            unheard: None,
            sends: 0,
            broken: None,
            shut_write: false,
            drained: false,
            drained_in: None,
            reader: None,
            writer: None,
            streak: 0,
        }
    }

    /// Whether the pump is not to be armed now.
    pub(crate) fn stands_still(&self) -> bool {
        self.paused || self.resting
    }

    /// How persistent handlers are fed.
    pub(crate) fn feeding(&self) -> Feeding {
        let by_readiness = self.handlers.as_ref().is_some_and(|handlers| handlers.by_readiness);
        match self.class {
            Class::Stream if !by_readiness => Feeding::Bytes,
            Class::Listener if !by_readiness => Feeding::Connections,
            _ => Feeding::Readiness,
        }
    }

    /// Handlers are to be fed.
    pub(crate) fn wants_pump(&self) -> bool {
        self.is_open() && self.handlers.as_ref().is_some_and(|handlers| handlers.wants_pump())
    }

    /// In use, not being closed.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.closing == Closing::No
    }
}
