//! Who is at the other end of a Unix socket, as the kernel tells: `SO_PEERCRED` and
//! `SO_PEERGROUPS` (`unix(7)`, Linux 4.13).
//!
//! Asked here by hand, for `rustix` has no call for the groups, and takes a process number for one
//! that is never zero, which it is where the peer belongs to another PID namespace. The numbers of
//! the options are those of x86, ARM and RISC-V.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd};

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

#[cfg(test)]
mod tests {
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
}
