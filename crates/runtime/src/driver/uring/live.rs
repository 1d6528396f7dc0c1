//! What only a real kernel can show, beyond the suite that all drivers pass.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::driver::UringDriver;
use crate::driver::config::DriverConfig;
use crate::driver::{Completion, Driver, Full, Interest, Op, Token, Wait};

/// A driver with `entries` submissions and room for `operations`.
fn driver(entries: u32, operations: u32) -> UringDriver {
    let config =
        DriverConfig { entries, operations, pool_buffers: 4, pool_buffer_size: 4096, events: 64 };
    UringDriver::new(&config).expect("io_uring is granted where these tests run")
}

/// Polls until `count` completions came, for five seconds at most.
fn gather(driver: &mut UringDriver, count: usize) -> Vec<Completion> {
    let mut out = Vec::new();
    for _ in 0..500 {
        if out.len() >= count {
            break;
        }
        driver.poll(Wait::AtMost(Duration::from_millis(10)), 64, &mut out).unwrap();
    }
    assert_eq!(out.len(), count, "{out:?}");
    out
}

fn submit(driver: &mut UringDriver, token: Token, op: Op) -> Result<(), Full> {
    // SAFETY: the tests keep what their operations name until the last completion.
    unsafe { driver.submit(token, &op) }
}

/// A thousand operations pass through a ring of four entries, each completing once.
#[test]
fn a_thousand_operations_pass_through_four_entries() {
    let mut driver = driver(4, 1000);
    let (_ours, theirs) = UnixStream::pair().unwrap();
    let mut out = Vec::new();
    for index in 0..1000 {
        let op = Op::Poll { fd: theirs.as_raw_fd(), interest: Interest::Write };
        while submit(&mut driver, Token::new(index, 1), op).is_err() {
            driver.poll(Wait::No, 64, &mut out).unwrap();
        }
    }
    let rest = 1000 - out.len();
    out.extend(gather(&mut driver, rest));
    let mut slots: Vec<u32> = out.iter().map(|c| c.token.index()).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..1000).collect::<Vec<_>>());
    assert_eq!(driver.in_flight(), 0);
}

/// More completions than the completion queue holds overflow into the kernel and still
/// come out, each once.
#[test]
fn a_real_overflow_loses_nothing() {
    let mut driver = driver(2, 4);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let mut out = Vec::new();
    for index in 0..64 {
        let op = Op::Poll { fd: theirs.as_raw_fd(), interest: Interest::Read };
        while submit(&mut driver, Token::new(index, 1), op).is_err() {
            driver.poll(Wait::No, 64, &mut out).unwrap();
        }
    }
    driver.poll(Wait::No, 64, &mut out).unwrap();
    assert_eq!(out, []);
    ours.write_all(b"x").unwrap();
    driver.poll(Wait::Forever, 1, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    // Three are left in the queue of four. Seven at a time empty it with more outside.
    for _ in 0..64 {
        if driver.has_work() {
            driver.poll(Wait::No, 7, &mut out).unwrap();
        }
    }
    let mut slots: Vec<u32> = out.iter().map(|c| c.token.index()).collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..64).collect::<Vec<_>>());
}

/// Wakes from another thread end waits again and again, though the wake-up's descriptor
/// is never read.
#[test]
fn wakes_end_every_wait() {
    let mut driver = driver(8, 8);
    let waker = driver.waker();
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for () in told {
            waker.wake();
        }
    });
    let mut out = Vec::new();
    for round in 0..200 {
        tell.send(()).unwrap();
        assert!(driver.poll(Wait::Forever, 64, &mut out).unwrap(), "round {round}");
    }
    assert_eq!(out, []);
    drop(tell);
    thread.join().unwrap();
}

/// Dropping a driver with receives in flight leaves their memory alone from then on: the
/// bytes that come later stay in the socket.
#[test]
fn nothing_is_written_after_the_end() {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let mut memory = [7u8; 64];
    let mut driver = driver(8, 8);
    let op = Op::Recv { fd: theirs.as_raw_fd(), buf: memory.as_mut_ptr(), len: memory.len() };
    submit(&mut driver, Token::new(0, 1), op).unwrap();
    submit(&mut driver, Token::new(1, 1), Op::RecvMulti { fd: ours.as_raw_fd() }).unwrap();
    driver.poll(Wait::No, 64, &mut Vec::new()).unwrap();
    assert_eq!(driver.drain(), 0);
    drop(driver);
    ours.write_all(b"later").unwrap();
    let mut later = [0; 5];
    theirs.read_exact(&mut later).unwrap();
    assert_eq!(&later, b"later");
    assert_eq!(memory, [7; 64]);
}

