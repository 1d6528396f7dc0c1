//! Every message about a fiber calls it by the name that it was given, also one that was put
//! together at run time, and the watch calls the one that has held the loop up.

mod common;

use std::cell::RefCell;
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use common::{REAL, small};
use tautline_runtime::fiber::{self, Builder, Stack};
use tautline_runtime::{Config, Error, OnStall, Panics, Runtime, WaitMode};

/// What was logged in this process.
static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.lock().unwrap_or_else(PoisonError::into_inner).push(record.args().to_string());
    }

    fn flush(&self) {}
}

fn keep_the_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Keeper).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    });
}

/// Lines of the log that hold all of `parts`.
fn logged(parts: &[&str]) -> Vec<String> {
    let lines = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
}

/// A fiber of a name that is put together at run time.
fn named(what: &str) -> Builder {
    Builder::new(Stack::Small).name(format!("{what} {}", black_box(7)))
}

/// A detached fiber's panic, and that of a result which nobody fetches, are logged and raised
/// under the fiber's own name.
#[test]
fn a_logged_panic_tells_the_given_name() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("in its result")
        }
    }
    keep_the_log();
    let runtime = Runtime::new(Config { panics: Panics::Raise, ..small() }).unwrap();
    named("panics").spawn(|| panic!("on purpose")).unwrap().detach();
    runtime.poll().unwrap();
    assert_eq!(logged(&["`panics 7`", "on purpose"]).len(), 1);
    named("yields").spawn(|| Loud).unwrap().detach();
    let error = runtime.poll().unwrap_err();
    assert!(matches!(&error, Error::Panicked { name, .. } if name == "yields 7"), "{error}");
    assert_eq!(logged(&["`yields 7`", "in its result"]).len(), 1);
}

/// A fiber's local values that panic when it ends are told under its name.
#[test]
fn a_locals_panic_tells_the_given_name() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("in a local")
        }
    }
    tautline_runtime::fiber_local! {
        static OWN: RefCell<Option<Loud>> = const { RefCell::new(None) };
    }
    keep_the_log();
    let runtime = Runtime::new(small()).unwrap();
    let work = || OWN.with(|own| drop(own.replace(Some(Loud)))).unwrap();
    named("keeps").spawn(work).unwrap().detach();
    runtime.poll().unwrap();
    assert_eq!(logged(&["`keeps 7`", "in a local"]).len(), 1);
}

/// Captures that panic when they are dropped unbegun are told under the fiber's name.
#[test]
fn unbegun_work_that_panics_tells_the_given_name() {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("in a capture")
        }
    }
    keep_the_log();
    let runtime = Runtime::new(small()).unwrap();
    let loud = Loud;
    let handle = named("never begins").spawn(move || drop(black_box(loud))).unwrap();
    handle.cancel();
    runtime.poll().unwrap();
    assert_eq!(logged(&["`never begins 7`", "in a capture"]).len(), 1);
}

/// Waits that are refused by a panic tell the fiber's name.
#[test]
fn a_refused_wait_tells_the_given_name() {
    let runtime = Runtime::new(small()).unwrap();
    let divided = named("careful").spawn(|| fiber::undivided(fiber::yield_now).unwrap());
    let selfish = named("selfish").spawn(|| {
        let mutex = fiber::Mutex::new(());
        let _held = mutex.lock().unwrap();
        drop(mutex.lock().unwrap());
    });
    let handles = [("`careful 7`", divided.unwrap()), ("`selfish 7`", selfish.unwrap())];
    for (name, handle) in handles {
        let error = runtime.block_on(handle).unwrap().unwrap_err();
        assert!(error.message().is_some_and(|message| message.contains(name)), "{error}");
    }
}

/// A list, and the line on fibers that do not end with their runtime, tell the fiber's name.
#[test]
fn a_list_and_the_runtimes_end_tell_the_given_name() {
    keep_the_log();
    let runtime = Runtime::new(small()).unwrap();
    let stubborn = named("stubborn").spawn(|| {
        loop {
            let _ = catch_unwind(AssertUnwindSafe(fiber::park));
        }
    });
    let _stubborn = stubborn.unwrap();
    runtime.poll().unwrap();
    assert_eq!(fiber::list().unwrap()[0].name, "stubborn 7");
    assert!(fiber::overview().unwrap().contains("#0 stubborn 7 (small stack"));
    drop(runtime);
    assert_eq!(logged(&["do not end", "\"stubborn 7\""]).len(), 1);
}

/// Of two fibers that run behind each other in one turn, the warning afterwards names the one
/// that has held the loop up, as the watch did meanwhile.
#[test]
fn of_several_fibers_the_long_one_is_named() {
    keep_the_log();
    for (driver, names) in REAL.into_iter().zip([["brisk", "slow"], ["swift", "idle hand"]]) {
        let told = Arc::new(AtomicBool::new(false));
        let tell = told.clone();
        let on_stall = Some(OnStall::new(move |_| tell.store(true, Ordering::Release)));
        let stall = Some(Duration::from_millis(20));
        let config = Config { driver, stall, on_stall, wait: WaitMode::Sleep, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let spawn = |at: usize, work: Box<dyn FnOnce()>| {
            Builder::new(Stack::Small).name(names[at]).spawn(work).unwrap().detach();
        };
        spawn(0, Box::new(|| ()));
        spawn(1, Box::new(move || spin_until(&told)));
        spawn(0, Box::new(|| ()));
        runtime.poll().unwrap();
        let warned = logged(&["a turn took", "the longest part"]);
        let named = format!("the longest part of it `{}`", names[1]);
        assert!(warned.iter().any(|line| line.contains(&named)), "{named}: {warned:?}");
    }
}

/// Computes until it is told, or until the test has failed anyway.
fn spin_until(told: &AtomicBool) {
    let began = Instant::now();
    while !told.load(Ordering::Acquire) && began.elapsed() < Duration::from_secs(20) {}
}
