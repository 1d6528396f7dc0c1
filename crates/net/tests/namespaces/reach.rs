//! How far what is sent to a group gets.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use tautline_net::Details;
use tautline_net::multicast::{Error, Options, Peer};
use tautline_runtime::{Batch, To, timer};

use super::common::run;
use super::lab::{Family, Host, Lab};
use super::{FAMILIES, PORT, SILENCE, any, group, joined};

/// The trader's peer that sends by its first device, made with `options`.
fn sender(lab: &Lab, family: Family, options: Options) -> io::Result<Peer> {
    let address = SocketAddr::new(any(family).ip(), 0);
    lab.at(Host::Trader, || options.interface("eth0").bind(address))
}

/// What was heard, with the hops that it had left, after one datagram was sent.
async fn hops(sender: &Peer, members: [&Peer; 2], family: Family) -> io::Result<[Vec<u8>; 2]> {
    sender.send_to(b"tick", SocketAddr::new(group(family), PORT)).await?;
    timer::sleep(SILENCE).await?;
    let heard = |member: &Peer| {
        let mut batch = member.batch(4, 64);
        match member.try_receive_batch(&mut batch) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Ok(batch.iter().map(|packet| packet.hops().expect("the hops")).collect()),
        }
    };
    Ok([heard(members[0])?, heard(members[1])?])
}

/// A member on a host that asks for the hops.
fn member(lab: &Lab, host: Host, family: Family) -> io::Result<Peer> {
    lab.at(host, || {
        let details = Details { hops: true, ..Peer::DETAILS };
        let peer = Peer::options().details(details).bind(any(family))?;
        peer.join_on(group(family), "eth0")?;
        Ok(peer)
    })
}

/// Without loopback, what is sent to a group comes to members on other hosts and to none on its own,
/// whoever they are; with it, to all.
#[test]
fn loopback_is_for_members_on_the_own_host_alone() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let own = member(&lab, Host::Trader, family)?;
            let others = member(&lab, Host::Exchange, family)?;
            for (loopback, copies) in [(true, 1), (false, 0)] {
                let sender = sender(&lab, family, Peer::options().loopback(loopback))?;
                lab.at(Host::Trader, || sender.join_on(group(family), "eth0"))?;
                let [here, there] = hops(&sender, [&own, &others], family).await?;
                assert_eq!((here.len(), there.len()), (copies, 1), "{family:?}, {loopback}");
            }
        }
        Ok(())
    });
}

/// A datagram leaves with as many hops as it was given; with none it stays on its host.
#[test]
fn hops_are_how_far_a_datagram_gets() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        for family in FAMILIES {
            let own = member(&lab, Host::Trader, family)?;
            let others = member(&lab, Host::Exchange, family)?;
            let made = async |options: Options| {
                let sender = sender(&lab, family, options)?;
                hops(&sender, [&own, &others], family).await
            };
            assert_eq!(made(Peer::options()).await?, [[1], [1]], "{family:?}: as at first");
            assert_eq!(made(Peer::options().hops(7)).await?, [[7], [7]], "{family:?}");
            let [here, there] = made(Peer::options().hops(0)).await?;
            assert_eq!((here, there), (vec![0], vec![]), "{family:?}");
        }
        Ok(())
    });
}

fn one() -> Batch {
    let mut batch = Batch::new(1, 64);
    batch.push(b"tick", None).expect("room");
    batch
}

/// An interface that is down, or that has no route to groups, is named with what would help, and that
/// helps.
#[test]
fn what_is_said_of_an_interface_without_a_route_helps() {
    run(async || {
        // One for each driver: it is changed.
        let Some(lab) = Lab::set_up() else { return Ok(()) };
        for family in FAMILIES {
            let to = SocketAddr::new(group(family), PORT);
            lab.follow(Host::Trader, "`ip link set eth0 down`");
            let sender = sender(&lab, family, Peer::options())?;
            let error = sender.send_to(b"tick", to).await.expect_err("it is down");
            let text = lab.at(Host::Trader, || error.to_string());
            if family == Family::V4 {
                assert!(text.contains("by eth0: bring it up"), "{text}");
                lab.follow(Host::Trader, &text);
                sender.send_to(b"tick", to).await?;
                continue;
            }
            // Somebody has taken the route that each gets when it comes up.
            lab.follow(Host::Trader, "`ip link set eth0 up`");
            lab.follow(Host::Trader, "`ip address add fd00::7/64 dev eth0 nodad`");
            lab.follow(Host::Trader, "`ip -6 route del multicast ff00::/8 dev eth0 table local`");
            let error = sender.send_to(b"tick", to).await.expect_err("there is no route");
            let text = lab.at(Host::Trader, || error.to_string());
            assert!(text.contains("by eth0: see that it has IPv6"), "{text}");
            lab.follow(Host::Trader, &text);
            sender.send_to(b"tick", to).await?;
        }
        Ok(())
    });
}

/// On a host that no route leads away from, a join and a datagram to a group are refused by the same
/// name, which says what would help: an interface that is named, or a route.
#[test]
fn what_no_route_leads_to_is_refused_by_name() {
    run(async || {
        // One for each driver: it is changed.
        let Some(lab) = Lab::set_up() else { return Ok(()) };
        for family in FAMILIES {
            let (group, to) = (group(family), SocketAddr::new(group(family), PORT));
            let hermit = lab.at(Host::Hermit, || Peer::bind(any(family)))?;
            let refused = [
                hermit.join(group),
                hermit.join_source(group, Host::Rogue.on(1, family)),
                hermit.try_send_to(b"tick", to).map(drop),
                hermit.send_to(b"tick", to).await.map(drop),
                hermit.send_batch(&mut one(), To::All(&to.into())).await,
                hermit.try_send_batch(&mut one(), 0, To::All(&to.into())).map(drop),
            ];
            for (at, refused) in refused.into_iter().enumerate() {
                let error = refused.expect_err("there is no way");
                assert_eq!(
                    error.kind(),
                    ErrorKind::NetworkUnreachable,
                    "{family:?}, {at}: {error}"
                );
                assert_eq!(Error::of(&error), Some(&Error::NoRoute { group }), "{at}: {error}");
                let text = error.to_string();
                assert!(
                    text.contains("`join_on`") && text.contains("Options::interface"),
                    "{text}"
                );
            }
            assert!(hermit.memberships().is_empty(), "{family:?}");
            let member = joined(&lab, Host::Hermit, "lo", family)?;
            let address = SocketAddr::new(any(family).ip(), 0);
            let sender = lab.at(Host::Hermit, || Peer::options().interface("lo").bind(address))?;
            if family == Family::V6 {
                // There Linux has no route by `lo`, also if it is named.
                let error = sender.try_send_to(b"tick", to).expect_err("there is no way");
                let told = Error::of(&error);
                assert!(matches!(told, Some(Error::NoRouteBy { .. })), "{error}");
                lab.follow(Host::Hermit, &lab.at(Host::Hermit, || error.to_string()));
            }
            sender.try_send_to(b"tick", to)?;
            let mut batch = member.batch(4, 64);
            timer::timeout(SILENCE, member.receive_batch(&mut batch)).await??;
            assert_eq!(batch.get(0).map(|packet| packet.bytes), Some(&b"tick"[..]), "{family:?}");
        }
        Ok(())
    });
}
