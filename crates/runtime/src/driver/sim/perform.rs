//! Operations carried out: between the world and the memory that they name.

use std::os::fd::RawFd;

use super::super::{Attempt, Completion, Interest, Op, Token};
use super::driver::SimDriver;
use super::names::Name;
use super::world::Family;
use super::{Stop, ancillary, memory};

/// Most datagrams into which one message may be cut, as on Linux.
const MOST_SEGMENTS: usize = 128;

impl SimDriver {
    /// Does `op` if it can be done now.
    ///
    /// # Safety
    /// The memory that `op` names is valid for the call.
    pub(super) unsafe fn perform(&mut self, op: &Op) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        unsafe {
            match *op {
                Op::Recv { fd, buf, len } | Op::Read { fd, buf, len } => {
                    let received = self.world.receive(fd, len)?;
                    memory::write(buf, &received.bytes);
                    Ok(received.bytes.len() as i32)
                }
                Op::Readv { fd, iov, count } => {
                    let received = self.world.receive(fd, memory::capacity(iov, count))?;
                    memory::scatter(iov, count, &received.bytes);
                    Ok(received.bytes.len() as i32)
                }
                Op::RecvMsg { fd, msg } => self.receive_message(fd, msg),
                Op::Send { fd, buf, len } | Op::Write { fd, buf, len } => {
                    self.send(fd, memory::read(buf, len), None)
                }
                Op::Writev { fd, iov, count } => self.send(fd, &memory::gather(iov, count), None),
                Op::SendMsg { fd, msg } => self.send_message(fd, msg),
                Op::Accept { fd } => self.world.accept(fd),
                Op::Connect { fd, addr } => {
                    let to = Name::of(&*addr).ok_or(libc::EAFNOSUPPORT)?;
                    self.world.connect(fd, to).map(|()| 0)
                }
                Op::Poll { fd, interest } | Op::PollMulti { fd, interest } => {
                    self.ready(fd, interest)
                }
                _ => Err(Stop::WouldBlock),
            }
        }
    }

    fn ready(&self, fd: RawFd, interest: Interest) -> Result<i32, Stop> {
        let told = interest.poll_bits() | libc::POLLERR | libc::POLLHUP;
        match self.world.readiness(fd)? & told {
            0 => Err(Stop::WouldBlock),
            bits => Ok(i32::from(bits)),
        }
    }

    fn send(&mut self, fd: RawFd, bytes: &[u8], to: Option<Name>) -> Result<i32, Stop> {
        // No more at a time than the kernel moves.
        let bytes = &bytes[..bytes.len().min(i32::MAX as usize)];
        self.world.send(fd, bytes, to).map(|count| count as i32)
    }

    /// # Safety
    /// The header and what it names are valid for the call.
    pub(super) unsafe fn receive_message(
        &mut self,
        fd: RawFd,
        msg: *mut libc::msghdr,
    ) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        let room = unsafe { memory::capacity((*msg).msg_iov, (*msg).msg_iovlen) };
        let received = self.world.receive(fd, room)?;
        let socket = self.world.socket_of(fd)?.1;
        let v6 = socket.family == Family::V6;
        let told = |arrived| ancillary::messages(&socket.options, v6, arrived);
        let messages = received.arrived.as_ref().map(told).unwrap_or_default();
        // SAFETY: as the caller promises; no more came than there is room for.
        unsafe { memory::fill(msg, &received, &messages, v6) };
        Ok(received.bytes.len() as i32)
    }

    /// # Safety
    /// The header and what it names are valid for the call.
    pub(super) unsafe fn send_message(
        &mut self,
        fd: RawFd,
        msg: *const libc::msghdr,
    ) -> Result<i32, Stop> {
        // SAFETY: as the caller promises.
        let (to, bytes, size) = unsafe {
            let bytes = memory::gather((*msg).msg_iov, (*msg).msg_iovlen);
            (memory::destination(msg)?, bytes, memory::segment_size(msg))
        };
        match size {
            Some(size) if bytes.len() > size => self.send_segments(fd, &bytes, size, to),
            _ => self.send(fd, &bytes, to),
        }
    }

    /// Sends `bytes` as datagrams of `size`. Those for which there is no room after the
    /// first are lost, as datagrams may be.
    fn send_segments(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        size: usize,
        to: Option<Name>,
    ) -> Result<i32, Stop> {
        let mut segments = bytes.chunks(size);
        if segments.len() > MOST_SEGMENTS {
            return Err(Stop::Errno(libc::EINVAL));
        }
        if let Some(first) = segments.next() {
            self.send(fd, first, to.clone())?;
        }
        for segment in segments {
            if self.send(fd, segment, to.clone()).is_err() {
                break;
            }
        }
        Ok(bytes.len() as i32)
    }

    /// Does for each of `messages` what `one` does, until one cannot be done.
    pub(super) fn many(
        &mut self,
        (fd, interest): (RawFd, Interest),
        messages: &mut [libc::mmsghdr],
        mut one: impl FnMut(&mut Self, &mut libc::msghdr) -> Result<i32, Stop>,
    ) -> Attempt {
        if self.hides(fd, interest) {
            return Attempt::WouldBlock;
        }
        let mut count = 0;
        for message in messages {
            match one(self, &mut message.msg_hdr) {
                Ok(len) => message.msg_len = len as u32,
                Err(stop) if count == 0 => return outcome(Err(stop)),
                Err(Stop::Errno(errno)) => {
                    self.world.tell_later(fd, errno);
                    break;
                }
                Err(Stop::WouldBlock) => break,
            }
            count += 1;
        }
        self.world.note("many", fd as u64, count.into());
        Attempt::Done(count)
    }

    /// Whether a fault hides that something can be done on `fd`.
    pub(super) fn hides(&mut self, fd: RawFd, interest: Interest) -> bool {
        let hides = self.world.chance(|faults| faults.would_block);
        if hides {
            self.world.touch_soon(fd, interest);
        }
        hides
    }

    /// Receives into a pool buffer, which is taken only for bytes that are there. Whether
    /// something came and more is wanted.
    pub(super) fn receive_into_pool(&mut self, token: Token, fd: RawFd, multi: bool) -> bool {
        let some = self.world.readiness(fd).is_ok_and(|bits| bits & libc::POLLIN != 0);
        let lacking = some && self.world.chance(|faults| faults.no_buffer);
        let buffer = if lacking { None } else { self.free.take() };
        let Some(buffer) = buffer else {
            let result = self.receive_without_buffer(fd);
            self.finish(token, result, false);
            return false;
        };
        let received = self.world.receive(fd, self.pool.size());
        match received {
            Ok(received) if received.source.is_some() || !received.bytes.is_empty() => {
                let result = received.bytes.len() as i32;
                // SAFETY: no more than the buffer holds; the buffer is the driver's.
                unsafe { memory::write(self.pool.ptr(buffer), &received.bytes) };
                let more = multi && result > 0;
                self.complete(Completion { token, result, buffer: Some(buffer), more });
                more
            }
            other => {
                self.free.give(buffer);
                self.finish(token, other.map(|_| 0), false);
                false
            }
        }
    }

    /// What a pool receive comes to without a buffer: an end or an error needs none.
    fn receive_without_buffer(&mut self, fd: RawFd) -> Result<i32, Stop> {
        if self.world.has_bytes(fd) {
            return Err(Stop::Errno(libc::ENOBUFS));
        }
        self.world.receive(fd, 0).map(|_| 0)
    }
}

/// As an attempt tells it.
pub(super) fn outcome(result: Result<i32, Stop>) -> Attempt {
    match result {
        Ok(count) => Attempt::Done(count),
        Err(Stop::Errno(errno)) => Attempt::Done(-errno),
        Err(Stop::WouldBlock) => Attempt::WouldBlock,
    }
}
