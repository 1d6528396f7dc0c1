//! The sending half of a connection: frames are written where they are sent from.

use std::io::{self, IoSlice};

use tautline_buffer::{Fifo, Lent};
use tautline_net::Link;

use super::SendError;
use crate::deflate::{Config, Deflater, Part, Terms, bound};
use crate::frame::{self, FIN, Header, LONGEST, MOST_CONTROL, Opcode};
use crate::{Role, Stock};

/// A payload from this length on is not copied to be sent, where it can be sent as it is.
const LARGE: usize = 32 << 10;

/// The stream of a connection, and what is to be sent on it.
///
/// While a batch of received messages is answered, frames are written one behind the other into a
/// ring, which leaves in one call at the end of the batch: it is *corked*. What the kernel and
/// the queue of the stream do not take stays in the ring, and everything that follows comes
/// behind it.
pub(super) struct Wire {
    pub(super) link: Link,
    stock: Stock,
    role: Role,
    /// Frames that have not been handed to the stream. Absent while there are none, and none
    /// are expected.
    staged: Option<Lent>,
    /// Bytes behind them that were written and not committed.
    written: usize,
    /// A batch is being answered.
    corked: bool,
    /// The same, and what is sent is not masked.
    bare: bool,
    /// Staged frames wait until the stream takes more.
    blocked: bool,
    /// For messages that are compressed, if that was agreed on.
    deflater: Option<Box<Deflater>>,
}

impl Wire {
    pub(super) fn new(link: Link, stock: Stock, role: Role) -> Self {
        Self {
            link,
            stock,
            role,
            staged: None,
            written: 0,
            corked: false,
            bare: false,
            blocked: false,
            deflater: None,
        }
    }

    /// A batch begins.
    #[inline]
    pub(super) fn cork(&mut self) {
        self.corked = true;
        self.bare = self.role == Role::Server && self.deflater.is_none();
    }

    /// The batch is over: what was staged leaves.
    #[inline]
    pub(super) fn uncork(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        (self.corked, self.bare) = (false, false);
        flushed
    }

    /// Compresses messages from now on.
    pub(super) fn deflate(&mut self, terms: Terms, config: &Config) {
        let contexts = self.stock.contexts();
        self.deflater = Some(Box::new(Deflater::new(contexts, terms, config)));
    }

    /// Whether a message of so many bytes, or one that begins with so many, is compressed.
    pub(super) fn compresses(&self, length: usize) -> bool {
        self.deflater.as_ref().is_some_and(|deflater| deflater.wants(length))
    }

    /// Whether the peer takes less than it is sent.
    #[inline]
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Sends a short message of a server within a batch: what is done most often. `false`: it is
    /// none, or there is no room.
    #[inline(always)]
    pub(super) fn put_short(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let short = payload.len() <= MOST_CONTROL && self.bare;
        let (true, Some(staged)) = (short, &mut self.staged) else { return false };
        let room = staged.claim(usize::MAX);
        let (start, end) = (self.written + 2, self.written + 2 + payload.len());
        if end > room.len() {
            return false;
        }
        (room[start - 2], room[start - 1]) = (FIN | opcode.bits(), payload.len() as u8);
        frame::copy(&mut room[start..end], payload);
        self.written = end;
        true
    }

    /// Sends a frame, or the part of it that its header announces.
    pub(super) fn put(&mut self, mut header: Header, payload: &[u8]) -> Result<(), SendError> {
        if self.role == Role::Client {
            header.mask = Some(self.stock.key());
        }
        if self.put_staged(&header, payload) {
            return if self.corked { Ok(()) } else { Ok(self.flush()?) };
        }
        self.put_slowly(&header, payload)
    }

    /// Writes a frame behind those that are staged. `false`: there is no room for it, or no ring.
    #[inline]
    fn put_staged(&mut self, header: &Header, payload: &[u8]) -> bool {
        let Some(staged) = &mut self.staged else { return false };
        let room = &mut staged.claim(usize::MAX)[self.written..];
        if header.length() + payload.len() > room.len() {
            return false;
        }
        self.written += frame::put(room, header, payload);
        true
    }

    /// Compresses a message, or the next fragment of one, and sends that. Where all contexts are in
    /// use, a message is sent as it is.
    //= RFC 7692 §7.2.1
    pub(super) fn put_deflated(&mut self, header: Header, payload: &[u8]) -> Result<(), SendError> {
        // What the peer would not get must not become part of the context: first there is to be room.
        self.make_room(bound(payload.len()) + LONGEST)?;
        let Some(deflater) = &mut self.deflater else { return self.put(header, payload) };
        let (_, ring) = self.stock.ring_for(bound(payload.len()));
        let mut ring = ring.map_err(io::Error::other)?;
        let room = ring.claim(usize::MAX);
        let part = if header.fin { Part::Last } else { Part::Flush };
        let deflated = match deflater.deflate(payload, room, part) {
            Ok(deflated) if deflated.is_done => deflated,
            Ok(deflated) => {
                let (length, room) = (payload.len(), deflated.consumed);
                return Err(self.torn(room, length));
            }
            Err(_) => return self.put(header, payload),
        };
        ring.commit(deflated.produced);
        let compressed = header.opcode != Opcode::Continuation;
        let header = Header { compressed, length: deflated.produced as u64, ..header };
        self.put(header, ring.readable()).map_err(|_| self.torn(0, payload.len()))
    }

