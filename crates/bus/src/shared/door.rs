//! Doors: how the segment comes to those who may not read a participant's table of descriptors,
//! which are all other users.
//!
//! A door is a socket that listens at an abstract address, and a thread that sleeps there until
//! somebody comes. It asks the kernel who that is, reads nothing of what it says, answers with one
//! byte, and with the descriptor where it may, and hangs up: a caller that sends nothing, takes
//! nothing or stays holds nobody up, for an answer always fits into a new connection. Where the one
//! that has opened the object is pinned the thread runs elsewhere, if it may: else it would have to
//! wait for that to pause, or disturb it.
//!
//! Who calls asks the kernel in turn who listens, before it believes anything; see `around.rs`.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::thread::CpuSet;

use crate::shared::access::Guests;
use crate::shared::credentials::Peer;
use crate::sync::Arc;

/// The participant has no segment yet: it is joining.
const NONE_YET: u8 = 0;
/// The segment's descriptor comes along.
const SEGMENT: u8 = 1;
/// The caller is no guest.
const REFUSED: u8 = 2;

/// So many may wait for an answer at once.
const QUEUE: i32 = 128;

/// How long the thread rests when the process has no descriptor left to answer by.
const REST: Duration = Duration::from_millis(5);

/// The thread calls nothing deep; a signal's handler may run on it.
const STACK: usize = 128 << 10;

/// What a participant keeps where guests are allowed. Dropping it ends its thread.
#[derive(Debug)]
pub(crate) struct Door {
    inside: Arc<Inside>,
    thread: Option<JoinHandle<()>>,
    /// The process whose thread it is: a child made by a bare fork has the socket alone.
    process: u32,
}

#[derive(Debug)]
struct Inside {
    listener: OwnedFd,
    /// Whose object it is.
    owner: u32,
    /// What is handed out, and to whom besides the owner, once the participant has it.
    handed: OnceLock<(OwnedFd, Guests)>,
    /// Set before the listener is shut down: who has no descriptor left to take a caller in by does
    /// not get to see that.
    is_over: OnceLock<()>,
}

impl Door {
    /// A door at that address, of an object of that user, which says that it has nothing yet.
    ///
    /// # Errors
    /// The address is taken, or there is no descriptor or thread to be had.
    pub(crate) fn at(address: &str, owner: u32) -> io::Result<Self> {
        // The thread waits for callers, who wait for nothing.
        let listener = socket(SocketFlags::CLOEXEC)?;
        rustix::net::bind(&listener, &SocketAddrUnix::new_abstract_name(address.as_bytes())?)?;
        // From now on it is a presence.
        rustix::net::listen(&listener, QUEUE)?;
        let inside =
            Arc::new(Inside { listener, owner, handed: OnceLock::new(), is_over: OnceLock::new() });
        let served = inside.clone();
        let thread = thread::Builder::new().name("tautline-door".to_owned()).stack_size(STACK);
        let thread = Some(thread.spawn(move || served.serve())?);
        Ok(Self { inside, thread, process: std::process::id() })
    }

    /// Hands that segment out from now on.
    ///
    /// # Errors
    /// There is no descriptor to be had.
    pub(crate) fn open(&self, segment: BorrowedFd<'_>, guests: Guests) -> io::Result<()> {
        let segment = segment.try_clone_to_owned()?;
        // A participant has one segment, and says so once.
        let first = self.inside.handed.set((segment, guests));
        debug_assert!(first.is_ok(), "a door is opened once");
        Ok(())
    }
}

impl Door {
    /// In a child made by a bare fork, which has the descriptors and not the thread.
    fn leave_as_it_is(&mut self) {
        // There is nothing to be detached from.
        std::mem::forget(self.thread.take());
        // SAFETY: only the thread uses the descriptor besides this, which is about to end, and that
        // is not here; nor does it ever drop what it has, so that this is the only time the
        // descriptor is closed.
        drop(unsafe { OwnedFd::from_raw_fd(self.inside.listener.as_raw_fd()) });
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            self.leave_as_it_is();
            return;
        }
        _ = self.inside.is_over.set(());
        // Those who wait for an answer get it, and then the thread is told that it is over; none can
        // come any more.
        _ = rustix::net::shutdown(&self.inside.listener, Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

impl Inside {
    fn serve(&self) {
        run_elsewhere();
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match rustix::net::accept_with(&self.listener, flags) {
                // Who cannot be answered has gone, or will call again.
                Ok(caller) => _ = self.answer(&caller),
                Err(Errno::INVAL) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) if self.is_over.get().is_some() => return,
                Err(_) => thread::sleep(REST),
            }
        }
    }

    fn answer(&self, caller: &OwnedFd) -> io::Result<()> {
        let Some((segment, guests)) = self.handed.get() else {
            return Ok(send(caller, NONE_YET, &[])?);
        };
        let peer = Peer::of(caller)?;
        if peer.uid == self.owner || guests.include(&peer) {
            Ok(send(caller, SEGMENT, &[segment.as_fd()])?)
        } else {
            Ok(send(caller, REFUSED, &[])?)
        }
    }
}

/// A thread inherits where it may run; this one leaves those cores to the other, and does not go
/// where somebody wants to be alone.
fn run_elsewhere() {
    let Ok(inherited) = rustix::thread::sched_getaffinity(None) else { return };
    let mut others = CpuSet::new();
    let isolated = fs::read_to_string("/sys/devices/system/cpu/isolated").unwrap_or_default();
    let is_free = |core: &usize| !inherited.is_set(*core) && !is_in(&isolated, *core);
    let cores = (0..CpuSet::MAX_CPU).filter(is_free);
    cores.for_each(|core| others.set(core));
    // Refused where there are none, or none that the control group leaves: the other is not pinned,
    // or there is no other core.
    _ = rustix::thread::sched_setaffinity(None, &others);
}

