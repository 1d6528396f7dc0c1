//! Byte channels of the bus, by namespace and name.

use tautline_bus::shared;

use super::error::EndpointError;

/// Bytes of a byte channel unless `?capacity=` says otherwise: what the bus itself has as default.
/// Less would not fit the longest packet, which may take half of it.
pub const DEFAULT_CAPACITY: usize = 256 << 10;

/// A byte channel between processes, as `shm://NAMESPACE/NAME` names it.
///
/// Why this object: messages of any length stay in one piece, and each reader has a channel, and so
/// a queue and a policy, of its own. In a broadcast, a slow reader would hold up the others or lose
/// by a rule that is not the relay's, and each packet would take the slot of the longest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmChannel {
    /// Whose it is: 1 to 30 letters, digits, dots, hyphens or underscores.
    pub namespace: String,
    /// Its name within; as long, and of the same characters.
    pub name: String,
    /// Bytes that there is room for, for each publisher. All who open the channel must agree.
    pub capacity: usize,
    /// Publishers at a time. All who open the channel must agree.
    pub publishers: u32,
}

/// Reads `//NAMESPACE/NAME`.
pub(super) fn channel(body: &str) -> Result<ShmChannel, EndpointError> {
    let text = body.trim_start_matches('/');
    let refuse = |why: String| EndpointError::Channel { text: text.to_owned(), why };
    let path = body.strip_prefix("//").ok_or_else(|| refuse("'//' is missing".to_owned()))?;
    let parts = path.split_once('/');
    let (namespace, name) = parts.ok_or_else(|| refuse("the name is missing".to_owned()))?;
    shared::check_name(namespace, name).map_err(|error| refuse(error.to_string()))?;
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    Ok(ShmChannel { namespace, name, capacity: DEFAULT_CAPACITY, publishers: 1 })
}
