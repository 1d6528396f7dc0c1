//! Sockets of groups on the loopback device, and who fills their queues.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicU16, Ordering},
};

use socket2::{Domain, SockRef, Socket, Type};

use super::SOCKET_BUFFER;
use crate::harness::sys::socklen;

/// Most datagrams in a queue.
const MOST: usize = 4_096;
/// What a datagram of at most 1,200 bytes costs of a receive buffer, at most.
const COST: usize = 3_072;

/// Groups at a port that no other slice has: what a slow end has left joined gets nothing.
pub(crate) fn fresh_groups(count: usize) -> Vec<SocketAddrV4> {
    static PORT: AtomicU16 = AtomicU16::new(0);
    let port = 20_000 + PORT.fetch_add(1, Ordering::Relaxed) % 10_000;
    let group = |at| SocketAddrV4::new(Ipv4Addr::new(239, 255, 77, at as u8 + 1), port);
    (0..count).map(group).collect()
}

/// A socket that has joined a group and that gets nothing else; it does not block.
pub(crate) fn joined(group: SocketAddrV4, details: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&group.into())?;
    socket.set_multicast_all_v4(false)?;
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST)?;
    if details {
        for (level, name) in [
            (libc::IPPROTO_IP, libc::IP_PKTINFO),
            (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL),
        ] {
            switch_on(&socket, level, name)?;
        }
    }
    Ok(socket.into())
}

fn switch_on(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option value is a live `c_int` of the length given.
    let result = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, value, socklen::<libc::c_int>())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends as much as the receivers' queues hold.
pub(super) struct Filler {
    socket: UdpSocket,
    groups: Vec<SocketAddrV4>,
    size: usize,
    each: usize,
}

/// What was sent.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) packets: u64,
    /// Of the numbers that the datagrams begin with.
    pub(super) sum: u64,
}

impl Filler {
    /// For datagrams of `size` bytes to `groups`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn new(groups: &[SocketAddrV4], size: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let options = SockRef::from(&socket);
        options.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
        options.set_recv_buffer_size(SOCKET_BUFFER)?;
        let room = options.recv_buffer_size()? / COST;
        let each = (room / 2).clamp(1, MOST / groups.len());
        Ok(Self { socket, groups: groups.to_vec(), size, each })
    }

    /// Fills the queues, group after group in turn.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn fill(&self) -> io::Result<Sent> {
        let mut bytes = vec![7; self.size];
        let mut sent = Sent { packets: 0, sum: 0 };
        for _ in 0..self.each {
            for group in &self.groups {
                sent.packets += 1;
                sent.sum += sent.packets;
                bytes[..8].copy_from_slice(&sent.packets.to_le_bytes());
                self.socket.send_to(&bytes, group)?;
            }
        }
        Ok(sent)
    }

    /// Sends a datagram that begins with a number to the first group.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn send_number(&self, number: u64) -> io::Result<()> {
        let mut bytes = [7; 64];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        self.socket.send_to(&bytes, self.groups[0]).map(drop)
    }

    /// Lets each socket have a datagram, so that nobody sleeps who is to end.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn wake(&self) -> io::Result<()> {
        self.groups.iter().try_for_each(|group| self.socket.send_to(&[0; 8], group).map(drop))
    }
}
