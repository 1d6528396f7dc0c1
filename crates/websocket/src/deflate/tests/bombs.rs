//! Messages that expand to more than anybody wants.

use super::*;

/// A message of so many zeros: it goes on as it begins, so that only its beginning has to be deflated.
fn bomb(len: usize) -> Vec<u8> {
    let zeros = vec![0; 1 << 16];
    let mut deflater = deflater(FORGETS, 9);
    let mut room = vec![0; 1 << 16];
    let mut pieces = [0, 1, 2].map(|_| {
        let done = deflater.deflate(&zeros, &mut room, Part::Flush).expect("there is a context");
        assert!(done.is_done);
        room[..done.produced].to_vec()
    });
    assert_eq!(pieces[1], pieces[2]);
    let first = std::mem::take(&mut pieces[0]);
    [first, pieces[1].repeat(len / zeros.len() - 1)].concat()
}

/// A gibibyte of zeros in a megabyte is refused as soon as it is beyond the limit, and no memory but the
/// context is asked for meanwhile.
#[test]
fn a_bomb_is_refused_within_its_limit() {
    let small = bomb(1 << 20);
    assert_eq!(inflated(&mut inflater(KEEPS), &small).map(|zeros| zeros.len()), Ok(1 << 20));
    let payload = bomb(1 << 30);
    assert!(payload.len() < 1_500_000, "{} bytes", payload.len());
    let limit = 1 << 20;
    let mut inflater = Inflater::new(&Pool::default(), KEEPS, limit);
    let mut room = vec![0; 1 << 12];
    let (mut consumed, mut produced) = (0, 0);
    let mut error = None;
    let counted = allocation_counter::measure(|| {
        for _ in 0..=limit {
            match inflater.inflate(&payload[consumed..], &mut room, Part::Last) {
                Ok(done) => {
                    (consumed, produced) = (consumed + done.consumed, produced + done.produced)
                }
                Err(refused) => return error = Some(refused),
            }
        }
    });
    assert_eq!(error, Some(InflateError::Large { limit }));
    assert_eq!(error.map(|error| error.close_code()), Some(1009));
    assert!((limit - room.len()..=limit).contains(&produced), "{produced}");
    assert!(consumed < 2000, "{consumed} bytes were looked at");
    assert!(counted.bytes_max <= INFLATER_BYTES as u64, "{counted:?}");
}

/// A message of exactly the limit is let through, and one of a byte more is not, whatever the room.
#[test]
fn the_limit_is_exact() {
    let payload = deflated(&mut deflater(FORGETS, 6), &[b'x'; 1000]);
    for room in [1, 10, 999, 1000, 1001, 5000] {
        for (limit, is_allowed) in [(1000, true), (999, false), (0, false)] {
            let mut inflater = Inflater::new(&Pool::default(), KEEPS, limit);
            let mut out = vec![0; room];
            let (mut consumed, mut produced, mut last) = (0, 0, Ok(Next::Room));
            for _ in 0..2000 {
                let done = inflater.inflate(&payload[consumed..], &mut out, Part::Last);
                last = done.map(|done| {
                    (consumed, produced) = (consumed + done.consumed, produced + done.produced);
                    done.next
                });
                if last != Ok(Next::Room) {
                    break;
                }
            }
            assert!(produced <= limit);
            let large = Err(InflateError::Large { limit });
            assert_eq!(last, if is_allowed { Ok(Next::Message) } else { large }, "{room}, {limit}");
        }
    }
    // An empty message is within any limit.
    let mut none = Inflater::new(&Pool::default(), KEEPS, 0);
    let done = none.inflate(&[0x00], &mut [], Part::Last).expect("it is empty");
    assert_eq!(done.next, Next::Message);
}

/// The limit is on each message, not on all of them.
#[test]
fn the_limit_is_on_a_message() {
    let mut deflater = deflater(KEEPS, 6);
    let mut inflater = Inflater::new(&Pool::default(), KEEPS, 1000);
    for _ in 0..10 {
        let payload = deflated(&mut deflater, &[b'x'; 1000]);
        assert!(inflated(&mut inflater, &payload).is_ok());
    }
}
