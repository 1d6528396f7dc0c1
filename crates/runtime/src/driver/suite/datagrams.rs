//! Operations on UDP.

use std::mem;

use socket2::{SockAddr, SockAddrStorage, Type};

use super::bench::{Bench, Memory, pattern};
use crate::driver::{Attempt, Driver, Op};

/// A message header and what it names.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    pub(crate) header: *mut libc::msghdr,
    name: *mut SockAddrStorage,
}

impl Message {
    /// One whose bytes are `memory`, with room for an address.
    pub(crate) fn new<D: Driver>(bench: &mut Bench<D>, memory: Memory) -> Self {
        let iov = bench.keep(libc::iovec { iov_base: memory.start.cast(), iov_len: memory.len });
        let name = bench.keep(SockAddrStorage::zeroed());
        // SAFETY: a header of zeros is a valid empty message.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_iov = iov;
        header.msg_iovlen = 1;
        Self { header: bench.keep(header), name }
    }

    /// As [`Message::new`], with room for the source.
    pub(crate) fn from_anybody<D: Driver>(bench: &mut Bench<D>, memory: Memory) -> Self {
        let message = Self::new(bench, memory);
        // SAFETY: the bench keeps the header.
        unsafe {
            (*message.header).msg_name = message.name.cast();
            (*message.header).msg_namelen = mem::size_of::<SockAddrStorage>() as u32;
        }
        message
    }

    /// As [`Message::new`], bound for `addr`.
    pub(crate) fn to<D: Driver>(bench: &mut Bench<D>, memory: Memory, addr: &SockAddr) -> Self {
        let message = Self::new(bench, memory);
        let addr = bench.keep(addr.clone());
        // SAFETY: the bench keeps both.
        unsafe {
            (*message.header).msg_name = (*addr).as_ptr().cast_mut().cast();
            (*message.header).msg_namelen = (*addr).len();
        }
        message
    }

    /// The source of what was received.
    pub(crate) fn source(&self) -> Option<std::net::SocketAddr> {
        // SAFETY: the bench keeps both, and the receive has ended.
        unsafe { SockAddr::new(self.name.read(), (*self.header).msg_namelen) }.as_socket()
    }

    /// As [`Message::from_anybody`], with `room` bytes for control messages.
    pub(crate) fn with_control<D: Driver>(
        bench: &mut Bench<D>,
        memory: Memory,
        room: usize,
    ) -> Self {
        let message = Self::from_anybody(bench, memory);
        let control = bench.keep(vec![0_u64; room.div_ceil(8)]);
        // SAFETY: the bench keeps both; the vector is never resized.
        unsafe {
            (*message.header).msg_control = (*control).as_mut_ptr().cast();
            (*message.header).msg_controllen = room as _;
        }
        message
    }

    /// The control messages of what was received.
    pub(crate) fn control(&self) -> Vec<u8> {
        // SAFETY: the bench keeps header and memory, and the receive has ended.
        unsafe {
            let header = &*self.header;
            let len: usize = header.msg_controllen as _;
            std::slice::from_raw_parts(header.msg_control.cast::<u8>(), len).to_vec()
        }
    }

    fn flags(&self) -> i32 {
        // SAFETY: the bench keeps the header, and the receive has ended.
        unsafe { (*self.header).msg_flags }
    }
}

/// Two bound sockets and their addresses.
fn two<D: Driver>(bench: &mut Bench<D>) -> [(i32, SockAddr); 2] {
    [(); 2].map(|()| {
        let fd = bench.socket(Type::DGRAM);
        (fd, bench.bind_loopback(fd))
    })
}

/// An armed receive brings the datagram's length and where it came from.
pub(crate) fn a_datagram_comes_with_its_source<D: Driver>(bench: &mut Bench<D>) {
    let [(from, source), (to, addr)] = two(bench);
    let into = bench.zeroed(64);
    let message = Message::from_anybody(bench, into);
    let token = bench.submit(Op::RecvMsg { fd: to, msg: message.header });
    bench.settle();
    assert!(bench.is_armed(token));
    let memory = bench.copy(b"datagram");
    let out = Message::to(bench, memory, &addr);
    let send = Op::SendMsg { fd: from, msg: out.header };
    assert_eq!(bench.attempt_until_done(send), 8);
    assert_eq!(bench.result_of(token), 8);
    assert_eq!(into.first(8), b"datagram");
    assert_eq!(message.source(), source.as_socket());
    assert_eq!(message.flags() & libc::MSG_TRUNC, 0);
}

/// A datagram longer than the buffer fills it, is flagged, and its rest is gone.
pub(crate) fn a_long_datagram_is_flagged<D: Driver>(bench: &mut Bench<D>) {
    let [(from, _), (to, addr)] = two(bench);
    for bytes in [&b"too long"[..], b"fits"] {
        let memory = bench.copy(bytes);
        let out = Message::to(bench, memory, &addr);
        bench.attempt_until_done(Op::SendMsg { fd: from, msg: out.header });
    }
    let into = bench.zeroed(4);
    let message = Message::from_anybody(bench, into);
    assert_eq!(bench.run(Op::RecvMsg { fd: to, msg: message.header }), 4);
    assert_eq!(into.first(4), b"too ");
    assert_ne!(message.flags() & libc::MSG_TRUNC, 0);
    let message = Message::from_anybody(bench, into);
    assert_eq!(bench.run(Op::RecvMsg { fd: to, msg: message.header }), 4);
    assert_eq!(into.first(4), b"fits");
    assert_eq!(message.flags() & libc::MSG_TRUNC, 0);
}

