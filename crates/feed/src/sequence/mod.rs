//! Every message of a feed once and in order, from packets that come on several lines, twice, late, or
//! not at all.
//!
//! ```text
//!   handed on          missing   kept   missing      kept              not seen yet
//! ────────────────────┬───────┬────────┬───────┬───────────────────┬────────────────▶ numbers
//!                  present                                       future
//! ```
//!
//! What comes next is handed on where it lies, without a copy. What comes ahead is kept in a [`Store`],
//! and the gap before it is told when it appears. Another line may repair it, or a replay: that is
//! asked for when all lines have passed the gap, or have had time enough to bring it
//! ([`Config::hold_off`]). What has not come by the deadline, or cannot be waited for any longer, is told to be
//! lost, and the next messages follow. Nothing is lost without a word, and nothing waits for ever.
//!
//! Time is an argument: call [`Sequencer::tick`] at [`Sequencer::timeout`].

mod ask;
#[cfg(any(test, feature = "trial"))]
mod check;
mod config;
mod event;
mod gaps;
mod hold;
mod lines;
mod map;
mod run;
mod store;
mod take;
mod usual;

use std::marker::PhantomData;
use std::time::{Duration, Instant};

pub use self::config::{Config, ConfigError, HoldOff, Requests, Start};
pub use self::event::{Event, Gap, Line, Lost, Numbers, Run, Source};
use self::gaps::Gaps;
pub use self::lines::LineStats;
use self::lines::{Firsts, Way};
use self::map::Map;
pub use self::store::{Bip, Pool, PoolKey, Slots, Store, StoreError};
use self::usual::Arrival;
use crate::format::{Expected, Format, Kind, Lie, Packet, Session, holds};

/// What a sequencer has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages handed on.
    pub messages: u64,
    /// Messages that are lost.
    pub lost: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Gaps of which all has come.
    pub repaired: u64,
    /// Requests.
    pub requests: u64,
    /// Messages that were asked for, each time counted.
    pub requested: u64,
    /// Packets of which nothing was new.
    pub repeated: u64,
    /// Packets of sessions before.
    pub former: u64,
    /// Packets that were absurd.
    pub absurd: u64,
    /// Packets that were malformed.
    pub malformed: u64,
    /// Packets, or parts of them, that came ahead of others and could not be kept: they count as not
    /// come. Unless a snapshot is waited for this means that packets are larger than what the
    /// [`Store`] keeps in one piece.
    pub unkept: u64,
}

/// Puts the messages of a feed in order: see the [module](self).
///
/// Whoever calls it hands in a closure, to which it tells its [`Event`]s.
#[derive(Debug)]
pub struct Sequencer<F: Format, S: Store> {
    config: Config,
    store: S,
    session: Option<Session>,
    /// Sessions before, latest first.
    former: [Option<Session>; 4],
    /// The number that is handed on next; below `end` it is missing, unless it is held.
    next: u64,
    /// Behind the farthest number that has come or was named.
    end: u64,
    /// The session ends before this number.
    finish: Option<u64>,
    /// The end was told.
    has_ended: bool,
    /// Nothing is handed on before a snapshot comes.
    is_held: bool,
    /// The session, if nothing is held, stale, about to jump or to end, and no gap is given up.
    usual: Expected,
    /// The same, if nothing is missing either, so that packets need a short look only.
    calm: Expected,
    /// While it is held: below this number everything was handed on, or told to be lost.
    floor: u64,
    /// Numbers from `next` to `end` that have come.
    came: Map,
    /// By the lowest bits of its first number: what has come of those, in pieces that do not overlap.
    pieces: Box<[Piece<S::Key>]>,
    gaps: Gaps,
    ways: Box<[Way]>,
    firsts: Firsts,
    heard: Instant,
    is_stale: bool,
    /// No request before.
    ask_at: Instant,
    leap: Leap,
    stats: Stats,
    format: PhantomData<F>,
}

