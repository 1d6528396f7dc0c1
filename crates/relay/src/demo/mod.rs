//! The built-in feed: sequenced packets whose every byte the receiver can check.
//!
//! | bytes | content |
//! | --- | --- |
//! | 0..4 | magic `TLDF` |
//! | 4..8 | packet length, big-endian |
//! | 8..16 | sequence number from 0, big-endian |
//! | 16..24 | send time in nanoseconds, big-endian |
//! | 24.. | pattern: a pseudo-random run seeded by sequence number, send time and length |
//!
//! The pattern depends on the header, so that a flipped bit anywhere is found. [`Feed`] paces and
//! writes packets, a [`Checker`] for each subscriber reads them.

mod checker;
mod feed;

pub use checker::{CheckReport, Checker, Verdict};
pub use feed::Feed;

/// Smallest packet: the header and eight bytes of pattern.
pub const MIN_SIZE: usize = 32;

const MAGIC: [u8; 4] = *b"TLDF";
const HEADER: usize = 24;

/// The header of a packet, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    len: u32,
    seq: u64,
    sent: u64,
}

impl Header {
    fn write(self, packet: &mut [u8]) {
        packet[..4].copy_from_slice(&MAGIC);
        packet[4..8].copy_from_slice(&self.len.to_be_bytes());
        packet[8..16].copy_from_slice(&self.seq.to_be_bytes());
        packet[16..HEADER].copy_from_slice(&self.sent.to_be_bytes());
    }

    /// The header, if `packet` begins with one.
    fn read(packet: &[u8]) -> Option<Self> {
        let (magic, rest) = packet.split_first_chunk::<4>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (sent, _) = rest.split_first_chunk::<8>()?;
        let len = u32::from_be_bytes(*len);
        (*magic == MAGIC).then(|| Self {
            len,
            seq: u64::from_be_bytes(*seq),
            sent: u64::from_be_bytes(*sent),
        })
    }

    /// The pattern's words. A multiplicative step: one multiplication for eight bytes.
    fn pattern(self) -> impl Iterator<Item = [u8; 8]> {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let seed = self.seq ^ self.sent.rotate_left(24) ^ (u64::from(self.len) << 48);
        let mut word = seed.wrapping_mul(STEP) | 1;
        core::iter::repeat_with(move || {
            word = word.wrapping_mul(STEP).rotate_left(29);
            word.to_le_bytes()
        })
    }
}

fn write_pattern(header: Header, body: &mut [u8]) {
    for (place, word) in body.chunks_mut(8).zip(header.pattern()) {
        place.copy_from_slice(&word[..place.len()]);
    }
}

fn holds_pattern(header: Header, body: &[u8]) -> bool {
    body.chunks(8).zip(header.pattern()).all(|(place, word)| *place == word[..place.len()])
}
