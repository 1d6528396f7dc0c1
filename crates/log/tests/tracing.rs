//! Events of the crate `tracing`.

#![cfg(feature = "tracing")]

mod common;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{Keep, Kept, turn};
use tautline_log::{Config, Filter, Level, Logger};
use tracing::{debug, error, info, info_span, trace, warn};
use tracing_subscriber::layer::SubscriberExt;

/// The lines that `act` leads to.
fn logged(filter: &str, act: impl FnOnce()) -> Vec<Kept> {
    let keep = Keep::default();
    let filter: Filter = filter.parse().unwrap();
    let guard = Logger::start(Config { filter, ..keep.config() }).unwrap();
    let subscriber = tracing_subscriber::registry().with(tautline_log::tracing::layer());
    tracing::subscriber::with_default(subscriber, act);
    drop(guard);
    keep.lines()
}

fn messages(lines: &[Kept]) -> Vec<&str> {
    lines.iter().map(|line| &*line.message).collect()
}

/// Events of all levels arrive with all that is known of them.
#[test]
fn events_arrive_with_all_that_is_known() {
    let _turn = turn();
    let first = line!() + 2;
    let lines = logged("trace", || {
        error!("one");
        warn!(target: "elsewhere", "two {}", 2);
        info!("three");
        debug!("four");
        trace!("five");
    });
    let seen: Vec<_> =
        lines.iter().map(|line| (line.level, &*line.target, line.line, &*line.message)).collect();
    let expected = [
        (Level::Error, "tracing", first, "one"),
        (Level::Warn, "elsewhere", first + 1, "two 2"),
        (Level::Info, "tracing", first + 2, "three"),
        (Level::Debug, "tracing", first + 3, "four"),
        (Level::Trace, "tracing", first + 4, "five"),
    ];
    assert_eq!(seen, expected);
    assert!(lines[0].file.ends_with("tests/tracing.rs"));
}

/// Fields stand behind the message, and are values of their types in the line.
#[test]
fn fields_are_values() {
    let _turn = turn();
    let lines = logged("info", || {
        let (side, list) = ("buy\n", [1, 2]);
        info!(
            id = 7_u64, delta = -3, big = u128::MAX, less = i128::MIN, price = 2.5, ok = true,
            side, shown = %side.trim(), ?list, "odd{name}" = 1, "filled {}", "now"
        );
        info!(only = ?'x');
        info!("{{braces}} stay");
    });
    let big = u128::MAX;
    let less = i128::MIN;
    let expected = [
        &*format!(
            "filled now id=7 delta=-3 big={big} less={less} price=2.5 ok=true side=\"buy\\n\" \
             shown=buy list=[1, 2] odd{{name}}=1"
        ),
        "only='x'",
        "{braces} stay",
    ];
    assert_eq!(messages(&lines), expected);
    let fields = [
        "id=U64(7)",
        "delta=I64(-3)",
        &format!("big=U128({big})"),
        &format!("less=I128({less})"),
        "price=F64(2.5)",
        "ok=Bool(true)",
        "side=Str(\"buy\\n\")",
        "shown=Text(\"buy\")",
        "list=Text(\"[1, 2]\")",
        "odd{name}=I64(1)",
    ];
    assert_eq!(lines[0].fields, fields);
}

/// Fields that an event lacks do not show, at a call where others have them.
#[test]
fn missing_fields_do_not_show() {
    let _turn = turn();
    let lines = logged("info", || {
        for (a, b) in [(Some(1), None), (None, Some("x")), (None, None), (Some(2), Some("y"))] {
            info!(a, b, "m");
        }
    });
    assert_eq!(messages(&lines), ["m a=1", "m b=\"x\"", "m", "m a=2 b=\"y\""]);
    assert_eq!(lines[1].fields, ["b=Str(\"x\")"]);
}

/// So many sets of fields of one call that they are not all told apart still give true lines.
#[test]
fn many_sets_of_fields_give_true_lines() {
    let _turn = turn();
    let some = |bits: u32, bit: u32| (bits >> bit & 1 == 1).then_some(bit);
    let lines = logged("info", || {
        for bits in 0..128 {
            let [a, b, c, d, e, f, g] = [0, 1, 2, 3, 4, 5, 6].map(|bit| some(bits, bit));
            info!(a, b, c, d, e, f, g, "m");
        }
    });
    assert_eq!(lines.len(), 128);
    for (bits, line) in (0..128).zip(&lines) {
        let shown = line.message.split(' ').skip(1).filter_map(|part| part.split_once('='));
        let shown: Vec<_> = shown.filter(|(_, value)| !value.is_empty()).collect();
        let expected: Vec<_> = (0..7)
            .filter_map(|bit| some(bits, bit))
            .map(|bit| (&"abcdefg"[bit as usize..=bit as usize], bit.to_string()))
            .collect();
        let shown: Vec<_> =
            shown.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(shown, expected, "{}", line.message);
    }
}

