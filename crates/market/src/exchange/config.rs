//! What an exchange is told beforehand.

use std::time::Duration;

use tautline_feed::format::{Format, Session};
use tautline_feed::sequence::StoreError;

use super::line::Impairment;
use crate::book::CapacityError;
use crate::message::Message;

/// How an exchange goes about it. All of its memory is taken when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The name of the session. An exchange that begins anew takes another.
    pub session: Session,
    /// Instruments, at least one.
    pub instruments: u32,
    /// Orders that a book can have at a time. The exchange fills a half of it or so.
    pub orders: usize,
    /// Messages a second on average, at least one.
    pub rate: u32,
    /// Lines on which all packets go, and what each does to them: 1 to 32.
    pub lines: Vec<Impairment>,
    /// Bytes of the largest packet.
    pub packet: usize,
    /// Messages that are kept for those who have missed them.
    pub history: usize,
    /// After so long in which nothing was said there is a heartbeat.
    pub heartbeat: Duration,
    /// Packets that can be on their way on a line; more are lost there.
    pub queue: usize,
}

impl Default for Config {
    /// Eight instruments of 1,000 orders; 10,000 messages a second on two perfect lines, of which the
    /// last 262,144 are kept; packets of 1,400 bytes; heartbeats after 100 ms.
    fn default() -> Self {
        Self {
            session: Session::of_number(1),
            instruments: 8,
            orders: 1000,
            rate: 10_000,
            lines: vec![Impairment::default(); 2],
            packet: 1400,
            history: 1 << 18,
            heartbeat: Duration::from_millis(100),
            queue: 1024,
        }
    }
}

/// Why there is no such exchange.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Too few lines, or too many.
    #[error("{0} lines: an exchange has 1 to 32")]
    Lines(usize),
    /// What cannot be the share of something.
    #[error("line {line}: {what} {value} is no probability: 0 to 1")]
    Probability {
        /// Of which line.
        line: usize,
        /// Of what.
        what: &'static str,
        /// What was said.
        value: f64,
    },
    /// A delay that ends before it begins.
    #[error("line {line}: a delay from {least:?} to {most:?} ends before it begins: swap them")]
    Delay {
        /// Of which line.
        line: usize,
        /// From.
        least: Duration,
        /// To.
        most: Duration,
    },
    /// Nothing would ever happen.
    #[error("a rate of 0 messages a second: at least one")]
    Rate,
    /// Nothing could be asked for again.
    #[error("a history of 0 messages: one at least is kept")]
    History,
    /// A packet has no room for a message.
    #[error(
        "packets of {bytes} bytes: a message of the format {format} needs {least}, and more than 65,000 go into none"
    )]
    Packet {
        /// As many were wanted.
        bytes: usize,
        /// The format.
        format: &'static str,
        /// As many are needed.
        least: usize,
    },
    /// Heartbeats without a pause.
    #[error("a heartbeat after no time at all: give it a millisecond or more")]
    Heartbeat,
    /// Books that cannot be.
    #[error(transparent)]
    Books(#[from] CapacityError),
    /// Lines that cannot be.
    #[error("queue: {0}")]
    Queue(#[from] StoreError),
    /// There is no memory for it.
    #[error("a history of {messages} messages is more than there is memory for: make it smaller")]
    Memory {
        /// As many.
        messages: usize,
    },
}

impl Config {
    pub(super) fn check<F: Format>(&self) -> Result<(), ConfigError> {
        if !(1..=32).contains(&self.lines.len()) {
            return Err(ConfigError::Lines(self.lines.len()));
        }
        self.lines.iter().enumerate().try_for_each(|(at, line)| line.check(at))?;
        if self.rate == 0 {
            return Err(ConfigError::Rate);
        }
        if self.history == 0 {
            return Err(ConfigError::History);
        }
        if self.heartbeat < Duration::from_millis(1) {
            return Err(ConfigError::Heartbeat);
        }
        let least = F::HEADER + 2 + Message::LONGEST;
        if !(least..=65_000).contains(&self.packet) {
            return Err(ConfigError::Packet { bytes: self.packet, format: F::NAME, least });
        }
        Ok(())
    }
}
