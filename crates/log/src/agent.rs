//! The thread that reads: collects records from all rings, puts them in order of their times, fills
//! the templates in, and hands lines to the sinks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::thread;
use std::time::{Duration, Instant};

use tautline_bus::record::Clock;

use crate::core::{Back, Core, Ring};
use crate::outlet::Outlets;
use crate::output::{self, Output};
use crate::record::{self, Malformed};
use crate::sink::Sink;
use crate::sync::Arc;
use crate::timeline::Timeline;
use crate::{Level, pen, site};

/// After so many lines the writers get their room back.
const BATCH: usize = 256;
/// How often the clocks are compared.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// How many times as long it sleeps when nothing has come for a long time.
const DROWSY: u32 = 8;
/// How long it goes on reading after it was told to stop, while lines still come.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long it waits at the end for sinks that cannot write, and how often they try.
const LAST_TRIES: Duration = Duration::from_secs(2);
const TRY_STEP: Duration = Duration::from_millis(5);

/// What it reads with.
pub(crate) struct Agent {
    core: Arc<Core>,
    clock: Clock,
    timeline: Timeline,
    poll: Duration,
    lanes: Vec<Lane>,
    /// Rings that have just come.
    new: Vec<Ring>,
    /// Lanes that hold a record, by its time.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    output: Output,
}

/// A ring, and where it stands.
struct Lane {
    ring: Ring,
    /// Whose lines it holds.
    thread: String,
    /// Whether that was told by a record of its own yet.
    named: bool,
    /// The record that was taken and not handed on, if it holds one.
    record: Vec<u8>,
    holds: bool,
    /// Where the records end that were handed on.
    handed_on: u64,
    /// Where the last record ended when this pass began.
    until: u64,
    /// Lines that the log has told to be dropped.
    told_dropped: u64,
}

impl Agent {
    pub(crate) fn new(
        core: Arc<Core>,
        timeline: Timeline,
        poll: Duration,
        sinks: Vec<Box<dyn Sink>>,
    ) -> Self {
        let outlets = Outlets::new(sinks, core.tally.clone());
        Self {
            clock: core.clock(),
            core,
            timeline,
            poll,
            lanes: Vec::new(),
            new: Vec::new(),
            due: BinaryHeap::new(),
            output: Output::new(outlets),
        }
    }

    /// Reads until it is told to stop and has read everything. Says whether everything got out.
    pub(crate) fn run(mut self) -> bool {
        pen::silence();
        let core = self.core.clone();
        let _end = End(&core);
        let (mut flushed, mut idle, mut last) = (0, 0_u32, None);
        let mut clock_due = Instant::now() + CLOCK_STEP;
        loop {
            // Both before the rings are looked at: what was written before is found.
            let (stopping, asked) = (core.is_stopping(), core.asked());
            let everything = stopping || asked > flushed;
            let lines = self.pass(everything);
            if self.output.outlets.are_all_broken() {
                return self.give_all_up();
            }
            if everything && self.output.outlets.flush() {
                core.flushed(asked);
                flushed = asked;
            }
            if stopping {
                let until = *last.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                if lines == 0 || Instant::now() > until {
                    return self.finish();
                }
            }
            if Instant::now() > clock_due {
                self.compare_clocks();
                clock_due = Instant::now() + CLOCK_STEP;
            }
            idle = if lines > 0 { 0 } else { idle.saturating_add(1) };
            if idle > 0 && !stopping {
                thread::park_timeout(self.poll.saturating_mul((1 + idle / 64).min(DROWSY)));
            }
        }
    }

    /// Waits a while for sinks that cannot write, and tells what is lost.
    fn finish(&mut self) -> bool {
        let until = Instant::now() + LAST_TRIES;
        let mut out = self.output.outlets.flush();
        while !out && Instant::now() <= until {
            thread::sleep(TRY_STEP);
            out = self.output.outlets.flush();
        }
        if out {
            self.core.flushed(self.core.asked());
        }
        self.core.tell_rest(true);
        out && !self.output.outlets.is_one_broken()
    }

    fn compare_clocks(&mut self) {
        if self.timeline.go_on(self.clock) {
            self.output.forget_latest();
        }
        if let Some(directory) = &self.core.directory {
            directory.clock(self.timeline);
        }
    }

    /// Hands on all lines that are there: only those from before this moment, unless `everything` is
    /// wanted, so that a thread whose ring was looked at early does not fall behind. Returns how
    /// many.
    fn pass(&mut self, everything: bool) -> usize {
        let now = self.clock.ticks();
        let horizon = if everything { u64::MAX } else { now };
        self.output.set_now(self.timeline.time(now));
        self.core.take_new(&mut self.new);
        self.lanes.extend(self.new.drain(..).map(Lane::new));
        for index in 0..self.lanes.len() {
            self.begin(index);
        }
        let mut lines = 0;
        while let Some(&Reverse((ticks, index))) = self.due.peek()
            && ticks <= horizon
        {
            self.due.pop();
            let lane = &mut self.lanes[index];
            match self.output.record(&self.timeline, &lane.thread, &lane.record) {
                Ok(Some(thread)) => (lane.thread, lane.named) = (thread, true),
                Ok(None) => {}
                Err(Malformed) => lane.tell_damage(&mut self.output),
            }
            lane.hand_on();
            self.take(index);
            lines += 1;
            if lines % BATCH == 0 {
                self.release();
            }
        }
        self.due.clear();
        self.release();
        let told = self.tell_losses();
        self.output.outlets.flush();
        self.bury();
        lines + told
    }

