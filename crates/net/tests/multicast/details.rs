//! What comes with each datagram.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tautline_net::multicast::{Peer, ReadEvent, ToInterface};
use tautline_net::{Details, Packet};
use tautline_runtime::timer;

use crate::common::{everywhere, run, until};
use crate::support::{SOON, at, group, on_every_driver, region, sender};

/// What one datagram of the loopback interface came with: source, destination, interface, and
/// whether it has a time of the last seconds.
fn seen(packet: &Packet<'_>) -> [Option<String>; 4] {
    let arrived = packet.arrival().and_then(|arrival| arrival.kernel);
    let recently = |time: Duration| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.abs_diff(time) < Duration::from_secs(60)
    };
    [
        packet.source().map(|source| source.to_string()),
        packet.destination().map(|destination| destination.to_string()),
        packet.interface().map(|interface| interface.to_string()),
        arrived.map(|time| recently(time).to_string()),
    ]
}

/// All that was asked for comes, in batches and to handlers, and nothing that was not: each detail
/// can be switched off by itself.
#[test]
fn each_detail_comes_if_it_is_asked_for() {
    everywhere(|runtime| {
        let (none, all) = (Details::NONE, Peer::DETAILS);
        let asked = [
            all,
            Details { source: false, ..all },
            Details { destination: false, ..all },
            Details { time: None, ..all },
            Details { drops: false, ..all },
            Details { source: true, ..none },
            none,
        ];
        for details in asked {
            let options = Peer::options().interface("lo").details(details);
            let (peer, group) = (options.bind("0.0.0.0:0").unwrap(), group());
            peer.join_on(group, "lo").unwrap();
            let (sender, to) = (sender("127.0.0.1"), at(group, &peer));
            let lo = "lo".to_interface().unwrap().index().to_string();
            let expected = [
                details.source.then(|| sender.local_addr().unwrap().to_string()),
                details.destination.then(|| group.to_string()),
                details.destination.then_some(lo),
                details.time.map(|_| "true".to_owned()),
            ];
            sender.try_send_to(b"batch", to).unwrap();
            let mut batch = peer.batch(4, 100);
            crate::common::block(runtime, peer.receive_batch(&mut batch));
            assert_eq!(seen(&batch.get(0).unwrap()), expected, "{details:?}");
            let log = Rc::new(RefCell::new(Vec::new()));
            let seen_by_handler = log.clone();
            let note = move |_: &_, packet: Packet<'_>| {
                seen_by_handler.borrow_mut().push(seen(&packet));
            };
            let conn = peer.on_datagrams(note).unwrap();
            sender.try_send_to(b"handler", to).unwrap();
            until(runtime, || !log.borrow().is_empty());
            assert_eq!(*log.borrow(), [expected], "{details:?}");
            conn.close();
        }
    });
}

/// A peer's read buffers bring the same details.
#[test]
fn read_buffers_bring_all_details() {
    run(async || {
        let details = Details { hops: true, ..Peer::DETAILS };
        let peer = Peer::options().details(details).bind("0.0.0.0:0")?;
        let (group, region) = (group(), region(4, 64));
        peer.join_on(group, "lo")?;
        peer.read_from(region.borrower().unwrap());
        let (sender, to) = (sender("127.0.0.2"), at(group, &peer));
        sender.try_send_to(&[9; 100], to)?;
        let received = peer.receive().await?;
        assert_eq!((&received[..], received.truncated), (&[9; 64][..], true));
        assert_eq!(received.source, Some(sender.local_addr()?));
        assert_eq!(received.destination, Some(group.into()));
        assert_eq!(received.interface, Some("lo".to_interface().unwrap()));
        assert!(received.arrival.and_then(|arrival| arrival.kernel).is_some());
        assert_eq!((received.dropped, received.hops), (None, Some(1)));
        Ok(())
    });
}

/// What the kernel drops for want of room is counted: what was received and what its counter tells
/// are together what was sent.
#[test]
fn the_kernels_drops_are_counted() {
    run(async || {
        let options = Peer::options().interface("lo").receive_buffer(16 << 10);
        let (peer, group) = (options.bind("0.0.0.0:0")?, group());
        peer.join_on(group, "lo")?;
        let (sender, to) = (sender("127.0.0.1"), at(group, &peer));
        for n in 0..500u32 {
            sender.try_send_to(&n.to_be_bytes(), to)?;
        }
        timer::sleep(SOON).await?;
        let (mut batch, mut came) = (peer.batch(1024, 16), 0);
        came += peer.try_receive_batch(&mut batch)?;
        assert!((1..500).contains(&came), "{came}");
        assert_eq!(batch.get(0).unwrap().dropped(), None);
        // The first that has room again knows of those before.
        sender.try_send_to(b"after", to)?;
        came += peer.receive_batch(&mut batch).await?;
        assert_eq!(batch.get(0).unwrap().dropped(), Some(501 - came as u32));
        Ok(())
    });
}

/// A datagram longer than its place says so in every face.
#[test]
fn truncation_is_told() {
    on_every_driver(|runtime| {
        let (peer, group) = (crate::support::peer(), group());
        peer.join_on(group, "lo").unwrap();
        let (sender, to) = (sender("127.0.0.1"), at(group, &peer));
        let region = region(4, 10);
        sender.try_send_to(&[1; 11], to).unwrap();
        let mut batch = peer.batch(1, 10);
        crate::common::block(runtime, peer.receive_batch(&mut batch));
        assert!(batch.get(0).unwrap().truncated());
        peer.read_from(region.borrower().unwrap());
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = log.clone();
        peer.on_received(move |_, event| {
            if let ReadEvent::Datagram(received) = event {
                seen.borrow_mut().push((received.len(), received.truncated));
            }
        })
        .unwrap();
        sender.try_send_to(&[1; 11], to).unwrap();
        sender.try_send_to(&[1; 10], to).unwrap();
        until(runtime, || log.borrow().len() == 2);
        assert_eq!(*log.borrow(), [(10, true), (10, false)]);
    });
}
