//! `tautline mcast dump`: the datagrams of a capture.

use std::cell::RefCell;
use std::io::{self, BufWriter, StdoutLock, Write};
use std::rc::Rc;
use std::time::Duration;

use tautline_relay::HostConfig;

use super::capture::{Frame, Reader};
use super::ending::Countdown;
use super::frame::{Datagram, NoDatagram, datagram};
use super::meter::Meter;
use super::report;
use super::seen::{Seen, Wall};
use super::session::Session;
use crate::Failure;
use crate::cli::DumpArgs;
use crate::table::quantity::things;

/// Prints the datagrams of a capture, and what they are together.
pub(crate) fn dump(args: &DumpArgs) -> Result<(), Failure> {
    let session = Session::start(&HostConfig::default(), None)?;
    let mut reader = Reader::open(&args.file)?;
    let page = Rc::new(RefCell::new(Page::new(args)));
    let (printed, ending) = (page.clone(), session.ending().clone());
    let mut countdown = Countdown::of(args.packets.count, &ending);
    session.spawn(async move {
        while !ending.has_come() && reader.more().await? {
            printed.borrow_mut().some(&mut reader, &mut countdown)?;
        }
        ending.now();
        Ok(())
    })?;
    session.run()?;
    let mut page = page.borrow_mut();
    // What was read counts, also if the rest cannot be read.
    if page.is_empty() && session.has_failed() {
        return session.result();
    }
    page.finish()?;
    session.result()
}

/// How long it is from one time to another.
fn length((first, last): (Wall, Wall)) -> Duration {
    Duration::from_nanos(last.0 - first.0)
}

/// What was read, and where it is printed.
struct Page {
    args: DumpArgs,
    stdout: BufWriter<StdoutLock<'static>>,
    meter: Meter,
    /// Frames without a datagram, by the reason.
    skipped: Vec<(NoDatagram, u64)>,
    /// The times of the first and last datagram.
    span: Option<(Wall, Wall)>,
    text: String,
}

impl Page {
    fn new(args: &DumpArgs) -> Self {
        let stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let (meter, skipped, text) = (Meter::new(args.packets.format), Vec::new(), String::new());
        Self { args: args.clone(), stdout, meter, skipped, span: None, text }
    }

    /// Prints the frames that were read.
    fn some(&mut self, reader: &mut Reader, countdown: &mut Countdown) -> Result<(), Failure> {
        while let Some(frame) = reader.next()? {
            match datagram(frame.medium, frame.bytes) {
                Ok(found) if countdown.take() => self.print(&frame, &found)?,
                Ok(_) => break,
                Err(why) => self.skip(why),
            }
        }
        // Who sees it may wait with us for what comes next.
        Ok(self.stdout.flush()?)
    }

    /// Whether there was nothing to print.
    fn is_empty(&self) -> bool {
        self.meter.first().is_none() && self.skipped.is_empty()
    }

    fn print(&mut self, frame: &Frame<'_>, datagram: &Datagram<'_>) -> io::Result<()> {
        let seen = Seen {
            time: frame.time,
            source: Some(datagram.source),
            group: datagram.destination,
            interface: frame.interface,
            hops: Some(datagram.hops),
            payload: datagram.payload,
            len: datagram.len,
            dropped: 0,
        };
        if let Some(time) = frame.time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
        let header = self.meter.take(&seen, || self.span.map_or(Duration::ZERO, length));
        self.text.clear();
        self.args.look.look().packet(&seen, header.as_ref(), &mut self.text);
        self.stdout.write_all(self.text.as_bytes())
    }

    fn skip(&mut self, why: NoDatagram) {
        match self.skipped.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, count)) => *count += 1,
            None => self.skipped.push((why, 1)),
        }
    }

    /// Prints the summary.
    fn finish(&mut self) -> io::Result<()> {
        let elapsed = self.span.map_or(Duration::ZERO, length);
        if self.args.look.json {
            let mut summary = report::summary_json(&self.meter, elapsed);
            summary["skipped"] = self.skipped.iter().map(|(_, count)| count).sum::<u64>().into();
            writeln!(self.stdout, "{summary}")?;
        } else {
            for line in report::summary(&self.meter, elapsed) {
                writeln!(self.stdout, "{line}")?;
            }
            for (why, count) in &self.skipped {
                writeln!(self.stdout, "not shown: {}, {why}", things(*count, "frame"))?;
            }
        }
        self.stdout.flush()
    }
}
