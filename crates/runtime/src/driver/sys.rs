//! The system calls that the real drivers share, in the shapes of the contract.
//!
//! Nothing here waits. Sockets are called with `MSG_DONTWAIT` and `MSG_NOSIGNAL`, other
//! descriptors with `RWF_NOWAIT`, so that a descriptor that somebody left in blocking
//! mode cannot hold the loop up; only `accept4` and `connect` rely on `O_NONBLOCK`.
//! `EINTR` is handled within.

mod option;

use std::io;
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::event::EventfdFlags;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{Attempt, Interest, Op, Wake};

pub(crate) use self::option::{dropped, receive_buffer, send_buffer, set_option};

/// Tries `op` once, without waiting.
///
/// Operations that are never attempted (see [`super::Driver::attempt`]) answer
/// [`Attempt::WouldBlock`], as does a connect under way: trying it again tells how it
/// went, so that a driver that learnt of readiness just tries again. (A ring does not:
/// it is to see `connect` first.) A connect that meets a full backlog of a Unix
/// listener, or no free port, fails with `EAGAIN`: there is no readiness to wait for.
///
/// # Safety
/// The memory that `op` names is valid for the call.
pub(crate) unsafe fn attempt(op: &Op) -> Attempt {
    // SAFETY: the caller vouches for the memory that `op` names; the kernel checks the
    // descriptor.
    unsafe {
        match *op {
            Op::Recv { fd, buf, len } => recv(fd, buf, len),
            Op::Send { fd, buf, len } => send(fd, buf, len),
            Op::Read { fd, buf, len } => read_now(fd, &iovec(buf, len), 1),
            Op::Write { fd, buf, len } => write_now(fd, &iovec(buf.cast_mut(), len), 1),
            Op::Readv { fd, iov, count } => readv(fd, iov, count),
            Op::Writev { fd, iov, count } => writev(fd, iov, count),
            Op::RecvMsg { fd, msg } => recv_msg(fd, msg),
            Op::SendMsg { fd, msg } => send_msg(fd, msg),
            Op::Accept { fd } => accept(fd),
            Op::Connect { fd, addr } => connect(fd, &*addr),
            Op::Poll { fd, interest } => ready(fd, interest),
            _ => Attempt::WouldBlock,
        }
    }
}

/// Carries `op` out on a descriptor whose calls never wait for a peer (a regular file,
/// where `RWF_NOWAIT` would refuse whatever is not in the page cache). Everything but
/// plain reading and writing is tried as [`attempt`] does.
///
/// # Safety
/// As for [`attempt`].
pub(crate) unsafe fn perform(op: &Op) -> Attempt {
    // SAFETY: as in `attempt`.
    unsafe {
        match *op {
            Op::Read { fd, buf, len } => retry(|| libc::read(fd, buf.cast(), len)),
            Op::Write { fd, buf, len } => retry(|| libc::write(fd, buf.cast(), len)),
            Op::Readv { fd, iov, count } => retry(|| libc::readv(fd, iov, count as i32)),
            Op::Writev { fd, iov, count } => retry(|| libc::writev(fd, iov, count as i32)),
            _ => attempt(op),
        }
    }
}

/// `recv(2)` of what is there.
///
/// # Safety
/// `len` bytes at `buf` may be written.
pub(crate) unsafe fn recv(fd: RawFd, buf: *mut u8, len: usize) -> Attempt {
    // SAFETY: the caller vouches for the buffer.
    retry(|| unsafe { libc::recv(fd, buf.cast(), len, libc::MSG_DONTWAIT) })
}

unsafe fn send(fd: RawFd, buf: *const u8, len: usize) -> Attempt {
    // SAFETY: the caller of `attempt` vouches for the buffer.
    retry(|| unsafe { libc::send(fd, buf.cast(), len, SEND_FLAGS) })
}

const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
const RECEIVE_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;

unsafe fn recv_msg(fd: RawFd, msg: *mut libc::msghdr) -> Attempt {
    // SAFETY: the caller of `attempt` vouches for the header and what it names.
    retry(|| unsafe { libc::recvmsg(fd, msg, RECEIVE_FLAGS) })
}

unsafe fn send_msg(fd: RawFd, msg: *const libc::msghdr) -> Attempt {
    // SAFETY: the caller of `attempt` vouches for the header and what it names.
    retry(|| unsafe { libc::sendmsg(fd, msg, SEND_FLAGS) })
}

unsafe fn readv(fd: RawFd, iov: *const libc::iovec, count: usize) -> Attempt {
    let mut msg = vector(iov, count);
    // SAFETY: the caller of `attempt` vouches for the vector.
    unsafe {
        match recv_msg(fd, &mut msg) {
            NO_SOCKET => read_now(fd, iov, count),
            done => done,
        }
    }
}

