//! What can be joined, and what the refusals say.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr};

use tautline_net::multicast::{Error, Filter, Interface, Membership, Peer, ToInterface};
use tautline_runtime::sim;

use crate::common::everywhere;
use crate::support::{LO, group, group6, on_every_driver, peer, refusal, simulated};

fn lo() -> Interface {
    "lo".to_interface().unwrap()
}

/// What cannot be meant is refused by name, and the kernel's table stays as the peer's: all that
/// was refused can be done right afterwards.
#[test]
fn misuse_is_refused_by_name() {
    on_every_driver(|_| {
        let (peer, group, interface) = (peer(), IpAddr::from(group()), lo());
        let (a, b) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
        let [source_addr, other] = [a, b].map(IpAddr::from);
        peer.join_on(group, "lo").unwrap();
        assert_eq!(refusal(peer.join_on(group, "lo")), Error::AlreadyJoined { group, interface });
        let any = Error::AnySource { group, interface };
        assert_eq!(refusal(peer.join_source_on(group, a, "lo")), any);
        assert_eq!(refusal(peer.leave_source(group, a)), any);
        peer.block_source(group, a).unwrap();
        let blocked = Error::AlreadyBlocked { group, interface, source_addr };
        assert_eq!(refusal(peer.block_source(group, a)), blocked);
        let free = Error::NotBlocked { group, interface, source_addr: other };
        assert_eq!(refusal(peer.unblock_source(group, b)), free);
        peer.unblock_source(group, a).unwrap();
        peer.leave(group).unwrap();
        let nowhere = Error::NotJoined { group, interface: Interface::ANY };
        assert_eq!(refusal(peer.leave(group)), nowhere);
        peer.join_source_on(group, a, "lo").unwrap();
        let twice = Error::SourceAlreadyJoined { group, interface, source_addr };
        assert_eq!(refusal(peer.join_source_on(group, a, "lo")), twice);
        let some = Error::SomeSources { group, interface };
        assert_eq!(refusal(peer.join_on(group, "lo")), some);
        assert_eq!(refusal(peer.block_source(group, b)), some);
        let unknown = Error::SourceNotJoined { group, interface, source_addr: other };
        assert_eq!(refusal(peer.leave_source(group, b)), unknown);
        peer.leave_source(group, a).unwrap();
        assert!(peer.memberships().is_empty());
        peer.join_on(group, "lo").unwrap();
    });
}

/// The listing shows every membership with its filter, in the order of joining, for both families.
#[test]
fn memberships_are_listed() {
    everywhere(|_| {
        let (peer, six) = (peer(), Peer::bind("[::]:0").unwrap());
        let (g, h, source) = (group(), group(), Ipv4Addr::new(127, 0, 0, 1));
        peer.join_source_on(g, source, lo()).unwrap();
        peer.join_on(h, lo().index()).unwrap();
        peer.block_source_on(h, "127.0.0.2", "lo").unwrap();
        let interface = lo();
        let expected = [
            Membership { group: g.into(), interface, filter: Filter::Only(vec![source.into()]) },
            Membership {
                group: h.into(),
                interface,
                filter: Filter::Except(vec!["127.0.0.2".parse().unwrap()]),
            },
        ];
        assert_eq!(peer.memberships(), expected);
        let (group, sources) =
            (group6(), [1, 2].map(|n| IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, n])));
        for source in sources {
            six.join_source_on(group, source, "::1").unwrap();
        }
        let filter = Filter::Only(sources.to_vec());
        assert_eq!(six.memberships(), [Membership { group: group.into(), interface, filter }]);
    });
}

/// A peer that is bound to an address of its host is told, on joining, to bind to any; one that
/// is bound to a group joins that group; families do not mix.
#[test]
fn what_a_peer_is_bound_to_decides_what_it_joins() {
    everywhere(|_| {
        let sender = Peer::bind("127.0.0.1:0").unwrap();
        let addr = sender.local_addr().unwrap();
        let refused = refusal(sender.join_on(group(), "lo"));
        assert_eq!(refused, Error::BoundToUnicast { addr });
        assert!(refused.to_string().contains(&format!("bind to 0.0.0.0:{}", addr.port())));
        let own = group();
        let bound = Peer::bind((own, 0)).unwrap();
        bound.join_on(own, "lo").unwrap();
        let (group, to) = (IpAddr::from(group()), bound.local_addr().unwrap());
        assert_eq!(refusal(bound.join(group)), Error::BoundToAnother { group, bound: to });
        let refused = refusal(peer().join(group6()));
        assert!(matches!(refused, Error::GroupFamily { .. }), "{refused}");
        let six = Peer::bind("[::]:0").unwrap();
        let refused = refusal(six.join(group));
        assert!(matches!(refused, Error::GroupFamily { .. }), "{refused}");
    });
}

