//! What these tests share: groups that no other test has, and peers on the loopback interface.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tautline_bus::Local;
use tautline_bus::pool::{self, Pool};
use tautline_net::multicast::{Error, Interface, Peer};
use tautline_runtime::{Config, DriverChoice, Runtime, sim, timer};

use crate::common::{block, everywhere, run, small};
use crate::skips::skip_in_part;

/// Long enough for what was sent over the loopback interface to be there.
pub(crate) const SOON: Duration = Duration::from_millis(5);

/// The number of the loopback interface: on Linux always the same, and one that a simulated world
/// has too.
pub(crate) const LO: u32 = 1;

/// A group of its own for each call, apart from those of other processes that run these tests.
pub(crate) fn group() -> Ipv4Addr {
    let [high, low] = next().to_be_bytes();
    let [_, process] = (std::process::id() as u16).to_be_bytes();
    Ipv4Addr::new(239, process, high, low)
}

/// The same for IPv6.
pub(crate) fn group6() -> Ipv6Addr {
    Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, std::process::id() as u16, next())
}

fn next() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A peer for any number of groups on a port that is free; it sends by the loopback interface.
pub(crate) fn peer() -> Peer {
    Peer::options().interface(LO).receive_buffer(1 << 20).bind("0.0.0.0:0").unwrap()
}

/// One that sends from that address of the loopback interface.
pub(crate) fn sender(from: &str) -> Peer {
    Peer::options().interface(LO).bind(format!("{from}:0").as_str()).unwrap()
}

/// An interface that datagrams to IPv6 groups can leave by: the loopback interface seldom has the
/// route.
pub(crate) fn six() -> Option<Interface> {
    let to = (group6(), 9).into();
    let leads = |interface: &Interface| {
        let peer = Peer::options().interface(*interface).bind("[::]:0").unwrap();
        peer.try_send_to(b"", to).is_ok()
    };
    let found = Interface::all().into_iter().find(leads);
    if found.is_none() {
        skip_in_part(
            "no interface has a route to IPv6 groups (`ip -6 route add ff00::/8 dev ...`)",
        );
    }
    found
}

/// Where to send for `group` to reach `peer`.
pub(crate) fn at(group: impl Into<IpAddr>, peer: &Peer) -> SocketAddr {
    (group.into(), peer.local_addr().unwrap().port()).into()
}

/// What has reached a peer by now, in order.
pub(crate) async fn received(peer: &Peer) -> io::Result<Vec<Vec<u8>>> {
    timer::sleep(SOON).await?;
    let (mut batch, mut all) = (peer.batch(32, 1500), Vec::new());
    for _ in 0..1000 {
        match peer.try_receive_batch(&mut batch) {
            Ok(_) => all.extend(batch.iter().map(|packet| packet.bytes.to_vec())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The named error that a call was refused with.
pub(crate) fn refusal<T: std::fmt::Debug>(result: io::Result<T>) -> Error {
    let error = result.unwrap_err();
    Error::of(&error).unwrap_or_else(|| panic!("no named error: {error}")).clone()
}

/// A peer that has joined a group of its own, and where to send for it.
pub(crate) fn joined() -> (Peer, SocketAddr) {
    let (peer, group) = (peer(), group());
    peer.join_on(group, LO).unwrap();
    let to = at(group, &peer);
    (peer, to)
}

/// So many buffers of so many bytes, for any number of peers.
pub(crate) fn region(buffers: usize, size: usize) -> Pool<[u8], Local> {
    let config = pool::Config { buffers, borrowers: 16, ..pool::Config::default() };
    Pool::of_bytes(size, config).unwrap()
}

/// Runs a test on each real driver and in a simulated world without faults, where the loopback
/// interface of Linux has its number, 1.
pub(crate) fn everywhere_and_simulated<F: AsyncFn() -> io::Result<()>>(test: F) {
    run(&test);
    block(&simulated(sim::Faults::none()), test());
}

/// The same for a test that makes the loop turn itself.
pub(crate) fn on_every_driver(test: impl Fn(&Runtime)) {
    everywhere(&test);
    test(&simulated(sim::Faults::none()));
}

/// A runtime in a simulated world.
pub(crate) fn simulated(faults: sim::Faults) -> Runtime {
    let world =
        sim::Config { faults, receive_buffer: 1 << 20, interfaces: 2, ..sim::Config::new(7) };
    Runtime::new(Config { driver: DriverChoice::Sim(Box::new(world)), ..small() }).unwrap()
}
