//! Whose a Unix socket is, as the kernel tells: who is at the other end of one's own by
//! `SO_PEERCRED` and `SO_PEERGROUPS` (`unix(7)`, Linux 4.13), and who has made any by `sock_diag(7)`
//! (its users since Linux 5.3).
//!
//! The options are asked for by hand: `rustix` has no call for the groups, and takes a process number
//! for one that is never zero, which it is where the peer belongs to another PID namespace. Their
//! numbers are those of x86, ARM and RISC-V.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

const SOL_SOCKET: c_int = 1;
const SO_PEERCRED: c_int = 17;
const SO_PEERGROUPS: c_int = 59;

/// Groups that a peer is asked for at first; it may have up to 65,536.
const GROUPS: usize = 64;

unsafe extern "C" {
    fn getsockopt(
        socket: c_int,
        level: c_int,
        name: c_int,
        value: *mut c_void,
        len: *mut u32,
    ) -> c_int;
}

/// A process at the other end: of one that listens, as it was when it began to; of one that has
/// connected, as it was then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its effective user.
    pub(crate) uid: u32,
    /// Its process; `None`: it is of another PID namespace.
    pub(crate) pid: Option<u32>,
    /// Its effective group, and its others where the kernel tells them.
    pub(crate) groups: Vec<u32>,
}

impl Peer {
    /// Who is at the other end of that socket.
    ///
    /// # Errors
    /// It is not connected.
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        // `struct ucred`: a process, a user and a group.
        let mut known = [0; 3];
        if ask(&socket, SO_PEERCRED, &mut known)? != known.len() {
            return Err(io::Error::other("the kernel does not tell who it is"));
        }
        let [pid, uid, gid] = known;
        let mut groups = groups(&socket);
        groups.push(gid);
        Ok(Self { uid, pid: Some(pid).filter(|pid| *pid != 0), groups })
    }
}

/// The groups besides the effective one; none where the kernel does not know the question.
fn groups(socket: &impl AsFd) -> Vec<u32> {
    let mut groups = vec![0; GROUPS];
    for _ in 0..2 {
        match ask(socket, SO_PEERGROUPS, &mut groups) {
            Ok(count) if count <= groups.len() => {
                groups.truncate(count);
                return groups;
            }
            // There are more of them.
            Ok(count) => groups.resize(count, 0),
            Err(_) => break,
        }
    }
    Vec::new()
}

/// Asks for words; returns how many there are, which may be more than there was room for.
fn ask(socket: &impl AsFd, name: c_int, words: &mut [u32]) -> io::Result<usize> {
    const WORD: u32 = size_of::<u32>() as u32;
    let room = u32::try_from(words.len()).unwrap_or(u32::MAX / WORD) * WORD;
    let (socket, mut len) = (socket.as_fd().as_raw_fd(), room);
    // SAFETY: the words have room for so many bytes, and may be anything; the descriptor is open
    // while it is borrowed.
    let answer =
        unsafe { getsockopt(socket, SOL_SOCKET, name, words.as_mut_ptr().cast(), &raw mut len) };
    // Where there is too little room it says how much it takes.
    if answer != 0 && len <= room {
        return Err(io::Error::last_os_error());
    }
    Ok((len / WORD) as usize)
}

// ------------------------------------------------------------------------------ any socket

/// `SOCK_DIAG_BY_FAMILY`: both the question and the answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `UDIAG_SHOW_NAME` and `UDIAG_SHOW_UID`.
const SHOW: u32 = 0x1 | 0x40;
/// `UNIX_DIAG_NAME` and `UNIX_DIAG_UID`.
const NAME: u16 = 0;
const USER: u16 = 7;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// Bytes of a message's header, and of what every answer begins with.
const HEADER: usize = 16;
const SOCKET: usize = 16;

/// Who has bound an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binder {
    /// This user.
    User(u32),
    /// Nobody: that socket is not there, or is bound elsewhere.
    Nobody,
    /// The kernel does not tell.
    Untold,
}

/// Who has bound the Unix socket of that number to that abstract address.
pub(crate) fn binder_of(number: u32, address: &str) -> Binder {
    match told_of(number) {
        Ok(Some(told)) if is_at(&told, address) => told.user.map_or(Binder::Untold, Binder::User),
        Ok(Some(_)) => Binder::Nobody,
        // A kernel that knows of no Unix sockets says this of each.
        Ok(None) if knows_sockets() => Binder::Nobody,
        Ok(None) | Err(_) => Binder::Untold,
    }
}

fn is_at(told: &Told, address: &str) -> bool {
    told.name.as_ref().is_some_and(|name| name.split_first() == Some((&0, address.as_bytes())))
}