/// Messages in a row that are kept: where this lies tells their numbers.
#[derive(Clone, Copy, Debug)]
struct Piece<K> {
    key: K,
    /// As many; 0: nothing is kept here.
    count: u16,
    source: Source,
}

const NONE: u64 = u64::MAX;

/// Absurd packets that follow each other and agree.
#[derive(Clone, Copy, Debug, Default)]
struct Leap {
    /// The number of the last.
    at: u64,
    count: u32,
}

impl<F: Format, S: Store> Sequencer<F, S> {
    /// Of nothing yet.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: Config, store: S, now: Instant) -> Result<Self, ConfigError> {
        let config = check::<F>(config)?;
        let (window, mut pieces) = (config.window as usize, Vec::new());
        let bytes = window.saturating_mul(size_of::<Piece<S::Key>>() + size_of::<u32>());
        let too_much = |_| ConfigError::Memory { window: config.window, bytes };
        pieces.try_reserve_exact(window).map_err(too_much)?;
        let gaps = Gaps::new(config.gaps, config.window).map_err(too_much)?;
        let piece = Piece { key: S::Key::default(), count: 0, source: Source::Replay };
        pieces.resize(window, piece);
        Ok(Self {
            store,
            session: None,
            former: [None; 4],
            next: 0,
            end: 0,
            finish: None,
            has_ended: false,
            is_held: false,
            usual: Expected::NONE,
            calm: Expected::NONE,
            floor: 0,
            came: Map::new(config.window),
            pieces: pieces.into(),
            gaps,
            ways: (0..config.lines).map(|_| Way::new(config.window)).collect(),
            firsts: Firsts::new(now),
            heard: now,
            is_stale: false,
            ask_at: now,
            leap: Leap::default(),
            stats: Stats::default(),
            config,
            format: PhantomData,
        })
    }

    /// A packet has come on a line.
    ///
    /// # Panics
    /// If there is no such line ([`Config::lines`]).
    #[inline]
    pub fn packet(
        &mut self,
        now: Instant,
        line: Line,
        packet: Packet<'_>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        if let Kind::Messages(count) = packet.kind
            && self.calm.is(packet.session)
        {
            // What most packets are: the next, or one that another line has brought.
            if packet.number == F::WIDTH.cut(self.next) {
                if let Some(lie) = holds::<F>(packet.body, count) {
                    return self.next_packet(now, line, count, packet.body, lie, tell);
                }
            } else if let Some(first) = F::WIDTH.nearest_before(packet.number, self.next)
                && first + u64::from(count) <= self.next
            {
                return self.repeated_packet(now, line, first, count);
            }
        }
        std::hint::cold_path();
        // Piece by piece: a packet as a whole would be written to memory each time, though it is needed
        // there only now.
        let Packet { session, number, kind, body } = packet;
        self.packet_in_full(now, line, session, number, kind, body, tell);
    }

    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "the pieces of a packet, in registers")]
    fn packet_in_full(
        &mut self,
        now: Instant,
        line: Line,
        session: Session,
        number: u64,
        kind: Kind,
        body: &[u8],
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        self.heard = now;
        if let Kind::Messages(count @ 1..) = kind
            && self.usual.is(session)
            && self.usual_packet(&Arrival { now, line, number, count, body }, tell)
        {
            return;
        }
        let packet = Packet { session, number, kind, body };
        self.in_full(|it| it.other_packet(now, Source::Line(line), packet, tell));
    }

    /// Does what may make things less usual.
    fn in_full<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> R {
        (self.usual, self.calm) = (Expected::NONE, Expected::NONE);
        let result = act(self);
        let is_usual =
            !self.is_held && !self.is_stale && self.leap.count == 0 && self.finish.is_none();
        let session = self.session.filter(|_| is_usual);
        self.usual = session.map_or(Expected::NONE, Expected::of);
        self.see_whether_it_is_calm();
        result
    }

    fn see_whether_it_is_calm(&mut self) {
        self.calm = if self.next == self.end { self.usual } else { Expected::NONE };
    }

    /// A packet that is next, while all is calm.
    #[inline(always)]
    fn next_packet(
        &mut self,
        now: Instant,
        line: Line,
        count: u16,
        body: &[u8],
        lie: Lie,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        self.heard = now;
        let first = self.next;
        let end = first + u64::from(count);
        let way = &mut self.ways[usize::from(line.0)];
        way.brings(first, end);
        way.first += 1;
        if Firsts::knows(first) {
            self.note_first(line, first);
        }
        (self.next, self.end) = (end, end);
        self.stats.messages += u64::from(count);
        let source = Source::Line(line);
        tell(Event::Messages(Run { first, count, body, source, lie, format: PhantomData }));
    }

    /// A packet of which all has been told, while all is calm.
    #[inline(always)]
    fn repeated_packet(&mut self, now: Instant, line: Line, first: u64, count: u16) {
        self.heard = now;
        let way = &mut self.ways[usize::from(line.0)];
        way.brings(first, first + u64::from(count));
        way.others += 1;
        if Firsts::knows(first) {
            self.see_how_late(line, first);
        }
    }

    #[inline(never)]
    fn note_first(&mut self, line: Line, first: u64) {
        self.firsts.note(first, line, self.heard);
    }

    #[inline(never)]
    fn see_how_late(&mut self, line: Line, first: u64) {
        if let Some(late) = self.firsts.late(first, line, self.heard) {
            self.ways[usize::from(line.0)].is_late_by(late);
        }
    }

    /// A packet has come that was asked for.
    pub fn replayed(
        &mut self,
        now: Instant,
        packet: Packet<'_>,
        tell: &mut impl FnMut(Event<'_, F>),
    ) {
        self.in_full(|it| it.other_packet(now, Source::Replay, packet, tell));
    }

    /// All below `next` is known by a snapshot: nothing of it is handed on any more, and from there on
    /// everything is.
    ///
    /// If later messages have been handed on already, or were told to be lost, the snapshot is too old
    /// to be of use; and before a session has begun nobody can tell of which one it is. Then it changes
    /// nothing, and this is `false`. What lies between the snapshot and the first message that was kept
    /// is a gap.
    ///
    /// Where numbers wrap around, `F::WIDTH.nearest(wire, sequencer.future())` is the number that is
    /// meant by `wire`.
    pub fn snapshot(
        &mut self,
        now: Instant,
        next: u64,
        tell: &mut impl FnMut(Event<'_, F>),
    ) -> bool {
        let floor = if self.is_held { self.floor } else { self.next };
        if self.session.is_none() || next < floor || next > run::FARTHEST {
            return false;
        }
        self.in_full(|it| {
            it.begin_with_snapshot(now, next, tell);
            it.see_to_the_end(tell);
            it.ask(now, tell);
        });
        true
    }

    /// Hands nothing on from now on, but keeps what comes, until there is a snapshot: for one who has
    /// lost messages and cannot go on without them. Another session ends the wait, unless it begins with
    /// a snapshot itself.
    pub fn wait_for_snapshot(&mut self) {
        if !self.is_held {
            (self.is_held, self.floor) = (true, self.next);
            (self.usual, self.calm) = (Expected::NONE, Expected::NONE);
        }
    }

    /// Whether it waits for a snapshot.
    pub fn waits_for_snapshot(&self) -> bool {
        self.is_held
    }

    /// It is so late: gives up what has not come in time, asks for what is due, tells when the feed is
    /// stale.
    pub fn tick(&mut self, now: Instant, tell: &mut impl FnMut(Event<'_, F>)) {
        self.in_full(|it| it.tick_in_full(now, tell));
    }

    fn tick_in_full(&mut self, now: Instant, tell: &mut impl FnMut(Event<'_, F>)) {
        while let Some(gap) = self.gaps.first()
            && gap.deadline <= now
            && !self.is_held
        {
            gap.lost = Some(Lost::Deadline);
            self.go_on(tell);
        }
        self.see_to_the_end(tell);
        self.ask(now, tell);
        self.gaps.see_who_is_next(now);
        let silent = now.saturating_duration_since(self.heard);
        if silent >= self.config.silence
            && !self.is_stale
            && !self.has_ended
            && self.session.is_some()
        {
            self.is_stale = true;
            tell(Event::Stale);
        }
    }

    /// When [`Sequencer::tick`] has something to do; `None`: not before something comes. While many gaps
    /// are open it may be earlier than that now and then, or a time at which there is nothing to do.
    pub fn timeout(&mut self) -> Option<Instant> {
        let is_awaited = self.session.is_some() && !self.is_stale && !self.has_ended;
        let silence = is_awaited.then(|| later(self.heard, self.config.silence));
        if self.gaps.is_empty() {
            return silence;
        }
        let held = self.is_held;
        let deadline = self.gaps.first().map(|gap| gap.deadline).filter(|_| !held);
        let due = self.gaps.due().map(|due| due.max(self.ask_at));
        [silence, deadline, due].into_iter().flatten().min()
    }

    /// The session that goes on.
    pub fn session(&self) -> Option<Session> {
        self.session
    }

    /// The number that is handed on next.
    pub fn present(&self) -> u64 {
        self.next
    }

    /// Behind the farthest number that has come or was named.
    pub fn future(&self) -> u64 {
        self.end
    }

    /// [`Stats::former`], for those who look after each packet.
    #[inline]
    pub fn former(&self) -> u64 {
        self.stats.former
    }

    /// What it has done.
    pub fn stats(&self) -> Stats {
        let others = self.ways.iter().map(|way| way.others).sum::<u64>();
        Stats { repeated: self.stats.repeated + others, ..self.stats }
    }

    /// What a line has brought.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn line_stats(&self, line: Line) -> LineStats {
        self.ways[usize::from(line.0)].stats()
    }

    /// How long a gap is left to the other lines, at this moment.
    pub fn hold_off(&self) -> Duration {
        match self.config.hold_off {
            HoldOff::Fixed(time) => time,
            HoldOff::Measured { least, most } => {
                let slowest = self.ways.iter().filter_map(Way::tolerance).max();
                slowest.map_or(most, |time| time.clamp(least, most.max(least)))
            }
        }
    }
}

/// The time after a while, or, if nobody can tell that, in thirty years.
fn later(now: Instant, by: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(30 * 365 * 86_400);
    now + by.min(LONG)
}

fn check<F: Format>(config: Config) -> Result<Config, ConfigError> {
    if !(1..=32).contains(&config.lines) {
        return Err(ConfigError::Lines(config.lines));
    }
    for start in [config.start, config.restart] {
        if let Start::At(number) = start
            && number > run::FARTHEST
        {
            return Err(ConfigError::Start(number));
        }
    }
    if config.gaps == 0 {
        return Err(ConfigError::Gaps);
    }
    if config.requests.is_some_and(|requests| requests.most == 0) {
        return Err(ConfigError::Requests);
    }
    let format = F::NAME;
    let most = F::WIDTH.half().min(1 << 30);
    let window = config.window.max(64).checked_next_power_of_two().unwrap_or(u64::MAX);
    if window > most / 2 {
        return Err(ConfigError::Window { window, format, most: most / 2 });
    }
    let most = F::WIDTH.half() - window;
    if config.jump > most {
        return Err(ConfigError::Jump { jump: config.jump, format, most });
    }
    let gaps = config.gaps.min(window as usize);
    Ok(Config { window, gaps, ..config })
}

#[cfg(test)]
mod tests;
