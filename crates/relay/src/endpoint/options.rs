//! The options of an endpoint: `?key=value&key=value`.

use super::channel::DEFAULT_CAPACITY;
use super::error::EndpointError;
use super::url::Parts;
use crate::framing::{Framing, MAX_PACKET};
use crate::queue::{Limits, Policy};
use crate::units;

/// Walks through all options and hands each to `apply`, which says whether it knew the key.
///
/// `known` lists the keys of this scheme for the message; those in `several` may be given again.
pub(super) fn each<'a>(
    parts: &Parts<'a>,
    known: &[&'static str],
    several: &[&'static str],
    mut apply: impl FnMut(&'static str, &'a str) -> Result<(), EndpointError>,
) -> Result<(), EndpointError> {
    for (at, &(key, value)) in parts.options.iter().enumerate() {
        let Some(&name) = known.iter().find(|&&k| k == key) else {
            return Err(unknown(parts, key, known));
        };
        let came_before = || parts.options[..at].iter().any(|&(earlier, _)| earlier == key);
        if !several.contains(&key) && came_before() {
            return Err(EndpointError::RepeatedKey { key: key.to_owned() });
        }
        apply(name, value)?;
    }
    Ok(())
}

fn unknown(parts: &Parts<'_>, key: &str, known: &[&'static str]) -> EndpointError {
    let known = if known.is_empty() {
        "it takes none".to_owned()
    } else {
        format!("known are {}", known.join(", "))
    };
    EndpointError::UnknownKey { key: key.to_owned(), scheme: parts.scheme.name(), known }
}

pub(super) fn refuse(key: &'static str, value: &str, why: impl ToString) -> EndpointError {
    EndpointError::Value { key, value: value.to_owned(), why: why.to_string() }
}

pub(super) fn framing(key: &'static str, value: &str) -> Result<Framing, EndpointError> {
    match value {
        "rfc4571" => Ok(Framing::Rfc4571),
        "raw" => Ok(Framing::Raw),
        _ => Err(refuse(key, value, "write rfc4571 or raw")),
    }
}

pub(super) fn policy(
    key: &'static str,
    value: &str,
    allowed: &[Policy],
) -> Result<Policy, EndpointError> {
    let found = allowed.iter().find(|policy| policy.name() == value);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = allowed.iter().map(|policy| policy.name()).collect();
        refuse(key, value, format!("write one of {}", names.join(", ")))
    })
}

/// A packet size from `least` to 65535 bytes.
pub(super) fn size(key: &'static str, value: &str, least: usize) -> Result<usize, EndpointError> {
    let bytes = units::parse_bytes(value).map_err(|error| refuse(key, value, error))?;
    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
    if (least..=MAX_PACKET).contains(&size) {
        return Ok(size);
    }
    Err(refuse(key, value, format!("write {least} to {MAX_PACKET} bytes")))
}

pub(super) fn rate(key: &'static str, value: &str) -> Result<u64, EndpointError> {
    units::parse_rate(value).map_err(|error| refuse(key, value, error))
}

/// Peers of one endpoint at most: more than one machine has descriptors for.
const MOST: u32 = 1_000_000;

/// A count of peers from 1 to [`MOST`].
pub(super) fn count(key: &'static str, value: &str) -> Result<u32, EndpointError> {
    let count = units::parse_count(value).map_err(|error| refuse(key, value, error))?;
    u32::try_from(count)
        .ok()
        .filter(|count| (1..=MOST).contains(count))
        .ok_or_else(|| refuse(key, value, format!("write 1 to {MOST}")))
}

/// A socket buffer size that the socket option can carry.
pub(super) fn socket_buffer(key: &'static str, value: &str) -> Result<u32, EndpointError> {
    let bytes = units::parse_bytes(value).map_err(|error| refuse(key, value, error))?;
    u32::try_from(bytes)
        .ok()
        .filter(|&bytes| (1..=1 << 30).contains(&bytes))
        .ok_or_else(|| refuse(key, value, "write 1 to 1GiB"))
}

/// How far a packet may go.
pub(super) fn hops(key: &'static str, value: &str) -> Result<u8, EndpointError> {
    value.parse().map_err(|_| {
        refuse(key, value, "write 0 to 255: 0 stays on this machine, 1 in the network")
    })
}

/// Whether something is done.
pub(super) fn on_off(key: &'static str, value: &str) -> Result<bool, EndpointError> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(refuse(key, value, "write on or off")),
    }
}

/// Room of a byte channel: enough for the longest packet, and what a page table carries.
pub(super) fn capacity(key: &'static str, value: &str) -> Result<usize, EndpointError> {
    let bytes = units::parse_bytes(value).map_err(|error| refuse(key, value, error))?;
    usize::try_from(bytes)
        .ok()
        .filter(|bytes| (DEFAULT_CAPACITY..=1 << 30).contains(bytes))
        .ok_or_else(|| refuse(key, value, "write 256KiB to 1GiB"))
}

/// Queue limits: packets as a bare number, bytes with a unit, or both with a comma between.
pub(super) fn queue(key: &'static str, value: &str) -> Result<Limits, EndpointError> {
    let mut limits = Limits::default();
    for part in value.split(',') {
        let is_count = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if is_count {
            limits.packets = queue_packets(key, part)?;
        } else {
            limits.bytes = queue_bytes(key, part)?;
        }
    }
    Ok(limits)
}

fn queue_packets(key: &'static str, part: &str) -> Result<usize, EndpointError> {
    let why = || refuse(key, part, "write 1 to 1048576 packets, such as 1024");
    let packets = units::parse_count(part).map_err(|_| why())?;
    usize::try_from(packets).ok().filter(|n| (1..=1 << 20).contains(n)).ok_or_else(why)
}

fn queue_bytes(key: &'static str, part: &str) -> Result<usize, EndpointError> {
    let why = || {
        refuse(
            key,
            part,
            "write 1024 packets, 4MiB, or 1024,4MiB; at least 66KiB fits every packet",
        )
    };
    let bytes = units::parse_bytes(part).map_err(|_| why())?;
    usize::try_from(bytes).ok().filter(|&n| n > MAX_PACKET + 2).ok_or_else(why)
}
