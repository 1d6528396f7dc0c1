//! Groups between several hosts: who is heard on which device, and what the kernel knows of it.
//!
//! Needs root and `ip`; where they are missing the tests say so, and fail if `CI` is set.

#[path = "../common/mod.rs"]
mod common;
mod kernel;
mod lab;
mod reach;
#[path = "../../../runtime/tests/common/skips.rs"]
mod skips;

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tautline_bus::Local;
use tautline_bus::pool::{self, Pool};
use tautline_net::multicast::{Peer, ReadEvent};
use tautline_runtime::{Batch, Conn, task, timer};

use self::common::run;
use self::lab::{Family, Host, Lab};

const PORT: u16 = 31_000;
/// Long enough for what is under way on this machine.
const SILENCE: Duration = Duration::from_millis(60);
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

fn group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([239, 91, 0, 1]),
        Family::V6 => IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0x91, 1]),
    }
}

fn any(family: Family) -> SocketAddr {
    let ip = if family == Family::V4 { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
    SocketAddr::new(ip, PORT)
}

/// A peer of a host that sends by its device.
fn sender(lab: &Lab, host: Host, device: &str, family: Family) -> io::Result<Peer> {
    lab.at(host, || Peer::options().interface(device).bind(SocketAddr::new(any(family).ip(), 0)))
}

/// The trader's peer, which has joined nothing yet.
fn receiver(lab: &Lab, family: Family) -> io::Result<Peer> {
    lab.at(Host::Trader, || Peer::bind(any(family)))
}

/// A peer on each of two hosts, which have one device each.
fn senders(lab: &Lab, hosts: [Host; 2], family: Family) -> [(Host, Peer); 2] {
    hosts.map(|host| (host, sender(lab, host, "eth0", family).unwrap()))
}

/// Each sends its name; whose arrive, with the number of the device.
async fn heard(
    receiver: &Peer,
    family: Family,
    senders: &[(Host, Peer)],
) -> io::Result<Vec<(Host, u32)>> {
    let to = SocketAddr::new(group(family), PORT);
    for (host, sender) in senders {
        sender.send_to(&[*host as u8], to).await?;
    }
    let mut batch = receiver.batch(16, 64);
    let mut heard = Vec::new();
    while let Ok(count) = timer::timeout(SILENCE, receiver.receive_batch(&mut batch)).await {
        count?;
        for packet in batch.iter() {
            let is = |host: &Host| packet.bytes == [*host as u8];
            let sent = senders.iter().map(|(host, _)| *host).find(is);
            let host = sent.expect("a datagram that nobody has sent");
            assert_eq!(packet.destination(), Some(group(family)), "{host:?}");
            heard.push((host, packet.interface().expect("the device")));
        }
    }
    heard.sort_by_key(|(host, _)| *host as u8);
    Ok(heard)
}

fn hosts(heard: &[(Host, u32)]) -> Vec<Host> {
    heard.iter().map(|(host, _)| *host).collect()
}

/// One of two senders is blocked and unblocked while packets are coming: the other is heard always.
#[test]
fn a_blocked_source_is_not_heard() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let trader = receiver(&lab, family)?;
            let senders = senders(&lab, [Host::Exchange, Host::Rogue], family);
            assert_eq!(
                heard(&trader, family, &senders).await?,
                [],
                "{family:?}: nothing is joined"
            );
            lab.at(Host::Trader, || trader.join_on(group(family), "eth0"))?;
            let both = [Host::Exchange, Host::Rogue];
            assert_eq!(hosts(&heard(&trader, family, &senders).await?), both, "{family:?}");
            let address = Host::Rogue.on(1, family);
            for _ in 0..3 {
                trader.block_source(group(family), address)?;
                let one = [Host::Exchange];
                assert_eq!(hosts(&heard(&trader, family, &senders).await?), one, "{family:?}");
                trader.unblock_source(group(family), address)?;
                assert_eq!(hosts(&heard(&trader, family, &senders).await?), both, "{family:?}");
            }
            trader.leave(group(family))?;
            assert_eq!(heard(&trader, family, &senders).await?, [], "{family:?}: all is left");
        }
        Ok(())
    });
}

