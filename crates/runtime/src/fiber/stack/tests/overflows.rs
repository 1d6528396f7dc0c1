//! What becomes of faults. Each ends its process, so each has one of its own.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;
use std::{io, ptr};

use super::super::overflow::{Attached, attach};
use super::super::{Guards, Stack, StackSizes, Stacks};
use super::{child, deep};
use crate::alternate_stack::AlternateStack;

fn name(tell: &mut dyn FnMut(&str)) {
    tell("feed-");
    tell("7");
}

fn attached(stacks: &Stacks) -> Attached {
    attach(stacks, name).expect("the signals")
}

fn stacks() -> Stacks {
    Stacks::new(&StackSizes::default()).expect("memory")
}

/// How a process of its own ended that did `this`.
fn end_of(test: &str, part: &str, this: impl FnOnce()) -> Option<Output> {
    child::end_of(module_path!(), test, part, this)
}

fn assert_ended_by(output: &Output, signal: libc::c_int) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(signal), "{}: {said}", output.status);
}

fn assert_says(output: &Output, text: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(text), "{said}");
}

fn overflow(class: Stack, guards: Guards) {
    let mut stacks = Stacks::with_guards(&StackSizes::default(), guards).expect("memory");
    let _attached = attached(&stacks);
    deep::overflow(stacks.take(class).expect("a stack")).resume(());
}

/// An overflow names the fiber, its class and the remedy, whichever way guards are made,
/// and ends the process by SIGABRT.
#[test]
fn an_overflow_is_told_in_words() {
    let cases = [
        ("small", Stack::Small, Guards::of_this_kernel(), "larger class, such as Stack::Medium"),
        ("protected", Stack::Small, Guards::Protection, ": 32768 bytes usable)"),
        ("large", Stack::Large, Guards::of_this_kernel(), "less deeply, or raise Config"),
    ];
    for (part, class, guards, says) in cases {
        let end = end_of("an_overflow_is_told_in_words", part, || overflow(class, guards));
        let Some(output) = end else { continue };
        assert_ended_by(&output, libc::SIGABRT);
        let starts = format!("tautline: the fiber `feed-7` has overflown its stack (class {class}");
        assert_says(&output, &starts);
        assert_says(&output, says);
        assert_says(&output, &format!(", or raise Config::stacks.{class}.size\n"));
    }
}

/// An overflow is told also where others have installed alternate stacks of their own, over
/// ours or under it, and whichever goes first.
#[test]
fn other_alternate_stacks_do_no_harm() {
    let overflow_between = |over: bool| {
        let mut stacks = stacks();
        let under = AlternateStack::install().expect("memory");
        let _attached = attached(&stacks);
        let _over = over.then(|| AlternateStack::install().expect("memory"));
        drop(under);
        deep::overflow(stacks.take(Stack::Small).expect("a stack")).resume(());
    };
    for (part, over) in [("under", false), ("over", true)] {
        let end = end_of("other_alternate_stacks_do_no_harm", part, || overflow_between(over));
        if let Some(output) = end {
            assert_ended_by(&output, libc::SIGABRT);
            assert_says(&output, "feed-7");
        }
    }
}

fn read_null() {
    // SAFETY: none; the fault is what is wanted.
    unsafe { ptr::without_provenance::<u8>(8).read_volatile() };
}

fn null() {
    let stacks = stacks();
    let _attached = attached(&stacks);
    read_null();
}

fn detached() {
    let mut stacks = stacks();
    drop(attached(&stacks));
    deep::overflow(stacks.take(Stack::Small).expect("a stack")).resume(());
}

fn sent() {
    // The standard library's handler takes every signal for a fault that will come again.
    // SAFETY: the default action needs nothing.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    let stacks = stacks();
    let _attached = attached(&stacks);
    // SAFETY: sends a signal.
    unsafe { libc::raise(libc::SIGBUS) };
}

/// A fault that is no overflow ends the process as it would without us, and so do a fault
/// in a guard page after the stacks were detached, and a signal that somebody sent.
#[test]
fn other_faults_end_as_ever() {
    let cases: [(&str, fn(), libc::c_int); 3] = [
        ("null", null, libc::SIGSEGV),
        ("detached", detached, libc::SIGSEGV),
        ("sent", sent, libc::SIGBUS),
    ];
    for (part, this, signal) in cases {
        if let Some(output) = end_of("other_faults_end_as_ever", part, this) {
            assert_ended_by(&output, signal);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!said.contains("tautline"), "{said}");
        }
    }
}

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: ends the process, which may be done in a signal.
    unsafe { libc::_exit(7) };
}

/// A handler that was there before ours gets the faults that are not for us.
#[test]
fn the_handler_before_ours_is_called() {
    let end = end_of("the_handler_before_ours_is_called", "before", || {
        let handler: extern "C" fn(libc::c_int) = leave;
        // SAFETY: the handler does only what may be done in a signal.
        unsafe { libc::signal(libc::SIGSEGV, handler as usize) };
        let stacks = stacks();
        let _attached = attached(&stacks);
        read_null();
    });
    if let Some(output) = end {
        assert_eq!(output.status.code(), Some(7), "{}", output.status);
    }
}

/// An overflow of the thread's own stack is told by the standard library, as ever.
#[test]
fn the_threads_own_overflow_is_the_standard_librarys() {
    let test = "the_threads_own_overflow_is_the_standard_librarys";
    let end = end_of(test, "thread", || {
        let thread = std::thread::Builder::new().name("shallow".into()).spawn(|| {
            let stacks = stacks();
            let _attached = attached(&stacks);
            std::hint::black_box(deep::recurse(std::hint::black_box(0)));
        });
        let _ = thread.expect("a thread").join();
    });
    if let Some(output) = end {
        assert_ended_by(&output, libc::SIGABRT);
        assert_says(&output, "overflowed its stack");
    }
}

/// A thread has one set of stacks at a time, and can have another afterwards.
#[test]
fn a_thread_is_attached_once() {
    std::thread::spawn(|| {
        let stacks = stacks();
        let first = attached(&stacks);
        let second = attach(&stacks, name).map(drop).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        drop(first);
        drop(attached(&stacks));
    })
    .join()
    .unwrap();
}