/// An interface that is not there is refused by the kernel's word or by ours, with those that are.
#[test]
fn unknown_interfaces_are_named() {
    everywhere(|_| {
        let attempts: [io::Error; 3] = [
            peer().join_on(group(), 70_000).unwrap_err(),
            Peer::options().interface("nowhere0").bind("0.0.0.0:0").unwrap_err(),
            Peer::options().interface(70_000).bind("0.0.0.0:0").unwrap_err(),
        ];
        for (error, asked) in attempts.into_iter().zip(["`70000`", "`nowhere0`", "`70000`"]) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            let text = refusal::<()>(Err(error)).to_string();
            assert!(text.contains(asked) && text.contains("lo (127.0.0.1"), "{text}");
        }
    });
}

/// A limit of the kernel as `sysctl` names it.
fn setting(name: &str) -> u64 {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

/// The error that comes in the end of so many attempts, which is at least one too many.
fn too_many(most: u64, attempt: impl Fn(u16) -> io::Result<()>) -> (u64, Error) {
    let most = u16::try_from(most).unwrap();
    for n in 0..=most {
        if let Err(error) = attempt(n) {
            return (n.into(), refusal::<()>(Err(error)));
        }
    }
    panic!("{most} were no limit");
}

/// One IPv4 group more than the kernel allows names the setting and its value, and so does one
/// source more; the peer goes on with what it has.
#[test]
fn the_limits_of_ipv4_are_named() {
    everywhere(|_| {
        let peer = peer();
        let limit = setting("net.ipv4.igmp_max_memberships");
        let (count, error) = too_many(limit, |n| {
            let [high, low] = n.to_be_bytes();
            peer.join_on(Ipv4Addr::new(239, 254, high, low), "lo")
        });
        assert_eq!((count, &error), (limit, &Error::TooManyGroups { limit: Some(limit) }));
        assert!(error.to_string().contains(&format!("igmp_max_memberships (now {limit})")));
        assert_eq!(peer.memberships().len() as u64, limit);
        let limit = setting("net.ipv4.igmp_max_msf");
        let group = Ipv4Addr::new(239, 254, 0, 0);
        let (count, error) = too_many(limit, |n| {
            peer.block_source(group, Ipv4Addr::from(0x0a00_0001 + u32::from(n)))
        });
        let setting = "net.ipv4.igmp_max_msf";
        let expected = Error::TooManySources { setting, limit: Some(limit) };
        assert_eq!((count, error), (limit, expected));
    });
}

/// IPv6 has no limit of groups: the memory for a socket's options runs out, and the error names
/// that; sources have one of their own.
#[test]
fn the_limits_of_ipv6_are_named() {
    everywhere(|_| {
        let peer = Peer::bind("[::]:0").unwrap();
        let limit = setting("net.ipv6.mld_max_msf");
        let group = group6();
        let (count, error) = too_many(limit, |n| {
            peer.join_source_on(group, IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 1, n]), "lo")
        });
        let setting_name = "net.ipv6.mld_max_msf";
        let expected = Error::TooManySources { setting: setting_name, limit: Some(limit) };
        assert_eq!((count, error), (limit, expected));
        let limit = setting("net.core.optmem_max");
        let (count, error) = too_many(limit / 16, |n| {
            peer.join_on(IpAddr::from([0xff15, 0, 0, 0, 0, 0, 2, n]), "lo")
        });
        assert_eq!(error, Error::OptionMemory { limit: Some(limit) });
        assert!(count > 20, "{count}");
        assert!(error.to_string().contains(&format!("net.core.optmem_max (now {limit})")));
    });
}

/// A simulated world has limits and interfaces of its own, and the errors do not tell of the
/// machine that it runs on.
#[test]
fn a_simulated_world_tells_of_itself() {
    let _runtime = simulated(sim::Faults::none());
    let peer = peer();
    let (count, error) =
        too_many(20, |n| peer.join_on(Ipv4Addr::from(0xefff_0000 + u32::from(n)), LO));
    assert_eq!((count, error), (20, Error::TooManyGroups { limit: None }));
    peer.leave(Ipv4Addr::from(0xefff_0000)).unwrap();
    let unknown = refusal(peer.join_on(group(), 3)).to_string();
    assert!(unknown.contains("`3`") && unknown.contains("sim::Config::interfaces"), "{unknown}");
    let unknown = refusal(Peer::options().interface(3).bind("0.0.0.0:0")).to_string();
    assert!(unknown.contains("`3`") && unknown.contains("sim::Config::interfaces"), "{unknown}");
}

/// The choices that make no sense are refused at the bind, the first one first.
#[test]
fn choices_that_make_no_sense_are_refused() {
    everywhere(|_| {
        let options = Peer::options().dscp(64).interface("nowhere0");
        assert_eq!(refusal(options.bind("0.0.0.0:0")), Error::Dscp { dscp: 64 });
        let all = Peer::options()
            .interface("lo")
            .hops(0)
            .loopback(false)
            .dscp(46)
            .priority(6)
            .receive_buffer(64 << 10)
            .send_buffer(64 << 10);
        for addr in ["0.0.0.0:0", "[::]:0"] {
            let peer = all.bind(addr).unwrap();
            // The kernel doubles what is asked for, to pay for its own expense.
            assert_eq!(peer.receive_buffer().unwrap(), 128 << 10);
            assert_eq!(peer.send_buffer().unwrap(), 128 << 10);
        }
    });
}
