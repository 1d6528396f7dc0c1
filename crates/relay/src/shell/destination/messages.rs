//! Datagrams on their way into one system call. Those that follow each other and are of one length
//! go as one message, which the kernel or the network card divides again (`UDP_SEGMENT`).

use std::io;

use rustix::io::Errno;
use socket2::SockAddr;
use tautline_runtime::{Batch, Conn, To};

use crate::framing::MAX_PACKET;

/// Messages in one system call.
const BATCH: usize = 64;
/// Datagrams of one message at most: as many as every kernel divides.
const JOINED: usize = 64;
/// Bytes of one message at most: what an IPv4 packet carries.
const BYTES: usize = 65_507;

/// The messages of one send. All memory is allocated at construction.
pub(super) struct Messages {
    batch: Batch,
    /// How many datagrams each message of the batch consists of.
    counts: Vec<usize>,
    /// Where datagrams are joined; `BYTES` bytes.
    room: Vec<u8>,
    /// Longer datagrams go one by one: the kernel has refused them joined.
    longest: usize,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self {
            batch: Batch::new(BATCH, MAX_PACKET),
            counts: Vec::with_capacity(BATCH),
            room: Vec::with_capacity(BYTES),
            longest: BYTES,
        }
    }

    /// Takes in the first of `datagrams`, as many as one send carries, in place of what was there.
    pub(super) fn fill<'a>(&mut self, datagrams: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.batch.clear();
        self.counts.clear();
        let mut datagrams = datagrams.peekable();
        while self.counts.len() < BATCH
            && let Some(first) = datagrams.next()
        {
            let mut run = Run::of(first.len());
            if first.len() > self.longest || !run.takes_peeked(datagrams.peek()) {
                self.batch.push(first, None)?;
            } else {
                self.room.clear();
                self.room.extend_from_slice(first);
                while let Some(next) = datagrams.next_if(|next| run.takes(next.len())) {
                    run.add(next.len());
                    self.room.extend_from_slice(next);
                }
                self.batch.push_segments(&self.room, run.segment as u16, None)?;
            }
            self.counts.push(run.count);
        }
        Ok(())
    }

    /// Sends in one call. Returns how many datagrams the kernel took.
    pub(super) fn send(&mut self, over: &Conn, peer: &SockAddr) -> io::Result<usize> {
        let messages = self.batch.send(over, 0, To::All(peer))?;
        Ok(self.counts[..messages].iter().sum())
    }

    /// Whether `error`, which a send gave, may be about joined datagrams only: the path's packets
    /// are too short for them, or the device cannot divide. Such datagrams go one by one from then
    /// on, so that a second try ends.
    pub(super) fn go_apart(&mut self, error: &io::Error) -> bool {
        let joined = self.counts.first().is_some_and(|&count| count > 1);
        let segment =
            self.batch.get(0).and_then(|first| first.segments().next()).map_or(0, <[u8]>::len);
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INVAL | Errno::MSGSIZE) if joined => {
                self.longest = segment.saturating_sub(1)
            }
            Some(Errno::IO) if joined => self.longest = 0,
            _ => return false,
        }
        true
    }
}

/// Datagrams that can leave as one message: of one length, but for the last, which may be shorter.
struct Run {
    segment: usize,
    bytes: usize,
    count: usize,
    /// The shorter one is there.
    ended: bool,
}

impl Run {
    fn of(len: usize) -> Self {
        Self { segment: len, bytes: len, count: 1, ended: false }
    }

    /// Whether a datagram of `len` bytes can follow. An empty one leaves no trace in a message.
    fn takes(&self, len: usize) -> bool {
        let fits = self.count < JOINED && self.bytes + len <= BYTES;
        fits && !self.ended && (1..=self.segment).contains(&len)
    }

    fn takes_peeked(&self, next: Option<&&[u8]>) -> bool {
        next.is_some_and(|next| self.takes(next.len()))
    }

    fn add(&mut self, len: usize) {
        self.bytes += len;
        self.count += 1;
        self.ended = len < self.segment;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Datagrams of these lengths, each filled with its number.
    fn datagrams(lengths: &[usize]) -> Vec<Vec<u8>> {
        lengths.iter().enumerate().map(|(number, &len)| vec![number as u8; len]).collect()
    }

    fn filled(messages: &mut Messages, lengths: &[usize]) -> Vec<usize> {
        let datagrams = datagrams(lengths);
        messages.fill(datagrams.iter().map(Vec::as_slice)).unwrap();
        let divided: Vec<_> =
            messages.batch.iter().flat_map(|message| message.segments()).collect();
        let sent = messages.counts.iter().sum();
        let full: Vec<_> =
            datagrams[..sent].iter().filter(|datagram| !datagram.is_empty()).collect();
        assert_eq!(divided, full, "each datagram whole and in order");
        messages.counts.clone()
    }

    /// Proves that runs end where a length changes, at the limits, and that what is alone or empty
    /// goes alone; divided again all datagrams are as before.
    #[test]
    fn runs_of_one_length_are_joined() {
        let mut messages = Messages::new();
        assert_eq!(filled(&mut messages, &[7]), [1]);
        assert_eq!(filled(&mut messages, &[9, 9, 9, 4, 4, 5, 0, 0, 5]), [4, 1, 1, 1, 1, 1]);
        assert_eq!(filled(&mut messages, &[10; 150]), [64, 64, 22]);
        assert_eq!(filled(&mut messages, &[30_000, 30_000, 30_000, 65_507, 1]), [2, 1, 1, 1]);
        assert_eq!(filled(&mut messages, &[1, 2].repeat(100)), [[1].as_slice(), &[2; 63]].concat());
    }

    /// Proves that what the kernel refuses joined goes apart from then on, and nothing else does.
    #[test]
    fn refused_runs_go_apart() {
        let error = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
        let mut messages = Messages::new();
        filled(&mut messages, &[3_000, 3_000, 900, 900]);
        assert!(!messages.go_apart(&error(Errno::NETUNREACH)));
        assert!(messages.go_apart(&error(Errno::MSGSIZE)));
        assert_eq!(filled(&mut messages, &[3_000, 3_000, 900, 900]), [1, 1, 2]);
        assert!(!messages.go_apart(&error(Errno::MSGSIZE)), "the first one is alone");
        filled(&mut messages, &[900, 900]);
        assert!(messages.go_apart(&error(Errno::IO)));
        assert_eq!(filled(&mut messages, &[1, 1]), [1, 1]);
    }
}
