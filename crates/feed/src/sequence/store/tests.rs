use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What is kept comes back as it was, whatever is let go meanwhile, in any order; and when all is let go,
/// there is as much room as before.
fn holds<S: Store>(mut store: S, steps: &[(u16, u8)], largest: usize) {
    let mut kept: Vec<(S::Key, Vec<u8>)> = Vec::new();
    for (at, (len, which)) in steps.iter().enumerate() {
        if which % 3 == 0 && !kept.is_empty() {
            let (key, bytes) = kept.swap_remove(*which as usize % kept.len());
            assert_eq!(store.get(key), bytes);
            store.release(key);
            continue;
        }
        let bytes = vec![at as u8; usize::from(*len)];
        if let Some(key) = store.keep(&bytes) {
            kept.push((key, bytes));
        }
        for (key, bytes) in &kept {
            assert_eq!(store.get(*key), bytes);
        }
    }
    for (key, _) in kept {
        store.release(key);
    }
    let all = vec![7; largest];
    let key = store.keep(&all).expect("all is free again");
    assert_eq!(store.get(key), all);
}

proptest! {
    /// See [`holds`].
    #[test]
    fn what_is_kept_comes_back(steps in prop::collection::vec((0u16..1600, any::<u8>()), 0..200)) {
        holds(Pool::new(16, 1500).unwrap(), &steps, 1500);
        holds(Slots::new(32 << 10).unwrap(), &steps, 32 << 10);
        holds(Bip::new(20_000, 32).unwrap(), &steps, 20_000);
    }
}

/// Blocks of half the size go twice as often, and no block lies over another.
#[test]
fn slots_are_used_up() {
    let mut slots = Slots::new(4096).unwrap();
    let mut keys = HashMap::new();
    for len in [1024, 1000, 64, 1, 65, 512, 300] {
        keys.insert(slots.keep(&vec![1; len]).expect("there is room"), len);
    }
    assert_eq!(keys.len(), 7);
    assert_eq!(slots.keep(&[1; 513]), None, "1024 + 1024 + 64 + 64 + 128 + 512 + 512 are taken");
    assert!(slots.keep(&[1; 512]).is_some() && slots.keep(&[1; 256]).is_some());
    assert_eq!(slots.keep(&[1]), None);
}

/// What cannot be made is refused.
#[test]
fn impossible_stores_are_refused() {
    assert!(matches!(Pool::new(0, 5), Err(StoreError::Empty { packets: 0, bytes: 5 })));
    assert!(matches!(Slots::new(0), Err(StoreError::Empty { .. })));
    assert!(matches!(Bip::new(5, 0), Err(StoreError::Empty { .. })));
    assert!(matches!(Pool::new(usize::MAX, 2), Err(StoreError::Memory { .. })));
    assert!(matches!(Slots::new(usize::MAX), Err(StoreError::Memory { .. })));
    assert!(matches!(Bip::new(5, usize::MAX), Err(StoreError::Memory { .. })));
    let error = Bip::new(1 << 40, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1099511627776 bytes of memory are not to be had for a store: make it smaller"
    );
}
