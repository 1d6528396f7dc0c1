use proptest::prelude::*;

use super::*;

/// The packet of a format that has these messages.
fn packet<F: Format>(session: Session, first: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = vec![0; 65_536];
    let mut builder = Builder::<F>::new(&mut datagram, session, first).unwrap();
    messages.iter().for_each(|message| builder.push(message).unwrap());
    assert_eq!(usize::from(builder.count()), messages.len());
    builder.finish().to_vec()
}

/// What was built is what is read.
fn comes_back<F: Format>(session: Session, first: u64, messages: &[Vec<u8>]) {
    let bytes = packet::<F>(session, first, messages);
    let packet = F::parse(&bytes).unwrap();
    assert_eq!((packet.session, packet.number), (session, F::WIDTH.cut(first)));
    let count = messages.len() as u16;
    let kind = if count == 0 { Kind::Heartbeat } else { Kind::Messages(count) };
    assert_eq!(packet.kind, kind);
    assert_eq!(holds::<F>(packet.body, count).is_some(), count > 0);
    assert_eq!(holds::<F>(packet.body, count + 1), None);
    let mut body = packet.body;
    for message in messages {
        let (read, rest) = F::split(body).unwrap();
        assert_eq!(read, message);
        body = rest;
    }
    assert_eq!(F::split(body), None);
    for (at, message) in messages.iter().enumerate() {
        let rest = without_first::<F>(packet.body, at as u64);
        assert_eq!(F::split(rest).map(|(read, _)| read), Some(&message[..]));
    }
}

/// Bytes that somebody has sent can be read without harm, whatever they are.
fn is_harmless<F: Format>(bytes: &[u8]) {
    let Ok(packet) = F::parse(bytes) else { return };
    if let Kind::Messages(count) = packet.kind {
        let is_whole = holds::<F>(packet.body, count).is_some();
        let rest = without_first::<F>(packet.body, u64::from(count));
        assert!(!is_whole || rest.is_empty());
    }
}

proptest! {
    /// Packets of all formats come back as they were built.
    #[test]
    fn packets_come_back(
        number: u32,
        first: u64,
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..40),
    ) {
        comes_back::<Compact>(Session::of_number(number), first, &messages);
        comes_back::<MoldUdp64>(Session::of_number(number), first, &messages);
        comes_back::<MoldUdp64>(Session::of_text("20261130").unwrap(), first, &messages);
    }

    /// Any bytes at all, behind a sound beginning or not, are read without a panic.
    #[test]
    fn bytes_are_harmless(bytes in prop::collection::vec(any::<u8>(), 0..100), mark: bool) {
        let mut bytes = bytes;
        if mark && bytes.len() > 3 {
            bytes[..2].copy_from_slice(&[0x54, 0]);
            bytes[3] = 0; // few messages
        }
        is_harmless::<Compact>(&bytes);
        if mark && bytes.len() > 18 {
            bytes[18] = 0;
        }
        is_harmless::<MoldUdp64>(&bytes);
    }

    /// A packet that is cut anywhere is refused, or does not hold what it says.
    #[test]
    fn cut_packets_are_noticed(
        messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..9),
        cut: prop::sample::Index,
    ) {
        let session = Session::of_number(1);
        let bytes = packet::<Compact>(session, 1, &messages);
        let cut_to = cut.index(bytes.len());
        match Compact::parse(&bytes[..cut_to]) {
            Ok(packet) => prop_assert_eq!(holds::<Compact>(packet.body, messages.len() as u16), None),
            Err(error) => {
                let short = ParseError::Short { len: cut_to, format: "compact", header: 12 };
                prop_assert_eq!(error, short);
            }
        }
        let bytes = packet::<MoldUdp64>(session, 1, &messages);
        let cut_to = cut.index(bytes.len());
        match MoldUdp64::parse(&bytes[..cut_to]) {
            Ok(packet) => prop_assert_eq!(holds::<MoldUdp64>(packet.body, messages.len() as u16), None),
            Err(error) => {
                let short = ParseError::Short { len: cut_to, format: "MoldUDP64", header: 20 };
                prop_assert_eq!(error, short);
            }
        }
    }

    /// Of all numbers that end in the same bits the nearest is meant.
    #[test]
    fn the_nearest_number_is_meant(near in 0u64..1 << 40, ahead in -30_000i64..30_000) {
        let number = near.checked_add_signed(ahead);
        for width in [Width::U16, Width::U32, Width::U64] {
            if let Some(number) = number {
                prop_assert_eq!(width.nearest(width.cut(number), near), Some(number));
            }
        }
    }
}

