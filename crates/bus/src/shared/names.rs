//! How an object is found by its name, without a daemon and without anything that could be left
//! behind.
//!
//! Two kinds of abstract Unix sockets stand for a name; the kernel removes both with their process:
//!
//! - the *key*, one for a name: who has it bound may make the object if nobody has it;
//! - a *presence* for each participant, which tells its process.
//!
//! A participant keeps the segment's descriptor open. Whoever may read its table of descriptors
//! opens the segment from there, without its help: it may spin, sleep or be stopped.
//!
//! ```text
//! bind a presence
//! bind the key ── is free ──▶ look at the others' presences ── one has the segment ──▶ open it
//!      │                           │ none is left ──▶ make the segment
//!      │                           └ one has none yet: it joins; wait, it withdraws or finds
//!      └ is taken ──▶ look at the others' presences ── one has the segment ──▶ open it
//!                                  └ none: withdraw the presence, wait, begin again
//! ```
//!
//! So there is never a second segment. Who makes one has the key, and has seen that no presence
//! is left; who opens one had bound its presence before, so that it is seen. When the holder of
//! the key dies, the next newcomer takes it over, and finds the segment with any participant.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, UCred};

use crate::shared::error::OpenError;
use crate::shared::identity::{Identity, start_time};
use crate::shared::segment::{Access, Segment};
use crate::sync::{AtomicU64, Ordering};

/// The most bytes of a namespace, and of a name: both must fit into a socket's address.
const MAX_NAME: usize = 30;

/// How long somebody waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// What an object is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    namespace: String,
    name: String,
}

impl Name {
    /// # Errors
    /// [`OpenError::BadName`].
    pub(crate) fn new(namespace: &str, name: &str) -> Result<Self, OpenError> {
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
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// The address of the key. Users do not meet: each has names of its own.
    fn key(&self) -> String {
        format!("{}{}/{}", own_prefix(), self.namespace, self.name)
    }

    /// Those who take part.
    ///
    /// # Errors
    /// When the kernel's list of sockets cannot be read.
    pub(crate) fn presences(&self) -> Result<Vec<Presence>, OpenError> {
        presences(&format!("{}#", self.key()))
    }

    /// Out of `namespace/name`.
    ///
    /// # Errors
    /// [`OpenError::BadName`].
    pub(crate) fn of_text(text: &str) -> Result<Self, OpenError> {
        let why = "write NAMESPACE/NAME";
        let bad = || OpenError::BadName { name: text.to_owned(), why };
        let (namespace, name) = text.split_once('/').ok_or_else(bad)?;
        Self::new(namespace, name)
    }

    /// What the segment's file is called in the tables of descriptors.
    pub(crate) fn label(&self) -> String {
        format!("tautline-bus/{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
    Name::new(namespace, name).map(drop)
}

/// How the addresses of all names of this user begin.
pub(crate) fn own_prefix() -> String {
    format!("tautline-bus/{}/", rustix::process::geteuid().as_raw())
}

/// What a participant holds under a name.
#[derive(Debug)]
pub(crate) struct Standing {
    _presence: UnixDatagram,
    /// Of whoever could bind it.
    _key: Option<UnixListener>,
}

/// What somebody finds who comes under a name.
pub(crate) enum Found {
    /// The segment, of somebody who has it.
    Segment(Segment),
    /// Nobody: it is the caller's to make.
    Nobody,
}

/// Comes under a name.
///
/// # Errors
/// [`OpenError`]; nothing is held then.
pub(crate) fn enter(name: &Name, patience: Duration) -> Result<(Standing, Found), OpenError> {
    let due = Instant::now() + patience;
    let mut unreachable = None;
    loop {
        let (presence, address) = bind_presence(name)?;
        if let Some(key) = bind_key(name)? {
            let found = direct(name, &address, due)?;
            return Ok((Standing { _presence: presence, _key: Some(key) }, found));
        }
        match look_around(name, &address)? {
            Around::Segment(segment) => {
                let standing = Standing { _presence: presence, _key: None };
                return Ok((standing, Found::Segment(segment)));
            }
            Around::Unreachable(error) => unreachable = Some(error),
            Around::Nobody | Around::Joining => {}
        }
        // Withdrawn, so that the holder of the key need not wait for this.
        drop(presence);
        if Instant::now() >= due {
            return Err(unreachable.unwrap_or_else(|| who_squats(name)));
        }
        thread::sleep(PAUSE);
    }
}

/// What the holder of the key does: waits until somebody has the segment, or nobody is left.
fn direct(name: &Name, own: &str, due: Instant) -> Result<Found, OpenError> {
    loop {
        let error = match look_around(name, own)? {
            Around::Segment(segment) => return Ok(Found::Segment(segment)),
            Around::Nobody => return Ok(Found::Nobody),
            Around::Unreachable(error) => error,
            Around::Joining => OpenError::NotFound { name: name.to_string() },
        };
        if Instant::now() >= due {
            return Err(error);
        }
        thread::sleep(PAUSE);
    }
}

// --------------------------------------------------------------------------------- binding

fn abstract_address(text: &str) -> Result<SocketAddr, OpenError> {
    SocketAddr::from_abstract_name(text)
        .map_err(|source| OpenError::System { what: "address a socket", source })
}

/// Binds a presence; returns its address too.
fn bind_presence(name: &Name) -> Result<(UnixDatagram, String), OpenError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let own = Identity::own()
        .map_err(|source| OpenError::System { what: "tell this process's start time", source })?;
    loop {
        // Relaxed: any number that this process has not used will do.
        let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0xffff;
        let address = format!("{}#{:x}.{:x}.{count:x}", name.key(), own.pid(), own.start());
        match UnixDatagram::bind_addr(&abstract_address(&address)?) {
            Ok(socket) => return Ok((socket, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(source) => return Err(OpenError::System { what: "bind a presence", source }),
        }
    }
}

/// Binds the key, if it is free.
fn bind_key(name: &Name) -> Result<Option<UnixListener>, OpenError> {
    match UnixListener::bind_addr(&abstract_address(&name.key())?) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(source) => Err(OpenError::System { what: "bind a name", source }),
    }
}

/// Nobody who takes part has the object, yet its key is bound: by whom?
fn who_squats(name: &Name) -> OpenError {
    let credentials = credentials_of(&name.key()).ok();
    let pid = credentials.map(|of| of.pid.as_raw_nonzero().get().unsigned_abs());
    OpenError::Squatted {
        name: name.to_string(),
        uid: credentials.map(|of| of.uid.as_raw()),
        pid: pid.filter(|pid| *pid != 0),
    }
}

/// Who listens at that abstract address. Does not wait: the queue of one who never accepts may be
/// full.
fn credentials_of(address: &str) -> Result<UCred, Errno> {
    let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK);
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(address.as_bytes())?)?;
    rustix::net::sockopt::socket_peercred(&socket)
}

// --------------------------------------------------------------------------------- looking

/// What is to be seen of the others under a name.
pub(crate) enum Around {
    /// Somebody has the segment.
    Segment(Segment),
    /// Somebody is there who has none yet.
    Joining,
    /// Somebody is there whose segment cannot be had, for now at least.
    Unreachable(OpenError),
    /// Nobody is there.
    Nobody,
}

fn look_around(name: &Name, own: &str) -> Result<Around, OpenError> {
    let mut around = Around::Nobody;
    for other in name.presences()? {
        if other.address == own {
            continue;
        }
        match other.segment(&name.label())? {
            Around::Segment(segment) => return Ok(Around::Segment(segment)),
            Around::Nobody => {}
            Around::Joining => around = Around::Joining,
            Around::Unreachable(error) => around = Around::Unreachable(error),
        }
    }
    Ok(around)
}

/// A participant, as the kernel's list of sockets has it.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The address of its socket.
    pub(crate) address: String,
    /// The process that it names.
    pub(crate) who: Identity,
    /// The socket, by its number in the kernel.
    inode: u64,
}

