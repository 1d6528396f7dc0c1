//! What other threads write, the loop sees: with plain memory, so that the thread
//! sanitizer can tell when nothing but luck brought it across.
//!
//! The loop spins: a sleeping one is woken by a descriptor, and what goes through a
//! descriptor orders the threads whether the mailbox does or not.

mod common;

use std::cell::{Cell, UnsafeCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};

use common::{REAL, small};
use tautline_runtime::{Config, Job, PostError, Remote, Runtime, WaitMode, task};

thread_local!(static SUM: Cell<u64> = const { Cell::new(0) });

fn spinning(test: impl Fn(&Runtime)) {
    for driver in REAL {
        let config = Config { driver, wait: WaitMode::Spin, mailbox: 8, ..small() };
        test(&Runtime::new(config).unwrap());
    }
}

type Waking = JoinHandle<(Arc<Parcel>, Waker)>;

/// Memory that one thread writes before it hands it over, and another reads after that.
struct Parcel(UnsafeCell<u64>);

// SAFETY: whoever has been handed it is the only one to touch it. That is what is tested.
unsafe impl Send for Parcel {}
// SAFETY: as above.
unsafe impl Sync for Parcel {}

impl Parcel {
    fn write(&self, content: u64) {
        // SAFETY: not handed over yet.
        unsafe { *self.0.get() = content };
    }

    fn read(&self) -> u64 {
        // SAFETY: handed over: nobody writes any more.
        unsafe { *self.0.get() }
    }
}

fn post_patiently(remote: &Remote, mut job: Job) {
    while let Err(PostError::Full(back)) = remote.post_job(job) {
        job = back;
        thread::yield_now();
    }
}

/// What a thread has written before it posts, the posted job reads on the loop, through
/// a mailbox whose few places are written again and again.
#[test]
fn a_post_brings_what_was_written_before_it() {
    const POSTS: u64 = 2_000;
    spinning(|runtime| {
        SUM.set(0);
        let posting = |remote: Remote| {
            for n in 1..=POSTS {
                let parcel = Arc::new(Parcel(UnsafeCell::new(0)));
                parcel.write(n);
                let job = Job::new(move || SUM.set(SUM.get() + parcel.read()));
                post_patiently(&remote, job);
            }
        };
        let threads = [runtime.remote(), runtime.remote()];
        let threads = threads.map(|remote| thread::spawn(move || posting(remote)));
        runtime.run_until(|| SUM.get() == POSTS * (POSTS + 1)).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Writes into `parcel`, then wakes. What it holds comes back by the joining, for the
/// fence in the drop of the last `Arc` is one thing that the sanitizer does not see.
fn write_and_wake(parcel: Arc<Parcel>, content: u64, waker: Waker) -> Waking {
    thread::spawn(move || {
        parcel.write(content);
        waker.wake_by_ref();
        (parcel, waker)
    })
}

/// A task that another thread wakes sees what that thread has written before, and is
/// polled for nothing else.
#[test]
fn a_woken_task_sees_what_was_written_before_the_wake() {
    const TASKS: u64 = 10;
    const WAKES: u64 = 20;
    async fn woken_again_and_again(own: u64) -> (u64, Vec<Waking>) {
        let (mut sum, mut threads) = (0, Vec::new());
        for n in 0..WAKES {
            let parcel = Arc::new(Parcel(UnsafeCell::new(0)));
            let mut asked = false;
            let content = poll_fn(|cx| {
                if std::mem::replace(&mut asked, true) {
                    return Poll::Ready(parcel.read());
                }
                threads.push(write_and_wake(parcel.clone(), own + n, cx.waker().clone()));
                Poll::Pending
            });
            sum += content.await;
        }
        (sum, threads)
    }
    spinning(|runtime| {
        let (total, done) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        for own in 0..TASKS {
            let (total, done) = (total.clone(), done.clone());
            let task = async move {
                let (sum, threads) = woken_again_and_again(own).await;
                threads.into_iter().for_each(|thread| drop(thread.join().unwrap()));
                total.set(total.get() + sum);
                done.set(done.get() + 1);
            };
            drop(task::spawn(task).unwrap());
        }
        runtime.run_until(|| done.get() == TASKS).unwrap();
        let each = TASKS * (TASKS - 1) / 2 * WAKES;
        assert_eq!(total.get(), each + TASKS * (WAKES * (WAKES - 1) / 2));
    });
}
