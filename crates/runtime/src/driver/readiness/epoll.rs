//! `epoll(7)`, edge-triggered, with timeouts to the nanosecond.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// Everything that can make an attempt worth while, reported once per change.
/// `PRI` tells of urgent data, at which a short read stops although more is there.
fn interest() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::PRI | EventFlags::ET
}

/// One `epoll(7)` instance and the events it reported last.
pub(super) struct Epoll {
    fd: OwnedFd,
    /// What the last wait brought; capacity for as many as one wait may bring.
    events: Vec<libc::epoll_event>,
    /// The kernel has `epoll_pwait2(2)` (5.11); else timeouts are whole milliseconds.
    fine: bool,
}

/// Something changed on a descriptor.
#[derive(Clone, Copy)]
pub(super) struct Event {
    /// What the descriptor was registered with.
    pub(super) data: u64,
    /// `EPOLL*` bits.
    pub(super) bits: u32,
}

impl Epoll {
    /// An instance of which one wait brings at most `capacity` events, at least 1.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        let fd = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Self { fd, events: Vec::with_capacity(capacity.max(1)), fine: true })
    }

    /// Registers `source`; its state as of now is reported by the next wait.
    pub(super) fn add(&self, source: BorrowedFd<'_>, data: u64) -> rustix::io::Result<()> {
        epoll::add(&self.fd, source, EventData::new_u64(data), interest())
    }

    /// Registers `source` for each time that it becomes readable, and nothing else.
    pub(super) fn add_waker(&self, source: BorrowedFd<'_>, data: u64) -> rustix::io::Result<()> {
        epoll::add(&self.fd, source, EventData::new_u64(data), EventFlags::IN | EventFlags::ET)
    }

    /// Registers anew what is registered; its state as of now is reported again.
    pub(super) fn modify(&self, source: BorrowedFd<'_>, data: u64) -> rustix::io::Result<()> {
        epoll::modify(&self.fd, source, EventData::new_u64(data), interest())
    }

    /// Forgets `source`.
    pub(super) fn delete(&self, source: BorrowedFd<'_>) -> rustix::io::Result<()> {
        epoll::delete(&self.fd, source)
    }

    /// Waits for events, without end if `timeout` is `None`; returns how many came. A
    /// signal ends the wait early, with none.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        self.events.clear();
        let count = match self.enter(timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        // SAFETY: the kernel filled `count` entries, no more than the capacity.
        unsafe { self.events.set_len(count) };
        Ok(count)
    }

    /// Event `index` of the last wait.
    pub(super) fn event(&self, index: usize) -> Event {
        let event = self.events[index];
        Event { data: event.u64, bits: event.events }
    }

    fn enter(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        match timeout {
            None => self.enter_coarse(-1),
            Some(Duration::ZERO) => self.enter_coarse(0),
            Some(time) if self.fine => match self.enter_fine(time) {
                Err(e) if e.raw_os_error() == Some(libc::ENOSYS) => {
                    self.fine = false;
                    self.enter_coarse(whole_millis(time))
                }
                result => result,
            },
            Some(time) => self.enter_coarse(whole_millis(time)),
        }
    }

    fn enter_coarse(&mut self, millis: i32) -> io::Result<usize> {
        let (fd, room) = (self.fd.as_fd().as_raw_fd(), self.events.capacity() as i32);
        // SAFETY: the events have room for as many as their capacity says.
        let count = unsafe { libc::epoll_wait(fd, self.events.as_mut_ptr(), room, millis) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    fn enter_fine(&mut self, time: Duration) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: time.as_secs().min(FOREVER.as_secs()) as libc::time_t,
            tv_nsec: time.subsec_nanos().into(),
        };
        let no_mask = ptr::null::<libc::sigset_t>();
        // SAFETY: as in `enter_coarse`; the timeout lives through the call.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.capacity() as libc::c_int,
                &raw const timeout,
                no_mask,
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }
}

/// Longer than any loop runs, and in the kernel's range.
const FOREVER: Duration = Duration::from_secs(1 << 32);

/// Rounded up: a wait that ended early would be no wait.
fn whole_millis(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without fine timeouts a wait is never shorter than asked.
    #[test]
    fn coarse_timeouts_round_up() {
        assert_eq!(whole_millis(Duration::from_nanos(1)), 1);
        assert_eq!(whole_millis(Duration::from_millis(2)), 2);
        assert_eq!(whole_millis(Duration::from_micros(2001)), 3);
        assert_eq!(whole_millis(Duration::MAX), i32::MAX);
    }
}
