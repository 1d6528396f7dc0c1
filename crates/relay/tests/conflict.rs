//! Endpoints that cannot be together, and files that a relay which never starts leaves alone.

mod common;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::fs;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::symlink;

use common::{DRIVERS, Running, config, udp, url};
use skips::skip_in_part;
use tautline_net::multicast::Interface;
use tautline_relay::{RunError, run};

/// What is said of a relay that cannot be.
fn refused(from: &str, to: &[&str]) -> String {
    match run(&config(DRIVERS[1], from, to), &mut |_| {}) {
        Err(error @ RunError::Conflict(_)) => error.to_string(),
        other => panic!("{from} to {to:?}: {other:?}"),
    }
}

/// Proves that a file is not written over while it is read, whatever leads to it, and stays whole.
#[test]
fn source_file_is_no_destination() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("file:{}", folder.path().join(name).display());
    let path = folder.path().join("feed");
    fs::write(&path, b"\0\x05hello").unwrap();
    symlink(&path, folder.path().join("link")).unwrap();
    fs::hard_link(&path, folder.path().join("twin")).unwrap();
    for name in ["feed", "./feed", "link", "twin"] {
        let (from, to) = (file("feed"), file(name));
        let message = refused(&from, &["udp://127.0.0.1:9", &to]);
        assert!(message.contains(&from) && message.contains(&to), "{message}");
        assert!(message.contains("file") && !message.contains('\n'), "{message}");
        assert_eq!(fs::read(&path).unwrap(), b"\0\x05hello");
    }
}

/// Proves that two destinations are not the same, be it under two names or not made yet.
#[test]
fn destinations_differ() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("file:{}", folder.path().join(name).display());
    symlink("new", folder.path().join("link")).unwrap();
    for (first, second) in [
        (file("new"), file("new")),
        (file("new"), file("./new")),
        (file("link"), file("new")),
        ("stdout:".into(), "stdout:?policy=wait".into()),
        ("udp://127.0.0.1:9".into(), "udp://127.0.0.1:9?queue=5".into()),
        ("shm://a/b".into(), "shm://a/b?capacity=1MiB".into()),
        ("udp://example.net:9".into(), "udp://EXAMPLE.net:9".into()),
    ] {
        let message = refused("demo:", &[&first, "udp://127.0.0.1:8", &second]);
        assert!(message.contains(&first) && message.contains(&second), "{message}");
        assert!(!folder.path().join("new").exists());
    }
}

/// Proves that a relay is not fed by itself.
#[test]
fn source_address_is_no_destination() {
    for (from, to) in [
        ("udp://127.0.0.1:9099", "udp://127.0.0.1:9099"),
        ("udp://127.0.0.1:9099", "udp://localhost:9099"),
        ("udp://0.0.0.0:9099", "udp://127.0.0.1:9099"),
        ("udp://[::]:9099", "udp://[::1]:9099"),
        ("udp://[::]:9099", "udp://127.0.0.1:9099"),
        ("shm://a/b", "shm://a/b?policy=wait"),
    ] {
        let message = refused(from, &[to]);
        assert!(message.contains(from) && message.contains(to), "{message}");
    }
}

/// Proves that what only looks alike runs: another port, somebody else's address, a device.
#[test]
fn what_looks_alike_runs() {
    let (one, two) = (udp(), udp());
    let port = |socket: &std::net::UdpSocket| socket.local_addr().unwrap().port();
    let to = [url("udp", port(&one)), url("udp", port(&two))];
    Running::start(config(DRIVERS[1], "udp://127.0.0.1:0", &[&to[0], &to[1]])).finish();
    let to = ["file:/dev/null", "file:/dev/null", "udp://192.0.2.1:9099", "udp://[::1]:9099"];
    Running::start(config(DRIVERS[1], "udp://0.0.0.0:9099", &to)).finish();
    let name = |name: &str| format!("shm://alike{}/{name}", std::process::id());
    Running::start(config(DRIVERS[1], &name("a"), &[&name("b"), &name("c")])).finish();
}

/// Proves that a relay that cannot start neither empties a file nor leaves one, and that one that
/// starts writes from the start.
#[test]
fn failed_start_leaves_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let [to_old, to_new] = [&old, &new].map(|path| format!("file:{}", path.display()));
    fs::write(&old, b"precious").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = url("tcp-listen", taken.local_addr().unwrap().port());
    for driver in DRIVERS {
        let end = run(&config(driver, "demo:", &[&to_old, &to_new, &listen]), &mut |_| {});
        assert!(matches!(end, Err(RunError::Endpoint { .. })), "{end:?}");
        assert_eq!(fs::read(&old).unwrap(), b"precious");
        assert!(!new.exists());
        let feed = folder.path().join("feed");
        fs::write(&feed, b"\0\x02hi").unwrap();
        let from = format!("file:{}", feed.display());
        run(&config(driver, &from, &[&to_old, &to_new]), &mut |_| {}).unwrap();
        assert_eq!(fs::read(&old).unwrap(), b"\0\x02hi");
        assert_eq!(fs::read(&new).unwrap(), b"\0\x02hi");
        fs::write(&old, b"precious").unwrap();
        fs::remove_file(&new).unwrap();
    }
}

/// Proves that a relay does not join the group that it sends to, unless what it sends does not come
/// back, by whatever name the interface goes, and that a group is no destination twice.
#[test]
fn groups_are_not_fed_by_themselves() {
    let at = "mcast://239.255.82.1:9";
    for (from, to) in
        [("", ""), ("?iface=lo", ""), ("", "?iface=lo"), ("?iface=lo", "?iface=127.0.0.1")]
    {
        let message = refused(&format!("{at}{from}"), &[&format!("{at}{to}")]);
        assert!(message.contains("are one group"), "{message}");
    }
    assert!(refused(at, &["udp://239.255.82.1:9"]).contains("are one group"));
    let message = refused("demo:", &[&format!("{at}?iface=lo"), &format!("{at}?iface=127.0.0.1")]);
    assert!(message.contains("are one group; leave one"), "{message}");
    let from = format!("{at}?iface=lo");
    let message = refused(&from, &[&format!("{at}?iface=lo&loopback=off")]);
    assert!(
        message.contains("are one group"),
        "by the loopback interface it comes back: {message}"
    );
    Running::start(config(DRIVERS[1], &from, &["mcast://239.255.82.1:8?iface=lo"])).finish();
    let is_other = |it: &Interface| !it.is_loopback() && it.addresses().iter().any(IpAddr::is_ipv4);
    let Some(other) = Interface::all().into_iter().find(is_other) else {
        return skip_in_part("there is no interface but the loopback interface");
    };
    let (from, to) = (format!("{at}?iface={other}"), format!("{at}?iface={other}&loopback=off"));
    Running::start(config(DRIVERS[1], &from, &[&to])).finish();
}
