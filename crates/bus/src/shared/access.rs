//! Who may open an object: its owner alone, unless the owner says who else.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::CreateError;
use crate::shared::credentials::Peer;
use crate::shared::error::OpenError;
use crate::shared::names::due;

/// The most users that are guests by name; more are a group.
pub(crate) const MAX_USERS: usize = 64;

/// So long does somebody look for an object that is being made, or handed on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who may open an object besides the user that it belongs to.
///
/// All processes of the owner that open one object must name the same guests: what differs is
/// [`OpenError::Mismatch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guests {
    /// Nobody.
    #[default]
    Nobody,
    /// These users, by their numbers; at most 64. The order does not matter.
    Users(Vec<u32>),
    /// Whoever has this group, as the effective one or among the others.
    Group(u32),
}

impl Guests {
    /// Whether there can be any.
    pub(crate) fn are_any(&self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Users(users) => !users.is_empty(),
            Self::Group(_) => true,
        }
    }

    /// Whether somebody is among them.
    pub(crate) fn include(&self, peer: &Peer) -> bool {
        match self {
            Self::Nobody => false,
            Self::Users(users) => users.contains(&peer.uid),
            Self::Group(group) => peer.groups.contains(group),
        }
    }

    /// Whether a user may be among them, as far as its number tells.
    pub(crate) fn may_include(&self, user: u32) -> bool {
        match self {
            Self::Nobody => false,
            Self::Users(users) => users.contains(&user),
            Self::Group(_) => true,
        }
    }

    /// The same, as it is compared: in ascending order, each once.
    ///
    /// # Errors
    /// [`OpenError::Create`], if there are too many.
    fn in_order(self) -> Result<Self, OpenError> {
        let Self::Users(mut users) = self else { return Ok(self) };
        users.sort_unstable();
        users.dedup();
        match users.len() {
            0 => Ok(Self::Nobody),
            1..=MAX_USERS => Ok(Self::Users(users)),
            _ => {
                let what = "at most 64 users can be guests: give them a group in common";
                Err(CreateError::Conflict { what }.into())
            }
        }
    }
}

impl fmt::Display for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("its owner alone"),
            Self::Users(users) => {
                let users: Vec<_> = users.iter().map(u32::to_string).collect();
                write!(f, "its owner and the users {}", users.join(", "))
            }
            Self::Group(group) => write!(f, "its owner and the group {group}"),
        }
    }
}

/// Where the names of objects are looked up: whose they are, and who else may come.
///
/// A plain `&str` is a namespace of this process's user that is open to nobody else.
///
/// ```
/// use tautline_bus::shared::{Guests, Namespace};
/// use tautline_bus::{OpenError, Shared, channel::{Channel, Config}};
///
/// # let feeds = &format!("access{}", std::process::id());
/// // A process of the owner, which lets user 1001 in:
/// let open = Namespace::new(feeds).guests(Guests::Users(vec![1001]));
/// let prices = Channel::<u64, Shared>::open(&open, "prices", Config::default())?;
/// // Another process of the owner must agree about the guests.
/// let closed = Channel::<u64, Shared>::open(feeds, "prices", Config::default());
/// assert!(matches!(closed, Err(OpenError::Mismatch { .. })));
///
/// // A process of user 1001, which comes to an object of user 1000:
/// let other = Namespace::of_user(feeds, 1000);
/// let prices = Channel::<u64, Shared>::open(other, "prices", Config::default());
/// # assert!(matches!(prices, Err(OpenError::NotFound { .. }) | Ok(_)));
/// # Ok::<(), OpenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
    stance: Stance,
    patience: Duration,
}

/// How somebody comes to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// As a process of its owner, which may make it, and lets those in.
    Host(Guests),
    /// As a guest of that user: it must be there.
    Guest(u32),
}

impl Namespace {
    /// The names of this process's user under that word, open to nobody else. It must have 1 to 30
    /// letters, digits, dots, hyphens or underscores, which is found out when something is opened.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), stance: Stance::Host(Guests::Nobody), patience: PATIENCE }
    }

    /// The names of another user, whose guest this process is. Its objects are found and never
    /// made: one that is not there within [`Namespace::patience`] is [`OpenError::NotFound`], and
    /// one whose owner has not named this user is [`OpenError::NotAGuest`].
    ///
    /// With the number of this process's own user it finds what is there whoever its guests are.
    pub fn of_user(name: impl Into<String>, user: u32) -> Self {
        Self { name: name.into(), stance: Stance::Guest(user), patience: PATIENCE }
    }

    /// Lets those in besides the owner, to whatever is opened by what this returns. Has no effect
    /// on the names of another user.
    ///
    /// Each object that is opened where there are guests has a thread, which sleeps until somebody
    /// comes to that object.
    #[must_use]
    pub fn guests(mut self, guests: Guests) -> Self {
        if let Stance::Host(before) = &mut self.stance {
            *before = guests;
        }
        self
    }

    /// How long an open waits for an object that another makes, or has reserved, or that is handed on
    /// from one who dies: two seconds, if this is not said. One that has the name and makes nothing is
    /// [`OpenError::Reserved`] then.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// When somebody gives up who begins to open something now.
    pub(crate) fn due(&self) -> Instant {
        due(self.patience)
    }

    /// The word, and how this process comes.
    ///
    /// # Errors
    /// [`OpenError::Create`], if there are too many guests.
    pub(crate) fn into_parts(self) -> Result<(String, Stance), OpenError> {
        let stance = match self.stance {
            Stance::Host(guests) => Stance::Host(guests.in_order()?),
            guest => guest,
        };
        Ok((self.name, stance))
    }
}

impl From<&str> for Namespace {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<&String> for Namespace {
    fn from(name: &String) -> Self {
        Self::new(name)
    }
}

impl From<String> for Namespace {
    fn from(name: String) -> Self {
        Self::new(name)
    }
}

impl From<&Self> for Namespace {
    fn from(namespace: &Self) -> Self {
        namespace.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of guests and their number of times do not matter, and too many are refused.
    #[test]
    fn guests_are_compared_in_order() {
        let users = |users: &[u32]| Guests::Users(users.to_vec()).in_order();
        assert_eq!(users(&[3, 1, 3]).unwrap(), users(&[1, 3]).unwrap());
        assert_eq!(users(&[]).unwrap(), Guests::Nobody);
        let many: Vec<u32> = (0..65).collect();
        assert!(users(&many[..64]).is_ok());
        assert!(users(&many).unwrap_err().to_string().contains("at most 64"));
    }

    /// A user is let in by its number, a member by any of its groups, and nobody else.
    #[test]
    fn those_who_were_named_are_let_in() {
        let peer = Peer { uid: 7, pid: None, groups: vec![20, 21] };
        for (guests, is_in) in [
            (Guests::Nobody, false),
            (Guests::Users(vec![6, 7]), true),
            (Guests::Users(vec![20]), false),
            (Guests::Group(21), true),
            (Guests::Group(7), false),
        ] {
            assert_eq!(guests.include(&peer), is_in, "{guests}");
        }
    }
}
