//! The orders of a book, by their numbers.
//!
//! Open addressing with linear probing; what is taken out is filled up by what comes behind it, so that
//! no marks stay and a table never has to be made anew (D. E. Knuth, "The Art of Computer Programming",
//! volume 3, 6.4, algorithm R). At most half of it is used.

use super::{BookError, CapacityError};
use crate::message::{OrderId, Price, Side};

/// An order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub order: OrderId,
    /// Its limit.
    pub price: Price,
    /// How many are left of it, at least one.
    pub quantity: u32,
    /// What it wants.
    pub side: Side,
}

impl Order {
    pub(super) fn checksum(self) -> u64 {
        let side = if self.side == Side::Bid { 1 } else { 2 };
        let words = [self.order.0, self.price.0.cast_unsigned(), u64::from(self.quantity), side];
        words.into_iter().fold(0, |sum, word| mixed(sum ^ word))
    }
}

/// Each bit in changes about half of those out: the finalizer of Austin Appleby's MurmurHash3.
pub(super) fn mixed(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

#[derive(Clone, Debug)]
pub(super) struct Orders {
    /// A quantity of zero: there is none. A power of two, at least twice as many as orders.
    slots: Box<[Order]>,
    /// What is left of 64 bits for the number of a slot.
    shift: u32,
    len: usize,
    most: usize,
}

impl Orders {
    pub(super) fn new(most: usize) -> Result<Self, CapacityError> {
        if most == 0 {
            return Err(CapacityError::Orders);
        }
        let memory = CapacityError::Memory { orders: most };
        let slots = most.checked_mul(2).and_then(usize::checked_next_power_of_two).ok_or(memory)?;
        let mut table = Vec::new();
        table.try_reserve_exact(slots).map_err(|_| memory)?;
        table.resize(slots, Order::default());
        Ok(Self { slots: table.into(), shift: 64 - slots.trailing_zeros(), len: 0, most })
    }

    /// Where an order belongs. Numbers that follow each other, as those of an exchange do, are spread
    /// evenly.
    #[inline]
    fn home(&self, order: OrderId) -> usize {
        (order.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    #[inline]
    fn behind(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    /// Where an order is, or could be.
    #[inline]
    fn place(&self, order: OrderId) -> Result<usize, usize> {
        let mut place = self.home(order);
        loop {
            let slot = &self.slots[place];
            if slot.quantity == 0 {
                return Err(place);
            }
            if slot.order == order {
                return Ok(place);
            }
            place = self.behind(place);
        }
    }

    #[inline]
    pub(super) fn find(&self, order: OrderId) -> Result<usize, BookError> {
        self.place(order).map_err(|_| BookError::UnknownOrder { order })
    }

    #[inline]
    pub(super) fn at(&self, place: usize) -> Order {
        self.slots[place]
    }

    #[inline]
    pub(super) fn add(&mut self, new: Order) -> Result<(), BookError> {
        let order = new.order;
        let Err(place) = self.place(order) else { return Err(BookError::DoubledOrder { order }) };
        if self.len == self.most {
            return Err(BookError::Full { order, orders: self.most });
        }
        self.slots[place] = new;
        self.len += 1;
        Ok(())
    }

    #[inline]
    pub(super) fn change(&mut self, place: usize, price: Price, quantity: u32) {
        let slot = &mut self.slots[place];
        (slot.price, slot.quantity) = (price, quantity);
    }

    #[inline]
    pub(super) fn remove(&mut self, place: usize) {
        let mask = self.slots.len() - 1;
        let (mut hole, mut at) = (place, self.behind(place));
        while self.slots[at].quantity != 0 {
            let home = self.home(self.slots[at].order);
            // It goes into the hole unless that lies before where it belongs.
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.behind(at);
        }
        self.slots[hole].quantity = 0;
        self.len -= 1;
    }

    pub(super) fn clear(&mut self) {
        self.slots.fill(Order::default());
        self.len = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Order> {
        self.slots.iter().copied().filter(|slot| slot.quantity != 0)
    }
}
