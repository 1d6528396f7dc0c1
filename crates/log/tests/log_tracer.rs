//! Lines of the crate `log` that come by way of `tracing`.

#![cfg(all(feature = "log", feature = "tracing"))]

mod common;

use common::{Keep, turn};
use tautline_log::{Config, Level, Logger, facade};
use tracing_log::LogTracer;
use tracing_subscriber::layer::SubscriberExt;

/// They have their own target, file and line, are filtered by these, and stand in their spans; also
/// when the log starts only after the subscriber was installed, as `init` does it.
#[test]
fn lines_of_log_keep_what_they_are() {
    let _turn = turn();
    let subscriber = tracing_subscriber::registry().with(tautline_log::tracing::layer());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let hint = tracing::level_filters::LevelFilter::current();
    assert_eq!(hint, tracing::level_filters::LevelFilter::OFF, "no log runs yet");
    LogTracer::builder().with_max_level(log::LevelFilter::Off).init().unwrap();
    let error = facade::install().unwrap_err().to_string();
    assert!(error.contains("do not install") && error.contains("tracing::layer"), "{error}");

    let keep = Keep::default();
    let filter = "warn,lib=debug,log=off".parse().unwrap();
    let guard = Logger::start(Config { filter, ..keep.config() }).unwrap();
    let first = line!() + 1;
    log::debug!(target: "lib::x", "{} of {}", 1, 2);
    log::info!("not wanted");
    tracing::info_span!(target: "lib", "order", id = 17).in_scope(|| log::warn!("within"));
    guard.set_filter(Level::Info.into());
    log::info!("wanted");
    log::debug!(target: "lib", "not wanted");
    drop(guard);
    let lines = keep.lines();
    let seen: Vec<_> =
        lines.iter().map(|line| (line.level, &*line.target, &*line.message)).collect();
    let expected = [
        (Level::Debug, "lib::x", "1 of 2"),
        (Level::Warn, "log_tracer", "order{id=17}: within"),
        (Level::Info, "log_tracer", "wanted"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(lines[0].line, first);
    assert!(lines[0].file.ends_with("tests/log_tracer.rs"), "{}", lines[0].file);
}
