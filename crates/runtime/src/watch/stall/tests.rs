//! Blocked threads, named while they are blocked.

use std::hint::black_box;
use std::sync::mpsc::{self, Receiver};

use super::*;

const THRESHOLD: Duration = Duration::from_millis(20);

/// Far longer than any report takes: a test that waits in vain fails here.
const PATIENCE: Duration = Duration::from_secs(30);

fn watch() -> (StallWatch, Receiver<Stall>) {
    let (send, receive) = mpsc::channel();
    let watch = StallWatch::start(THRESHOLD, move |stall| drop(send.send(stall.clone())));
    (watch.expect("a watch"), receive)
}

/// Computes until `done`, or until the test has failed anyway.
#[inline(never)]
fn a_handler_that_never_returns(done: &AtomicBool) {
    let began = std::time::Instant::now();
    let mut work = 0u64;
    while !black_box(done.load(Ordering::Acquire)) && began.elapsed() < PATIENCE {
        work = black_box(work.wrapping_mul(3) + 1);
    }
}

/// A handler that spins for ever is named, with its function on the stack, before it
/// ends: only the report ends it.
#[test]
fn an_endless_handler_is_named_while_it_runs() {
    let done = Arc::new(AtomicBool::new(false));
    let (send, receive) = mpsc::channel();
    let ender = Arc::clone(&done);
    let blocked = thread::Builder::new().name("the-loop".into()).spawn(move || {
        let watch = StallWatch::start(THRESHOLD, move |stall| {
            drop(send.send(stall.clone()));
            ender.store(true, Ordering::Release);
        });
        let watch = watch.expect("a watch");
        watch.turn_begin(now());
        watch.dispatch("endless");
        a_handler_that_never_returns(&done);
        assert!(done.load(Ordering::Acquire), "ended by the report, not by patience");
        watch.turn_end();
    });
    let stall = receive.recv_timeout(PATIENCE).expect("a report");
    blocked.expect("a thread").join().expect("no panic");
    assert_eq!((stall.handler, stall.thread.as_str()), (Some("endless"), "the-loop"));
    assert!(stall.blocked >= THRESHOLD);
    assert!(stall.to_string().contains("a_handler_that_never_returns"), "{stall}");
    let first = stall.frames[0].function.clone().unwrap_or_default();
    assert!(
        !first.contains("on_signal") && !first.contains("backtrace"),
        "the handler's own frames are left out: {first}"
    );
}

/// A thread that sleeps in a system call is named as well, and the sleep goes on after.
#[test]
fn a_sleeping_handler_is_named() {
    let (watch, reports) = watch();
    watch.turn_begin(now());
    watch.dispatch("sleeper");
    let stall = reports.recv_timeout(PATIENCE).expect("a report");
    assert_eq!(stall.handler, Some("sleeper"));
    assert!(!stall.frames.is_empty());
}

/// One blocked turn is reported once, however long it lasts; the next one again.
#[test]
fn each_blocked_turn_is_reported_once() {
    let (watch, reports) = watch();
    for name in ["first", "second"] {
        watch.turn_begin(now());
        watch.dispatch(name);
        let stall = reports.recv_timeout(PATIENCE).expect("a report");
        assert_eq!(stall.handler, Some(name));
        assert!(reports.recv_timeout(4 * THRESHOLD).is_err(), "no second report");
        watch.turn_end();
    }
}

/// Neither sleep between turns nor many short turns are reported.
#[test]
fn sleeping_loops_and_short_turns_are_left_alone() {
    let (watch, reports) = watch();
    for _ in 0..4 {
        let began = now();
        while now().saturating_since(began) < 3 * THRESHOLD {
            watch.turn_begin(now());
            watch.dispatch("short");
            watch.turn_end();
        }
        thread::sleep(3 * THRESHOLD);
    }
    drop(watch);
    // The machine itself may hold up a turn now and then; not each time.
    assert!(reports.iter().count() < 4);
}

/// A callback that panics does not end the watch.
#[test]
fn a_panicking_callback_is_survived() {
    let (send, reports) = mpsc::channel();
    let watch = StallWatch::start(THRESHOLD, move |stall| {
        let _ = send.send(stall.handler);
        panic!("the callback panics, as this test wants");
    });
    let watch = watch.expect("a watch");
    for name in ["one", "two"] {
        watch.turn_begin(now());
        watch.dispatch(name);
        assert_eq!(reports.recv_timeout(PATIENCE), Ok(Some(name)));
        watch.turn_end();
    }
}

/// Dropping the watch ends its thread at once, also in the middle of a blocked turn, and
/// another can follow on the same thread.
#[test]
fn watches_can_follow_each_other() {
    for _ in 0..3 {
        let (watch, reports) = watch();
        watch.turn_begin(now());
        drop(watch);
        assert!(reports.iter().count() <= 1, "ends, as the sender is gone with the watch");
    }
    let (watch, reports) = watch();
    watch.turn_begin(now());
    assert_eq!(reports.recv_timeout(PATIENCE).expect("a report").handler, None);
}
