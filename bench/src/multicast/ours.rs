//! Tautline: a peer for each group. Its handler sees datagrams where they were received, or gets
//! them in buffers that it may keep.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use tautline_bus::{
    Local,
    pool::{self, Pool},
};
use tautline_net::multicast::{Peer, ReadEvent};
use tautline_runtime::{Arrival, Config, Details, Runtime, WaitMode, stop};

use super::{Job, SOCKET_BUFFER, Seen, Watcher};

/// Each datagram is seen where it was received.
pub(super) fn receive<W: Watcher>(job: Job<W>) -> io::Result<()> {
    with_peers(job, |peer, watcher| {
        let take = move |seen: Seen<'_>| {
            if !watcher.borrow_mut().take(seen) {
                let _ = stop();
            }
        };
        peer.on_datagrams(move |_, packet| {
            take(Seen {
                bytes: packet.bytes,
                source: packet.source().map_or(0, |source| source.port()),
                group: word(packet.destination()),
                interface: packet.interface().unwrap_or(0),
                arrival: nanos(packet.arrival()),
                dropped: packet.dropped().unwrap_or(0),
            });
        })?;
        Ok(())
    })
}

/// Each datagram comes in a buffer of a region, and goes back there.
pub(super) fn receive_to_buffers<W: Watcher>(job: Job<W>) -> io::Result<()> {
    let region = Pool::<[u8], Local>::of_bytes(2_048, pool::Config::default());
    let region = region.map_err(io::Error::other)?;
    with_peers(job, move |peer, watcher| {
        peer.read_from(region.borrower().map_err(io::Error::other)?);
        peer.on_received(move |_, event| {
            let ReadEvent::Datagram(received) = event else { return };
            let seen = Seen {
                bytes: &received,
                source: received.source.map_or(0, |source: SocketAddr| source.port()),
                group: word(received.destination),
                interface: received.interface.map_or(0, |interface| interface.index()),
                arrival: nanos(received.arrival),
                dropped: received.dropped.unwrap_or(0),
            };
            if !watcher.borrow_mut().take(seen) {
                let _ = stop();
            }
        })?;
        Ok(())
    })
}

/// Runs the loop, in the default configuration unless it is to spin, with a peer for each group.
fn with_peers<W: Watcher>(
    mut job: Job<W>,
    hand_over: impl Fn(Peer, Rc<RefCell<W>>) -> io::Result<()>,
) -> io::Result<()> {
    let mut config = Config::default();
    if job.spin {
        config.wait = WaitMode::Spin;
    }
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let mut options = Peer::options().receive_buffer(SOCKET_BUFFER);
    if !job.details {
        options = options.details(Details::NONE);
    }
    let mut peers = Vec::new();
    for &group in &job.groups {
        let peer = options.bind(SocketAddr::from(group))?;
        peer.join_on(IpAddr::from(*group.ip()), "lo")?;
        peers.push(peer);
    }
    if !job.is_ready() {
        return Ok(());
    }
    let watcher = Rc::new(RefCell::new(job.watcher));
    peers.into_iter().try_for_each(|peer| hand_over(peer, watcher.clone()))?;
    runtime.run().map_err(io::Error::other)
}

fn word(group: Option<IpAddr>) -> u32 {
    match group {
        Some(IpAddr::V4(group)) => group.to_bits(),
        _ => 0,
    }
}

fn nanos(arrival: Option<Arrival>) -> u64 {
    let time = arrival.and_then(|arrival| arrival.kernel);
    time.map_or(0, |time| time.as_nanos() as u64)
}
