//! `Config::lock_memory` with fibers. Alone in its process, for the lock is everybody's.

mod common;

use std::fs;

use common::skips::skip_in_part;
use common::small;
use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::{Config, Error, Runtime, Wish};

/// A figure of this process in bytes.
fn figure(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let kib = line.trim_start_matches(':').split_whitespace().next().unwrap();
    kib.parse::<usize>().unwrap() << 10
}

/// Under `Config::lock_memory` fibers of every class run, what they use is locked, and stacks
/// that nobody uses cost no memory.
#[test]
fn fibers_run_in_locked_memory() {
    let config = Config { lock_memory: Wish::Require(()), ..small() };
    let runtime = match Runtime::new(config) {
        Ok(runtime) => runtime,
        Err(error @ Error::Refused { .. }) => {
            return skip_in_part(&format!("fibers in locked memory: {error}"));
        }
        Err(error) => panic!("{error}"),
    };
    let stacks: usize = fiber::stacks().unwrap().map(|class| class.size * class.total).iter().sum();
    let before = figure("VmRSS");
    let sum = runtime.run_fiber(Stack::Small, || {
        let spawn = |stack| fiber::spawn(stack, || [1u8; 16 << 10].map(usize::from)[7]).unwrap();
        let all = [Stack::Medium, Stack::Large].map(spawn);
        all.map(|handle| handle.join().unwrap()).iter().sum::<usize>()
    });
    assert_eq!(sum.unwrap(), 2);
    assert!(figure("VmLck") > stacks, "what will be used is to be locked");
    assert!(figure("VmRSS") < before + stacks / 8, "stacks were filled that nobody uses");
}
