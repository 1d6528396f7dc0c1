//! A binary protocol of an exchange as a codec: what was missed is asked for and sent again, over TCP
//! (the layout is in docs/market-feed.md, "Replay"). Asks a running `tautline exchange`, or without an
//! address one of its own, for its first messages and prints them:
//!
//! ```sh
//! cargo run --release --example exchange_codec -- 127.0.0.1:31002 MySession 1 5
//! cargo run --release --example exchange_codec
//! ```

use std::error::Error;
use std::net::SocketAddr;

use tautline::feed::format::{Compact, Format, MoldUdp64, Packet, Session};
use tautline::market::exchange::History;
use tautline::market::message::{Instrument, Message, OrderId};
use tautline::market::replay::{Answering, BEFORE_PACKET};
use tautline::net::codec::{
    Decode, Decoding, Encode, Framed, LengthError, LengthPrefix, Malformed,
};
use tautline::prelude::*;

/// Please send these again: 20 bytes behind their length.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Request {
    session: Session,
    first: u64,
    count: u16,
}

/// A part of what comes back.
#[derive(Debug, PartialEq)]
enum Answer<'b> {
    /// A packet of the feed, where it was received.
    Packet(&'b [u8]),
    /// There are none of these.
    Refused { reason: u8, first: u64, count: u16 },
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum BadAnswer {
    #[error(transparent)]
    Length(#[from] LengthError),
    #[error("an answer of kind {0:#04x} and {1} bytes: the peer is no replay server")]
    Unknown(u8, usize),
}

/// The client's side: requests out, answers in. Stands on the codec of lengths.
#[derive(Clone)]
struct Replay(LengthPrefix);

impl Replay {
    fn new() -> Self {
        Self(LengthPrefix::u16())
    }
}

impl Decode for Replay {
    type Item<'b> = Answer<'b>;
    type Error = BadAnswer;

    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        let frame = self.0.decode(bytes).map_err(|malformed| malformed.map(BadAnswer::Length))?;
        frame.try_map(|frame| answer(frame).map_err(|error| Malformed::at(2, error)))
    }
}

fn answer(frame: &[u8]) -> Result<Answer<'_>, BadAnswer> {
    match frame {
        [b'P', packet @ ..] => Ok(Answer::Packet(packet)),
        [b'R', reason, rest @ ..] if rest.len() == 28 => {
            let [first, count] = [&rest[10..18], &rest[18..20]].map(number);
            Ok(Answer::Refused { reason: *reason, first, count: count as u16 })
        }
        frame => Err(BadAnswer::Unknown(frame.first().copied().unwrap_or(0), frame.len())),
    }
}

/// A big-endian number.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Encode<Request> for Replay {
    type Error = LengthError;

    fn size(&self, _: &Request) -> Result<usize, LengthError> {
        self.0.size_of(20)
    }

    fn encode(&mut self, request: Request, out: &mut [u8]) -> usize {
        let frame = self.0.open(20, out);
        frame[..10].copy_from_slice(&request.session.bytes());
        frame[10..18].copy_from_slice(&request.first.to_be_bytes());
        frame[18..].copy_from_slice(&request.count.to_be_bytes());
        22
    }
}

/// The server's side of requests.
struct Requests(LengthPrefix);

impl Decode for Requests {
    type Item<'b> = Request;
    type Error = LengthError;

    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        self.0.decode(bytes)?.try_map(|frame| {
            let (session, first, count) = match frame.split_first_chunk::<10>() {
                Some((session, rest)) if rest.len() == 10 => (session, &rest[..8], &rest[8..]),
                _ => return Err(LengthError::TooLong { len: frame.len() as u64, limit: 20 }.into()),
            };
            let session = Session::of_bytes(*session);
            Ok(Request { session, first: number(first), count: number(count) as u16 })
        })
    }
}

/// An exchange that sends again what it has said, by a handler: all answers leave in one call.
fn serve(session: Session, history: History) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let history = std::rc::Rc::new(history);
    listener.on_accept(move |stream| {
        let history = history.clone();
        let decoder = Requests(LengthPrefix::u16().limit(20));
        let framed = Framed::<Requests, LengthPrefix>::options().open_with(
            stream,
            decoder,
            LengthPrefix::u16(),
        );
        let mut room = [0; BEFORE_PACKET + 1400];
        let served = framed.on_item(move |tx, Request { session: of, first, count }| {
            let request = tautline::market::replay::Request { session: of, first, count };
            let mut answering = Answering::<MoldUdp64>::new(request, &history);
            while let Some(frame) = answering.next(&history, session, &mut room) {
                // The codec writes the length.
                tx.send(&frame[2..])?;
            }
            Ok::<_, tautline::net::codec::SendError<_>>(())
        });
        served.map(drop)
    })?;
    Ok(address)
}

