//! What compression costs in memory.

use allocation_counter::measure;

use super::*;

fn pool(deflating: usize, inflating: usize, idle: usize) -> Pool {
    Pool::new(PoolLimits { deflating, inflating, idle })
}

fn config() -> Config {
    Config { at_least: 0, ..Config::default() }
}

/// A connection that has agreed to compress has no context before it carries a message, and is small.
#[test]
fn an_idle_connection_has_no_context() {
    let pool = Pool::default();
    let mut made = None;
    let counted = measure(|| {
        made = Some((Deflater::new(&pool, KEEPS, &config()), Inflater::new(&pool, KEEPS, 1000)));
    });
    assert_eq!(counted.count_total, 0);
    let (deflater, inflater) = made.expect("they were made");
    assert!(!deflater.has_context() && !inflater.has_context());
    assert_eq!((pool.deflating(), pool.inflating(), pool.idle()), (0, 0, 0));
    assert!(size_of_val(&deflater) + size_of_val(&inflater) <= 640);
}

/// A context is as large as is said, in one allocation.
#[test]
fn contexts_are_as_large_as_is_said() {
    for window_bits in 9..=15 {
        let terms = Terms { takeover: true, window_bits };
        let mut deflates = deflater(terms, 6);
        let mut room = [0; 64];
        let counted = measure(|| {
            deflates.deflate(b"x", &mut room, Part::Last).expect("there is a context");
        });
        let most = deflater_bytes(window_bits) as u64;
        assert_eq!(counted.count_total, 1);
        let is_right = counted.bytes_total <= most && counted.bytes_total + (16 << 10) > most;
        assert!(is_right, "{window_bits} bits: {} bytes of {most}", counted.bytes_total);

        let mut inflates = inflater(terms);
        let counted = measure(|| {
            inflates.inflate(&[0x00], &mut room, Part::Last).expect("it is sound");
        });
        let most = INFLATER_BYTES as u64;
        assert_eq!(counted.count_total, 1);
        let is_right = counted.bytes_total <= most && counted.bytes_total + (16 << 10) > most;
        assert!(is_right, "{} bytes of {most}", counted.bytes_total);
    }
}

/// Once contexts are there, messages allocate nothing, with takeover or without, also behind blocks that
/// say that they are the last.
#[test]
fn messages_allocate_nothing() {
    let message = ticks(&mut fastrand::Rng::with_seed(4), 2000);
    for (takeover, window_bits) in [(true, 15), (false, 15), (true, 9), (false, 11)] {
        let pool = Pool::default();
        let terms = Terms { takeover, window_bits };
        let mut deflater = Deflater::new(&pool, terms, &config());
        let mut inflater = Inflater::new(&pool, terms, 1 << 20);
        let mut payload = vec![0; bound(message.len())];
        let mut back = vec![0; message.len()];
        let mut round = || {
            let done = deflater.deflate(&message, &mut payload, Part::Last).expect("there is one");
            let payload = &payload[..done.produced];
            let done = inflater.inflate(payload, &mut back, Part::Last).expect("it is sound");
            assert_eq!(done.next, Next::Message);
            assert!(back == message);
            let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
            inflater.inflate(&last, &mut back, Part::Last).expect("it is sound");
        };
        // Behind such a block the window is empty: with takeover only what stands alone can follow.
        let rounds = if takeover { 1 } else { 100 };
        round();
        let counted = measure(|| (1..rounds).for_each(|_| round()));
        assert_eq!(counted.count_total, 0, "takeover {takeover}, {window_bits} bits");
    }
}

/// With takeover too.
#[test]
fn messages_with_takeover_allocate_nothing() {
    let message = ticks(&mut fastrand::Rng::with_seed(4), 2000);
    let (mut deflater, mut inflater) = (deflater(KEEPS, 6), inflater(KEEPS));
    let mut payload = vec![0; bound(message.len())];
    let mut back = vec![0; message.len()];
    let mut round = || {
        let done = deflater.deflate(&message, &mut payload, Part::Last).expect("there is one");
        let payload = &payload[..done.produced];
        inflater.inflate(payload, &mut back, Part::Last).expect("it is sound");
        assert!(back == message);
    };
    round();
    assert_eq!(measure(|| (0..100).for_each(|_| round())).count_total, 0);
}

