//! A process that has no descriptor left can still give back what it has.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tautline_bus::Shared;
use tautline_bus::channel::{Channel, Config};
use tautline_bus::shared::{Guests, Namespace};

/// The end of a door is not waited for in vain where it cannot take callers in.
#[test]
fn a_door_ends_without_a_descriptor_left() {
    let namespace = format!("full-{}", std::process::id());
    let own = rustix::process::geteuid().as_raw();
    let open = Namespace::new(&namespace).guests(Guests::Users(vec![own]));
    let channel = Channel::<u64, Shared>::open(open, "numbers", Config::default()).unwrap();
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let mark = format!("@tautline-bus/{own}/{namespace}/numbers#");
    let address = sockets.split_ascii_whitespace().find(|word| word.starts_with(&mark)).unwrap();
    let address = SocketAddrUnix::new_abstract_name(&address.as_bytes()[1..]).unwrap();
    let call = || rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    let callers = [call(), call()];
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(3), maximum: before.maximum }).unwrap();
    // One is taken in by the descriptor that was set aside for it, and one waits in vain.
    callers.iter().for_each(|caller| rustix::net::connect(caller, &address).unwrap());
    thread::sleep(Duration::from_millis(100));
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        drop(channel);
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(10));
    setrlimit(Resource::Nofile, before).unwrap();
    assert_eq!(ended, Ok(()), "the door is waited for");
}
