//! Others who scribble, squat or pretend: they are told as errors, and never end this process.

mod processes;

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::Duration;

use processes::namespace;
use processes::scribbler::{Fates, scribble, withstand};
use rustix::fs::{MemfdFlags, memfd_create};
use tautline_bus::channel::{Channel, Config};
use tautline_bus::{Full, OpenError, ReceiveError, SendError, Shared, Wait};
use tautline_bus_derive::Layout;
use zerocopy::{Immutable, IntoBytes, TryFromBytes};

/// A message that few bytes are one of.
#[derive(Clone, Copy, Debug, PartialEq, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Order {
    number: u64,
    side: Side,
    firm: bool,
    rest: [u8; 6],
}

#[derive(Clone, Copy, Debug, PartialEq, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(u8)]
enum Side {
    Buy = 1,
    Sell = 2,
}

type Orders = Channel<Order, Shared>;

fn config() -> Config {
    let wait = Wait::Park { spin_for: Duration::ZERO };
    Config { capacity: 16, senders: 3, full: Full::Refuse, wait, ..Config::default() }
}

/// Runs one of the parts below in a process of its own, as that user if one is given.
fn child(part: &str, namespace: &str, uid: Option<u32>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_other_process"]);
    command.env("TAUTLINE_BUS_PART", part).env("TAUTLINE_BUS_NAMESPACE", namespace);
    command.env("TAUTLINE_BUS_OWNER", rustix::process::geteuid().as_raw().to_string());
    if let Some(uid) = uid {
        command.uid(uid);
    }
    command.spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Ok(part) = std::env::var("TAUTLINE_BUS_PART") else { return };
    let namespace = std::env::var("TAUTLINE_BUS_NAMESPACE").unwrap();
    match part.as_str() {
        "scribble orders" => scribble(&namespace, "orders"),
        "squat" => squat(&namespace),
        "pretend" => pretend(&namespace),
        other => panic!("there is no part {other}"),
    }
}

fn address(text: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(text).unwrap()
}

/// The key, as the tests' own user would bind it.
fn key(namespace: &str) -> String {
    let owner = std::env::var("TAUTLINE_BUS_OWNER");
    let uid = owner.map_or(rustix::process::geteuid().as_raw(), |uid| uid.parse().unwrap());
    format!("tautline-bus/{uid}/{namespace}/orders")
}

fn linger() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Has the key without taking part.
fn squat(namespace: &str) {
    let _key = UnixListener::bind_addr(&address(&key(namespace))).unwrap();
    linger();
}

/// Takes part with a segment that anybody could make shorter.
fn pretend(namespace: &str) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let start: u64 = stat.rsplit_once(')').unwrap().1.split(' ').nth(20).unwrap().parse().unwrap();
    let presence = format!("{}#{:x}.{start:x}.0", key(namespace), std::process::id());
    let label = format!("tautline-bus/{namespace}/orders");
    let file = memfd_create(label.as_str(), MemfdFlags::ALLOW_SEALING).unwrap();
    File::from(file.try_clone().unwrap()).set_len(1 << 16).unwrap();
    let _presence = UnixDatagram::bind_addr(&address(&presence)).unwrap();
    let _file: OwnedFd = file;
    linger();
}

/// Sends and receives; each call ends, with messages that are ones, or with an error.
fn play(channel: &Orders, fates: &mut Fates) {
    let order = Order { number: 7, side: Side::Sell, firm: true, rest: [0; 6] };
    // Seats that look taken are one kind of damage.
    let (Ok(mut sender), Ok(mut receiver)) = (channel.sender(), channel.receiver()) else {
        fates.refused += 1;
        return;
    };
    for _ in 0..8 {
        match sender.send(order) {
            Ok(()) => {}
            Err(SendError::Full(back) | SendError::Closed(back)) => assert_eq!(back, order),
            Err(error) => panic!("{error}"),
        }
        match receiver.receive_timeout(Duration::from_micros(50)) {
            Ok(order) => {
                assert!(matches!(order.side, Side::Buy | Side::Sell));
                fates.whole += 1;
            }
            Err(ReceiveError::Corrupt) => fates.corrupt += 1,
            Err(_) => {}
        }
        fates.whole += receiver.drain(20).count();
        fates.corrupt += usize::from(receiver.take().is_ok_and(|loan| loan.read().is_err()));
    }
    assert!(channel.len() <= 3 * 64, "{channel:?}");
}

/// Ten thousand rounds of sending and receiving while another process scribbles over all of it,
/// also between a check and its use.
#[test]
fn scribbling_is_told() {
    let namespace = &namespace("scribble");
    // Lanes and rings by turns.
    let open = |round| {
        let receivers = 1 + round % 2;
        let config = Config { receivers, capacity: 16 * (4 - receivers), ..config() };
        Orders::open(namespace, "orders", config)
    };
    withstand(namespace, "orders", open, play);
}

/// One who has the name and does not take part is named.
#[test]
fn squatters_are_named() {
    let namespace = namespace("squat");
    let users: &[Option<u32>] = if am_root() { &[None, Some(65_534)] } else { &[None] };
    for uid in users {
        let own = rustix::process::geteuid().as_raw();
        let squatter = child("squat", &namespace, *uid);
        let sockets = || fs::read_to_string("/proc/net/unix").unwrap();
        while !sockets().contains(&key(&namespace)) {
            std::thread::yield_now();
        }
        let error = Orders::open(&namespace, "orders", config()).unwrap_err();
        let expected = (uid.unwrap_or(own), squatter.id());
        match error {
            OpenError::Squatted { uid: Some(uid), pid: Some(pid), .. } => {
                assert_eq!((uid, pid), expected);
            }
            error => panic!("{error:?}"),
        }
        end(squatter);
    }
}

/// A segment without seals, and one of another user, are refused.
#[test]
fn segments_that_cannot_be_trusted_are_refused() {
    let namespace = namespace("pretend");
    let pretender = child("pretend", &namespace, None);
    while !fs::read_to_string("/proc/net/unix").unwrap().contains(&key(&namespace)) {
        std::thread::yield_now();
    }
    let error = Orders::open(&namespace, "orders", config()).unwrap_err();
    assert!(matches!(error, OpenError::NotSealed { .. }), "{error}");
    end(pretender);
}
