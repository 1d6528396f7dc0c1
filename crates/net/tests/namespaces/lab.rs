//! Several hosts on two networks, all on this machine: network namespaces, joined by veth pairs and
//! a bridge for each network.
//!
//! ```text
//!            net 1                     net 2
//!      rogue ──┤                         ├── other
//!              ├── eth0 exchange eth1 ───┤
//!              ├── eth0  trader  eth1 ───┤
//!
//!   hermit, on no network
//! ```
//!
//! A socket stays in the namespace in which it was made, whatever its thread does later: so one
//! runtime has sockets on all hosts.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` has its namespaces.
const NAMESPACES: &str = "/run/netns";
/// What the names of ours begin with; the process follows.
const OURS: &str = "tautline-";

/// A host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// On both networks.
    Exchange,
    Rogue,
    Other,
    /// On both networks too.
    Trader,
    /// On none.
    Hermit,
}

/// Each with the networks that it is on.
const HOSTS: [(Host, &[u8]); 5] = [
    (Host::Exchange, &[1, 2]),
    (Host::Rogue, &[1]),
    (Host::Other, &[2]),
    (Host::Trader, &[1, 2]),
    (Host::Hermit, &[]),
];

/// Whether addresses are those of IPv4 or of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Rogue => "rogue",
            Self::Other => "other",
            Self::Trader => "trader",
            Self::Hermit => "hermit",
        }
    }

    /// Its address on a network.
    pub(crate) fn on(self, net: u8, family: Family) -> IpAddr {
        let host = self as u8 + 1;
        match family {
            Family::V4 => Ipv4Addr::new(10, 91, net, host).into(),
            Family::V6 => Ipv6Addr::new(0xfd91, net.into(), 0, 0, 0, 0, 0, host.into()).into(),
        }
    }
}

/// The hosts, which are gone when it is dropped.
pub(crate) struct Lab {
    prefix: String,
    home: File,
}

impl Lab {
    /// Sets everything up; `None`, with the reason told, where this is not to be had.
    pub(crate) fn set_up() -> Option<Self> {
        if let Err(reason) = is_to_be_had() {
            assert!(std::env::var_os("CI").is_none(), "network namespaces: {reason}");
            super::skips::skip_in_part(&format!("network namespaces: {reason}"));
            return None;
        }
        remove_remains();
        static LABS: AtomicU32 = AtomicU32::new(0);
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let home = File::open("/proc/thread-self/ns/net").expect("the own namespace");
        let lab = Self { prefix: format!("{OURS}{}-{number}", process::id()), home };
        lab.build();
        Some(lab)
    }

    fn build(&self) {
        let switch = self.namespace("switch");
        ip(&["netns", "add", &switch]);
        for net in ["1", "2"] {
            let bridge = format!("net{net}");
            ip(&["-n", &switch, "link", "add", &bridge, "type", "bridge", "mcast_snooping", "0"]);
            ip(&["-n", &switch, "link", "set", &bridge, "up"]);
        }
        for (host, nets) in HOSTS {
            let namespace = self.namespace(host.name());
            ip(&["netns", "add", &namespace]);
            ip(&["-n", &namespace, "link", "set", "lo", "up"]);
            for (at, &net) in nets.iter().enumerate() {
                self.plug_in(host, net, &format!("eth{at}"));
            }
        }
    }

    /// Joins a host to a network.
    fn plug_in(&self, host: Host, net: u8, device: &str) {
        let (switch, namespace) = (self.namespace("switch"), self.namespace(host.name()));
        let (port, bridge) = (format!("{}{net}", host.name()), format!("net{net}"));
        let pair = ["type", "veth", "peer", "name", device, "netns", &namespace];
        ip(&[&["-n", &switch, "link", "add", &port], &pair[..]].concat());
        ip(&["-n", &switch, "link", "set", &port, "master", &bridge, "up"]);
        for family in [Family::V4, Family::V6] {
            let length = if family == Family::V4 { 24 } else { 64 };
            let address = format!("{}/{length}", host.on(net, family));
            let add = ["-n", &namespace, "address", "add", &address, "dev", device];
            // Nobody else has it: it need not be found out first.
            ip(&[&add[..], if family == Family::V6 { &["nodad"] } else { &[] }].concat());
        }
        ip(&["-n", &namespace, "link", "set", device, "up"]);
    }

    /// Does something on a host.
    pub(crate) fn at<T>(&self, host: Host, work: impl FnOnce() -> T) -> T {
        let there = File::open(self.path(host)).expect("the namespace of a host");
        enter(&there);
        let done = work();
        enter(&self.home);
        done
    }

    /// Has a host send what goes to `to`, as `ip route` writes it, by a device.
    pub(crate) fn route(&self, host: Host, to: &str, device: &str) {
        ip(&["-n", &self.namespace(host.name()), "route", "add", to, "dev", device]);
    }

    /// Runs a command on a host, as a message has it: the one between backquotes.
    pub(crate) fn follow(&self, host: Host, message: &str) {
        let command = message.split('`').find(|part| part.starts_with("ip ")).expect("a command");
        let words: Vec<_> = command.split(' ').collect();
        let output = self.at(host, || Command::new(words[0]).args(&words[1..]).output());
        assert!(output.expect("ip").status.success(), "{command}");
    }

    /// What the kernel tells in `/proc/net` of a host.
    pub(crate) fn table(&self, host: Host, name: &str) -> String {
        let path = format!("/proc/thread-self/net/{name}");
        self.at(host, || fs::read_to_string(path).expect("a table of the kernel"))
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn path(&self, host: Host) -> PathBuf {
        Path::new(NAMESPACES).join(self.namespace(host.name()))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove(&format!("{}-", self.prefix));
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("another namespace");
}

fn is_to_be_had() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make them".to_owned());
    }
    match Command::new("ip").arg("netns").output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(format!("ip (package iproute2): {error}")),
    }
}

/// Removes what a process has left that was killed.
fn remove_remains() {
    for name in namespaces() {
        let process = name.strip_prefix(OURS).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            remove(&name);
        }
    }
}

/// Removes the namespaces whose names begin so, and all devices in them.
fn remove(prefix: &str) {
    for name in namespaces().into_iter().filter(|name| name.starts_with(prefix)) {
        // Another test may have removed it.
        let _ = Command::new("ip").args(["netns", "delete", &name]).output();
    }
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {told}", arguments.join(" "));
}
