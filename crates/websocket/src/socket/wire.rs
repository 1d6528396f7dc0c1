//! The sending half of a connection: frames are written where they are sent from.

use std::io::{self, IoSlice};

use tautline_buffer::{Fifo, LendError, Lent};
use tautline_net::Link;

use super::SendError;
use crate::deflate::{Config, Deflater, Part, Terms, bound};
use crate::frame::{self, FIN, Header, LONGEST, MOST_CONTROL, Opcode};
use crate::{Role, Stock};

/// A payload from this length on is not copied to be sent, where it can be sent as it is.
const LARGE: usize = 32 << 10;

/// Bytes that are masked at a time where there is no ring to do it in.
const PIECE: usize = 2048;

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
    /// Bytes that may wait in the queue of the stream. One frame may go beyond.
    limit: usize,
    /// The stream was told that more may wait, for the sake of that frame.
    raised: bool,
    /// Frames that have not been handed to the stream. Absent while there are none, and none
    /// are expected.
    staged: Option<Lent>,
    /// Bytes behind them that were written and not committed.
    written: usize,
    /// A batch is being answered.
    corked: bool,
    /// A message may be sent: the connection is open, and none is under way in fragments.
    sends: bool,
    /// Messages of fewer bytes are sent the short way: within a batch, by a server, that compresses
    /// nothing. 0 where a message may not be sent.
    short: usize,
    /// So much waits that there is to be no more: staged frames do, or the queue is full.
    blocked: bool,
    /// For messages that are compressed, if that was agreed on.
    deflater: Option<Box<Deflater>>,
}

impl Wire {
    pub(super) fn new(link: Link, stock: Stock, role: Role, limit: usize) -> Self {
        link.conn().set_write_limit(limit);
        Self {
            link,
            stock,
            role,
            limit,
            raised: false,
            staged: None,
            written: 0,
            corked: false,
            sends: true,
            short: 0,
            blocked: false,
            deflater: None,
        }
    }

    /// A batch begins.
    #[inline]
    pub(super) fn cork(&mut self) {
        self.corked = true;
        self.choose_way();
    }

    /// Messages may be sent from now on, or no more.
    pub(super) fn let_send(&mut self, sends: bool) {
        self.sends = sends;
        self.choose_way();
    }

    #[inline]
    fn choose_way(&mut self) {
        let bare = self.role == Role::Server && self.deflater.is_none();
        self.short = if self.corked && bare && self.sends { MOST_CONTROL + 1 } else { 0 };
    }

    /// The batch is over: what was staged leaves.
    #[inline]
    pub(super) fn uncork(&mut self) -> io::Result<()> {
        let flushed = self.flush();
        (self.corked, self.short) = (false, 0);
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
        let length = payload.len();
        let (true, Some(staged)) = (length < self.short, &mut self.staged) else { return false };
        let end = self.written + 2 + length;
        let room = staged.claim(usize::MAX).get_mut(self.written..end);
        let Some((head, place)) = room.and_then(|room| room.split_first_chunk_mut()) else {
            return false;
        };
        *head = [FIN | opcode.bits(), length as u8];
        frame::copy(place, payload);
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
        let sent = self.put_slowly(&header, payload);
        self.settle();
        sent
    }

