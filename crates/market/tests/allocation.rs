//! Nothing allocates once it is made, whatever comes: counted by the allocator.

use allocation_counter::measure;
use tautline_market::book::{BookError, Books};
use tautline_market::message::{Instrument, Message, OrderId, Price, Side, TradeId};

fn message(rng: &mut fastrand::Rng) -> Message {
    let instrument = Instrument(rng.u32(0..3));
    let order = OrderId(rng.u64(0..300));
    let (price, quantity) = (Price(rng.i64(-50..50)), rng.u32(0..9));
    match rng.u8(0..8) {
        0..4 => {
            let side = if rng.bool() { Side::Bid } else { Side::Ask };
            Message::Add { instrument, order, price, quantity, side }
        }
        4 => Message::Modify { instrument, order, price, quantity },
        5 => Message::Trade { instrument, order, price, quantity, trade: TradeId(1) },
        _ => Message::Delete { instrument, order },
    }
}

/// Books do not allocate, be they full, empty, or told what cannot be.
#[test]
fn books_do_not_allocate() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut books = Books::new(2, 100).unwrap();
    let (mut taken, mut full, mut refused) = (0, 0, 0);
    let mut room = [0; Message::LONGEST];
    let counted = measure(|| {
        for at in 0..100_000 {
            let message = message(&mut rng);
            let message = Message::decode(message.encode(&mut room)).expect("it was encoded");
            match books.apply(&message) {
                Ok(()) => taken += 1,
                Err(BookError::Full { .. }) => full += 1,
                Err(_) => refused += 1,
            }
            if at % 30_000 == 0 {
                books.clear();
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(
        [taken, full, refused].into_iter().all(|count| count > 1000),
        "{taken} {full} {refused}"
    );
}