/// Of a group that is joined for one source, nobody else is heard; of two sources, either.
#[test]
fn only_the_sources_that_are_joined_are_heard() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let trader = receiver(&lab, family)?;
            let senders = senders(&lab, [Host::Exchange, Host::Rogue], family);
            let (first, second) = (Host::Exchange.on(1, family), Host::Rogue.on(1, family));
            lab.at(Host::Trader, || trader.join_source_on(group(family), first, "eth0"))?;
            let one = hosts(&heard(&trader, family, &senders).await?);
            assert_eq!(one, [Host::Exchange], "{family:?}");
            lab.at(Host::Trader, || trader.join_source_on(group(family), second, "eth0"))?;
            let both = hosts(&heard(&trader, family, &senders).await?);
            assert_eq!(both, [Host::Exchange, Host::Rogue], "{family:?}");
            trader.leave_source(group(family), first)?;
            let other = hosts(&heard(&trader, family, &senders).await?);
            assert_eq!(other, [Host::Rogue], "{family:?}");
        }
        Ok(())
    });
}

/// A group that is joined on one of two devices is heard on that one only; joined on both, each
/// datagram tells by which it came.
#[test]
fn a_group_is_heard_where_it_was_joined() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let trader = receiver(&lab, family)?;
            let senders = senders(&lab, [Host::Exchange, Host::Other], family);
            lab.at(Host::Trader, || trader.join_on(group(family), "eth1"))?;
            let second = heard(&trader, family, &senders).await?;
            assert_eq!(hosts(&second), [Host::Other], "{family:?}");
            lab.at(Host::Trader, || trader.join_on(group(family), "eth0"))?;
            let both = heard(&trader, family, &senders).await?;
            assert_eq!(hosts(&both), [Host::Exchange, Host::Other], "{family:?}");
            assert_eq!(both[1], second[0], "{family:?}: the device of the second network");
            assert_ne!(both[0].1, both[1].1, "{family:?}: the device of the first");
            lab.at(Host::Trader, || trader.leave_on(group(family), "eth1"))?;
            let first = heard(&trader, family, &senders).await?;
            assert_eq!(hosts(&first), [Host::Exchange], "{family:?}");
        }
        Ok(())
    });
}

/// Two peers of one host, each with a group on another device: each hears its own device alone, in
/// whichever way it reads, though Linux hands both of them what comes for either if it is IPv6.
#[test]
fn peers_of_one_host_hear_their_own_devices() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let senders = senders(&lab, [Host::Exchange, Host::Other], family);
            let devices = [("eth0", Host::Exchange), ("eth1", Host::Other)];
            for (way, read) in WAYS {
                let peers =
                    devices.map(|(device, _)| joined(&lab, Host::Trader, device, family).unwrap());
                let groups = [peers[0].groups(), peers[1].groups()];
                let heard = peers.map(read);
                for n in 0..3 {
                    let to = SocketAddr::new(group(family), PORT);
                    for (host, sender) in &senders {
                        sender.try_send_to(&[n, *host as u8], to)?;
                    }
                }
                timer::sleep(SILENCE).await?;
                for (heard, (device, host)) in heard.iter().zip(devices) {
                    let expected: Vec<_> = (0..3).map(|n| vec![n, host as u8]).collect();
                    assert_eq!(*heard.borrow(), expected, "{family:?} by {device}, {way}");
                }
                let strays = if family == Family::V6 { 3 } else { 0 };
                assert_eq!(groups.map(|groups| groups.strays()), [strays; 2], "{family:?}, {way}");
            }
        }
        Ok(())
    });
}

/// A datagram comes to the one member of its group, whatever other sockets of the port there are.
#[test]
fn a_group_is_its_members_alone() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let exchange = sender(&lab, Host::Exchange, "eth0", family)?;
            let groups = [1, 2, 3, 4].map(|n| another_group(family, n));
            let join = |group: &IpAddr| -> io::Result<Peer> {
                let peer = receiver(&lab, family)?;
                lab.at(Host::Trader, || peer.join_on(*group, "eth0"))?;
                Ok(peer)
            };
            let members = groups.iter().map(join).collect::<io::Result<Vec<_>>>()?;
            let never = receiver(&lab, family)?;
            for n in 0..10 {
                for (at, group) in groups.iter().enumerate() {
                    exchange.try_send_to(&[at as u8, n], SocketAddr::new(*group, PORT))?;
                }
            }
            let heard: Vec<_> = members.into_iter().chain([never]).map(batches).collect();
            timer::sleep(2 * SILENCE).await?;
            for (at, heard) in heard.iter().enumerate() {
                let of_own = if at < groups.len() { 10 } else { 0 };
                let expected: Vec<_> = (0..of_own).map(|n| vec![at as u8, n]).collect();
                assert_eq!(*heard.borrow(), expected, "{family:?}: the member of group {at}");
            }
        }
        Ok(())
    });
}

