//! `tautline mcast recv`: what comes to groups, packet by packet.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::capture::{Place, Writer};
use super::ending::Countdown;
use super::frame::Datagram;
use super::joined::{self, Watcher};
use super::meter::Meter;
use super::page::Page;
use super::report;
use super::seen::{Seen, Wall};
use super::session::Session;
use crate::Failure;
use crate::cli::RecvArgs;
use crate::table::quantity::things;

/// Prints what comes to groups until the end, and then what it was together.
pub(crate) fn recv(args: &RecvArgs) -> Result<(), Failure> {
    let session = Session::start(&args.watch.host(), args.watch.run_for)?;
    let printer = Printer::new(args, &session)?;
    let printer = Rc::new(RefCell::new(printer));
    let drops = joined::watch(&args.watch.join, &printer, &session)?;
    let elapsed = session.run()?;
    let mut printer = printer.borrow_mut();
    printer.meter.dropped += drops.newly();
    if session.has_failed() && printer.meter.first().is_none() {
        return session.result();
    }
    printer.finish(elapsed)?;
    session.result()?;
    report::check(args.watch.check, &printer.meter)
}

/// Prints packets, writes them down, and counts them.
struct Printer {
    args: RecvArgs,
    /// Where it prints: standard output, or standard error if the capture goes there.
    page: Page,
    meter: Meter,
    capture: Option<Writer>,
    countdown: Countdown,
    text: String,
    clock: Box<dyn Fn() -> Duration>,
}

impl Printer {
    fn new(args: &RecvArgs, session: &Session) -> Result<Self, Failure> {
        let page = match args.write {
            Some(Place::Standard) => Page::to(io::stderr()),
            _ => Page::to(io::stdout()),
        }?;
        Ok(Self {
            args: args.clone(),
            page,
            meter: Meter::new(args.watch.packets.format),
            capture: args.write.as_ref().map(Writer::create).transpose()?,
            countdown: Countdown::of(args.watch.packets.count, session.ending()),
            text: String::new(),
            clock: Box::new(session.clock()),
        })
    }

    fn write_down(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        let (Some(capture), Some(source)) = (&mut self.capture, seen.source) else { return Ok(()) };
        let Seen { group: destination, payload, len, .. } = *seen;
        let hops = seen.hops.unwrap_or(0);
        let datagram = Datagram { source, destination, hops, vlan: None, payload, len };
        Ok(capture.write(seen.time.unwrap_or(Wall(0)), &datagram)?)
    }

    fn finish(&mut self, elapsed: Duration) -> Result<(), Failure> {
        let flushed = self.capture.as_mut().map_or(Ok(()), Writer::flush);
        let (mut text, missed) = (String::new(), self.page.missed());
        // A string takes everything.
        if self.args.look.json {
            let mut summary = report::summary_json(&self.meter, elapsed);
            summary["unprinted"] = missed.into();
            let _ = writeln!(text, "{summary}");
        } else {
            for line in report::summary(&self.meter, elapsed) {
                let _ = writeln!(text, "{line}");
            }
            if missed > 0 {
                let lines = things(missed, "line");
                let _ = writeln!(text, "not printed: {lines}, which nobody read in time");
            }
        }
        self.page.finish(&text)?;
        Ok(flushed?)
    }
}

impl Watcher for Printer {
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        if !self.countdown.take() {
            return Ok(());
        }
        let header = self.meter.take(seen, &self.clock);
        self.write_down(seen)?;
        if self.args.prints() {
            self.text.clear();
            self.args.look.look().packet(seen, header.as_ref(), &mut self.text);
            self.page.put(&self.text);
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Failure> {
        if let Some(capture) = &mut self.capture {
            capture.rest()?;
        }
        if !self.page.rest() {
            // The end says why.
            self.countdown.end();
        }
        Ok(())
    }
}
