//! Everything is bounded, and a full table has a named answer.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{REAL, everywhere, small};
use tautline_runtime::{Config, Descriptor, DriverChoice, Error, Runtime, task, timer};

/// A ring of four entries carries 1,000 operations: what does not fit waits, in order.
#[test]
fn a_small_ring_carries_many_operations() {
    let config = Config { driver: DriverChoice::Uring, ring_entries: 4, ..small() };
    let runtime = Runtime::new(config).unwrap();
    let pairs: Vec<_> = (0..500).map(|_| Descriptor::pair().unwrap()).collect();
    let done = Rc::new(Cell::new(0));
    for (a, b) in &pairs {
        for stream in [a, b] {
            let done = done.clone();
            stream.read_exact(vec![0; 8]).then(move |(result, _)| {
                result.unwrap();
                done.set(done.get() + 1);
            });
        }
    }
    runtime.poll().unwrap();
    for (a, b) in &pairs {
        a.conn().write(&[1; 8]).unwrap();
        b.conn().write(&[2; 8]).unwrap();
    }
    runtime.run_until(|| done.get() == 1000).unwrap();
    assert!(runtime.metrics().engine.overflowed > 0, "the ring was large enough after all");
}

/// Each table says which one is full and which setting raises it, and takes a newcomer
/// again as soon as there is room.
#[test]
fn full_tables_name_themselves() {
    for driver in REAL {
        let config =
            Config { driver, operations: 8, descriptors: 4, timers: 3, tasks: 2, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let pair = Descriptor::pair().unwrap();
        let _more = Descriptor::pair().unwrap();
        let full = Descriptor::pair().unwrap_err();
        assert!(matches!(
            Error::of(&full),
            Some(Error::Exhausted { what: "descriptor", limit: 4, .. })
        ));

        let timers: Vec<_> =
            (0..3).map(|_| timer::after(Duration::from_secs(9), || ()).unwrap()).collect();
        let full = timer::after(Duration::from_secs(9), || ()).unwrap_err();
        assert!(matches!(full, Error::Exhausted { what: "timer", limit: 3, .. }));
        assert!(timers[0].cancel());
        timer::after(Duration::ZERO, || ()).unwrap();

        let waiting: Vec<_> =
            (0..2).map(|_| task::spawn(std::future::pending::<()>()).unwrap()).collect();
        let full = task::spawn(async {}).unwrap_err();
        assert!(matches!(full, Error::Exhausted { what: "task", limit: 2, .. }));
        waiting[0].abort();
        task::spawn(async {}).unwrap();

        let refused = Rc::new(Cell::new(0));
        for _ in 0..12 {
            let refused = refused.clone();
            pair.0.read(vec![0; 1]).then(move |(result, _)| {
                let error = result.unwrap_err();
                if matches!(Error::of(&error), Some(Error::Exhausted { what: "operation", .. })) {
                    refused.set(refused.get() + 1);
                }
            });
        }
        runtime.poll().unwrap();
        assert_eq!(refused.get(), 4);
    }
}

/// A stream's write limit: the write says how much it took, and the writable handler
/// comes once there is room again.
#[test]
fn a_full_stream_takes_a_part_and_calls_back() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let a = a.on_data(|_, _| ()).unwrap();
        a.set_write_limit(100_000);
        let room = Rc::new(Cell::new(false));
        let told = room.clone();
        a.on_writable(move |_| told.set(true));
        let mut sent = 0;
        loop {
            let n = a.write(&[5; 30_000]).unwrap();
            sent += n;
            runtime.poll().unwrap();
            if n < 30_000 {
                break;
            }
        }
        assert!(!room.get());
        let got = Rc::new(Cell::new(0));
        let count = got.clone();
        b.on_data(move |_, bytes| count.set(count.get() + bytes.len())).unwrap();
        runtime.run_until(|| got.get() == sent).unwrap();
        assert!(room.get());
    });
}

/// Reads that were paused deliver nothing, and everything after they resume.
#[test]
fn a_paused_stream_loses_nothing() {
    everywhere(|runtime| {
        let (a, b) = Descriptor::pair().unwrap();
        let got = Rc::new(Cell::new(0));
        let count = got.clone();
        let b = b.on_data(move |_, bytes| count.set(count.get() + bytes.len())).unwrap();
        for _ in 0..20 {
            a.conn().write(&[1; 1000]).unwrap();
            runtime.poll().unwrap();
            b.pause();
            runtime.poll().unwrap();
            let before = got.get();
            a.conn().write(&[1; 1000]).unwrap();
            runtime.poll().unwrap();
            runtime.poll().unwrap();
            assert_eq!(got.get(), before);
            b.resume().unwrap();
            runtime.poll().unwrap();
        }
        runtime.run_until(|| got.get() == 40_000).unwrap();
    });
}

/// A configuration that no table can be made of is refused by name.
#[test]
fn senseless_sizes_are_refused() {
    let error = Runtime::new(Config { tasks: 0, ..small() }).unwrap_err();
    assert_eq!(error.to_string(), "`Config::tasks` is 0: it must be at least 1");
    let error = Runtime::new(Config { hot: 100, ..small() }).unwrap_err();
    assert!(error.to_string().contains("Config::hot"));
}

/// One runtime a thread, and none where there is none.
#[test]
fn one_runtime_a_thread() {
    assert!(matches!(Descriptor::pair().map_err(|e| Error::of(&e).is_some()), Err(true)));
    let first = Runtime::new(small()).unwrap();
    assert!(matches!(Runtime::new(small()), Err(Error::AlreadyOnThread)));
    drop(first);
    drop(Runtime::new(small()).unwrap());
}
