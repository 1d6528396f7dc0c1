//! A program prints its fibers when a signal asks for it. In a process of its own, for signals and
//! standard error are the process's.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use tautline_net::fiber::{Signal, UnixStream, list_on};
use tautline_runtime::fiber::{Builder, Stack};
use tautline_runtime::{Runtime, timer};

const CHILD: &str = "TAUTLINE_CHILD";

/// A named fiber that waits in a read is told on standard error, with its descriptor's number.
#[test]
fn a_signal_lists_a_fiber_that_reads() {
    if std::env::var_os(CHILD).is_some() {
        return wait_in_a_read();
    }
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args(["a_signal_lists_a_fiber_that_reads", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: Vec<String> = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap)
        .take_while(|line| !line.contains("that's all"))
        .collect();
    child.wait().unwrap();
    assert!(lines.iter().any(|line| line == "1 fiber"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("  small stacks of 32768 bytes: 1 of ")));
    let (fiber, number) = lines
        .iter()
        .find_map(|line| line.split_once(" bytes used): waits in read on descriptor "))
        .unwrap_or_else(|| panic!("{lines:?}"));
    assert!(fiber.starts_with("  #0 reader 7 (small stack, "), "{fiber}");
    assert!(number.parse::<i32>().is_ok(), "{number}");
}

/// The child: it has a fiber that reads, and asks itself for a list.
fn wait_in_a_read() {
    let runtime = Runtime::new(Default::default()).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    let reads = Builder::new(Stack::Small).name(format!("reader {}", 7));
    let _reads = reads.spawn(move || near.read(&mut [0; 8])).unwrap();
    list_on(Signal::USER_1).unwrap();
    timer::after(Duration::from_millis(1), || {
        signal_hook::low_level::raise(Signal::USER_1.as_raw()).unwrap();
    })
    .unwrap();
    // The list is written beside the loop.
    runtime.run_for(Duration::from_millis(300)).unwrap();
    eprintln!("that's all");
}
