//! Arrays of messages for `recvmmsg` and `sendmmsg`, allocated once.

use std::{io, mem, net::UdpSocket, os::fd::AsRawFd, ptr};

use socket2::SockAddr;

/// Room for one control message with a segment size.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// Packets and bytes of a joined message at most.
const JOINED: (usize, usize) = (64, 65_507);

/// Messages with a buffer and room for a segment size each.
///
/// The headers point into the other arrays, none of which is ever resized.
pub(super) struct Batch {
    headers: Vec<libc::mmsghdr>,
    /// Those to send by; aimed anew for each call.
    outgoing: Vec<libc::mmsghdr>,
    /// In the order of the messages, so that neighbours can be sent as one.
    iovecs: Vec<libc::iovec>,
    controls: Vec<Control>,
    /// Kept because the headers point into it.
    _bytes: Vec<u8>,
    size: usize,
}

impl Batch {
    /// `count` messages of up to `size` bytes.
    pub(super) fn new(count: usize, size: usize) -> Self {
        let mut bytes = vec![0_u8; count * size];
        let mut controls = vec![Control([0; 64]); count];
        let iovec =
            |bytes: &mut [u8]| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: size };
        let mut iovecs: Vec<_> = bytes.chunks_mut(size).map(iovec).collect();
        let headers = iovecs
            .iter_mut()
            .zip(&mut controls)
            .map(|(iovec, control)| header(iovec, control))
            .collect();
        let outgoing = Vec::with_capacity(count);
        Self { headers, outgoing, iovecs, controls, _bytes: bytes, size }
    }

    /// Receives as many messages as there are and fit; returns how many.
    ///
    /// # Errors
    /// What the system says, `WouldBlock` included.
    pub(super) fn receive(&mut self, socket: &UdpSocket, flags: libc::c_int) -> io::Result<usize> {
        for (header, iovec) in self.headers.iter_mut().zip(&mut self.iovecs) {
            header.msg_hdr.msg_controllen = mem::size_of::<Control>();
            iovec.iov_len = self.size;
        }
        let (all, count) = (self.headers.as_mut_ptr(), self.headers.len() as u32);
        // SAFETY: each header points to a live iovec, buffer and control room of the sizes stated.
        let received =
            unsafe { libc::recvmmsg(socket.as_raw_fd(), all, count, flags, ptr::null_mut()) };
        usize::try_from(received).map_err(|_| io::Error::last_os_error())
    }

    /// Length of a received message.
    pub(super) fn len(&self, message: usize) -> usize {
        self.headers[message].msg_len as usize
    }

    /// Segment size of a received message, if it is a burst.
    pub(super) fn segment(&self, message: usize) -> Option<u16> {
        let header = &self.headers[message].msg_hdr;
        // SAFETY: the kernel has filled the control room of this header and set its length.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(header).as_ref()?;
            let found = control.cmsg_level == libc::SOL_UDP && control.cmsg_type == libc::UDP_GRO;
            found.then(|| libc::CMSG_DATA(control).cast::<libc::c_int>().read_unaligned() as u16)
        }
    }

    /// Sends the first `count` received messages to `to`: as they are, or those that follow each
    /// other and are of one length as one burst if `join` says so.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn send(
        &mut self,
        socket: &UdpSocket,
        to: &SockAddr,
        count: usize,
        join: bool,
    ) -> io::Result<()> {
        self.outgoing.clear();
        let mut first = 0;
        while first < count {
            let end = if join { self.end_of_burst(first, count) } else { first + 1 };
            self.aim(first, end, to);
            first = end;
        }
        let mut sent = 0;
        while sent < self.outgoing.len() {
            sent += send_many(socket, &mut self.outgoing[sent..])?;
        }
        Ok(())
    }

    /// Adds a header that sends the messages from `first` to `end` as one.
    fn aim(&mut self, first: usize, end: usize, to: &SockAddr) {
        let segment = self.segment(first).or((end - first > 1).then(|| self.len(first) as u16));
        for message in first..end {
            self.iovecs[message].iov_len = self.len(message);
        }
        let mut header = header(&mut self.iovecs[first], &mut self.controls[first]);
        header.msg_hdr.msg_iovlen = end - first;
        header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = to.len();
        header.msg_hdr.msg_controllen = segment.map_or(0, |size| self.write_segment(first, size));
        self.outgoing.push(header);
    }

    /// Behind the last message up to `count` that can be sent in one burst with the `first`.
    fn end_of_burst(&self, first: usize, count: usize) -> usize {
        let size = |message| self.segment(message).map_or(self.len(message), usize::from);
        let (segment, mut bytes, mut end) = (size(first), 0, first);
        let most = JOINED.1.min(JOINED.0 * segment);
        while end < count && size(end) == segment && bytes + self.len(end) <= most {
            bytes += self.len(end);
            end += 1;
            if !bytes.is_multiple_of(segment) {
                break;
            }
        }
        end.max(first + 1)
    }

    /// Sends all messages, of their full size, in one call; returns how many left.
    ///
    /// # Errors
    /// What the system says, `WouldBlock` included.
    pub(super) fn send_full(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        for header in &mut self.headers {
            header.msg_hdr.msg_controllen = 0;
        }
        send_many(socket, &mut self.headers)
    }

    /// Writes a `UDP_SEGMENT` control message; returns the length of the control room used.
    fn write_segment(&mut self, message: usize, size: u16) -> usize {
        write_segment(&mut self.controls[message].0, size)
    }
}

/// Sends messages whose headers point to live memory.
fn send_many(socket: &UdpSocket, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let (first, count) = (headers.as_mut_ptr(), headers.len() as u32);
    // SAFETY: the batch that the headers belong to is borrowed, and so is what they point to.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), first, count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn header(iovec: &mut libc::iovec, control: &mut Control) -> libc::mmsghdr {
    // SAFETY: all-zero is a valid header: no name, no data, no flags.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_iov = iovec;
    header.msg_hdr.msg_iovlen = 1;
    header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
    header
}

/// Writes a control message that asks for segments of `size` bytes; returns its length.
fn write_segment(room: &mut [u8; 64], size: u16) -> usize {
    const LENGTH: u32 = mem::size_of::<u16>() as u32;
    // SAFETY: these only compute lengths; the message fits into 64 bytes.
    let (length, space) = unsafe { (libc::CMSG_LEN(LENGTH), libc::CMSG_SPACE(LENGTH)) };
    let head = libc::cmsghdr {
        cmsg_len: length as usize,
        cmsg_level: libc::SOL_UDP,
        cmsg_type: libc::UDP_SEGMENT,
    };
    // SAFETY: 64 bytes hold a header and the two bytes after it.
    unsafe {
        room.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(head);
        let data = room.as_mut_ptr().add(mem::size_of::<libc::cmsghdr>());
        data.cast::<u16>().write_unaligned(size);
    }
    space as usize
}

/// Sends `bytes` as one burst of segments of `segment` bytes.
///
/// # Errors
/// What the system says, `WouldBlock` included.
pub(super) fn send_burst(socket: &UdpSocket, bytes: &mut [u8], segment: u16) -> io::Result<()> {
    let mut control = Control([0; 64]);
    let used = write_segment(&mut control.0, segment);
    let mut iovec = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut header = header(&mut iovec, &mut control).msg_hdr;
    header.msg_controllen = used;
    // SAFETY: the header points to the live iovec, bytes and control room above.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &header, 0) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
