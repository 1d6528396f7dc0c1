//! Datagrams that are sent from where their parts lie.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem;
use std::ptr;

use socket2::SockAddr;

use super::{CONTROL, Control, PushError, write_segment_size};
use crate::compat::settle;
use crate::conn::Conn;
use crate::driver::Driver;

/// Most parts of a datagram that the kernel takes (`UIO_MAXIOV`).
const MOST_PARTS: usize = 1024;

/// What is known of one datagram that is to be sent.
#[derive(Clone, Copy)]
struct Entry {
    /// Its parts: the first one, and how many.
    first: usize,
    parts: usize,
    /// Bytes of all parts.
    len: usize,
    /// Bytes of each datagram that it is divided into; 0: it is one.
    segment: u16,
    /// Where its address lies; null: it has none.
    name: *const libc::c_void,
    name_len: libc::socklen_t,
}

/// Room for a fixed number of datagrams that one system call sends from where they lie:
/// each consists of parts that are borrowed until then, and nothing is copied but by the
/// kernel. Made once and used again and again: nothing is allocated afterwards.
///
/// ```
/// # use socket2::{Domain, Type};
/// # use tautline_runtime::{Batch, Config, Descriptor, Gather, Runtime};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// # let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
/// # let a = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # let b = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// # a.bind(&any.into())?;
/// # b.bind(&any.into())?;
/// let to = b.conn().local_addr()?;
/// let mut gather = Gather::new(16, 64);
/// let (header, bodies) = (*b"> ", [b"one".to_vec(), b"two".to_vec()]);
/// let mut datagrams = gather.start();
/// for body in &bodies {
///     datagrams.push(&[&header, body], Some(&to))?;
/// }
/// assert_eq!(datagrams.send(a.conn(), 0)?, 2);
/// let mut batch = Batch::new(16, 1500);
/// batch.receive(b.conn())?;
/// let texts: Vec<&[u8]> = batch.iter().map(|packet| packet.bytes).collect();
/// assert_eq!(texts, [b"> one", b"> two"]);
/// # Ok(())
/// # }
/// ```
pub struct Gather {
    /// Aimed anew before every call.
    headers: Box<[libc::mmsghdr]>,
    /// The parts of all datagrams, in order; only those of the present [`Gathering`] are valid.
    vectors: Box<[libc::iovec]>,
    controls: Box<[Control]>,
    entries: Box<[Entry]>,
}

/// Datagrams that are being put together, and borrow their parts and addresses.
pub struct Gathering<'g, 'd> {
    room: &'g mut Gather,
    /// Entries and parts in use.
    datagrams: usize,
    parts: usize,
    borrowed: PhantomData<&'d [u8]>,
}

impl Gather {
    /// Room for `datagrams` (1 to 1,024) with together `parts` parts (at least as many).
    pub fn new(datagrams: usize, parts: usize) -> Self {
        let datagrams = datagrams.clamp(1, 1024);
        let entry =
            Entry { first: 0, parts: 0, len: 0, segment: 0, name: ptr::null(), name_len: 0 };
        // SAFETY: headers and vectors are plain C data, for which zeroes are valid.
        unsafe {
            Self {
                headers: vec![mem::zeroed(); datagrams].into(),
                vectors: vec![mem::zeroed(); parts.max(datagrams)].into(),
                controls: vec![Control([0; CONTROL]); datagrams].into(),
                entries: vec![entry; datagrams].into(),
            }
        }
    }

    /// Begins with none, in place of what was there.
    pub fn start<'d>(&mut self) -> Gathering<'_, 'd> {
        Gathering { room: self, datagrams: 0, parts: 0, borrowed: PhantomData }
    }
}

