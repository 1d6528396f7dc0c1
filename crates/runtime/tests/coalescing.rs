//! What a turn writes to a stream leaves in one call, counted by what the kernel's TCP
//! has put on the wire.

mod common;

use std::cell::Cell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use common::everywhere;
use tautline_runtime::{Conn, Descriptor, Runtime, task};

/// A TCP connection without delay: each send of a few bytes is a segment.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_nodelay(true).unwrap();
    (near, far)
}

/// Segments with data that the kernel has sent.
fn segments(stream: &TcpStream) -> u32 {
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: plain C data for which zeroes are valid; the kernel writes at most `len`.
    let (result, info) = unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let place = (&raw mut info).cast();
        let fd = stream.as_raw_fd();
        (libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut len), info)
    };
    assert_eq!(result, 0);
    assert!(len as usize > std::mem::offset_of!(libc::tcp_info, tcpi_data_segs_out));
    info.tcpi_data_segs_out
}

/// Counts the segments that `write` makes on a fresh connection.
fn count(runtime: &Runtime, write: impl FnOnce(Descriptor)) -> u32 {
    let (near, far) = connection();
    let counter = near.try_clone().unwrap();
    write(Descriptor::new(near.into()).unwrap());
    runtime.poll().unwrap();
    far.set_nonblocking(true).unwrap();
    assert!(io::Read::read(&mut &far, &mut [0; 4096]).unwrap() > 0);
    segments(&counter)
}

/// Eleven times a few bytes.
fn write(conn: &Conn) {
    for _ in 0..11 {
        assert_eq!(conn.write(b"few bytes").unwrap(), 9);
    }
}

/// Writes of one turn are one call, whichever face makes them.
#[test]
fn writes_of_a_turn_are_one_call() {
    everywhere(|runtime| {
        assert_eq!(count(runtime, |near| write(&near.into_conn())), 1);
        let tasks = |near: Descriptor| {
            drop(task::spawn(async move {
                write(near.conn());
                for _ in 0..11 {
                    std::future::poll_fn(|cx| near.poll_write(cx, b"more")).await.unwrap();
                }
                std::future::pending::<()>().await;
            }));
        };
        assert_eq!(count(runtime, tasks), 1);
    });
}

/// A handler's answers to all that one receive brought are one call.
#[test]
fn answers_of_a_turn_are_one_call() {
    everywhere(|runtime| {
        let (near, far) = connection();
        let counter = near.try_clone().unwrap();
        let answered = Rc::new(Cell::new(0));
        let told = answered.clone();
        let near = Descriptor::new(near.into()).unwrap();
        near.on_data(move |conn, bytes| {
            for byte in bytes {
                assert_eq!(conn.write(&[*byte]).unwrap(), 1);
            }
            told.set(told.get() + bytes.len());
        })
        .unwrap();
        io::Write::write_all(&mut &far, &[7; 100]).unwrap();
        runtime.run_until(|| answered.get() == 100).unwrap();
        assert_eq!(segments(&counter), 1);
    });
}

/// `flush` and `write_now` do not wait for the end of the turn.
#[test]
fn a_flush_sends_at_once() {
    everywhere(|runtime| {
        let (near, far) = connection();
        let counter = near.try_clone().unwrap();
        far.set_nonblocking(true).unwrap();
        let near = Descriptor::new(near.into()).unwrap();
        write(near.conn());
        assert_eq!(segments(&counter), 0);
        near.conn().flush();
        assert_eq!(segments(&counter), 1);
        write(near.conn());
        near.conn().write_now(b"now").unwrap();
        assert_eq!(segments(&counter), 3, "what was queued, and then this");
        runtime.poll().unwrap();
        assert_eq!(segments(&counter), 3);
    });
}
