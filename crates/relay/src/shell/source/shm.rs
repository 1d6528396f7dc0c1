//! Messages of a byte channel, which other processes publish.
//!
//! Nothing connects and nothing breaks: the relay has the channel open, publishers find it by its
//! name, and one that dies leaves what it has sent and a seat for the next. What comes back from a
//! relay that was killed in the midst of a message is passed on: rather twice than never.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use tautline_bus::bytes::{Bytes, Message, Receiver};
use tautline_bus::{ReceiveError, Shared};
use tautline_runtime::task;
use tautline_runtime::timer::Timer;

use super::Source;
use crate::endpoint::{ShmChannel, Source as Endpoint};
use crate::shell::fanout::Fanout;
use crate::shell::segments;
use crate::stats::EndpointState;
use crate::units::Nanos;

/// Messages that are passed on in one turn at most.
const BURST: usize = 64;

/// The receiver of a channel.
///
/// Invariant: a task waits for messages, or for `paused` to end, until the receiver is gone.
struct Inlet {
    channel: Bytes<Shared>,
    /// `None` when nothing more is received.
    receiver: RefCell<Option<Receiver<Shared>>>,
    /// Of the task, which is not woken by messages alone.
    waker: RefCell<Option<Waker>>,
    /// Receiving stands still until there is room.
    paused: Cell<bool>,
    /// Looks who is there.
    look: RefCell<Option<Timer>>,
    /// Bytes of the longest packet accepted.
    longest: usize,
    fanout: Rc<Fanout>,
    own: Weak<Self>,
}

/// Opens the channel, and takes its one seat to receive.
pub(super) fn open(
    from: &Endpoint,
    channel: &ShmChannel,
    fanout: &Rc<Fanout>,
) -> io::Result<Rc<dyn Source>> {
    let channel = segments::open(channel)?;
    let receiver = channel.receiver_as(segments::SEAT);
    let receiver = receiver.map_err(|error| {
        segments::taken(&error, "end it, or give each reader a channel of its own to be sent to")
    })?;
    fanout.source().set_state(EndpointState::Open);
    Ok(Rc::new_cyclic(|own| Inlet {
        channel,
        receiver: RefCell::new(Some(receiver)),
        waker: RefCell::new(None),
        paused: Cell::new(false),
        look: RefCell::new(None),
        longest: from.max_packet,
        fanout: fanout.clone(),
        own: own.clone(),
    }))
}

impl Inlet {
    /// Passes on what comes, a burst in a turn.
    async fn receive(self: Rc<Self>) {
        while poll_fn(|context| self.poll_message(context)).await {
            self.pass_on();
            task::yield_now().await;
        }
    }

    /// Ready when there is something to pass on and room for it; or with `false`, at the end.
    fn poll_message(&self, context: &mut Context<'_>) -> Poll<bool> {
        let mut receiver = self.receiver.borrow_mut();
        let Some(receiver) = &mut *receiver else { return Poll::Ready(false) };
        let mut waker = self.waker.borrow_mut();
        waker.get_or_insert_with(|| context.waker().clone()).clone_from(context.waker());
        if self.paused.get() {
            return Poll::Pending;
        }
        receiver.poll_wait(context).map(|()| true)
    }

    /// Passes on a burst; stands still if there is no room for it.
    fn pass_on(&self) {
        let end = self.publish(crate::shell::arrival());
        self.fanout.flush();
        if let Some(why) = end {
            self.end(why);
        }
    }

    /// Publishes message after message; says why none can come any more, if so.
    fn publish(&self, arrival: Nanos) -> Option<ReceiveError> {
        let mut receiver = self.receiver.borrow_mut();
        let receiver = receiver.as_mut()?;
        for _ in 0..BURST {
            if !self.fanout.is_ready() {
                self.paused.set(true);
                self.fanout.await_room();
                break;
            }
            match receiver.take() {
                Ok(message) => self.publish_one(&message, arrival),
                Err(ReceiveError::Empty) => break,
                Err(why) => return Some(why),
            }
        }
        None
    }

    fn publish_one(&self, message: &Message<'_, Shared>, arrival: Nanos) {
        let view = message.view();
        if view.len() > self.longest {
            return self.fanout.source().drop_packets(|drops| drops.too_long += 1);
        }
        self.fanout.publish_with(view.len(), arrival, |room| view.copy_to(room));
    }

    /// Somebody has closed the channel, which ends the relay as the end of a file does; or another
    /// process has written what makes no sense.
    fn end(&self, why: ReceiveError) {
        self.leave();
        let (source, ending) = (self.fanout.source(), self.fanout.ending());
        if why == ReceiveError::Closed {
            source.set_state(EndpointState::Ended);
            return ending.source_ended(self.fanout.is_lossless());
        }
        source.set_state(EndpointState::Failed);
        ending.fail(source.url(), &segments::refused(&why));
    }

    /// Receives no more: what is left is there for the next receiver.
    fn leave(&self) {
        self.receiver.take();
        if let Some(look) = self.look.take() {
            look.cancel();
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn count_publishers(&self) {
        self.fanout.source().set_peers(self.channel.users()[0]);
    }
}

impl Source for Inlet {
    fn start(&self) {
        let Some(own) = self.own.upgrade() else { return };
        let started = segments::attend(&own, Self::count_publishers).and_then(|look| {
            self.look.replace(Some(look));
            Ok(task::spawn(own.receive())?)
        });
        if let Err(error) = started {
            self.fanout.ending().fail(self.fanout.source().url(), &error);
        }
    }

    fn resume(&self) {
        self.paused.set(false);
        self.pass_on();
        self.wake();
    }

    fn stop(&self) {
        self.leave();
    }
}
