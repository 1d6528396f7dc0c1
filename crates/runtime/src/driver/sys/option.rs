//! Options of a socket, as the kernel takes them.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, TcpKeepalive};

use super::super::{KeepAlive, SocketOption, Stamp};
use super::borrowed;

/// `setsockopt(2)`.
///
/// # Errors
/// As `setsockopt(2)`.
pub(crate) fn set_option(fd: RawFd, option: SocketOption) -> io::Result<()> {
    let fd = borrowed(fd)?;
    let socket = SockRef::from(&fd);
    match option {
        SocketOption::NoDelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::KeepAlive(None) => socket.set_keepalive(false),
        SocketOption::KeepAlive(Some(probes)) => socket.set_tcp_keepalive(&keepalive(probes)),
        SocketOption::ReuseAddress(on) => socket.set_reuse_address(on),
        SocketOption::ReusePort(on) => socket.set_reuse_port(on),
        SocketOption::OnlyV6(on) => socket.set_only_v6(on),
        SocketOption::Linger(time) => socket.set_linger(time),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes),
        SocketOption::Broadcast(on) => socket.set_broadcast(on),
        SocketOption::ReceiveOffload(on) => set_int(fd, (libc::SOL_UDP, libc::UDP_GRO), on.into()),
        SocketOption::Priority(queue) => {
            set_int(fd, (libc::SOL_SOCKET, libc::SO_PRIORITY), queue.min(i32::MAX as u32) as i32)
        }
        SocketOption::ArrivalTime(stamp) => set_arrival_time(fd, stamp),
        SocketOption::DropCount(on) => {
            set_int(fd, (libc::SOL_SOCKET, libc::SO_RXQ_OVFL), on.into())
        }
        SocketOption::JoinGroup { group, interface } => {
            set_group(fd, libc::MCAST_JOIN_GROUP, group, interface)
        }
        SocketOption::LeaveGroup { group, interface } => {
            set_group(fd, libc::MCAST_LEAVE_GROUP, group, interface)
        }
        SocketOption::JoinSource { group, source, interface } => {
            set_source(fd, libc::MCAST_JOIN_SOURCE_GROUP, (group, source), interface)
        }
        SocketOption::LeaveSource { group, source, interface } => {
            set_source(fd, libc::MCAST_LEAVE_SOURCE_GROUP, (group, source), interface)
        }
        SocketOption::BlockSource { group, source, interface } => {
            set_source(fd, libc::MCAST_BLOCK_SOURCE, (group, source), interface)
        }
        SocketOption::UnblockSource { group, source, interface } => {
            set_source(fd, libc::MCAST_UNBLOCK_SOURCE, (group, source), interface)
        }
        SocketOption::AllGroups(on) => {
            set_each(fd, on.into(), libc::IP_MULTICAST_ALL, libc::IPV6_MULTICAST_ALL)
        }
        SocketOption::MulticastInterface(index) => set_interface(fd, index),
        SocketOption::MulticastLoop(on) => {
            set_each(fd, on.into(), libc::IP_MULTICAST_LOOP, libc::IPV6_MULTICAST_LOOP)
        }
        SocketOption::MulticastHops(hops) => {
            set_each(fd, hops.into(), libc::IP_MULTICAST_TTL, libc::IPV6_MULTICAST_HOPS)
        }
        SocketOption::TrafficClass(class) => {
            set_each(fd, class.into(), libc::IP_TOS, libc::IPV6_TCLASS)
        }
        SocketOption::PacketInfo(on) => {
            set_each(fd, on.into(), libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO)
        }
        SocketOption::HopCount(on) => {
            set_each(fd, on.into(), libc::IP_RECVTTL, libc::IPV6_RECVHOPLIMIT)
        }
    }
}

/// How many bytes a socket may hold that were received, as the kernel counts: with what it
/// needs for itself.
///
/// # Errors
/// As `getsockopt(2)`.
pub(crate) fn receive_buffer(fd: RawFd) -> io::Result<usize> {
    SockRef::from(&borrowed(fd)?).recv_buffer_size()
}

/// How many bytes a socket may hold that are to be sent, as the kernel counts.
///
/// # Errors
/// As `getsockopt(2)`.
pub(crate) fn send_buffer(fd: RawFd) -> io::Result<usize> {
    SockRef::from(&borrowed(fd)?).send_buffer_size()
}

/// How many datagrams a socket has dropped since it was made, for want of room above all.
///
/// # Errors
/// As `getsockopt(2)`; a kernel that does not tell.
pub(crate) fn dropped(fd: RawFd) -> io::Result<u32> {
    let fd = borrowed(fd)?;
    let mut info = [0u32; libc::SK_MEMINFO_DROPS as usize + 1];
    let mut len = size_of_val(&info) as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_MEMINFO);
    // SAFETY: `info` has room for `len` bytes, and any are valid for it.
    let done = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, info.as_mut_ptr().cast(), &raw mut len)
    };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    if (len as usize) < size_of_val(&info) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info[libc::SK_MEMINFO_DROPS as usize])
}