impl<'d> Gathering<'_, 'd> {
    /// Datagrams so far.
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// Adds a datagram of `parts`, one behind the other. `to`: none on a connected socket.
    ///
    /// # Errors
    /// [`PushError::Full`]; nothing is changed then.
    pub fn push(&mut self, parts: &[&'d [u8]], to: Option<&'d SockAddr>) -> Result<(), PushError> {
        let free = self.room.vectors.len() - self.parts;
        if parts.len() > free.min(MOST_PARTS) {
            return Err(PushError::Full);
        }
        let entry = self.room.entries.get_mut(self.datagrams).ok_or(PushError::Full)?;
        *entry = Entry {
            first: self.parts,
            parts: 0,
            len: 0,
            segment: 0,
            name: to.map_or(ptr::null(), |to| to.as_ptr().cast()),
            name_len: to.map_or(0, SockAddr::len),
        };
        self.datagrams += 1;
        parts.iter().try_for_each(|part| self.append(part))
    }

    /// Adds a part to the last datagram. One that lies right behind the part before it
    /// takes no room of its own.
    ///
    /// # Errors
    /// [`PushError::Full`] when there is no room for the part, or no datagram yet; nothing
    /// is changed then.
    pub fn append(&mut self, part: &'d [u8]) -> Result<(), PushError> {
        let Gather { vectors, entries, .. } = &mut *self.room;
        let entry = entries[..self.datagrams].last_mut().ok_or(PushError::Full)?;
        let before = vectors[entry.first..self.parts].last_mut();
        match before.filter(|before| ends_at(before, part)) {
            Some(before) => before.iov_len += part.len(),
            None if entry.parts == MOST_PARTS => return Err(PushError::Full),
            None => {
                let vector = vectors.get_mut(self.parts).ok_or(PushError::Full)?;
                vector.iov_base = part.as_ptr().cast_mut().cast();
                vector.iov_len = part.len();
                (self.parts, entry.parts) = (self.parts + 1, entry.parts + 1);
            }
        }
        entry.len += part.len();
        Ok(())
    }

    /// Has the kernel divide the last datagram into datagrams of `segment` bytes, the last
    /// one maybe shorter: as [`Batch::push_segments`](super::Batch::push_segments).
    pub fn divide(&mut self, segment: u16) {
        if let Some(entry) = self.room.entries[..self.datagrams].last_mut() {
            entry.segment = segment;
        }
    }

    /// Sends them from the `first` on, in one call, without waiting. Returns how many of
    /// them the kernel took; the rest, or everything, can be sent again.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room for any or
    /// another send is before it; what the kernel says of the first one.
    pub fn send(&mut self, over: &Conn, first: usize) -> io::Result<usize> {
        if first >= self.datagrams {
            return Ok(0);
        }
        self.room.aim(first, self.datagrams);
        let headers = &mut self.room.headers[first..self.datagrams];
        settle(over.core.with(|engine| {
            // SAFETY: every header was just aimed at this room's memory, at parts and at
            // addresses, all of which are borrowed.
            engine.send_now(over.key, |driver, fd| unsafe { driver.send_many(fd, headers) })
        }))
    }
}

impl Gather {
    /// Aims the headers of the datagrams from `first` to `end`.
    fn aim(&mut self, first: usize, end: usize) {
        let vectors = self.vectors.as_mut_ptr();
        let controls = self.controls.as_mut_ptr();
        for (at, entry) in self.entries[..end].iter().enumerate().skip(first) {
            let header = &mut self.headers[at].msg_hdr;
            // SAFETY: the entry's first part is among the vectors, or right behind the last
            // one if it has none.
            header.msg_iov = unsafe { vectors.add(entry.first) };
            header.msg_iovlen = entry.parts as _;
            (header.msg_name, header.msg_namelen) = (entry.name.cast_mut(), entry.name_len);
            (header.msg_control, header.msg_controllen) = (ptr::null_mut(), 0);
            if entry.segment > 0 && usize::from(entry.segment) < entry.len {
                header.msg_controllen = CONTROL as _;
                // SAFETY: there is a control for each entry: `CONTROL` bytes, aligned.
                unsafe {
                    header.msg_control = controls.add(at).cast();
                    write_segment_size(header, entry.segment);
                }
            }
        }
    }
}

/// Whether `part` lies right behind `before`.
fn ends_at(before: &libc::iovec, part: &[u8]) -> bool {
    before.iov_base.cast::<u8>().wrapping_add(before.iov_len).cast_const() == part.as_ptr()
}

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gather")
            .field("datagrams", &self.entries.len())
            .field("parts", &self.vectors.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Gathering<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("datagrams", &self.datagrams)
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts that lie one behind the other take the room of one; an empty datagram has one
    /// of its own or none.
    #[test]
    fn neighbouring_parts_are_one() {
        let (bytes, other) = (*b"abcdef", *b"xy");
        let mut gather = Gather::new(2, 3);
        let mut all = gather.start();
        assert_eq!(all.append(&other), Err(PushError::Full));
        all.push(&[&bytes[..2], &bytes[2..4], &other], None).unwrap();
        assert_eq!((all.len(), all.parts), (1, 2));
        all.push(&[], None).unwrap();
        all.append(&bytes[4..]).unwrap();
        assert_eq!(all.append(&other), Err(PushError::Full));
        assert_eq!(all.push(&[], None), Err(PushError::Full));
        assert_eq!((all.len(), all.parts, all.room.entries[1].len), (2, 3, 2));
        assert!(gather.start().is_empty());
    }

    /// A datagram with more parts than there is room for changes nothing.
    #[test]
    fn what_does_not_fit_changes_nothing() {
        let parts = [[1; 4], [2; 4], [3; 4]];
        let mut gather = Gather::new(2, 2);
        let mut all = gather.start();
        let three = [&parts[2][..], &parts[1], &parts[0]];
        assert_eq!(all.push(&three, None), Err(PushError::Full));
        assert!(all.is_empty());
        all.push(&three[..2], None).unwrap();
        assert_eq!(all.len(), 1);
    }
}
