//! Groups that a tool has joined, and what comes to them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tautline_net::LessGranted;
use tautline_net::multicast::{Interface, Peer, ToInterface};
use tautline_relay::endpoint::{InterfaceName, MulticastSource};
use tautline_relay::join_group;
use tautline_runtime::{Details, Packet};

use super::ending::Ending;
use super::error::Error;
use super::seen::{Seen, Wall};
use super::session::Session;
use crate::Failure;
use crate::cli::JoinArgs;
use crate::notice;

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

/// Joins the groups, and hands what comes to `watcher` as long as the session runs. What is returned
/// tells what does not come.
///
/// # Errors
/// The first group that cannot be joined.
pub(crate) fn watch<W: Watcher + 'static>(
    args: &JoinArgs,
    watcher: &Rc<RefCell<W>>,
    session: &Session,
) -> Result<Drops, Error> {
    differ(&args.interfaces)?;
    tell_down(&args.interfaces);
    let mut drops = Drops(Vec::with_capacity(args.groups.len()));
    for (at, &group) in args.groups.iter().enumerate() {
        let peer = join(args, group).map_err(Error::of(group))?;
        if at == 0 {
            // All get the same.
            tell_less(args.buffer, &peer).map_err(Error::of(group))?;
        }
        let (watcher, ending) = (watcher.clone(), session.ending().clone());
        let inlet = Rc::new(Inlet { peer, group, dropped: Dropped::default() });
        drops.0.push(inlet.clone());
        session.spawn(async move { inlet.receive(&watcher, &ending).await })?;
    }
    Ok(drops)
}

/// Says so if an interface is down.
fn tell_down(names: &[InterfaceName]) {
    for interface in names.iter().filter_map(|name| name.to_string().to_interface().ok()) {
        if let Some(told) = down(interface, interface.is_up()) {
            notice::say(told);
        }
    }
}

/// What to do about an interface by which nothing can come until it is up.
fn down(interface: Interface, is_up: Option<bool>) -> Option<String> {
    let told = || format!("{interface} is down: bring it up (`ip link set {interface} up`)");
    (is_up == Some(false)).then(told)
}

/// Looks whether the names are of different interfaces. One that nobody has is told of by the join.
fn differ(names: &[InterfaceName]) -> Result<(), Error> {
    let mut known = HashMap::new();
    for name in names.iter().map(ToString::to_string) {
        let Ok(interface) = name.to_interface() else { continue };
        if let Some(one) = known.insert(interface.index(), name.clone()) {
            return Err(Error::SameInterface { one, other: name });
        }
    }
    Ok(())
}

/// A peer that has joined a group as was asked for.
fn join(args: &JoinArgs, group: SocketAddr) -> io::Result<Peer> {
    let mut options = Peer::options().details(DETAILS);
    if let Some(bytes) = args.buffer {
        options = options.receive_buffer(bytes);
    }
    let (interfaces, mut sources) = (args.interfaces.clone(), args.sources.clone());
    sources.retain(|source| source.is_ipv4() == group.is_ipv4());
    join_group(&MulticastSource { group, interfaces, sources }, &options)
}

/// Says so if the kernel has not granted the buffer that was asked for.
fn tell_less(asked: Option<usize>, peer: &Peer) -> io::Result<()> {
    let less = asked.map(|asked| LessGranted::of_receive_buffer(peer.conn(), asked)).transpose()?;
    if let Some(less) = less.flatten() {
        notice::say(format_args!("--buffer: {less}"));
    }
    Ok(())
}

/// A group that was joined.
struct Inlet {
    peer: Peer,
    group: SocketAddr,
    dropped: Dropped,
}

impl Inlet {
    async fn receive<W: Watcher>(
        &self,
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
                let dropped = packet.dropped().map_or(0, |count| self.dropped.newly(count));
                watcher.see(&seen(&packet, self.group, dropped, &mut names))?;
            }
            watcher.rest()?;
        }
        Ok(())
    }

    /// Whether it was sent to the group: for some groups of IPv6 the peer is bound to any address, and
    /// gets what is sent to this host at the same port too.
    fn is_ours(&self, packet: &Packet<'_>) -> bool {
        packet.destination().is_none_or(|to| to == self.group.ip())
    }
}

/// What the kernel has dropped, also when nothing came any more that would tell of it.
pub(crate) struct Drops(Vec<Rc<Inlet>>);

impl Drops {
    /// How many more than was told so far, here and with packets.
    pub(crate) fn newly(&self) -> u64 {
        // A socket that cannot be asked tells of it with its packets.
        let newly =
            |inlet: &Rc<Inlet>| inlet.peer.dropped().map_or(0, |it| inlet.dropped.newly(it));
        self.0.iter().map(newly).sum()
    }
}

/// What a socket has dropped so far, as was told. Packets and the socket itself have the same count, a
/// packet as it was when that one came: it may be told after what the socket says now.
#[derive(Default)]
struct Dropped(Cell<u32>);

impl Dropped {
    /// How many more it is than was told; none if that was told of before.
    fn newly(&self, count: u32) -> u64 {
        // The count wraps around.
        let more = count.wrapping_sub(self.0.get());
        if more > u32::MAX / 2 {
            return 0;
        }
        self.0.set(count);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that drops are told once, whether the socket tells of them first or a packet that came
    /// before, and across the end of the count.
    #[test]
    fn drops_are_told_once() {
        let dropped = Dropped::default();
        let told: Vec<_> =
            [3, 3, 10, 5, 10, 12].iter().map(|count| dropped.newly(*count)).collect();
        assert_eq!(told, [3, 0, 7, 0, 0, 2]);
        let dropped = Dropped(Cell::new(u32::MAX));
        assert_eq!((dropped.newly(4), dropped.newly(u32::MAX), dropped.newly(5)), (5, 0, 1));
    }

    /// Proves that an interface that is down is told of, with the command that brings it up, and no other.
    #[test]
    fn an_interface_that_is_down_is_told() {
        let lo = "lo".to_interface().unwrap();
        let told = down(lo, Some(false));
        assert_eq!(told.as_deref(), Some("lo is down: bring it up (`ip link set lo up`)"));
        assert_eq!((down(lo, lo.is_up()), down(lo, None)), (None, None));
        assert_eq!(lo.is_up(), Some(true));
    }
}
