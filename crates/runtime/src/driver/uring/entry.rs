//! Operations as submission queue entries.

use io_uring::opcode::{
    Accept, AcceptMulti, AsyncCancel, AsyncCancel2, Connect, Fsync, OpenAt, PollAdd, Read, Readv,
    Recv, RecvMsg, Send, SendMsg, Write, Writev,
};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{CancelBuilder, Fd, FsyncFlags};
use std::os::fd::RawFd;
use std::ptr;

use super::ring::POOL_GROUP;
use crate::driver::{Interest, Op, Token};

/// Slots from here up name the driver's own entries, never an operation.
const OWN_SLOTS: u32 = u32::MAX - 16;

/// The multishot poll that hears the wake-up.
pub(super) const WAKE: Token = Token::new(u32::MAX - 1, 0);

/// Every cancel. Successful ones complete in silence.
const CANCEL: Token = Token::new(u32::MAX - 2, 0);

/// At the current position, as `read(2)` does, where a file has one.
const CURRENT_POSITION: u64 = u64::MAX;

/// `IORING_RECVSEND_POLL_FIRST`: the kernel waits before it tries. An armed receive was
/// attempted just before; and one that takes from the pool would otherwise claim a buffer
/// to try with, and end for want of one though nothing has come.
const POLL_FIRST: u16 = 1;

/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;

/// How accepted sockets are made.
const ACCEPT_FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

/// Whether `token` names an entry of the driver's own.
pub(super) fn is_own(token: Token) -> bool {
    token.index() >= OWN_SLOTS
}

/// Whether what `op` results in is a descriptor that someone must close.
pub(super) fn yields_descriptor(op: &Op) -> bool {
    matches!(op, Op::Accept { .. } | Op::AcceptMulti { .. } | Op::Open { .. })
}

/// The entry that carries `op` under `token`.
pub(super) fn of(token: Token, op: &Op) -> Entry {
    build(op).user_data(token.as_u64())
}

/// The entry that asks the operation under `token` to end.
pub(super) fn cancel(token: Token) -> Entry {
    let entry = AsyncCancel::new(token.as_u64()).build();
    entry.flags(Flags::SKIP_SUCCESS).user_data(CANCEL.as_u64())
}

/// The entry that asks everything to end.
pub(super) fn cancel_everything() -> Entry {
    let entry = AsyncCancel2::new(CancelBuilder::any().all()).build();
    entry.user_data(CANCEL.as_u64())
}

/// The entry that hears every write to the wake-up descriptor.
pub(super) fn hear_wake(fd: RawFd) -> Entry {
    poll(fd, Interest::Read, true).user_data(WAKE.as_u64())
}

fn build(op: &Op) -> Entry {
    match *op {
        Op::Recv { .. }
        | Op::RecvPool { .. }
        | Op::RecvMulti { .. }
        | Op::Send { .. }
        | Op::RecvMsg { .. }
        | Op::SendMsg { .. } => transfer(op),
        Op::Accept { fd } => {
            let anybody = (ptr::null_mut(), ptr::null_mut());
            Accept::new(Fd(fd), anybody.0, anybody.1).flags(ACCEPT_FLAGS).build()
        }
        Op::AcceptMulti { fd } => AcceptMulti::new(Fd(fd)).flags(ACCEPT_FLAGS).build(),
        Op::Connect { fd, addr } => {
            // SAFETY: `Driver::submit` has the caller keep the address valid.
            let (addr, len) = unsafe { ((*addr).as_ptr(), (*addr).len()) };
            Connect::new(Fd(fd), addr.cast(), len).build()
        }
        Op::Poll { fd, interest } => poll(fd, interest, false),
        Op::PollMulti { fd, interest } => poll(fd, interest, true),
        _ => file(op),
    }
}

/// Operations on sockets that move bytes.
fn transfer(op: &Op) -> Entry {
    match *op {
        Op::Recv { fd, buf, len } => Recv::new(Fd(fd), buf, length(len)).ioprio(POLL_FIRST).build(),
        Op::RecvPool { fd } => receive_from_pool(fd, POLL_FIRST),
        Op::RecvMulti { fd } => receive_from_pool(fd, POLL_FIRST | MULTISHOT),
        Op::Send { fd, buf, len } => {
            Send::new(Fd(fd), buf, length(len)).flags(libc::MSG_NOSIGNAL).build()
        }
        Op::RecvMsg { fd, msg } => {
            RecvMsg::new(Fd(fd), msg).flags(libc::MSG_CMSG_CLOEXEC as u32).build()
        }
        Op::SendMsg { fd, msg } => {
            SendMsg::new(Fd(fd), msg).flags(libc::MSG_NOSIGNAL as u32).build()
        }
        _ => unreachable!("{op:?} moves no bytes on a socket"),
    }
}

fn receive_from_pool(fd: RawFd, how: u16) -> Entry {
    let receive = Recv::new(Fd(fd), ptr::null_mut(), 0).buf_group(POOL_GROUP).ioprio(how);
    receive.build().flags(Flags::BUFFER_SELECT)
}

/// Operations on files, pipes and the like.
fn file(op: &Op) -> Entry {
    match *op {
        Op::Read { fd, buf, len } => read_at(fd, buf, len, CURRENT_POSITION),
        Op::Write { fd, buf, len } => write_at(fd, buf, len, CURRENT_POSITION),
        Op::ReadAt { fd, buf, len, offset } => read_at(fd, buf, len, offset),
        Op::WriteAt { fd, buf, len, offset } => write_at(fd, buf, len, offset),
        Op::Readv { fd, iov, count } => {
            Readv::new(Fd(fd), iov, length(count)).offset(CURRENT_POSITION).build()
        }
        Op::Writev { fd, iov, count } => {
            Writev::new(Fd(fd), iov, length(count)).offset(CURRENT_POSITION).build()
        }
        Op::Fsync { fd, data_only } => {
            let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            Fsync::new(Fd(fd)).flags(flags).build()
        }
        Op::Open { path, flags, mode } => {
            OpenAt::new(Fd(libc::AT_FDCWD), path).flags(flags | libc::O_CLOEXEC).mode(mode).build()
        }
        _ => unreachable!("{op:?} is no operation on a file"),
    }
}

fn read_at(fd: RawFd, buf: *mut u8, len: usize, offset: u64) -> Entry {
    Read::new(Fd(fd), buf, length(len)).offset(offset).build()
}

fn write_at(fd: RawFd, buf: *const u8, len: usize, offset: u64) -> Entry {
    Write::new(Fd(fd), buf, length(len)).offset(offset).build()
}

/// A poll; the kernel makes it edge-triggered by itself when it is multishot.
fn poll(fd: RawFd, interest: Interest, multi: bool) -> Entry {
    // Poll bits are the low sixteen of what the kernel takes.
    let bits = u32::from(interest.poll_bits() as u16);
    PollAdd::new(Fd(fd), bits).multi(multi).build()
}

/// A length as an entry carries it. The kernel moves at most [`MOST`] bytes at a time in
/// any case, so a short result is nothing new to the caller.
fn length(len: usize) -> u32 {
    len.min(MOST) as u32
}

/// What one call moves at most (`MAX_RW_COUNT`).
const MOST: usize = 0x7fff_f000;