/// All presences whose address begins so.
///
/// # Errors
/// When `/proc/net/unix` cannot be read.
pub(crate) fn presences(prefix: &str) -> Result<Vec<Presence>, OpenError> {
    let list = fs::read("/proc/net/unix")
        .map_err(|source| OpenError::System { what: "read /proc/net/unix", source })?;
    // Other programs' addresses may hold any bytes.
    let list = String::from_utf8_lossy(&list);
    Ok(list.lines().filter_map(|line| Presence::parse(line, prefix)).collect())
}

impl Presence {
    /// The namespace and the name that it stands for.
    pub(crate) fn name(&self) -> Option<Name> {
        let mut parts = self.address.rsplit_once('#')?.0.split('/').skip(2);
        Name::new(parts.next()?, parts.next()?).ok()
    }

    /// A line of `/proc/net/unix` (`proc_net(5)`): the address is last, with `@` for the zero in
    /// front of an abstract one.
    fn parse(line: &str, prefix: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace().skip(6);
        let inode = fields.next()?.parse().ok()?;
        let address = fields.next()?.strip_prefix('@')?;
        if !address.starts_with(prefix) {
            return None;
        }
        let mut numbers = address.rsplit_once('#')?.1.split('.');
        let mut number = || u64::from_str_radix(numbers.next()?, 16).ok();
        let (pid, start) = (u32::try_from(number()?).ok()?, number()?);
        Some(Self { address: address.to_owned(), who: Identity::new(pid, start), inode })
    }

    /// Opens the segment of that label from the table of descriptors of its process.
    pub(crate) fn segment(&self, label: &str) -> Result<Around, OpenError> {
        self.segment_as(label, Access::Write)
    }

    /// The same, for what it is wanted for.
    pub(crate) fn segment_as(&self, label: &str, access: Access) -> Result<Around, OpenError> {
        let pid = self.who.pid();
        if !start_time(pid).is_ok_and(|start| Identity::new(pid, start) == self.who) {
            // It has just ended, or its number means nothing here.
            let why = "there is no such process here".to_owned();
            return Ok(Around::Unreachable(OpenError::Unreachable { pid, why }));
        }
        match self.find_descriptor(label, access) {
            Ok(Some(file)) => match Segment::adopt(file, access) {
                // It may be on its way: a file is there before it is sized and sealed.
                Err(error @ (OpenError::NotSealed { .. } | OpenError::Damaged { .. })) => {
                    Ok(Around::Unreachable(error))
                }
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
        let memory = format!("/memfd:{label} (deleted)");
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
                let file =
                    fs::File::options().read(true).write(access == Access::Write).open(path)?;
                Ok(Some(file.into()))
            }
            _ => Ok(None),
        }
    }
}
