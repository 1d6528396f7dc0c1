//! As `sequence`, with a bug that the fuzzer must find: a store that gives back something else.

#![no_main]

use tautline_feed::format::Compact;
use tautline_feed::sequence::{Pool, PoolKey, Store};
use tautline_feed::trial::Case;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = arbitrary::Unstructured::new(bytes);
    if let (Ok(case), Ok(pool)) = (Case::of(&mut bytes), Pool::new(20, 60)) {
        case.play::<Compact, _>(Forgetful { pool, kept: 0, last: PoolKey::default() });
    }
});

/// What is kept when three others are takes the place of the one before.
struct Forgetful {
    pool: Pool,
    kept: usize,
    last: PoolKey,
}

impl Store for Forgetful {
    type Key = PoolKey;

    fn largest(&self) -> usize {
        self.pool.largest()
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<PoolKey> {
        let key = self.pool.keep(bytes)?;
        self.kept += 1;
        let last = std::mem::replace(&mut self.last, key);
        if self.kept == 4 { Some(last) } else { Some(key) }
    }

    fn get(&self, key: PoolKey) -> &[u8] {
        self.pool.get(key)
    }

    fn release(&mut self, key: PoolKey) {
        self.kept -= 1;
        self.pool.release(key);
    }
}
