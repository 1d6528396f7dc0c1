//! Why an object could not be found, opened or made under a name.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::CreateError;

/// Why an object could not be found, opened or made under a name.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A namespace or a name cannot be used.
    BadName {
        /// What was given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was to be made cannot be.
    Create(CreateError),
    /// Somebody else has bound the name.
    Squatted {
        /// The name, as the kernel knows it.
        name: String,
        /// Who it is, if the kernel tells.
        uid: Option<u32>,
        /// Its process, if the kernel tells, and it is of this PID namespace.
        pid: Option<u32>,
    },
    /// A process of the owner keeps the name for an object that it has not made yet.
    Reserved {
        /// The name.
        name: String,
        /// Its process, if it is of this PID namespace.
        pid: Option<u32>,
    },
    /// A process of the owner is about to open the object, and has not done so within the time.
    Joining {
        /// The name.
        name: String,
    },
    /// A process has begun to make the object, and is not done. Much memory takes seconds to reserve.
    Unfinished {
        /// The name.
        name: String,
        /// Its process; `None`: it has not got that far.
        pid: Option<u32>,
    },
    /// The object is there: its name cannot be reserved any more.
    Taken {
        /// The name.
        name: String,
    },
    /// The name is of another user's namespace, where nothing can be made.
    NotOurs {
        /// The name.
        name: String,
    },
    /// A participant is there, but cannot be reached.
    Unreachable {
        /// The process number that it gave.
        pid: u32,
        /// What the system said.
        why: String,
    },
    /// A participant is there, but its door does not answer.
    NoAnswer {
        /// Its user.
        uid: u32,
        /// Its process, if it is of this PID namespace.
        pid: Option<u32>,
    },
    /// The object is another user's, who does not let this one in.
    NotAGuest {
        /// The name.
        name: String,
        /// The user that it belongs to.
        owner: u32,
        /// The user of this process.
        own: u32,
    },
    /// Nobody has the object within the time.
    NotFound {
        /// The name; in front of that of another user's object stand its number and a colon.
        name: String,
    },
    /// No messages go through the object that is there.
    NoMessages {
        /// What it is.
        kind: &'static str,
    },
    /// There is one under the name, but it is of another kind, type or shape.
    Mismatch {
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
    },
    /// There is one under the name that was made by an incompatible version of this library.
    Version {
        /// The version of the segment.
        found: u32,
        /// The one of this library.
        own: u32,
    },
    /// The segment lacks the seals that keep it from being made shorter.
    NotSealed {
        /// Those that it has.
        seals: u32,
    },
    /// The segment belongs to somebody else.
    Owner {
        /// Its owner.
        owner: u32,
        /// The user that it should belong to.
        own: u32,
    },
    /// The segment was made in another PID namespace, where other numbers name the processes.
    PidNamespace {
        /// The namespace of the segment.
        found: u64,
        /// The one of this process.
        own: u64,
    },
    /// The segment is not what it says it is.
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A limit leaves too little memory.
    NoRoom {
        /// Bytes that were asked for.
        wanted: usize,
        /// Bytes that the limit leaves.
        left: u64,
        /// The limit.
        limit: String,
    },
    /// The kernel refused something.
    System {
        /// What, as a verb and its object.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName { name, why } => write!(f, "'{name}' cannot be a name: {why}"),
            Self::Create(error) => error.fmt(f),
            Self::Squatted { name, uid, pid } => squatted(f, name, *uid, *pid),
            Self::Reserved { name, pid } => reserved(f, name, *pid),
            Self::Joining { name } => write!(
                f,
                "a process is about to open '{name}', but does not get on: wait longer \
                 (Namespace::patience), or end it (tautline bus list names it)"
            ),
            Self::Unfinished { name, pid } => unfinished(f, name, *pid),
            Self::Taken { name } => {
                write!(f, "'{name}' is there already: open it, or reserve another name")
            }
            Self::NotOurs { name } => write!(
                f,
                "'{name}' cannot be reserved in the namespace of another user: run as that user"
            ),
            Self::Unreachable { pid, why } => write!(
                f,
                "process {pid} takes part, but its descriptors cannot be read ({why}): run as the \
                 same user in the same PID namespace, with /proc mounted"
            ),
            Self::NoAnswer { uid, pid } => {
                process(f, *uid, *pid)?;
                f.write_str(" takes part, but does not answer: let it go on, or end it")
            }
            Self::NotAGuest { name, owner, own } => write!(
                f,
                "user {owner} does not let user {own} use '{name}': name {own} among the guests of \
                 the namespace where user {owner} opens it, or run as user {owner}"
            ),
            Self::NotFound { name } => not_found(f, name),
            Self::NoMessages { kind } => {
                write!(f, "a {kind} has no messages to tap: tautline bus stat tells what it holds")
            }
            Self::Mismatch { wanted, found } => write!(
                f,
                "the object of that name differs:\n  wanted {wanted}\n  found  {found}\nbuild both \
                 sides from one definition, or choose another name"
            ),
            Self::Version { found, own } => write!(
                f,
                "the segment is of version {found}, this library speaks {own}: update the older side"
            ),
            Self::NotSealed { seals } => write!(
                f,
                "the segment can be made shorter (its seals are {seals:#x}), which would end this \
                 process by a signal: it was not made by this library"
            ),
            Self::Owner { owner, own } => {
                write!(f, "the segment belongs to user {owner}, not to {own}: run as that user")
            }
            Self::PidNamespace { found, own } => write!(
                f,
                "the segment was made in PID namespace {found}, this process is in {own}: share \
                 the PID namespace, for the bus knows its users by their numbers"
            ),
            Self::Damaged { what } => {
                write!(f, "the segment is damaged ({what}): end those who use it, and make it anew")
            }
            Self::NoRoom { wanted, left, limit } => write!(
                f,
                "{wanted} bytes do not fit into the {left} that {limit} leaves: ask for less, or \
                 raise it"
            ),
            Self::System { what, source } => write!(f, "cannot {what}: {source}"),
        }
    }
}