    /// Sends the last frame there is: behind everything that waits, though that is as much as may.
    pub(super) fn put_last(&mut self, header: Header, payload: &[u8]) -> Result<(), SendError> {
        match self.put(header, payload) {
            Err(SendError::Full { .. }) => {}
            done => return done,
        }
        let waits = self.queued() + header.length() + payload.len();
        // A layer may make more of it.
        self.link.conn().set_write_limit(waits + waits / 64 + 1024);
        self.raised = true;
        let sent = self.hand_over().map_err(SendError::from).and_then(|()| {
            let mask = (self.role == Role::Client).then(|| self.stock.key());
            self.put_without_ring(&Header { mask, ..header }, payload)
        });
        self.settle();
        sent
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

    /// Compresses a message, or the next fragment of one, and sends that. Returns whether it did: a
    /// message for which there is no memory, or that is too long for it, is sent as it is.
    //= RFC 7692 §7.2.1
    pub(super) fn put_deflated(
        &mut self,
        header: Header,
        payload: &[u8],
    ) -> Result<bool, SendError> {
        let begins = header.opcode != Opcode::Continuation;
        let most = bound(payload.len());
        // What the peer would not get must not become part of the context: first there is to be room.
        self.make_room(most + LONGEST)?;
        let ring = self.stock.ring_for(most).1.ok().filter(|ring| ring.free() >= most);
        let (Some(mut ring), Some(deflater)) = (ring, &mut self.deflater) else {
            return self.put_as_it_is(header, payload, begins);
        };
        let part = if header.fin { Part::Last } else { Part::Flush };
        let Ok(deflated) = deflater.deflate(payload, ring.claim(most), part) else {
            return self.put_as_it_is(header, payload, begins);
        };
        debug_assert!(deflated.is_done, "there was room for all of it");
        ring.commit(deflated.produced);
        let header = Header { compressed: begins, length: deflated.produced as u64, ..header };
        match self.put(header, ring.readable()) {
            Ok(()) => Ok(true),
            Err(_) => Err(self.torn(0, payload.len())),
        }
    }

    /// Only a whole message, or the first fragment of one, can do without being compressed.
    fn put_as_it_is(
        &mut self,
        header: Header,
        payload: &[u8],
        begins: bool,
    ) -> Result<bool, SendError> {
        if !begins {
            return Err(SendError::TooLong {
                length: payload.len(),
                room: self.stock.largest() / 2,
            });
        }
        self.put(header, payload).map(|()| false)
    }

    /// Sees to it that a frame of so many bytes will be taken.
    fn make_room(&mut self, length: usize) -> Result<(), SendError> {
        let staged = self.written + self.staged.as_ref().map_or(0, |staged| staged.used());
        if !self.blocked && staged + length <= self.link.conn().room() {
            return Ok(());
        }
        self.hand_over()?;
        self.check_room(length)
    }

    /// There is no room for the frame, or no ring.
    #[cold]
    fn put_slowly(&mut self, header: &Header, payload: &[u8]) -> Result<(), SendError> {
        self.hand_over()?;
        let length = header.length() + payload.len();
        if self.staged.is_none() && header.mask.is_none() && (!self.corked || length > LARGE) {
            return self.put_unmasked(header, payload);
        }
        match self.stage() {
            // All rings are in use, maybe by messages that only wait for this one to be answered.
            Err(SendError::Full { .. }) => return self.put_without_ring(header, payload),
            staged => staged.map(drop)?,
        }
        if !self.put_staged(header, payload) {
            self.check_room(length)?;
            self.put_in_pieces(header, payload)?;
        }
        if !self.corked {
            self.hand_over()?;
        }
        Ok(())
    }

    /// Straight from where the payload lies, or masked piece by piece. Nothing is staged.
    #[cold]
    fn put_without_ring(&mut self, header: &Header, payload: &[u8]) -> Result<(), SendError> {
        let Some(key) = header.mask else { return self.put_unmasked(header, payload) };
        let mut piece = [0; PIECE];
        let (mut at, length) = (header.put(&mut piece), header.length() + payload.len());
        self.check_room(length)?;
        let (mut rest, mut phase, mut sent) = (payload, 0, 0);
        loop {
            let (now, behind) = rest.split_at(rest.len().min(PIECE - at));
            let room = &mut piece[at..at + now.len()];
            room.copy_from_slice(now);
            phase = tautline_buffer::kernels::unmask(room, key, phase);
            let end = at + now.len();
            sent += self.link.send(&[IoSlice::new(&piece[..end])])?;
            if behind.is_empty() && sent == length {
                return Ok(());
            }
            if behind.is_empty() || sent < length - behind.len() {
                return Err(self.torn(sent, length));
            }
            (at, rest) = (0, behind);
        }
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
        match self.stage() {
            Ok(staged) if length - taken <= staged.free() => {
                staged.put(&head[taken.min(head.len())..]);
                staged.put(&payload[taken.saturating_sub(head.len())..]);
                Ok(())
            }
            _ => Err(self.torn(taken, length)),
        }
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
                self.hand_over()?;
                if self.staged.is_some() {
                    return Err(self.torn(length - rest.len(), length));
                }
            }
        }
        Ok(())
    }

    /// Whether a frame will be taken whole. While no more waits than may, one that goes beyond is.
    fn check_room(&mut self, length: usize) -> Result<(), SendError> {
        let conn = self.link.conn();
        let staged = self.staged.as_ref().map_or(0, |staged| staged.used());
        if staged == 0 && length <= conn.room() {
            return Ok(());
        }
        let waits = conn.queued();
        if staged > 0 || waits >= self.limit {
            return Err(SendError::Full { queued: waits + staged });
        }
        // A layer may make more of it: of TLS that is less than a hundredth.
        conn.set_write_limit(waits + length + length / 64 + 1024);
        self.raised = true;
        let room = conn.room();
        match length <= room {
            true => Ok(()),
            false if waits == 0 => Err(SendError::TooLong { length, room }),
            false => Err(SendError::Full { queued: waits }),
        }
    }

    /// Something was handed to the stream, or was to be: sees whether there is to be more. If not,
    /// the stream tells when there may be.
    fn settle(&mut self) {
        let conn = self.link.conn();
        if std::mem::take(&mut self.raised) {
            conn.set_write_limit(self.limit);
        }
        let waits = conn.queued();
        let is_full = waits >= self.limit;
        if is_full {
            conn.fell_short(0, waits);
        }
        self.blocked = is_full || self.staged.as_ref().is_some_and(|staged| !staged.is_empty());
    }

    /// A part of a frame has left, and the rest never will: nothing can follow it.
    #[cold]
    fn torn(&mut self, taken: usize, of: usize) -> SendError {
        self.link.conn().abort();
        SendError::Torn { taken, of }
    }

    /// The ring that frames are written to.
    fn stage(&mut self) -> Result<&mut Lent, SendError> {
        match &mut self.staged {
            Some(staged) => Ok(staged),
            none => match self.stock.ring() {
                Ok(ring) => Ok(none.insert(ring)),
                Err(LendError::Exhausted { .. }) => {
                    Err(SendError::Full { queued: self.link.conn().queued() })
                }
                Err(error) => Err(io::Error::other(error).into()),
            },
        }
    }

    /// Sends what is staged, as far as the stream takes it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.staged.is_some() || self.blocked {
            self.hand_over()?;
            self.settle();
        }
        Ok(())
    }

    /// Hands what is staged to the stream: at once at the end of a batch, else for the end of the
    /// turn.
    fn hand_over(&mut self) -> io::Result<()> {
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
        if staged.is_empty() {
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
