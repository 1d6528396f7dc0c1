//! The participants under a name, as the kernel's list of sockets shows them, and what they have.
//!
//! The list is a hint: it shows addresses as they are, line ends too, so that any process can have a
//! line of its own making in it. A door is called, and a socket without a door is asked about by its
//! number ([`Presence::binder`]), before anything is believed of it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use crate::shared::credentials::{Binder, binder_of};
use rustix::fs::OFlags;

use crate::shared::error::OpenError;
use crate::shared::identity::{Identity, start_time};
use crate::shared::names::Name;
use crate::shared::segment::{Access, Segment};

/// `SOCK_DGRAM` and `SOCK_SEQPACKET`, as the list shows them.
const DATAGRAM: &str = "0002";
const SEQUENCED: &str = "0005";

/// Among a socket's flags: it listens.
const LISTENS: u32 = 1 << 16;

/// What is to be had of a participant, or of all of them.
#[derive(Debug)]
pub(crate) enum Around {
    /// The segment.
    Segment(Segment),
    /// Somebody is there who has none yet.
    Joining,
    /// Somebody is there whose segment cannot be had, for now at least.
    Unreachable(OpenError),
    /// Nobody is there.
    Nobody,
}

/// A participant, as the kernel's list of sockets has it.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The address of its socket.
    pub(crate) address: String,
    /// The process that it names.
    pub(crate) who: Identity,
    /// It is a door.
    pub(crate) is_door: bool,
    /// The socket, by its number in the kernel.
    inode: u32,
}

/// All presences whose address begins so.
///
/// # Errors
/// When `/proc/net/unix` cannot be read.
pub(crate) fn presences(prefix: &str) -> Result<Vec<Presence>, OpenError> {
    let list = fs::read("/proc/net/unix")
        .map_err(|source| OpenError::System { what: "read /proc/net/unix", source })?;
    // Other programs' addresses may hold any bytes, participants' never.
    let lines = list.split(|byte| *byte == b'\n').filter(|line| line.is_ascii());
    let lines = lines.filter_map(|line| str::from_utf8(line).ok());
    Ok(lines.filter_map(|line| Presence::parse(line, prefix)).collect())
}

impl Presence {
    /// The namespace and the name that it stands for.
    pub(crate) fn name(&self) -> Option<Name> {
        let mut parts = self.address.rsplit_once('#')?.0.split('/').skip(1);
        let owner = parts.next()?.parse().ok()?;
        Name::new(owner, parts.next()?, parts.next()?).ok()
    }

    /// A line of `/proc/net/unix` (`proc_net(5)`): the address is last, with `@` for the zero in
    /// front of an abstract one.
    fn parse(line: &str, prefix: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
        let is_door = match fields.next()? {
            DATAGRAM => false,
            // One that does not listen yet has not looked either, and sees whoever looks now. Those
            // that it has accepted have its address too.
            SEQUENCED if flags & LISTENS != 0 => true,
            _ => return None,
        };
        let inode = fields.nth(1)?.parse().ok()?;
        let address = fields.next()?.strip_prefix('@')?;
        if !address.starts_with(prefix) {
            return None;
        }
        let mut numbers = address.rsplit_once('#')?.1.split('.');
        let mut number = || u64::from_str_radix(numbers.next()?, 16).ok();
        let (pid, start) = (u32::try_from(number()?).ok()?, number()?);
        Some(Self { address: address.to_owned(), who: Identity::new(pid, start), is_door, inode })
    }

    /// Who has bound it.
    pub(crate) fn binder(&self) -> Binder {
        binder_of(self.inode, &self.address)
    }

    /// Opens the segment of that name from the table of descriptors of its process, which must be
    /// of this user.
    ///
    /// # Errors
    /// What is wrong with the segment.
    pub(crate) fn by_table(&self, name: &Name, access: Access) -> Result<Around, OpenError> {
        let pid = self.who.pid();
        if !start_time(pid).is_ok_and(|start| Identity::new(pid, start) == self.who) {
            // It has just ended, or its number means nothing here.
            let why = "there is no such process here".to_owned();
            return Ok(Around::Unreachable(OpenError::Unreachable { pid, why }));
        }
        match self.find_descriptor(&name.label(), access) {
            Ok(Some(file)) => match Segment::adopt(file, access, name.owner()) {
                // It may be on its way: a file is there before it is sized and sealed. Another
                // user's was bound by that one, which not every kernel tells.
                Err(
                    error @ (OpenError::NotSealed { .. }
                    | OpenError::Damaged { .. }
                    | OpenError::Owner { .. }),
                ) => Ok(Around::Unreachable(error)),
                done => done.map(Around::Segment),
            },
            Ok(None) => Ok(Around::Joining),
            Err(error) => {
                Ok(Around::Unreachable(OpenError::Unreachable { pid, why: error.to_string() }))
            }
        }
    }

    /// The memory file of that label, if the process has it, and the presence is really its own.
    fn find_descriptor(&self, label: &str, access: Access) -> io::Result<Option<OwnedFd>> {
        let folder = format!("/proc/{}/fd", self.who.pid());
        let presence = format!("socket:[{}]", self.inode);
        let memory = link_of(label);
        let (mut is_present, mut path) = (false, None);
        for entry in fs::read_dir(&folder)? {
            let entry = entry?.path();
            // Closed meanwhile.
            let Ok(target) = fs::read_link(&entry) else { continue };
            is_present |= target.as_os_str() == presence.as_str();
            if target.as_os_str() == memory.as_str() {
                path = Some(entry);
            }
        }
        match path {
            Some(path) if is_present => {
                // It may be another file by now, which must neither be waited for nor become this
                // process's terminal.
                let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
                let mut options = fs::File::options();
                options.read(true).write(access == Access::Write).custom_flags(flags);
                Ok(Some(options.open(path)?.into()))
            }
            _ => Ok(None),
        }
    }
}

/// How a memory file of that label shows in a table of descriptors.
pub(crate) fn link_of(label: &str) -> String {
    format!("/memfd:{label} (deleted)")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the sockets that the kernel lists those are participants that are addressed so and are of
    /// the right type; a socket that does not listen, or was accepted, is none.
    #[test]
    fn participants_are_told_from_other_sockets() {
        let line = |flags: &str, kind: &str, state: &str| {
            format!(
                "0000: 00000002 00000000 {flags} {kind} {state} 4711 @tautline-bus/7/a/b#1f.2.0"
            )
        };
        let parse = |line: &str| Presence::parse(line, "tautline-bus/7/a/");
        let quiet = parse(&line("00000000", "0002", "01")).unwrap();
        let name = quiet.name().unwrap();
        assert_eq!((quiet.is_door, quiet.inode, quiet.who.pid()), (false, 4711, 31));
        assert_eq!((name.owner(), name.label().as_str()), (7, "tautline-bus/a/b"));
        assert!(parse(&line("00010000", "0005", "01")).unwrap().is_door);
        for other in [
            line("00000000", "0005", "01"),
            line("00000000", "0005", "03"),
            line("00010000", "0001", "01"),
            line("00000000", "0002", "01").replace("/7/", "/8/"),
            "Num RefCount Protocol Flags Type St Inode Path".to_owned(),
        ] {
            assert!(parse(&other).is_none(), "{other}");
        }
    }
}
