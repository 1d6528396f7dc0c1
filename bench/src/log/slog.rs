//! slog-async, which blocks where it is full.

use std::io;

use slog::{Drain, Logger, o};
use slog_async::{AsyncGuard, OverflowStrategy};
use slog_term::{FullFormat, PlainSyncDecorator};

use super::{ends::Log, out::Out};

/// A drain on a thread of its own.
pub(super) struct Async {
    log: Logger,
    out: Out,
    _guard: AsyncGuard,
}

impl Log for Async {
    fn open() -> io::Result<Self> {
        let out = Out::open()?;
        let drain = FullFormat::new(PlainSyncDecorator::new(out.clone())).build().fuse();
        let (drain, guard) = slog_async::Async::new(drain)
            .chan_size(4096)
            .overflow_strategy(OverflowStrategy::Block)
            .build_with_guard();
        Ok(Self { log: Logger::root(drain.fuse(), o!()), out, _guard: guard })
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        slog::info!(self.log, "order {} filled at {:.2} for {}", id, price, name);
    }

    fn written(&self) -> u64 {
        self.out.lines()
    }
}
