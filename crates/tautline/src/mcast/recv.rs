//! `tautline mcast recv`: what comes to groups, packet by packet.

use std::cell::RefCell;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::rc::Rc;
use std::time::Duration;

use super::capture::Writer;
use super::ending::Countdown;
use super::error::Error;
use super::frame::Datagram;
use super::joined::{self, Watcher};
use super::meter::Meter;
use super::report;
use super::seen::{Seen, Wall};
use super::session::Session;
use crate::Failure;
use crate::cli::RecvArgs;

/// Bytes of lines that are written in one call.
const ROOM: usize = 1 << 16;

/// Prints what comes to groups until the end, and then what it was together.
pub(crate) fn recv(args: &RecvArgs) -> Result<(), Failure> {
    let session = Session::start(&args.watch.host(), args.watch.run_for)?;
    let printer = Printer::new(args, &session)?;
    let printer = Rc::new(RefCell::new(printer));
    joined::watch(&args.watch.join, &printer, &session)?;
    let elapsed = session.run()?;
    printer.borrow_mut().finish(elapsed)?;
    session.result()
}

/// Prints packets, writes them down, and counts them.
struct Printer {
    args: RecvArgs,
    stdout: BufWriter<StdoutLock<'static>>,
    meter: Meter,
    capture: Option<Writer>,
    countdown: Countdown,
    text: String,
}

impl Printer {
    fn new(args: &RecvArgs, session: &Session) -> Result<Self, Error> {
        Ok(Self {
            args: args.clone(),
            stdout: BufWriter::with_capacity(ROOM, io::stdout().lock()),
            meter: Meter::new(args.watch.format),
            capture: args.write.as_deref().map(Writer::create).transpose()?,
            countdown: Countdown::of(args.watch.count, session.ending()),
            text: String::new(),
        })
    }

    fn write_down(&mut self, seen: &Seen<'_>) -> Result<(), Error> {
        let (Some(capture), Some(source)) = (&mut self.capture, seen.source) else { return Ok(()) };
        let Seen { group: destination, payload, len, .. } = *seen;
        let hops = seen.hops.unwrap_or(0);
        let datagram = Datagram { source, destination, hops, vlan: None, payload, len };
        Ok(capture.write(seen.time.unwrap_or(Wall(0)), &datagram)?)
    }

    fn finish(&mut self, elapsed: Duration) -> Result<(), Failure> {
        if let Some(capture) = &mut self.capture {
            capture.flush().map_err(Error::from)?;
        }
        if self.args.look.json {
            writeln!(self.stdout, "{}", report::summary_json(&self.meter, elapsed))?;
        } else {
            for line in report::summary(&self.meter, elapsed) {
                writeln!(self.stdout, "{line}")?;
            }
        }
        Ok(self.stdout.flush()?)
    }
}

impl Watcher for Printer {
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        if !self.countdown.take() {
            return Ok(());
        }
        let header = self.meter.take(seen);
        self.write_down(seen)?;
        if self.args.prints() {
            self.text.clear();
            self.args.look.look().packet(seen, header.as_ref(), &mut self.text);
            self.stdout.write_all(self.text.as_bytes())?;
        }
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Failure> {
        Ok(self.stdout.flush()?)
    }
}
