//! What a gateway must tell of gaps, worked out beside it.
//!
//! A gap appears when a packet names a number beyond all that were named before, and is what lies between;
//! or when a snapshot ends before the first message that was kept. Nothing else is a gap, and each is told
//! once. It is repaired, or some of it is lost; what is lost is told in the order of its numbers, each once.

use std::collections::BTreeMap;
use std::ops::Range;

use tautline_feed::format::{Format, Kind, Packet, Session};
use tautline_market::gateway::Notice;

#[derive(Default)]
pub(crate) struct Reference {
    session: Option<Session>,
    /// All numbers below this have been named.
    high: u64,
    /// Gaps of this session that must have been told.
    expected: Vec<Range<u64>>,
    /// The same of the one before, of which the last has not been told.
    before: Vec<Range<u64>>,
    /// Gaps that were, and whether they were repaired.
    told: BTreeMap<u64, (u64, bool)>,
    lost: Vec<Range<u64>>,
    pub(crate) gaps: u64,
    pub(crate) repaired: u64,
    pub(crate) lost_messages: u64,
    pub(crate) sessions: u64,
}

impl Reference {
    /// A packet comes, on any line.
    pub(crate) fn brings<F: Format>(&mut self, packet: &Packet<'_>, is_former: bool) {
        if is_former {
            return;
        }
        if self.session != Some(packet.session) {
            // The first session is joined where it is; others begin with 1.
            self.high = if self.session.is_none() { packet.number } else { 1 };
            self.session = Some(packet.session);
            self.before = std::mem::take(&mut self.expected);
            self.sessions += 1;
        }
        let first = F::WIDTH.nearest(packet.number, self.high).expect("numbers are near");
        self.names(first);
        if let Kind::Messages(count) = packet.kind {
            self.high = self.high.max(first + u64::from(count));
        }
    }

    fn names(&mut self, number: u64) {
        if number > self.high {
            self.expected.push(self.high..number);
            self.high = number;
        }
    }

    /// A snapshot was taken, while nothing below `present` was handed on.
    pub(crate) fn takes_snapshot(&mut self, next: u64, present: u64) {
        if next < present {
            self.expected.push(next..present);
        }
        self.high = self.high.max(next);
    }

    /// The gateway tells something.
    pub(crate) fn hears(&mut self, notice: &Notice) {
        match *notice {
            Notice::Began { .. } => {
                let before = std::mem::take(&mut self.before);
                self.end_session(before);
            }
            Notice::Gap(gap) => {
                let (first, end) = (gap.missing.first, gap.missing.end);
                assert!(first < end);
                let others = self.told.range(..end).next_back();
                assert!(others.is_none_or(|(_, other)| other.0 <= first), "{first} is told twice");
                self.told.insert(first, (end, false));
                self.gaps += 1;
            }
            Notice::Repaired { gap, .. } => {
                let (end, is_repaired) = self.told.get_mut(&gap.first).expect("it was told");
                assert!(*end == gap.end && !*is_repaired, "{gap} is repaired once");
                *is_repaired = true;
                self.repaired += 1;
            }
            Notice::Lost { numbers, .. } => {
                let last = self.lost.last().map_or(0, |last| last.end);
                assert!(last <= numbers.first && numbers.first < numbers.end, "in order, and once");
                self.lost.push(numbers.range());
                self.lost_messages += numbers.len();
            }
            Notice::Malformed { .. } | Notice::Absurd { .. } => panic!("{notice:?}"),
            _ => {}
        }
    }

    /// Nothing more comes at all.
    pub(crate) fn end(&mut self) {
        let expected = std::mem::take(&mut self.expected);
        self.end_session(expected);
    }

    /// Nothing more comes of a session: what was told is what had to be.
    fn end_session(&mut self, mut expected: Vec<Range<u64>>) {
        let told: Vec<Range<u64>> =
            self.told.iter().map(|(first, (end, _))| *first..*end).collect();
        expected.sort_by_key(|gap| gap.start);
        assert_eq!(told, expected);
        for (first, (end, is_repaired)) in &self.told {
            let is_lost = self.lost.iter().any(|lost| lost.start < *end && *first < lost.end);
            assert!(*is_repaired || is_lost, "what has become of {first}..{end}?");
        }
        self.told.clear();
        self.lost.clear();
    }
}
