//! RFC 4571 and raw framing: any chunking gives the same packets, and lies are found.

use proptest::prelude::*;
use tautline_feed::framing::{Deframer, Framing, FramingError, MAX_PACKET, Received, prefix};

fn encode(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for packet in packets {
        stream.extend_from_slice(&prefix(packet.len()).expect("generated packets fit"));
        stream.extend_from_slice(packet);
    }
    stream
}

/// Feeds `stream` in pieces whose lengths `cuts` names in turn, and collects the packets.
fn decode(
    deframer: &mut Deframer,
    stream: &[u8],
    cuts: &[usize],
) -> Result<Vec<Vec<u8>>, FramingError> {
    let mut packets = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().copied().cycle() {
        let (mut piece, tail) = rest.split_at(cut.min(rest.len()));
        while let Some(packet) = deframer.next(&mut piece)? {
            packets.push(packet.to_vec());
        }
        assert!(piece.is_empty(), "a deframer that wants more has used everything");
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    Ok(packets)
}

fn packets() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let packet = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        1 => prop::collection::vec(any::<u8>(), 200..600),
    ];
    prop::collection::vec(packet, 0..40)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..300_usize, 1..30)
}

proptest! {
    /// Proves that the packets do not depend on the pieces in which the stream arrives, down to
    /// single bytes, with empty packets among them.
    #[test]
    fn any_chunking_gives_the_same_packets(packets in packets(), cuts in cuts()) {
        let stream = encode(&packets);
        for cuts in [&cuts[..], &[1], &[2], &[usize::MAX]] {
            let mut deframer = Deframer::new(Framing::Rfc4571, MAX_PACKET);
            prop_assert_eq!(&decode(&mut deframer, &stream, cuts).unwrap(), &packets);
            let bytes = packets.iter().map(|p| p.len() as u64).sum();
            prop_assert_eq!(deframer.finish(), Ok(Received { packets: packets.len() as u64, bytes }));
        }
    }

    /// Proves that a stream cut off anywhere is whole exactly at packet boundaries, and otherwise
    /// reports how far the unfinished packet had come.
    #[test]
    fn cut_off_stream_is_reported_with_counts(packets in packets(), cuts in cuts(), at in any::<prop::sample::Index>()) {
        let stream = encode(&packets);
        let end = at.index(stream.len() + 1);
        let mut deframer = Deframer::new(Framing::Rfc4571, MAX_PACKET);
        let whole = decode(&mut deframer, &stream[..end], &cuts).unwrap();
        let used: usize = whole.iter().map(|p| p.len() + 2).sum();
        let index = whole.len() as u64;
        match deframer.finish() {
            Ok(received) => prop_assert_eq!((used, received.packets), (end, index)),
            Err(error) => {
                let got = end - used;
                let expected = if got < 2 { 2 } else { packets[whole.len()].len() + 2 };
                prop_assert!(got > 0 && got < expected);
                prop_assert_eq!(error, FramingError::Truncated { index, got, expected });
            }
        }
    }

    /// Proves that raw framing passes every byte on in order and never cuts above the limit.
    #[test]
    fn raw_framing_keeps_the_bytes(stream in prop::collection::vec(any::<u8>(), 0..2000), cuts in cuts(), limit in 1..200_usize) {
        let mut deframer = Deframer::new(Framing::Raw, limit);
        let chunks = decode(&mut deframer, &stream, &cuts).unwrap();
        prop_assert!(chunks.iter().all(|chunk| (1..=limit).contains(&chunk.len())));
        prop_assert_eq!(chunks.concat(), stream);
        prop_assert!(deframer.finish().is_ok());
    }
}

/// Proves that a prefix above the limit is refused at once, whole in the input or split, and that
/// the packets before it come through.
#[test]
fn prefix_beyond_the_limit_is_refused() {
    let stream = [&[0, 1, 9][..], &[0, 11], &[0; 11]].concat();
    for cuts in [&[usize::MAX][..], &[1]] {
        let mut deframer = Deframer::new(Framing::Rfc4571, 10);
        let refused = FramingError::TooLong { index: 1, announced: 11, limit: 10 };
        assert_eq!(decode(&mut deframer, &stream, cuts), Err(refused));
        assert_eq!(deframer.received(), Received { packets: 1, bytes: 1 });
    }
}

/// Proves that text mistaken for framed packets ends in an error that says so.
#[test]
fn unframed_input_is_told() {
    let mut deframer = Deframer::new(Framing::Rfc4571, MAX_PACKET);
    decode(&mut deframer, b"GET / HTTP/1.1\r\n\r\n", &[5]).unwrap();
    let error = deframer.finish().unwrap_err().to_string();
    assert!(error.contains("no length prefix") && !error.contains('\n'), "{error}");
}

/// Proves that the largest packet has a prefix and the next larger one is refused.
#[test]
fn oversize_packet_has_no_prefix() {
    assert_eq!(prefix(MAX_PACKET), Ok([0xff, 0xff]));
    assert_eq!(prefix(MAX_PACKET + 1), Err(FramingError::Oversize { len: 65_536 }));
}

/// Proves that a deframer taken over by a new connection forgets the old one's half packet.
#[test]
fn reset_forgets_half_a_packet() {
    let mut deframer = Deframer::new(Framing::Rfc4571, MAX_PACKET);
    decode(&mut deframer, &[0, 9, 1], &[3]).unwrap();
    deframer.reset();
    assert_eq!(decode(&mut deframer, &[0, 1, 7], &[3]), Ok(vec![vec![7]]));
}
