//! `deflate-1k` and `inflate-1k`: nanoseconds to compress a message of what venues send, and to have it
//! back, in process. Everybody compresses as hard, and keeps a window of 32 KiB from message to message.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, StreamExt};
use sockudo_ws::{DeflateConfig, DeflateContext};
use tautline_websocket::Role as End;
use tautline_websocket::deflate::{
    Config, Deflater, Inflater, Next as Done, Part, Pool, Terms, bound,
};
use tautline_websocket::frame::{self, Header, Opcode};
use tautline_websocket::read::{Event, Limits, Next, Reader};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateFlush};

use crate::harness::{Contender, Failure, Group, Metric, Role, Sample, sys::Stopwatch};

const LENGTH: usize = 1024;
/// Messages of one connection.
const MESSAGES: usize = 256;
/// Connections, one after the other.
const LAPS: usize = 8;
/// What ends each compressed message, and is left out: RFC 7692 §7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

const TERMS: Terms = Terms { takeover: true, window_bits: 15 };

pub(super) fn groups() -> Vec<Group> {
    vec![
        group("inflate-1k", [ours_inflates, bare_inflates, sockudo_inflates, yawc_inflates]),
        group("deflate-1k", [ours_deflates, bare_deflates, sockudo_deflates, yawc_deflates]),
    ]
}

type Slice = fn(&Messages) -> io::Result<Sample>;

fn group(name: &'static str, [ours, bare, sockudo, yawc]: [Slice; 4]) -> Group {
    let contender = |name, role, slice: Slice| {
        Contender::new(name, role, move || slice(&Messages::new()).map_err(Failure::Io))
    };
    Group {
        metrics: vec![Metric::lower(name, "ns")],
        contenders: vec![
            contender("tautline", Role::Tautline, ours),
            contender("zlib-rs", Role::Limit, bare),
            contender("sockudo", Role::Peer, sockudo),
            contender("yawc", Role::Peer, yawc),
        ],
        note: None,
    }
}

/// Messages, and their payloads as this crate compresses them.
struct Messages {
    plain: Vec<Vec<u8>>,
    deflated: Vec<Vec<u8>>,
}

impl Messages {
    fn new() -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let plain: Vec<_> = std::iter::repeat_with(|| ticks(&mut random)).take(MESSAGES).collect();
        let mut deflater = Deflater::new(&Pool::default(), TERMS, &Config::default());
        let deflated = plain.iter().map(|message| {
            let mut room = vec![0; bound(LENGTH)];
            let done =
                deflater.deflate(message, &mut room, Part::Last).expect("there is a context");
            room.truncate(done.produced);
            room
        });
        Self { deflated: deflated.collect(), plain }
    }

    /// All of them as a server sends them.
    fn on_the_wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for payload in &self.deflated {
            let header = Header { compressed: true, ..Header::new(Opcode::Binary, payload.len()) };
            let start = wire.len();
            wire.resize(start + header.length() + payload.len(), 0);
            frame::put(&mut wire[start..], &header, payload);
        }
        wire
    }

    /// Measures what is done with all messages of a connection; what has become of each goes to a check.
    fn measure(
        &self,
        mut lap: impl FnMut(&mut dyn FnMut(&[u8])) -> io::Result<()>,
        is_right: impl Fn(usize, &[u8]) -> bool,
    ) -> io::Result<Sample> {
        let mut wrong = 0;
        let mut at = 0;
        lap(&mut |bytes| {
            wrong += usize::from(!is_right(at, bytes));
            at += 1;
        })?;
        if wrong > 0 || at != MESSAGES {
            return Err(io::Error::other(format!("{wrong} of {at} messages are wrong")));
        }
        let watch = Stopwatch::start();
        let mut bytes = 0;
        for _ in 0..LAPS {
            lap(&mut |message| bytes += message.len())?;
        }
        std::hint::black_box(bytes);
        Ok(Sample::of_work(watch.stop(), LAPS * MESSAGES))
    }

    fn inflated(&self, at: usize, bytes: &[u8]) -> bool {
        self.plain.get(at).is_some_and(|plain| plain == bytes)
    }
}