/// Without takeover a context is lent for a message only; with it, it is kept.
//= RFC 7692 §7.1.1
//= type=test
#[test]
fn contexts_are_given_back_behind_a_message() {
    let pool = pool(10, 10, 10);
    let mut room = [0; 64];
    let mut forgets = Deflater::new(&pool, FORGETS, &config());
    forgets.deflate(b"Hello", &mut room, Part::Middle).expect("there is a context");
    assert_eq!(pool.deflating(), 1);
    let done = forgets.deflate(b"", &mut room, Part::Last).expect("it has a context");
    assert_eq!((pool.deflating(), pool.idle()), (0, 1));
    let payload = room[..done.produced].to_vec();
    let mut reads = Inflater::new(&pool, FORGETS, 100);
    reads.inflate(&payload[..3], &mut room, Part::Middle).expect("it is sound");
    assert_eq!(pool.inflating(), 1);
    reads.inflate(&payload[3..], &mut room, Part::Last).expect("it is sound");
    assert_eq!((pool.inflating(), pool.idle()), (0, 2));

    let mut keeps = Deflater::new(&pool, KEEPS, &config());
    keeps.deflate(b"Hello", &mut room, Part::Last).expect("there is a context");
    assert_eq!((pool.deflating(), pool.idle()), (1, 1));
    drop(keeps);
    assert_eq!((pool.deflating(), pool.idle()), (0, 2));
}

/// A context that was another's knows nothing of it, whatever its level and however far it had come.
#[test]
fn contexts_that_come_back_know_nothing() {
    let pool = pool(10, 10, 10);
    let fresh = |level| deflated(&mut deflater(KEEPS, level), b"Hello, Hello");
    let mut room = [0; 64];
    for (window_bits, level, before) in [(15, 6, 6), (15, 1, 9), (15, 9, 1), (12, 3, 6)] {
        let terms = Terms { takeover: true, window_bits };
        let of_level = |level| Config { level, ..config() };
        let mut other = Deflater::new(&pool, terms, &of_level(before));
        other.deflate(b"Hello, Hello, secret", &mut room, Part::Middle).expect("there is one");
        drop(other);
        let mut next = Deflater::new(&pool, terms, &of_level(level));
        assert_eq!(deflated(&mut next, b"Hello, Hello"), fresh(level), "level {level}");
    }
    // Also one that has met with an error.
    let mut reads = Inflater::new(&pool, KEEPS, 100);
    inflated(&mut reads, &fresh(6)).expect("it is sound");
    reads.inflate(&[0x07], &mut room, Part::Last).expect_err("it is corrupt");
    let back_reference = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut next = Inflater::new(&pool, KEEPS, 100);
    assert_eq!(inflated(&mut next, &back_reference), Err(InflateError::Corrupt));
    assert!(inflated(&mut next, &fresh(6)).is_ok());
}

/// When all contexts are in use, a message is sent as it is, or the connection is asked to come later;
/// nobody else is disturbed, and the next to come back is for all.
#[test]
fn an_exhausted_pool_says_so() {
    let pool = pool(1, 1, 1);
    let mut room = [0; 64];
    let mut first = Deflater::new(&pool, KEEPS, &config());
    let payload = deflated(&mut first, b"Hello");
    let mut second = Deflater::new(&pool, FORGETS, &config());
    for _ in 0..3 {
        let refused = second.deflate(b"Hello", &mut room, Part::Last);
        assert_eq!(refused, Err(Exhausted { limit: 1 }));
    }
    // An empty message needs none.
    assert_eq!(deflated(&mut second, b""), [0x00]);
    drop(first);
    assert_eq!(deflated(&mut second, b"Hello"), payload);

    let mut reads = Inflater::new(&pool, KEEPS, 100);
    inflated(&mut reads, &payload).expect("there is a context");
    let mut waits = Inflater::new(&pool, KEEPS, 100);
    let error = inflated(&mut waits, &payload).expect_err("there is none");
    assert_eq!(
        (error, error.close_code()),
        (InflateError::Exhausted(Exhausted { limit: 1 }), 1013)
    );
    drop(reads);
    assert!(inflated(&mut waits, &payload).is_ok());
}

/// No more idle contexts are kept than is allowed.
#[test]
fn idle_contexts_are_bounded() {
    let pool = pool(10, 10, 2);
    let mut room = [0; 64];
    let mut all: Vec<_> = (0..5).map(|_| Deflater::new(&pool, KEEPS, &config())).collect();
    for deflater in &mut all {
        deflater.deflate(b"Hello", &mut room, Part::Last).expect("there is a context");
    }
    assert_eq!((pool.deflating(), pool.idle()), (5, 0));
    drop(all);
    assert_eq!((pool.deflating(), pool.idle()), (0, 2));
}

/// What is not worth it, or cannot be, is not wanted.
#[test]
fn short_messages_are_not_wanted() {
    let of = |window_bits| {
        let terms = Terms { takeover: true, window_bits };
        Deflater::new(&Pool::default(), terms, &Config { at_least: 100, ..Config::default() })
    };
    assert!(of(9).wants(100) && !of(9).wants(99));
    assert!(!of(8).wants(1 << 20));
}