/// The bytes of MoldUDP64, written by hand from its specification: session "SESSION001", number 258,
/// two messages of three bytes and of none.
#[test]
fn moldudp64_is_as_published() {
    let bytes = b"SESSION001\0\0\0\0\0\0\x01\x02\0\x02\0\x03abc\0\0";
    let session = Session::of_text("SESSION001").unwrap();
    let read = MoldUdp64::parse(bytes).unwrap();
    assert_eq!((read.session, read.number, read.kind), (session, 258, Kind::Messages(2)));
    assert_eq!(packet::<MoldUdp64>(session, 258, &[b"abc".to_vec(), Vec::new()]), bytes);

    let heartbeat = b"SESSION001\0\0\0\0\0\0\x01\x02\0\0";
    assert_eq!(MoldUdp64::parse(heartbeat).unwrap().kind, Kind::Heartbeat);
    assert_eq!(packet::<MoldUdp64>(session, 258, &[]), heartbeat);

    let end = b"SESSION001\0\0\0\0\0\0\x01\x02\xff\xff";
    assert_eq!(MoldUdp64::parse(end).unwrap().kind, Kind::End);
    let mut datagram = [0; 20];
    let builder = Builder::<MoldUdp64>::new(&mut datagram, session, 258).unwrap();
    assert_eq!(builder.finish_session(), end);

    let request = b"SESSION001\0\0\0\0\0\0\x01\x02\0\x07";
    assert_eq!(MoldUdp64::request(session, 258, 7), *request);
}

/// The bytes of the project's own layout, as its table has them.
#[test]
fn compact_is_as_documented() {
    let bytes = b"T\0\x01\0\x07\0\0\0\x02\x01\0\0\x03\0abc";
    let session = Session::of_number(7);
    assert_eq!(packet::<Compact>(session, 258, &[b"abc".to_vec()]), bytes);
    assert_eq!(packet::<Compact>(session, 258 + (1 << 32), &[b"abc".to_vec()]), bytes);
    assert_eq!(Compact::parse(b"T\x01\0\0\x07\0\0\0\x02\x01\0\0").unwrap().kind, Kind::Heartbeat);
    assert_eq!(Compact::parse(b"T\x02\0\0\x07\0\0\0\x02\x01\0\0").unwrap().kind, Kind::End);
}

/// Each reason why bytes are no packet is named.
#[test]
fn what_is_no_packet_is_named() {
    let error = |bytes: &[u8]| Compact::parse(bytes).unwrap_err().to_string();
    assert_eq!(error(b"T"), "1 bytes are no packet of compact: its header has 12");
    assert_eq!(error(&[7; 12]), "a packet of compact does not begin with 0x0707");
    assert_eq!(error(b"T\x03\0\0\0\0\0\0\0\0\0\0"), "compact has no packets of kind 3");
    let error = MoldUdp64::parse(&[0; 19]).unwrap_err().to_string();
    assert_eq!(error, "19 bytes are no packet of MoldUDP64: its header has 20");
}

/// What does not go into a packet is refused, and leaves it as it was.
#[test]
fn full_packets_are_refused() {
    let session = Session::of_number(1);
    let new = |bytes: &mut [u8]| Builder::<Compact>::new(bytes, session, 1).map(|_| ());
    assert_eq!(new(&mut [0; 11]), Err(BuildError::Full { needed: 12, left: 11 }));
    let mut bytes = [0; 12 + 2 + 3 + 4];
    let mut builder = Builder::<Compact>::new(&mut bytes, session, 1).unwrap();
    builder.push(b"abc").unwrap();
    assert_eq!(builder.push(b"def"), Err(BuildError::Full { needed: 3, left: 4 }));
    let long = vec![0; 65_536];
    assert_eq!(builder.push(&long), Err(BuildError::Long { len: 65_536, most: 65_535 }));
    builder.push(b"de").unwrap();
    let bytes = builder.finish();
    assert_eq!(bytes, packet::<Compact>(session, 1, &[b"abc".to_vec(), b"de".to_vec()]));
}

/// No packet counts more messages than the layout can say.
#[test]
fn many_messages_are_refused() {
    let mut bytes = vec![0; 200_000];
    let mut builder = Builder::<MoldUdp64>::new(&mut bytes, Session::of_number(1), 1).unwrap();
    (0..65_534).for_each(|_| builder.push(b"").unwrap());
    assert_eq!(builder.push(b""), Err(BuildError::Many { most: 65_534 }));
    let packet = MoldUdp64::parse(builder.finish()).unwrap();
    assert_eq!(packet.kind, Kind::Messages(65_534));
}

/// Sessions are shown as what they were made of.
#[test]
fn sessions_are_shown() {
    assert_eq!(Session::of_text("day 1").unwrap().to_string(), "64617920312020202020");
    assert_eq!(Session::of_text("day1").unwrap().to_string(), "day1");
    assert_eq!(Session::of_number(4_000_000_000).to_string(), "4000000000");
    assert_eq!(format!("{:?}", Session::of_bytes([255; 10])), "Session(ffffffffffffffffffff)");
}
