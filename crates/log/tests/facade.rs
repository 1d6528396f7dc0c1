//! Lines of the crate `log`.

#![cfg(feature = "log")]

mod common;

use std::thread;

use common::{Keep, turn};
use log::LevelFilter;
use tautline_log::{Config, Filter, Level, Logger, facade};

fn start(keep: &Keep, filter: &str) -> tautline_log::Guard {
    // Only the first of these is taken.
    let _ = facade::install();
    let filter: Filter = filter.parse().unwrap();
    Logger::start(Config { filter, ..keep.config() }).unwrap()
}

/// Lines of `log` arrive with all that is known of them, in order with the macros of this crate.
#[test]
fn lines_arrive_with_all_that_is_known() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = start(&keep, "trace");
    let first = line!() + 1;
    log::error!("{} of {:?}", 1, "a\n");
    log::warn!(target: "elsewhere", "two");
    tautline_log::info!("three");
    log::trace!("four");
    drop(guard);
    let lines = keep.lines();
    let seen: Vec<_> =
        lines.iter().map(|line| (line.level, &*line.target, line.line, &*line.message)).collect();
    let here = "facade";
    assert_eq!(
        seen,
        [
            (Level::Error, here, first, "1 of \"a\\n\""),
            (Level::Warn, "elsewhere", first + 1, "two"),
            (Level::Info, here, first + 2, "three"),
            (Level::Trace, here, first + 3, "four"),
        ]
    );
    assert!(lines[0].file.ends_with("tests/facade.rs") && !lines[0].truncated);
}

/// What is not wanted is not even formatted, and `log` knows the level from the start of a log to
/// its end.
#[test]
fn the_filter_is_that_of_the_log() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = start(&keep, "warn,loud=debug");
    assert_eq!(log::max_level(), LevelFilter::Debug);
    let formatted = |_: u32| -> &str { panic!("formatted, and not wanted") };
    log::trace!("{}", formatted(1));
    struct Unwanted;
    impl std::fmt::Display for Unwanted {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("formatted, and not wanted")
        }
    }
    log::info!("{Unwanted}");
    log::debug!(target: "loud::speaker", "heard");
    assert!(log::log_enabled!(target: "loud", log::Level::Debug));
    assert!(!log::log_enabled!(log::Level::Info));
    drop(guard);
    assert_eq!(log::max_level(), LevelFilter::Off);
    assert!(!log::log_enabled!(log::Level::Error));
    log::error!("nobody is there");
    assert_eq!(keep.messages(), ["heard"]);
}

/// A message that is too long is cut and marked, with the line before it whole; long names leave it
/// room.
#[test]
fn long_messages_are_cut_and_marked() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = start(&keep, "info");
    log::info!(target: &"t".repeat(5_000), "{}", "é".repeat(100_000));
    log::info!("next");
    log::logger().flush();
    assert_eq!(keep.lines().len(), 2, "flushed");
    drop(guard);
    let lines = keep.lines();
    assert!(lines[0].truncated && lines[0].message.len() > 3_000, "{}", lines[0].message.len());
    assert!(lines[0].message.chars().all(|c| c == 'é'));
    assert_eq!((lines[0].target.len(), &*lines[1].message), (200, "next"));
}

/// Lines of many threads all arrive, those of each in order, with the names of their threads.
#[test]
fn threads_keep_their_order() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = start(&keep, "info");
    let write = |name: usize| move || (0..1_000).for_each(|number| log::info!("{name} {number}"));
    let spawn = |name| thread::Builder::new().name(format!("t{name}")).spawn(write(name)).unwrap();
    let threads: Vec<_> = (0..4).map(spawn).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(guard);
    for name in 0..4 {
        let of_thread = keep.lines().into_iter().filter(|line| line.thread == format!("t{name}"));
        let messages: Vec<_> = of_thread.map(|line| line.message).collect();
        let expected: Vec<_> = (0..1_000).map(|number| format!("{name} {number}")).collect();
        assert_eq!(messages, expected);
    }
}
