//! What a call of a macro becomes: the text that `format!` makes, with what is known of the call.

mod common;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Keep, turn};
use tautline_log::{Config, Filter, Level, Logger, debug, error, flush, info, log, trace, warn};

/// Compares what was logged with what `format!` makes of the same arguments.
macro_rules! same {
    ($($arguments:tt)+) => {{
        info!($($arguments)+);
        format!($($arguments)+)
    }};
}

struct Shown(u32);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("<{}>", self.0))
    }
}

/// Numbers, texts and other values are written as `format!` writes them, in every way.
#[test]
fn lines_read_as_format_writes_them() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    let (x, name, width, prec) = (-17_i32, "näme", 9, 2);
    let mut own = String::from("own");
    let text: Cow<'_, str> = "cow".into();
    let shared: Arc<str> = "arc".into();
    let expected = vec![
        same!("plain, {{braces}}"),
        same!("{} {} {} {}", 1_u8, 2_u16, 3_u32, u64::MAX),
        same!("{} {} {} {}", -1_i8, -2_i16, -3_i32, i64::MIN),
        same!("{} {} {} {}", u128::MAX, i128::MIN, usize::MAX, isize::MIN),
        same!("{} {} {:?} {:e} {:.3}", 1.5_f32, -0.1_f64, 1.0_f64, 1234.5_f64, 2.0_f32 / 3.0),
        same!("{} {:?} {} {:?}", true, false, 'ß', '\n'),
        same!("{} {own} {text} {shared} {:?}", "a", "quoted \"\n"),
        same!("{x:x} {x:#b} {x:o} {:X} {:#x?} {:02x?}", -1_i8, 255_u8, [1, 2]),
        same!("{x:>+6} {x:08.3} {name:^10} {name:*<7.2}|", x = x, name = name),
        same!("{x:width$} {name:>0$.prec$} {:.*} {0}", 3, 4.56789, width = width),
        same!("{:>w$} {:?} {:>8}", Shown(7), Some(Shown(8)).map(|s| s.0), Shown(9), w = 6),
        same!("{0} {1} {0:?}", "twice", 2),
        same!("{:?} {:?}", vec!["a"], Some(1.5)),
        same!("{} {}", &&x, &mut own),
        same!("{:5}|{:<5}|{:^5}|", true, 'x', 1),
    ];
    drop(guard);
    assert_eq!(keep.messages(), expected);
}