/// The packet, whichever format the exchange speaks, and its messages.
fn messages(packet: &[u8]) -> Result<Vec<(u64, Message)>, Box<dyn Error>> {
    type Split = fn(&[u8]) -> Option<(&[u8], &[u8])>;
    let (Packet { number, mut body, .. }, split) = match packet.first() {
        Some(0x54) => (Compact::parse(packet)?, Compact::split as Split),
        _ => (MoldUdp64::parse(packet)?, MoldUdp64::split as Split),
    };
    let mut all = Vec::new();
    while let Some((message, rest)) = split(body) {
        all.push((number + all.len() as u64, Message::decode(message)?));
        body = rest;
    }
    Ok(all)
}

/// Asks, and returns what comes back as lines of text.
async fn ask(to: SocketAddr, request: Request) -> Result<Vec<String>, Box<dyn Error>> {
    let mut framed = Framed::new(TcpStream::connect(to).await?, Replay::new());
    framed.send(request)?;
    let (mut lines, mut left) = (Vec::new(), u64::from(request.count));
    while left > 0 {
        let Some(answer) = framed.next().await else {
            return Err(
                format!("{to} has ended the connection, {left} messages are missing").into()
            );
        };
        match answer? {
            Answer::Packet(packet) => {
                let messages = messages(packet)?;
                left = left.saturating_sub(messages.len() as u64);
                lines.extend(messages.iter().map(|(number, it)| format!("{number}: {it:?}")));
            }
            Answer::Refused { reason, first, count } => {
                left = left.saturating_sub(count.into());
                lines
                    .push(format!("{count} messages from {first} on are refused: reason {reason}"));
            }
        }
    }
    Ok(lines)
}

/// An exchange that has said a few things.
fn own() -> Result<(SocketAddr, Request), Box<dyn Error>> {
    let session = Session::of_number(1);
    let mut history = History::new(100)?;
    for order in 1..=3 {
        history.push(&Message::Delete { instrument: Instrument(0), order: OrderId(order) });
    }
    Ok((serve(session, history)?, Request { session, first: 1, count: 5 }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::new(Config::default())?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (to, request) = match &arguments[..] {
        [] => own()?,
        [to, session, first, count] => {
            let session = Session::of_text(session).ok_or("a session has at most ten letters")?;
            (to.parse()?, Request { session, first: first.parse()?, count: count.parse()? })
        }
        _ => return Err("give nothing, or ADDRESS:PORT SESSION FIRST COUNT".into()),
    };
    for line in runtime.block_on(ask(to, request))?? {
        println!("{line}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tautline::net::codec::Decoded;

    use super::*;

    /// What is asked for comes back, and what there is not is refused.
    #[test]
    fn what_is_asked_for_comes_back() {
        let runtime = Runtime::new(Config::default()).unwrap();
        let (to, request) = own().unwrap();
        let lines = runtime.block_on(ask(to, request)).unwrap().unwrap();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[2].starts_with("3: Delete"), "{lines:?}");
        assert_eq!(lines[3], "2 messages from 4 on are refused: reason 3");
    }

    /// The codec and the one of the library speak the same layout.
    #[test]
    fn the_layout_is_that_of_the_library() {
        let session = Session::of_number(7);
        let theirs = tautline::market::replay::Request { session, first: 17, count: 3 }.encode();
        let mut out = [0; 22];
        let ours = Request { session, first: 17, count: 3 };
        assert_eq!(Replay::new().size(&ours), Ok(22));
        assert_eq!(Replay::new().encode(ours, &mut out), 22);
        assert_eq!(out, theirs);
        let decoded = Requests(LengthPrefix::u16()).decode(&mut out).unwrap();
        assert_eq!(decoded, Decoded::Item { item: ours, used: 22 });
    }

    /// What is no answer is refused where it stands.
    #[test]
    fn strangers_are_refused() {
        let error = Replay::new().decode(&mut [0, 2, b'?', 0]).unwrap_err();
        assert_eq!(error, Malformed::at(2, BadAnswer::Unknown(b'?', 2)));
    }
}
