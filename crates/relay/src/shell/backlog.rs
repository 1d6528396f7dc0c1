//! The packets that wait for one receiver.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::fanout::Fanout;
use super::report::Tally;
use crate::endpoint::Destination as Endpoint;
use crate::pool::Run;
use crate::queue::{Offer, Queue, Wire};

/// A queue and, under the policy `wait`, the packets that did not fit and for which the source
/// stands still.
///
/// Invariant: one that holds packets is counted as stalled.
pub(crate) struct Backlog {
    queue: RefCell<Queue<Run>>,
    /// The packets that did not fit.
    held: RefCell<Option<Run>>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
}

impl Backlog {
    /// An empty one with the bounds and the policy of `to`.
    pub(crate) fn new(to: &Endpoint, fanout: &Rc<Fanout>, tally: &Rc<Tally>) -> Self {
        Self {
            queue: RefCell::new(Queue::new(to.limits, to.policy, to.framing)),
            held: RefCell::new(None),
            fanout: fanout.clone(),
            tally: tally.clone(),
        }
    }

    /// The packets in order, without those that did not fit.
    pub(crate) fn queue(&self) -> RefMut<'_, Queue<Run>> {
        self.queue.borrow_mut()
    }

    /// Packets queued.
    pub(crate) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Whether nothing is queued that could be sent now.
    pub(crate) fn has_none_to_send(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_none_to_send() && self.held.borrow().is_none()
    }

    /// Whether all of `run` fits.
    pub(crate) fn has_room_for(&self, run: &Run) -> bool {
        self.queue.borrow().has_room_for(run)
    }

    /// Takes `run`, or does what the policy says; false if that is to cut the receiver off.
    #[must_use = "the receiver may have to be cut off"]
    pub(crate) fn offer(&self, run: &Run) -> bool {
        let outcome = self.queue.borrow_mut().offer(run.clone());
        self.tally.count_offer(&outcome);
        match outcome {
            Offer::Disconnect(_) => return false,
            Offer::Wait(rest) => self.hold(rest),
            Offer::Queued | Offer::Dropped { .. } => {}
        }
        true
    }

    /// The source waits until the packets fit.
    fn hold(&self, rest: Run) {
        if self.held.replace(Some(rest)).is_none() {
            self.fanout.stall(true);
        }
    }

    /// Queues what did not fit, as far as it fits now: to be called when the queue has moved.
    pub(crate) fn take_back(&self) {
        let Some(held) = self.held.take() else { return };
        let outcome = self.queue.borrow_mut().offer(held);
        self.tally.count_offer(&outcome);
        match outcome {
            Offer::Wait(rest) => drop(self.held.replace(Some(rest))),
            _ => self.fanout.stall(false),
        }
    }

    /// Drops everything; counts it as lost.
    pub(crate) fn clear(&self) {
        let mut lost = self.queue.borrow_mut().clear();
        if let Some(held) = self.held.take() {
            self.fanout.stall(false);
            lost += held.packets();
        }
        self.tally.count_lost(lost);
    }
}
