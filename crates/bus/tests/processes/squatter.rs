//! A process that has no part in an object, and binds what those who have look for.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::stay;
use super::users::OWNER;

/// Binds what others have to find, as somebody who has no part in it.
pub(crate) fn squat<O>(namespace: &str, how: &str, open: impl FnOnce() -> O) {
    let key = format!("tautline-bus/{OWNER}/{namespace}/numbers");
    let number = std::process::id();
    let door = |count: u32| format!("{key}#{number:x}.1.{count:x}");
    let bind = |address: &str| {
        let address = SocketAddr::from_abstract_name(address).unwrap();
        UnixDatagram::bind_addr(&address).unwrap()
    };
    match how {
        "key" => {
            let _key = UnixListener::bind_addr(&SocketAddr::from_abstract_name(key).unwrap());
            stay();
        }
        // As one without a door, of a process that is there and of one that is not.
        "quietly" => {
            let _quiet = [format!("{key}#1.1.0"), format!("{key}#{number:x}.1.1")]
                .map(|address| bind(&address));
            stay();
        }
        // By an address that goes on as a line of the kernel's list would, of a socket that is not
        // there: one without a door, and a door.
        "newline" => {
            let _forged = ["0 0002 01 1", "10000 0005 01 1"]
                .map(|socket| bind(&format!("\n0 0 0 {socket} @{key}#1.1.0")));
            stay();
        }
        // By bytes that are no text, and would be too many if they were made one.
        "bytes" => {
            let _door = listen(&[door(0).as_bytes(), &[0xff; 30]].concat());
            stay();
        }
        // As one without a door of root's, with a good segment of one's own, under that name.
        "root" => {
            let _own = open();
            let _quiet = bind(&format!("tautline-bus/0/{namespace}/numbers#{}", identity()));
            stay();
        }
        // Never answers, and takes nobody in.
        "silent" => {
            let _doors: Vec<_> = (0..3).map(|count| listen(door(count).as_bytes())).collect();
            stay();
        }
        // Says that it is joining, for ever; or that it has something.
        "joining" => serve(&listen(door(0).as_bytes()), 0, None),
        "with-a-file" => {
            serve(&listen(door(0).as_bytes()), 1, Some(fs::File::open("/dev/zero").unwrap()))
        }
        "with-a-segment" => {
            // A good one of one's own, under that name.
            let _own = open();
            let file = segment_of(namespace);
            serve(&listen(door(0).as_bytes()), 1, Some(file));
        }
        other => panic!("nobody squats {other}"),
    }
}

fn listen(address: &[u8]) -> OwnedFd {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
    let address = SocketAddrUnix::new_abstract_name(address).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 8).unwrap();
    socket
}

/// Gives everybody that answer.
fn serve(listener: &OwnedFd, answer: u8, file: Option<fs::File>) -> ! {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    println!("\nready");
    loop {
        let caller = rustix::net::accept(listener).unwrap();
        let files: Vec<_> = file.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        let (byte, flags) = ([answer], SendFlags::NOSIGNAL);
        _ = rustix::net::sendmsg(&caller, &[io::IoSlice::new(&byte)], &mut control, flags);
    }
}

/// What a participant of this process would call itself.
fn identity() -> String {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap();
    format!("{:x}.{:x}.0", std::process::id(), start.parse::<u64>().unwrap())
}

/// The segment that this process has under the name.
fn segment_of(namespace: &str) -> fs::File {
    let label = format!("/memfd:tautline-bus/{namespace}/numbers (deleted)");
    let mut files = fs::read_dir("/proc/self/fd").unwrap().flatten().map(|file| file.path());
    let is_it = |path: &PathBuf| fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*label);
    let path = files.find(is_it).unwrap();
    fs::File::options().read(true).write(true).open(path).unwrap()
}