fn another_group(family: Family, n: u8) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([239, 91, 1, n]),
        Family::V6 => IpAddr::from([0xff15, 0, 0, 0, 0, 0, 0x92, n.into()]),
    }
}

/// The bytes of what a peer has received.
type Heard = Rc<RefCell<Vec<Vec<u8>>>>;
/// A way to read, with its name.
type Way = (&'static str, fn(Peer) -> Heard);

const WAYS: [Way; 5] = [
    ("batches", batches),
    ("buffers", buffers),
    ("named", named),
    ("datagrams", datagrams),
    ("whole batches", whole_batches),
];

/// A peer of a host that has joined the group on one device.
fn joined(lab: &Lab, host: Host, device: &str, family: Family) -> io::Result<Peer> {
    lab.at(host, || {
        let peer = Peer::bind(any(family))?;
        peer.join_on(group(family), device)?;
        Ok(peer)
    })
}

/// Reads for as long as the test sends.
fn reading<F: Future<Output = ()> + 'static>(read: impl FnOnce(Heard) -> F) -> Heard {
    let heard = Heard::default();
    let reader = read(heard.clone());
    drop(task::spawn(async move { timer::timeout(SILENCE, reader).await }).unwrap());
    heard
}

fn batches(peer: Peer) -> Heard {
    reading(async move |heard| {
        let mut batch = peer.batch(4, 64);
        while let Ok(count) = peer.receive_batch(&mut batch).await {
            assert!(count > 0 && count == batch.len());
            heard.borrow_mut().extend(batch.iter().map(|packet| packet.bytes.to_vec()));
        }
    })
}

fn buffers(peer: Peer) -> Heard {
    let region = region();
    peer.read_from(region.borrower().unwrap());
    reading(async move |heard| {
        while let Ok(received) = peer.receive().await {
            heard.borrow_mut().push(received.to_vec());
        }
        drop(region);
    })
}

/// Each datagram in the buffer that was named for it, also if others came before.
fn named(peer: Peer) -> Heard {
    let mut borrower = region().borrower().unwrap();
    let (heard, buffers) = (Heard::default(), peer.read_buffers());
    let mut name = move || {
        let draft = borrower.try_loan().unwrap();
        let place = draft.as_ptr();
        assert!(buffers.set(draft).is_none());
        place
    };
    let (mut place, hear) = (name(), heard.clone());
    let hear = move |_: &Conn, event| {
        let ReadEvent::Datagram(received) = event else { panic!("a buffer is named") };
        assert_eq!(received.as_ptr(), place);
        hear.borrow_mut().push(received.to_vec());
        place = name();
    };
    peer.on_received(hear).unwrap();
    heard
}

fn datagrams(peer: Peer) -> Heard {
    let heard = Heard::default();
    let hear = heard.clone();
    peer.on_datagrams(move |_, packet| hear.borrow_mut().push(packet.bytes.to_vec())).unwrap();
    heard
}

fn whole_batches(peer: Peer) -> Heard {
    let heard = Heard::default();
    let (hear, batch) = (heard.clone(), peer.batch(4, 64));
    let hear = move |_: &Conn, batch: &mut Batch| {
        assert!(!batch.is_empty());
        hear.borrow_mut().extend(batch.iter().map(|packet| packet.bytes.to_vec()));
    };
    peer.on_batches(batch, hear).unwrap();
    heard
}

fn region() -> Pool<[u8], Local> {
    Pool::of_bytes(64, pool::Config { buffers: 8, ..pool::Config::default() }).unwrap()
}

/// What a host with two devices sends leaves by the one that it was told to use, alone.
#[test]
fn a_sender_uses_its_device() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let member = |host| joined(&lab, host, "eth0", family);
            let (exchange, other) = (member(Host::Exchange)?, member(Host::Other)?);
            for (device, hears, is_deaf) in
                [("eth0", &exchange, &other), ("eth1", &other, &exchange)]
            {
                let senders = [(Host::Trader, sender(&lab, Host::Trader, device, family)?)];
                let arrived = hosts(&heard(hears, family, &senders).await?);
                assert_eq!(arrived, [Host::Trader], "{family:?} by {device}");
                assert_eq!(heard(is_deaf, family, &[]).await?, [], "{family:?} by {device}");
            }
        }
        Ok(())
    });
}
