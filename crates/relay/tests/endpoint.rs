//! Endpoint URLs: what is understood, and how each mistake is answered.

use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use proptest::prelude::*;
use tautline_relay::endpoint::{
    DEFAULT_CAPACITY, DemoFeed, Destination, DestinationPlace, EndpointError, Host, HostPort,
    InterfaceName, MulticastDestination, MulticastSource, ShmChannel, Source, SourcePlace,
    UnixName,
};
use tautline_relay::framing::Framing;
use tautline_relay::queue::{Limits, Policy};

fn place(url: &str) -> SourcePlace {
    url.parse::<Source>().unwrap_or_else(|error| panic!("{url}: {error}")).place
}

fn to(url: &str) -> Destination {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn source_error(url: &str) -> String {
    url.parse::<Source>().map(|source| panic!("{url} gave {source:?}")).unwrap_err().to_string()
}

fn destination_error(url: &str) -> String {
    url.parse::<Destination>().map(|to| panic!("{url} gave {to:?}")).unwrap_err().to_string()
}

fn at(host: Host, port: u16) -> HostPort {
    HostPort { host, port }
}

/// Proves that hosts may be names, IPv4 addresses and bracketed IPv6 addresses.
#[test]
fn hosts_of_all_three_kinds() {
    let v4 = Host::Ip("10.0.0.1".parse().unwrap());
    assert_eq!(place("udp://10.0.0.1:5000"), SourcePlace::Udp(at(v4, 5000)));
    let v6 = Host::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(place("tcp://[::1]:7"), SourcePlace::Tcp(at(v6, 7)));
    let name = Host::Name("feed-1.example.net".into());
    assert_eq!(place("tcp-listen://feed-1.example.net:0"), SourcePlace::TcpListen(at(name, 0)));
}

/// Proves that every source scheme of the manual is understood.
#[test]
fn every_source_scheme_parses() {
    let unix = |path: &str| UnixName::Path(PathBuf::from(path));
    assert_eq!(place("unix:///run/a.sock"), SourcePlace::Unix(unix("/run/a.sock")));
    assert_eq!(place("unix-listen://a.sock"), SourcePlace::UnixListen(unix("a.sock")));
    assert_eq!(place("unix://@feed"), SourcePlace::Unix(UnixName::Abstract(b"feed".to_vec())));
    for (url, path) in [
        ("file:a.bin", "a.bin"),
        ("file:/a/b", "/a/b"),
        ("file:///a/b", "/a/b"),
        ("file:a%3Fb", "a?b"),
    ] {
        assert_eq!(place(url), SourcePlace::File(PathBuf::from(path)));
    }
    assert_eq!(place("stdin:"), SourcePlace::Stdin);
    assert_eq!(place("demo:"), SourcePlace::Demo(DemoFeed::default()));
    assert_eq!(
        place("demo:?rate=20k&size=64"),
        SourcePlace::Demo(DemoFeed { rate: 20_000, size: 64 })
    );
}

/// Proves that every destination scheme of the manual is understood.
#[test]
fn every_destination_scheme_parses() {
    assert!(matches!(to("udp://127.0.0.1:1").place, DestinationPlace::Udp(_)));
    assert!(matches!(to("tcp://localhost:1").place, DestinationPlace::Tcp(_)));
    assert!(to("tcp-listen://[::]:0").listens());
    assert!(to("unix-listen:///tmp/s").listens());
    assert_eq!(to("file:out").place, DestinationPlace::File(PathBuf::from("out")));
    assert_eq!(to("stdout:").place, DestinationPlace::Stdout);
}

/// Proves that a channel of the bus is named alike in both directions, holds the longest packet
/// unless more is asked for, and keeps the boundaries of packets.
#[test]
fn channels_are_named_alike_on_both_sides() {
    let (namespace, name) = ("feeds".to_owned(), "prices-2.a_b".to_owned());
    let plain = ShmChannel { namespace, name, capacity: DEFAULT_CAPACITY, publishers: 1 };
    assert_eq!(place("shm://feeds/prices-2.a_b"), SourcePlace::Shm(plain.clone()));
    assert_eq!(to("shm://feeds/prices-2.a_b").place, DestinationPlace::Shm(plain.clone()));
    let wide = ShmChannel { capacity: 1 << 20, publishers: 3, ..plain };
    let options = "capacity=1MiB&publishers=3";
    let from: Source = format!("shm://feeds/prices-2.a_b?{options}&size=1400").parse().unwrap();
    assert_eq!((from.place, from.max_packet), (SourcePlace::Shm(wide.clone()), 1400));
    let to = to(&format!("shm://feeds/prices-2.a_b?{options}&policy=wait&queue=7"));
    assert!(to.keeps_boundaries());
    assert_eq!((to.policy, to.limits.packets), (Policy::Wait, 7));
    assert_eq!(to.place, DestinationPlace::Shm(wide));
}

/// Proves that what is no name, no option or no value of a channel is refused with the remedy, alike
/// in both directions.
#[test]
fn bad_channels_say_what_is_wrong() {
    let long = format!("shm://feeds/{}", "a".repeat(31));
    let cases = [
        ("shm:", "'//' is missing"),
        ("shm:feeds/prices", "'//' is missing"),
        ("shm://feeds", "the name is missing"),
        ("shm://feeds/", "1 to 30 characters"),
        ("shm:///prices", "1 to 30 characters"),
        (&long, "1 to 30 characters"),
        ("shm://feeds/prices/2", "only letters"),
        ("shm://feeds/all prices", "only letters"),
    ];
    for (url, why) in cases {
        for error in [source_error(url), destination_error(url)] {
            assert!(error.contains(why) && error.contains("shm://feeds/prices"), "{url}: {error}");
        }
    }
    for (option, why) in [
        ("capacity=128KiB", "256KiB to 1GiB"),
        ("capacity=2GiB", "256KiB to 1GiB"),
        ("publishers=0", "1 to"),
        ("framing=raw", "capacity, publishers"),
        ("buffer=1MiB", "capacity, publishers"),
    ] {
        let url = format!("shm://feeds/prices?{option}");
        for error in [source_error(&url), destination_error(&url)] {
            assert!(error.contains(why), "{url}: {error}");
        }
    }
    let error = destination_error("shm://feeds/prices?policy=disconnect");
    assert!(error.contains("drop-new, drop-old, wait"), "{error}");
}

/// Proves that a group is named alike in both directions, with all that can be said of it, and has
/// the documented defaults.
#[test]
fn groups_say_where_and_from_whom() {
    let group = "239.1.1.1:5000".parse().unwrap();
    let plain = MulticastSource { group, interfaces: Vec::new(), sources: Vec::new() };
    assert_eq!(place("mcast://239.1.1.1:5000"), SourcePlace::Multicast(plain.clone()));
    let eth = InterfaceName::Name("eth0.100".to_owned());
    let address = InterfaceName::Address("10.0.0.7".parse().unwrap());
    let sources = vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
    let interfaces = vec![eth.clone(), address];
    let url =
        "mcast://239.1.1.1:5000?iface=eth0.100&source=10.0.0.1&iface=10.0.0.7&source=10.0.0.2";
    let from: Source = format!("{url}&buffer=4MiB&size=1400").parse().unwrap();
    assert!(from.keeps_boundaries());
    assert_eq!((from.receive_buffer, from.max_packet), (Some(4 << 20), 1400));
    let narrow = MulticastSource { interfaces, sources, ..plain };
    assert_eq!(from.place, SourcePlace::Multicast(narrow));

    let group = "[ff12::1:2]:7".parse().unwrap();
    let plain = MulticastDestination { group, interface: None, hops: 1, loopback: true };
    assert_eq!(to("mcast://[ff12::1:2]:7").place, DestinationPlace::Multicast(plain.clone()));
    let far = "iface=eth0.100&hops=32&loopback=off&queue=9&policy=drop-new&buffer=1MiB";
    let to = to(&format!("mcast://[ff12::1:2]:7?{far}"));
    let wanted = MulticastDestination { interface: Some(eth), hops: 32, loopback: false, ..plain };
    assert_eq!(to.place, DestinationPlace::Multicast(wanted));
    assert_eq!((to.policy, to.limits.packets), (Policy::DropNew, 9));
    assert_eq!((to.keeps_boundaries(), to.send_buffer), (true, Some(1 << 20)));
}

/// Proves that a group is no address to receive at, and that the scheme which joins it is named; to send
/// to, it is one.
#[test]
fn groups_are_received_by_the_scheme_that_joins_them() {
    for group in ["239.1.1.1:5000", "[ff12::1]:5000"] {
        let error = source_error(&format!("udp://{group}"));
        assert!(error.contains(group) && error.contains(&format!("mcast://{group}")), "{error}");
        format!("udp://{group}").parse::<Destination>().unwrap();
    }
}

/// Proves that what is no group, in either direction, is refused with what to write instead.
#[test]
fn bad_groups_say_what_is_wrong() {
    let cases = [
        ("mcast:239.1.1.1:5", "'//' is missing"),
        ("mcast://239.1.1.1", "the port is missing"),
        ("mcast://239.1.1.1:0", "port 0"),
        ("mcast://ff02::1:5", "brackets"),
        ("mcast://10.0.0.1:5", "use udp://10.0.0.1:5"),
        ("mcast://[::1]:5", "use udp://[::1]:5"),
        ("mcast://feeds.example.net:5", "a group has no name"),
    ];
    for (url, why) in cases {
        for error in [source_error(url), destination_error(url)] {
            let names = error.contains(why) && error.contains("mcast://239.1.1.1:5000");
            assert!(names, "{url}: {error}");
        }
    }
}

/// Proves that options of a group are held against each other and against the group.
#[test]
fn bad_options_of_groups_say_what_is_wrong() {
    let cases = [
        ("source=10.0.0.1:5", "without a port"),
        ("source=239.2.2.2", "no sender's address"),
        ("source=0.0.0.0", "no sender's address"),
        ("source=::1", "write an IPv4 address"),
        ("source=10.0.0.1&source=10.0.0.1", "source=\"10.0.0.1\": it is given twice"),
        ("iface=lo&iface=lo", "iface=\"lo\": it is given twice"),
        ("iface=", "such as eth0"),
        ("iface=a-name-of-16-chars", "such as eth0"),
        ("iface=239.1.1.1", "its own address"),
        ("buffer=1&buffer=2", "twice"),
        ("hops=1", "known are iface, source, size, buffer"),
        ("framing=raw", "known are iface, source, size, buffer"),
    ];
    for (option, why) in cases {
        let error = source_error(&format!("mcast://239.1.1.1:5?{option}"));
        assert!(error.contains(why), "{option}: {error}");
    }
    assert!(source_error("mcast://[ff02::1]:5?source=10.0.0.1").contains("write an IPv6 address"));
    let cases = [
        ("source=10.0.0.1", "known are iface, hops, loopback, queue, policy, buffer"),
        ("iface=lo&iface=eth0", "twice"),
        ("hops=256", "0 to 255"),
        ("loopback=yes", "on or off"),
        ("policy=wait", "drop-new, drop-old"),
    ];
    for (option, why) in cases {
        let error = destination_error(&format!("mcast://239.1.1.1:5?{option}"));
        assert!(error.contains(why), "{option}: {error}");
    }
}

/// Proves that options reach their fields, and that what is not said has the documented default.
#[test]
fn options_reach_their_fields() {
    let plain = to("tcp-listen://[::]:9000");
    assert_eq!((plain.framing, plain.policy), (Framing::Rfc4571, Policy::DropOld));
    let full = to(
        "tcp-listen://[::]:9000?framing=raw&queue=256,8MiB&policy=wait&subscribers=5&buffer=1MiB",
    );
    assert_eq!((full.framing, full.policy), (Framing::Raw, Policy::Wait));
    assert_eq!(full.limits, Limits { packets: 256, bytes: 8 << 20 });
    assert_eq!((full.subscribers, full.send_buffer), (5, Some(1 << 20)));
    let packets = to("udp://127.0.0.1:1?queue=10").limits;
    assert_eq!(packets, Limits { packets: 10, ..Limits::default() });
    let bytes = to("udp://127.0.0.1:1?queue=1MiB").limits;
    assert_eq!(bytes, Limits { bytes: 1 << 20, ..Limits::default() });
    let source: Source = "tcp://127.0.0.1:1?framing=raw&size=1400&buffer=64k".parse().unwrap();
    assert_eq!(
        (source.framing, source.max_packet, source.receive_buffer),
        (Framing::Raw, 1400, Some(65_536))
    );
}

/// Proves that an unknown scheme, or one of the other direction, is answered with the known ones.
#[test]
fn unknown_schemes_list_the_known_ones() {
    let error = source_error("rtmp://example.net/live");
    for known in ["udp://HOST:PORT", "tcp-listen://HOST:PORT", "unix://PATH", "stdin:", "demo:"] {
        assert!(error.contains(known), "{error}");
    }
    assert!(error.contains("rtmp") && !error.contains("stdout:"), "{error}");
    let error = destination_error("stdin:");
    assert!(error.contains("no destination scheme") && error.contains("stdout:"), "{error}");
    assert!(destination_error("unix:///tmp/s").contains("unix-listen://PATH"));
    assert!(source_error("127.0.0.1").contains("no scheme"));
}

/// Proves that an unknown option is answered with the known ones, and a repeated one is refused.
#[test]
fn unknown_options_list_the_known_ones() {
    let error = destination_error("tcp://localhost:1?quue=5");
    assert!(
        error.contains("\"quue\"") && error.contains("framing, queue, policy, buffer"),
        "{error}"
    );
    assert!(source_error("udp://localhost:1?framing=raw").contains("known are size, buffer"));
    assert!(destination_error("stdout:?policy=wait&policy=wait").contains("twice"));
}

/// Proves that each kind of bad address is told apart, with an example that would do.
#[test]
fn bad_addresses_say_what_is_wrong() {
    let cases = [
        ("udp:127.0.0.1:5", "'//' is missing"),
        ("udp://127.0.0.1", "port is missing"),
        ("udp://[::1]", "port is missing"),
        ("udp://::1:5", "IPv6 address stands in brackets"),
        ("udp://[nonsense]:5", "no IPv6 address"),
        ("udp://300.1.1.1:5", "no IPv4 address"),
        ("udp://:5", "host is missing"),
        ("udp://a..b:5", "neither a name nor an address"),
        ("udp://a b:5", "neither a name nor an address"),
        ("udp://localhost:65536", "port is no number"),
        ("tcp://localhost:0", "port 0"),
    ];
    for (url, why) in cases {
        let error = source_error(url);
        assert!(error.contains(why) && error.contains("write for example"), "{url}: {error}");
    }
}

/// Proves that each kind of bad path is told apart.
#[test]
fn bad_paths_say_what_is_wrong() {
    let cases = [
        ("file:", "it is empty"),
        ("file://host/a", "followed by a host"),
        ("file:50%", "written %25"),
        ("file:a%00", "zero byte"),
        ("unix:/tmp/a", "'//' is missing"),
        ("unix://@", "it is empty"),
    ];
    for (url, why) in cases {
        assert!(source_error(url).contains(why), "{url}: {}", source_error(url));
    }
    let long = format!("unix://{}", "a".repeat(108));
    assert!(source_error(&long).contains("107 bytes"));
    assert!(source_error("stdin:5").contains("takes no address"));
}

/// Proves that values out of range are refused with the range.
#[test]
fn bad_values_say_the_range() {
    let cases = [
        ("udp://localhost:1?policy=disconnect", "drop-new, drop-old"),
        ("tcp://localhost:1?policy=none", "disconnect"),
        ("tcp://localhost:1?framing=rtp", "rfc4571 or raw"),
        ("tcp://localhost:1?queue=0", "1 to 1048576"),
        ("tcp://localhost:1?queue=1KiB", "at least 66KiB"),
        ("tcp://localhost:1?queue", "queue="),
        ("tcp-listen://localhost:1?subscribers=0", "1 to"),
    ];
    for (url, why) in cases {
        assert!(destination_error(url).contains(why), "{url}: {}", destination_error(url));
    }
    assert!(source_error("demo:?size=31").contains("32 to 65535"));
    assert!(source_error("demo:?rate=0").contains("packets a second"));
}

/// Proves that errors can be matched by kind, not only read.
#[test]
fn errors_are_typed() {
    let error = "demo:?loss=1".parse::<Source>().unwrap_err();
    assert!(matches!(error, EndpointError::UnknownKey { key, .. } if key == "loss"));
}

proptest! {
    /// Proves that no text makes the parsers panic, and that every error is one line.
    #[test]
    fn arbitrary_text_never_panics(scheme in "(udp|mcast|tcp|tcp-listen|unix|unix-listen|shm|file|stdin|stdout|demo|x)?", rest in "[:/?&=%\\[\\]@.,a-z0-9\\PC]{0,40}") {
        let url = format!("{scheme}:{rest}");
        let errors = [url.parse::<Source>().err(), url.parse::<Destination>().err()];
        for error in errors.into_iter().flatten() {
            prop_assert!(!error.to_string().contains('\n'), "{}", error);
        }
    }

    /// Proves that an address survives being printed and read again.
    #[test]
    fn addresses_round_trip(ip in any::<IpAddr>(), port in 1..=u16::MAX) {
        let address = at(Host::Ip(ip), port);
        prop_assert_eq!(to(&format!("udp://{address}")).place, DestinationPlace::Udp(address));
    }
}
