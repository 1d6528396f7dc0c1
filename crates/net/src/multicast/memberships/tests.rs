//! The table alone, and against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bound(text: &str) -> Memberships {
    Memberships::of(text.parse().unwrap())
}

fn do_it(
    table: &mut Memberships,
    group: IpAddr,
    on: Option<Interface>,
    change: Change,
) -> Result<(), Error> {
    let interface = table.check(group, on, change)?;
    table.apply(group, interface, change);
    Ok(())
}

/// A stray is what came by an interface where its group is not joined, while it is joined on others
/// that were named; nothing else is one. Each is counted.
#[test]
fn strays_are_told_by_their_interface() {
    let mut table = bound("[::]:5000");
    let on = |index| Some(Interface::of_index(index));
    let [one, two, three] = ["ff15::1", "ff15::2", "ff15::3"].map(ip);
    for (group, place) in [(two, on(3)), (one, on(2)), (two, on(1)), (three, None)] {
        do_it(&mut table, group, place, Change::Join).unwrap();
    }
    let strays = |table: &mut Memberships, group| -> Vec<u32> {
        (1..5).filter(|n| table.is_stray(group, Interface::of_index(*n))).collect()
    };
    assert_eq!(strays(&mut table, one), [1, 3, 4]);
    assert_eq!(strays(&mut table, two), [2, 4]);
    for other in [three, ip("ff15::4"), ip("fd00::1")] {
        assert!(strays(&mut table, other).is_empty(), "{other}");
    }
    assert_eq!(table.strays(), 5);
    do_it(&mut table, two, on(3), Change::Leave).unwrap();
    assert_eq!(strays(&mut table, two), [2, 3, 4]);
    do_it(&mut table, two, on(1), Change::Leave).unwrap();
    assert!(strays(&mut table, two).is_empty(), "it is not joined anywhere");
}

/// Addresses that cannot be meant are refused, each for its own reason and with what to do.
#[test]
fn addresses_that_cannot_be_meant_are_refused() {
    let table = bound("0.0.0.0:5000");
    let (group, six) = (ip("239.1.2.3"), ip("ff15::1"));
    let refused = |group, change| table.check(group, None, change).unwrap_err();
    let host = ip("192.0.2.1");
    assert_eq!(refused(host, Change::Join), Error::NotAGroup { group: host });
    let bound_to = "0.0.0.0:5000".parse().unwrap();
    let family = Error::GroupFamily { group: six, bound: bound_to };
    assert_eq!(refused(six, Change::Join), family);
    assert!(family.to_string().contains("bind to [::]:5000"), "{family}");
    for text in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        let error = Error::NotASource { source_addr: ip(text) };
        assert_eq!(refused(group, Change::JoinSource(ip(text))), error);
    }
    let error = Error::SourceFamily { source_addr: ip("fd00::1"), group };
    assert_eq!(refused(group, Change::Block(ip("fd00::1"))), error);
}

/// A socket that is bound to one address joins nothing, and one that is bound to a group joins
/// that alone; both are told what to bind to.
#[test]
fn what_a_socket_is_bound_to_decides_what_it_can_join() {
    let group = ip("239.1.2.3");
    let refused = |to: &str| bound(to).check(group, None, Change::Join).map_err(|e| e.to_string());
    assert_eq!(refused("239.1.2.3:7"), Ok(Interface::ANY));
    let unicast = refused("192.0.2.1:5000").unwrap_err();
    for part in ["192.0.2.1:5000", "bind to 0.0.0.0:5000", "`join_on` with 192.0.2.1"] {
        assert!(unicast.contains(part), "{unicast}");
    }
    let other = refused("239.9.9.9:5000").unwrap_err();
    assert!(other.contains("239.9.9.9") && other.contains("0.0.0.0:5000"), "{other}");
}

