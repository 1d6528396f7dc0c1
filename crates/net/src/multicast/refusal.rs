//! What it means that the kernel does not do what a peer wants.

use std::fs;
use std::io;
use std::net::IpAddr;

use rustix::io::Errno;
use tautline_runtime::Conn;

use super::error::{IGMP_MEMBERSHIPS, IGMP_SOURCES, MLD_SOURCES, OPTION_MEMORY};
use super::memberships::{Change, Memberships};
use super::options::errno;
use super::{Error, Interface};
use crate::error::at;

/// What is to change: of which group, and where.
type Wanted = (IpAddr, Interface, Change);

/// Why memberships stay as they are in `table`.
pub(super) fn refused(
    conn: &Conn,
    table: &Memberships,
    (group, interface, change): Wanted,
    error: io::Error,
) -> io::Error {
    match errno(&error) {
        // By somebody who has the descriptor, past this table.
        Some(Errno::ADDRINUSE) => Error::AlreadyJoined { group, interface }.into(),
        Some(Errno::ADDRNOTAVAIL) if let Change::JoinSource(source_addr) = change => {
            Error::SourceAlreadyJoined { group, interface, source_addr }.into()
        }
        Some(Errno::NODEV) if interface == Interface::ANY => Error::NoRoute { group }.into(),
        Some(Errno::NODEV) => unknown(conn, interface).into(),
        Some(Errno::NOBUFS | Errno::NOMEM) => limit(conn, table, (group, interface, change)).into(),
        _ => at(name(change), group)(error),
    }
}

/// Which limit of the kernel was reached. Where its settings cannot be read, the first one that the
/// change may have met.
fn limit(conn: &Conn, table: &Memberships, (group, interface, change): Wanted) -> Error {
    let v4 = group.is_ipv4();
    let reached = |name, count: usize| {
        let limit = setting(conn, name);
        let met = limit.is_none_or(|limit| count as u64 >= limit);
        met.then_some(limit)
    };
    let sources = table.find(group, interface).map(|one| one.filter.sources().len());
    if let Some(count) = sources {
        let setting = if v4 { IGMP_SOURCES } else { MLD_SOURCES };
        if let Some(limit) = reached(setting, count) {
            return Error::TooManySources { setting, limit };
        }
    } else if v4 && let Some(limit) = reached(IGMP_MEMBERSHIPS, table.all().len()) {
        return Error::TooManyGroups { limit };
    }
    debug_assert!(change.source().is_some() || sources.is_none());
    Error::OptionMemory { limit: setting(conn, OPTION_MEMORY) }
}

/// A setting of the kernel, if it is the kernel that serves this socket and tells.
fn setting(conn: &Conn, name: &str) -> Option<u64> {
    if is_simulated(conn) {
        return None;
    }
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The driver of a socket knows no such interface.
pub(super) fn unknown(socket: &Conn, interface: Interface) -> Error {
    if is_simulated(socket) {
        let known = "as many as `sim::Config::interfaces` says, from 1 on".to_owned();
        return Error::UnknownInterface { asked: interface.index().to_string(), known };
    }
    Error::unknown_interface(interface.index())
}

fn is_simulated(socket: &Conn) -> bool {
    let lent = socket.with_fd(|_| Ok(()));
    lent.is_err_and(|error| error.kind() == io::ErrorKind::Unsupported)
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Join => "join",
        Change::Leave => "leave",
        Change::JoinSource(_) => "join a source of",
        Change::LeaveSource(_) => "leave a source of",
        Change::Block(_) => "block a source of",
        Change::Unblock(_) => "unblock a source of",
    }
}
