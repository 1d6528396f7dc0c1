//! A turn that does not end is named, with the function that keeps it, while it lasts:
//! in every face, on both real drivers.

mod common;

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use common::{REAL, small};
use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::watch::Stall;
use tautline_runtime::{Config, Descriptor, OnStall, Runtime, WaitMode, remote, task, timer};

/// Far longer than any report takes: what waits in vain for one ends here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Set by the report, so that only being named ends the turn.
type Named = Arc<AtomicBool>;

/// Keeps the turn from ending until it is named.
#[inline(never)]
fn spin(named: &Named) {
    let began = Instant::now();
    while !black_box(named.load(Ordering::Acquire)) && began.elapsed() < PATIENCE {}
}

/// Functions of different names that keep the turn.
macro_rules! endless {
    ($($name:ident)*) => {$(
        #[inline(never)]
        fn $name(named: &Named) {
            spin(named);
            // So that the call above is not the last thing here, and keeps its frame.
            black_box(stringify!($name));
        }
    )*};
}

endless! { in_a_data_handler in_a_timer in_a_task in_a_post in_a_callback in_the_main_future in_a_fiber }

/// Runs what `start` starts until it is named, and holds the report to `function`.
fn is_named(function: &str, start: impl Fn(&Runtime, Named)) {
    // One at a time: two loops that spin would keep the watcher from its core.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for driver in REAL {
        let named = Named::default();
        let (tell, told) = mpsc::channel();
        let (tell, seen) = (Mutex::new(tell), named.clone());
        let on_stall = OnStall::new(move |stall: &Stall| {
            drop(tell.lock().unwrap().send(stall.clone()));
            seen.store(true, Ordering::Release);
        });
        let stall = Some(Duration::from_millis(20));
        let config =
            Config { driver, stall, on_stall: Some(on_stall), wait: WaitMode::Sleep, ..small() };
        let runtime = Runtime::new(config).unwrap();
        start(&runtime, named.clone());
        let until = Instant::now() + PATIENCE;
        runtime.run_until(|| named.load(Ordering::Acquire) || Instant::now() > until).unwrap();
        let stall = told.try_recv().expect("a report before the turn ended");
        assert!(stall.to_string().contains(function), "{stall}");
        assert!(stall.handler.is_some_and(|handler| handler.contains("stall::")), "{stall}");
    }
}

/// A data handler that does not return is named.
#[test]
fn an_endless_data_handler_is_named() {
    is_named("in_a_data_handler", |_, named| {
        let (a, b) = Descriptor::pair().unwrap();
        b.on_data(move |_, _| in_a_data_handler(&named)).unwrap();
        a.into_conn().write(b"go").unwrap();
    });
}

/// A timer's handler that does not return is named.
#[test]
fn an_endless_timer_is_named() {
    is_named("in_a_timer", |_, named| {
        timer::after(Duration::from_millis(1), move || in_a_timer(&named)).unwrap();
    });
}

/// A task that does not yield is named.
#[test]
fn an_endless_task_is_named() {
    is_named("in_a_task", |_, named| {
        drop(task::spawn(async move { in_a_task(&named) }).unwrap());
    });
}

/// The future of `block_on` that does not yield is named.
#[test]
fn an_endless_main_future_is_named() {
    is_named("in_the_main_future", |runtime, named| {
        runtime.block_on(async move { in_the_main_future(&named) }).unwrap();
    });
}

/// A post that does not return is named.
#[test]
fn an_endless_post_is_named() {
    is_named("in_a_post", |_, named| {
        assert!(remote().unwrap().post(move || in_a_post(&named)).is_ok());
    });
}

/// A one-shot callback that does not return is named.
#[test]
fn an_endless_callback_is_named() {
    is_named("in_a_callback", |_, named| {
        let (a, b) = Descriptor::pair().unwrap();
        b.read(vec![0; 8]).then(move |_| in_a_callback(&named));
        b.into_conn();
        a.into_conn().write(b"go").unwrap();
    });
}

/// A fiber that does not wait is named, with the functions on its own stack.
#[test]
fn an_endless_fiber_is_named() {
    is_named("in_a_fiber", |_, named| {
        fiber::spawn(Stack::Small, move || {
            fiber::yield_now().unwrap();
            in_a_fiber(&named);
        })
        .unwrap()
        .detach();
    });
}