/// A group that is joined on several interfaces is left on the one that is named; on one, it
/// need not be named.
#[test]
fn an_ambiguous_leave_wants_an_interface() {
    let mut table = bound("0.0.0.0:5000");
    let (group, [a, b]) = (ip("239.1.2.3"), [3, 4].map(Interface::of_index));
    do_it(&mut table, group, Some(a), Change::Join).unwrap();
    do_it(&mut table, group, Some(b), Change::Join).unwrap();
    let error = table.check(group, None, Change::Leave).unwrap_err();
    assert_eq!(error, Error::Ambiguous { group, on: vec![a, b] });
    do_it(&mut table, group, Some(a), Change::Leave).unwrap();
    do_it(&mut table, group, None, Change::Leave).unwrap();
    let error = table.check(group, None, Change::Leave).unwrap_err();
    assert_eq!(error, Error::NotJoined { group, interface: Interface::ANY });
}

/// A group is joined where no interface was named, or where some were: not both, in either order,
/// nor for single sources; the refusal names where it is joined. After a leave the other way is open.
#[test]
fn no_group_is_joined_with_an_interface_and_without() {
    for text in ["239.1.2.3", "ff15::1"] {
        let group = ip(text);
        let mut table = bound(if group.is_ipv4() { "0.0.0.0:5000" } else { "[::]:5000" });
        let host = ip(if group.is_ipv4() { "192.0.2.1" } else { "fd00::1" });
        let one = Interface::of_index(3);
        for (first, second) in
            [(None, Some(one)), (Some(one), None), (Some(one), Some(Interface::ANY))]
        {
            do_it(&mut table, group, first, Change::Join).unwrap();
            let on = vec![first.unwrap_or(Interface::ANY)];
            for change in [Change::Join, Change::JoinSource(host)] {
                let error = table.check(group, second, change).unwrap_err();
                assert_eq!(error, Error::Mixed { group, on: on.clone() });
                assert!(error.to_string().contains(&on[0].to_string()), "{error}");
            }
            do_it(&mut table, group, None, Change::Leave).unwrap();
            do_it(&mut table, group, second, Change::Join).unwrap();
            do_it(&mut table, group, None, Change::Leave).unwrap();
        }
    }
}

/// A filter lets through what it says.
#[test]
fn filters_admit_what_they_say() {
    let (a, b) = (ip("192.0.2.1"), ip("192.0.2.2"));
    assert!(!Filter::Except(vec![a]).admits(a) && Filter::Except(vec![a]).admits(b));
    assert!(Filter::Only(vec![a]).admits(a) && !Filter::Only(vec![a]).admits(b));
    assert_eq!(Filter::Only(vec![a]).sources(), [a]);
}

/// The naive model: whether a membership is for any source, and the sources that it names.
type Model = BTreeMap<(u8, u32), (bool, BTreeSet<u8>)>;

/// What the model says of a change: the key of the membership, or the name of the refusal.
fn model(all: &mut Model, group: u8, on: Option<u32>, change: u8, source: u8) -> &'static str {
    let on_all: Vec<u32> = all.keys().filter(|key| key.0 == group).map(|key| key.1).collect();
    let key = match (on, change) {
        (Some(on), _) => (group, on),
        (None, JOIN | JOIN_SOURCE) => (group, 0),
        _ if on_all.is_empty() => return "NotJoined",
        _ if on_all.len() > 1 => return "Ambiguous",
        _ => (group, on_all[0]),
    };
    let is_new = !all.contains_key(&key);
    if is_new
        && matches!(change, JOIN | JOIN_SOURCE)
        && !on_all.is_empty()
        && (key.1 == 0 || on_all.contains(&0))
    {
        return "Mixed";
    }
    let Some((any, sources)) = all.get_mut(&key) else {
        return match change {
            JOIN => all.insert(key, (true, BTreeSet::new())).map_or("done", |_| "was there"),
            JOIN_SOURCE => {
                all.insert(key, (false, [source].into())).map_or("done", |_| "was there")
            }
            _ => "NotJoined",
        };
    };
    let done = |changed, refused| if changed { "done" } else { refused };
    match (change, *any) {
        (LEAVE, _) => all.remove(&key).map_or("was not there", |_| "done"),
        (JOIN, true) => "AlreadyJoined",
        (JOIN_SOURCE | LEAVE_SOURCE, true) => "AnySource",
        (JOIN | BLOCK | UNBLOCK, false) => "SomeSources",
        (JOIN_SOURCE, false) => done(sources.insert(source), "SourceAlreadyJoined"),
        (BLOCK, true) => done(sources.insert(source), "AlreadyBlocked"),
        (UNBLOCK, true) => done(sources.remove(&source), "NotBlocked"),
        _ => {
            let left = sources.remove(&source);
            let over = sources.is_empty();
            if over {
                all.remove(&key);
            }
            done(left, "SourceNotJoined")
        }
    }
}

