use proptest::prelude::*;
use tautline_feed::format::Compact;

use super::*;
use crate::message::{Instrument, Message};

const OURS: Session = Session::of_number(5);

/// The messages are told apart by their instruments.
fn history(kept: usize, said: u32) -> History {
    let mut history = History::new(kept).unwrap();
    for number in 1..=said {
        history.push(&Message::SnapshotEnd { instrument: Instrument(number) });
    }
    history
}

/// All frames of an answer.
fn answer<F: Format>(history: &History, request: Request, packet: usize) -> Vec<u8> {
    let mut answering = Answering::<F>::new(request, history);
    let (mut room, mut bytes) = (vec![0; BEFORE_PACKET + packet], Vec::new());
    for _ in 0..70_000 {
        let Some(frame) = answering.next(history, OURS, &mut room) else { return bytes };
        assert!(frame.len() <= BEFORE_PACKET + packet);
        bytes.extend_from_slice(frame);
    }
    panic!("an answer has no end");
}

/// What each number was answered with: its message, or why there is none.
fn read<F: Format>(
    bytes: &[u8],
    pieces: &[usize],
    packet: usize,
) -> Vec<(u64, Result<Message, Reason>)> {
    let (mut answers, mut all) = (Answers::new(packet), Vec::new());
    let mut rest = bytes;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
        rest = behind;
        let mut input = piece;
        while let Some(answer) = answers.next(&mut input).unwrap() {
            match answer {
                Answer::Packet(bytes) => {
                    let packet = F::parse(bytes).unwrap();
                    assert_eq!(packet.session, OURS);
                    let mut body = packet.body;
                    let Kind::Messages(count) = packet.kind else { panic!("no messages") };
                    for at in 0..u64::from(count) {
                        let (message, rest) = F::split(body).unwrap();
                        all.push((packet.number + at, Ok(Message::decode(message).unwrap())));
                        body = rest;
                    }
                }
                Answer::Refused(Refusal { reason, session, first, count, .. }) => {
                    assert_eq!(session, OURS);
                    let numbers = first..first + u64::from(count);
                    all.extend(numbers.map(|number| (number, Err(reason))));
                }
            }
        }
    }
    all
}

fn is_answered<F: Format>(request: Request, kept: usize, said: u32, pieces: &[usize]) {
    const PACKET: usize = 100;
    let history = history(kept, said);
    let bytes = answer::<F>(&history, request, PACKET);
    let all = read::<F>(&bytes, pieces, PACKET);
    assert_eq!(all.len(), usize::from(request.count));
    for (at, (number, answer)) in (request.first..).zip(all) {
        assert_eq!(at, number, "each number, in order");
        let expected = match history.get(number) {
            _ if request.session != OURS => Err(Reason::OtherSession),
            Ok(bytes) => Ok(Message::decode(bytes).unwrap()),
            Err(Absent::TooOld { .. }) => Err(Reason::TooOld),
            Err(Absent::NotYet { .. }) => Err(Reason::NotYet),
        };
        assert_eq!(answer, expected);
    }
}

proptest! {
    /// Each message that is asked for is answered once and in order, by itself or by a refusal that says
    /// why, whatever pieces the answer comes in; in both formats.
    #[test]
    fn each_number_is_answered(
        (first, count) in (0u64..300, 1u16..400),
        (kept, said) in (1usize..300, 0u32..300),
        is_ours in prop::bool::weighted(0.9),
        pieces in prop::collection::vec(1usize..200, 1..9),
    ) {
        let session = if is_ours { OURS } else { Session::of_number(4) };
        let request = Request { session, first, count };
        is_answered::<MoldUdp64>(request, kept, said, &pieces);
        is_answered::<Compact>(request, kept, said, &pieces);
    }

    /// Requests come back as they were, whatever pieces they come in.
    #[test]
    fn requests_come_back(
        requests in prop::collection::vec((any::<u32>(), any::<u64>(), 1u16..65_535), 0..9),
        pieces in prop::collection::vec(1usize..30, 1..9),
    ) {
        let requests: Vec<Request> = requests
            .into_iter()
            .map(|(session, first, count)| {
                Request { session: Session::of_number(session), first, count }
            })
            .collect();
        let bytes: Vec<u8> = requests.iter().flat_map(|request| request.encode()).collect();
        let (mut reader, mut read) = (Requests::new(), Vec::new());
        let mut rest = &bytes[..];
        for piece in pieces.iter().cycle().take(bytes.len()) {
            let (mut input, behind) = rest.split_at(rest.len().min(*piece));
            rest = behind;
            while let Some(request) = reader.next(&mut input).unwrap() {
                read.push(request);
            }
        }
        assert_eq!(read, requests);
    }

    /// Whatever a peer sends is read without a panic.
    #[test]
    fn any_bytes_are_harmless(
        kind in prop::sample::select(&b"PRx"[..]),
        len in 0u8..120,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [&[0, len, kind], &bytes[..]].concat();
        let (mut answers, mut requests) = (Answers::new(100), Requests::new());
        let mut input = &bytes[..];
        while let Ok(Some(_)) = answers.next(&mut input) {}
        let mut input = &bytes[..];
        while let Ok(Some(_)) = requests.next(&mut input) {}
    }
}