fn not_found(f: &mut fmt::Formatter<'_>, name: &str) -> fmt::Result {
    match name.split_once(':') {
        Some((user, name)) => write!(
            f,
            "nobody has '{name}' of user {user} on the bus: start a process of user {user} that \
             opens it to guests, or look at the name"
        ),
        None => write!(f, "nobody has '{name}' on the bus: start its maker, or look at the name"),
    }
}

fn process(f: &mut fmt::Formatter<'_>, uid: u32, pid: Option<u32>) -> fmt::Result {
    match pid {
        Some(pid) => write!(f, "process {pid} of user {uid}"),
        None => write!(f, "a process of user {uid}"),
    }
}

fn unfinished(f: &mut fmt::Formatter<'_>, name: &str, pid: Option<u32>) -> fmt::Result {
    match pid {
        Some(pid) => write!(f, "process {pid} is still making '{name}'")?,
        None => write!(f, "'{name}' is still being made")?,
    }
    f.write_str(": wait longer (Namespace::patience), or end its maker if that hangs")
}

fn reserved(f: &mut fmt::Formatter<'_>, name: &str, pid: Option<u32>) -> fmt::Result {
    write!(f, "'{name}' is reserved by ")?;
    match pid {
        Some(pid) => write!(f, "process {pid}")?,
        None => f.write_str("a process of another PID namespace")?,
    }
    f.write_str(
        ", which has not opened it yet: wait longer (Namespace::patience), or end that process",
    )
}

fn squatted(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    uid: Option<u32>,
    pid: Option<u32>,
) -> fmt::Result {
    write!(f, "the name '{name}' is held by ")?;
    match uid {
        Some(uid) => process(f, uid, pid)?,
        None => f.write_str("a process that does not take part (see /proc/net/unix)")?,
    }
    f.write_str(": end it, or choose another namespace")
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Create(error) => Some(error),
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<CreateError> for OpenError {
    fn from(error: CreateError) -> Self {
        Self::Create(error)
    }
}
