//! What is armed, and what is known of each descriptor.

use std::os::fd::RawFd;

use super::super::{Interest, Op, Token};

/// No operation.
pub(super) const NONE: u32 = u32::MAX;

/// One direction of a descriptor, packed for the ready queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Side(u32);

impl Side {
    /// The receiving (`Read`) or sending direction of `fd`, which is not negative.
    pub(super) fn new(fd: RawFd, interest: Interest) -> Self {
        Self((fd as u32) << 1 | u32::from(interest == Interest::Write))
    }

    pub(super) fn fd(self) -> RawFd {
        (self.0 >> 1) as RawFd
    }

    pub(super) fn interest(self) -> Interest {
        if self.0 & 1 == 0 { Interest::Read } else { Interest::Write }
    }
}

/// How a descriptor stands with epoll.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Registration {
    /// Not registered: nothing on it has had to wait yet.
    None,
    /// Registered for both directions.
    Epoll,
    /// Refused by epoll (`EPERM`): a regular file, which is always ready.
    Always,
}

/// What is known of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideState {
    /// An attempt may succeed. Set by events, cleared by attempts alone, so that an
    /// edge taken from epoll before an operation is armed is not lost to it.
    pub(super) ready: bool,
    /// It stands in the ready queue, once.
    pub(super) queued: bool,
    /// First and last armed operation, oldest first; [`NONE`] when there is none.
    head: u32,
    tail: u32,
}

/// What is known of one descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) registration: Registration,
    /// A read that brings less than asked has emptied the socket: true of TCP as long
    /// as neither an end, an error nor urgent data was reported.
    pub(super) short_empties: bool,
    pub(super) read: SideState,
    pub(super) write: SideState,
}

const IDLE: SideState = SideState { ready: true, queued: false, head: NONE, tail: NONE };

impl Descriptor {
    /// One that nothing is known of: everything is worth an attempt.
    pub(super) const NEW: Self =
        Self { registration: Registration::None, short_empties: false, read: IDLE, write: IDLE };

    pub(super) fn side_mut(&mut self, interest: Interest) -> &mut SideState {
        match interest {
            Interest::Read => &mut self.read,
            Interest::Write => &mut self.write,
        }
    }

    /// Another file has the number now. The lists and the places in the ready queue
    /// stay: both may be walked later.
    pub(super) fn renew(&mut self, short_empties: bool) {
        debug_assert!(self.read.is_idle() && self.write.is_idle(), "closed while armed");
        self.registration = Registration::None;
        self.short_empties = short_empties;
        self.read.ready = true;
        self.write.ready = true;
    }
}

impl SideState {
    pub(super) fn is_idle(&self) -> bool {
        self.head == NONE
    }

    pub(super) fn first(&self) -> u32 {
        self.head
    }
}

/// An armed operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Armed {
    pub(super) token: Token,
    pub(super) op: Op,
    /// `PollMulti` only: an edge came that no completion has told of.
    pub(super) edge: bool,
    previous: u32,
    pub(super) next: u32,
}

/// The armed operations, by token index, linked per side.
#[derive(Debug)]
pub(super) struct Operations {
    /// Grows to the highest index used, within the capacity reserved at start.
    slots: Vec<Option<Armed>>,
}

impl Operations {
    /// Room for tokens of indices below `count`.
    pub(super) fn new(count: u32) -> Self {
        Self { slots: Vec::with_capacity(count as usize) }
    }

    /// Puts `op` at the end of its side's list.
    pub(super) fn arm(&mut self, side: &mut SideState, token: Token, op: Op) {
        let index = token.index();
        if index as usize >= self.slots.len() {
            self.slots.resize(index as usize + 1, None);
        }
        debug_assert!(self.slots[index as usize].is_none(), "{token:?} is armed already");
        let edge = matches!(op, Op::PollMulti { .. });
        let previous = side.tail;
        self.slots[index as usize] = Some(Armed { token, op, edge, previous, next: NONE });
        match self.get_mut(previous) {
            Some(armed) => armed.next = index,
            None => side.head = index,
        }
        side.tail = index;
    }

    /// Takes operation `index` out of its side's list.
    pub(super) fn disarm(&mut self, side: &mut SideState, index: u32) -> Option<Armed> {
        let armed = self.slots.get_mut(index as usize)?.take()?;
        match self.get_mut(armed.previous) {
            Some(previous) => previous.next = armed.next,
            None => side.head = armed.next,
        }
        match self.get_mut(armed.next) {
            Some(next) => next.previous = armed.previous,
            None => side.tail = armed.previous,
        }
        Some(armed)
    }

    /// Operation `index`, if it is armed.
    pub(super) fn get(&self, index: u32) -> Option<&Armed> {
        self.slots.get(index as usize)?.as_ref()
    }

    /// Operation `index`, if it is armed.
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Armed> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// The operation under `token`, if it is armed.
    pub(super) fn find(&self, token: Token) -> Option<&Armed> {
        self.get(token.index()).filter(|armed| armed.token == token)
    }
}