    /// Sees to it that a frame of so many bytes will be taken.
    fn make_room(&mut self, length: usize) -> Result<(), SendError> {
        let staged = self.written + self.staged.as_ref().map_or(0, |staged| staged.used());
        if !self.blocked && staged + length <= self.link.conn().room() {
            return Ok(());
        }
        self.flush()?;
        if self.blocked {
            return Err(SendError::Full { queued: self.queued() });
        }
        self.check_room(length)
    }

    /// There is no room for the frame, or no ring.
    #[cold]
    fn put_slowly(&mut self, header: &Header, payload: &[u8]) -> Result<(), SendError> {
        self.flush()?;
        let length = header.length() + payload.len();
        if self.staged.is_none() && header.mask.is_none() && (!self.corked || length > LARGE) {
            return self.put_unmasked(header, payload);
        }
        self.stage()?;
        if !self.put_staged(header, payload) {
            if self.blocked {
                return Err(SendError::Full { queued: self.queued() });
            }
            self.check_room(length)?;
            self.put_in_pieces(header, payload)?;
        }
        if !self.corked {
            self.flush()?;
        }
        Ok(())
    }

    /// Straight from where the payload lies.
    fn put_unmasked(&mut self, header: &Header, payload: &[u8]) -> Result<(), SendError> {
        let mut room = [0; LONGEST];
        let n = header.put(&mut room);
        let head = &room[..n];
        let length = head.len() + payload.len();
        self.check_room(length)?;
        let parts = [IoSlice::new(head), IoSlice::new(payload)];
        let taken = self.link.send(&parts)?;
        if taken == length {
            return Ok(());
        }
        // The queue has room, but its memory is used up by others.
        let torn = self.stage().is_ok_and(|staged| staged.free() < length - taken);
        if torn {
            return Err(self.torn(taken, length));
        }
        let staged = self.stage()?;
        staged.put(&head[taken.min(head.len())..]);
        staged.put(&payload[taken.saturating_sub(head.len())..]);
        self.blocked = true;
        Ok(())
    }

    /// A frame that is longer than the ring, masked piece by piece.
    fn put_in_pieces(&mut self, header: &Header, payload: &[u8]) -> Result<(), SendError> {
        let length = payload.len();
        let staged = self.stage()?;
        let n = header.put(staged.claim(LONGEST));
        staged.commit(n);
        let (mut rest, mut phase) = (payload, 0);
        while !rest.is_empty() {
            let staged = self.stage()?;
            let room = staged.claim(rest.len());
            let (piece, behind) = rest.split_at(room.len());
            room.copy_from_slice(piece);
            if let Some(key) = header.mask {
                phase = tautline_buffer::kernels::unmask(room, key, phase);
            }
            let n = piece.len();
            staged.commit(n);
            rest = behind;
            if !rest.is_empty() {
                self.flush()?;
                if self.blocked {
                    return Err(self.torn(length - rest.len(), length));
                }
            }
        }
        Ok(())
    }

    /// Whether the queue of the stream takes all of a frame. One that is longer than may wait is
    /// taken when nothing does.
    fn check_room(&mut self, length: usize) -> Result<(), SendError> {
        let conn = self.link.conn();
        if length <= conn.room() {
            return Ok(());
        }
        match self.queued() {
            0 => {
                conn.set_write_limit(length);
                let room = conn.room();
                if length <= room { Ok(()) } else { Err(SendError::TooLong { length, room }) }
            }
            queued => Err(SendError::Full { queued }),
        }
    }

    /// A part of a frame has left, and the rest never will: nothing can follow it.
    #[cold]
    fn torn(&mut self, taken: usize, of: usize) -> SendError {
        self.link.conn().abort();
        SendError::Torn { taken, of }
    }

    /// The ring that frames are written to.
    fn stage(&mut self) -> io::Result<&mut Lent> {
        match &mut self.staged {
            Some(staged) => Ok(staged),
            none => Ok(none.insert(self.stock.ring().map_err(io::Error::other)?)),
        }
    }

    /// Hands what is staged to the stream: at once at the end of a batch, else for the end of the
    /// turn.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(staged) = &mut self.staged else { return Ok(()) };
        staged.commit(std::mem::take(&mut self.written));
        if !staged.is_empty() {
            let bytes = staged.readable();
            let taken = match self.corked {
                true => self.link.send_now(bytes)?,
                false => self.link.send(&[IoSlice::new(bytes)])?,
            };
            staged.consume(taken);
        }
        self.blocked = !staged.is_empty();
        if !self.blocked {
            self.staged = None;
        }
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub(super) fn queued(&self) -> usize {
        self.link.conn().queued()
            + self.staged.as_ref().map_or(0, |staged| staged.used())
            + self.written
    }
}