/// What venues send: words that come again, and numbers that do not.
fn ticks(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut text = Vec::with_capacity(LENGTH + 80);
    while text.len() < LENGTH {
        let (price, size) = (random.u32(10_000..99_999), random.u32(1..1000));
        let line = format!("{{\"symbol\":\"BTC-USD\",\"price\":{price},\"size\":{size}}},");
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(LENGTH);
    text
}

/// Each message that was compressed, in turn, is what it was.
fn comes_back(messages: &Messages) -> impl Fn(usize, &[u8]) -> bool {
    let inflate = RefCell::new(Inflate::new(false, 15));
    move |at, payload| {
        let mut room = vec![0; LENGTH + 100];
        let length = inflated(&mut inflate.borrow_mut(), payload, &mut room);
        length.is_ok_and(|length| messages.inflated(at, &room[..length]))
    }
}

/// Where frames are found too.
fn ours_inflates(messages: &Messages) -> io::Result<Sample> {
    let wire = messages.on_the_wire();
    let mut bytes = wire.clone();
    let (pool, mut room) = (Pool::default(), vec![0; 2 * LENGTH]);
    let lap = |see: &mut dyn FnMut(&[u8])| {
        bytes.copy_from_slice(&wire);
        let mut reader = Reader::new(End::Client, Limits::default()).compressed();
        let mut inflater = Inflater::new(&pool, TERMS, 1 << 20);
        let mut at = 0;
        while let Next::Event { used, event } =
            reader.next(&mut bytes[at..]).map_err(io::Error::other)?
        {
            let Event::Part(part) = event else { return Err(io::Error::other("not compressed")) };
            let done =
                inflater.inflate(part.bytes, &mut room, Part::Last).map_err(io::Error::other)?;
            if done.next != Done::Message {
                return Err(io::Error::other("no whole message"));
            }
            see(&room[..done.produced]);
            at += used;
        }
        Ok(())
    };
    messages.measure(lap, |at, bytes| messages.inflated(at, bytes))
}

fn ours_deflates(messages: &Messages) -> io::Result<Sample> {
    let (pool, mut room) = (Pool::default(), vec![0; frame::LONGEST + bound(LENGTH)]);
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let mut deflater = Deflater::new(&pool, TERMS, &Config::default());
        for message in &messages.plain {
            let payload = &mut room[frame::LONGEST..];
            let done = deflater.deflate(message, payload, Part::Last).map_err(io::Error::other)?;
            let header = Header { compressed: true, ..Header::new(Opcode::Binary, done.produced) };
            header.put(&mut room);
            see(&room[frame::LONGEST..][..done.produced]);
        }
        Ok(())
    };
    messages.measure(lap, comes_back(messages))
}

/// The length of what comes of a payload.
fn inflated(inflate: &mut Inflate, payload: &[u8], room: &mut [u8]) -> io::Result<usize> {
    let before = inflate.total_out();
    for bytes in [payload, &TAIL] {
        let so_far = (inflate.total_out() - before) as usize;
        inflate
            .decompress(bytes, &mut room[so_far..], InflateFlush::NoFlush)
            .map_err(|error| io::Error::other(error.as_str()))?;
    }
    Ok((inflate.total_out() - before) as usize)
}

fn bare_inflates(messages: &Messages) -> io::Result<Sample> {
    let mut room = vec![0; 2 * LENGTH];
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let mut inflate = Inflate::new(false, 15);
        for payload in &messages.deflated {
            let length = inflated(&mut inflate, payload, &mut room)?;
            see(&room[..length]);
        }
        Ok(())
    };
    messages.measure(lap, |at, bytes| messages.inflated(at, bytes))
}

