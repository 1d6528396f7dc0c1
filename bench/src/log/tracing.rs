//! tracing, with the lossless writer of tracing-appender.

use std::{io, sync::OnceLock};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use super::{ends::Log, out::Out};

/// Set for the process when it is first opened.
pub(super) struct Appender(&'static (Out, WorkerGuard));

static LOG: OnceLock<(Out, WorkerGuard)> = OnceLock::new();

impl Log for Appender {
    fn open() -> io::Result<Self> {
        if let Some(log) = LOG.get() {
            return Ok(Self(log));
        }
        let out = Out::open()?;
        let (writer, guard) = NonBlockingBuilder::default().lossy(false).finish(out.clone());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
        Ok(Self(LOG.get_or_init(|| (out, guard))))
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        tracing::info!("order {id} filled at {price:.2} for {name}");
    }

    fn written(&self) -> u64 {
        self.0.0.lines()
    }
}
