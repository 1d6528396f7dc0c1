//! Datagrams that the kernel divides, joins, and gathers from their parts, on the way to groups.

use std::net::SocketAddr;

use tautline_net::multicast::Peer;
use tautline_net::{Gather, To};
use tautline_runtime::SocketOption;

use crate::common::run;
use crate::support::{LO, at, everywhere_and_simulated, group, joined, peer, received, region};

/// What is handed over as one buffer of many segments reaches every member as single datagrams.
#[test]
fn segments_reach_a_group_as_single_datagrams() {
    everywhere_and_simulated(async || {
        let (a, to) = joined();
        let b = Peer::options().bind(("0.0.0.0", to.port()))?;
        b.join_on(to.ip(), LO)?;
        let bytes: Vec<u8> = (0..4500u32).map(|n| (n / 1000) as u8).collect();
        let mut batch = a.batch(1, 1 << 16);
        batch.push_segments(&bytes, 1000, None)?;
        a.send_batch(&mut batch, To::All(&to.into())).await?;
        for member in [&a, &b] {
            let all = received(member).await?;
            let lengths: Vec<_> = all.iter().map(Vec::len).collect();
            assert_eq!(lengths, [1000, 1000, 1000, 1000, 500]);
            assert_eq!(all.concat(), bytes);
        }
        Ok(())
    });
}

/// Parts leave from where they lie, for several groups in one call, and divided if one likes.
#[test]
fn parts_are_gathered_for_several_groups() {
    everywhere_and_simulated(async || {
        let (peer, groups) = (peer(), [group(), group()]);
        for group in groups {
            peer.join_on(group, LO)?;
        }
        let [first, second] = groups.map(|group| at(group, &peer).into());
        let (header, bodies) = ([9; 4], [[1; 60], [2; 60]]);
        let mut gather = Gather::new(4, 16);
        let mut datagrams = gather.start();
        datagrams.push(&[&header, &bodies[0]], Some(&first))?;
        datagrams.push(&[&header, &bodies[1]], Some(&second))?;
        datagrams.push(&[&header, &bodies[0], &header, &bodies[1]], Some(&second))?;
        datagrams.divide(64);
        assert_eq!(datagrams.send(peer.conn(), 0)?, 3);
        let [one, two] = bodies.map(|body| [&header[..], &body].concat());
        assert_eq!(received(&peer).await?, [one.clone(), two.clone(), one, two]);
        Ok(())
    });
}

/// With receive offload a burst arrives joined, by batches and in read buffers, and falls into what
/// was sent; a peer without it beside gets single datagrams of the same.
#[test]
fn joined_datagrams_fall_into_their_segments() {
    run(async || {
        let options = Peer::options().interface("lo").receive_offload(true);
        let (joins, group) = (options.bind("0.0.0.0:0")?, group());
        let to: SocketAddr = at(group, &joins);
        let single = Peer::bind(("0.0.0.0", to.port()))?;
        for peer in [&joins, &single] {
            peer.join_on(group, "lo")?;
        }
        let region = region(2, 1 << 16);
        joins.read_from(region.borrower().unwrap());
        let mut batch = joins.batch(4, 1 << 16);
        for by_batch in [true, false] {
            batch.clear();
            batch.push_segments(&[5; 2500], 1000, None)?;
            joins.send_batch(&mut batch, To::All(&to.into())).await?;
            let lengths: Vec<_> = if by_batch {
                assert_eq!(joins.receive_batch(&mut batch).await?, 1);
                batch.get(0).unwrap().segments().map(<[u8]>::len).collect()
            } else {
                let received = joins.receive().await?;
                assert_eq!(received.destination, Some(group.into()));
                received.segments().map(<[u8]>::len).collect()
            };
            assert_eq!(lengths, [1000, 1000, 500]);
            assert_eq!(received(&single).await?.len(), 3);
        }
        joins.set_option(SocketOption::ReceiveOffload(false))?;
        joins.send_to(b"", to).await?;
        assert_eq!(joins.receive().await?.segments().collect::<Vec<_>>(), [b""]);
        Ok(())
    });
}
