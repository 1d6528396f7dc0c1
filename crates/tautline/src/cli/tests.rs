//! What command lines mean, and how mistakes are answered.

use std::time::Duration;

use tautline_feed::format::Session;
use tautline_relay::endpoint::{DemoFeed, InterfaceName};
use tautline_relay::{DriverChoice, HostConfig, WaitChoice};

use super::*;
use crate::mcast::{Choice, Layout};

fn parsed(line: &str) -> Result<Request, Refusal> {
    parse(line.split_whitespace().map(Into::into).collect()).map(|asked| asked.request)
}

fn wrong(line: &str) -> String {
    match parsed(line) {
        Err(Refusal::Wrong(message)) => message,
        other => panic!("{line} gave {other:?}"),
    }
}

/// Proves that no arguments mean the demonstration with its documented defaults.
#[test]
fn no_arguments_mean_demo() {
    let Ok(Request::Demo { config, json: false }) = parsed("tautline") else {
        panic!("no demonstration")
    };
    assert_eq!((config.subscribers, config.run_for), (100, Duration::from_secs(10)));
    assert_eq!(config.feed, DemoFeed::default());
    assert!(matches!(parsed("tautline --json --for 2s"), Ok(Request::Demo { json: true, .. })));
}

/// Proves that all of a relay's arguments reach its configuration.
#[test]
fn relay_arguments_reach_the_configuration() {
    let line = "tautline relay --from udp://[::1]:5 --to stdout: --to file:a --for 1m \
                --driver readiness --wait spin --core 1 --slots 100 --json";
    let Ok(Request::Relay { config, json: true }) = parsed(line) else { panic!("no relay") };
    assert_eq!((config.from.url.as_str(), config.to.len()), ("udp://[::1]:5", 2));
    assert_eq!((config.run_for, config.slots), (Some(Duration::from_secs(60)), 100));
    let host = HostConfig {
        driver: DriverChoice::Readiness,
        wait: WaitChoice::Spin,
        core: Some(1),
        signals: true,
    };
    assert_eq!(config.host, host);
}

