//! What a gateway is told beforehand.

use std::time::Duration;

use tautline_feed::sequence::{self, Start};

use crate::book::CapacityError;

/// How a gateway goes about it. All of its memory is taken when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// How messages are put in order. Where a session begins is the gateway's own business: it joins by a
    /// snapshot, and a session that follows begins with number 1 and empty books.
    pub sequence: sequence::Config,
    /// Instruments, as many as the exchange has.
    pub instruments: u32,
    /// Orders that a book can have at a time.
    pub orders: usize,
    /// A snapshot of which nothing has come for so long is asked for again.
    pub snapshot_patience: Duration,
    /// All quotes are published that often, for those who have come late.
    pub refresh: Duration,
}

impl Default for Config {
    /// Two lines; eight instruments of 1,000 orders; snapshots asked for again after 1 s; all quotes each
    /// second.
    fn default() -> Self {
        Self {
            sequence: sequence::Config { lines: 2, ..sequence::Config::default() },
            instruments: 8,
            orders: 1000,
            snapshot_patience: Duration::from_secs(1),
            refresh: Duration::from_secs(1),
        }
    }
}

/// Why there is no such gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A sequencer that cannot be.
    #[error(transparent)]
    Sequence(#[from] sequence::ConfigError),
    /// Books that cannot be.
    #[error(transparent)]
    Books(#[from] CapacityError),
    /// Something would be done without a pause.
    #[error("{what}: {value:?} is too often, a millisecond is the least")]
    TooOften {
        /// The field.
        what: &'static str,
        /// What was said.
        value: Duration,
    },
}

/// Most messages of a request that goes on the wire.
const MOST: u64 = 65_534;

impl Config {
    pub(super) fn checked(mut self) -> Result<Self, ConfigError> {
        let pauses = [("snapshot_patience", self.snapshot_patience), ("refresh", self.refresh)];
        for (what, value) in pauses {
            if value < Duration::from_millis(1) {
                return Err(ConfigError::TooOften { what, value });
            }
        }
        self.sequence.start = Start::Snapshot;
        self.sequence.restart = Start::At(1);
        if let Some(requests) = &mut self.sequence.requests {
            requests.most = requests.most.min(MOST);
        }
        Ok(self)
    }
}