/// A datagram of no bytes is received as one.
pub(crate) fn an_empty_datagram_is_one<D: Driver>(bench: &mut Bench<D>) {
    let [(from, source), (to, addr)] = two(bench);
    let into = bench.zeroed(4);
    let message = Message::from_anybody(bench, into);
    let token = bench.submit(Op::RecvMsg { fd: to, msg: message.header });
    let empty = bench.zeroed(0);
    let out = Message::to(bench, empty, &addr);
    assert_eq!(bench.attempt_until_done(Op::SendMsg { fd: from, msg: out.header }), 0);
    assert_eq!(bench.result_of(token), 0);
    assert_eq!(message.source(), source.as_socket());
}

/// An armed send goes where its address says.
pub(crate) fn an_armed_send_reaches_its_destination<D: Driver>(bench: &mut Bench<D>) {
    let [(from, _), (to, addr)] = two(bench);
    let memory = bench.copy(b"armed");
    let out = Message::to(bench, memory, &addr);
    assert_eq!(bench.run(Op::SendMsg { fd: from, msg: out.header }), 5);
    assert_eq!(bench.receive_exactly(to, 5), b"armed");
}

/// Many datagrams leave in one call and come in one or few, each with its length; an
/// empty socket would block.
pub(crate) fn many_datagrams_in_one_call<D: Driver>(bench: &mut Bench<D>) {
    const COUNT: usize = 10;
    let [(from, source), (to, addr)] = two(bench);
    let out: Vec<Message> = (0..COUNT)
        .map(|i| {
            let memory = bench.copy(&pattern(10 * i + 1));
            Message::to(bench, memory, &addr)
        })
        .collect();
    let into: Vec<Memory> = (0..COUNT).map(|_| bench.zeroed(128)).collect();
    let room: Vec<Message> = into.iter().map(|&m| Message::from_anybody(bench, m)).collect();
    let mut headers = headers_of(&room);
    // SAFETY: the bench keeps what the headers name.
    let nothing = unsafe { bench.driver.receive_many(to, &mut headers) };
    assert_eq!(nothing, Attempt::WouldBlock);
    let mut sent = headers_of(&out);
    // SAFETY: as above.
    let result = unsafe { bench.driver.send_many(from, &mut sent) };
    assert_eq!(result, Attempt::Done(COUNT as i32));
    bench.settle();
    let mut count = 0;
    while count < COUNT {
        // SAFETY: as above.
        match unsafe { bench.driver.receive_many(to, &mut headers[count..]) } {
            Attempt::Done(more) if more > 0 => count += more as usize,
            other => panic!("{other:?} after {count} datagrams"),
        }
    }
    for (i, header) in headers.iter().enumerate() {
        let length = 10 * i + 1;
        assert_eq!((header.msg_len as usize, into[i].first(length)), (length, pattern(length)));
        let name = header.msg_hdr.msg_name.cast::<SockAddrStorage>();
        // SAFETY: the bench keeps the name, which the receive filled.
        let name = unsafe { SockAddr::new(name.read(), header.msg_hdr.msg_namelen) };
        assert_eq!(name.as_socket(), source.as_socket());
    }
}

/// Datagrams that lie in parts leave in one call, each as one.
pub(crate) fn parts_leave_as_one_datagram<D: Driver>(bench: &mut Bench<D>) {
    let [(from, _), (to, addr)] = two(bench);
    let out = [["", "alone"], ["two ", "parts"]].map(|parts| {
        let memory = bench.zeroed(0);
        let message = Message::to(bench, memory, &addr);
        let parts = parts.map(|part| {
            let memory = bench.copy(part.as_bytes());
            libc::iovec { iov_base: memory.start.cast(), iov_len: memory.len }
        });
        let parts = bench.keep(parts);
        // SAFETY: the bench keeps both.
        unsafe { ((*message.header).msg_iov, (*message.header).msg_iovlen) = (parts.cast(), 2) };
        message
    });
    // SAFETY: the bench keeps what the headers name.
    let result = unsafe { bench.driver.send_many(from, &mut headers_of(&out)) };
    assert_eq!(result, Attempt::Done(2));
    assert_eq!(bench.receive_exactly(to, 5), b"alone");
    assert_eq!(bench.receive_exactly(to, 9), b"two parts");
}

fn headers_of(messages: &[Message]) -> Vec<libc::mmsghdr> {
    messages
        .iter()
        .map(|message| libc::mmsghdr {
            // SAFETY: the bench keeps the headers.
            msg_hdr: unsafe { *message.header },
            msg_len: 0,
        })
        .collect()
}