/// Mistakes, and what is said of each: the argument, and the remedy.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("tautline relay --from udp://x --to stdout:", "--from: ", "HOST:PORT"),
    ("tautline relay --from stdin: --to rtmp:x", "--to: ", "tcp-listen://"),
    ("tautline relay --from stdin:", "--to <URL>", "--help"),
    ("tautline relay", "--from <URL>", "--help"),
    ("tautline relay --from stdin: --to stdout: --driver iocp", "--driver: ", "auto, uring"),
    ("tautline demo --core last", "--core: last: ", "0 to 65535"),
    ("tautline demo --for soon", "--for: ", "1.5s, 5m"),
    ("tautline demo --for -1s", "--for: ", "1.5s, 5m"),
    ("tautline relay --from demo: --to stdout: --for -1s", "--for: ", "1.5s, 5m"),
    (
        "tautline relay --from demo: --to unix-listen://@a?subscribers=100000000",
        "--to: unix-listen://@a?subscribers=100000000: ",
        "1 to 1000000",
    ),
    (
        "tautline relay --from unix-listen://@a?publishers=1000001 --to stdout:",
        "--from: ",
        "1 to 1000000",
    ),
    ("tautline demo --for 0", "--for: ", "more than zero"),
    ("tautline demo --size 8", "--size: ", "32 to 65535"),
    ("tautline demo --subscribers 0", "--subscribers: 0: ", "1 to 100000"),
    ("tautline demo --colour red", "--colour", "; see tautline demo --help"),
    ("tautline dome", "dome", "--help"),
    ("tautline demo --log loud", "--log: ", "trace, debug"),
    ("tautline --log-file a --log-rotate week", "--log-rotate: ", "hour or day"),
    ("tautline --log-file a --log-rotate 0", "--log-rotate: ", "more than 0 bytes"),
    ("tautline doctor --log-keep 0", "--log-keep: ", "1 or more"),
    ("tautline doctor --log-keep -1", "--log-keep: ", "1 or more"),
    ("tautline --log info dome", "dome", "--help"),
    ("tautline bus tap", "<NAMESPACE/NAME>", "tautline bus tap --help"),
    ("tautline bus tap prices", "<NAMESPACE/NAME>: prices: ", "NAMESPACE/NAME as"),
    ("tautline bus tap feeds/*", "<NAMESPACE/NAME>: feeds/*: ", "one object"),
    ("tautline bus tap a/b --count 0", "--count: 0: ", "1 or more"),
    ("tautline bus tap me:a/b", "<NAMESPACE/NAME>: me:a/b: ", "NAMESPACE/NAME as"),
    ("tautline bus list --user me", "--user: me: ", "id -u"),
    ("tautline bus stat a/b/c", "[NAMESPACE/NAME]: a/b/c: ", "NAMESPACE/NAME as"),
    ("tautline bus stat --every -1", "--every: ", "0.01 to 86400"),
    ("tautline bus stat --every soon", "--every: soon: ", "10s"),
    ("tautline bus stat --every 1ns", "--every: 1ns: ", "0.01 to 86400"),
    ("tautline bus clear", "clear", "--help"),
    ("tautline ws echo", "--listen <ADDRESS:PORT>", "tautline ws echo --help"),
    ("tautline ws echo --listen localhost:1", "--listen: localhost:1: ", "no name"),
    ("tautline ws echo --listen 127.0.0.1:0 --tls", "--cert <FILE>", "--help"),
    ("tautline ws echo --listen 127.0.0.1:0 --cert a", "--tls", "--help"),
    ("tautline ws echo --listen 127.0.0.1:0 --origin a", "--origin: a: ", "https://app.example"),
    ("tautline ws echo --listen 127.0.0.1:0 --max-message 0", "--max-message: 0: ", "64MiB"),
    ("tautline ws connect", "<URL>", "tautline ws connect --help"),
    ("tautline ws connect http://a/", "<URL>: http://a/: ", "ws://HOST:PORT/PATH"),
    ("tautline ws connect ws://a/ --header a", "--header: a: ", "NAME: VALUE"),
    ("tautline ws connect ws://a/ --header a(b:c", "--header: ", "a(b"),
    ("tautline ws connect ws://a/ --protocol a,b", "--protocol: ", "a,b"),
    ("tautline ws connect ws://a/ --proxy ws://b", "--proxy: ws://b: ", "http://HOST:PORT"),
    ("tautline ws connect ws://a/ --insecure --ca f", "--ca", "--help"),
    ("tautline ws connect ws://a/ --count 0", "--count: 0: ", "1 or more"),
    ("tautline ws connect ws://a/ --close-after soon", "--close-after: soon: ", "0.01 to 86400"),
    ("tautline ws bench ws://a/ --size 7", "--size: 7: ", "8 to 1048576"),
    ("tautline ws bench ws://a/ --connections 0", "--connections: 0: ", "1 to 10000"),
    ("tautline ws bench ws://a/ --pipeline 0", "--pipeline: 0: ", "1 to 4096"),
    ("tautline ws bench ws://a/ --pipeline 2 --rate 1k", "--rate", "--help"),
    ("tautline ws bench ws://a/ --seconds 0", "--seconds: 0: ", "0.01 to 86400"),
    ("tautline exchange --line udp://127.0.0.1:5", "--line: ", "mcast://GROUP:PORT"),
    ("tautline exchange --loss 2", "--loss: ", "0% to 100%"),
    ("tautline exchange --loss 1%,2%,3%", "--loss: ", "one for each"),
    (
        "tautline exchange --line mcast://239.1.1.1:5 --loss 1%,2%",
        "--loss: ",
        "2 values for 1 line: write one",
    ),
    ("tautline exchange --delay 3ms..1ms", "--delay: ", "1ms..3ms"),
    ("tautline exchange --replay here", "--replay: ", "127.0.0.1:31002"),
    ("tautline exchange --heartbeat 0", "--heartbeat: ", "1ms to 1h"),
    ("tautline gateway --line mcast://10.0.0.1:5", "--line: mcast://10.0.0.1:5: ", "mcast://239"),
    ("tautline gateway --line abc", "--line: abc: a line is a group: ", "mcast://GROUP:PORT"),
    ("tautline exchange --line mcast://239.1.1.1:5?hops=256", "--line: ", "0 to 255"),
    ("tautline exchange --loss -1%", "--loss: -1%: ", "0% to 100%"),
    ("tautline exchange --delay soon", "--delay: soon: ", "0 to 1m"),
    ("tautline exchange --rate -1", "--rate: -1: ", "1 to 10000000 messages"),
    ("tautline exchange --seed abc", "--seed: abc: ", "from 0 to 18446744073709551615"),
    ("tautline exchange --session abc", "--session: abc: ", "from 0 to 4294967295"),
    ("tautline exchange --orders 1.5", "--orders: 1.5: ", "2 to 10000000 orders"),
    ("tautline exchange --json -1", "--json", "see tautline exchange --help"),
    ("tautline gateway --deadline -1s", "--deadline: ", "1.5s, 5m"),
    ("tautline gateway --snapshot= ", "--snapshot: \"\": ", "HOST:PORT, such as"),
    ("tautline gateway --snapshot here", "--snapshot: ", "HOST:PORT"),
    ("tautline exchange --replay 127.0.0.1:99999", "127.0.0.1:99999: ", "0 to 65535"),
    ("tautline exchange --replay localhost:5", "localhost:5: ", "no name"),
    ("tautline exchange --instruments 0", "--instruments: 0: ", "1 to 100000"),
    ("tautline exchange --line mcast://10.0.0.1:5", "10.0.0.1:5 is no group", "GROUP:PORT"),
    ("tautline exchange --line mcast://239.1.1.1:5?queue=9", "\"queue\"", "hops, loopback"),
    ("tautline gateway --line mcast://239.1.1.1:5?size=9", "\"size\"", "iface, source, buffer"),
    ("tautline gateway --replay 127.0.0.1:99999", "127.0.0.1:99999: ", "1 to 65535"),
    ("tautline gateway --replay 127.0.0.1:0", "127.0.0.1:0: port 0", "HOST:PORT"),
    ("tautline gateway --replay 127.0.0.300:5", "127.0.0.300:5: ", "address"),
    ("tautline gateway --format fix", "--format: ", "moldudp64 or compact"),
    ("tautline gateway --to tcp-listen://127.0.0.1:5?policy=wait", "--to: ", "drop-old"),
    ("tautline gateway --to mcast://239.255.0.2:31001", "--to: ", "another group or port"),
    ("tautline gateway --to rtmp:x", "--to: ", "tcp-listen://"),
];