unsafe fn writev(fd: RawFd, iov: *const libc::iovec, count: usize) -> Attempt {
    let msg = vector(iov, count);
    // SAFETY: the caller of `attempt` vouches for the vector.
    unsafe {
        match send_msg(fd, &msg) {
            NO_SOCKET => write_now(fd, iov, count),
            done => done,
        }
    }
}

const NO_SOCKET: Attempt = Attempt::Done(-libc::ENOTSOCK);
const NO_SUCH_FLAG: Attempt = Attempt::Done(-libc::EOPNOTSUPP);

/// Reads at the descriptor's own position what is there.
unsafe fn read_now(fd: RawFd, iov: *const libc::iovec, count: usize) -> Attempt {
    // SAFETY: the caller of `attempt` vouches for the vector.
    unsafe {
        let done = retry(|| libc::preadv2(fd, iov, count as i32, -1, libc::RWF_NOWAIT));
        if done != NO_SUCH_FLAG {
            return done;
        }
        when_ready(fd, Interest::Read, || libc::readv(fd, iov, count as i32))
    }
}

/// Writes at the descriptor's own position what there is room for.
unsafe fn write_now(fd: RawFd, iov: *const libc::iovec, count: usize) -> Attempt {
    // SAFETY: the caller of `attempt` vouches for the vector.
    unsafe {
        let done = retry(|| libc::pwritev2(fd, iov, count as i32, -1, libc::RWF_NOWAIT));
        if done != NO_SUCH_FLAG {
            return done;
        }
        when_ready(fd, Interest::Write, || libc::writev(fd, iov, count as i32))
    }
}

/// For descriptors that know no `RWF_NOWAIT` (terminals, older kernels' pipes).
fn when_ready(fd: RawFd, interest: Interest, call: impl FnMut() -> isize) -> Attempt {
    match ready(fd, interest) {
        Attempt::Done(bits) if bits >= 0 => retry(call),
        other => other,
    }
}

fn accept(fd: RawFd) -> Attempt {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no address is asked for, so that no memory is named.
    retry(|| unsafe { libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags) } as isize)
}

fn connect(fd: RawFd, addr: &SockAddr) -> Attempt {
    // SAFETY: `addr` is a valid address of that length.
    if unsafe { libc::connect(fd, addr.as_ptr().cast(), addr.len()) } == 0 {
        return Attempt::Done(0);
    }
    match errno() {
        // Interrupted, a connect goes on by itself.
        libc::EINPROGRESS | libc::EALREADY | libc::EINTR => Attempt::WouldBlock,
        e => Attempt::Done(-e),
    }
}

/// Which `POLL*` bits of `interest` (or of trouble) stand on `fd` now.
pub(crate) fn ready(fd: RawFd, interest: Interest) -> Attempt {
    let mut poll = libc::pollfd { fd, events: interest.poll_bits(), revents: 0 };
    // SAFETY: one valid entry.
    match retry(|| unsafe { libc::poll(&mut poll, 1, 0) } as isize) {
        Attempt::Done(0) => Attempt::WouldBlock,
        Attempt::Done(1) if poll.revents & libc::POLLNVAL != 0 => Attempt::Done(-libc::EBADF),
        Attempt::Done(1) => Attempt::Done(i32::from(poll.revents)),
        other => other,
    }
}

/// Receives what is there on a socket of messages: how many of `messages` were filled, or
/// `-errno`. `recvmmsg(2)`, or a call that costs less if there is but one.
///
/// # Safety
/// Every header names valid memory.
pub(crate) unsafe fn receive_many(fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
    if let [message] = messages {
        // SAFETY: the caller vouches for the header.
        return unsafe { receive_one(fd, message) };
    }
    let (first, count) = (messages.as_mut_ptr(), messages.len() as u32);
    // SAFETY: the caller vouches for the headers.
    retry(|| unsafe { libc::recvmmsg(fd, first, count, RECEIVE_FLAGS, ptr::null_mut()) } as isize)
}

/// As [`receive_many`]: one message, by `recvmsg(2)`, or by `recv(2)` if nothing is asked but its
/// bytes.
///
/// # Safety
/// The header names valid memory.
unsafe fn receive_one(fd: RawFd, message: &mut libc::mmsghdr) -> Attempt {
    let header = &mut message.msg_hdr;
    let is_bare = header.msg_name.is_null() && header.msg_control.is_null();
    let received = if is_bare && header.msg_iovlen == 1 {
        // SAFETY: the caller vouches for the header, which names one vector.
        let libc::iovec { iov_base, iov_len } = unsafe { *header.msg_iov };
        // Asked like that, the length of what was longer is told.
        let flags = RECEIVE_FLAGS | libc::MSG_TRUNC;
        // SAFETY: and for what that names.
        let received = retry(|| unsafe { libc::recv(fd, iov_base, iov_len, flags) });
        let is_longer = matches!(received, Attempt::Done(len) if len > 0 && len as usize > iov_len);
        header.msg_flags = if is_longer { libc::MSG_TRUNC } else { 0 };
        header.msg_controllen = 0;
        received
    } else {
        // SAFETY: the caller vouches for the header.
        retry(|| unsafe { libc::recvmsg(fd, header, RECEIVE_FLAGS) })
    };
    match received {
        Attempt::Done(len @ 0..) => {
            message.msg_len = len as u32;
            Attempt::Done(1)
        }
        other => other,
    }
}

