//! How an object is found by its name, without a daemon and without anything that could be left
//! behind.
//!
//! Two kinds of abstract Unix sockets stand for a name; the kernel removes both with their process:
//!
//! - the *key*, one for a name: the process of the owner that has it bound may make the object if
//!   nobody has it;
//! - a *presence* for each participant, which tells its process.
//!
//! A participant keeps the segment's descriptor open. Whoever may read its table of descriptors
//! opens the segment from there, without its help: it may spin, sleep or be stopped.
//!
//! ```text
//! bind a presence
//! bind the key ── is free ──▶ look at the others' presences ── one has the segment ──▶ open it
//!      │                           │ none is left, seen twice ──▶ make the segment
//!      │                           └ one has none yet: it joins; wait, it withdraws or finds
//!      └ is taken ──▶ look at the others' presences ── one has the segment ──▶ open it
//!                                  └ none: withdraw the presence, wait, begin again
//! ```
//!
//! So there is never a second segment. Who makes one has the key, and has seen that no presence
//! is left; who opens one had bound its presence before, so that it is seen. When the holder of
//! the key dies, the next newcomer takes it over, and finds the segment with any participant. Seen
//! twice, for the kernel lists sockets piece by piece: in the midst of a list a participant may come
//! whose place has passed, get the segment from one whose place has not, and that one end. It is
//! there when the list is read anew.
//!
//! A name can be reserved before there is an object (`reservation.rs`): the key and a presence without
//! a segment, for which newcomers wait as for any other.
//!
//! # Guests
//!
//! Where the owner lets other users in ([`Guests`]), tables of descriptors do not do: no user reads
//! those of another. There the presence of each participant, be it of the owner (a *host*) or a
//! guest, is a *door*: a socket of another type at the same kind of address, which listens, and
//! a thread behind it (`door.rs`). It hands the segment to the owner's processes and to guests, and
//! says "none yet" while its own is joining. It counts as a presence from the moment it listens.
//!
//! Guests come another way, for they neither have the key nor make anything:
//!
//! ```text
//! ask at the doors ── one has the segment ──▶ listen at a door of one's own ──▶ ask again
//!      │                                           │ one has it ──▶ open it
//!      └ none: wait, begin again ◀── withdraw ─────┘ none: it has just ended
//! ```
//!
//! What was said above still holds. A guest that opens a segment had its door before, and hosts that
//! hold the key wait for it while it says "none yet"; when all hosts have gone, the next one finds
//! the segment at the door of a guest, which knows from the segment who may have it. A guest listens
//! only when it has just seen that there is something to open, so that any number of guests who wait
//! for a maker do not keep it from making. `around.rs` says whose word counts for what: a user that
//! a host does not know as a guest is nobody for it, whatever it has bound.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::shared::access::{Guests, Stance};
use crate::shared::around::Seeker;
use crate::shared::credentials::Peer;
use crate::shared::door::Door;
use crate::shared::error::OpenError;
use crate::shared::identity::Identity;
use crate::shared::presence::{Around, Presence, presences};
use crate::shared::segment::{Access, Segment};
use crate::sync::{AtomicU64, Ordering};

/// The most bytes of a namespace, and of a name: both must fit into a socket's address.
const MAX_NAME: usize = 30;

/// So many addresses are there for the presences of a process under one name.
const PRESENCES: u64 = if cfg!(test) { 16 } else { 1 << 16 };

/// How long somebody waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// The user that it belongs to.
    owner: u32,
    namespace: String,
    name: String,
}

