use proptest::prelude::*;

use super::*;

fn messages() -> impl Strategy<Value = Message> {
    let order = (any::<u32>(), any::<u64>(), any::<i64>(), any::<u32>());
    (0..6, order, any::<bool>(), any::<u64>()).prop_map(|(kind, order, is_bid, number)| {
        let (instrument, order, price, quantity) = order;
        let (instrument, order, price) = (Instrument(instrument), OrderId(order), Price(price));
        let side = if is_bid { Side::Bid } else { Side::Ask };
        let trade = TradeId(number);
        match kind {
            0 => Message::Add { instrument, order, price, quantity, side },
            1 => Message::Modify { instrument, order, price, quantity },
            2 => Message::Delete { instrument, order },
            3 => Message::Trade { instrument, order, price, quantity, trade },
            4 => Message::SnapshotBegin { instrument, next: number },
            _ => Message::SnapshotEnd { instrument },
        }
    })
}

proptest! {
    /// What was written is what is read, and nothing shorter or longer is.
    #[test]
    fn messages_come_back(message in messages()) {
        let mut room = [0; Message::LONGEST];
        let bytes = message.encode(&mut room).to_vec();
        assert_eq!(Message::decode(&bytes), Ok(message));
        let (kind, expected) = (bytes[0], bytes.len());
        for len in 1..expected {
            let error = DecodeError::Length { kind, len, expected };
            assert_eq!(Message::decode(&bytes[..len]), Err(error));
        }
        let longer = [&bytes[..], &[0]].concat();
        let error = DecodeError::Length { kind, len: expected + 1, expected };
        assert_eq!(Message::decode(&longer), Err(error));
    }

    /// Whatever somebody has sent is read without a panic, and what is a message is written as it came.
    #[test]
    fn any_bytes_are_harmless(
        kind in prop::sample::select(&b"AMDTBEx"[..]),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        is_bid: bool,
    ) {
        let mut bytes = [&[kind], &rest[..]].concat();
        if let (b'A', Some(side)) = (kind, bytes.get_mut(25)) {
            *side = if is_bid { b'B' } else { b'S' };
        }
        if let Ok(message) = Message::decode(&bytes) {
            assert_eq!(message.encode(&mut [0; Message::LONGEST]), bytes);
        }
    }
}

/// Fields lie where the table says, so that others can read them.
#[test]
fn fields_lie_where_they_are_documented() {
    let (instrument, order, price) = (Instrument(0x0102_0304), OrderId(0x1122), Price(-2));
    let mut room = [0; Message::LONGEST];
    let add = Message::Add { instrument, order, price, quantity: 9, side: Side::Ask };
    let expected =
        b"A\x01\x02\x03\x04\0\0\0\0\0\0\x11\x22\xff\xff\xff\xff\xff\xff\xff\xfe\0\0\0\x09S";
    assert_eq!(add.encode(&mut room), expected);
    let trade = TradeId(7);
    let traded = Message::Trade { instrument, order, price: Price(1), quantity: 3, trade };
    let expected =
        b"T\x01\x02\x03\x04\0\0\0\0\0\0\x11\x22\0\0\0\0\0\0\0\x01\0\0\0\x03\0\0\0\0\0\0\0\x07";
    assert_eq!(traded.encode(&mut room), expected);
    let begin = Message::SnapshotBegin { instrument, next: 5 };
    assert_eq!(begin.encode(&mut room), b"B\x01\x02\x03\x04\0\0\0\0\0\0\0\x05");
}

/// What is no message says what is wrong with it.
#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(Message::decode(&[]), Err(DecodeError::Empty));
    let unknown = Message::decode(b"Q1234").unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "there are no messages of kind 0x51: the sender speaks another layout"
    );
    let short = Message::decode(b"D1234").unwrap_err();
    assert_eq!(short.to_string(), "5 bytes are no message of kind 'D', which has 13");
    let mut add = [b'A'; 26];
    add[25] = 0;
    assert_eq!(Message::decode(&add), Err(DecodeError::UnknownSide { side: 0 }));
}
