//! Datagrams that are received to where they shall lie.

use std::fmt;
use std::io;
use std::mem;

use super::controls::Controls;
use super::{Details, Envelope, Told};
use crate::conn::Conn;

/// What one place holds after a receive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Landed {
    /// Bytes that were written to the place.
    pub len: usize,
    /// Bytes of each datagram that the kernel joined, the last one maybe shorter; `len` for
    /// one that came alone.
    pub segment: usize,
    /// It was longer than the place; the rest is lost.
    pub truncated: bool,
}

/// Receives many datagrams by one system call, each into a place that the caller lends:
/// no copy is needed where they shall stay. Who sent them is not asked for, unless it was
/// made [with details](Self::with_details). Made once and used again and again: nothing is
/// allocated afterwards.
///
/// ```
/// # use socket2::{Domain, Type};
/// # use tautline_runtime::{Config, Descriptor, Runtime, Scatter};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// # let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
/// # let a = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # let b = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # b.bind(&any.into())?;
/// a.conn().try_send_to(b"here", Some(&b.conn().local_addr()?))?;
/// let mut places = [[0; 16], [0; 16]];
/// let mut scatter = Scatter::new(2);
/// let count = scatter.receive(b.conn(), places.iter_mut().map(|place| &mut place[..]))?;
/// let len = scatter.get(0).map_or(0, |landed| landed.len);
/// assert_eq!((count, &places[0][..len]), (1, &b"here"[..]));
/// # Ok(())
/// # }
/// ```
pub struct Scatter {
    /// Aimed anew before every call.
    headers: Box<[libc::mmsghdr]>,
    vectors: Box<[libc::iovec]>,
    /// Empty if nobody asks for sources.
    names: Box<[libc::sockaddr_storage]>,
    controls: Controls,
    /// What the places of the last receive hold, the first ones, and what came with it.
    landed: Vec<(Landed, Told)>,
}

impl Scatter {
    /// For up to `count` (1 to 1,024) places.
    pub fn new(count: usize) -> Self {
        Self::with_details(count, Details { offload: true, ..Details::NONE })
    }

    /// As [`new`](Self::new); with each datagram, asks for these details.
    pub fn with_details(count: usize, details: Details) -> Self {
        let count = count.clamp(1, 1024);
        let names = if details.source { count } else { 0 };
        // SAFETY: headers, vectors and names are plain C data, for which zeroes are valid.
        unsafe {
            Self {
                headers: vec![mem::zeroed(); count].into(),
                vectors: vec![mem::zeroed(); count].into(),
                names: vec![mem::zeroed(); names].into(),
                controls: Controls::new(count, details.room()),
                landed: Vec::with_capacity(count),
            }
        }
    }

    /// Receives what is there, a datagram to each of `places` as far as they go, without
    /// waiting. Returns how many came; [`get`](Self::get) says more of them.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there, no place is lent or
    /// another receive is before it; what the kernel says.
    pub fn receive<'p>(
        &mut self,
        from: &Conn,
        places: impl IntoIterator<Item = &'p mut [u8]>,
    ) -> io::Result<usize> {
        self.landed.clear();
        let lent = self.aim(places);
        if lent == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // SAFETY: every header up to `lent` was just aimed at this one's memory and at the
        // places, which are borrowed.
        let count = unsafe { super::receive(from, &mut self.headers[..lent]) }?;
        (0..count).for_each(|at| self.note(at));
        Ok(count)
    }

    /// What the place at `index` holds, if the last receive reached it.
    pub fn get(&self, index: usize) -> Option<Landed> {
        self.landed.get(index).map(|(landed, _)| *landed)
    }

    /// What came with the datagram at `index` besides its bytes, if the last receive
    /// reached it.
    pub fn envelope(&self, index: usize) -> Option<Envelope<'_>> {
        let (_, told) = self.landed.get(index)?;
        let name_len = self.headers[index].msg_hdr.msg_namelen;
        Some(match self.names.get(index) {
            Some(name) => Envelope::new(name, name_len, told),
            None => Envelope::nameless(told),
        })
    }

    /// The control messages that came with the datagram at `index`.
    fn control(&self, index: usize) -> &[u8] {
        self.controls.get(index, self.headers[index].msg_hdr.msg_controllen as u16)
    }

    /// Aims a header at each of `places`; returns how many.
    fn aim<'p>(&mut self, places: impl IntoIterator<Item = &'p mut [u8]>) -> usize {
        let vectors = self.vectors.as_mut_ptr();
        let mut count = 0;
        for (header, place) in self.headers.iter_mut().zip(places) {
            let header = &mut header.msg_hdr;
            // SAFETY: there are as many vectors as headers.
            unsafe {
                let vector = vectors.add(count);
                *vector = libc::iovec { iov_base: place.as_mut_ptr().cast(), iov_len: place.len() };
                (header.msg_iov, header.msg_iovlen) = (vector, 1);
            }
            if let Some(name) = self.names.get_mut(count) {
                header.msg_name = (&raw mut *name).cast();
                header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            }
            let (control, room) = self.controls.aim(count);
            (header.msg_control, header.msg_controllen) = (control, room as _);
            header.msg_flags = 0;
            count += 1;
        }
        count
    }

    fn note(&mut self, at: usize) {
        let message = &self.headers[at];
        let len = (message.msg_len as usize).min(self.vectors[at].iov_len);
        let told = Told::by(self.control(at));
        let segment = if told.segment == 0 { len } else { usize::from(told.segment) };
        let truncated = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        self.landed.push((Landed { len, segment, truncated }, told));
    }
}

impl fmt::Debug for Scatter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scatter")
            .field("places", &self.headers.len())
            .field("landed", &self.landed)
            .finish_non_exhaustive()
    }
}
