//! `tautline mcast rate`: how much comes to groups from whom, and what is missing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tautline_runtime::timer;

use super::ending::Countdown;
use super::error::Error;
use super::joined::{self, Watcher};
use super::meter::Meter;
use super::report::{self, Interval};
use super::seen::Seen;
use super::session::Session;
use crate::Failure;
use crate::cli::RateArgs;
use crate::screen::{Form, Screen};

/// Reports what comes to groups again and again until the end, and then what it was together.
pub(crate) fn rate(args: &RateArgs) -> Result<(), Failure> {
    let session = Session::start(&args.watch.host(), args.watch.run_for)?;
    let gauge = Rc::new(RefCell::new(Gauge {
        meter: Meter::new(args.watch.packets.format),
        screen: Screen::stdout(args.json),
        countdown: Countdown::of(args.watch.packets.count, session.ending()),
        told: Duration::ZERO,
        clock: Box::new(session.clock()),
    }));
    let drops = Rc::new(joined::watch(&args.watch.join, &gauge, &session)?);
    let (shown, dropping, clock) = (gauge.clone(), drops.clone(), session.clock());
    let show = move || {
        let mut shown = shown.borrow_mut();
        shown.meter.dropped += dropping.newly();
        shown.show(clock());
    };
    timer::every(args.every, show).map_err(Error::from)?;
    let elapsed = session.run()?;
    let mut gauge = gauge.borrow_mut();
    gauge.meter.dropped += drops.newly();
    if session.has_failed() && gauge.meter.first().is_none() {
        return session.result();
    }
    gauge.finish(elapsed)?;
    session.result()?;
    report::check(args.watch.check, &gauge.meter)
}

/// Counts packets, and shows the counts.
struct Gauge {
    meter: Meter,
    screen: Screen,
    countdown: Countdown,
    /// When the last report was made, since the start.
    told: Duration,
    clock: Box<dyn Fn() -> Duration>,
}

impl Gauge {
    fn show(&mut self, elapsed: Duration) {
        let at = Interval { elapsed, since: elapsed.saturating_sub(self.told) };
        let lines = match self.screen.form() {
            Form::Json => vec![report::interval_json(&self.meter, at).to_string()],
            Form::Live => report::table(&self.meter, at, self.screen.room()),
            Form::Plain => report::lines(&self.meter, at),
        };
        self.screen.show(Ok(lines));
        if self.screen.has_failed() {
            // It counts for whoever reads it, and for nobody else.
            self.countdown.end();
        }
        self.meter.tell();
        self.told = elapsed;
    }

    fn finish(&mut self, elapsed: Duration) -> std::io::Result<()> {
        let lines = match self.screen.form() {
            Form::Json => vec![report::summary_json(&self.meter, elapsed).to_string()],
            Form::Live | Form::Plain => report::summary(&self.meter, elapsed),
        };
        self.screen.finish(&lines)
    }
}

impl Watcher for Gauge {
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        if self.countdown.take() {
            self.meter.take(seen, &self.clock);
        }
        Ok(())
    }
}