/// Times below a second count as one: the kernel takes whole seconds, and not 0.
fn keepalive(probes: KeepAlive) -> TcpKeepalive {
    let second = Duration::from_secs(1);
    TcpKeepalive::new()
        .with_time(probes.idle.max(second))
        .with_interval(probes.interval.max(second))
        .with_retries(probes.count)
}

/// Both at once would be two messages with each datagram.
fn set_arrival_time(fd: BorrowedFd<'_>, stamp: Option<Stamp>) -> io::Result<()> {
    // The card's time if there is one, and the kernel's.
    let both = libc::SOF_TIMESTAMPING_RX_HARDWARE
        | libc::SOF_TIMESTAMPING_RAW_HARDWARE
        | libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE;
    let (kernel, hardware) = match stamp {
        None => (false, 0),
        Some(Stamp::Kernel) => (true, 0),
        Some(Stamp::Hardware) => (false, both),
    };
    set_int(fd, (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS), kernel.into())?;
    set_int(fd, (libc::SOL_SOCKET, libc::SO_TIMESTAMPING), hardware as i32)
}

fn set_group(fd: BorrowedFd<'_>, name: i32, group: IpAddr, interface: u32) -> io::Result<()> {
    let request = libc::group_req { gr_interface: interface, gr_group: storage(group) };
    // SAFETY: the options of groups take this structure.
    unsafe { set(fd, (level_of(group), name), &request) }
}

