//! How users of several processes sleep until something happens, and are woken.
//!
//! As in one process (`event.rs`), with three differences. The sleeper's fence runs in all threads of
//! all processes that have asked for it (`membarrier(2)`, global expedited), which each does when it
//! opens an object; a publisher to which the kernel has refused it has a full fence of its own. And
//! nobody sleeps for longer than [`SLICE`], for the one who would wake it may be killed first. That
//! also bounds what is left: a sleeper to which the kernel has refused the barrier may miss a
//! wake-up of a publisher who trusts in it. Last, in place of a waker, which no other process could
//! call, a task leaves the number of its thread's doorbell (`doorbell.rs`): before its sleep is
//! announced. Who ends the sleep takes the number out and rings, unless somebody before has.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;

use crate::alarm::Alarm;
use crate::event::{Fence, Patience, Sleeps};
use crate::policy::Wait;
use crate::shared::doorbell::{self, SLICE, UNHEARD};
use crate::sync::{self, AtomicU32, AtomicU64, Ordering};
use crate::waker::LocalWaker;

/// Threads whose tasks can wait on one event, each for any number of them, and be rung.
const BELLS: usize = 14;

/// Where numbers find no room, one look in so many puts another out. That one may come again: if each
/// look did, they would never rest.
const TURNS: u64 = 8;

const SPIN: u32 = 0;
const YIELD: u32 = 1;
const PARK: u32 = 2;

/// Users in any process. Words alone: it lies in the segment.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C, align(128))]
pub struct SharedEvent {
    alarm: Alarm<BELLS>,
    /// How users wait; what is unknown counts as [`PARK`].
    wait: AtomicU32,
    /// Nanoseconds.
    spin_for: AtomicU32,
}

const _: () = assert!(size_of::<SharedEvent>() == 128, "one pair of lines");

impl SharedEvent {
    fn wait_mode(&self) -> Wait {
        // Relaxed: written before the segment was handed out.
        match self.wait.load(Ordering::Relaxed) {
            SPIN => Wait::Spin,
            YIELD => Wait::Yield,
            _ => Wait::Park {
                spin_for: Duration::from_nanos(self.spin_for.load(Ordering::Relaxed).into())
                    .min(SLICE),
            },
        }
    }

    /// Says that somebody is about to sleep. Returns what the word is until somebody is woken.
    fn announce(&self) -> u32 {
        let asymmetric = sync::barrier_in_all_processes();
        self.alarm.announce(|| sync::heavy_fence_for_processes(asymmetric))
    }

    /// Leaves the number of a doorbell. Where there is no room for it, one in so many looks puts
    /// another out; whoever is without looks every [`SLICE`].
    fn leave(&self, number: u64) {
        if !self.alarm.leave(number)
            && let Some(turn) = turn()
            && let Some(other) = self.alarm.displace(turn, number)
        {
            doorbell::ring(other);
        }
    }

    /// Sleeps while the word is as announced; `false`: nobody ended it in time.
    fn sleep(&self, announced: u32, limit: Duration) -> bool {
        let limit = futex::Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let slept = futex::wait(self.alarm.word(), futex::Flags::empty(), announced, Some(&limit));
        debug_assert!(matches!(slept, Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)));
        slept != Err(Errno::TIMEDOUT)
    }
}

/// Whose turn it is to be put out: any, but not the same always. `None`: nobody's, this time.
fn turn() -> Option<usize> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: a count, which orders nothing.
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    count.is_multiple_of(TURNS).then_some((count / TURNS) as usize)
}

impl Sleeps for SharedEvent {
    type Waker = LocalWaker;

    fn new(wait: Wait) -> Self {
        let (mode, spin_for) = match wait {
            Wait::Spin => (SPIN, Duration::ZERO),
            Wait::Yield => (YIELD, Duration::ZERO),
            Wait::Park { spin_for } => (PARK, spin_for),
        };
        Self {
            alarm: Alarm::new(),
            wait: AtomicU32::new(mode),
            spin_for: AtomicU32::new(u32::try_from(spin_for.as_nanos()).unwrap_or(u32::MAX)),
        }
    }

    #[inline(always)]
    fn fence(&self) -> Fence {
        // Relaxed: see `wait_mode`.
        if self.wait.load(Ordering::Relaxed) < PARK {
            Fence::NoLook
        } else if sync::barrier_in_all_processes() {
            Fence::Light
        } else {
            Fence::Full
        }
    }

    #[inline(always)]
    fn has_sleeper(&self, fence: Fence) -> bool {
        // Pairs with the fence in `announce`: either the sleeper sees what was published, or this
        // sees that it sleeps.
        fence.stand() && self.alarm.is_slept_on()
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, _: &[LocalWaker]) {
        if self.alarm.end_sleep() {
            // Nothing to be done about a failure: sleepers look again by themselves.
            _ = futex::wake(self.alarm.word(), futex::Flags::empty(), i32::MAX as u32);
            self.alarm.ring_all(doorbell::ring);
        }
    }

    fn wait(&self, deadline: Option<Instant>, ready: impl FnMut() -> bool) -> bool {
        Patience::new(self.wait_mode(), deadline).wait(
            ready,
            || self.announce(),
            |announced, limit| {
                self.sleep(announced, limit.map_or(SLICE, |limit| limit.min(SLICE)));
            },
        )
    }

