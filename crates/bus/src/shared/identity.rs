//! Who a process is, in one word, and whether it is still there.
//!
//! The number of a process is used again after it has ended; its start time is not. Both fit into a
//! word: 22 bits of number (`pid_max` is at most 2²²) and 41 of ticks since the system was started.
//! The topmost bit marks a word that another process is about to clear.

use std::fs;
use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::object::REAPING;
use crate::sync::{AtomicU64, Ordering};

const PID_BITS: u32 = 22;
const START_BITS: u32 = 41;

/// A process: its number and its start time. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64);

impl Identity {
    /// The process that calls.
    ///
    /// # Errors
    /// When `/proc` does not tell.
    pub(crate) fn own() -> io::Result<Self> {
        // Relaxed: the word stands for itself.
        static OWN: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let known = OWN.load(Ordering::Relaxed);
        // A child made by a bare fork is somebody else.
        if known != 0 && Self(known).pid() == pid {
            return Ok(Self(known));
        }
        let own = Self::new(pid, start_time(pid)?);
        OWN.store(own.0, Ordering::Relaxed);
        Ok(own)
    }

    pub(crate) fn new(pid: u32, start: u64) -> Self {
        let start = start & ((1 << START_BITS) - 1);
        Self(u64::from(pid) & ((1 << PID_BITS) - 1) | start << PID_BITS)
    }

    /// Out of a word that any process may have written.
    pub(crate) fn of_word(word: u64) -> Self {
        Self(word & !REAPING)
    }

    pub(crate) fn word(self) -> u64 {
        self.0
    }

    pub(crate) fn pid(self) -> u32 {
        (self.0 & ((1 << PID_BITS) - 1)) as u32
    }

    pub(crate) fn start(self) -> u64 {
        self.0 >> PID_BITS
    }
}

/// When a process was started, in ticks since the system was (`proc_pid_stat(5)`, field 22).
pub(crate) fn start_time(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let start = fields.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    start.ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}

/// Processes that were met, each with what tells of its end.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    known: Vec<(Identity, OwnedFd)>,
}

impl Watcher {
    /// Whether that process has ended. One that cannot be asked about counts as alive: so does one
    /// whose number another process has by now, of another user, where `/proc` is mounted so that it
    /// hides those (`hidepid`); its end is told by the end of that one.
    pub(crate) fn has_ended(&mut self, who: Identity) -> bool {
        match self.known.iter().position(|(known, _)| *known == who) {
            Some(index) => self.has_ended_since(index),
            None => self.meet(who),
        }
    }

    fn has_ended_since(&mut self, index: usize) -> bool {
        let ended = is_readable(&self.known[index].1);
        if ended {
            self.known.swap_remove(index);
        }
        ended
    }

    /// Asks for the first time: whether it has ended already.
    fn meet(&mut self, who: Identity) -> bool {
        let Some(pid) = i32::try_from(who.pid()).ok().and_then(Pid::from_raw) else { return true };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(errno) => return errno == Errno::SRCH,
        };
        // After the descriptor was opened: if the time is right now, the descriptor is of it. There
        // is none to be read of one that has just ended, and the descriptor says so, nor of another
        // user's process that `/proc` hides, which is alive.
        if start_time(who.pid()).is_ok_and(|start| Identity::new(who.pid(), start) != who) {
            return true;
        }
        if is_readable(&pidfd) {
            return true;
        }
        self.known.push((who, pidfd));
        false
    }
}

/// A process descriptor is readable once its process has ended, waited for or not.
fn is_readable(pidfd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A living process is alive, a dead one is not, waited for or not; and a number that is used
    /// again is somebody else.
    #[test]
    fn the_dead_are_told_from_the_living() {
        let own = Identity::own().unwrap();
        assert_eq!((own.pid(), own.word() & REAPING), (std::process::id(), 0));
        let mut watcher = Watcher::default();
        assert!(!watcher.has_ended(own) && !watcher.has_ended(own));
        assert!(watcher.has_ended(Identity::new(own.pid(), own.start() + 1)));

        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let id = Identity::new(child.id(), start_time(child.id()).unwrap());
        assert!(!watcher.has_ended(id));
        child.kill().unwrap();
        // Not waited for yet: it is a zombie at the latest when it is waited for below.
        while !watcher.has_ended(id) {
            std::thread::yield_now();
        }
        assert!(watcher.has_ended(id), "of a zombie that is met anew");
        child.wait().unwrap();
        assert!(watcher.has_ended(id));
    }
}
