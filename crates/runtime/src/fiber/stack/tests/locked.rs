//! Stacks in a process whose memory is locked. A lock is the whole process's, so each
//! test has one of its own.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::CapabilitySet;

use super::super::{Guards, Stack, StackSizes, Stacks};
use super::{check_guards, child, deep};
use crate::Error;
use crate::skips::skip_in_part;

/// Bytes of memory that making 120 MiB of stacks may take.
const LITTLE: usize = 4 << 20;
/// Bytes of address space of the default stacks, at least.
const STACKS: usize = 100 << 20;

/// A figure of this process in bytes.
fn figure(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known figure");
    let kib = line.trim_start_matches(':').split_whitespace().next().expect("a number");
    kib.parse::<usize>().expect("a number") << 10
}

/// Locks this process's memory, or says why that cannot be tested here.
fn lock(flags: MlockAllFlags) -> bool {
    let locked = mlockall(flags);
    if let Err(errno) = locked {
        skip_in_part(&format!("stacks in locked memory: it cannot be locked here: {errno}"));
    }
    locked.is_ok()
}

/// The guards hold, and a fiber runs, with what it uses locked.
fn check_use(stacks: &mut Stacks) {
    let mut fiber = deep::fiber::<20_000>(stacks.take(Stack::Small).expect("a stack"));
    fiber.resume(());
    fiber.resume(());
    stacks.give(fiber.into_stack());
    check_guards(stacks, Stack::Large);
}

fn made_after_the_lock(guards: Guards) {
    if !lock(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        return;
    }
    let (resident, locked) = (figure("VmRSS"), figure("VmLck"));
    let mut stacks = Stacks::with_guards(&StackSizes::default(), guards).unwrap();
    assert!(figure("VmRSS") - resident < LITTLE, "{}", figure("VmRSS"));
    assert!(figure("VmLck") - locked > STACKS, "what will be used is to be locked");
    check_use(&mut stacks);
}

/// Does `this` in a process of its own, where it must pass.
fn passes(test: &str, part: &str, this: impl FnOnce()) {
    if let Some(output) = child::end_of(module_path!(), test, part, this) {
        child::assert_passed(&output);
    }
}

/// Stacks that are made while all memory, also future memory, is locked at once have
/// their guards, cost no memory before they are used, and are locked then.
#[test]
fn stacks_are_made_under_a_lock() {
    let test = "stacks_are_made_under_a_lock";
    passes(test, "best", || made_after_the_lock(Guards::of_this_kernel()));
    passes(test, "protection", || made_after_the_lock(Guards::Protection));
}

/// A lock on fault that comes later, as the configuration's does, keeps the guards and
/// spends no memory on stacks that are not used.
#[test]
fn a_later_lock_keeps_guards_and_spends_nothing() {
    passes("a_later_lock_keeps_guards_and_spends_nothing", "all", || {
        let mut stacks = Stacks::new(&StackSizes::default()).unwrap();
        let resident = figure("VmRSS");
        if !lock(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
            return;
        }
        assert!(figure("VmRSS").saturating_sub(resident) < LITTLE, "{}", figure("VmRSS"));
        check_use(&mut stacks);
    });
}

/// Where less memory may be locked than the stacks are long, the error names the limit
/// and what to do.
#[test]
fn a_limit_on_locked_memory_is_named() {
    passes("a_limit_on_locked_memory_is_named", "all", made_beyond_the_limit);
}

fn made_beyond_the_limit() {
    let limit = Rlimit { current: Some(8 << 20), ..getrlimit(Resource::Memlock) };
    if setrlimit(Resource::Memlock, limit).is_err() || !renounce_locking() {
        return skip_in_part("stacks beyond RLIMIT_MEMLOCK: the limit cannot be set here");
    }
    if !lock(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        return;
    }
    let Err(error) = Stacks::new(&StackSizes::default()) else { panic!("beyond the limit") };
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    let text = error.to_string();
    for part in ["RLIMIT_MEMLOCK", "8388608 bytes", "ulimit -l", "Config::stacks.small.count"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Gives up the right to lock more than the limit.
fn renounce_locking() -> bool {
    let Ok(mut sets) = rustix::thread::capabilities(None) else { return false };
    sets.effective.remove(CapabilitySet::IPC_LOCK);
    rustix::thread::set_capabilities(None, sets).is_ok()
}
