//! Who gets what is sent to a group.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use tautline_net::To;
use tautline_net::multicast::{Peer, ToInterface};
use tautline_runtime::sim;

use crate::common::{block, everywhere, until};
use crate::support::{
    LO, at, everywhere_and_simulated, group, group6, on_every_driver, peer, received, sender,
    simulated, six,
};

/// Several peers of one group and port get each datagram each; one that has not joined gets none,
/// though it is bound to the same, nor does one that has left.
#[test]
fn each_member_gets_each_datagram() {
    everywhere_and_simulated(async || {
        let (a, group) = (peer(), group());
        let to = at(group, &a);
        let others = [0; 3].map(|_| Peer::bind(("0.0.0.0", to.port())).unwrap());
        let [b, left, never] = &others;
        for member in [&a, b, left] {
            member.join_on(group, LO)?;
        }
        left.leave(group)?;
        let sender = sender("127.0.0.1");
        for n in 0..10 {
            sender.try_send_to(&[n; 5], to)?;
        }
        let all: Vec<_> = (0..10).map(|n| vec![n; 5]).collect();
        assert_eq!((received(&a).await?, received(b).await?), (all.clone(), all));
        assert_eq!(received(left).await?.len() + received(never).await?.len(), 0);
        Ok(())
    });
}

/// A group is bound to by its address as well, and then hears nothing else.
#[test]
fn a_peer_that_is_bound_to_its_group_hears_that_alone() {
    everywhere_and_simulated(async || {
        let group = group();
        let peer = Peer::bind((group, 0))?;
        peer.join_on(group, LO)?;
        let (to, sender) = (peer.local_addr()?, sender("127.0.0.1"));
        sender.try_send_to(b"group", to)?;
        sender.try_send_to(b"host", ([127, 0, 0, 1], to.port()).into())?;
        assert_eq!(received(&peer).await?, [b"group"]);
        Ok(())
    });
}

/// Sources are let through and kept out while the peer runs, in either way of joining.
#[test]
fn sources_are_filtered_at_run_time() {
    everywhere_and_simulated(async || {
        let (peer, group) = (peer(), group());
        let to = at(group, &peer);
        let senders = ["127.0.0.1", "127.0.0.2"].map(sender);
        let heard = async || -> io::Result<String> {
            for (text, sender) in ["1", "2"].iter().zip(&senders) {
                sender.try_send_to(text.as_bytes(), to)?;
            }
            Ok(String::from_utf8_lossy(&received(&peer).await?.concat()).into_owned())
        };
        peer.join_on(group, LO)?;
        assert_eq!(heard().await?, "12");
        peer.block_source(group, "127.0.0.2")?;
        assert_eq!(heard().await?, "1");
        peer.unblock_source(group, "127.0.0.2")?;
        assert_eq!(heard().await?, "12");
        peer.leave(group)?;
        assert_eq!(heard().await?, "");
        peer.join_source_on(group, "127.0.0.2", LO)?;
        assert_eq!(heard().await?, "2");
        peer.join_source_on(group, "127.0.0.1", LO)?;
        assert_eq!(heard().await?, "12");
        peer.leave_source(group, "127.0.0.2")?;
        assert_eq!(heard().await?, "1");
        Ok(())
    });
}

/// IPv6 groups carry datagrams, with source filters, on the interface that is named.
#[test]
fn ipv6_groups_carry_datagrams() {
    everywhere_and_simulated(async || {
        let Some(interface) = six() else { return Ok(()) };
        let peer = Peer::options().interface(interface).bind("[::]:0")?;
        let (group, other) = (group6(), group6());
        peer.join_on(group, interface)?;
        peer.try_send_to(b"any", at(group, &peer))?;
        peer.readable().await?;
        let source = peer.try_receive_from(&mut [0; 16])?.source().unwrap().ip();
        peer.join_source_on(other, source, interface)?;
        peer.try_send_to(b"again", at(group, &peer))?;
        peer.try_send_to(b"some", at(other, &peer))?;
        assert_eq!(received(&peer).await?, [&b"again"[..], b"some"]);
        peer.block_source(group, source)?;
        peer.try_send_to(b"blocked", at(group, &peer))?;
        assert_eq!(received(&peer).await?.len(), 0);
        Ok(())
    });
}

/// A peer that switched the loopback off does not hear itself.
#[test]
fn loopback_can_be_switched_off() {
    everywhere_and_simulated(async || {
        // The loopback interface brings back what leaves by it, whatever the sender says.
        let Some(interface) = six().filter(|one| Some(*one) != "lo".to_interface().ok()) else {
            return Ok(());
        };
        for (on, heard) in [(true, 1), (false, 0)] {
            let (options, group) = (Peer::options().interface(interface), group6());
            let peer = options.loopback(on).bind("[::]:0")?;
            peer.join_on(group, interface)?;
            peer.try_send_to(b"echo", at(group, &peer))?;
            assert_eq!(received(&peer).await?.len(), heard);
        }
        Ok(())
    });
}

