//! What command lines mean, and how mistakes are answered.

use std::time::Duration;

use tautline_relay::endpoint::DemoFeed;
use tautline_relay::{DriverChoice, HostConfig, WaitChoice};

use super::*;

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

/// Proves that each mistake is answered by one line with the argument and the remedy.
#[test]
fn mistakes_name_argument_and_remedy() {
    let cases = [
        ("tautline relay --from udp://x --to stdout:", "--from: ", "HOST:PORT"),
        ("tautline relay --from stdin: --to rtmp:x", "--to: ", "tcp-listen://"),
        ("tautline relay --from stdin:", "--to <URL>", "--help"),
        ("tautline relay", "--from <URL>", "--help"),
        ("tautline relay --from stdin: --to stdout: --driver iocp", "--driver: ", "auto, uring"),
        ("tautline demo --core last", "--core: ", "decimal digits"),
        ("tautline demo --for soon", "--for: ", "10s"),
        ("tautline demo --for -1s", "--for: ", "10s"),
        ("tautline relay --from demo: --to stdout: --for -1s", "--for: ", "10s"),
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
        ("tautline demo --subscribers 0", "--subscribers: ", "1..=100000"),
        ("tautline demo --colour red", "--colour", "--help"),
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
        ("tautline bus tap a/b --count 0", "--count: ", "1.."),
        ("tautline bus tap me:a/b", "<NAMESPACE/NAME>: me:a/b: ", "NAMESPACE/NAME as"),
        ("tautline bus list --user me", "--user: me: ", "id -u"),
        ("tautline bus stat a/b/c", "[NAMESPACE/NAME]: a/b/c: ", "NAMESPACE/NAME as"),
        ("tautline bus stat --every -1", "--every: ", "0.01 to 86400"),
        ("tautline bus stat --every soon", "--every: ", "10s"),
        ("tautline bus clear", "clear", "--help"),
    ];
    for (line, argument, remedy) in cases {
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
