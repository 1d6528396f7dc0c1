//! The options of a socket in the world.

use std::os::fd::RawFd;
use std::time::Duration;

use super::super::{SocketOption, Stamp};
use super::groups::{self, Change, Memberships};
use super::names::{Name, Transport};
use super::world::{Body, Family, World};

/// The options of a socket that have a meaning in the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    pub(super) send_buffer: usize,
    pub(super) receive_buffer: usize,
    pub(super) linger: Option<Duration>,
    pub(super) broadcast: bool,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) only_v6: bool,
    /// Takes also what others on the host have joined, of IPv4 and of IPv6.
    pub(super) all_groups: [bool; 2],
    /// By which interface datagrams to groups leave; 0: any.
    pub(super) multicast_interface: u32,
    /// The host gets what is sent to groups.
    pub(super) multicast_loop: bool,
    /// What datagrams to groups have left when they leave.
    pub(super) multicast_hops: u8,
    pub(super) packet_info: bool,
    pub(super) hop_count: bool,
    pub(super) arrival_time: Option<Stamp>,
    pub(super) drop_count: bool,
}

impl Options {
    /// Those of a new socket of `family`.
    pub(super) fn new([send_buffer, receive_buffer]: [usize; 2], family: Family) -> Self {
        Self {
            send_buffer,
            receive_buffer,
            linger: None,
            broadcast: false,
            reuse_address: false,
            reuse_port: false,
            only_v6: false,
            // A new socket of IPv6 is not told to for IPv4.
            all_groups: [family == Family::V4, true],
            multicast_interface: 0,
            multicast_loop: true,
            multicast_hops: 1,
            packet_info: false,
            hop_count: false,
            arrival_time: None,
            drop_count: false,
        }
    }
}

impl World {
    /// The options of `fd`.
    pub(super) fn options_of(&self, fd: RawFd) -> Result<&Options, i32> {
        Ok(&self.socket_of(fd)?.1.options)
    }

    /// How many datagrams `fd` has dropped.
    pub(super) fn dropped(&self, fd: RawFd) -> Result<u32, i32> {
        match &self.socket_of(fd)?.1.body {
            Body::Datagram(inbox) => Ok(inbox.dropped()),
            _ => Ok(0),
        }
    }

    /// Sets an option of `fd`. What has no meaning in the world is just taken.
    pub(super) fn set_option(&mut self, fd: RawFd, option: SocketOption) -> Result<(), i32> {
        let id = self.find(fd)?;
        let interfaces = self.interfaces;
        let socket = self.sockets.get_mut(&id).ok_or(libc::EBADF)?;
        let datagram = matches!(socket.body, Body::Datagram(_));
        let options = &mut socket.options;
        match option {
            SocketOption::NoDelay(_) | SocketOption::KeepAlive(Some(_)) if datagram => {
                return Err(libc::ENOPROTOOPT);
            }
            SocketOption::ReceiveOffload(_) if !datagram => return Err(libc::ENOPROTOOPT),
            SocketOption::OnlyV6(_) if socket.family != Family::V6 => {
                return Err(libc::ENOPROTOOPT);
            }
            SocketOption::OnlyV6(_) if socket.name.is_some() => return Err(libc::EINVAL),
            SocketOption::OnlyV6(on) => options.only_v6 = on,
            SocketOption::ReuseAddress(on) => {
                options.reuse_address = on;
                // Who is bound already may become willing to share, or no longer.
                if let Some(Name::Inet(own)) = &socket.name {
                    let kind = if datagram { Transport::Udp } else { Transport::Tcp };
                    self.names.share(kind, own.port(), id, on);
                }
            }
            SocketOption::ReusePort(on) => options.reuse_port = on,
            SocketOption::Linger(time) => options.linger = time,
            SocketOption::ReceiveBuffer(bytes) => options.receive_buffer = bytes.max(1),
            SocketOption::SendBuffer(bytes) => options.send_buffer = bytes.max(1),
            SocketOption::Broadcast(on) => options.broadcast = on,
            SocketOption::ArrivalTime(stamp) => options.arrival_time = stamp,
            SocketOption::DropCount(on) => options.drop_count = on,
            SocketOption::NoDelay(_)
            | SocketOption::KeepAlive(_)
            | SocketOption::ReceiveOffload(_)
            | SocketOption::Priority(_) => {}
            _ if socket.family == Family::Unix => return Err(libc::EOPNOTSUPP),
            SocketOption::AllGroups(on) if options.only_v6 => options.all_groups[1] = on,
            SocketOption::AllGroups(on) => options.all_groups = [on, on],
            SocketOption::MulticastInterface(index) => {
                let errno =
                    if socket.family == Family::V4 { libc::EADDRNOTAVAIL } else { libc::ENODEV };
                groups::resolve(index, interfaces).ok_or(errno)?;
                options.multicast_interface = index;
            }
            SocketOption::MulticastLoop(on) => options.multicast_loop = on,
            SocketOption::PacketInfo(on) => options.packet_info = on,
            SocketOption::HopCount(on) => options.hop_count = on,
            SocketOption::MulticastHops(hops) => options.multicast_hops = hops,
            SocketOption::TrafficClass(_) => {}
            SocketOption::JoinGroup { group, .. }
            | SocketOption::LeaveGroup { group, .. }
            | SocketOption::JoinSource { group, .. }
            | SocketOption::LeaveSource { group, .. }
            | SocketOption::BlockSource { group, .. }
            | SocketOption::UnblockSource { group, .. } => {
                if socket.family == Family::V4 && group.is_ipv6() {
                    return Err(libc::ENOPROTOOPT);
                }
                if let Body::Datagram(inbox) = &mut socket.body {
                    change_groups(&mut inbox.groups, option, interfaces)?;
                }
            }
        }
        Ok(())
    }
}

/// Joins or leaves, if that is what `option` asks for.
fn change_groups(
    groups: &mut Memberships,
    option: SocketOption,
    interfaces: u32,
) -> Result<(), i32> {
    match option {
        SocketOption::JoinGroup { group, interface } => groups.join(group, interface, interfaces),
        SocketOption::LeaveGroup { group, interface } => groups.leave(group, interface),
        SocketOption::JoinSource { group, source, interface } => {
            groups.change(Change::Join, (group, source), interface, interfaces)
        }
        SocketOption::LeaveSource { group, source, interface } => {
            groups.change(Change::Leave, (group, source), interface, interfaces)
        }
        SocketOption::BlockSource { group, source, interface } => {
            groups.change(Change::Block, (group, source), interface, interfaces)
        }
        SocketOption::UnblockSource { group, source, interface } => {
            groups.change(Change::Unblock, (group, source), interface, interfaces)
        }
        _ => Ok(()),
    }
}
