//! The shape of a broadcast that loses nothing.

use std::fmt;
use std::marker::PhantomData;

use crate::bells::{Bells, Rings};
use crate::broadcast::{Config, Shows};
use crate::object::{Object, Parts, Role};
use crate::ring::fan::{self, Giver, Start, Taker};
use crate::scope::Place;

/// One ring, with a cursor for each subscriber.
pub(crate) struct Fan<T> {
    config: Config,
    messages: PhantomData<fn(T)>,
}

impl<T: 'static> Fan<T> {
    pub(super) fn new(config: Config) -> Self {
        let capacity = config.capacity.next_power_of_two();
        Self { config: Config { capacity, ..config }, messages: PhantomData }
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// The giving end.
    ///
    /// # Safety
    /// The caller has the one publisher's seat, and keeps the object.
    pub(super) unsafe fn giver<S: Shows<T>>(parts: &Parts<Self, S>) -> Giver<T, S> {
        // SAFETY: as promised; the parts neither move nor grow.
        unsafe { Giver::new(&parts.rows, &parts.slots) }
    }

    /// The taking end of that seat.
    ///
    /// # Safety
    /// The caller has the seat, and keeps the object.
    pub(super) unsafe fn taker<S: Shows<T>>(
        parts: &Parts<Self, S>,
        seat: usize,
        start: Start,
    ) -> Taker<T, S> {
        // SAFETY: as promised; the parts neither move nor grow.
        unsafe { Taker::new(&parts.rows, &parts.slots, seat, start) }
    }
}

impl<T: 'static, S: Shows<T>> Object<S> for Fan<T> {
    const KIND: &'static str = "broadcast";
    const USERS: [&'static str; 2] = ["publisher", "subscriber"];
    type Head = Bells<S>;
    type Row = fan::Row<S>;
    type Slot = Place<T>;
    const SLOTS_ARE_BLANK: bool = true;

    fn limits(&self) -> [usize; 2] {
        [1, self.config.subscribers]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        fan::rows(self.config.subscribers)
    }

    fn row(&self, index: usize) -> fan::Row<S> {
        fan::row::<S>(index)
    }

    fn slots(&self) -> usize {
        self.config.capacity
    }

    fn slot(&self, _: usize) -> Place<T> {
        Place::empty()
    }

    fn detached(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        if role == Role::Taker {
            fan::leave::<S>(&parts.rows, seat);
            Self::freed(parts);
        }
    }

    fn died(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        // What a publisher had not published is overwritten by the next.
        self.detached(parts, role, seat);
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }

    fn teardown(&self, parts: &Parts<Self, S>) {
        for position in fan::rest::<S>(&parts.rows, parts.slots.len()) {
            // SAFETY: a message was put there and none in its place since; nobody else is there.
            unsafe { S::discard(&parts.slots[position as usize & (parts.slots.len() - 1)]) };
        }
    }
}

impl<T: 'static, S: Shows<T>> Rings<S> for Fan<T> {}

impl<T> fmt::Debug for Fan<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
