//! `recvmmsg` and `recvmsg` by hand, with what the kernel tells of each datagram.

use std::{io, mem, net::UdpSocket, os::fd::AsRawFd, ptr};

use super::Seen;

/// Room for the control messages of a datagram.
const CONTROL: usize = 128;
/// Bytes of the longest datagram.
const SIZE: usize = 2_048;

/// Receives without waiting: [`Batch::receive`] or [`Batch::receive_one`].
pub(super) type Call = fn(&mut Batch, &UdpSocket) -> io::Result<usize>;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// Messages with a buffer, a name and room for control messages each.
///
/// The headers point into the other arrays, none of which is ever resized.
pub(super) struct Batch {
    headers: Vec<libc::mmsghdr>,
    _vectors: Vec<libc::iovec>,
    names: Vec<libc::sockaddr_in>,
    _controls: Vec<Control>,
    bytes: Vec<u8>,
    details: bool,
}

impl Batch {
    /// `count` messages; `details`: whether more than the bytes is asked for.
    pub(super) fn new(count: usize, details: bool) -> Self {
        let mut bytes = vec![0_u8; count * SIZE];
        let vector =
            |bytes: &mut [u8]| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: SIZE };
        let mut vectors: Vec<_> = bytes.chunks_mut(SIZE).map(vector).collect();
        // SAFETY: names and headers are plain C data, for which zeroes are valid.
        let (mut names, mut headers): (Vec<libc::sockaddr_in>, Vec<libc::mmsghdr>) =
            unsafe { (vec![mem::zeroed(); count], vec![mem::zeroed(); count]) };
        let mut controls = vec![Control([0; CONTROL]); count];
        for (at, header) in headers.iter_mut().enumerate() {
            let header = &mut header.msg_hdr;
            (header.msg_iov, header.msg_iovlen) = (&raw mut vectors[at], 1);
            if details {
                header.msg_name = (&raw mut names[at]).cast();
                header.msg_control = controls[at].0.as_mut_ptr().cast();
            }
        }
        Self { headers, _vectors: vectors, names, _controls: controls, bytes, details }
    }

    /// Receives as many messages as there are and fit, without waiting; returns how many.
    ///
    /// # Errors
    /// What the system says, `WouldBlock` included.
    pub(super) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        if self.details {
            for header in &mut self.headers {
                header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
                header.msg_hdr.msg_controllen = CONTROL;
            }
        }
        let (all, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: each header points to a live vector, buffer, name and control room.
        let received =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), all, count, 0, ptr::null_mut()) };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Receives one message, by the call for one; returns 1.
    ///
    /// # Errors
    /// What the system says, `WouldBlock` included.
    pub(super) fn receive_one(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let header = &mut self.headers[0];
        if self.details {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: the header points to a live vector, buffer, name and control room.
        let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header.msg_hdr, 0) };
        header.msg_len = u32::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(1)
    }

    /// What is known of a received message.
    #[inline]
    pub(super) fn seen(&self, at: usize) -> Seen<'_> {
        let len = (self.headers[at].msg_len as usize).min(SIZE);
        let bytes = &self.bytes[at * SIZE..][..len];
        let mut seen = Seen { bytes, ..Seen::default() };
        if self.details {
            seen.source = u16::from_be(self.names[at].sin_port);
            note_controls(&self.headers[at].msg_hdr, &mut seen);
        }
        seen
    }
}

/// Notes what the kernel wrote behind a message.
fn note_controls(header: &libc::msghdr, seen: &mut Seen<'_>) {
    // SAFETY: the kernel has written whole control messages and their length; each is read as the
    // type that its level and type say.
    unsafe {
        let mut next = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = next.as_ref() {
            let data = libc::CMSG_DATA(message);
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    seen.group = info.ipi_addr.s_addr;
                    seen.interface = info.ipi_ifindex as u32;
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    seen.arrival = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    seen.dropped = data.cast::<u32>().read_unaligned();
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(header, message);
        }
    }
}