impl Name {
    /// # Errors
    /// [`OpenError::BadName`].
    pub(crate) fn new(owner: u32, namespace: &str, name: &str) -> Result<Self, OpenError> {
        for part in [namespace, name] {
            let bad = |why| OpenError::BadName { name: part.to_owned(), why };
            if part.is_empty() || part.len() > MAX_NAME {
                return Err(bad("it must have 1 to 30 characters"));
            }
            let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !part.chars().all(allowed) {
                return Err(bad("only letters, digits, '.', '_' and '-' may stand in it"));
            }
        }
        Ok(Self { owner, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The address of the key. Users do not meet: each has names of its own.
    fn key(&self) -> String {
        format!("{}{}/{}", prefix_of(self.owner), self.namespace, self.name)
    }

    /// The user that it belongs to.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// It belongs to the user of this process.
    pub(crate) fn is_own(&self) -> bool {
        self.owner == own_user()
    }

    /// Those who take part.
    ///
    /// # Errors
    /// When the kernel's list of sockets cannot be read.
    pub(crate) fn presences(&self) -> Result<Vec<Presence>, OpenError> {
        presences(&format!("{}#", self.key()))
    }

    /// Out of `namespace/name`, or `user:namespace/name` of another user.
    ///
    /// # Errors
    /// [`OpenError::BadName`].
    pub(crate) fn of_text(text: &str) -> Result<Self, OpenError> {
        let why = "write NAMESPACE/NAME, or USER:NAMESPACE/NAME with the number of another user";
        let bad = || OpenError::BadName { name: text.to_owned(), why };
        let (owner, path) = match text.split_once(':') {
            Some((owner, path)) => (owner.parse().map_err(|_| bad())?, path),
            None => (own_user(), text),
        };
        let (namespace, name) = path.split_once('/').ok_or_else(bad)?;
        Self::new(owner, namespace, name)
    }

    /// What the segment's file is called in the tables of descriptors.
    pub(crate) fn label(&self) -> String {
        format!("tautline-bus/{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.is_own() {
            write!(f, "{}:", self.owner)?;
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether objects can be opened by that namespace and name: for those who take names from their
/// users, and want to say so before anything is opened.
///
/// # Errors
/// [`OpenError::BadName`]: either must have 1 to 30 letters, digits, dots, hyphens or underscores.
///
/// ```
/// use tautline_bus::shared::check_name;
/// assert!(check_name("feeds", "prices-2").is_ok());
/// assert!(check_name("feeds", "all prices").is_err());
/// ```
pub fn check(namespace: &str, name: &str) -> Result<(), OpenError> {
    Name::new(own_user(), namespace, name).map(drop)
}

/// How the addresses of all names of a user begin.
pub(crate) fn prefix_of(user: u32) -> String {
    format!("tautline-bus/{user}/")
}

/// The user of this process.
pub(crate) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// When somebody gives up who waits for so long.
pub(crate) fn due(patience: Duration) -> Instant {
    let now = Instant::now();
    // A year is for ever.
    now + patience.min(Duration::from_secs(365 * 24 * 3600))
}

/// What a participant holds under a name.
#[derive(Debug)]
pub(crate) struct Standing {
    presence: Seen,
    /// Where the presence is bound.
    address: String,
    /// Of whoever could bind it.
    _key: Option<UnixListener>,
}

/// A presence.
#[derive(Debug)]
enum Seen {
    /// Where nobody but the owner comes.
    Quiet(#[expect(dead_code, reason = "held, and never used")] UnixDatagram),
    Door(Door),
}

impl Standing {
    /// Lets those have the segment who may, where there is a door.
    ///
    /// # Errors
    /// There is no descriptor to be had.
    pub(crate) fn hand_out(&self, segment: &Segment, guests: Guests) -> Result<(), OpenError> {
        match (&self.presence, segment.file()) {
            (Seen::Door(door), Some(file)) => door
                .open(file, guests)
                .map_err(|source| OpenError::System { what: "hand a segment out", source }),
            _ => Ok(()),
        }
    }
}

/// What somebody finds who comes under a name.
pub(crate) enum Found {
    /// The segment, of somebody who has it.
    Segment(Segment),
    /// Nobody: it is the caller's to make.
    Nobody,
}

/// Comes under a name, and waits at most for so long.
///
/// # Errors
/// [`OpenError`]; nothing is held then.
pub(crate) fn enter(
    name: &Name,
    stance: &Stance,
    patience: Duration,
) -> Result<(Standing, Found), OpenError> {
    let due = due(patience);
    match stance {
        Stance::Host(guests) => enter_as_host(name, stance, guests, due),
        Stance::Guest(_) => enter_as_guest(name, stance, due),
    }
}

/// Comes under a name that was kept: as the one who has the key.
///
/// # Errors
/// As [`enter`].
pub(crate) fn enter_kept(
    name: &Name,
    stance: &Stance,
    standing: &Standing,
    patience: Duration,
) -> Result<Found, OpenError> {
    let own = Some(standing.address.as_str());
    direct(&Seeker { name, stance, own, access: Access::Write }, due(patience))
}

fn enter_as_host(
    name: &Name,
    stance: &Stance,
    guests: &Guests,
    due: Instant,
) -> Result<(Standing, Found), OpenError> {
    let mut unreachable = None;
    loop {
        let mut is_kept = false;
        let (presence, address) = bind_presence(name, guests.are_any())?;
        let seeker = Seeker { name, stance, own: Some(&address), access: Access::Write };
        if let Some(key) = bind_key(name)? {
            let found = direct(&seeker, due)?;
            return Ok((Standing { presence, address, _key: Some(key) }, found));
        }
        match seeker.look()? {
            Around::Segment(segment) => {
                return Ok((Standing { presence, address, _key: None }, Found::Segment(segment)));
            }
            Around::Unreachable(error) => unreachable = Some(error),
            Around::Joining => is_kept = true,
            Around::Nobody => {}
        }
        // Withdrawn, so that the holder of the key need not wait for this.
        drop(presence);
        if Instant::now() >= due {
            return Err(unreachable.unwrap_or_else(|| who_has(name, is_kept)));
        }
        thread::sleep(PAUSE);
    }
}

/// What the holder of the key does: waits until somebody has the segment, or nobody is left.
fn direct(seeker: &Seeker<'_>, due: Instant) -> Result<Found, OpenError> {
    let mut seen_empty = false;
    loop {
        let error = match seeker.look()? {
            Around::Segment(segment) => return Ok(Found::Segment(segment)),
            Around::Nobody if seen_empty => return Ok(Found::Nobody),
            Around::Nobody => {
                seen_empty = true;
                continue;
            }
            Around::Unreachable(error) => error,
            Around::Joining => OpenError::Joining { name: seeker.name.to_string() },
        };
        seen_empty = false;
        if Instant::now() >= due {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
}

/// What a guest does, which makes nothing: it is seen only once there is something to be had.
fn enter_as_guest(
    name: &Name,
    stance: &Stance,
    due: Instant,
) -> Result<(Standing, Found), OpenError> {
    let mut unreachable = None;
    loop {
        let seeker = Seeker { name, stance, own: None, access: Access::Write };
        match seeker.look()? {
            Around::Segment(_) => {
                let (presence, address) = bind_presence(name, true)?;
                let seeker = Seeker { own: Some(&address), ..seeker };
                if let Around::Segment(segment) = seeker.look()? {
                    return Ok((
                        Standing { presence, address, _key: None },
                        Found::Segment(segment),
                    ));
                }
            }
            Around::Unreachable(error) => unreachable = Some(error),
            Around::Nobody | Around::Joining => {}
        }
        if Instant::now() >= due {
            let missing = || OpenError::NotFound { name: name.to_string() };
            return Err(unreachable.unwrap_or_else(missing));
        }
        thread::sleep(PAUSE);
    }
}

// --------------------------------------------------------------------------------- binding

fn abstract_address(text: &str) -> Result<SocketAddr, OpenError> {
    SocketAddr::from_abstract_name(text)
        .map_err(|source| OpenError::System { what: "address a socket", source })
}

/// Binds a presence, with a door or without; returns its address too.
fn bind_presence(name: &Name, with_door: bool) -> Result<(Seen, String), OpenError> {
    const BIND: &str = "bind a presence (see /proc/net/unix for who has bound its addresses)";
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let own = Identity::own()
        .map_err(|source| OpenError::System { what: "tell this process's start time", source })?;
    let mut taken = io::ErrorKind::AddrInUse.into();
    for _ in 0..PRESENCES {
        // Relaxed: any number that this process has not used will do.
        let count = COUNT.fetch_add(1, Ordering::Relaxed) % PRESENCES;
        let address = format!("{}#{:x}.{:x}.{count:x}", name.key(), own.pid(), own.start());
        let bound = if with_door {
            Door::at(&address, name.owner()).map(Seen::Door)
        } else {
            UnixDatagram::bind_addr(&abstract_address(&address)?).map(Seen::Quiet)
        };
        match bound {
            Ok(seen) => return Ok((seen, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            Err(source) => return Err(OpenError::System { what: BIND, source }),
        }
    }
    // Somebody else has bound them all.
    Err(OpenError::System { what: BIND, source: taken })
}

/// Binds the key, if it is free.
fn bind_key(name: &Name) -> Result<Option<UnixListener>, OpenError> {
    match UnixListener::bind_addr(&abstract_address(&name.key())?) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(source) => Err(OpenError::System { what: "bind a name", source }),
    }
}

/// Nobody who takes part has the object, yet its key is bound: by whom? Somebody who takes part keeps
/// it, or somebody who does not has it.
fn who_has(name: &Name, is_kept: bool) -> OpenError {
    let peer = listener_at(&name.key()).ok();
    let (uid, pid) = (peer.as_ref().map(|peer| peer.uid), peer.and_then(|peer| peer.pid));
    let (name, is_own) = (name.to_string(), uid == Some(name.owner()));
    if is_kept && is_own {
        return OpenError::Reserved { name, pid };
    }
    OpenError::Squatted { name, uid, pid }
}

/// Who listens at that abstract address. Does not wait: the queue of one who never accepts may be
/// full.
fn listener_at(address: &str) -> io::Result<Peer> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(address.as_bytes())?)?;
    Peer::of(&socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where somebody else has bound all addresses that a presence could have that is an error, and
    /// one that is free is found.
    #[test]
    fn addresses_that_are_all_taken_are_an_error() {
        let namespace = format!("taken-{}", std::process::id());
        let name = Name::new(own_user(), &namespace, "numbers").unwrap();
        for with_door in [false, true] {
            let mut bound = Vec::new();
            while bound.len() < PRESENCES as usize {
                bound.push(bind_presence(&name, with_door).unwrap());
            }
            let error = bind_presence(&name, with_door).unwrap_err();
            let OpenError::System { source, .. } = &error else { panic!("{error}") };
            assert_eq!(source.kind(), io::ErrorKind::AddrInUse, "{error}");
            let (_, free) = bound.swap_remove(3);
            assert_eq!(bind_presence(&name, with_door).unwrap().1, free);
        }
    }
}
