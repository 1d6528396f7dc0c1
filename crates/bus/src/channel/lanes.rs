//! A channel of lanes: one for each sender, all of one receiver.

use std::fmt;
use std::marker::PhantomData;

use crate::bells::{Bells, Rings};
use crate::channel::Config;
use crate::object::{Object, Parts, Role};
use crate::ring::lane::{Giver, Lane, Taker};
use crate::scope::{Carries, Place};

/// The shape of it.
pub(crate) struct Lanes<T> {
    config: Config,
    messages: PhantomData<fn(T)>,
}

impl<T: 'static> Lanes<T> {
    pub(super) fn new(config: Config) -> Self {
        let capacity = config.capacity.next_power_of_two();
        Self { config: Config { capacity, ..config }, messages: PhantomData }
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// The giving end of the lane of that seat.
    ///
    /// # Safety
    /// The caller has the seat, and keeps the object.
    pub(super) unsafe fn giver<S: Carries<T>>(
        &self,
        parts: &Parts<Self, S>,
        seat: usize,
    ) -> Giver<T, S> {
        // SAFETY: as promised; the parts neither move nor grow.
        unsafe { Giver::new(&parts.rows[seat], self.slots_of(&parts.slots, seat)) }
    }

    /// The taking end of the lane of that sender's seat.
    ///
    /// # Safety
    /// The caller has the one receiver's seat, or nobody else is there; and keeps the object.
    pub(super) unsafe fn taker<S: Carries<T>>(
        &self,
        parts: &Parts<Self, S>,
        seat: usize,
    ) -> Taker<T, S> {
        // SAFETY: as promised; the parts neither move nor grow.
        unsafe { Taker::new(&parts.rows[seat], self.slots_of(&parts.slots, seat)) }
    }

    fn slots_of<'p>(&self, slots: &'p [Place<T>], seat: usize) -> &'p [Place<T>] {
        &slots[seat * self.config.capacity..][..self.config.capacity]
    }
}

impl<T: 'static, S: Carries<T>> Object<S> for Lanes<T> {
    const KIND: &'static str = "channel";
    const USERS: [&'static str; 2] = ["sender", "receiver"];
    type Head = Bells<S>;
    type Row = Lane<S>;
    type Slot = Place<T>;
    const SLOTS_ARE_BLANK: bool = true;

    fn limits(&self) -> [usize; 2] {
        [self.config.senders, self.config.receivers]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        self.config.senders
    }

    fn row(&self, _: usize) -> Lane<S> {
        Lane::new()
    }

    fn slots(&self) -> usize {
        self.config.senders.saturating_mul(self.config.capacity)
    }

    fn slot(&self, _: usize) -> Place<T> {
        Place::empty()
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }

    fn teardown(&self, parts: &Parts<Self, S>) {
        for seat in 0..parts.rows.len() {
            // SAFETY: nobody else has a handle or is attached.
            let mut rest = unsafe { self.taker(parts, seat) };
            while rest.look() == Ok(true) {
                rest.skip();
            }
        }
    }
}

impl<T: 'static, S: Carries<T>> Rings<S> for Lanes<T> {}

impl<T> fmt::Debug for Lanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
