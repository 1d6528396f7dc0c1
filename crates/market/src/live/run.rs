//! An exchange or a gateway on a loop of its own, from start to end.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tautline_feed::format::{Compact, Format, MoldUdp64};
use tautline_feed::sequence::StoreError;
use tautline_net::{Signal, Signals};
use tautline_runtime::{Runtime, task, timer};

use super::{
    ExchangeConfig, ExchangeReport, GatewayConfig, GatewayReport, Station, Venue, WireFormat,
};
use crate::{exchange, gateway};

/// Between two reports.
const INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at an end in which nothing moves.
const LOOK: Duration = Duration::from_millis(20);
/// How often the end of the session is told after the first time.
const FAREWELLS: u32 = 3;

/// Why an exchange or a gateway could not run, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The loop broke.
    #[error("the loop: {0}")]
    Loop(#[from] tautline_runtime::Error),
    /// Lines and groups do not match.
    #[error("{lines} lines go to {groups} groups: name a group for each")]
    Lines {
        /// Groups there are.
        groups: usize,
        /// Lines there are.
        lines: usize,
    },
    /// Quotes would come back as packets of the feed, to this gateway and to all others.
    #[error("quotes to {to}: {group} is a line of the feed itself; take another group or port")]
    OwnFeed {
        /// The destination, as it was written.
        to: String,
        /// The line.
        group: SocketAddr,
    },
    /// Two lines are one: what it loses the other would not bring.
    #[error("{group} is named twice: name the group of each line once")]
    SameLine {
        /// The line.
        group: SocketAddr,
    },
    /// A group that cannot be joined, or sent to.
    #[error("line {group}: {reason}")]
    Line {
        /// The group.
        group: SocketAddr,
        /// What happened, and what would help.
        reason: String,
    },
    /// An address at which nobody can listen.
    #[error("{what}: {reason}")]
    Listen {
        /// Which server.
        what: &'static str,
        /// What happened, and what would help.
        reason: String,
    },
    /// Signals cannot be heard.
    #[error("signals: {0}")]
    Signals(io::Error),
    /// An exchange that cannot be.
    #[error(transparent)]
    Exchange(#[from] exchange::ConfigError),
    /// A gateway that cannot be.
    #[error(transparent)]
    Gateway(#[from] gateway::ConfigError),
    /// No memory for packets that come ahead of others.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no loop to be had, or somewhere quotes cannot go.
    #[error(transparent)]
    Relay(#[from] tautline_relay::RunError),
    /// A gateway has run, and a destination has failed or was never reached.
    #[error("{cause}")]
    Ended {
        /// Which one, and why.
        cause: tautline_relay::RunError,
        /// How the gateway stood at its end.
        summary: Box<GatewayReport>,
    },
}

impl RunError {
    /// How a gateway stood that has run before it failed.
    #[must_use]
    pub fn summary(&self) -> Option<&GatewayReport> {
        match self {
            Self::Ended { summary, .. } => Some(summary),
            _ => None,
        }
    }

    pub(super) fn line(group: SocketAddr, error: &io::Error) -> Self {
        Self::Line { group, reason: error.to_string() }
    }
}

/// Runs a simulated exchange until it is told to end, and hands `report` how it stands each second.
///
/// It ends at [`ExchangeConfig::run_for`], and, if `host.signals` says so, at SIGINT or SIGTERM: the end
/// of the session is told, and told again. A second signal ends it at once. One runtime a thread: call it
/// where there is none.
///
/// # Errors
/// [`RunError`] names what could not be.
pub fn run_exchange(
    config: &ExchangeConfig,
    report: &mut dyn FnMut(&ExchangeReport),
) -> Result<ExchangeReport, RunError> {
    match config.format {
        WireFormat::MoldUdp64 => exchange_of::<MoldUdp64>(config, report),
        WireFormat::Compact => exchange_of::<Compact>(config, report),
    }
}

fn exchange_of<F: Format>(
    config: &ExchangeConfig,
    report: &mut dyn FnMut(&ExchangeReport),
) -> Result<ExchangeReport, RunError> {
    let runtime = config.host.start(0)?;
    let venue = Venue::<F>::open(config)?;
    let end = End::listen(config.host.signals, config.run_for)?;
    end.run(&runtime, &mut || report(&venue.report()), &mut || false)?;
    venue.finish();
    let farewell = config.exchange.heartbeat * FAREWELLS + LOOK;
    end.linger(&runtime, farewell, &mut || false)?;
    venue.stop();
    Ok(venue.summary())
}

/// Runs a gateway until it is told to end, and hands `report` how it stands each second.
///
/// It ends as [`run_exchange`] does, and when a destination has failed for good; what was published is
/// still sent to whoever is there, within a bound. It goes on when the exchange does not: sessions come and
/// go. Whether the books are sound at the end the report says.
///
/// # Errors
/// [`RunError`] names what could not be, or has failed.
pub fn run_gateway(
    config: &GatewayConfig,
    report: &mut dyn FnMut(&GatewayReport),
) -> Result<GatewayReport, RunError> {
    run_gateway_until(config, report, &mut || false)
}

/// The same, and it also ends in order once `done` says so, which is asked between the turns of the loop, at
/// least after each report.
///
/// # Errors
/// As [`run_gateway`].
pub fn run_gateway_until(
    config: &GatewayConfig,
    report: &mut dyn FnMut(&GatewayReport),
    done: &mut dyn FnMut() -> bool,
) -> Result<GatewayReport, RunError> {
    match config.format {
        WireFormat::MoldUdp64 => gateway_of::<MoldUdp64>(config, report, done),
        WireFormat::Compact => gateway_of::<Compact>(config, report, done),
    }
}

fn gateway_of<F: Format>(
    config: &GatewayConfig,
    report: &mut dyn FnMut(&GatewayReport),
    done: &mut dyn FnMut() -> bool,
) -> Result<GatewayReport, RunError> {
    let subscribers = config.to.iter().filter(|to| to.listens());
    let subscribers: usize = subscribers.map(|to| to.subscribers as usize).sum();
    let runtime = config.host.start(subscribers)?;
    let station = runtime.block_on(Station::<F>::open(config))??;
    let end = End::listen(config.host.signals, config.run_for)?;
    let publisher = station.publisher();
    end.run(&runtime, &mut || report(&station.report()), &mut || publisher.has_failed() || done())?;
    station.finish();
    end.linger(&runtime, Duration::MAX, &mut || publisher.has_finished())?;
    publisher.close();
    runtime.poll_once()?;
    let summary = station.summary();
    match publisher.failure().or_else(|| publisher.unreached()) {
        Some(cause) => Err(RunError::Ended { cause, summary: Box::new(summary) }),
        None => Ok(summary),
    }
}

/// Whether the end has come, or was asked for.
struct End {
    /// Signals, and the time that was given.
    asked: Rc<Cell<u32>>,
}

impl End {
    fn listen(signals: bool, run_for: Option<Duration>) -> Result<Self, RunError> {
        let asked = Rc::new(Cell::new(0));
        let ask = |asked: &Rc<Cell<u32>>| {
            let asked = asked.clone();
            move || asked.set(asked.get() + 1)
        };
        if let Some(time) = run_for {
            timer::after(time, ask(&asked))?;
        }
        if signals {
            let told = ask(&asked);
            let signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE]);
            let mut signals = signals.map_err(RunError::Signals)?;
            task::spawn(async move {
                while signals.next().await.is_ok() {
                    told();
                }
            })?;
        }
        Ok(Self { asked })
    }

    /// Runs the loop until the end is asked for or has come, and reports each second.
    fn run(
        &self,
        runtime: &Runtime,
        report: &mut dyn FnMut(),
        has_come: &mut dyn FnMut() -> bool,
    ) -> Result<(), RunError> {
        let due = Rc::new(Cell::new(true));
        let tick = due.clone();
        let ticker = timer::every(INTERVAL, move || tick.set(true))?;
        let result = runtime.run_until(|| {
            if due.take() {
                report();
            }
            self.asked.get() > 0 || has_come()
        });
        ticker.cancel();
        Ok(result?)
    }

    /// Runs the loop for a while more, or until all is done: not at all for those who are told twice.
    fn linger(
        &self,
        runtime: &Runtime,
        time: Duration,
        is_done: &mut dyn FnMut() -> bool,
    ) -> Result<(), RunError> {
        let before = self.asked.get();
        let end = runtime.now() + time;
        let look = timer::every(LOOK, || {})?;
        let result =
            runtime.run_until(|| is_done() || self.asked.get() > before || runtime.now() >= end);
        look.cancel();
        Ok(result?)
    }
}