const JOIN: u8 = 0;
const LEAVE: u8 = 1;
const JOIN_SOURCE: u8 = 2;
const LEAVE_SOURCE: u8 = 3;
const BLOCK: u8 = 4;
const UNBLOCK: u8 = 5;

fn change(change: u8, source: u8) -> Change {
    let source = IpAddr::from([192, 0, 2, source]);
    match change {
        JOIN => Change::Join,
        LEAVE => Change::Leave,
        JOIN_SOURCE => Change::JoinSource(source),
        LEAVE_SOURCE => Change::LeaveSource(source),
        BLOCK => Change::Block(source),
        _ => Change::Unblock(source),
    }
}

fn name(error: &Error) -> &'static str {
    match error {
        Error::NotJoined { .. } => "NotJoined",
        Error::Ambiguous { .. } => "Ambiguous",
        Error::AlreadyJoined { .. } => "AlreadyJoined",
        Error::Mixed { .. } => "Mixed",
        Error::AnySource { .. } => "AnySource",
        Error::SomeSources { .. } => "SomeSources",
        Error::SourceAlreadyJoined { .. } => "SourceAlreadyJoined",
        Error::SourceNotJoined { .. } => "SourceNotJoined",
        Error::AlreadyBlocked { .. } => "AlreadyBlocked",
        Error::NotBlocked { .. } => "NotBlocked",
        other => panic!("{other}"),
    }
}

fn as_model(table: &Memberships) -> Model {
    let entry = |one: &Membership| {
        let IpAddr::V4(group) = one.group else { panic!("{}", one.group) };
        let last = |source: &IpAddr| match source {
            IpAddr::V4(v4) => v4.octets()[3],
            IpAddr::V6(v6) => panic!("{v6}"),
        };
        let sources: BTreeSet<u8> = one.filter.sources().iter().map(last).collect();
        assert_eq!(sources.len(), one.filter.sources().len(), "a source is there once");
        let any = matches!(one.filter, Filter::Except(_));
        ((group.octets()[3], one.interface.index()), (any, sources))
    };
    table.all().iter().map(entry).collect()
}

proptest! {
    /// Over any run of changes the table holds what a naive model holds, and refuses what it
    /// refuses for the same reason; a membership for some sources has one.
    #[test]
    fn the_table_is_as_the_model(
        steps in vec((1..4u8, proptest::option::of(0..3u32), 0..6u8, 1..4u8), 0..60)
    ) {
        let (mut table, mut naive) = (bound("0.0.0.0:5000"), Model::new());
        for (group, on, what, source) in steps {
            let expected = model(&mut naive, group, on, what, source);
            let group = IpAddr::from([239, 0, 0, group]);
            let on = on.map(Interface::of_index);
            let got = do_it(&mut table, group, on, change(what, source));
            prop_assert_eq!(got.as_ref().map_or_else(name, |()| "done"), expected);
            prop_assert_eq!(as_model(&table), naive.clone());
            let empty = |one: &Membership| one.filter == Filter::Only(Vec::new());
            prop_assert!(!table.all().iter().any(empty));
        }
    }
}
