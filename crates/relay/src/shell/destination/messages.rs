//! Datagrams on their way into one system call, sent from where they lie. Those that follow each
//! other and are of one length go as one message, which the kernel or the network card divides
//! again (`UDP_SEGMENT`).

use std::io;

use rustix::io::Errno;
use socket2::SockAddr;
use tautline_runtime::{Conn, Gather, Gathering};

use crate::pool::Run;
use crate::queue::Wire;

/// Messages in one system call.
const BATCH: usize = 64;
/// Datagrams of one message at most: as many as every kernel divides.
const JOINED: usize = 64;
/// Bytes of one message at most: what an IPv4 packet carries.
const BYTES: usize = 65_507;
/// Parts of all messages of a system call at most.
const PARTS: usize = 1024;

/// The messages of one send. All memory is allocated at construction.
pub(super) struct Messages {
    gather: Gather,
    /// The messages put together last.
    messages: Vec<Message>,
    /// Longer datagrams go one by one: the kernel has refused them joined.
    longest: usize,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self {
            gather: Gather::new(BATCH, PARTS),
            messages: Vec::with_capacity(BATCH),
            longest: BYTES,
        }
    }

    /// Sends the first of `runs` to `peer`, as many as one call carries. Returns how many datagrams
    /// the kernel took.
    pub(super) fn send<'d>(
        &mut self,
        runs: impl Iterator<Item = &'d Run>,
        over: &Conn,
        peer: &'d SockAddr,
    ) -> io::Result<usize> {
        let longest = self.longest;
        let mut datagrams = self.gather.start();
        join(runs.flat_map(|run| pieces(run, longest)), &mut self.messages, &mut datagrams, peer);
        let sent = datagrams.send(over, 0)?;
        Ok(self.messages[..sent].iter().map(|message| message.count).sum())
    }

    /// Whether `error`, which a send gave, may be about joined datagrams only: the path's packets
    /// are too short for them, or the device cannot divide. Such datagrams go one by one from then
    /// on, so that a second try ends.
    pub(super) fn go_apart(&mut self, error: &io::Error) -> bool {
        let Some(first) = self.messages.first().filter(|first| first.count > 1) else {
            return false;
        };
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INVAL | Errno::MSGSIZE) => self.longest = first.segment - 1,
            Some(Errno::IO) => self.longest = 0,
            _ => return false,
        }
        true
    }
}

/// Puts the first of `pieces` into messages, as many as there is room for.
fn join<'d>(
    pieces: impl Iterator<Item = Piece<'d>>,
    messages: &mut Vec<Message>,
    datagrams: &mut Gathering<'_, 'd>,
    peer: &'d SockAddr,
) {
    messages.clear();
    for piece in pieces {
        match messages.last_mut() {
            Some(last) if last.takes(&piece) && datagrams.append(piece.bytes).is_ok() => {
                last.add(&piece);
            }
            _ if datagrams.push(&[piece.bytes], Some(peer)).is_ok() => {
                messages.push(Message::of(&piece));
            }
            _ => break,
        }
        if let Some(last) = messages.last().filter(|last| last.count > 1) {
            datagrams.divide(last.segment as u16);
        }
    }
}

/// Datagrams that lie one behind the other: a run, or what one message takes of it.
struct Piece<'d> {
    bytes: &'d [u8],
    segment: usize,
    count: usize,
    /// They may be joined with others.
    joins: bool,
}

/// What each message takes of `run`; datagrams longer than `longest` are alone.
fn pieces(run: &Run, longest: usize) -> impl Iterator<Item = Piece<'_>> {
    let (bytes, segment) = (run.bytes(), run.segment().max(1));
    let joins = segment <= longest && !bytes.is_empty();
    let most = if joins { JOINED.min(BYTES / segment).max(1) } else { 1 };
    (0..run.packets()).step_by(most).map(move |first| {
        let count = most.min(run.packets() - first);
        let bytes = &bytes[first * segment..bytes.len().min((first + count) * segment)];
        Piece { bytes, segment: segment.min(bytes.len()), count, joins }
    })
}

/// Datagrams that leave as one message: of one length, but for the last, which may be shorter.
struct Message {
    segment: usize,
    bytes: usize,
    count: usize,
    /// The shorter one is there, or what is there goes alone.
    ended: bool,
}

impl Message {
    fn of(piece: &Piece<'_>) -> Self {
        let Piece { bytes, segment, count, joins } = *piece;
        let ended = !joins || bytes.len() < count * segment;
        Self { segment, bytes: bytes.len(), count, ended }
    }

