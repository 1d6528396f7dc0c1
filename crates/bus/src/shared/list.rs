//! What is on the bus: for people, who want to see it without taking part.

use std::collections::BTreeMap;

use crate::shared::error::OpenError;
use crate::shared::header::Heading;
use crate::shared::names::{Around, Presence, own_prefix, presences};
use crate::shared::segment::Access;

/// An object that processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// Its namespace and its name, `namespace/name`.
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
    let mut names: BTreeMap<String, Vec<Presence>> = BTreeMap::new();
    for presence in presences(&own_prefix())? {
        if let Some(name) = presence.name() {
            names.entry(name.to_string()).or_default().push(presence);
        }
    }
    Ok(names.into_iter().map(|(name, present)| look_at(name, &present)).collect())
}

fn look_at(name: String, present: &[Presence]) -> Listed {
    let mut processes: Vec<u32> = present.iter().map(|one| one.who.pid()).collect();
    processes.sort_unstable();
    let mut why = "it is being made".to_owned();
    for one in present {
        match describe(one) {
            Ok(Some((bytes, what))) => return Listed { name, processes, bytes: Some(bytes), what },
            Ok(None) => {}
            Err(error) => why = error.to_string(),
        }
    }
    Listed { name, processes, bytes: None, what: why }
}

/// Reads what the segment says of itself; nothing while it is not there or not ready.
fn describe(presence: &Presence) -> Result<Option<(usize, String)>, OpenError> {
    let Some(name) = presence.name() else { return Ok(None) };
    let segment = match presence.segment_as(&name.label(), Access::Read)? {
        Around::Segment(segment) => segment,
        Around::Unreachable(error) => return Err(error),
        Around::Joining | Around::Nobody => return Ok(None),
    };
    let heading = Heading::of(&segment)?;
    if !heading.is_ready() {
        return Ok(None);
    }
    Ok(Some((segment.len(), heading.read()?.text)))
}
