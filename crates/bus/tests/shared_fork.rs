//! A child made by a bare fork has no thread of its parent, and must not wait for one; nor is what
//! its parent has reserved the child's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tautline_bus::channel::{Channel, Config};
use tautline_bus::shared::{Guests, Namespace};
use tautline_bus::{OpenError, Shared};

/// A child has the locks as they are when it is made: nobody else may be at them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

type Numbers = Channel<u64, Shared>;

/// A child that does something, and ends well if that was true.
struct Child(i32);

impl Child {
    fn that(does: impl FnOnce() -> bool) -> Self {
        // SAFETY: the child does that and ends, without unwinding; no other thread is in the bus.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let is_done = does();
            // SAFETY: it ends the child at once.
            unsafe { libc::_exit(i32::from(!is_done)) };
        }
        assert!(child > 0);
        Self(child)
    }

    fn done(self) {
        let begun = Instant::now();
        let mut status = 0;
        // SAFETY: the status is a place for a number.
        while unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) } == 0 {
            if begun.elapsed() > Duration::from_secs(10) {
                // SAFETY: the child was not waited for.
                unsafe { libc::kill(self.0, libc::SIGKILL) };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(status, 0, "the child hangs, or finds what it should not");
    }
}

/// A child that drops what its parent had leaves the door as it is, and nothing of it stays when the
/// parent closes it.
#[test]
fn a_child_made_by_fork_closes_no_door() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = format!("fork-{}", std::process::id());
    let own = rustix::process::geteuid().as_raw();
    let open = Namespace::new(&namespace).guests(Guests::Users(vec![own]));
    let channel = Numbers::open(open, "numbers", Config::default()).unwrap();
    let (mut here, mut there) = UnixStream::pair().unwrap();
    here.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    there.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut channel = Some(channel);
    let child = Child::that(|| {
        drop(channel.take());
        there.write_all(&[1]).is_ok() && there.read_exact(&mut [0]).is_ok()
    });
    here.read_exact(&mut [0]).unwrap();
    let guest = Namespace::of_user(&namespace, own);
    assert!(Numbers::open(guest, "numbers", Config::default()).is_ok());
    drop(channel);
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    here.write_all(&[1]).unwrap();
    child.done();
    assert!(!sockets.contains(&namespace), "the child keeps the door");
}

/// A child does not open what its parent has reserved, but waits for that one.
#[test]
fn a_child_made_by_fork_has_no_reservation() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = format!("fork-kept-{}", std::process::id());
    let own = Namespace::new(&namespace);
    let kept = own.reserve("numbers").unwrap();
    let parent = std::process::id();
    let hasty = own.clone().patience(Duration::from_millis(20));
    let child = Child::that(|| {
        let opened = Numbers::open(&hasty, "numbers", Config::default());
        matches!(opened, Err(OpenError::Reserved { pid, .. }) if pid == Some(parent))
    });
    child.done();
    assert!(!kept.is_bound());
    Numbers::open(&own, "numbers", Config::default()).unwrap();
    assert!(kept.is_bound());
}
