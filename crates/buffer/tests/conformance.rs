//! The contract of [`Fifo`], one suite for all buffers.

use tautline_buffer::{Bip, ByteBuffer, Fifo, HugePages, MapOptions, Mirrored};

/// Nothing is readable at first, and all of the capacity is one claim.
fn starts_empty(fifo: &mut impl Fifo) {
    let capacity = fifo.capacity();
    assert!(capacity > 0);
    assert!(fifo.is_empty() && fifo.readable().is_empty() && fifo.readable_mut().is_empty());
    assert_eq!((fifo.used(), fifo.free()), (0, capacity));
    assert_eq!(fifo.claim(usize::MAX).len(), capacity);
}

/// A commit without a claim, or beyond it, is cut to the claim; so is one beyond `usize` sums.
fn commit_is_cut_to_the_claim(fifo: &mut impl Fifo) {
    assert_eq!(fifo.commit(1), 0);
    fifo.claim(3).copy_from_slice(b"abc");
    assert_eq!(fifo.commit(usize::MAX), 3);
    assert_eq!(fifo.readable(), b"abc");
}

/// A commit ends the claim: what it left over is not claimed any more.
fn commit_ends_the_claim(fifo: &mut impl Fifo) {
    fifo.claim(3).copy_from_slice(b"abc");
    assert_eq!(fifo.commit(1), 1);
    assert_eq!(fifo.commit(2), 0);
    assert_eq!(fifo.used(), 1);
}

/// A second claim replaces the first, in length too.
fn claim_replaces_the_one_before(fifo: &mut impl Fifo) {
    fifo.claim(8);
    fifo.claim(2).copy_from_slice(b"xy");
    assert_eq!(fifo.commit(8), 2);
    assert_eq!(fifo.readable(), b"xy");
}

/// A claim that is not committed leaves no trace.
fn claim_alone_changes_nothing(fifo: &mut impl Fifo) {
    fifo.put(b"ab");
    fifo.claim(usize::MAX).fill(9);
    assert_eq!(fifo.used(), 2);
    assert_eq!(fifo.readable(), b"ab");
}

/// Consuming beyond what is readable is cut, and consuming nothing from nothing is no error.
fn consume_is_cut_to_the_readable(fifo: &mut impl Fifo) {
    assert_eq!(fifo.consume(usize::MAX), 0);
    fifo.put(b"abc");
    assert_eq!(fifo.consume(0), 0);
    assert_eq!(fifo.consume(1), 1);
    assert_eq!(fifo.readable(), b"bc");
    assert_eq!(fifo.consume(usize::MAX), 2);
    assert!(fifo.is_empty());
}

/// A consume between claim and commit, even of everything, leaves the claim as it is: this is how
/// a read that the kernel completes later uses the buffer.
fn claim_survives_a_consume(fifo: &mut impl Fifo) {
    fifo.put(b"old");
    fifo.claim(3).copy_from_slice(b"new");
    assert_eq!(fifo.consume(3), 3);
    assert_eq!(fifo.commit(3), 3);
    assert_eq!(fifo.readable(), b"new");
}

/// A full buffer claims nothing, and as much as is consumed can be claimed again some time.
fn full_then_empty_then_full(fifo: &mut impl Fifo) {
    for round in 0..3 {
        let capacity = fifo.capacity();
        fifo.claim(capacity).fill(round);
        assert_eq!(fifo.commit(capacity), capacity);
        assert_eq!((fifo.used(), fifo.free()), (capacity, 0));
        assert!(fifo.claim(1).is_empty());
        assert_eq!(fifo.commit(1), 0);
        assert!(fifo.readable().iter().all(|&byte| byte == round));
        fifo.clear();
        assert!(fifo.is_empty());
    }
}

/// Zero-sized calls are calls like any other.
fn zero_sizes_are_allowed(fifo: &mut impl Fifo) {
    assert!(fifo.claim(0).is_empty());
    assert_eq!((fifo.commit(0), fifo.put(b""), fifo.take(&mut [])), (0, 0, 0));
    assert!(fifo.is_empty());
}

/// Readable bytes can be changed in place, all of them.
fn readable_bytes_change_in_place(fifo: &mut impl Fifo) {
    fifo.put(b"abc");
    fifo.readable_mut().make_ascii_uppercase();
    assert_eq!(fifo.readable(), b"ABC");
}

/// What `put` takes, `take` gives back, cut on both sides.
fn put_and_take_are_cut(fifo: &mut impl Fifo) {
    let all = vec![7; fifo.capacity() + 1];
    assert_eq!(fifo.put(&all), fifo.capacity());
    let mut out = [0; 3];
    assert_eq!(fifo.take(&mut out), 3);
    assert_eq!(out, [7; 3]);
    fifo.clear();
    assert_eq!(fifo.take(&mut out), 0);
}

/// The trait can be used without knowing the type, and moved to another thread.
fn works_as_a_trait_object(fifo: impl Fifo + Send + 'static) {
    let mut fifo: Box<dyn Fifo + Send> = Box::new(fifo);
    let moved = std::thread::spawn(move || {
        fifo.put(b"abc");
        fifo
    });
    assert_eq!(moved.join().unwrap().readable(), b"abc");
}

macro_rules! conformance {
    ($name:ident, $make:expr) => {
        mod $name {
            use super::*;
            conformance!(@each $make,
                starts_empty, commit_is_cut_to_the_claim, commit_ends_the_claim,
                claim_replaces_the_one_before, claim_alone_changes_nothing,
                consume_is_cut_to_the_readable, claim_survives_a_consume,
                full_then_empty_then_full, zero_sizes_are_allowed,
                readable_bytes_change_in_place, put_and_take_are_cut);

            /// See the function of this name.
            #[test]
            fn works_as_a_trait_object() {
                super::works_as_a_trait_object($make);
            }
        }
    };
    (@each $make:expr, $($test:ident),+) => {
        $(
            /// See the function of this name.
            #[test]
            fn $test() {
                super::$test(&mut $make);
            }
        )+
    };
}

conformance!(mirrored, Mirrored::new(1).unwrap());
conformance!(mirrored_settled, {
    let options = MapOptions::new().prefault(true).huge_pages(HugePages::Try);
    Mirrored::with(1 << 16, options).unwrap()
});
conformance!(bip, Bip::new(64).unwrap());
conformance!(byte_buffer, ByteBuffer::new(64).unwrap());