/// Numbers that have wrapped around on the wire are those that are meant.
#[test]
fn numbers_are_those_that_are_near() {
    let history = history(10, 20);
    // Below the first: as far away as that is, it has been.
    let request = Request { session: OURS, first: 0xffff_fff0, count: 3 };
    let bytes = answer::<Compact>(&history, request, 100);
    let mut input = &bytes[..];
    let mut answers = Answers::new(100);
    let Ok(Some(Answer::Refused(refusal))) = answers.next(&mut input) else {
        panic!("it was not refused");
    };
    assert_eq!((refusal.reason, refusal.number), (Reason::TooOld, 11));
    // No number lies beyond the last there could be.
    let request = Request { session: OURS, first: u64::MAX - 1, count: 9 };
    let bytes = answer::<MoldUdp64>(&history, request, 100);
    assert_eq!(bytes.len(), 2 + REFUSAL);
}

/// What makes room for later messages while an answer is under way is refused, and the rest is answered.
#[test]
fn what_is_overtaken_is_refused() {
    let mut history = history(10, 10);
    let request = Request { session: OURS, first: 1, count: 10 };
    let mut answering = Answering::<MoldUdp64>::new(request, &history);
    let mut room = [0; BEFORE_PACKET + 60];
    let mut bytes = answering.next(&history, OURS, &mut room).unwrap().to_vec();
    for _ in 0..7 {
        history.push(&Message::SnapshotEnd { instrument: Instrument(0) });
    }
    while let Some(frame) = answering.next(&history, OURS, &mut room) {
        bytes.extend_from_slice(frame);
    }
    let all = read::<MoldUdp64>(&bytes, &[7], 60);
    let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    let refused: Vec<u64> = all.iter().filter(|(_, it)| it.is_err()).map(|(at, _)| *at).collect();
    assert_eq!(refused, [6, 7], "five went in the first packet, and the oldest now is 8");
}

/// Who does not speak the protocol is told so.
#[test]
fn strangers_are_refused() {
    let error = Requests::new().next(&mut &b"GET / HTTP/1.1"[..]).unwrap_err();
    assert_eq!(error, ProtocolError::TooLong { announced: 0x4745, most: 20 });
    let mut nothing = Request { session: OURS, first: 1, count: 1 }.encode();
    nothing[21] = 0;
    let error = Requests::new().next(&mut &nothing[..]).unwrap_err();
    assert_eq!(error, ProtocolError::Count { count: 0 });
    let error = Answers::new(100).next(&mut &[0, 2, b'?', 0][..]).unwrap_err();
    assert_eq!(error, ProtocolError::UnknownFrame { kind: b'?', len: 2 });
}

/// Proves that a refusal says what is not sent again, and what there is instead.
#[test]
fn refusals_read_as_text() {
    let session = Session::of_text("day1").unwrap();
    let mut refusal = Refusal { reason: Reason::TooOld, session, first: 5, count: 2, number: 9 };
    assert_eq!(refusal.to_string(), "2 messages from 5 on: the oldest that is kept is 9");
    (refusal.reason, refusal.count) = (Reason::OtherSession, 1);
    assert_eq!(refusal.to_string(), "1 message from 5 on: the session is day1 now");
}
