//! What a peer says that it has joined, beside what the kernel knows.

use std::net::IpAddr;

use fastrand::Rng;
use tautline_net::multicast::{Error, Interface, Peer};
use tautline_runtime::timer;

use super::common::run;
use super::lab::{Family, Host, Lab};
use super::{FAMILIES, SILENCE, group, receiver};

/// The kernel's tables show each membership, with its sources, and nothing any more when the peer is
/// gone.
#[test]
fn the_kernel_knows_the_memberships() {
    let Some(lab) = Lab::set_up() else { return };
    run(async || {
        // As the tables write them: IPv4 as words of this machine, or as 0x of the network's order.
        let v4 = [("igmp", "01005BEF"), ("mcfilter", "0xef5b0001")];
        let v6 = [
            ("igmp6", "ff150000000000000000000000910001"),
            ("mcfilter6", "ff150000000000000000000000910001"),
        ];
        for (family, tables, source) in
            [(Family::V4, v4, "0x0a5b0102"), (Family::V6, v6, "fd910001000000000000000000000002")]
        {
            // Of the rogue, which is the second host.
            let address = Host::Rogue.on(1, family);
            let trader = receiver(&lab, family)?;
            let lines = |name| -> Vec<String> {
                let key = tables.iter().find(|(table, _)| *table == name).expect("the table").1;
                let lines = lab.table(Host::Trader, name);
                lines.lines().filter(|line| line.contains(key)).map(str::to_owned).collect()
            };
            let [(memberships, _), (filters, _)] = tables;
            assert_eq!(lines(memberships).len(), 0, "{family:?}");
            lab.at(Host::Trader, || trader.join_on(group(family), "eth0"))?;
            assert_eq!(lines(memberships).len(), 1, "{family:?}");
            assert_eq!(lines(filters).len(), 0, "{family:?}: no source is filtered");
            trader.block_source(group(family), address)?;
            // Behind the source stand how many include it, and how many exclude it.
            let filter = lines(filters).join(" ");
            assert!(filter.contains(source) && filter.ends_with("0      1"), "{filter}");
            trader.leave(group(family))?;
            lab.at(Host::Trader, || trader.join_source_on(group(family), address, "eth0"))?;
            let filter = lines(filters).join(" ");
            assert!(filter.contains(source) && filter.ends_with("1      0"), "{filter}");
            drop(trader);
            // The loop closes it in its next turn.
            timer::sleep(SILENCE).await.expect("a timer");
            assert_eq!((lines(memberships).len(), lines(filters).len()), (0, 0), "{family:?}");
        }
        Ok(())
    });
}

/// Changes of one game.
const STEPS: usize = 400;
const DEVICES: [&str; 2] = ["eth0", "eth1"];

/// One change at random: any call, with an interface, with none, or with that of nobody's choice.
fn change(peer: &Peer, group: IpAddr, source: IpAddr, random: &mut Rng) -> std::io::Result<()> {
    let call = random.u8(..6);
    let on = match random.u8(..4) {
        0 => Interface::ANY.index().to_string(),
        1 => {
            return match call {
                0 => peer.join(group),
                1 => peer.leave(group),
                2 => peer.join_source(group, source),
                3 => peer.leave_source(group, source),
                4 => peer.block_source(group, source),
                _ => peer.unblock_source(group, source),
            };
        }
        _ => DEVICES[random.usize(..2)].to_owned(),
    };
    match call {
        0 => peer.join_on(group, on),
        1 => peer.leave_on(group, on),
        2 => peer.join_source_on(group, source, on),
        3 => peer.leave_source_on(group, source, on),
        4 => peer.block_source_on(group, source, on),
        _ => peer.unblock_source_on(group, source, on),
    }
}

/// On which devices the kernel has the group joined.
fn devices(lab: &Lab, family: Family) -> Vec<&'static str> {
    match family {
        Family::V4 => {
            let (table, mut device) = (lab.table(Host::Trader, "igmp"), None);
            let mut found = Vec::new();
            for line in table.lines() {
                let name = line.split_whitespace().nth(1);
                if !line.starts_with(['\t', ' ']) {
                    device = DEVICES.into_iter().find(|device| name == Some(device));
                } else if line.contains("01005BEF") {
                    found.extend(device);
                }
            }
            found
        }
        Family::V6 => {
            let table = lab.table(Host::Trader, "igmp6");
            let ours =
                table.lines().filter(|line| line.contains("ff150000000000000000000000910001"));
            let name = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
            let names: Vec<String> = ours.filter_map(name).collect();
            DEVICES.into_iter().filter(|device| names.iter().any(|name| name == device)).collect()
        }
    }
}

/// Whatever is joined and left, with an interface named or without: what the peer lists is what the
/// kernel has, so that nobody hears a group that they have left, or misses one that they have joined.
#[test]
fn the_kernel_has_what_a_peer_lists() {
    let Some(lab) = Lab::set_up() else { return };
    lab.route(Host::Trader, "239.0.0.0/8", "eth0");
    run(async || {
        for family in FAMILIES {
            let (trader, mut random) = (receiver(&lab, family)?, Rng::with_seed(7));
            let sources = [Host::Exchange, Host::Rogue].map(|host| host.on(1, family));
            let mut mixed = 0;
            for step in 0..STEPS {
                let source = sources[random.usize(..2)];
                let done =
                    lab.at(Host::Trader, || change(&trader, group(family), source, &mut random));
                if let Err(error) = &done {
                    let named = Error::of(error);
                    assert!(named.is_some(), "{family:?}, step {step}: {error}");
                    mixed += u32::from(matches!(named, Some(Error::Mixed { .. })));
                }
                let listed = trader.memberships();
                let names = listed.iter().map(|one| match one.interface {
                    // Where the routes lead.
                    Interface::ANY => DEVICES[0].to_owned(),
                    named => lab.at(Host::Trader, || named.to_string()),
                });
                let mut names: Vec<String> = names.collect();
                names.sort();
                assert_eq!(names, devices(&lab, family), "{family:?}, step {step}: {done:?}");
            }
            assert!(mixed > 0, "{family:?}");
        }
        Ok(())
    });
}
