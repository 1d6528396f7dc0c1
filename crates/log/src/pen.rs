//! How a thread writes its lines: the fast way, and all that may come in between.

use std::cell::{Cell, RefCell};
use std::thread::{self, LocalKey};
use std::time::Duration;

use tautline_bus::record::{Claim, Clock, Refusal, Writer};

#[cfg(any(feature = "log", feature = "tracing"))]
use crate::Level;
use crate::core::{self, Core};
use crate::encode::{Arguments, Texts};
use crate::record::{self, HEAD};
use crate::site::{Pass, Site};
use crate::sync::{Arc, Mutex};

/// What a thread writes with.
pub(crate) struct Pen {
    /// The logger that it writes to.
    generation: u64,
    writer: Writer,
    clock: Clock,
    core: Arc<Core>,
}

type Place = RefCell<Option<Pen>>;

thread_local! {
    /// That of this thread.
    static PEN: Place = const { RefCell::new(None) };
    /// For lines that are written while an argument of another line is being formatted.
    static INNER: Place = const { RefCell::new(None) };
    /// Set on the thread that hands lines to the sinks: what it writes would never end.
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// For threads that have already put their own away, in the destructors of their variables.
static LATE: Mutex<Option<Pen>> = Mutex::new(None);

/// Makes this thread write nothing any more.
pub(crate) fn silence() {
    SILENT.set(true);
}

/// Whether this thread writes nothing.
pub(crate) fn is_silent() -> bool {
    SILENT.try_with(Cell::get).unwrap_or(false)
}

/// Writes a line.
#[inline(always)]
pub fn write<A: Arguments>(site: &'static Site, pass: Pass, arguments: A) {
    if A::DYNAMIC {
        careful(site, pass, &arguments);
    } else if !quick(site, pass, &arguments) {
        not_quick(site, pass, &arguments);
    }
}

/// Writes a line if nothing stands in the way, and says whether it did.
#[inline(always)]
fn quick<A: Arguments>(site: &Site, pass: Pass, arguments: &A) -> bool {
    let Some(number) = site.number() else { return false };
    let written = PEN.try_with(|pen| {
        let Ok(mut pen) = pen.try_borrow_mut() else { return false };
        match pen.as_mut() {
            Some(pen) if pen.generation == pass.0 => pen.quick(number, arguments),
            _ => false,
        }
    });
    written.unwrap_or(false)
}

#[cold]
#[inline(never)]
fn not_quick<A: Arguments>(site: &'static Site, pass: Pass, arguments: &A) {
    careful(site, pass, arguments);
}

#[inline(never)]
fn careful<A: Arguments>(site: &'static Site, pass: Pass, arguments: &A) {
    if !site.is_off() {
        with_pen(pass, |core| core.wants(site), |pen| pen.careful(site, arguments));
    }
}

/// Lets this thread write with the pen that it may use now. If there is none, the line counts as lost
/// if it is `wanted`.
pub(crate) fn with_pen(
    pass: Pass,
    wanted: impl FnOnce(&Core) -> bool,
    write: impl FnOnce(&mut Pen),
) {
    if is_silent() {
        return;
    }
    let mut write = Some(write);
    for place in [&PEN, &INNER] {
        match in_place(place, pass, &mut write) {
            Found::Done => break,
            Found::InUse => {}
            Found::Gone => {
                late(pass, &mut write);
                break;
            }
        }
    }
    if write.is_some() {
        core::lose_one(pass, wanted);
    }
}

enum Found {
    Done,
    /// A line is being written with it.
    InUse,
    /// The thread has put its variables away.
    Gone,
}

fn in_place<W: FnOnce(&mut Pen)>(
    place: &'static LocalKey<Place>,
    pass: Pass,
    write: &mut Option<W>,
) -> Found {
    let found = place.try_with(|place| match place.try_borrow_mut() {
        Ok(mut pen) => {
            take_up(&mut pen, pass, None, write);
            Found::Done
        }
        Err(_) => Found::InUse,
    });
    found.unwrap_or(Found::Gone)
}

/// Writes with what is there, or with a new pen, if there is one, of this thread or of that name.
fn take_up<W: FnOnce(&mut Pen)>(
    place: &mut Option<Pen>,
    pass: Pass,
    name: Option<&str>,
    write: &mut Option<W>,
) {
    if place.as_ref().is_none_or(|pen| pen.generation != pass.0) {
        *place = core::attach(pass, name);
    }
    if let Some(pen) = place
        && let Some(write) = write.take()
    {
        write(pen);
    }
}

/// The thread that their lines are said to be of.
const LATE_NAME: &str = "(a thread that ends)";

/// How often a thread tries to get at the common pen.
const LATE_TRIES: u32 = 1000;

fn late<W: FnOnce(&mut Pen)>(pass: Pass, write: &mut Option<W>) {
    for _ in 0..LATE_TRIES {
        // Not waited for without end: it may be this thread that holds it, within a line.
        if let Ok(mut pen) = LATE.try_lock() {
            return take_up(&mut pen, pass, Some(LATE_NAME), write);
        }
        thread::yield_now();
    }
}

/// Whether a log runs that wants such lines. A thread that has a pen asks nobody else.
#[cfg(any(feature = "log", feature = "tracing"))]
pub(crate) fn wants(level: Level, target: &str) -> bool {
    let Some(pass) = crate::site::gate(level) else { return false };
    let own = PEN.try_with(|pen| {
        let pen = pen.try_borrow().ok()?;
        let pen = pen.as_ref().filter(|pen| pen.generation == pass.0)?;
        Some(pen.core.passes(target, level))
    });
    let ask = || core::current_core().is_some_and(|core| core.passes(target, level));
    own.ok().flatten().unwrap_or_else(ask)
}

/// Gets this thread its pen, if a logger runs, so that its first line costs no more than others.
///
/// ```
/// std::thread::spawn(|| {
///     tautline_log::prepare_thread();
///     // ... what must not wait
/// });
/// ```
pub fn prepare_thread() {
    if let Some(pass) = core::running() {
        with_pen(pass, |_| false, |_| ());
    }
}

/// Puts away the pen that no thread owns.
pub(crate) fn put_late_away() {
    if let Ok(mut pen) = LATE.try_lock() {
        *pen = None;
    }
}

impl Pen {
    pub(crate) fn new(generation: u64, writer: Writer, clock: Clock, core: Arc<Core>) -> Self {
        Self { generation, writer, clock, core }
    }

    #[inline(always)]
    fn quick<A: Arguments>(&mut self, site: u32, arguments: &A) -> bool {
        let len = const { before_texts::<A>() }.saturating_add(arguments.text_len());
        let Ok(mut claim) = self.writer.claim(len) else { return false };
        let ticks = self.clock.ticks();
        fill(&mut claim, ticks, site, arguments);
        claim.commit(len);
        true
    }

    /// Writes a line of a site that need not be known yet, and cuts it if it is too long.
    fn careful<A: Arguments>(&mut self, site: &'static Site, arguments: &A) {
        let Some(number) = self.number(site) else { return };
        let exact = const { before_texts::<A>() }.saturating_add(arguments.text_len());
        let len = if A::DYNAMIC { usize::MAX } else { exact };
        self.put(len, |record, ticks| fill(record, ticks, number, arguments));
    }

    /// Whether the log that it writes to wants such lines.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn wants(&self, level: Level, target: &str) -> bool {
        self.core.passes(target, level)
    }

    /// Writes a line that brings its site with it.
    #[cfg(any(feature = "log", feature = "tracing"))]
    pub(crate) fn foreign<A: Arguments>(&mut self, arguments: &A) {
        self.put(usize::MAX, |bytes, ticks| fill(bytes, ticks, record::FOREIGN, arguments));
    }

    /// Writes a line of any length. `fill` gets the bytes, the time and the number of the site, and
    /// says how many bytes it used.
    #[cfg(feature = "tracing")]
    pub(crate) fn line_of(
        &mut self,
        site: &'static Site,
        fill: impl FnOnce(&mut [u8], u64, u32) -> usize,
    ) {
        if let Some(number) = self.number(site) {
            self.put(usize::MAX, |record, ticks| fill(record, ticks, number));
        }
    }

    /// The number of a site, which may be met for the first time, if it is wanted.
    fn number(&self, site: &'static Site) -> Option<u32> {
        if site.number().is_none() && !site.is_off() {
            // A child that was made by `fork` has its parent's index open, and must not write to it.
            if self.core.is_forked() {
                return None;
            }
            self.core.meet(site);
        }
        site.number()
    }

    /// Writes a record of up to `len` bytes, or as many as one may have. `fill` gets the bytes and
    /// the time, and says how many it used.
    pub(crate) fn put(&mut self, len: usize, fill: impl FnOnce(&mut [u8], u64) -> usize) {
        let clock = self.clock;
        let Some(mut claim) = self.claim(len.min(self.writer.longest())) else { return };
        let ticks = clock.ticks();
        let used = fill(&mut claim, ticks);
        claim.commit(used);
    }

    /// Room for a record, waited for if that is what the logger was told to do.
    fn claim(&mut self, len: usize) -> Option<Claim<'_>> {
        let mut waited = 0;
        loop {
            match self.writer.claim(len) {
                Ok(_) => break,
                Err(Refusal::Full) if self.core.blocks() => pause(&mut waited, &self.core),
                Err(Refusal::Full) => {
                    self.writer.count_dropped();
                    return None;
                }
                Err(Refusal::TooLong | Refusal::Forked) => return None,
            }
        }
        // Once more, for the borrow; there is as much room as a moment ago.
        self.writer.claim(len).ok()
    }
}

/// Waits a little for the agent.
fn pause(waited: &mut u32, core: &Core) {
    *waited = waited.saturating_add(1);
    if *waited == 1 {
        core.wake();
    }
    match *waited {
        0..20 => std::hint::spin_loop(),
        20..60 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(50)),
    }
}

/// Bytes of a record before its texts.
const fn before_texts<A: Arguments>() -> usize {
    HEAD + record::tag_bytes(A::COUNT) + A::FIXED
}

/// Writes a record, and says how many bytes it has.
#[inline(always)]
fn fill<A: Arguments>(record: &mut [u8], ticks: u64, site: u32, arguments: &A) -> usize {
    let before = const { before_texts::<A>() };
    let (front, room) = record.split_at_mut(before);
    let (head, fixed) = front.split_at_mut(before - A::FIXED);
    let mut texts = Texts::new(room);
    arguments.put(fixed, &mut texts);
    record::put_head(head, ticks, site, A::COUNT, A::TAGS);
    let used = before + texts.used();
    if texts.is_cut() {
        record::mark_cut(head);
    }
    used
}
