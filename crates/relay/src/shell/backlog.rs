//! The packets that wait for one receiver.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::fanout::Fanout;
use super::report::Tally;
use crate::endpoint::Destination as Endpoint;
use crate::pool::Packet;
use crate::queue::{Offer, Queue};

/// A queue and, under the policy `wait`, the packet that did not fit and for which the source
/// stands still.
///
/// Invariant: one that holds a packet is counted as stalled.
pub(super) struct Backlog {
    queue: RefCell<Queue<Packet>>,
    /// The packet that did not fit.
    held: RefCell<Option<Packet>>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
}

impl Backlog {
    /// An empty one with the bounds and the policy of `to`.
    pub(super) fn new(to: &Endpoint, fanout: &Rc<Fanout>, tally: &Rc<Tally>) -> Self {
        Self {
            queue: RefCell::new(Queue::new(to.limits, to.policy, to.framing)),
            held: RefCell::new(None),
            fanout: fanout.clone(),
            tally: tally.clone(),
        }
    }

    /// The packets in order, without the one that did not fit.
    pub(super) fn queue(&self) -> RefMut<'_, Queue<Packet>> {
        self.queue.borrow_mut()
    }

    /// Packets queued.
    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Whether nothing is queued that could be sent now.
    pub(super) fn has_none_to_send(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.has_none_to_send() && self.held.borrow().is_none()
    }

    /// Whether `packet` fits.
    pub(super) fn has_room_for(&self, packet: &Packet) -> bool {
        self.queue.borrow().has_room_for(packet)
    }

    /// Takes `packet`, or does what the policy says; false if that is to cut the receiver off.
    #[must_use = "the receiver may have to be cut off"]
    pub(super) fn offer(&self, packet: &Packet) -> bool {
        let outcome = self.queue.borrow_mut().offer(packet.clone());
        self.tally.count_offer(&outcome);
        match outcome {
            Offer::Disconnect => return false,
            Offer::Wait(packet) => self.hold(packet),
            Offer::Queued | Offer::DroppedOld(_) | Offer::DroppedNew => {}
        }
        true
    }

    /// The source waits until the packet fits.
    fn hold(&self, packet: Packet) {
        if self.held.replace(Some(packet)).is_none() {
            self.fanout.stall(true);
        }
    }

    /// Queues the packet that did not fit, if it fits now: to be called when the queue has moved.
    pub(super) fn take_back(&self) {
        let Some(packet) = self.held.take() else { return };
        if self.has_room_for(&packet) {
            let outcome = self.queue.borrow_mut().offer(packet);
            self.tally.count_offer(&outcome);
            self.fanout.stall(false);
        } else {
            self.held.replace(Some(packet));
        }
    }

    /// Drops everything; counts it as lost.
    pub(super) fn clear(&self) {
        let mut lost = self.queue.borrow_mut().clear();
        if self.held.take().is_some() {
            self.fanout.stall(false);
            lost += 1;
        }
        self.tally.count_lost(lost);
    }
}
