//! The shape of a pool: the cells of all buffers, and a ring of the numbers of those that are free.

use std::fmt;
use std::marker::PhantomData;

use super::{Config, Keeps, Pooled};
use crate::error::CreateError;
use crate::event::Sleeps;
use crate::object::{Object, Parts, Role};
use crate::policy::Full;
use crate::ring::MAX_CAPACITY;
use crate::ring::many::{Ends, Ring, Stamped};
use crate::scope::{Place, Scope};
use crate::sync::spin_loop;

/// The shape of it.
pub(crate) struct Buffers<T: ?Sized> {
    config: Config,
    /// Units of each buffer: bytes, or one.
    size: usize,
    content: PhantomData<fn(&T)>,
}

/// What all users share.
pub(crate) struct Head<S: Scope> {
    /// Borrowers sleep here until a buffer comes back.
    pub(super) returned: S::Event,
    ends: Ends<S>,
}

impl<T: Pooled + ?Sized> Buffers<T> {
    pub(super) fn new(config: Config, size: usize) -> Result<Self, CreateError> {
        let (asked, limit) = (config.buffers, MAX_CAPACITY);
        if asked == 0 || asked > limit {
            return Err(CreateError::Capacity { kind: "pool", asked, limit });
        }
        if config.exhausted == Full::Overwrite {
            return Err(CreateError::Conflict {
                what: "a pool cannot take back what is being read: let the borrower wait, or \
                       refuse",
            });
        }
        Ok(Self { config, size, content: PhantomData })
    }

    #[inline(always)]
    pub(super) fn config(&self) -> Config {
        self.config
    }

    /// Units of each buffer.
    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Puts all buffers in, as `make` has their cells.
    pub(super) fn fill<S: Keeps<T>>(
        &self,
        parts: &Parts<Self, S>,
        mut make: impl FnMut(usize) -> T::Cell,
    ) {
        for index in 0..self.config.buffers as u32 {
            for cell in self.cells(parts, index) {
                // SAFETY: nobody else knows of the buffer yet. If `make` panics, what was made of
                // this one leaks.
                unsafe { S::put(cell, make(index as usize)) };
            }
            Self::give_back(parts, index);
        }
    }

    /// The cells of that buffer.
    #[inline(always)]
    pub(super) fn cells<'p, S: Keeps<T>>(
        &self,
        parts: &'p Parts<Self, S>,
        index: u32,
    ) -> &'p [Place<T::Cell>] {
        let count = T::cells(self.size);
        &parts.slots[index as usize * count..][..count]
    }

    /// The free list.
    fn ring<S: Keeps<T>>(parts: &Parts<Self, S>) -> Ring<u32, S> {
        // SAFETY: the parts neither move nor grow, and the ring is used while they are borrowed, by
        // the callers below.
        unsafe { Ring::new(&parts.head.ends, &parts.rows, 0) }
    }

    /// Takes a free buffer out, whose content is the caller's until it is given back.
    #[inline]
    pub(super) fn take_out<S: Keeps<T>>(parts: &Parts<Self, S>) -> Option<u32> {
        let ring = Self::ring(parts);
        let index = ring.take(ring.claim_to_take()?).ok()?;
        Some(index)
    }

    /// Puts a buffer back that was taken out, once.
    #[inline]
    pub(super) fn give_back<S: Keeps<T>>(parts: &Parts<Self, S>, index: u32) {
        let ring = Self::ring(parts);
        loop {
            // There is room for all; but who takes the number that was here a lap ago may still be
            // at it.
            if let Some(claim) = ring.claim_to_give() {
                ring.give(claim, index);
                break;
            }
            spin_loop();
        }
        parts.head.returned.notify(parts.wakers(Role::Taker));
    }

    /// Whether a buffer is free.
    pub(super) fn has_some<S: Keeps<T>>(parts: &Parts<Self, S>) -> bool {
        Self::ring(parts).has_some()
    }

    /// How many are, at this moment.
    pub(super) fn available<S: Keeps<T>>(parts: &Parts<Self, S>) -> usize {
        parts.head.ends.len(parts.rows.len())
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Object<S> for Buffers<T> {
    const KIND: &'static str = "pool";
    const USERS: [&'static str; 2] = ["", "borrower"];
    type Head = Head<S>;
    type Row = Stamped<u32, S>;
    type Slot = Place<T::Cell>;

    fn limits(&self) -> [usize; 2] {
        [0, self.config.borrowers]
    }

    fn head(&self) -> Head<S> {
        Head { returned: S::Event::new(self.config.wait), ends: Ends::new() }
    }

    fn rows(&self) -> usize {
        // The ring needs two slots to tell "taken" from "free for the next".
        self.config.buffers.next_power_of_two().max(2)
    }

    fn row(&self, index: usize) -> Stamped<u32, S> {
        Stamped::new(index)
    }

    fn slots(&self) -> usize {
        self.config.buffers.saturating_mul(T::cells(self.size))
    }

    fn slot(&self, _: usize) -> Place<T::Cell> {
        Place::empty()
    }

    /// All buffers are back, for each that is out keeps the object.
    fn teardown(&self, parts: &Parts<Self, S>) {
        while let Some(index) = Self::take_out(parts) {
            for cell in self.cells(parts, index) {
                // SAFETY: the buffer was taken out, so that its content is dropped once.
                unsafe { S::discard(cell) };
            }
        }
    }
}

impl<T: ?Sized> fmt::Debug for Buffers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("config", &self.config).field("size", &self.size).finish()
    }
}
