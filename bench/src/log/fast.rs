//! fast_log, with a bounded channel.

use std::{
    io::{self, Write},
    sync::OnceLock,
};

use fast_log::{
    Config,
    appender::{FastLogRecord, LogAppender},
};

use super::{ends::Log, out::Out};

/// Set for the process when it is first opened.
pub(super) struct Fast(Out);

static LOG: OnceLock<Out> = OnceLock::new();

struct Appender(Out);

impl LogAppender for Appender {
    fn do_logs(&mut self, records: &[FastLogRecord]) {
        // As its own file appender: all in one write.
        let text: String = records.iter().map(|record| record.formated.as_str()).collect();
        // What is lost is missing in the count.
        let _ = self.0.write_all(text.as_bytes());
    }
}

impl Log for Fast {
    fn open() -> io::Result<Self> {
        if let Some(out) = LOG.get() {
            return Ok(Self(out.clone()));
        }
        let out = Out::open()?;
        let config = Config::new().chan_len(Some(4096)).custom(Appender(out.clone()));
        fast_log::init(config).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self(LOG.get_or_init(|| out).clone()))
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        log::info!("order {id} filled at {price:.2} for {name}");
    }

    fn written(&self) -> u64 {
        self.0.lines()
    }
}