    /// Whether `piece` can follow. An empty datagram leaves no trace in a message.
    fn takes(&self, piece: &Piece<'_>) -> bool {
        let fits = self.count + piece.count <= JOINED && self.bytes + piece.bytes.len() <= BYTES;
        let alike = piece.segment == self.segment || piece.count == 1;
        fits && alike && !self.ended && piece.joins && piece.segment <= self.segment
    }

    fn add(&mut self, piece: &Piece<'_>) {
        self.bytes += piece.bytes.len();
        self.count += piece.count;
        self.ended = self.bytes < self.count * self.segment;
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::pool::Pool;
    use crate::units::Nanos;

    /// Runs of these lengths of datagrams: (length of each, how many, length of a last one).
    type Shape = (usize, usize, Option<usize>);

    fn single(lengths: &[usize]) -> Vec<Shape> {
        lengths.iter().map(|&len| (len, 1, None)).collect()
    }

    fn runs(shapes: &[Shape]) -> Vec<Run> {
        let pool = Pool::new(shapes.len(), 65_535).unwrap();
        let run = |&(len, count, last): &Shape| {
            let bytes = len * count + last.unwrap_or(0);
            let mut claim = pool.claim().unwrap();
            claim.space(bytes);
            claim.freeze_joined(bytes, len, Nanos(0))
        };
        shapes.iter().map(run).collect()
    }

    /// The datagrams of each message.
    fn counts(messages: &mut Messages, shapes: &[Shape]) -> Vec<usize> {
        let (runs, peer) = (runs(shapes), SocketAddr::from(([127, 0, 0, 1], 9)).into());
        let pieces = runs.iter().flat_map(|run| pieces(run, messages.longest));
        join(pieces, &mut messages.messages, &mut messages.gather.start(), &peer);
        messages.messages.iter().map(|message| message.count).collect()
    }

    /// Proves that runs end where a length changes, at the limits, and that what is alone or empty
    /// goes alone.
    #[test]
    fn datagrams_of_one_length_are_joined() {
        let mut messages = Messages::new();
        let mut of = |lengths: &[usize]| counts(&mut messages, &single(lengths));
        assert_eq!(of(&[7]), [1]);
        assert_eq!(of(&[9, 9, 9, 4, 4, 5, 0, 0, 5]), [4, 1, 1, 1, 1, 1]);
        assert_eq!(of(&[10; 150]), [64, 64, 22]);
        assert_eq!(of(&[30_000, 30_000, 30_000, 65_507, 1]), [2, 1, 1, 1]);
        assert_eq!(of(&[1, 2].repeat(100)), [[1].as_slice(), &[2; 63]].concat());
    }

    /// Proves that what came joined leaves joined, with more of its length, up to a shorter one,
    /// and is divided where it is too much for a message.
    #[test]
    fn runs_that_came_joined_are_joined_further() {
        let mut messages = Messages::new();
        let mut of = |shapes: &[Shape]| counts(&mut messages, shapes);
        assert_eq!(of(&[(100, 16, None), (100, 16, None), (100, 1, None)]), [33]);
        assert_eq!(of(&[(100, 16, Some(50)), (100, 16, None)]), [17, 16]);
        assert_eq!(of(&[(100, 2, None), (50, 1, None), (100, 2, None)]), [3, 2]);
        assert_eq!(of(&[(100, 2, None), (50, 2, None)]), [2, 2]);
        assert_eq!(of(&[(10, 150, Some(5))]), [64, 64, 23]);
        assert_eq!(of(&[(1_200, 50, None), (1_200, 10, None)]), [50, 10]);
        assert_eq!(of(&[(30_000, 2, None), (30_000, 2, None)]), [2, 2]);
    }

    /// Proves that what the kernel refuses joined goes apart from then on, and nothing else does.
    #[test]
    fn refused_runs_go_apart() {
        let error = |code: Errno| io::Error::from_raw_os_error(code.raw_os_error());
        let mut messages = Messages::new();
        let mixed = [(3_000, 2, None), (900, 2, None)];
        assert_eq!(counts(&mut messages, &mixed), [2, 2]);
        assert!(!messages.go_apart(&error(Errno::NETUNREACH)));
        assert!(messages.go_apart(&error(Errno::MSGSIZE)));
        assert_eq!(counts(&mut messages, &mixed), [1, 1, 2]);
        assert!(!messages.go_apart(&error(Errno::MSGSIZE)), "the first one is alone");
        assert_eq!(counts(&mut messages, &single(&[900, 900])), [2]);
        assert!(messages.go_apart(&error(Errno::IO)));
        assert_eq!(counts(&mut messages, &[(1, 2, None), (1, 1, None)]), [1, 1, 1]);
    }
}
