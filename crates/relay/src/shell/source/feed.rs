//! The built-in feed, at its stated rate.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::timer::{self, Timer};

use super::Source;
use crate::demo::Feed;
use crate::endpoint::DemoFeed;
use crate::shell::fanout::Fanout;
use crate::stats::EndpointState;

/// Packets made up in one turn at most, so that what is late does not keep the loop.
const BURST: usize = 64;
/// The timer's own period; it is set anew for each packet, so that this is only the longest wait.
const PERIOD: Duration = Duration::from_secs(1);

struct Generator {
    shape: DemoFeed,
    /// `None` before the start.
    feed: RefCell<Option<Feed>>,
    timer: RefCell<Option<Timer>>,
    stopped: Cell<bool>,
    fanout: Rc<Fanout>,
    own: Weak<Self>,
}

pub(super) fn open(shape: DemoFeed, fanout: &Rc<Fanout>) -> Rc<dyn Source> {
    fanout.source().set_state(EndpointState::Open);
    Rc::new_cyclic(|own| Generator {
        shape,
        feed: RefCell::new(None),
        timer: RefCell::new(None),
        stopped: Cell::new(false),
        fanout: fanout.clone(),
        own: own.clone(),
    })
}

impl Generator {
    /// Writes what is due, and sets the timer for the next packet.
    fn generate(&self) {
        if self.stopped.get() {
            return;
        }
        let ready = self.write_due();
        self.fanout.flush();
        if ready {
            self.set_timer();
        } else {
            self.fanout.await_room();
        }
    }

    /// False if there was no room for a packet that was due.
    fn write_due(&self) -> bool {
        let mut feed = self.feed.borrow_mut();
        let Some(feed) = &mut *feed else { return true };
        for _ in 0..BURST {
            let now = crate::shell::clock();
            if !feed.is_due(now) {
                break;
            }
            if !self.fanout.is_ready() {
                return false;
            }
            let size = feed.size();
            let write = |space: &mut [u8]| feed.write(space, now).unwrap_or(0);
            self.fanout.publish_with(size, now, write);
        }
        true
    }

    fn set_timer(&self) {
        let due = self.feed.borrow().as_ref().map_or(0, |feed| feed.next_due().0);
        if let Some(timer) = &*self.timer.borrow() {
            timer.rearm(Instant::from_nanos(due));
        }
    }
}

impl Source for Generator {
    fn start(&self) {
        let Some(own) = self.own.upgrade() else { return };
        self.feed.replace(Some(Feed::new(self.shape, crate::shell::clock())));
        match timer::every(PERIOD, move || own.generate()) {
            Ok(timer) => {
                self.timer.replace(Some(timer));
                self.set_timer();
            }
            Err(error) => self.fanout.ending().fail(self.fanout.source().url(), &error.into()),
        }
    }

    fn resume(&self) {
        self.generate();
    }

    fn stop(&self) {
        self.stopped.set(true);
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }

    fn written(&self) -> Option<u64> {
        Some(self.feed.borrow().as_ref().map_or(0, Feed::written))
    }
}