/// Whether a core is in a list of the kernel's: `1,4-7`.
fn is_in(list: &str, core: usize) -> bool {
    list.trim().split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse(), last.parse()) else { return false };
        (first..=last).contains(&core)
    })
}

fn send(caller: &OwnedFd, answer: u8, files: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(files));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(caller, &[IoSlice::new(&[answer])], &mut control, flags).map(drop)
}

fn socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

// --------------------------------------------------------------------------------- calling

/// What becomes of a call.
#[derive(Debug)]
pub(crate) enum Called {
    /// Somebody listens: who it is, and by what it will answer.
    Reached(Peer, Caller),
    /// Nobody listens any more.
    Gone,
    /// Too many wait there already.
    Crowded,
}

/// What was answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A descriptor, which may be anything.
    File(OwnedFd),
    NoneYet,
    Refused,
    /// It has hung up, as one does who dies.
    HungUp,
    /// Nothing within the time, or nothing that makes sense.
    Silent,
}

/// Somebody who has called, and waits for the answer.
#[derive(Debug)]
pub(crate) struct Caller(OwnedFd);

/// Calls at that address. Does not wait.
///
/// # Errors
/// The kernel refuses it.
pub(crate) fn call(address: &str) -> io::Result<Called> {
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(address.as_bytes())?) {
        Ok(()) => Ok(Called::Reached(Peer::of(&socket)?, Caller(socket))),
        Err(Errno::CONNREFUSED) => Ok(Called::Gone),
        Err(Errno::AGAIN) => Ok(Called::Crowded),
        Err(errno) => Err(errno.into()),
    }
}

impl Caller {
    /// Waits for the answer, at most for so long.
    pub(crate) fn answer(&self, limit: Duration) -> Answer {
        let due = Instant::now() + limit;
        loop {
            let left = due.saturating_duration_since(Instant::now());
            let limit = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&limit)) {
                Ok(0) => return Answer::Silent,
                Ok(_) => return self.receive(),
                Err(Errno::INTR) => {}
                Err(_) => return Answer::Silent,
            }
        }
    }

    fn receive(&self) -> Answer {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let (mut byte, flags) = ([0], RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT);
        let said =
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(&mut byte)], &mut control, flags);
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        match (said, byte, file) {
            (Ok(said), ..) if said.bytes == 0 => Answer::HungUp,
            (Ok(_), [SEGMENT], Some(file)) => Answer::File(file),
            (Ok(_), [NONE_YET], None) => Answer::NoneYet,
            (Ok(_), [REFUSED], None) => Answer::Refused,
            (Err(Errno::CONNRESET), ..) => Answer::HungUp,
            _ => Answer::Silent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(test: &str) -> String {
        format!("tautline-door-test/{test}/{}", std::process::id())
    }

    fn ask(address: &str) -> Answer {
        match call(address).unwrap() {
            Called::Reached(peer, caller) => {
                assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
                caller.answer(Duration::from_secs(10))
            }
            other => panic!("{other:?}"),
        }
    }

    /// A door says that it has nothing, then hands out what it was given to those who may have it,
    /// and nobody is there once it is dropped.
    #[test]
    fn a_door_answers_by_who_calls() {
        let (address, own) = (address("answers"), rustix::process::geteuid().as_raw());
        let door = Door::at(&address, own).unwrap();
        assert_eq!(Door::at(&address, own).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(matches!(ask(&address), Answer::NoneYet));
        let file = fs::File::open("/dev/null").unwrap();
        door.open(file.as_fd(), Guests::Nobody).unwrap();
        assert!(matches!(ask(&address), Answer::File(_)));
        drop(door);
        assert!(matches!(call(&address).unwrap(), Called::Gone));

        // Of another user's object this one is a guest, or is not.
        for (guests, is_in) in [(Guests::Users(vec![own]), true), (Guests::Nobody, false)] {
            let door = Door::at(&address, own + 1).unwrap();
            door.open(file.as_fd(), guests).unwrap();
            assert_eq!(matches!(ask(&address), Answer::File(_)), is_in);
            assert_eq!(matches!(ask(&address), Answer::Refused), !is_in);
        }
    }

    /// Lists of cores are read as the kernel writes them.
    #[test]
    fn cores_are_found_in_lists() {
        let cores = |list| (0..10).filter(|core| is_in(list, *core)).collect::<Vec<_>>();
        assert_eq!(cores("1,4-6\n"), [1, 4, 5, 6]);
        assert_eq!(cores("3\n"), [3]);
        for none in ["", "\n", "-", "x", "5-", "5-x"] {
            assert_eq!(cores(none), [0; 0], "{none}");
        }
    }

    /// Callers that say nothing, talk without end or never take their answer hold up neither others
    /// nor the end.
    #[test]
    fn callers_that_hang_hold_nobody_up() {
        let (address, own) = (address("hangs"), rustix::process::geteuid().as_raw());
        let door = Door::at(&address, own).unwrap();
        let file = fs::File::open("/dev/null").unwrap();
        door.open(file.as_fd(), Guests::Nobody).unwrap();
        let hanging: Vec<_> = (0..100).map(|_| call(&address).unwrap()).collect();
        for called in &hanging {
            if let Called::Reached(_, caller) = called {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                _ = rustix::net::send(&caller.0, &[7; 1000], flags);
            }
        }
        for _ in 0..10 {
            assert!(matches!(ask(&address), Answer::File(_)));
        }
        let begun = Instant::now();
        drop(door);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(hanging.iter().any(|called| matches!(called, Called::Reached(..))));
    }
}
