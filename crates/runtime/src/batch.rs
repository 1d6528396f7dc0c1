//! Many datagrams in one system call, in memory that is made once: [`Batch`] has memory of
//! its own, [`Gather`] sends from and [`Scatter`] receives to the caller's.
//!
//! The calls are `sendmmsg` and `recvmmsg` on both real drivers. The simulated one takes the
//! datagrams one by one, gathers their parts and divides what is to be divided; it joins none
//! on receiving.

mod controls;
mod details;
mod envelope;
mod gather;
mod packet;
mod places;
mod scatter;

use std::fmt;
use std::io;
use std::mem;
use std::ptr;

use socket2::SockAddr;

use crate::compat::settle;
use crate::conn::Conn;
use crate::driver::Driver;
use crate::engine::io::Class;
use crate::engine::outcome::Failure;

use self::controls::Controls;
use self::packet::Entry;

pub use self::details::Details;
pub(crate) use self::envelope::Told;
pub use self::envelope::{Arrival, Envelope};
pub use self::gather::{Gather, Gathering};
pub use self::packet::Packet;
pub use self::places::{Place, places};
pub use self::scatter::{Landed, Scatter};

/// Room for the control message that carries the segment size of what is sent.
const CONTROL: usize = 64;

#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL]);

/// A fixed number of datagrams of a fixed size that are received, or sent, by one system
/// call. Made once and used again and again: nothing is allocated afterwards, and pages
/// that no datagram has reached are never touched.
///
/// What a batch received it can send on, to the peer, to one address or to everyone's
/// own, without a copy.
///
/// ```
/// # use socket2::{Domain, SockAddr, Type};
/// # use tautline_runtime::{Batch, Config, Descriptor, Runtime, To};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// # let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
/// # let a = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # let b = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # a.bind(&any.into())?;
/// # b.bind(&any.into())?;
/// let mut batch = Batch::new(16, 1500);
/// batch.push(b"one", None)?;
/// batch.push(b"two", None)?;
/// let sent = batch.send(a.conn(), 0, To::All(&b.conn().local_addr()?))?;
/// assert_eq!(sent, 2);
/// let received = batch.receive(b.conn())?;
/// let texts: Vec<&[u8]> = batch.iter().map(|packet| packet.bytes).collect();
/// assert_eq!((received, texts), (2, vec![&b"one"[..], b"two"]));
/// # Ok(())
/// # }
/// ```
pub struct Batch {
    size: usize,
    /// Bytes from one datagram's place to the next one's.
    stride: usize,
    bytes: Box<[u8]>,
    /// Point into the other arrays.
    headers: Box<[libc::mmsghdr]>,
    /// The first so many headers are aimed to receive. A send aims them elsewhere.
    aimed: usize,
    vectors: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_storage]>,
    details: Details,
    /// What was received with each.
    controls: Controls,
    /// How each is to be divided on sending.
    segments: Box<[Control]>,
    entries: Box<[Entry]>,
    /// Datagrams that it holds: the first ones.
    len: usize,
}

/// Whom a batch is sent to.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// The peer that the socket is connected to.
    Peer,
    /// Everything to this address.
    All(&'a SockAddr),
    /// Each datagram to its own: the one it was pushed with, or came from.
    Own,
}

/// Why a datagram was not taken into a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PushError {
    /// It holds as many as it has room for.
    #[error("the batch is full: send it, then clear it")]
    Full,
    /// The datagram is longer than a place.
    #[error(
        "a datagram of {len} bytes, in a batch for up to {size}: make the batch with a larger size"
    )]
    TooLong {
        /// Bytes of the datagram.
        len: usize,
        /// Bytes that a place has.
        size: usize,
    },
}

impl From<PushError> for io::Error {
    fn from(error: PushError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Batch {
    /// Room for `count` datagrams of up to `size` bytes each, both at least 1. One call
    /// of the kernel takes at most 1,024 datagrams, and a datagram has at most 65,507
    /// bytes; a socket with receive offload wants a `size` of 65,536. Asks for the
    /// [`Details`] that cost nothing: the source.
    pub fn new(count: usize, size: usize) -> Self {
        Self::with_details(count, size, Details::default())
    }

    /// As [`new`](Self::new); with each datagram that is received, asks for these details.
    pub fn with_details(count: usize, size: usize, details: Details) -> Self {
        let (count, size) = (count.clamp(1, 1024), size.clamp(1, 1 << 16));
        let stride = places::stride(size);
        // SAFETY: headers, vectors and names are plain C data, for which zeroes are valid.
        unsafe {
            Self {
                size,
                stride,
                bytes: vec![0; count * stride].into(),
                headers: vec![mem::zeroed(); count].into(),
                aimed: 0,
                vectors: vec![mem::zeroed(); count].into(),
                names: vec![mem::zeroed(); count].into(),
                details,
                controls: Controls::new(count, details.room()),
                segments: vec![Control([0; CONTROL]); count].into(),
                entries: vec![Entry::default(); count].into(),
                len: 0,
            }
        }
    }

    /// Datagrams that it has room for.
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Datagrams that it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets what it holds.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The datagram at `index`, if it holds so many.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Packet<'_>> {
        let entry = self.entries[..self.len].get(index)?;
        let start = index * self.stride;
        let bytes = &self.bytes[start..start + entry.len];
        Some(Packet::new(bytes, entry, &self.names[index]))
    }

    /// What it holds, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Packet<'_>> {
        (0..self.len).map(|index| self.get(index).expect("below the length"))
    }

