//! Connections that bring bytes late, in pieces, and now and then break.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bytes on their way in one direction.
pub(crate) struct Wire {
    rng: fastrand::Rng,
    /// Pieces by when they arrive; `None`: the connection breaks.
    under_way: BTreeMap<(Instant, u64), Option<Vec<u8>>>,
    count: u64,
    last: Instant,
    /// The share of writes behind which it breaks.
    breaks: f64,
}

impl Wire {
    pub(crate) fn new(rng: fastrand::Rng, breaks: f64, now: Instant) -> Self {
        Self { rng, under_way: BTreeMap::new(), count: 0, last: now, breaks }
    }

    /// Bytes go, and arrive in pieces.
    pub(crate) fn write(&mut self, now: Instant, mut bytes: &[u8]) {
        let breaks = self.rng.f64() < self.breaks;
        if breaks {
            bytes = &bytes[..self.rng.usize(0..=bytes.len())];
        }
        while !bytes.is_empty() {
            let most = 1 << self.rng.u32(1..12);
            let (piece, rest) = bytes.split_at(bytes.len().min(self.rng.usize(1..=most)));
            self.add(now, Some(piece.to_vec()));
            bytes = rest;
        }
        if breaks {
            self.add(now, None);
        }
    }

    fn add(&mut self, now: Instant, what: Option<Vec<u8>>) {
        // Never before what has gone before.
        self.last = self.last.max(now + Duration::from_micros(self.rng.u64(20..400)));
        self.count += 1;
        self.under_way.insert((self.last, self.count), what);
    }

    /// What has arrived; `Some(None)`: it has broken, and with it what was on its way.
    pub(crate) fn read(&mut self, now: Instant) -> Option<Option<Vec<u8>>> {
        let (at, _) = *self.under_way.keys().next()?;
        if at > now {
            return None;
        }
        let (_, what) = self.under_way.pop_first()?;
        if what.is_none() {
            self.under_way.clear();
        }
        Some(what)
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// A new connection: nothing is on its way.
    pub(crate) fn clear(&mut self) {
        self.under_way.clear();
    }
}
