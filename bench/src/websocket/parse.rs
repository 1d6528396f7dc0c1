//! `parse-…`: nanoseconds to find and unmask a frame, in process: the bytes are copied in as a
//! receive would, and each payload is looked at.

use std::hint::black_box;

use tautline_buffer::{Fifo, Mirrored, kernels::unmask};
use tautline_websocket::Role as End;
use tautline_websocket::read::{Event, Limits, Next, Reader};

use super::BUFFER;
use super::generator::Script;
use super::limit::header;
use crate::harness::{Contender, Failure, Group, Metric, Role, Sample, sys::Stopwatch};

const ROWS: [(&str, usize); 2] = [("parse-16", 16), ("parse-1k", 1024)];
/// Times that a buffer full of frames is parsed.
const LAPS: usize = 200;

pub(super) fn groups() -> Vec<Group> {
    ROWS.iter().map(|&(name, length)| group(name, length)).collect()
}

fn group(name: &'static str, length: usize) -> Group {
    let count = BUFFER / (length + 8);
    let ours = move || measure(length, count, &mut Ours::new());
    let bare = move || measure(length, count, &mut Bare { buffer: vec![0; BUFFER] });
    Group {
        metrics: vec![Metric::lower(name, "ns")],
        contenders: vec![
            Contender::new("tautline", Role::Tautline, ours),
            Contender::new("bare", Role::Limit, bare),
            Contender::new("tungstenite", Role::Peer, move || tungstenite(length, count)),
        ],
        note: None,
    }
}

/// Finds frames in bytes.
trait Parses {
    /// Returns how many it has found, and the sum of their last bytes.
    fn parse(&mut self, bytes: &[u8]) -> (usize, u64);
}

fn measure(length: usize, count: usize, parser: &mut impl Parses) -> Result<Sample, Failure> {
    let script = Script::new(length, count);
    parser.parse(&script.sent);
    let watch = Stopwatch::start();
    let mut found = 0;
    for _ in 0..LAPS {
        let (frames, sum) = parser.parse(&script.sent);
        found += frames;
        black_box(sum);
    }
    let took = watch.stop();
    let (sent, answered) = ((LAPS * count) as u64, found as u64);
    if sent != answered {
        return Err(Failure::Miscounted { sent, answered });
    }
    Ok(Sample::of_work(took, found))
}

struct Ours {
    ring: Mirrored,
    reader: Reader,
}

impl Ours {
    fn new() -> Self {
        let ring = Mirrored::new(BUFFER).expect("a ring of the smallest size");
        Self { ring, reader: Reader::new(End::Server, Limits::default()) }
    }
}

impl Parses for Ours {
    fn parse(&mut self, bytes: &[u8]) -> (usize, u64) {
        self.ring.put(bytes);
        let bytes = self.ring.readable_mut();
        let (mut at, mut frames, mut sum) = (0, 0, 0);
        while let Ok(Next::Event { used, event }) = self.reader.next(&mut bytes[at..]) {
            if let Event::Binary(payload) = event {
                sum += u64::from(*payload.last().unwrap_or(&0));
                frames += 1;
            }
            at += used;
        }
        self.ring.consume(at);
        (frames, sum)
    }
}

struct Bare {
    buffer: Vec<u8>,
}

impl Parses for Bare {
    fn parse(&mut self, bytes: &[u8]) -> (usize, u64) {
        let held = bytes.len();
        self.buffer[..held].copy_from_slice(bytes);
        let (mut at, mut frames, mut sum) = (0, 0, 0);
        while let Some((start, key, length)) = header(&self.buffer[at..held]) {
            let payload = &mut self.buffer[at + start..at + start + length];
            unmask(payload, key, 0);
            sum += u64::from(*payload.last().unwrap_or(&0));
            frames += 1;
            at += start + length;
        }
        (frames, sum)
    }
}

/// Its blocking reader over bytes at hand.
fn tungstenite(length: usize, count: usize) -> Result<Sample, Failure> {
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    let script = Script::new(length, count);
    let bytes = script.sent.repeat(LAPS);
    let config = WebSocketConfig::default().read_buffer_size(BUFFER);
    let stream = std::io::Cursor::new(bytes);
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let watch = Stopwatch::start();
    let (mut found, mut sum) = (0, 0);
    while let Ok(message) = socket.read() {
        sum += u64::from(*message.into_data().last().unwrap_or(&0));
        found += 1;
    }
    let took = watch.stop();
    black_box(sum);
    let (sent, answered) = ((LAPS * count) as u64, found as u64);
    if sent != answered {
        return Err(Failure::Miscounted { sent, answered });
    }
    Ok(Sample::of_work(took, found))
}
