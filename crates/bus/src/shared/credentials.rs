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
/// `UDIAG_SHOW_UID`.
const SHOW_USER: u32 = 0x40;
/// `UNIX_DIAG_UID`.
const USER: u16 = 7;
/// Bytes of a message's header, and of what every answer begins with.
const HEADER: usize = 16;
const SOCKET: usize = 16;

/// The user who has made the Unix socket of that number; `None`: it is gone, or the kernel does not
/// tell.
pub(crate) fn user_of_socket(number: u64) -> Option<u32> {
    let flags = SocketFlags::CLOEXEC;
    let kind = Some(netlink::SOCK_DIAG);
    let kernel =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, kind).ok()?;
    let question = question(u32::try_from(number).ok()?);
    rustix::net::send(&kernel, &question, SendFlags::empty()).ok()?;
    // Answered within the call before: there is nothing to wait for.
    let mut answer = [0; 256];
    let (len, _) = rustix::net::recv(&kernel, &mut answer[..], RecvFlags::DONTWAIT).ok()?;
    user_in(answer.get(..len)?)
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
    for word in [u32::MAX, number, SHOW_USER, u32::MAX, u32::MAX] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// The user among the attributes that follow `struct unix_diag_msg`.
fn user_in(answer: &[u8]) -> Option<u32> {
    let half = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    if half(answer, 4)? != BY_FAMILY {
        return None;
    }
    let mut rest = answer.get(HEADER + SOCKET..)?;
    while rest.len() >= 8 {
        let (len, kind) = (half(rest, 0)?, half(rest, 2)?);
        if kind == USER {
            return Some(u32::from_ne_bytes(*rest[4..].first_chunk()?));
        }
        rest = rest.get(usize::from(len).max(4).next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream;

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

    /// The kernel tells whose a socket is by its number, and nothing of one that is not there.
    #[test]
    fn the_kernel_tells_whose_a_socket_is() {
        let (one, _other) = UnixStream::pair().unwrap();
        let path = format!("/proc/self/fd/{}", one.as_raw_fd());
        let number = std::fs::metadata(path).unwrap().ino();
        assert_eq!(user_of_socket(number), Some(rustix::process::geteuid().as_raw()));
        drop((one, _other));
        assert_eq!(user_of_socket(number), None);
    }

    /// An answer that is cut off anywhere, or says that its parts have no length, tells nothing.
    #[test]
    fn answers_that_are_cut_off_tell_nothing() {
        let mut answer = vec![0; HEADER + SOCKET];
        answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        for word in [[8, 6], [7, 7], [8, USER]] {
            answer.extend(word.map(u16::to_ne_bytes).concat());
            answer.extend(7u32.to_ne_bytes());
        }
        answer[HEADER + SOCKET + 10] = 6;
        assert_eq!(user_in(&answer), Some(7));
        (0..answer.len()).for_each(|len| assert_eq!(user_in(&answer[..len]), None, "{len}"));
        answer[HEADER + SOCKET] = 0;
        assert_eq!(user_in(&answer[..HEADER + SOCKET + 8]), None);
    }
}