/// Proves that each mistake is answered by one line with the argument and the remedy.
#[test]
fn mistakes_name_argument_and_remedy() {
    for (line, argument, remedy) in MISTAKES {
        let message = wrong(line);
        assert!(message.contains(argument) && message.contains(remedy), "{line}: {message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

/// Proves that options of the log may stand before the command as well as behind it.
#[test]
fn log_options_stand_anywhere() {
    for line in [
        "tautline --log info doctor --json",
        "tautline --log=info --log-json doctor --json",
        "tautline doctor --json --log info",
    ] {
        assert!(matches!(parsed(line), Ok(Request::Doctor { json: true })), "{line}");
    }
    for line in ["tautline --log info", "tautline --log info --json", "tautline --log-json"] {
        assert!(matches!(parsed(line), Ok(Request::Demo { .. })), "{line}");
    }
}

/// Proves that help is no error.
#[test]
fn help_is_told() {
    assert!(matches!(parsed("tautline log"), Err(Refusal::Told(text)) if text.contains("recover")));
    assert!(
        matches!(parsed("tautline --help"), Err(Refusal::Told(text)) if text.contains("relay"))
    );
    assert!(
        matches!(parsed("tautline relay --help"), Err(Refusal::Told(text)) if text.contains("drop-old") && text.contains("unix-listen://@"))
    );
}

/// Proves that the argument definitions hold together.
#[test]
fn definitions_hold_together() {
    use clap::CommandFactory;
    Cli::command().debug_assert();
}

/// Proves that all arguments of the tools for multicast reach them, and that what is not said has the
/// documented defaults.
#[test]
fn multicast_arguments_reach_the_tools() {
    let line = "tautline mcast recv 239.1.1.1:5 [ff12::1]:6 --iface lo --iface 10.0.0.1 --source 10.0.0.2 --source ::2 \
                --buffer 8MiB --hex --write a --count 3 --for 2s --format rtp --driver readiness";
    let Ok(Request::McastRecv(args)) = parsed(line) else { panic!("no recv") };
    let watch = &args.watch;
    let groups = ["239.1.1.1:5", "[ff12::1]:6"].map(|group| group.parse().unwrap());
    let interfaces = ["lo", "10.0.0.1"].map(InterfaceName::from);
    assert_eq!(
        (&watch.join.groups[..], &watch.join.interfaces[..]),
        (&groups[..], &interfaces[..])
    );
    assert_eq!(
        (watch.join.sources.len(), watch.join.buffer, watch.packets.count),
        (2, Some(8 << 20), Some(3))
    );
    assert_eq!((watch.packets.format, watch.run_for), (Choice::Rtp, Some(Duration::from_secs(2))));
    assert_eq!((watch.host().driver, args.prints()), (DriverChoice::Readiness, true));
    let Ok(Request::McastRecv(quiet)) = parsed("tautline mcast recv 239.1.1.1:5 --write a") else {
        panic!("no recv")
    };
    assert!(!quiet.prints(), "a capture alone is not printed");
    let Ok(Request::McastRate(args)) = parsed("tautline mcast rate 239.1.1.1:5 --json") else {
        panic!("no rate")
    };
    assert_eq!((args.every, args.json), (Duration::from_secs(1), true));
    assert_eq!(args.watch.packets.format, Choice::Auto);
}

/// Proves that what is sent, how fast and in which layout follows from the arguments.
#[test]
fn multicast_packets_are_sent_as_asked_for() {
    let sent = |options: &str| {
        let line = format!("tautline mcast send 239.1.1.1:5 {options}");
        let Ok(Request::McastSend(args)) = parsed(&line) else { panic!("{line}") };
        (format!("{:?}", args.origin()), args.layout())
    };
    let (usual, layout) = sent("");
    assert!(usual.contains("size: 1200") && matches!(layout, Layout::Compact(_)), "{usual}");
    assert_eq!(usual, sent("--bitrate 9600k").0, "1,000 packets of 1,200 bytes are 9.6 Mbit/s");
    assert_eq!(sent("--stdin"), ("Lines { pace: None }".to_owned(), Layout::Plain));
    assert!(sent("--read a.pcap").0.ends_with("speed: Some(1.0) }"));
    assert!(sent("--read a.pcap --speed max").0.ends_with("speed: None }"));
    let seven = Session::of_number(7);
    assert_eq!(sent("--stdin --format compact --session 7").1, Layout::Compact(seven));
    let day = Session::of_text("day1").unwrap();
    assert_eq!(sent("--format moldudp64 --session day1").1, Layout::MoldUdp64(day));
}

/// Proves that each mistake with the tools for multicast is answered by one line with the argument and
/// the remedy.
#[test]
fn mistakes_with_multicast_name_argument_and_remedy() {
    let cases = [
        ("recv", "<GROUP:PORT>", "tautline mcast recv --help"),
        ("recv 10.0.0.1:5", "10.0.0.1:5: ", "no multicast address: write a group"),
        ("recv 239.1.1.1", "239.1.1.1: ", "such as 239.255.0.1:5000"),
        ("recv 239.1.1.1:0", "239.1.1.1:0: ", "a port from 1 on"),
        ("recv 239.1.1.1:5 --source 239.1.1.1", "--source: ", "the address that a sender"),
        ("recv [ff12::1]:5 --source fe80::1%eth0", "--source: ", "--source fe80::1 --iface eth0"),
        ("recv 239.1.1.1:5 --source ::1", "--source: ::1: ", "family"),
        ("rate 239.1.1.1:5 [ff12::1]:5 --source ::1", "--source: ", "for 239.1.1.1:5"),
        ("recv 239.1.1.1:5 --buffer 0", "--buffer: ", "such as 8MiB"),
        ("recv 239.1.1.1:5 --text --hex", "--text", "--help"),
        ("recv 239.1.1.1:5 --format xml", "--format: ", "compact, moldudp64 or rtp"),
        ("recv 239.1.1.1:5 --for 0", "--for: ", "more than zero"),
        ("rate 239.1.1.1:5 --every 0", "--every: ", "0.01 to 86400"),
        ("rate 239.1.1.1:5 --count 0", "--count: 0: ", "1 or more"),
        ("rate 239.1.1.1:5 --count abc", "--count: abc: ", "1 or more"),
        ("dump a --count 99999999999999999999", "--count: 9", "1 or more"),
        ("recv [ff12::1%eth0]:5", "[ff12::1%eth0]:5: ", "[ff12::1]:5 --iface eth0"),
        ("recv 239.1.1.1:5 --write=", "--write: nothing", "write <FILE>"),
        ("recv 239.1.1.1:5 --count", "--count: nothing", "write <N>"),
        ("recv 239.1.1.1:5 --iface=", "--iface: \"\": ", "such as eth0"),
        ("recv 239.1.1.1:5 --text --count -1", "--count: -1: ", "1 or more"),
        ("dump", "<FILE>", "tautline mcast dump --help"),
        ("send", "<GROUP:PORT>", "tautline mcast send --help"),
        ("send 239.1.1.1:5 --rate 0", "--rate: ", "packets a second"),
        ("send 239.1.1.1:5 --bitrate fast", "--bitrate: ", "10M"),
        ("send 239.1.1.1:5 --size 33", "--size: 33: ", "34 to 65507"),
        ("send 239.1.1.1:5 --size 41 --format moldudp64", "--size: 41: ", "42 to 65507"),
        ("send 239.1.1.1:5 --size 65508", "--size: ", "1 to 65507"),
        ("send 239.1.1.1:5 --hops 256", "--hops: 256: ", "0 to 255"),
        ("send 239.1.1.1:5 --hops abc", "--hops: abc: ", "0 to 255"),
        ("send 239.1.1.1:5 --size abc", "--size: abc: ", "1 to 65507 bytes"),
        ("send 239.1.1.1:5 --loopback maybe", "--loopback: ", "on or off"),
        ("send 239.1.1.1:5 --stdin --read a", "--stdin", "--help"),
        ("send 239.1.1.1:5 --read a --rate 5", "--rate", "--help"),
        ("send 239.1.1.1:5 --speed 2", "--read <FILE>", "tautline mcast send --help"),
        ("send 239.1.1.1:5 --read a --speed 0", "--speed: ", "or max"),
        ("send 239.1.1.1:5 --format rtp", "--format: ", "plain, compact or moldudp64"),
        ("send 239.1.1.1:5 --session day1", "--session: day1: ", "a number from 0"),
        ("send 239.1.1.1:5 --format moldudp64 --session a-long-name", "--session: ", "one to ten"),
        ("send 239.1.1.1:5 --format plain --session 1", "--session: ", "--format compact"),
        ("send 239.1.1.1:5 --session=", "--session: \"\": ", "a number from 0"),
        ("listen", "listen", "; see tautline mcast --help"),
    ];
    for (arguments, argument, remedy) in cases {
        let message = wrong(&format!("tautline mcast {arguments}"));
        let names = message.contains(argument) && message.contains(remedy);
        assert!(names && !message.contains('\n'), "{arguments}: {message}");
    }
}

/// Proves that exchange and gateway find each other if nothing is said, and that all that can be said
/// reaches them.
#[test]
fn market_arguments_reach_exchange_and_gateway() {
    let Ok(Request::Exchange { config: exchange, json: false }) = parsed("tautline exchange")
    else {
        panic!("no exchange")
    };
    let Ok(Request::Gateway { config: gateway, json: false }) = parsed("tautline gateway") else {
        panic!("no gateway")
    };
    let to: Vec<_> = exchange.lines.iter().map(|line| line.group).collect();
    let from: Vec<_> = gateway.lines.iter().map(|line| line.group).collect();
    assert_eq!((to.len(), &to), (2, &from));
    assert_eq!(exchange.replay.to_string(), gateway.replay);
    assert_eq!(exchange.snapshot.to_string(), gateway.snapshot);
    assert_eq!(exchange.format, gateway.format);
    assert_eq!(exchange.exchange.instruments, gateway.gateway.instruments);
    assert!(exchange.exchange.lines.iter().all(|line| line.loss == 0.01));
    let line = "tautline exchange --line mcast://239.1.1.1:5 --line mcast://239.1.1.2:5 --loss 0,5% \
                --delay 1ms..3ms --format compact --rate 2k --seed 7 --session 9 --for 1m --json";
    let Ok(Request::Exchange { config, json: true }) = parsed(line) else { panic!("no exchange") };
    let lines = &config.exchange.lines;
    assert_eq!((lines[0].loss, lines[1].loss), (0.0, 0.05));
    assert_eq!(lines[1].delay, Duration::from_millis(1)..=Duration::from_millis(3));
    assert_eq!((config.exchange.rate, config.seed), (2000, 7));
    assert_eq!(config.exchange.session, config.format.session(9));
    assert_eq!(config.run_for, Some(Duration::from_secs(60)));
    let line = "tautline gateway --line mcast://239.1.1.1:5 --to tcp-listen://127.0.0.1:9 \
                --replay feed.example:7 --orders 50 --deadline 100ms";
    let Ok(Request::Gateway { config, .. }) = parsed(line) else { panic!("no gateway") };
    assert_eq!((config.lines.len(), config.gateway.sequence.lines, config.to.len()), (1, 1, 1));
    assert_eq!((config.replay.as_str(), config.gateway.orders), ("feed.example:7", 50));
    assert_eq!(config.gateway.sequence.deadline, Duration::from_millis(100));
}

/// Proves that `serve` has the feed, the address and the token's place as defaults, and names what
/// cannot be.
#[test]
fn serve_has_defaults() {
    let Ok(Request::Serve(args)) = parsed("tautline serve") else { panic!("serve") };
    assert_eq!(args.listen, ([127, 0, 0, 1], 8080).into());
    assert_eq!((args.token_file, args.hosts.len(), args.config.to.len()), (None, 0, 0));
    assert_eq!(args.config.from.url, "demo:");
    for (line, input, remedy) in [
        ("tautline serve --listen here", "here", "--listen"),
        ("tautline serve --host a:80", "a:80", "without scheme and port"),
        ("tautline serve --from nowhere:", "nowhere", "--from"),
    ] {
        let told = wrong(line);
        assert!(told.contains(input) && told.contains(remedy), "{told}");
    }
}
