//! Other threads hand the loop work.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{everywhere, small};
use tautline_runtime::{Config, Job, PostError, Runtime, remote};

thread_local!(static SUM: Rc<Cell<u64>> = Rc::default());

/// Posts of several threads all arrive, each thread's in its own order, sleeping or not.
#[test]
fn every_post_arrives_in_order() {
    everywhere(|runtime| {
        let sum = SUM.with(Rc::clone);
        sum.set(0);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let remote = remote().unwrap();
                std::thread::spawn(move || {
                    for n in 0..10_000u64 {
                        let mut job = Job::new(move || SUM.with(|sum| sum.set(sum.get() + n)));
                        while let Err(PostError::Full(back)) = remote.post_job(job) {
                            job = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        runtime.run_until(|| sum.get() == 2 * (9_999 * 10_000 / 2)).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(runtime.metrics().posts, 20_000);
    });
}

/// A full mailbox and a loop that is gone give the message back.
#[test]
fn a_refused_post_comes_back() {
    let runtime = Runtime::new(Config { mailbox: 2, ..small() }).unwrap();
    let remote = runtime.remote();
    assert!(remote.post(|| ()).is_ok() && remote.post(|| ()).is_ok());
    assert!(matches!(remote.post(|| ()), Err(PostError::Full(_))));
    drop(runtime);
}

/// Among many posts the one that took long is named, though those around it share a
/// reading of the clock.
#[test]
fn a_long_post_among_short_ones_is_named() {
    fn short() -> Job {
        Job::new(|| ())
    }
    fn long() -> Job {
        Job::new(|| std::thread::sleep(Duration::from_millis(20)))
    }
    let runtime = Runtime::new(small()).unwrap();
    for at in 0..100 {
        let job = if at == 50 { long() } else { short() };
        assert!(runtime.remote().post_job(job).is_ok());
    }
    assert_eq!(runtime.poll_once().unwrap(), 100);
    let longest = runtime.longest_turn().unwrap();
    assert!(longest.name.contains("::long::"), "{longest:?}");
    assert!(longest.took >= Duration::from_millis(20), "{longest:?}");
}
