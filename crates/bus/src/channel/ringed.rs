//! A channel of one ring that all senders and all receivers share.

use std::fmt;
use std::marker::PhantomData;

use crate::bells::{Bells, Rings};
use crate::channel::{Config, Orphans};
use crate::object::{Object, Parts, Role};
use crate::ring::many::{Ends, Ring, Stamped};
use crate::scope::Carries;

/// The shape of it.
pub(crate) struct Ringed<T> {
    config: Config,
    messages: PhantomData<fn(T)>,
}

impl<T: 'static> Ringed<T> {
    pub(super) fn new(config: Config) -> Self {
        // The ring needs two slots to tell "taken" from "free for the next".
        let capacity = config.capacity.next_power_of_two().max(2);
        Self { config: Config { capacity, ..config }, messages: PhantomData }
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// The ring, as the user in that seat sees it. Slots know their users by one number: the
    /// receivers' first, for a sender that overwrites takes messages too.
    ///
    /// # Safety
    /// The caller keeps the object for as long as it uses the ring.
    pub(super) unsafe fn ring<S: Carries<T>>(
        &self,
        parts: &Parts<Self, S>,
        role: Role,
        seat: usize,
    ) -> Ring<T, S> {
        let user = match role {
            Role::Taker => seat,
            Role::Giver => self.config.receivers + seat,
        };
        // SAFETY: as promised; the parts neither move nor grow.
        unsafe { Ring::new(&parts.rows[0], &parts.slots, user) }
    }
}

impl<T: 'static, S: Carries<T>> Object<S> for Ringed<T> {
    const KIND: &'static str = "channel";
    const USERS: [&'static str; 2] = ["sender", "receiver"];
    type Head = Bells<S>;
    type Row = Ends<S>;
    type Slot = Stamped<T, S>;

    fn limits(&self) -> [usize; 2] {
        [self.config.senders, self.config.receivers]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        1
    }

    fn row(&self, _: usize) -> Ends<S> {
        Ends::new()
    }

    fn slots(&self) -> usize {
        self.config.capacity
    }

    fn slot(&self, index: usize) -> Stamped<T, S> {
        Stamped::new(index)
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }

    fn died(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        // SAFETY: the parts are there for as long as this runs.
        let ring = unsafe { self.ring(parts, role, seat) };
        let given_up = ring.clear(role == Role::Taker && self.config.orphans == Orphans::Redeliver);
        let wakers = [Role::Giver, Role::Taker].map(|role| parts.wakers(role));
        parts.head.put_in_order(role, given_up, wakers);
    }

    fn teardown(&self, parts: &Parts<Self, S>) {
        // SAFETY: the parts are there for as long as this runs.
        let ring = unsafe { self.ring(parts, Role::Taker, 0) };
        while let Some(claim) = ring.claim_to_take(|| ()) {
            ring.skip(claim);
        }
    }
}

impl<T: 'static, S: Carries<T>> Rings<S> for Ringed<T> {}

impl<T> fmt::Debug for Ringed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}