    /// Looks how far a ring has got.
    fn begin(&mut self, index: usize) {
        match self.lanes[index].ring.reader.published() {
            Ok(until) => self.lanes[index].until = until,
            Err(_) => self.give_up(index),
        }
        self.take(index);
    }

    /// Takes the next record of a ring, if it holds none, and puts it where it belongs by its time.
    fn take(&mut self, index: usize) {
        match self.lanes[index].take() {
            Ok(Some(ticks)) => self.due.push(Reverse((ticks, index))),
            Ok(None) => {}
            Err(Malformed) => self.give_up(index),
        }
    }

    /// There is no sink left.
    #[cold]
    fn give_all_up(&mut self) -> bool {
        if !self.core.is_stopping() {
            site::shut_gate();
        }
        output::say(format_args!("all sinks have panicked; nothing is logged any more"));
        self.output.outlets.flush();
        self.core.tell_rest(true);
        false
    }

    /// Somebody has scribbled over the ring.
    fn give_up(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        lane.ring.reader.skip();
        lane.hand_on();
        lane.until = lane.handed_on;
        lane.named = true; // as well as it will ever be
        lane.tell_damage(&mut self.output);
    }

    /// Gives the writers the room back whose lines are out of the hands of the sinks: until then
    /// they can be recovered, if the rings are files.
    fn release(&mut self) {
        self.output.outlets.flush();
        for lane in &mut self.lanes {
            lane.ring.reader.release(lane.handed_on);
        }
    }

    /// Tells how many lines were dropped.
    fn tell_losses(&mut self) -> usize {
        let mut told = 0;
        // Those of a thread whose name has not been read yet are not told before it.
        for lane in self.lanes.iter_mut().filter(|lane| lane.named) {
            let dropped = lane.ring.reader.dropped().wrapping_sub(lane.told_dropped);
            if dropped > 0 {
                lane.told_dropped = lane.told_dropped.wrapping_add(dropped);
                let of = format!("thread {}", lane.thread);
                self.output.own(Level::Warn, &dropped_lines(dropped, &of));
                told += 1;
            }
        }
        let lost = self.core.take_lost();
        if lost > 0 {
            self.output.own(Level::Warn, &dropped_lines(lost, NO_RING));
            told += 1;
        }
        told
    }

    /// Gives back the rings of threads that have ended, once they were read to the end.
    fn bury(&mut self) {
        let core = &self.core;
        self.lanes.retain_mut(|lane| !lane.is_done() || lane.stays(core));
    }
}

/// Whose lines found no ring.
const NO_RING: &str = "threads without a ring (see `Config::threads`)";

fn dropped_lines(count: u64, of: &str) -> String {
    if count == 1 {
        format!("1 line of {of} was dropped")
    } else {
        format!("{count} lines of {of} were dropped")
    }
}

impl Lane {
    fn new(ring: Ring) -> Self {
        let handed_on = ring.reader.position();
        let thread = format!("ring {}", ring.number);
        let (record, named) = (Vec::new(), false);
        Self { ring, thread, named, record, holds: false, handed_on, until: 0, told_dropped: 0 }
    }

    /// Gives the ring back, and says whether another thread may get it.
    fn stays(&mut self, core: &Core) -> bool {
        self.thread = format!("ring {}", self.ring.number);
        self.named = false;
        matches!(core.give_back(&mut self.ring), Back::Idle)
    }

    /// Takes the next record, if it holds none; returns the time of the one that it holds.
    fn take(&mut self) -> Result<Option<u64>, Malformed> {
        if !self.holds && self.ring.reader.position() != self.until {
            self.holds = self.ring.reader.take(&mut self.record).map_err(|_| Malformed)?;
        }
        if self.holds { record::ticks(&self.record).map(Some) } else { Ok(None) }
    }

    #[cold]
    fn tell_damage(&self, output: &mut Output) {
        let message = format!("lines of thread {} are lost: its ring was damaged", self.thread);
        output.own(Level::Error, &message);
    }

    /// The record that it holds is handed on.
    fn hand_on(&mut self) {
        self.holds = false;
        self.handed_on = self.ring.reader.position();
    }

    /// Whether its thread has ended, and all was handed on.
    fn is_done(&mut self) -> bool {
        let reader = &mut self.ring.reader;
        // In this order: what was written before the end is seen after it.
        reader.is_closed()
            && !self.holds
            && reader.published().is_ok_and(|end| end == self.handed_on)
            && reader.dropped() == self.told_dropped
    }
}

/// Tells all, however it comes about, that nobody reads any more.
struct End<'a>(&'a Core);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
        if thread::panicking() {
            // Once it was told to stop, the gate is that of another logger.
            if !self.0.is_stopping() {
                site::shut_gate();
            }
            output::say(format_args!("a failure of the log itself; nothing is logged any more"));
        }
    }
}
