//! Values of several of the commands.

use std::net::{IpAddr, SocketAddr};

use clap::builder::{PathBufValueParser, TypedValueParser};
use tautline_relay::endpoint::InterfaceName;
use tautline_relay::units;

use super::super::values::ranged;
use crate::mcast::Place;

/// A group and a port.
pub(super) fn group(text: &str) -> Result<SocketAddr, String> {
    let example = "such as 239.255.0.1:5000 or [ff12::1]:5000";
    if let Some((group, rest)) = text.split_once('%') {
        let zone = rest.split(']').next().unwrap_or_default();
        return Err(format!(
            "write the interface apart: {group}{} --iface {zone}",
            &rest[zone.len()..]
        ));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_multicast() => Err(format!(
            "{} is no multicast address: write a group and a port, {example}",
            address.ip()
        )),
        Ok(address) if address.port() == 0 => Err(format!("write a port from 1 on, {example}")),
        Ok(address) => Ok(address),
        Err(_) => Err(format!("write a group and a port from 1 to 65535, {example}")),
    }
}

/// Where a capture is.
pub(super) fn place() -> impl TypedValueParser<Value = Place> {
    PathBufValueParser::new().map(Place::from)
}

pub(super) fn sender(text: &str) -> Result<IpAddr, String> {
    if let Some((address, zone)) = text.split_once('%') {
        return Err(format!("write the interface apart: --source {address} --iface {zone}"));
    }
    let address = text.parse::<IpAddr>().ok();
    let is_sender = |ip: &IpAddr| !ip.is_multicast() && !ip.is_unspecified();
    address
        .filter(is_sender)
        .ok_or_else(|| "write the address that a sender sends from, such as 192.0.2.7".to_owned())
}

/// Whether there is such an interface shows when it is used.
pub(super) fn interface(text: &str) -> Result<InterfaceName, String> {
    match text {
        "" | "0" => Err("write the name of an interface, such as eth0, or its address".to_owned()),
        name => Ok(InterfaceName::from(name)),
    }
}

pub(super) fn buffer(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), 1..=1 << 30, "bytes, such as 8MiB")
}
