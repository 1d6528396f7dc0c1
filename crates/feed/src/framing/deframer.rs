//! From received bytes back to packets.

use super::{Framing, FramingError, PREFIX};

/// Cuts a byte stream into packets. One per connection.
///
/// A packet that lies whole in the input is returned where it lies, without a copy; only one that
/// straddles two inputs is put together in the deframer's own buffer, allocated at construction.
///
/// ```
/// use tautline_feed::framing::{Deframer, Framing};
/// let mut deframer = Deframer::new(Framing::Rfc4571, 1500);
/// let mut packets = Vec::new();
/// for piece in [&[0, 3, b'a'][..], &[b'b', b'c', 0]] {
///     let mut input = piece;
///     while let Some(packet) = deframer.next(&mut input)? {
///         packets.push(packet.to_vec());
///     }
/// }
/// assert_eq!(packets, [b"abc"]);
/// assert!(deframer.finish().is_err(), "the stream ended inside the second prefix");
/// # Ok::<(), tautline_feed::framing::FramingError>(())
/// ```
#[derive(Debug)]
pub struct Deframer {
    framing: Framing,
    /// Largest packet accepted; at most what the prefix can announce.
    limit: usize,
    /// Holds the unfinished packet, prefix included; `limit + PREFIX` long, empty for raw framing.
    partial: Box<[u8]>,
    /// Bytes of `partial` in use; 0 between packets.
    held: usize,
    received: Received,
}

/// What a deframer has let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// Completed packets.
    pub packets: u64,
    /// Their bytes, without prefixes.
    pub bytes: u64,
}

impl Deframer {
    /// A deframer that accepts packets (or, for raw framing, cuts chunks) of at most `limit` bytes.
    ///
    /// `limit` is clamped to 1 ..= [`MAX_PACKET`](super::MAX_PACKET).
    #[must_use]
    pub fn new(framing: Framing, limit: usize) -> Self {
        let limit = limit.clamp(1, super::MAX_PACKET);
        let room = match framing {
            Framing::Rfc4571 => limit + PREFIX,
            Framing::Raw => 0,
        };
        Self {
            framing,
            limit,
            partial: vec![0; room].into(),
            held: 0,
            received: Received::default(),
        }
    }

    /// The next packet of `input`, which is moved past what was used. `None` means that `input` is
    /// empty and more must be received.
    ///
    /// # Errors
    /// [`FramingError::TooLong`]; the connection is of no further use then.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'s [u8]>, FramingError> {
        let found = match self.framing {
            Framing::Raw => self.next_chunk(input),
            Framing::Rfc4571 if self.held == 0 => self.next_in_place(input)?,
            Framing::Rfc4571 => None,
        };
        if let Some(packet) = found {
            self.received.count(packet.len());
            return Ok(Some(packet));
        }
        self.next_assembled(input)
    }

    /// States that the stream has ended, and reports what came through.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] if it ended inside a packet.
    pub fn finish(&self) -> Result<Received, FramingError> {
        if self.held == 0 {
            return Ok(self.received);
        }
        Err(FramingError::Truncated {
            index: self.received.packets,
            got: self.held,
            expected: self.announced().map_or(PREFIX, |body| PREFIX + body),
        })
    }

    /// What has come through so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.received
    }

    /// Forgets an unfinished packet, for a new connection; the counts stay.
    pub fn reset(&mut self) {
        self.held = 0;
    }

    fn next_chunk<'i>(&self, input: &mut &'i [u8]) -> Option<&'i [u8]> {
        if input.is_empty() {
            return None;
        }
        let (chunk, rest) = input.split_at(input.len().min(self.limit));
        *input = rest;
        Some(chunk)
    }

    /// A packet that lies whole at the start of `input`.
    fn next_in_place<'i>(&self, input: &mut &'i [u8]) -> Result<Option<&'i [u8]>, FramingError> {
        let Some((prefix, rest)) = input.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let body = self.check(*prefix)?;
        let Some((packet, rest)) = rest.split_at_checked(body) else {
            return Ok(None);
        };
        *input = rest;
        Ok(Some(packet))
    }

    /// A packet put together from this input and earlier ones.
    fn next_assembled(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, FramingError> {
        if self.framing == Framing::Raw || !self.hold(input, PREFIX) {
            return Ok(None);
        }
        let body = self.check([self.partial[0], self.partial[1]])?;
        if !self.hold(input, PREFIX + body) {
            return Ok(None);
        }
        self.held = 0;
        self.received.count(body);
        Ok(Some(&self.partial[PREFIX..PREFIX + body]))
    }

    /// Takes from `input` until `target` bytes are held; whether they are.
    fn hold(&mut self, input: &mut &[u8], target: usize) -> bool {
        debug_assert!(target <= self.partial.len());
        let missing = target.saturating_sub(self.held);
        let (taken, rest) = input.split_at(missing.min(input.len()));
        self.partial[self.held..self.held + taken.len()].copy_from_slice(taken);
        self.held += taken.len();
        *input = rest;
        self.held >= target
    }

    /// The length that the held prefix announces, once it is complete.
    fn announced(&self) -> Option<usize> {
        let complete = self.held >= PREFIX;
        complete.then(|| usize::from(u16::from_be_bytes([self.partial[0], self.partial[1]])))
    }

    fn check(&self, prefix: [u8; PREFIX]) -> Result<usize, FramingError> {
        let announced = usize::from(u16::from_be_bytes(prefix));
        if announced <= self.limit {
            return Ok(announced);
        }
        Err(FramingError::TooLong { index: self.received.packets, announced, limit: self.limit })
    }
}

impl Received {
    fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}
