//! Tests that end their process, or change it for good, run in one of their own.

use std::process::{Command, Output};

/// Tells the child which part of the test it is.
const PART: &str = "TAUTLINE_TEST_PART";

/// Does `this`, which is `part` of the test named `test` of module `module`, in a process
/// of its own, and returns how that ended. In such a process there is nothing to return.
pub(super) fn end_of(module: &str, test: &str, part: &str, this: impl FnOnce()) -> Option<Output> {
    let Ok(asked) = std::env::var(PART) else { return Some(spawn(module, test, part)) };
    if asked == part {
        leave_no_core();
        this();
    }
    None
}

fn spawn(module: &str, test: &str, part: &str) -> Output {
    let (_crate, module) = module.split_once("::").expect("a module within a crate");
    let program = std::env::current_exe().expect("the test's own program");
    let output = Command::new(program)
        .args([&format!("{module}::{test}"), "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .output()
        .expect("a second process");
    // A filter that matches nothing would pass for a success.
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "{module}::{test}: {text}");
    output
}

/// Asserts that the child's test passed; shows what it said.
pub(super) fn assert_passed(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn leave_no_core() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
}
