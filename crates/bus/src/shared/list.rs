//! What is on the bus: for people, who want to see it without taking part.

use std::collections::BTreeMap;

use crate::shared::access::Stance;
use crate::shared::around::Seeker;
use crate::shared::error::OpenError;
use crate::shared::header::Heading;
use crate::shared::names::{Name, own_user, prefix_of};
use crate::shared::presence::{Around, presences};
use crate::shared::segment::Access;

/// An object that processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its namespace and its name, `namespace/name`; in front of another user's, its number and `:`.
    pub name: String,
    /// The processes that take part, in ascending order; a process that has opened the object
    /// several times stands here as often.
    pub processes: Vec<u32>,
    /// Bytes of its segment, if it can be opened.
    pub bytes: Option<usize>,
    /// What it is: its kind, the layout of its messages and its limits; or why that cannot be told.
    pub what: String,
}

/// All objects of this user in this network namespace, by their names.
///
/// Looks at them through their participants, without becoming one: nobody is disturbed.
///
/// # Errors
/// When the kernel's list of sockets cannot be read.
///
/// ```
/// use tautline_bus::{Shared, channel::{Channel, Config}, shared};
/// # let namespace = &format!("list{}", std::process::id());
/// let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
/// let listed = shared::list()?;
/// let own = listed.iter().find(|one| one.name == format!("{namespace}/prices")).unwrap();
/// assert_eq!(own.processes, [std::process::id()]);
/// assert!(own.what.contains("channel of u64"));
/// # drop(prices);
/// # Ok::<(), tautline_bus::OpenError>(())
/// ```
pub fn list() -> Result<Vec<Listed>, OpenError> {
    list_of(own_user())
}

/// The same of another user: what its names are and who takes part, as their sockets say; and what
/// each is where this process's user is a guest, otherwise why that cannot be told.
///
/// # Errors
/// As [`list`].
///
/// ```
/// use tautline_bus::shared;
/// for object in shared::list_of(1000)? {
///     println!("{}: {}", object.name, object.what); // 1000:feeds/prices: channel of ..
/// }
/// # Ok::<(), tautline_bus::OpenError>(())
/// ```
pub fn list_of(user: u32) -> Result<Vec<Listed>, OpenError> {
    let mut names: BTreeMap<String, (Name, Vec<u32>)> = BTreeMap::new();
    for presence in presences(&prefix_of(user))? {
        if let Some(name) = presence.name() {
            let (_, processes) =
                names.entry(name.to_string()).or_insert_with(|| (name, Vec::new()));
            processes.push(presence.who.pid());
        }
    }
    let listed = names.into_iter().map(|(text, (name, processes))| look_at(text, &name, processes));
    Ok(listed.collect())
}

fn look_at(text: String, name: &Name, mut processes: Vec<u32>) -> Listed {
    processes.sort_unstable();
    let (bytes, what) = match describe(name) {
        Ok(Some((bytes, what))) => (Some(bytes), what),
        Ok(None) => (None, "it is being made".to_owned()),
        Err(error) => (None, error.to_string()),
    };
    Listed { name: text, processes, bytes, what }
}

/// Reads what the segment says of itself; nothing while it is not there or not ready.
fn describe(name: &Name) -> Result<Option<(usize, String)>, OpenError> {
    let (stance, access) = (&Stance::Guest(name.owner()), Access::Read);
    let segment = match (Seeker { name, stance, own: None, access }).look()? {
        Around::Segment(segment) => segment,
        Around::Unreachable(error) => return Err(error),
        Around::Joining | Around::Nobody => return Ok(None),
    };
    let heading = Heading::of(&segment)?;
    if !heading.is_ready() {
        return Ok(None);
    }
    let (mut what, guests) = (heading.read()?.text, heading.guests()?);
    if guests.are_any() {
        what += &format!(", open to {guests}");
    }
    Ok(Some((segment.len(), what)))
}