/// Connections that were accepted for a driver that ends before it tells of them are
/// closed, so that the peer sees the end.
#[test]
fn connections_nobody_took_are_closed_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut driver = driver(8, 8);
    submit(&mut driver, Token::new(0, 1), Op::AcceptMulti { fd: listener.as_raw_fd() }).unwrap();
    driver.poll(Wait::No, 64, &mut Vec::new()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut peers = [0; 2].map(|_| TcpStream::connect(address).unwrap());
    let mut out = Vec::new();
    driver.poll(Wait::Forever, 1, &mut out).unwrap();
    assert!(driver.has_work(), "the second connection waits to be told of");
    driver.close(out[0].result);
    drop(driver);
    for peer in &mut peers {
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
}

/// A multishot receive that runs out of buffers says so, and goes on where it was once
/// they are back: no byte is lost or doubled.
#[test]
fn a_stream_outlives_the_want_of_buffers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let theirs = listener.accept().unwrap().0;
    let mut driver = driver(8, 8);
    let sent: Vec<u8> = (0..64 * 1024u32).map(|at| (at % 251) as u8).collect();
    ours.write_all(&sent[..]).unwrap();
    let (mut got, mut dry, mut generation) = (Vec::new(), 0, 0);
    let arm = |driver: &mut UringDriver, generation| {
        submit(driver, Token::new(0, generation), Op::RecvMulti { fd: theirs.as_raw_fd() })
            .unwrap();
    };
    arm(&mut driver, generation);
    for _ in 0..1000 {
        if got.len() == sent.len() {
            break;
        }
        let mut out = Vec::new();
        driver.poll(Wait::AtMost(Duration::from_millis(10)), 64, &mut out).unwrap();
        for completion in out {
            if let Some(id) = completion.buffer {
                // SAFETY: the completion names a buffer that holds its `result` bytes.
                let bytes = unsafe {
                    std::slice::from_raw_parts(driver.buffer(id), completion.result as usize)
                };
                got.extend_from_slice(bytes);
                driver.recycle(id);
            }
            dry += usize::from(completion.result == -libc::ENOBUFS);
            if !completion.more {
                generation += 1;
                arm(&mut driver, generation);
            }
        }
    }
    assert!(got == sent, "{} of {} bytes", got.len(), sent.len());
    assert!(dry > 0, "four buffers of 4 KiB were to run out");
}

/// Reads a stream to its end by receives that go on, each asked for anew where it ended.
/// Returns the bytes and whether the end was seen. `act` runs after each poll.
fn read_to_end(fd: RawFd, mut act: impl FnMut()) -> (usize, bool) {
    let mut driver = driver(8, 8);
    let (mut got, mut generation) = (0, 0);
    submit(&mut driver, Token::new(0, generation), Op::RecvMulti { fd }).unwrap();
    for _ in 0..40 {
        let mut out = Vec::new();
        driver.poll(Wait::AtMost(Duration::from_millis(5)), 64, &mut out).unwrap();
        for completion in out {
            got += completion.result.max(0) as usize;
            if let Some(id) = completion.buffer {
                driver.recycle(id);
            }
            if completion.result == 0 {
                return (got, true);
            }
            if !completion.more {
                generation += 1;
                submit(&mut driver, Token::new(0, generation), Op::RecvMulti { fd }).unwrap();
            }
        }
        act();
    }
    (got, false)
}

/// The end of a stream is seen though it came with the last bytes, before or after the
/// receive was asked for. A Unix stream's end is overlooked by a multishot receive that
/// finds both at once.
#[test]
fn an_end_that_came_with_bytes_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = || UnixStream::pair().map(|(a, b)| (OwnedFd::from(a), OwnedFd::from(b))).unwrap();
    let tcp = || {
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (OwnedFd::from(ours), OwnedFd::from(listener.accept().unwrap().0))
    };
    for len in [4, 4096, 20_000, 60_000] {
        for (ours, theirs) in [unix(), tcp()] {
            File::from(ours).write_all(&vec![7; len]).unwrap();
            assert_eq!(read_to_end(theirs.as_raw_fd(), || ()), (len, true));
        }
        for (ours, theirs) in [unix(), tcp()] {
            let mut ours = Some(File::from(ours));
            let write = || {
                if let Some(mut ours) = ours.take() {
                    ours.write_all(&vec![7; len]).unwrap();
                }
            };
            assert_eq!(read_to_end(theirs.as_raw_fd(), write), (len, true));
        }
    }
}
