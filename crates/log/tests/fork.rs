//! Children that are made by a bare `fork`: the log is their parent's, and stays as it was.

mod common;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

use common::Keep;
use fork::{Fork, fork, waitpid_nohang};
use rustix::process::{Pid, Signal, kill_process};
use tautline_log::sink::{Human, Sink, Stream};
use tautline_log::{Config, FlushError, Guard, Logger, flush, info, prepare_thread, recover};

/// What a child does, with the guard of its parent.
type Act = fn(&mut Option<Guard>);

/// Writes lines of calls that are known, and of some that are not, here and in another thread.
fn logs(_: &mut Option<Guard>) {
    call(0);
    info!(target: "of a child, whose name is longer than that of any other", "in the child");
    let thread = thread::spawn(|| {
        prepare_thread();
        info!("in a thread of the child");
    });
    thread.join().unwrap();
    assert_eq!(flush(), Err(FlushError::NotRunning));
}

fn drops(guard: &mut Option<Guard>) {
    *guard = None;
    call(0);
}

fn panics(_: &mut Option<Guard>) {
    assert!(catch_unwind(|| panic!("on purpose")).is_err());
}

/// Has a log of its own, which nobody puts away.
fn starts(guard: &mut Option<Guard>) {
    let folder = guard.as_ref().unwrap().folder().unwrap().parent().unwrap().to_owned();
    let sink = Stream::new(fs::File::create(folder.join("lines")).unwrap(), Human::new());
    let poll = Duration::from_secs(3600);
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(sink)];
    let config = Config { sinks, poll, directory: Some(folder), ..Config::default() };
    std::mem::forget(Logger::start(config).unwrap());
    call(7);
}

fn call(n: u32) {
    info!("call {n}");
}

/// Runs that in a child, which then exits, with the guard alive if it has not dropped it.
fn in_child(guard: &mut Option<Guard>, act: Act) {
    let Fork::Parent(child) = fork().unwrap() else {
        let done = catch_unwind(AssertUnwindSafe(|| act(guard)));
        exit(if done.is_ok() { 0 } else { 1 });
    };
    let until = Instant::now() + Duration::from_secs(20);
    let mut status = None;
    while status.is_none() && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
        status = waitpid_nohang(child).unwrap();
    }
    if status.is_none() {
        let child = Pid::from_raw(child).unwrap();
        kill_process(child, Signal::KILL).unwrap();
    }
    assert_eq!(status, Some(0), "it hangs, or has failed");
}

/// Whatever a child does with what it has of its parent's log, nothing happens to that: the child
/// does not hang, and the parent's lines, its folder and what can be recovered from it are as if there
/// had been none. A log of its own is its own, and its exit flushes it.
#[test]
fn a_forked_child_leaves_the_log_of_its_parent_alone() {
    // Each has a call of its own after it, which nobody has met before.
    let acts: [(&str, Act, fn()); 4] = [
        ("logs", logs, || info!("new")),
        ("drops", drops, || info!("new")),
        ("panics", panics, || info!("new")),
        ("starts", starts, || info!("new")),
    ];
    for (name, act, call_anew) in acts {
        let (folder, keep) = (tempfile::tempdir().unwrap(), Keep::default());
        let directory = Some(folder.path().to_owned());
        let mut guard = Some(Logger::start(Config { directory, ..keep.config() }).unwrap());
        call(1);
        for _ in 0..3 {
            in_child(&mut guard, act);
        }
        call(2);
        call_anew();
        flush().unwrap();
        let expected = ["call 1", "call 2", "new"];
        assert_eq!(keep.messages(), expected, "{name}");
        let run = guard.as_ref().unwrap().folder().unwrap().to_owned();
        let recovered = recover(&run).unwrap();
        assert!(recovered.problems().is_empty(), "{name}: {:?}", recovered.problems());
        let mut left = Vec::new();
        recovered.visit(|line, _| left.push(line.message.to_owned()));
        assert_eq!(left, expected, "{name}");
        drop(guard);
        assert!(!run.exists(), "{name}");
        if name == "starts" {
            let lines = fs::read_to_string(folder.path().join("lines")).unwrap();
            assert!(lines.ends_with(": call 7\n"), "{lines}");
        }
    }
}
