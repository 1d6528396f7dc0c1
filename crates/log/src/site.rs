//! Call sites: what is known of a line at compile time, and a number for it once it has been met.

use crate::Level;
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};

/// What a line must pass: in the lowest byte the number of the lowest level that anything wants,
/// above it which logger runs, counted up at each start.
static GATE: AtomicU64 = AtomicU64::new(SHUT);

/// Nothing passes.
const SHUT: u64 = 0xff;

/// Lets lines of `level` and above through to logger number `generation`.
pub(crate) fn open_gate(generation: u64, level: Option<Level>) {
    let lowest = level.map_or(SHUT, |level| level as u64);
    // Release pairs with the Acquire in `generation`: who passes finds the logger.
    GATE.store(generation << 8 | lowest, Ordering::Release);
}

/// Lets nothing through.
pub(crate) fn shut_gate() {
    // Relaxed: what comes through meanwhile meets a logger that has gone, which is checked.
    GATE.fetch_or(SHUT, Ordering::Relaxed);
}

/// Whether lines of a level pass.
#[inline(always)]
pub(crate) fn gate(level: Level) -> Option<Pass> {
    // Relaxed: a hint. What it leads to is looked at by who uses it.
    let gate = GATE.load(Ordering::Relaxed);
    (level as u64 >= gate & 0xff).then_some(Pass(gate >> 8))
}

/// Which logger runs, or ran last.
pub(crate) fn generation() -> u64 {
    // Acquire pairs with the Release in `open_gate`.
    GATE.load(Ordering::Acquire) >> 8
}

/// That a line has passed, and to which logger it goes.
#[derive(Clone, Copy, Debug)]
pub struct Pass(pub(crate) u64);

/// A call of one of the macros.
#[derive(Debug)]
pub struct Site {
    level: Level,
    target: &'static str,
    file: &'static str,
    line: u32,
    /// The format, in which each place names its argument by a number.
    template: &'static str,
    /// Names of arguments.
    names: &'static [(u8, &'static str)],
    /// [`UNKNOWN`], [`OFF`], or its number, and two.
    state: AtomicU32,
}

/// It has not been met yet.
const UNKNOWN: u32 = 0;
/// The filter lets nothing of it through.
const OFF: u32 = 1;
const FIRST: u32 = 2;

impl Site {
    /// A site that has not been met yet.
    pub const fn new(
        level: Level,
        target: &'static str,
        file: &'static str,
        line: u32,
        template: &'static str,
        names: &'static [(u8, &'static str)],
    ) -> Self {
        Self { level, target, file, line, template, names, state: AtomicU32::new(UNKNOWN) }
    }

    /// Whether its level passes.
    #[inline(always)]
    pub fn gate(&self) -> Option<Pass> {
        gate(self.level)
    }

    /// Its level.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What its lines are about.
    pub fn target(&self) -> &'static str {
        self.target
    }

    pub(crate) fn file(&self) -> &'static str {
        self.file
    }

    pub(crate) fn line(&self) -> u32 {
        self.line
    }

    pub(crate) fn template(&self) -> &'static str {
        self.template
    }

    pub(crate) fn names(&self) -> &'static [(u8, &'static str)] {
        self.names
    }

    /// Its number, if it has been met and is wanted.
    #[inline(always)]
    pub(crate) fn number(&self) -> Option<u32> {
        // Relaxed: the number is all; who looks it up takes a lock.
        self.state.load(Ordering::Relaxed).checked_sub(FIRST)
    }

    /// Whether it has been met, and is not wanted.
    pub(crate) fn is_off(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OFF
    }

    fn set(&self, number: usize, wanted: bool) {
        let state = if wanted { number as u32 + FIRST } else { OFF };
        self.state.store(state, Ordering::Relaxed);
    }
}

/// All sites that have been met, by their numbers. They keep them for as long as the process lives.
static KNOWN: Mutex<Vec<&'static Site>> = Mutex::new(Vec::new());

/// Gives a site its number, after `tell` has been told of both. `wanted` says whether the filter
/// lets it through, or `None` if it is too late to ask. It is asked under the lock that the next
/// logger takes to go through all sites.
pub(crate) fn meet(
    site: &'static Site,
    wanted: impl FnOnce(&Site) -> Option<bool>,
    tell: impl FnOnce(usize, &'static Site),
) {
    let mut known = lock(&KNOWN);
    let Some(wanted) = wanted(site) else { return };
    let found = known.iter().position(|other| std::ptr::eq(*other, site));
    let number = found.unwrap_or(known.len());
    if found.is_none() {
        known.push(site);
        tell(number, site);
    }
    site.set(number, wanted);
}

/// For a new filter: goes through all sites that are known, with their numbers.
pub(crate) fn meet_again(
    wanted: impl Fn(&Site) -> bool,
    mut tell: impl FnMut(usize, &'static Site),
) {
    for (number, site) in lock(&KNOWN).iter().enumerate() {
        tell(number, site);
        site.set(number, wanted(site));
    }
}

/// The sites from number `from` on.
pub(crate) fn known_from(from: usize) -> Vec<&'static Site> {
    lock(&KNOWN).get(from..).unwrap_or_default().to_vec()
}
