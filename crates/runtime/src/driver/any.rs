//! One of the drivers, chosen at start: static dispatch, no virtual call on the hot path.

use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::sync::Arc;

use socket2::{Domain, Protocol, SockAddr, Type};

use super::readiness::ReadinessDriver;
use super::sim::SimDriver;
use super::uring::UringDriver;
use super::{Attempt, BufferId, Completion, Driver, Full, Op, SocketOption, Token, Wait, Wake};
use crate::time::Instant;

/// The driver in use.
#[expect(clippy::large_enum_variant, reason = "one a runtime, and never moved")]
pub(crate) enum AnyDriver {
    Uring(UringDriver),
    Readiness(ReadinessDriver),
    Sim(SimDriver),
}

macro_rules! each {
    ($self:expr, $driver:ident => $body:expr) => {
        match $self {
            AnyDriver::Uring($driver) => $body,
            AnyDriver::Readiness($driver) => $body,
            AnyDriver::Sim($driver) => $body,
        }
    };
}

impl Driver for AnyDriver {
    fn name(&self) -> &'static str {
        each!(self, driver => driver.name())
    }

    fn virtual_now(&self) -> Option<Instant> {
        each!(self, driver => driver.virtual_now())
    }

    fn files(&self) -> bool {
        each!(self, driver => driver.files())
    }

    #[inline]
    unsafe fn attempt(&mut self, op: &Op) -> Attempt {
        // SAFETY: the caller's promise, passed on.
        each!(self, driver => unsafe { driver.attempt(op) })
    }

    unsafe fn receive_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: the caller's promise, passed on.
        each!(self, driver => unsafe { driver.receive_many(fd, messages) })
    }

    unsafe fn send_many(&mut self, fd: RawFd, messages: &mut [libc::mmsghdr]) -> Attempt {
        // SAFETY: the caller's promise, passed on.
        each!(self, driver => unsafe { driver.send_many(fd, messages) })
    }

    unsafe fn submit(&mut self, token: Token, op: &Op) -> Result<(), Full> {
        // SAFETY: the caller's promise, passed on.
        each!(self, driver => unsafe { driver.submit(token, op) })
    }

    fn cancel(&mut self, token: Token) {
        each!(self, driver => driver.cancel(token));
    }

    #[inline]
    fn sees_memory(&self) -> bool {
        each!(self, driver => driver.sees_memory())
    }

    #[inline]
    fn has_work(&self) -> bool {
        each!(self, driver => driver.has_work())
    }

    fn poll(&mut self, wait: Wait, limit: usize, out: &mut Vec<Completion>) -> io::Result<bool> {
        each!(self, driver => driver.poll(wait, limit, out))
    }

    fn buffer(&self, id: BufferId) -> *mut u8 {
        each!(self, driver => driver.buffer(id))
    }

    fn recycle(&mut self, id: BufferId) {
        each!(self, driver => driver.recycle(id));
    }

    fn waker(&self) -> Arc<dyn Wake> {
        each!(self, driver => driver.waker())
    }

    fn socket(
        &mut self,
        domain: Domain,
        kind: Type,
        protocol: Option<Protocol>,
    ) -> io::Result<RawFd> {
        each!(self, driver => driver.socket(domain, kind, protocol))
    }

    fn bind(&mut self, fd: RawFd, addr: &SockAddr) -> io::Result<()> {
        each!(self, driver => driver.bind(fd, addr))
    }

    fn listen(&mut self, fd: RawFd, backlog: i32) -> io::Result<()> {
        each!(self, driver => driver.listen(fd, backlog))
    }

    fn local_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        each!(self, driver => driver.local_addr(fd))
    }

    fn peer_addr(&self, fd: RawFd) -> io::Result<SockAddr> {
        each!(self, driver => driver.peer_addr(fd))
    }

    fn set_option(&mut self, fd: RawFd, option: SocketOption) -> io::Result<()> {
        each!(self, driver => driver.set_option(fd, option))
    }

    fn receive_buffer(&self, fd: RawFd) -> io::Result<usize> {
        each!(self, driver => driver.receive_buffer(fd))
    }

    fn send_buffer(&self, fd: RawFd) -> io::Result<usize> {
        each!(self, driver => driver.send_buffer(fd))
    }

    fn dropped(&self, fd: RawFd) -> io::Result<u32> {
        each!(self, driver => driver.dropped(fd))
    }

    fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> io::Result<()> {
        each!(self, driver => driver.shutdown(fd, how))
    }

    fn close(&mut self, fd: RawFd) {
        each!(self, driver => driver.close(fd));
    }
}
