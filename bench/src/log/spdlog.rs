//! spdlog-rs, with a thread that writes; it blocks where it is full.

use std::{io, num::NonZeroUsize, sync::Arc};

use spdlog::{
    Logger, ThreadPool,
    sink::{AsyncPoolSink, OverflowPolicy, WriteSink},
};

use super::{ends::Log, out::Out};

/// A sink on a thread of its own.
pub(super) struct Pool {
    log: Logger,
    out: Out,
}

impl Log for Pool {
    fn open() -> io::Result<Self> {
        let out = Out::open()?;
        let fail = |error: spdlog::Error| io::Error::other(error.to_string());
        let sink = WriteSink::builder().target(out.clone()).build_arc().map_err(fail)?;
        let capacity = NonZeroUsize::new(4096).unwrap_or(NonZeroUsize::MIN);
        let pool = ThreadPool::builder().capacity(capacity).build_arc().map_err(fail)?;
        let pooled = AsyncPoolSink::builder()
            .sink(sink)
            .thread_pool(pool)
            .overflow_policy(OverflowPolicy::Block)
            .build_arc()
            .map_err(fail)?;
        let log = Logger::builder().sink(pooled as Arc<_>).build().map_err(fail)?;
        Ok(Self { log, out })
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        spdlog::info!(logger: self.log, "order {id} filled at {price:.2} for {name}");
    }

    fn written(&self) -> u64 {
        self.out.lines()
    }
}