    /// The waker stays with the doorbell of this thread. Where it has none that would be answered,
    /// or users do not sleep, the task is polled again and again.
    fn poll(
        &self,
        _: &LocalWaker,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if ready() {
            return Poll::Ready(());
        }
        // Relaxed: see `wait_mode`.
        let sleeps = self.wait.load(Ordering::Relaxed) >= PARK;
        let number = if sleeps { doorbell::expect(context.waker()) } else { None };
        let Some(number) = number else {
            context.waker().wake_by_ref();
            return Poll::Pending;
        };
        if number == UNHEARD {
            return Poll::Pending;
        }
        self.leave(number);
        self.announce();
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::{black_box, spin_loop};
    use std::rc::Rc;
    use std::sync::Arc;
    use std::task::{Wake, Waker};
    use std::thread;

    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::ring::Line;
    use crate::shared::doorbell::Doorbell;
    use crate::waker::WakerCell;

    const ROUNDS: u64 = 40_000;

    /// A word that goes up, and where its reader sleeps; each on lines of its own.
    struct Stage {
        word: Line<AtomicU64>,
        event: SharedEvent,
        /// The reader is about to sleep for the so many-th time.
        turn: Line<AtomicU64>,
    }

    impl Stage {
        /// Publishes without any order of its own: the event must bring it.
        fn give(&self, n: u64, fence: Fence) {
            self.word.0.store(n, Ordering::Relaxed);
            if self.event.has_sleeper(fence) {
                self.event.wake(&[]);
            }
        }

        /// Sleeps at once, and far longer than users do, who would look again by themselves.
        fn take(&self, n: u64) {
            let is_there = || self.word.0.load(Ordering::Relaxed) >= n;
            while !is_there() {
                let announced = self.event.announce();
                let woken = is_there() || self.event.sleep(announced, Duration::from_secs(20));
                assert!(woken, "the wake-up for {n} is lost");
            }
        }
    }

    /// Lasts some nanoseconds, from one time to the next others.
    fn dawdle(n: u64, salt: u64) {
        let steps = n.wrapping_add(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
        (0..steps).for_each(|step| _ = black_box(step));
    }

    /// A thread that goes to sleep just when another publishes loses no wake-up: the publisher
    /// without a fence, where the kernel runs the sleeper's in all threads, and the one with.
    #[test]
    fn no_wake_up_is_lost() {
        let event = || SharedEvent::new(Wait::Park { spin_for: Duration::ZERO });
        for fence in [event().fence(), Fence::Full] {
            let [word, turn] = [(); 2].map(|()| Line(AtomicU64::new(0)));
            let stage = Stage { word, event: event(), turn };
            thread::scope(|threads| {
                threads.spawn(|| {
                    for n in 1..=ROUNDS {
                        while stage.turn.0.load(Ordering::Acquire) < n {
                            spin_loop();
                        }
                        dawdle(n, 0);
                        stage.give(n, fence);
                    }
                });
                for n in 1..=ROUNDS {
                    stage.turn.0.store(n, Ordering::Release);
                    dawdle(n, 1 << 32);
                    stage.take(n);
                }
            });
        }
    }

    /// How often a task was woken.
    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody with a doorbell of its own waits on the event, for what never comes.
    fn wait_by(doorbell: &Rc<Doorbell>, event: &SharedEvent) -> Arc<Woken> {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let polled = doorbell.lend(|| event.poll(&LocalWaker::new(), &mut context, || false));
        assert!(polled.is_pending());
        woken
    }

    fn is_rung(doorbell: &Doorbell) -> bool {
        let now = futex::Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(doorbell, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    /// As often as this, one who finds no room has put another out.
    const OFTEN: usize = 32;

    /// As many as there is room for have waited and gone, without anything having come: the next
    /// sleeps, and after some of its looks it is one of those who are rung.
    #[test]
    fn those_who_have_gone_leave_room() {
        let event = SharedEvent::new(Wait::Park { spin_for: Duration::ZERO });
        for _ in 0..BELLS {
            wait_by(&Rc::new(Doorbell::new().unwrap()), &event);
        }
        let doorbell = Rc::new(Doorbell::new().unwrap());
        for _ in 0..OFTEN {
            let woken = wait_by(&doorbell, &event);
            assert_eq!(woken.0.load(Ordering::Relaxed), 0, "it is polled again and again");
        }
        event.wake(&[]);
        assert!(is_rung(&doorbell));
    }

    /// One more waits than there is room for: nobody is forgotten, for who is put out is told; and not
    /// each look puts another out.
    #[test]
    fn who_is_put_out_is_told() {
        let event = SharedEvent::new(Wait::Park { spin_for: Duration::ZERO });
        let bells: Vec<_> = (0..=BELLS).map(|_| Rc::new(Doorbell::new().unwrap())).collect();
        let wait = |doorbell| _ = wait_by(doorbell, &event);
        bells.iter().for_each(wait);
        (0..OFTEN).for_each(|_| wait(&bells[BELLS]));
        let is_put_out: Vec<_> = bells.iter().map(|doorbell| is_rung(doorbell)).collect();
        assert_eq!(is_put_out.iter().filter(|rung| **rung).count(), 1);
        assert!(!is_put_out[BELLS], "not the one who came last");
        event.wake(&[]);
        assert!(bells.iter().all(|doorbell| is_rung(doorbell)));
    }
}