fn set_source(
    fd: BorrowedFd<'_>,
    name: i32,
    (group, source): (IpAddr, IpAddr),
    interface: u32,
) -> io::Result<()> {
    let request = libc::group_source_req {
        gsr_interface: interface,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    // SAFETY: the options of a group's sources take this structure.
    unsafe { set(fd, (level_of(group), name), &request) }
}

fn set_interface(fd: BorrowedFd<'_>, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    let (v4, v6) = families(fd)?;
    if v6 {
        set_int(fd, (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF), index)?;
    }
    if v4 {
        let nowhere = libc::in_addr { s_addr: 0 };
        let request =
            libc::ip_mreqn { imr_multiaddr: nowhere, imr_address: nowhere, imr_ifindex: index };
        // SAFETY: the option takes this structure.
        unsafe { set(fd, (libc::IPPROTO_IP, libc::IP_MULTICAST_IF), &request) }?;
    }
    Ok(())
}

/// Sets an option that each family has for itself, for those that the socket serves.
fn set_each(fd: BorrowedFd<'_>, value: i32, v4_name: i32, v6_name: i32) -> io::Result<()> {
    let (v4, v6) = families(fd)?;
    if v6 {
        set_int(fd, (libc::IPPROTO_IPV6, v6_name), value)?;
    }
    if v4 {
        set_int(fd, (libc::IPPROTO_IP, v4_name), value)?;
    }
    Ok(())
}

/// Whether a socket serves IPv4, and whether it serves IPv6.
fn families(fd: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    let socket = SockRef::from(&fd);
    match socket.domain()? {
        Domain::IPV4 => Ok((true, false)),
        Domain::IPV6 => Ok((!socket.only_v6()?, true)),
        _ => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}

const fn level_of(group: IpAddr) -> i32 {
    match group {
        IpAddr::V4(_) => libc::IPPROTO_IP,
        IpAddr::V6(_) => libc::IPPROTO_IPV6,
    }
}

/// An address without a port, as the options of groups take it.
fn storage(ip: IpAddr) -> libc::sockaddr_storage {
    let addr = SockAddr::from(SocketAddr::new(ip, 0));
    // SAFETY: zeroes are a valid storage; an address is plain data and no longer than it.
    unsafe {
        let mut storage: libc::sockaddr_storage = mem::zeroed();
        let place = (&raw mut storage).cast::<u8>();
        addr.as_ptr().cast::<u8>().copy_to_nonoverlapping(place, addr.len() as usize);
        storage
    }
}

fn set_int(fd: BorrowedFd<'_>, option: (i32, i32), value: i32) -> io::Result<()> {
    // SAFETY: the value of every option that is set by this is one int.
    unsafe { set(fd, option, &value) }
}

/// Sets the option `name` of `level`.
///
/// # Safety
/// The option's value is a `T`.
unsafe fn set<T>(fd: BorrowedFd<'_>, (level, name): (i32, i32), value: &T) -> io::Result<()> {
    let (value, len) = (ptr::from_ref(value), size_of::<T>() as libc::socklen_t);
    // SAFETY: `value` lives for the call, and the caller vouches for its type.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value.cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use socket2::{Socket, Type};

    use super::*;

    fn socket(domain: Domain, only_v6: bool) -> Socket {
        let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
        if domain == Domain::IPV6 {
            socket.set_only_v6(only_v6).unwrap();
        }
        socket
    }

    fn get(socket: &Socket, (level, name): (i32, i32)) -> i32 {
        let (mut value, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
        let fd = socket.as_raw_fd();
        // SAFETY: the values of the options that are asked for are ints.
        let result =
            unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len) };
        assert_eq!(result, 0, "option {name} of level {level}");
        value
    }

    /// What each family has for itself is set for those that the socket serves, and for no
    /// other.
    #[test]
    fn a_dual_socket_is_set_for_both_families() {
        let options = [
            (SocketOption::AllGroups(false), libc::IP_MULTICAST_ALL, libc::IPV6_MULTICAST_ALL, 0),
            (
                SocketOption::MulticastLoop(false),
                libc::IP_MULTICAST_LOOP,
                libc::IPV6_MULTICAST_LOOP,
                0,
            ),
            (SocketOption::MulticastHops(7), libc::IP_MULTICAST_TTL, libc::IPV6_MULTICAST_HOPS, 7),
            (SocketOption::TrafficClass(0xb8), libc::IP_TOS, libc::IPV6_TCLASS, 0xb8),
            (SocketOption::PacketInfo(true), libc::IP_PKTINFO, libc::IPV6_RECVPKTINFO, 1),
        ];
        let sockets = [
            (socket(Domain::IPV4, false), true, false),
            (socket(Domain::IPV6, true), false, true),
            (socket(Domain::IPV6, false), true, true),
        ];
        for (socket, v4, v6) in &sockets {
            for (option, v4_name, v6_name, value) in options {
                set_option(socket.as_raw_fd(), option).unwrap();
                let v4_value = v4.then(|| get(socket, (libc::IPPROTO_IP, v4_name)));
                let v6_value = v6.then(|| get(socket, (libc::IPPROTO_IPV6, v6_name)));
                assert!(v4_value.is_none_or(|v| v == value), "{option:?}: {v4_value:?}");
                assert!(v6_value.is_none_or(|v| v == value), "{option:?}: {v6_value:?}");
            }
            let interface = SocketOption::MulticastInterface(1);
            set_option(socket.as_raw_fd(), interface).unwrap();
            if *v6 {
                assert_eq!(get(socket, (libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_IF)), 1);
            }
        }
    }

    /// The options that name a group answer as the kernel does; the errors say what was
    /// wrong.
    #[test]
    fn memberships_answer_as_the_kernel_does() {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        let (group, source) = (parse("239.1.2.3"), parse("127.0.0.2"));
        let socket = socket(Domain::IPV4, false);
        let answer = |option| {
            let result = set_option(socket.as_raw_fd(), option);
            result.map_err(|error| error.raw_os_error().unwrap_or(0))
        };
        let interface = 1;
        let join = SocketOption::JoinGroup { group, interface };
        let block = SocketOption::BlockSource { group, source, interface };
        assert_eq!(answer(join), Ok(()));
        assert_eq!(answer(join), Err(libc::EADDRINUSE));
        assert_eq!(answer(block), Ok(()));
        assert_eq!(answer(block), Err(libc::EADDRNOTAVAIL));
        assert_eq!(answer(SocketOption::UnblockSource { group, source, interface }), Ok(()));
        let only = SocketOption::JoinSource { group, source, interface };
        assert_eq!(answer(only), Err(libc::EINVAL));
        assert_eq!(answer(SocketOption::LeaveGroup { group, interface }), Ok(()));
        assert_eq!(answer(only), Ok(()));
        assert_eq!(answer(SocketOption::LeaveSource { group, source, interface }), Ok(()));
        let gone = SocketOption::LeaveGroup { group, interface };
        assert_eq!(answer(gone), Err(libc::EADDRNOTAVAIL));
        let nowhere = SocketOption::JoinGroup { group, interface: 12_345 };
        assert_eq!(answer(nowhere), Err(libc::ENODEV));
        let no_group = SocketOption::JoinGroup { group: source, interface };
        assert_eq!(answer(no_group), Err(libc::EINVAL));
        assert_eq!(answer(SocketOption::MulticastInterface(u32::MAX)), Err(libc::ENODEV));
    }

    /// One kind of time stamp takes the place of the other; none leaves none.
    #[test]
    fn one_stamp_replaces_the_other() {
        let socket = socket(Domain::IPV4, false);
        let stamps = [(Some(Stamp::Kernel), 1, 0), (Some(Stamp::Hardware), 0, 1), (None, 0, 0)];
        for (stamp, kernel, card) in stamps {
            set_arrival_time(socket.as_fd(), stamp).unwrap();
            assert_eq!(get(&socket, (libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)), kernel);
            let flags = get(&socket, (libc::SOL_SOCKET, libc::SO_TIMESTAMPING));
            assert_eq!(i32::from(flags != 0), card);
        }
    }

    /// The size that was granted is what the kernel counts: not what was asked for.
    #[test]
    fn the_granted_size_is_told() {
        let socket = socket(Domain::IPV4, false);
        let fd = socket.as_raw_fd();
        set_option(fd, SocketOption::ReceiveBuffer(1 << 15)).unwrap();
        set_option(fd, SocketOption::SendBuffer(1 << 15)).unwrap();
        assert_eq!(receive_buffer(fd).unwrap(), socket.recv_buffer_size().unwrap());
        assert_eq!(receive_buffer(fd).unwrap(), 1 << 16);
        assert_eq!(send_buffer(fd).unwrap(), 1 << 16);
        assert_eq!(receive_buffer(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
