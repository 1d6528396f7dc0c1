//! Faults in user code, and calls from the wrong place.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{REAL, everywhere, small};
use tautline_runtime::{Config, Descriptor, Error, Panics, Runtime, task, timer};

/// A panicking task is delivered by its handle; the loop goes on.
#[test]
fn a_panicking_task_is_delivered() {
    everywhere(|runtime| {
        let message = runtime
            .block_on(async {
                let handle = task::spawn(async { panic!("oh {}", 7) }).unwrap();
                handle.await.map(|()| String::new()).unwrap_err().to_string()
            })
            .unwrap();
        assert_eq!(message, "the task panicked: oh 7");
    });
}

/// A panic in the future of `block_on` comes out of it, and the loop can be run again.
#[test]
fn a_panic_of_the_main_future_comes_out() {
    everywhere(|runtime| {
        let run = || runtime.block_on(async { panic!("oh") }).unwrap();
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"oh"));
        assert_eq!(runtime.block_on(async { 8 }).unwrap(), 8);
    });
}

/// A panicking data handler is caught, its stream closed, and the panic counted.
#[test]
fn a_panicking_handler_loses_its_stream() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let told = Rc::new(Cell::new(false));
        let told_too = told.clone();
        let b = b.on_data(|_, _| -> () { panic!("bad bytes") }).unwrap();
        b.on_close(move |_, result| told_too.set(result.is_err()));
        a.conn().write(b"x").unwrap();
        runtime.run_until(|| told.get()).unwrap();
        runtime.poll().unwrap();
        assert!(!b.is_open());
        assert_eq!(runtime.metrics().panics, 1);
    });
}

/// By option a handler's panic comes out of `run`, and the loop can be run again.
#[test]
fn a_panic_is_raised_by_option() {
    for driver in REAL {
        let runtime = Runtime::new(Config { driver, panics: Panics::Raise, ..small() }).unwrap();
        let beats = Rc::new(Cell::new(0));
        let count = beats.clone();
        timer::every(Duration::from_micros(100), move || {
            count.set(count.get() + 1);
            assert!(count.get() < 3, "third beat");
        })
        .unwrap();
        let error = runtime.run().unwrap_err();
        assert!(
            matches!(&error, Error::Panicked { message, .. } if message == "third beat"),
            "{error}"
        );
        runtime.run_for(Duration::from_millis(2)).unwrap();
        assert_eq!(beats.get(), 3, "a timer whose handler panicked is cancelled");
    }
}

/// Running the loop from inside is an error by name, in every face.
#[test]
fn running_inside_a_turn_is_refused() {
    everywhere(|runtime| {
        let inside = runtime.block_on(async { runtime.run().unwrap_err().to_string() }).unwrap();
        assert!(inside.contains("`run` was called inside a turn"), "{inside}");
        let inside = runtime.block_on(async { runtime.block_on(async {}).is_err() }).unwrap();
        assert!(inside);
    });
}

/// Dropping the runtime cancels what is pending and drops tasks, handlers and buffers.
#[test]
fn dropping_the_runtime_leaks_nothing() {
    for driver in REAL {
        let witness = Rc::new(());
        let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        let (a, b) = Descriptor::pair().unwrap();
        let (c, d) = Descriptor::pair().unwrap();
        let held = witness.clone();
        c.on_data(move |_, _| drop(held.clone())).unwrap();
        let held = witness.clone();
        let reading = task::spawn(async move {
            let _held = held;
            b.read(vec![0; 10]).await.0
        })
        .unwrap();
        let held = witness.clone();
        a.read(vec![0; 10]).then(move |_| drop(held));
        let held = witness.clone();
        timer::after(Duration::from_secs(100), move || drop(held)).unwrap();
        runtime.poll().unwrap();
        assert!(Rc::strong_count(&witness) > 4);
        drop(runtime);
        assert_eq!(Rc::strong_count(&witness), 1);
        assert!(reading.is_finished());
        let error = d.try_read(&mut [0; 1]).unwrap_err();
        assert!(matches!(Error::of(&error), Some(Error::Closed)));
    }
}