fn bare_deflates(messages: &Messages) -> io::Result<Sample> {
    let mut room = vec![0; bound(LENGTH)];
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let mut deflate = Deflate::new(i32::from(Config::default().level), false, 15);
        for message in &messages.plain {
            let before = deflate.total_out();
            deflate
                .compress(message, &mut room, DeflateFlush::SyncFlush)
                .map_err(|error| io::Error::other(error.as_str()))?;
            let length = (deflate.total_out() - before) as usize;
            see(&room[..length - TAIL.len()]);
        }
        Ok(())
    };
    messages.measure(lap, comes_back(messages))
}

fn sockudo() -> DeflateContext {
    let level = u32::from(Config::default().level);
    let config =
        DeflateConfig { compression_level: level, compression_threshold: 0, ..Default::default() };
    DeflateContext::client(config)
}

fn sockudo_inflates(messages: &Messages) -> io::Result<Sample> {
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let mut context = sockudo();
        for payload in &messages.deflated {
            see(&context.decompress(payload, 1 << 20).map_err(io::Error::other)?);
        }
        Ok(())
    };
    messages.measure(lap, |at, bytes| messages.inflated(at, bytes))
}

fn sockudo_deflates(messages: &Messages) -> io::Result<Sample> {
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let mut context = sockudo();
        for message in &messages.plain {
            let deflated = context.compress(message).map_err(io::Error::other)?;
            see(&deflated.ok_or_else(|| io::Error::other("it was not compressed"))?);
        }
        Ok(())
    };
    messages.measure(lap, comes_back(messages))
}

/// What was written to a stream.
type Written = Rc<RefCell<Vec<u8>>>;

/// A stream that has so much to be read, and keeps what is written.
struct Memory {
    rest: Bytes,
    written: Written,
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = room.remaining().min(self.rest.len());
        room.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A connection of yawc over memory: what it reads, and where it writes.
fn yawc(role: yawc::Role, rest: Bytes) -> io::Result<(yawc::WebSocket<Memory>, Written)> {
    let written = Written::default();
    let stream = Memory { rest, written: Rc::clone(&written) };
    let level = yawc::CompressionLevel::new(u32::from(Config::default().level));
    let options =
        yawc::Options::default().with_compression_level(level).with_compression_threshold(0);
    let extensions = Some("permessage-deflate");
    let socket = yawc::WebSocket::from_stream_with_extensions(stream, role, extensions, options);
    Ok((socket.map_err(io::Error::other)?, written))
}

/// Where frames are found too.
fn yawc_inflates(messages: &Messages) -> io::Result<Sample> {
    let wire = Bytes::from(messages.on_the_wire());
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let (mut socket, _) = yawc(yawc::Role::Client, wire.clone())?;
        for _ in 0..MESSAGES {
            let Some(Some(frame)) = socket.next().now_or_never() else {
                return Err(io::Error::other("no message"));
            };
            see(frame.payload());
        }
        Ok(())
    };
    messages.measure(lap, |at, bytes| messages.inflated(at, bytes))
}

fn yawc_deflates(messages: &Messages) -> io::Result<Sample> {
    let plain: Vec<_> = messages.plain.iter().map(|message| Bytes::from(message.clone())).collect();
    let lap = |see: &mut dyn FnMut(&[u8])| {
        let (mut socket, written) = yawc(yawc::Role::Server, Bytes::new())?;
        for message in &plain {
            let sent = socket.send(yawc::Frame::binary(message.clone())).now_or_never();
            sent.ok_or_else(|| io::Error::other("it waits"))?.map_err(io::Error::other)?;
            let mut written = written.borrow_mut();
            // Behind a header of two bytes, or four for what is longer than 125.
            see(&written[if written[1] < 126 { 2 } else { 4 }..]);
            written.clear();
        }
        Ok(())
    };
    messages.measure(lap, comes_back(messages))
}