    /// Forgets the datagrams of which `keep` says no. The others stay in order: those behind one
    /// that goes are copied to where they belong now.
    pub fn retain(&mut self, mut keep: impl FnMut(Packet<'_>) -> bool) {
        let mut kept = 0;
        for at in 0..self.len {
            if self.get(at).is_some_and(&mut keep) {
                self.move_up(at, kept);
                kept += 1;
            }
        }
        self.len = kept;
    }

    fn move_up(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let (start, entry) = (from * self.stride, self.entries[from]);
        self.bytes.copy_within(start..start + entry.len, to * self.stride);
        (self.names[to], self.entries[to]) = (self.names[from], entry);
    }

    /// Adds a datagram; `to` is used by [`To::Own`].
    ///
    /// # Errors
    /// [`PushError`]; the batch is unchanged then.
    pub fn push(&mut self, bytes: &[u8], to: Option<&SockAddr>) -> Result<(), PushError> {
        self.push_segments(bytes, 0, to)
    }

    /// Adds a run of datagrams of `segment` bytes each, the last one maybe shorter,
    /// which the kernel divides (`UDP_SEGMENT`): one trip down the stack for all.
    /// Sending fails with an I/O error where a device cannot sum up checksums, and with
    /// "invalid argument" where a segment does not fit a packet or there are more than
    /// 64 of them.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_segments(
        &mut self,
        bytes: &[u8],
        segment: u16,
        to: Option<&SockAddr>,
    ) -> Result<(), PushError> {
        let (at, len) = (self.len, bytes.len());
        if len > self.size {
            return Err(PushError::TooLong { len, size: self.size });
        }
        let entry = self.entries.get_mut(at).ok_or(PushError::Full)?;
        let name_len = to.map_or(0, |to| to.len());
        *entry = Entry { len, segment, name_len, ..Entry::default() };
        self.bytes[at * self.stride..][..len].copy_from_slice(bytes);
        if let Some(to) = to {
            let place = (&raw mut self.names[at]).cast::<u8>();
            // SAFETY: an address is plain data and never longer than the storage.
            unsafe { to.as_ptr().cast::<u8>().copy_to_nonoverlapping(place, name_len as usize) };
        }
        self.len += 1;
        Ok(())
    }

    /// Receives what is there, as far as there is room, in place of what it held.
    /// Returns how many datagrams it holds now. To be used in an `on_readable` handler
    /// too.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there or another
    /// receive is before it; what the kernel says.
    pub fn receive(&mut self, from: &Conn) -> io::Result<usize> {
        self.receive_at_most(from, self.capacity())
    }

