//! Through the kernel: Unix datagrams and pipes, tried without waiting, or with a reader that
//! sleeps in its call.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::{Errno, read, write},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
        sockopt,
    },
    pipe::{PipeFlags, fcntl_setpipe_size, pipe_with},
};

use super::way::{Pass, Way};
use crate::bus::ends::{Give, Message, Take};

/// Bytes that a socket or a pipe may hold, as far as the system lets it.
const BUFFER: usize = 1 << 20;

/// Datagrams between a pair of Unix sockets.
pub(super) struct Datagrams<const SLEEPS: bool>;

/// A socket, and a message that goes or comes.
pub(super) struct Socket<M> {
    socket: OwnedFd,
    message: Box<M>,
}

impl<M: Message> Socket<M> {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, message: Box::new(M::of(0)) }
    }
}

impl<M: Message> Give<M> for Socket<M> {
    fn give(&mut self, message: M) -> bool {
        send(&self.socket, message.bytes(), SendFlags::empty()).is_ok()
    }
}

impl<M: Message> Take<M> for Socket<M> {
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let received = recv(&self.socket, self.message.bytes_mut(), RecvFlags::empty());
        let whole = received.is_ok_and(|(_, count)| count == size_of::<M>());
        if whole {
            each(&self.message);
        }
        whole
    }
}

fn sockets<M: Message>(socket: OwnedFd) -> io::Result<(Socket<M>, Socket<M>)> {
    Ok((Socket::new(socket.try_clone()?), Socket::new(socket)))
}

impl<M: Message, const SLEEPS: bool> Way<M> for Datagrams<SLEEPS> {
    type Giver = Socket<M>;
    type Taker = Socket<M>;

    fn first() -> io::Result<(Socket<M>, Socket<M>, Pass)> {
        let flags = if SLEEPS { SocketFlags::empty() } else { SocketFlags::NONBLOCK };
        let (own, others) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        for socket in [&own, &others] {
            // More than the system's limit is cut.
            sockopt::set_socket_send_buffer_size(socket, BUFFER)?;
        }
        let (giver, taker) = sockets(own)?;
        Ok((giver, taker, Pass::of(vec![others])))
    }

    fn second(pass: &Pass) -> io::Result<(Socket<M>, Socket<M>)> {
        let [own] = pass.descriptors()?;
        sockets(own)
    }
}

/// A pipe each way.
pub(super) struct Pipes<const SLEEPS: bool>;

/// A pipe's end, and a message that has gone or come so far.
pub(super) struct Pipe<M> {
    pipe: OwnedFd,
    message: Box<M>,
    done: usize,
}

impl<M: Message> Pipe<M> {
    fn new(pipe: OwnedFd) -> Self {
        Self { pipe, message: Box::new(M::of(0)), done: 0 }
    }

    /// Goes on with the message; says whether it is whole.
    fn go_on(&mut self, call: impl Fn(&OwnedFd, &mut [u8]) -> Result<usize, Errno>) -> bool {
        while self.done < size_of::<M>() {
            match call(&self.pipe, &mut self.message.bytes_mut()[self.done..]) {
                Ok(count) if count > 0 => self.done += count,
                _ => return false,
            }
        }
        self.done = 0;
        true
    }
}

impl<M: Message> Give<M> for Pipe<M> {
    /// To be called again with the same message until it has gone.
    fn give(&mut self, message: M) -> bool {
        if self.done == 0 {
            *self.message = message;
        }
        self.go_on(|pipe, bytes| write(pipe, bytes))
    }
}

impl<M: Message> Take<M> for Pipe<M> {
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let whole = self.go_on(|pipe, bytes| read(pipe, bytes));
        if whole {
            each(&self.message);
        }
        whole
    }
}

impl<M: Message, const SLEEPS: bool> Way<M> for Pipes<SLEEPS> {
    type Giver = Pipe<M>;
    type Taker = Pipe<M>;

    fn first() -> io::Result<(Pipe<M>, Pipe<M>, Pass)> {
        let flags = if SLEEPS { PipeFlags::empty() } else { PipeFlags::NONBLOCK };
        let (their_in, out) = pipe_with(flags)?;
        let (into, their_out) = pipe_with(flags)?;
        for pipe in [&out, &their_out] {
            // Where the system grants no more, messages go in parts.
            _ = fcntl_setpipe_size(pipe, BUFFER);
        }
        Ok((Pipe::new(out), Pipe::new(into), Pass::of(vec![their_out, their_in])))
    }

    fn second(pass: &Pass) -> io::Result<(Pipe<M>, Pipe<M>)> {
        let [out, into] = pass.descriptors()?;
        Ok((Pipe::new(out), Pipe::new(into)))
    }
}
