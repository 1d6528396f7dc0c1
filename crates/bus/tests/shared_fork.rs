//! A child made by a bare fork has no thread of its parent, and must not wait for one.

use std::time::{Duration, Instant};

use tautline_bus::Shared;
use tautline_bus::channel::{Channel, Config};
use tautline_bus::shared::{Guests, Namespace};

/// A child that drops what its parent had leaves its door as it is, and ends.
#[test]
fn a_child_made_by_fork_closes_no_door() {
    let namespace = format!("fork-{}", std::process::id());
    let own = rustix::process::geteuid().as_raw();
    let open = Namespace::new(&namespace).guests(Guests::Users(vec![own]));
    let channel = Channel::<u64, Shared>::open(open, "numbers", Config::default()).unwrap();
    // SAFETY: the child drops a value and ends, without unwinding.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(channel);
        // SAFETY: it ends the child at once.
        unsafe { libc::_exit(0) };
    }
    let begun = Instant::now();
    let mut status = 0;
    // SAFETY: the status is a place for a number.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if begun.elapsed() > Duration::from_secs(10) {
            // SAFETY: the child was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(status, 0, "the child hangs");
    let guest = Namespace::of_user(&namespace, own);
    assert!(Channel::<u64, Shared>::open(guest, "numbers", Config::default()).is_ok());
}
