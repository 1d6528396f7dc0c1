//! The shape of a signal: one word that counts.

use super::Config;
use crate::bells::{Bells, Rings};
use crate::object::{Object, Parts, Role};
use crate::ring::Line;
use crate::scope::{Scope, Word};
use crate::sync::Ordering;

/// The shape of it.
#[derive(Debug)]
pub(crate) struct Count {
    config: Config,
}

impl Count {
    pub(super) fn new(config: Config) -> Self {
        Self { config }
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// Adds to the count, and wakes those who wait.
    #[inline]
    pub(super) fn raise<S: Scope>(parts: &Parts<Self, S>, times: u32) {
        if times == 0 {
            return;
        }
        // Release pairs with the Acquires of those who take: they see what was done before. The
        // count cannot come round: that takes 2^32 of the largest raises, none of them taken.
        parts.rows[0].0.fetch_add(times.into(), Ordering::Release);
        Self::filled(parts);
    }

    /// Takes one off, if there is one.
    #[inline]
    pub(super) fn take<S: Scope>(parts: &Parts<Self, S>) -> bool {
        let count = &parts.rows[0].0;
        // Relaxed: the exchange looks again.
        let mut now = count.load(Ordering::Relaxed);
        while let Some(less) = now.checked_sub(1) {
            // Acquire pairs with the Release in `raise`; those of other raisers before stay in the
            // chain of exchanges.
            match count.compare_exchange(now, less, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Takes all off.
    #[inline]
    pub(super) fn take_all<S: Scope>(parts: &Parts<Self, S>) -> u64 {
        // Acquire pairs with the Release in `raise`.
        parts.rows[0].0.swap(0, Ordering::Acquire)
    }

    /// What it is at this moment.
    pub(super) fn now<S: Scope>(parts: &Parts<Self, S>) -> u64 {
        // Relaxed: who takes looks again.
        parts.rows[0].0.load(Ordering::Relaxed)
    }
}

impl<S: Scope> Object<S> for Count {
    const KIND: &'static str = "signal";
    const USERS: [&'static str; 2] = ["raiser", "waiter"];
    type Head = Bells<S>;
    type Row = Line<S::Word>;
    type Slot = ();

    fn limits(&self) -> [usize; 2] {
        [self.config.raisers, self.config.waiters]
    }

    fn head(&self) -> Bells<S> {
        Bells::new(self.config.wait)
    }

    fn rows(&self) -> usize {
        1
    }

    fn row(&self, _: usize) -> Line<S::Word> {
        Line(S::Word::new(0))
    }

    fn slots(&self) -> usize {
        0
    }

    fn slot(&self, _: usize) {}

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        Self::tell(parts, role);
    }
}

impl<S: Scope> Rings<S> for Count {}