/// What is named by a word of the language is found, as `format!` finds it: the object of a method, and
/// variables and arguments with raw names.
#[test]
fn words_of_the_language_are_names() {
    struct Order(u8);
    impl fmt::Display for Order {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "order {}", self.0)
        }
    }
    impl Order {
        fn tell(&self) -> Vec<String> {
            let (r#type, r#plain) = ("limit", 2);
            vec![
                same!("{self} {self:?}", self = self.0),
                same!("{self}: {type:>7} {plain} {plain:type$}", type = 5),
                same!("{self:>10} {type} {match}", r#match = 3),
                same!("{type:in$.try$}", r#in = 9, r#try = 3),
            ]
        }
    }
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    let expected = Order(7).tell();
    drop(guard);
    assert_eq!(keep.messages(), expected);
    assert_eq!(keep.lines()[2].fields[0], "self=Text(\"order 7\")");
}

/// A value that refuses to be formatted shows as far as it got, the line is marked, and all other
/// values are whole.
#[test]
fn a_value_that_refuses_costs_no_other() {
    struct Refuses;
    impl fmt::Display for Refuses {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("half")?;
            Err(fmt::Error)
        }
    }
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    info!("{} {} {} {}", Refuses, "after", Shown(1), 2.5);
    info!("{}", Shown(2));
    drop(guard);
    assert_eq!(keep.messages(), ["half after <1> 2.5", "<2>"]);
    assert_eq!(keep.lines().iter().map(|line| line.truncated).collect::<Vec<_>>(), [true, false]);
}

/// A line says when, how much it matters, what it is about, from where, and its named arguments.
#[test]
fn a_line_says_where_it_is_from() {
    let _turn = turn();
    let keep = Keep::default();
    let config = Config { filter: Level::Trace.into(), ..keep.config() };
    let guard = Logger::start(config).unwrap();
    let before = now();
    let (id, price) = (17, 2.5);
    std::thread::Builder::new()
        .name("worker".to_owned())
        .spawn(move || {
            error!("{id} {price} {id:x} {other}", other = "o");
            warn!(target: "elsewhere", "w");
            info!("i");
            debug!("d");
            trace!("t",);
            log!(Level::Warn, "{}", 1);
            log!(target: "there", Level::Error, "{}", 2);
        })
        .unwrap()
        .join()
        .unwrap();
    drop(guard);
    let lines = keep.lines();
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    use Level::{Debug, Error, Info, Trace, Warn};
    assert_eq!(levels, [Error, Warn, Info, Debug, Trace, Warn, Error]);
    let first = &lines[0];
    assert_eq!((&*first.target, &*first.thread), ("lines", "worker"));
    assert!(first.file.ends_with("lines.rs") && first.line > 50, "{first:?}");
    assert_eq!(first.fields, ["id=I64(17)", "price=F64(2.5)", "other=Str(\"o\")"]);
    assert_eq!((&*lines[1].target, &*lines[6].target), ("elsewhere", "there"));
    assert!(lines.is_sorted_by_key(|line| line.time));
    let range = before - 1_000_000..now() + 1_000_000;
    assert!(lines.iter().all(|line| range.contains(&line.time)), "{range:?} {lines:?}");
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Arguments of lines that nobody wants are not evaluated where the level says so, and the filter
/// decides by target for the rest.
#[test]
fn unwanted_lines_cost_nothing() {
    let _turn = turn();
    let keep = Keep::default();
    let filter: Filter = "warn,loud=debug".parse().unwrap();
    let guard = Logger::start(Config { filter, ..keep.config() }).unwrap();
    let evaluated = || -> u32 { panic!("it is evaluated") };
    for _ in 0..2 {
        trace!("{}", evaluated());
        info!("quiet");
        debug!(target: "loud::inner", "loud");
        warn!("warned");
    }
    drop(guard);
    assert_eq!(keep.messages(), ["loud", "warned", "loud", "warned"]);
}

/// Another log has another filter, also for calls that were made before.
#[test]
fn each_log_has_its_filter() {
    let _turn = turn();
    let mut seen = Vec::new();
    for filter in ["info", "warn", "off", "debug"] {
        let keep = Keep::default();
        let filter = filter.parse().unwrap();
        let guard = Logger::start(Config { filter, ..keep.config() }).unwrap();
        for level in 0..3 {
            match level {
                0 => debug!("debug"),
                1 => info!("info"),
                _ => warn!("warn"),
            }
        }
        drop(guard);
        seen.push(keep.messages().join(" "));
    }
    assert_eq!(seen, ["info warn", "warn", "", "debug info warn"]);
}

/// What is too long is cut between characters and marked; the line after it is whole.
#[test]
fn long_lines_are_cut_and_marked() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(Config { longest: 1024, ..keep.config() }).unwrap();
    let long = "ä".repeat(2000);
    info!("{} {} {}", 1, long, "after");
    info!("{}", format_args!("{long}"));
    info!("{} {:?} {}", "short", Some(&long), 7);
    info!("{}", "whole");
    drop(guard);
    let lines = keep.lines();
    let cut: Vec<_> = lines.iter().map(|line| line.truncated).collect();
    assert_eq!(cut, [true, true, true, false]);
    assert!(lines[0].message.starts_with("1 ää") && lines[0].message.len() > 900);
    assert!(lines[1].message.chars().all(|c| c == 'ä') && lines[1].message.len() > 900);
    assert!(lines[2].message.starts_with("short Some(\"ää") && lines[2].message.ends_with(" 7"));
    assert_eq!(lines[3].message, "whole");
}

/// After a flush all lines of this thread are there, again and again.
#[test]
fn a_flush_waits_for_the_sinks() {
    let _turn = turn();
    let keep = Keep::default();
    let _guard = Logger::start(keep.config()).unwrap();
    for n in 0..20 {
        info!("{n}");
        flush().unwrap();
        assert_eq!(keep.lines().len(), n + 1);
    }
}

/// Another filter is that of lines from then on, also of calls that were met before.
#[test]
fn the_filter_can_be_changed() {
    let _turn = turn();
    let keep = Keep::default();
    let guard = Logger::start(keep.config()).unwrap();
    let write = |n: u32| {
        debug!("debug {n}");
        info!("info {n}");
        debug!(target: "orders", "order {n}");
    };
    write(1);
    for (filter, n) in [("debug", 2), ("error,orders=debug", 3), ("off", 4), ("info", 5)] {
        guard.set_filter(filter.parse().unwrap());
        std::thread::spawn(move || info!(target: "thread", "of thread {n}")).join().unwrap();
        write(n);
    }
    drop(guard);
    let expected = [
        "info 1",
        "of thread 2",
        "debug 2",
        "info 2",
        "order 2",
        "order 3",
        "of thread 5",
        "info 5",
    ];
    assert_eq!(keep.messages(), expected);
}
