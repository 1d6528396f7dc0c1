//! Layouts tell what two programs must agree about.

use tautline_bus::Layout as _;
use tautline_bus_derive::Layout;

#[derive(Layout)]
#[repr(C)]
struct Order {
    number: u64,
    price: [i32; 2],
    side: Side,
}

#[derive(Layout)]
#[repr(u8)]
#[allow(dead_code, reason = "told, not used")]
enum Side {
    Buy = 1,
    Sell,
}

#[derive(Layout)]
#[repr(transparent)]
struct Price<T: tautline_bus::Layout>(T);

mod other {
    use super::{Layout, Side};

    /// The same, but for the order of its fields.
    #[derive(Layout)]
    #[repr(C)]
    pub(super) struct Turned {
        pub(super) price: [i32; 2],
        pub(super) number: u64,
        pub(super) side: Side,
    }

    #[derive(Layout)]
    #[repr(u8)]
    #[allow(dead_code, reason = "told, not used")]
    pub(super) enum Sides {
        Buy = 1,
        Sell = 3,
    }
}

/// Fields are told with their offsets, sizes and types.
#[test]
fn fields_are_told() {
    let told: Vec<_> = Order::FIELDS
        .iter()
        .map(|field| (field.name, field.of, field.offset, field.size))
        .collect();
    assert_eq!(told, [("number", "u64", 0, 8), ("price", "array", 8, 8), ("side", "Side", 16, 1)]);
    assert_eq!(Price::<u64>::FIELDS[0].name, "0");
}

/// Another order of fields, another value of a variant, another argument: another layout.
#[test]
fn what_differs_has_another_hash() {
    assert_ne!(Order::HASH, other::Turned::HASH);
    assert_ne!(Side::HASH, other::Sides::HASH);
    assert_ne!(Price::<u64>::HASH, Price::<i64>::HASH);
    let _ = (Price(1u8).0, Order { number: 0, price: [0; 2], side: Side::Buy }.number);
    let turned = other::Turned { price: [0; 2], number: 0, side: Side::Buy };
    let _ = (turned.price, turned.number, turned.side);
}

/// Any bytes are a value of numbers, and of what consists of numbers; not of what has a `bool`, a
/// `char` or an enum somewhere.
#[test]
fn what_any_bytes_are_is_told() {
    let any = [<[[i32; 2]; 3]>::ANY_BYTES, Price::<f64>::ANY_BYTES];
    let some = [bool::ANY_BYTES, <[char; 2]>::ANY_BYTES, Side::ANY_BYTES, Order::ANY_BYTES];
    assert_eq!((any, some), ([true; 2], [false; 4]));
}
