//! The shape of a pool: the cells of all buffers, and a ring of the numbers of those that are free.

use std::fmt;
use std::marker::PhantomData;

use super::{Config, Keeps, Pooled};
use crate::error::CreateError;
use crate::event::Sleeps;
use crate::object::{Object, Parts, Role};
use crate::policy::Full;
use crate::ring::MAX_CAPACITY;
use crate::ring::lot::Lot;
use crate::ring::many::{Ends, Ring, Stamped};
use crate::scope::{InProcess, Place, Scope};
use crate::sync::spin_loop;

/// The shape of it.
#[doc(hidden)]
pub struct Buffers<T: ?Sized> {
    config: Config,
    /// Units of each buffer: bytes, or one.
    size: usize,
    content: PhantomData<fn(&T)>,
}

/// What all users share.
#[doc(hidden)]
pub struct Head<S: Scope> {
    /// Borrowers sleep here until a buffer comes back.
    pub(super) returned: S::Event,
    ends: Ends<S>,
}

/// Bytes of the head before the event.
#[cfg(not(loom))]
pub(crate) const RETURNED_AT: usize = std::mem::offset_of!(Head<crate::shared::Shared>, returned);

impl<S: Scope> fmt::Debug for Head<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head").field("returned", &self.returned).finish_non_exhaustive()
    }
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

    /// The shape of a pool of buffers of that many bytes.
    pub(super) fn of_bytes(config: Config, size: usize) -> Result<Self, CreateError> {
        if size == 0 || size > MAX_CAPACITY {
            let what = "a buffer must have room for 1 to 2^31 bytes: ask for another size";
            return Err(CreateError::Conflict { what });
        }
        Self::new(config, size)
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
    pub(super) fn fill<S: InProcess + Keeps<T>>(
        &self,
        parts: &Parts<Self, S>,
        mut make: impl FnMut(usize) -> T::Cell,
    ) {
        for index in 0..self.config.buffers as u32 {
            for cell in self.cells(parts, index) {
                // SAFETY: nobody else knows of the buffer yet. If `make` panics, what was made of
                // this one leaks.
                unsafe { S::put_cell(cell, make(index as usize)) };
            }
            self.give_back(parts, 0, index);
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

    /// The buffers of which each says who has it, where users may die; as the one in that seat
    /// sees them.
    pub(super) fn lot<'p, S: Keeps<T>>(
        &self,
        parts: &'p Parts<Self, S>,
        seat: usize,
    ) -> Lot<'p, u32, S> {
        debug_assert!(S::MORTAL);
        Lot::new(&parts.rows[..self.config.buffers], seat)
    }

    /// Takes a free buffer out, for the one in that seat, whose its content is until it is given
    /// back. `hint` is the borrower's own.
    #[inline]
    pub(super) fn take_out<S: Keeps<T>>(
        &self,
        parts: &Parts<Self, S>,
        seat: usize,
        hint: &mut usize,
    ) -> Option<u32> {
        if S::MORTAL {
            return self.lot(parts, seat).lend(hint);
        }
        let ring = Self::ring(parts);
        let index = ring.take(ring.claim_to_take(|| ())?).ok()?;
        Some(index)
    }

    /// Puts a buffer back that the one in that seat has taken out, once.
    #[inline]
    pub(super) fn give_back<S: Keeps<T>>(&self, parts: &Parts<Self, S>, seat: usize, index: u32) {
        if S::MORTAL {
            self.lot(parts, seat).free(index);
            return Self::tell(parts);
        }
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
        Self::tell(parts);
    }

    /// Wakes borrowers that wait for a buffer.
    #[inline(always)]
    fn tell<S: Keeps<T>>(parts: &Parts<Self, S>) {
        parts.head.returned.notify(parts.wakers(Role::Taker));
    }

    /// Whether a buffer is free.
    pub(super) fn has_some<S: Keeps<T>>(&self, parts: &Parts<Self, S>) -> bool {
        if S::MORTAL { self.lot(parts, 0).has_some() } else { Self::ring(parts).has_some() }
    }

    /// How many are, at this moment.
    pub(super) fn available<S: Keeps<T>>(&self, parts: &Parts<Self, S>) -> usize {
        if S::MORTAL {
            return self.lot(parts, 0).available();
        }
        parts.head.ends.len(parts.rows.len())
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Object<S> for Buffers<T> {
    const KIND: &'static str = "pool";
    const USERS: [&'static str; 2] = ["", "borrower"];
    type Head = Head<S>;
    type Row = Stamped<u32, S>;
    type Slot = Place<T::Cell>;
    const SLOTS_ARE_BLANK: bool = true;

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

    fn died(&self, parts: &Parts<Self, S>, _: Role, seat: usize) {
        self.lot(parts, seat).clear();
        Self::tell(parts);
    }

    /// All buffers are back, for each that is out keeps the object.
    fn teardown(&self, parts: &Parts<Self, S>) {
        while let Some(index) = self.take_out(parts, 0, &mut 0) {
            for cell in self.cells(parts, index) {
                // SAFETY: the buffer was taken out, so that its content is dropped once.
                unsafe { S::discard_cell(cell) };
            }
        }
    }
}

impl<T: ?Sized> fmt::Debug for Buffers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers").field("config", &self.config).field("size", &self.size).finish()
    }
}