/// The spans around an event stand before it, with what was recorded in them since, and are a field.
#[test]
fn spans_stand_before_the_message() {
    let _turn = turn();
    let lines = logged("info", || {
        let outer = info_span!("order", id = 17, side = "buy", venue = tracing::field::Empty);
        let outer = outer.entered();
        info!("alone");
        {
            let inner = info_span!("fill").entered();
            info!(price = 2.5, "in both");
            outer.record("venue", "x");
            inner.in_scope(|| info!(price = 3.5));
        }
        let _unwanted = tracing::debug_span!("quiet").entered();
        info!("no quiet");
        drop(_unwanted);
        info!(parent: None, "none");
    });
    let expected = [
        "order{id=17 side=\"buy\"}: alone",
        "order{id=17 side=\"buy\"}:fill: in both price=2.5",
        "order{id=17 side=\"buy\" venue=\"x\"}:fill: price=3.5",
        "order{id=17 side=\"buy\" venue=\"x\"}: no quiet",
        "none",
    ];
    assert_eq!(messages(&lines), expected);
    assert_eq!(
        lines[1].fields,
        ["span=Text(\"order{id=17 side=\\\"buy\\\"}:fill\")", "price=F64(2.5)"]
    );
}

/// What the filter does not want is not even looked at by `tracing`, and another filter of the next
/// log holds for the same calls.
#[test]
fn the_filter_is_that_of_the_log() {
    let _turn = turn();
    static EVALUATED: AtomicU32 = AtomicU32::new(0);
    let evaluate = || EVALUATED.fetch_add(1, Ordering::Relaxed);
    let act = || {
        debug!(n = evaluate(), "quiet");
        debug!(target: "loud::speaker", "heard");
        error!("always");
    };
    assert_eq!(messages(&logged("error,loud=debug", act)), ["heard", "always"]);
    assert_eq!(EVALUATED.load(Ordering::Relaxed), 0);
    assert_eq!(messages(&logged("debug", act)), ["quiet n=0", "heard", "always"]);
    assert_eq!(messages(&logged("off", act)), [""; 0]);
    assert_eq!(EVALUATED.load(Ordering::Relaxed), 1);
}

/// A layer that was there before the log writes to it once it has started, and nowhere after its end.
#[test]
fn layers_outlast_logs() {
    let _turn = turn();
    let keep = Keep::default();
    let subscriber = tracing_subscriber::registry().with(tautline_log::tracing::layer());
    tracing::subscriber::with_default(subscriber, || {
        for act in ["before", "in", "after"] {
            let guard = (act == "in").then(|| Logger::start(keep.config()).unwrap());
            info!("{act}");
            drop(guard);
        }
    });
    assert_eq!(keep.messages(), ["in"]);
}

/// A line within the formatting of an event, and an event that is too long, do no harm.
#[test]
fn nested_and_long_events_arrive() {
    let _turn = turn();
    struct Chatty;
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tautline_log::info!("inner"); // `tracing` lets no event into another
            f.write_str("outer")
        }
    }
    let lines = logged("info", || {
        info!("{Chatty}");
        info!(text = "é".repeat(100_000), after = 5, "long");
        info!("next");
    });
    let mut seen: Vec<_> =
        lines.iter().map(|line| line.message.chars().take(20).collect::<String>()).collect();
    seen[..2].sort();
    let long = format!("long text=\"{}", "é".repeat(9));
    assert_eq!(seen, ["inner".to_owned(), "outer".into(), long, "next".into()]);
    assert!(lines[2].truncated && !lines[3].truncated);
    assert_eq!(lines[2].fields.last().map(|field| &**field), Some("after=I64(5)"));
}

/// A value that logs while it is recorded in a span, in that very span, holds nobody up.
#[test]
fn a_value_that_logs_while_it_is_recorded_does_not_hang() {
    let _turn = turn();
    struct Chatty;
    impl fmt::Display for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("inner");
            f.write_str("told")
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let act = move || {
        let lines = logged("info", || {
            let span = info_span!("order", id = 17, state = tracing::field::Empty).entered();
            span.record("state", tracing::field::display(Chatty));
            info!("outer");
        });
        tell.send(lines).unwrap();
    };
    let thread = std::thread::spawn(act);
    let lines = told.recv_timeout(std::time::Duration::from_secs(20)).expect("it does not hang");
    thread.join().unwrap();
    let seen = messages(&lines);
    assert_eq!(seen.last(), Some(&"order{id=17 state=told}: outer"), "{seen:?}");
}

/// An event allocates nothing in its thread, with spans around it, once its call is known.
#[test]
fn events_allocate_nothing() {
    let _turn = turn();
    logged("info", || {
        let _span = info_span!("order", id = 17).entered();
        let event = |id: u64| info!(id, price = 2.5, side = "buy", list = ?[1, 2], "filled {}", id);
        event(0);
        let counted = allocation_counter::measure(|| (0..100).for_each(event));
        assert_eq!(counted.count_total, 0);
    });
}
