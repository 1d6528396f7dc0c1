//! Whoever runs the loop gets it back as soon as what it was run for has happened,
//! whatever part of a turn that happened in.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::everywhere;
use tautline_runtime::{Descriptor, remote, stop, task, timer};

/// A timer, a post, a task and a callback can each be the last thing to happen.
#[test]
fn the_last_thing_to_happen_ends_the_run() {
    everywhere(|runtime| {
        let done = Rc::new(Cell::new(false));
        let told = done.clone();
        timer::after(Duration::from_micros(200), move || told.set(true)).unwrap();
        runtime.run_until(|| done.take()).unwrap();
        let told = done.clone();
        drop(task::spawn(async move { told.set(true) }).unwrap());
        runtime.run_until(|| done.take()).unwrap();
        let (a, b) = Descriptor::pair().unwrap();
        let told = done.clone();
        b.read(vec![0; 1]).then(move |_| told.set(true));
        a.write_all(vec![1]).then(drop);
        runtime.run_until(|| done.take()).unwrap();
        assert_eq!(runtime.metrics().panics, 0);
    });
}

/// `stop` ends the run from a timer and from a post of another thread.
#[test]
fn stop_ends_the_run_from_everywhere() {
    everywhere(|runtime| {
        timer::after(Duration::from_micros(200), || stop().unwrap()).unwrap();
        runtime.run().unwrap();
        let remote = remote().unwrap();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(300));
            remote.post(|| stop().unwrap()).is_ok()
        });
        runtime.run().unwrap();
        assert!(thread.join().unwrap());
    });
}
