//! Groups that a tool has joined, and what comes to them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use tautline_net::multicast::{Interface, Peer, ToInterface};
use tautline_runtime::{Details, Packet};

use super::ending::Ending;
use super::error::Error;
use super::seen::{Seen, Wall};
use super::session::Session;
use crate::Failure;
use crate::cli::JoinArgs;

/// Datagrams in one call, each of any length.
const BATCH: usize = 32;
const LONGEST: usize = 1 << 16;

/// What is to be known of each datagram.
const DETAILS: Details = Details { hops: true, ..Peer::DETAILS };

/// Who gets what comes.
pub(crate) trait Watcher {
    /// A datagram.
    ///
    /// # Errors
    /// It cannot be told of, which ends the tool.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Failure>;

    /// That was all for now.
    ///
    /// # Errors
    /// As [`see`](Self::see).
    fn rest(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Joins the groups, and hands what comes to `watcher` as long as the session runs.
///
/// # Errors
/// The first group that cannot be joined.
pub(crate) fn watch<W: Watcher + 'static>(
    args: &JoinArgs,
    watcher: &Rc<RefCell<W>>,
    session: &Session,
) -> Result<(), Error> {
    let interfaces = interfaces(&args.interfaces)?;
    for &group in &args.groups {
        let peer = join(args, group, &interfaces).map_err(Error::of(group))?;
        let (watcher, ending) = (watcher.clone(), session.ending().clone());
        let inlet = Inlet { peer, group, interfaces: interfaces.clone(), dropped: 0 };
        session.spawn(async move { inlet.receive(&watcher, &ending).await })?;
    }
    Ok(())
}

/// Where to join: the interfaces of those names, or the one of the system's choice.
fn interfaces(names: &[String]) -> Result<Vec<Interface>, Error> {
    if names.is_empty() {
        return Ok(vec![Interface::ANY]);
    }
    let found = names.iter().map(|name| name.to_interface());
    found.collect::<Result<_, _>>().map_err(Error::Interface)
}

/// A peer that has joined a group as was asked for.
fn join(args: &JoinArgs, group: SocketAddr, interfaces: &[Interface]) -> io::Result<Peer> {
    let mut options = Peer::options().details(DETAILS);
    if let Some(bytes) = args.buffer {
        options = options.receive_buffer(bytes);
    }
    // Whom a datagram was sent to shows in its details.
    let any: IpAddr = match group {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let peer = options.bind(SocketAddr::new(any, group.port()))?;
    for &interface in interfaces {
        if args.sources.is_empty() {
            peer.join_on(group.ip(), interface)?;
        }
        for &source in args.sources.iter().filter(|it| it.is_ipv4() == group.is_ipv4()) {
            peer.join_source_on(group.ip(), source, interface)?;
        }
    }
    Ok(peer)
}

/// A group that was joined.
struct Inlet {
    peer: Peer,
    group: SocketAddr,
    interfaces: Vec<Interface>,
    /// What the kernel has dropped so far.
    dropped: u32,
}

impl Inlet {
    async fn receive<W: Watcher>(
        mut self,
        watcher: &RefCell<W>,
        ending: &Ending,
    ) -> Result<(), Failure> {
        let mut batch = self.peer.batch(BATCH, LONGEST);
        let mut names = Names::default();
        while !ending.has_come() {
            self.peer.receive_batch(&mut batch).await.map_err(Error::of(self.group))?;
            let mut watcher = watcher.borrow_mut();
            for packet in batch.iter() {
                if !self.is_ours(&packet) {
                    continue;
                }
                let dropped = self.newly_dropped(&packet);
                watcher.see(&seen(&packet, self.group, dropped, &mut names))?;
            }
            watcher.rest()?;
        }
        Ok(())
    }

    /// Whether it was sent to the group and came where it was joined: what is sent to this host comes
    /// to the same port, and of a group of IPv6 also what comes by interfaces on which others have
    /// joined it.
    fn is_ours(&self, packet: &Packet<'_>) -> bool {
        let joined = |index| {
            self.interfaces.iter().any(|one| *one == Interface::ANY || one.index() == index)
        };
        packet.destination().is_none_or(|to| to == self.group.ip())
            && packet.interface().is_none_or(joined)
    }

    /// How many more the kernel has dropped since it was last asked.
    fn newly_dropped(&mut self, packet: &Packet<'_>) -> u64 {
        let dropped = packet.dropped().unwrap_or(self.dropped);
        // The count wraps around.
        let more = dropped.wrapping_sub(self.dropped);
        self.dropped = dropped;
        u64::from(more)
    }
}

fn seen<'a>(
    packet: &Packet<'a>,
    group: SocketAddr,
    dropped: u64,
    names: &'a mut Names,
) -> Seen<'a> {
    let time = packet.arrival().and_then(|arrival| arrival.kernel);
    let time = time.and_then(|time| u64::try_from(time.as_nanos()).ok()).map(Wall);
    let (payload, interface) = (packet.bytes, packet.interface().map(|index| names.of(index)));
    // Of one that was cut only that is known: no datagram is so long.
    let len = payload.len() + usize::from(packet.truncated());
    let (source, hops) = (packet.source(), packet.hops());
    Seen { time, source, group, interface, hops, payload, len, dropped }
}

/// The names of interfaces, each looked up once.
#[derive(Default)]
struct Names(HashMap<u32, String>);

impl Names {
    fn of(&mut self, index: u32) -> &str {
        self.0.entry(index).or_insert_with(|| Interface::of_index(index).to_string())
    }
}