/// Whether the kernel tells of sockets at all: here is one.
fn knows_sockets() -> bool {
    static KNOWS: OnceLock<()> = OnceLock::new();
    if KNOWS.get().is_some() {
        return true;
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
    let number = socket.as_ref().ok().and_then(|socket| rustix::fs::fstat(socket).ok());
    let number = number.and_then(|stat| u32::try_from(stat.st_ino).ok());
    let knows = number.is_some_and(|number| told_of(number).is_ok_and(|told| told.is_some()));
    if knows {
        // Where it fails there may have been no descriptor.
        _ = KNOWS.set(());
    }
    knows
}

/// What the kernel tells of a socket.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Where it is bound, if it is: a zero in front is that of an abstract address.
    name: Option<Vec<u8>>,
    /// Who has made it.
    user: Option<u32>,
}

/// What the kernel tells of the Unix socket of that number; `None`: there is none.
///
/// # Errors
/// It does not tell.
fn told_of(number: u32) -> io::Result<Option<Told>> {
    let (flags, kind) = (SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG));
    let kernel = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind)?;
    rustix::net::send(&kernel, &question(number), SendFlags::empty())?;
    // Answered within the call before: there is nothing to wait for.
    let mut answer = [0; 256];
    let (len, _) = rustix::net::recv(&kernel, &mut answer[..], RecvFlags::DONTWAIT)?;
    let answer = &answer[..len.min(256)];
    if half(answer, 4) == Some(ERROR) {
        let missing = -Errno::NOENT.raw_os_error();
        let error = answer.get(HEADER..).and_then(|error| error.first_chunk());
        return match error.map(|error| i32::from_ne_bytes(*error)) {
            Some(error) if error == missing => Ok(None),
            _ => Err(io::Error::other("the kernel does not tell of sockets")),
        };
    }
    told_in(answer).map(Some).ok_or_else(|| io::Error::other("the answer makes no sense"))
}

/// `struct nlmsghdr`, then `struct unix_diag_req`: the socket of that number, in any state.
fn question(number: u32) -> Vec<u8> {
    const BYTES: u32 = 40;
    let mut bytes = Vec::with_capacity(BYTES as usize);
    bytes.extend(BYTES.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([AddressFamily::UNIX.as_raw() as u8, 0, 0, 0]);
    // The last two: any cookie.
    for word in [u32::MAX, number, SHOW, u32::MAX, u32::MAX] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// What stands in the attributes that follow `struct unix_diag_msg`, as far as they are whole.
fn told_in(answer: &[u8]) -> Option<Told> {
    if half(answer, 4)? != BY_FAMILY {
        return None;
    }
    let (mut told, mut rest) = (Told::default(), answer.get(HEADER + SOCKET..)?);
    while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let len = usize::from(len);
        let Some(value) = rest.get(4..len) else { break };
        match kind {
            NAME => told.name = Some(value.to_vec()),
            USER => told.user = value.first_chunk().map(|user| u32::from_ne_bytes(*user)),
            _ => {}
        }
        let Some(next) = rest.get(len.next_multiple_of(4)..) else { break };
        rest = next;
    }
    Some(told)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};

    use super::*;

    /// The other end of a pair is this process, with its user and its group.
    #[test]
    fn the_kernel_tells_who_is_at_the_other_end() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert!(peer.groups.contains(&rustix::process::getegid().as_raw()), "{peer:?}");
    }

    /// The kernel tells whose a socket is by its number and its address, and that nobody has bound
    /// one that is not there, or is elsewhere.
    #[test]
    fn the_kernel_tells_whose_a_socket_is() {
        let own = Binder::User(rustix::process::geteuid().as_raw());
        let address = format!("tautline-binder-test/{}", std::process::id());
        let bound = SocketAddr::from_abstract_name(&address).unwrap();
        let bound = UnixDatagram::bind_addr(&bound).unwrap();
        let number_of = |socket: &UnixDatagram| rustix::fs::fstat(socket).unwrap().st_ino as u32;
        let number = number_of(&bound);
        assert!(knows_sockets());
        assert_eq!(binder_of(number, &address), own);
        for other in [&address[1..], &address[..10], "", &format!("{address}\0")] {
            assert_eq!(binder_of(number, other), Binder::Nobody, "{other}");
        }
        let unbound = UnixDatagram::unbound().unwrap();
        assert_eq!(binder_of(number_of(&unbound), ""), Binder::Nobody);
        drop(bound);
        assert_eq!(binder_of(number, &address), Binder::Nobody);
    }

    /// An answer that is cut off anywhere, or says that its parts have no length, tells no more than
    /// what is whole.
    #[test]
    fn answers_that_are_cut_off_tell_nothing() {
        let mut answer = vec![0; HEADER + SOCKET];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        for word in [[8, 6], [7, 7], [8, USER]] {
            answer.extend(word.map(u16::to_ne_bytes).concat());
            answer.extend(7u32.to_ne_bytes());
        }
        answer[HEADER + SOCKET + 10] = 6;
        let user = |answer: &[u8]| told_in(answer).and_then(|told| told.user);
        assert_eq!(user(&answer), Some(7));
        (0..answer.len()).for_each(|len| assert_eq!(user(&answer[..len]), None, "{len}"));
        answer[HEADER + SOCKET] = 0;
        assert_eq!(user(&answer), None);
    }
}
