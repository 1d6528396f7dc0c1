//! How deep a fiber may go: a panic with a full backtrace is delivered from the stated depth of
//! every class; beyond, the process says which fiber it was before it aborts; marks tell how
//! deep it has been. Each in a process of its own, as they change or end it.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use tautline_runtime::fiber::{self, Builder, Stack, StackSizes};
use tautline_runtime::{Config, Runtime};

const CLASSES: [Stack; 3] = [Stack::Small, Stack::Medium, Stack::Large];

/// Runs one test of this file in a process of its own.
fn in_a_process(test: &str) -> Output {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env("TAUTLINE_CHILD", test).env("RUST_BACKTRACE", "full").output().unwrap()
}

/// Whether this process is the one for that test.
fn is_child(test: &str) -> bool {
    std::env::var("TAUTLINE_CHILD").is_ok_and(|child| child == test)
}

/// Where the caller's frame is, about.
#[inline(never)]
fn here() -> usize {
    let local = 0u8;
    (&raw const local).addr()
}

/// Calls `bottom` once its stack is `depth` bytes deep, counted from `top`.
#[inline(never)]
fn dig(top: usize, depth: usize, bottom: fn()) {
    let frame = black_box([1u8; 512]);
    if top - here() >= depth {
        bottom();
    } else {
        dig(top, depth, bottom);
    }
    black_box(&frame);
}

fn size(stack: Stack) -> usize {
    let sizes = StackSizes::default();
    match stack {
        Stack::Small => sizes.small.size,
        Stack::Medium => sizes.medium.size,
        Stack::Large => sizes.large.size,
    }
}

/// A panic whose hook prints a full backtrace fits below the stated depth of every class.
#[test]
fn a_panic_is_delivered_from_the_stated_depth() {
    const NAME: &str = "a_panic_is_delivered_from_the_stated_depth";
    if !is_child(NAME) {
        let output = in_a_process(NAME);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", output.status);
        assert!(told.matches("panicked at").count() >= 3 && told.contains("stack backtrace"));
        return;
    }
    let runtime = Runtime::new(Config::default()).unwrap();
    for stack in CLASSES {
        let depth = size(stack) - 1024;
        let result = runtime.run_fiber(Stack::Small, move || {
            fiber::spawn(stack, move || dig(here(), depth, || panic!("deep down"))).unwrap().join()
        });
        let error = result.unwrap().unwrap_err();
        assert_eq!(error.message(), Some("deep down"), "{stack}");
    }
}

/// A stack that overflows names its fiber and its class, and the process aborts.
#[test]
fn an_overflow_names_the_fiber() {
    const NAME: &str = "an_overflow_names_the_fiber";
    if !is_child(NAME) {
        let output = in_a_process(NAME);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{told}");
        assert!(told.contains("`the deep one 7`") && told.contains("small"), "{told}");
        return;
    }
    let runtime = Runtime::new(Config::default()).unwrap();
    let deep = Builder::new(Stack::Small).name(format!("the deep one {}", black_box(7)));
    deep.spawn(|| dig(here(), usize::MAX, || ())).unwrap().detach();
    runtime.run_pending().unwrap();
}

/// With measuring switched on, each class tells how deep the deepest of its fibers has been,
/// and a list tells it of those that are alive; the next fiber on the same stack starts anew.
#[test]
fn marks_tell_how_deep_fibers_have_been() {
    let runtime = Runtime::new(Config { measure_stacks: true, ..Config::default() }).unwrap();
    let deep = runtime.run_fiber(Stack::Medium, || {
        fiber::spawn(Stack::Small, || dig(here(), 20_000, || ())).unwrap().join().unwrap();
        let shallow = fiber::spawn(Stack::Small, fiber::park).unwrap();
        fiber::yield_now().unwrap();
        let listed = fiber::list().unwrap();
        let parked = listed.iter().find(|info| info.waits_in == Some("park")).unwrap().clone();
        shallow.cancel();
        (fiber::stacks().unwrap()[0].used.unwrap(), parked)
    });
    let (deepest, parked) = deep.unwrap();
    assert!((20_000..24_000).contains(&deepest), "{deepest}");
    assert!(parked.used.unwrap() < 8_000, "{parked}");
    assert!(parked.to_string().contains("waits in park"), "{parked}");
}