    /// As [`receive`](Self::receive), but at most so many, and at least one: room for more costs a
    /// little even if nothing comes to it.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn receive_at_most(&mut self, from: &Conn, most: usize) -> io::Result<usize> {
        self.len = 0;
        let most = most.clamp(1, self.capacity());
        self.renew_room(self.aimed.min(most));
        for at in self.aimed..most {
            self.aim_to_receive(at);
        }
        self.aimed = self.aimed.max(most);
        // SAFETY: every header up to `most` is aimed at memory of this batch, which is borrowed. What
        // was aimed before still is: the arrays are never replaced, so that they lie where they lay
        // even if the batch has moved; between then and now only room and lengths were written to the
        // headers, here and by who receives; and `send`, which aims them at what is not the batch's,
        // sets `aimed` back first.
        let count = unsafe { receive(from, &mut self.headers[..most]) }?;
        for at in 0..count {
            self.note_received(at);
        }
        self.len = count;
        Ok(count)
    }

    fn aim(&mut self, at: usize, len: usize) -> &mut libc::msghdr {
        let base = self.bytes[at * self.stride..].as_mut_ptr();
        self.vectors[at] = libc::iovec { iov_base: base.cast(), iov_len: len };
        let header = &mut self.headers[at].msg_hdr;
        header.msg_iov = &raw mut self.vectors[at];
        header.msg_iovlen = 1;
        header.msg_flags = 0;
        header
    }

    fn aim_to_receive(&mut self, at: usize) {
        let name = if self.details.source { &raw mut self.names[at] } else { ptr::null_mut() };
        let (control, room) = self.controls.aim(at);
        let header = self.aim(at, self.size);
        header.msg_name = name.cast();
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        (header.msg_control, header.msg_controllen) = (control, room as _);
    }

    /// Says again how much room there is for what comes with a datagram: the kernel writes there how
    /// much of it it has used.
    fn renew_room(&mut self, aimed: usize) {
        let room = self.controls.room();
        if !self.details.source && room == 0 {
            return;
        }
        for header in &mut self.headers[..aimed] {
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_controllen = room as _;
        }
    }

    fn note_received(&mut self, at: usize) {
        let message = &self.headers[at];
        let entry = &mut self.entries[at];
        entry.len = (message.msg_len as usize).min(self.size);
        entry.segment = 0;
        entry.truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        entry.name_len = if self.details.source { message.msg_hdr.msg_namelen } else { 0 };
        entry.told.read(self.controls.get(at, message.msg_hdr.msg_controllen as u16));
    }

    /// Sends what it holds from the `first` datagram on, in one call, without waiting.
    /// Returns how many of them the kernel took; the batch stays as it is, so that the
    /// rest, or everything, can be sent again.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room for any or
    /// another send is before it; what the kernel says of the first one.
    pub fn send(&mut self, over: &Conn, first: usize, to: To<'_>) -> io::Result<usize> {
        let first = first.min(self.len);
        if first == self.len {
            return Ok(0);
        }
        self.aimed = 0;
        for at in first..self.len {
            self.aim_to_send(at, to);
        }
        let headers = &mut self.headers[first..self.len];
        settle(over.core.with(|engine| {
            // SAFETY: every header was just aimed at memory of this batch or at `to`,
            // both borrowed.
            engine.send_now(over.key, |driver, fd| unsafe { driver.send_many(fd, headers) })
        }))
    }

    fn aim_to_send(&mut self, at: usize, to: To<'_>) {
        let Entry { len, name_len, segment, told, .. } = self.entries[at];
        let segment = if segment == 0 { told.segment } else { segment };
        let own = (&raw mut self.names[at]).cast();
        let control = (&raw mut self.segments[at]).cast::<libc::c_void>();
        let header = self.aim(at, len);
        (header.msg_name, header.msg_namelen) = match to {
            To::All(addr) => (addr.as_ptr().cast_mut().cast(), addr.len()),
            To::Own if name_len > 0 => (own, name_len),
            To::Own | To::Peer => (ptr::null_mut(), 0),
        };
        (header.msg_control, header.msg_controllen) = (ptr::null_mut(), 0);
        if segment > 0 && usize::from(segment) < len {
            header.msg_control = control;
            header.msg_controllen = CONTROL as _;
            // SAFETY: the control memory is `CONTROL` bytes, aligned, and this batch's.
            unsafe { write_segment_size(header, segment) };
        }
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Receives what is there into `headers`, of which there is at least one: first what was received
/// for those who had gone. Returns how many came; fewer than there is room for are all.
///
/// # Errors
/// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there or another receive is
/// before it; what the kernel says.
///
/// # Safety
/// What every header names is valid for writing and aliased by nobody.
unsafe fn receive(from: &Conn, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    let mut saved = 0;
    while let Some(header) = headers.get_mut(saved) {
        let message = &raw mut header.msg_hdr;
        // SAFETY: the caller's promise.
        let len = from.core.with(|engine| unsafe { engine.take_saved_message(from.key, message) });
        let Some(len) = len else { break };
        header.msg_len = len as u32;
        header.msg_hdr.msg_controllen = 0;
        saved += 1;
    }
    let rest = &mut headers[saved..];
    if rest.is_empty() {
        return Ok(saved);
    }
    // SAFETY: the same.
    match unsafe { receive_more(from, rest) } {
        // What a host reports of an earlier datagram goes unheard behind one that is there, and what
        // is wrong with the socket is told again.
        Err(_) if saved > 0 => Ok(saved),
        count => count.map(|count| saved + count),
    }
}

/// Receives what the kernel has.
///
/// # Errors
/// As [`receive`].
///
/// # Safety
/// As [`receive`].
unsafe fn receive_more(from: &Conn, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    settle(from.core.with(|engine| {
        let class = engine.ios.get(from.key).map(|io| io.class);
        if class.is_some_and(|class| class != Class::Datagram) {
            return Some(Err(Failure::Errno(libc::EPROTOTYPE)));
        }
        // SAFETY: the caller's promise.
        engine.receive_now(from.key, |driver, fd| unsafe { driver.receive_many(fd, headers) })
    }))
}

/// Writes the one control message of a segmented send.
///
/// # Safety
/// `header.msg_control` names `msg_controllen` aligned writable bytes, at least [`CONTROL`].
unsafe fn write_segment_size(header: &mut libc::msghdr, segment: u16) {
    // SAFETY: the caller's promise; one message of a `u16` takes 24 bytes.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = libc::SOL_UDP;
        (*message).cmsg_type = libc::UDP_SEGMENT;
        (*message).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
        libc::CMSG_DATA(message).cast::<u16>().write_unaligned(segment);
    }
}