/// An address and port that are not to be shared are not.
#[test]
fn an_address_can_be_kept_to_oneself() {
    everywhere(|_| {
        let alone = Peer::options().reuse(false).bind("0.0.0.0:0").unwrap();
        let taken = Peer::bind(alone.local_addr().unwrap()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        assert!(taken.to_string().contains("another port"), "{taken}");
    });
}

/// A port that the system chooses is one that no other peer has; it can be shared by name.
#[test]
fn any_port_is_a_port_of_ones_own() {
    on_every_driver(|_| {
        let bind = |_| Peer::bind("0.0.0.0:0").unwrap();
        let peers: Vec<Peer> = (0..1000).map(bind).collect();
        let ports = peers.iter().map(|peer| peer.local_addr().unwrap().port());
        assert_eq!(ports.collect::<BTreeSet<_>>().len(), peers.len());
        Peer::bind(peers[0].local_addr().unwrap()).unwrap();
    });
}

/// A handler joins and leaves by the name of the memberships, after the peer was given away.
#[test]
fn handlers_join_and_leave() {
    on_every_driver(|runtime| {
        let (peer, first, second) = (peer(), group(), group());
        let (to_first, to_second) = (at(first, &peer), at(second, &peer));
        peer.join_on(first, LO).unwrap();
        let (groups, log) = (peer.groups(), Rc::new(RefCell::new(Vec::new())));
        let (in_handler, seen) = (groups.clone(), log.clone());
        let conn = peer
            .on_datagrams(move |_, packet| {
                seen.borrow_mut().push(packet.bytes.to_vec());
                if packet.bytes == b"move" {
                    in_handler.join_on(second, LO)?;
                    in_handler.leave(first)?;
                }
                io::Result::Ok(())
            })
            .unwrap();
        let sender = sender("127.0.0.1");
        sender.try_send_to(b"move", to_first).unwrap();
        until(runtime, || log.borrow().len() == 1);
        sender.try_send_to(b"unheard", to_first).unwrap();
        sender.try_send_to(b"heard", to_second).unwrap();
        until(runtime, || log.borrow().len() == 2);
        assert_eq!(*log.borrow(), [&b"move"[..], b"heard"]);
        assert_eq!(groups.list().len(), 1);
        conn.close();
    });
}

/// Batches go to one group, or each datagram to its own, and come back in batches.
#[test]
fn batches_go_to_several_groups() {
    everywhere_and_simulated(async || {
        let (peer, groups) = (peer(), [group(), group(), group()]);
        let mut batch = peer.batch(8, 100);
        for (n, group) in groups.into_iter().enumerate() {
            peer.join_on(group, LO)?;
            batch.push(&[n as u8], Some(&at(group, &peer).into()))?;
        }
        peer.send_batch(&mut batch, To::Own).await?;
        peer.send_batch(&mut batch, To::All(&at(groups[1], &peer).into())).await?;
        let expected: Vec<_> = [0, 1, 2, 0, 1, 2].map(|n| vec![n]).into();
        assert_eq!(received(&peer).await?, expected);
        Ok(())
    });
}

/// A group that is joined on one of two interfaces brings what comes by that one alone.
#[test]
fn a_group_is_joined_on_one_of_two_interfaces() {
    let runtime = simulated(sim::Faults::none());
    block(&runtime, async {
        let (first, group) = (peer(), group());
        let to = at(group, &first);
        first.join_on(group, 1)?;
        let second = Peer::bind(("0.0.0.0", to.port()))?;
        second.join_on(group, 2)?;
        let both = Peer::bind(("0.0.0.0", to.port()))?;
        both.join_on(group, 1)?;
        both.join_on(group, 2)?;
        for interface in [1, 2] {
            let sender = Peer::options().interface(interface).bind("0.0.0.0:0")?;
            sender.try_send_to(&[interface as u8], to)?;
        }
        assert_eq!(
            (received(&first).await?, received(&second).await?),
            (vec![vec![1]], vec![vec![2]])
        );
        let mut heard = received(&both).await?;
        heard.sort_unstable();
        assert_eq!(heard, [[1], [2]]);
        both.leave_on(group, 1)?;
        both.leave(group)?;
        Ok(())
    });
}

/// What is lost is lost to each member for itself: two lines of one feed lose different datagrams.
#[test]
fn two_members_lose_different_datagrams() {
    let faults = sim::Faults { loss: sim::Rate::percent(10), ..sim::Faults::none() };
    let runtime = simulated(faults);
    block(&runtime, async {
        let (a, group) = (peer(), group());
        let to = at(group, &a);
        let b = Peer::bind(("0.0.0.0", to.port()))?;
        for member in [&a, &b] {
            member.join_on(group, LO)?;
        }
        for n in 0..1000u16 {
            sender("127.0.0.1").try_send_to(&n.to_be_bytes(), to)?;
        }
        let (a, b) = (received(&a).await?, received(&b).await?);
        let lost_to_both = 1000 - a.iter().chain(&b).collect::<BTreeSet<_>>().len();
        for came in [a.len(), b.len()] {
            assert!((850..950).contains(&came), "{came}");
        }
        assert!((1..30).contains(&lost_to_both), "{lost_to_both}");
        Ok(())
    });
}