/// `sendmmsg(2)` of what there is room for: how many of `messages` were sent, or `-errno`.
///
/// # Safety
/// Every header names valid memory.
pub(crate) unsafe fn send_many(fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
    let (first, count) = (messages.as_mut_ptr(), messages.len() as u32);
    // SAFETY: the caller vouches for the headers.
    retry(|| unsafe { libc::sendmmsg(fd, first, count, SEND_FLAGS) } as isize)
}

fn iovec(buf: *mut u8, len: usize) -> libc::iovec {
    libc::iovec { iov_base: buf.cast(), iov_len: len }
}

/// A message without address and ancillary data.
fn vector(iov: *const libc::iovec, count: usize) -> libc::msghdr {
    // SAFETY: a header of zeros is a valid empty message.
    let mut msg: libc::msghdr = unsafe { mem::zeroed() };
    msg.msg_iov = iov.cast_mut();
    msg.msg_iovlen = count;
    msg
}

/// Calls until not interrupted. Counts fit: the kernel moves less than 2 GiB at a time.
fn retry(mut call: impl FnMut() -> isize) -> Attempt {
    loop {
        let result = call();
        if result >= 0 {
            return Attempt::Done(result as i32);
        }
        match errno() {
            libc::EINTR => {}
            libc::EAGAIN => return Attempt::WouldBlock,
            e => return Attempt::Done(-e),
        }
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// A new socket, non-blocking and close-on-exec.
///
/// # Errors
/// As `socket(2)`.
pub(crate) fn socket(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<RawFd> {
    let socket = Socket::new_raw(domain, kind.nonblocking().cloexec(), protocol)?;
    Ok(socket.into_raw_fd())
}

/// `bind(2)`.
///
/// # Errors
/// As `bind(2)`.
pub(crate) fn bind(fd: RawFd, addr: &SockAddr) -> io::Result<()> {
    SockRef::from(&borrowed(fd)?).bind(addr)
}

/// `listen(2)`.
///
/// # Errors
/// As `listen(2)`.
pub(crate) fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    SockRef::from(&borrowed(fd)?).listen(backlog)
}

/// `getsockname(2)`.
///
/// # Errors
/// As `getsockname(2)`.
pub(crate) fn local_addr(fd: RawFd) -> io::Result<SockAddr> {
    SockRef::from(&borrowed(fd)?).local_addr()
}

/// `getpeername(2)`.
///
/// # Errors
/// As `getpeername(2)`.
pub(crate) fn peer_addr(fd: RawFd) -> io::Result<SockAddr> {
    SockRef::from(&borrowed(fd)?).peer_addr()
}

/// `shutdown(2)`.
///
/// # Errors
/// As `shutdown(2)`.
pub(crate) fn shutdown(fd: RawFd, how: Shutdown) -> io::Result<()> {
    SockRef::from(&borrowed(fd)?).shutdown(how)
}

/// Whether it is a Unix socket.
pub(crate) fn is_local(fd: RawFd) -> bool {
    borrowed(fd).is_ok_and(|fd| SockRef::from(&fd).domain().is_ok_and(|d| d == Domain::UNIX))
}

/// `close(2)`. The descriptor is gone even if the call was interrupted.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: the engine owns `fd` and gives it up.
    unsafe { libc::close(fd) };
}

/// `fd` for one call, unless it is negative and so names nothing.
fn borrowed<'a>(fd: RawFd) -> io::Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: not negative; the borrow ends with the system call it is made for, during
    // which the engine, which owns `fd`, does not close it.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// An `eventfd(2)` that ends a loop's wait. Non-blocking and close-on-exec.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// One that nobody has woken.
    ///
    /// # Errors
    /// As `eventfd(2)`: no descriptors left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
    }

    /// Takes all wakes; whether there were any.
    pub(crate) fn drain(&self) -> bool {
        rustix::io::retry_on_intr(|| rustix::io::read(&self.0, &mut [0; 8])).is_ok()
    }
}

impl Wake for EventFd {
    fn wake(&self) {
        // It fails only when 2^64 - 2 wakes wait to be taken: then a wake is pending.
        let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.0, &1u64.to_ne_bytes()));
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