/// Whether the kernel divides datagrams on sending (`UDP_SEGMENT`), for a UDP socket.
///
/// # Errors
/// When the descriptor is closed, or simulated.
pub fn divides_datagrams(socket: &Conn) -> io::Result<bool> {
    socket.with_fd(|fd| {
        let mut value = 0i32;
        let mut len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the option's value is one int.
        let result = unsafe {
            libc::getsockopt(
                std::os::fd::AsRawFd::as_raw_fd(&fd),
                libc::SOL_UDP,
                libc::UDP_SEGMENT,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        Ok(result == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch refuses what it has no room for, and says why.
    #[test]
    fn what_does_not_fit_is_refused() {
        let mut batch = Batch::new(1, 4);
        assert_eq!(batch.push(b"12345", None), Err(PushError::TooLong { len: 5, size: 4 }));
        batch.push(b"1234", None).unwrap();
        assert_eq!(batch.push(b"", None), Err(PushError::Full));
        assert_eq!(batch.get(0).unwrap().bytes, b"1234");
        assert!(batch.get(1).is_none());
    }

    /// What is kept of a batch stays in order, each datagram with its address and segments; nothing
    /// is left where nothing is kept.
    #[test]
    fn what_is_not_kept_is_forgotten() {
        let to = |n: u8| SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, n], n.into())));
        let mut batch = Batch::new(6, 100);
        for n in 0..6u8 {
            batch.push_segments(&vec![n; 10 + usize::from(n)], n.into(), Some(&to(n))).unwrap();
        }
        batch.retain(|packet| packet.bytes[0] % 3 != 0);
        for (n, packet) in [1, 2, 4, 5].into_iter().zip(batch.iter()) {
            assert_eq!(packet.bytes, vec![n; 10 + usize::from(n)]);
            assert_eq!((packet.source(), packet.segment()), (to(n).as_socket(), n.into()));
        }
        assert_eq!(batch.len(), 4);
        batch.retain(|_| true);
        assert_eq!(batch.len(), 4);
        batch.retain(|_| false);
        assert!(batch.is_empty() && batch.get(0).is_none());
    }

    /// A datagram that the kernel joined falls into its parts, the last one shorter.
    #[test]
    fn joined_datagrams_fall_into_their_segments() {
        let mut batch = Batch::new(1, 100);
        batch.push_segments(b"aaabbbc", 3, None).unwrap();
        let packet = batch.get(0).unwrap();
        assert!(packet.segments().eq([&b"aaa"[..], b"bbb", b"c"]));
        assert_eq!(packet.source(), None);
    }

    /// A datagram without bytes consists of itself.
    #[test]
    fn an_empty_datagram_is_its_own_segment() {
        let mut batch = Batch::new(1, 100);
        batch.push(b"", None).unwrap();
        let segments: Vec<&[u8]> = batch.get(0).unwrap().segments().collect();
        assert_eq!(segments, [b""]);
    }

    /// The segment size that is written as a control message is laid out as the kernel
    /// expects it.
    #[test]
    fn the_segment_size_is_one_control_message() {
        let mut batch = Batch::new(1, 100);
        batch.push_segments(&[0; 90], 30, None).unwrap();
        batch.aim_to_send(0, To::Peer);
        let header = &batch.headers[0].msg_hdr;
        // SAFETY: the control message was just written.
        let (message, value) = unsafe {
            let message = libc::CMSG_FIRSTHDR(header);
            (*message, libc::CMSG_DATA(message).cast::<u16>().read_unaligned())
        };
        assert_eq!((message.cmsg_level, message.cmsg_type), (libc::SOL_UDP, libc::UDP_SEGMENT));
        assert_eq!(value, 30);
    }
}
