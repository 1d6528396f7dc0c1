//! The names of Unix sockets.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tautline_runtime::Descriptor;

use crate::error::invalid;

/// The name of a Unix socket: a path, or a name in the kernel's abstract space, which is
/// no file and vanishes with its socket. As text, an abstract name begins with `@`.
///
/// ```
/// use tautline_net::UnixAddress;
/// assert_eq!(UnixAddress::from("@feed"), UnixAddress::abstract_name("feed"));
/// assert_eq!(UnixAddress::from("./@feed").to_string(), "./@feed");
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UnixAddress(Name);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Name {
    Path(PathBuf),
    Abstract(Vec<u8>),
    Unnamed,
}

impl UnixAddress {
    /// A path, whatever it begins with.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Name::Path(path.into()))
    }

    /// A name in the abstract space.
    pub fn abstract_name(name: impl AsRef<[u8]>) -> Self {
        Self(Name::Abstract(name.as_ref().to_vec()))
    }

    /// Its path, if it is one.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Name::Path(path) => Some(path),
            _ => None,
        }
    }

    /// Whether it has no name: the peer did not bind.
    pub fn is_unnamed(&self) -> bool {
        self.0 == Name::Unnamed
    }

    pub(crate) fn to_socket(&self) -> io::Result<SockAddr> {
        let made = match &self.0 {
            Name::Path(path) => SockAddr::unix(path),
            Name::Abstract(name) => {
                use std::os::unix::ffi::OsStrExt;
                let name = [&[0], name.as_slice()].concat();
                SockAddr::unix(std::ffi::OsStr::from_bytes(&name))
            }
            Name::Unnamed => return Err(invalid("a Unix socket without a name".to_owned())),
        };
        made.map_err(|_| {
            invalid(format!("`{self}` is too long for a Unix socket: 107 bytes at most"))
        })
    }

    pub(crate) fn of(addr: &SockAddr) -> Self {
        Self(match (addr.as_pathname(), addr.as_abstract_namespace()) {
            (Some(path), _) => Name::Path(path.to_owned()),
            (_, Some(name)) => Name::Abstract(name.to_vec()),
            _ => Name::Unnamed,
        })
    }

    /// Gives `socket`, which is of this `kind`, the name; if asked to, it takes over a path that
    /// an earlier process has left.
    pub(crate) fn bind(&self, socket: &Descriptor, kind: Type, over_stale: bool) -> io::Result<()> {
        let name = self.to_socket()?;
        match socket.bind(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && over_stale => {
                if !self.remove_stale(kind)? {
                    return Err(error);
                }
                socket.bind(&name)
            }
            bound => bound,
        }
    }

    /// Removes a socket that nobody listens on any more; whether there was one.
    fn remove_stale(&self, kind: Type) -> io::Result<bool> {
        let Some(path) = self.as_path() else { return Ok(false) };
        if !fs::symlink_metadata(path)?.file_type().is_socket() {
            return Ok(false);
        }
        let probe = Socket::new(Domain::UNIX, kind.nonblocking().cloexec(), None)?;
        match probe.connect(&self.to_socket()?) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

impl From<&str> for UnixAddress {
    fn from(text: &str) -> Self {
        match text.strip_prefix('@') {
            Some(name) => Self::abstract_name(name),
            None => Self::path(text),
        }
    }
}

impl From<&String> for UnixAddress {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<&Path> for UnixAddress {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<PathBuf> for UnixAddress {
    fn from(path: PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<&PathBuf> for UnixAddress {
    fn from(path: &PathBuf) -> Self {
        Self::path(path)
    }
}

impl From<&Self> for UnixAddress {
    fn from(address: &Self) -> Self {
        address.clone()
    }
}

/// What a batch names its receivers by. Fails with
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is too long, or none.
impl TryFrom<&UnixAddress> for SockAddr {
    type Error = io::Error;

    fn try_from(address: &UnixAddress) -> io::Result<Self> {
        address.to_socket()
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Name::Path(path) => path.display().fmt(f),
            Name::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Name::Unnamed => f.write_str("(unnamed)"),
        }
    }
}
