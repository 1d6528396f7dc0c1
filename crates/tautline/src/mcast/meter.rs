//! What came, for each source: how much, how fast, and what the numbers tell.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::header::{Choice, Header, Stream};
use super::numbers::{Counts, Numbers};
use super::seen::Seen;

/// Rows at most: what further sources send is counted together.
const MOST: usize = 1024;

/// Of less time no mean is told.
const SHORTEST: Duration = Duration::from_millis(1);

/// Which packets are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) source: Option<SocketAddr>,
    /// `None`: of all sources for which there was no row any more.
    pub(crate) group: Option<SocketAddr>,
    /// `None`: packets without numbers.
    pub(crate) stream: Option<Stream>,
}

/// What came of one kind.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// When the first one came, since the start.
    first: Duration,
    /// The packets and bytes up to the last report.
    told: (u64, u64),
    numbers: Option<Numbers>,
}

/// How fast something came between two reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) packets: f64,
    pub(crate) bits: f64,
}

impl Row {
    fn new(key: Key, first: Duration) -> Self {
        let numbers = key.stream.map(|stream| Numbers::new(stream.width()));
        Self { key, packets: 0, bytes: 0, first, told: (0, 0), numbers }
    }

    /// What the numbers tell; `None`: there are none.
    pub(crate) fn counts(&self) -> Option<Counts> {
        self.numbers.as_ref().map(Numbers::counts)
    }

    /// How fast it came since the last report, which was so long ago.
    pub(crate) fn rates(&self, since: Duration) -> Rates {
        let (packets, bytes) = self.told;
        rates(self.packets - packets, self.bytes - bytes, since)
    }

    /// How fast it came behind its first packet to the end, so long after the start; `None`: of a single
    /// packet, and in so short a time, that cannot be told.
    pub(crate) fn mean(&self, end: Duration) -> Option<Rates> {
        mean(self.packets, self.bytes, end.saturating_sub(self.first))
    }
}

/// How fast so many packets came of which the first began the time: between them are intervals, one less
/// than packets. `None`: that cannot be told.
pub(crate) fn mean(packets: u64, bytes: u64, time: Duration) -> Option<Rates> {
    if packets < 2 || time < SHORTEST {
        return None;
    }
    let share = (packets - 1) as f64 / packets as f64;
    let Rates { packets, bits } = rates(packets, bytes, time);
    Some(Rates { packets: share * packets, bits: share * bits })
}

fn rates(packets: u64, bytes: u64, time: Duration) -> Rates {
    let seconds = time.as_secs_f64();
    if seconds == 0.0 {
        return Rates::default();
    }
    Rates { packets: packets as f64 / seconds, bits: 8.0 * bytes as f64 / seconds }
}

/// Counts packets.
#[derive(Debug)]
pub(crate) struct Meter {
    choice: Choice,
    rows: Vec<Row>,
    /// Which row a kind of packets has.
    places: HashMap<Key, usize>,
    /// Datagrams that the kernel had to drop, for a socket's buffer was full.
    pub(crate) dropped: u64,
}

impl Meter {
    /// Counts packets of that format.
    pub(crate) fn new(choice: Choice) -> Self {
        Self { choice, rows: Vec::new(), places: HashMap::new(), dropped: 0 }
    }

    /// Counts a packet, and tells what its header says; `now` is the time since the start.
    pub(crate) fn take(
        &mut self,
        seen: &Seen<'_>,
        now: impl FnOnce() -> Duration,
    ) -> Option<Header> {
        let header = Header::read(self.choice, seen.payload);
        let stream = header.map(|header| header.stream);
        self.dropped += seen.dropped;
        let row = self.row(Key { source: seen.source, group: Some(seen.group), stream }, now);
        row.packets += 1;
        row.bytes += seen.len as u64;
        if let (Some(numbers), Some(header)) = (&mut row.numbers, &header) {
            numbers.take(header);
        }
        header
    }

    fn row(&mut self, key: Key, now: impl FnOnce() -> Duration) -> &mut Row {
        let full = self.rows.len() >= MOST && !self.places.contains_key(&key);
        let key = if full { Key { source: None, group: None, stream: None } } else { key };
        let place = *self.places.entry(key).or_insert_with(|| {
            self.rows.push(Row::new(key, now()));
            self.rows.len() - 1
        });
        &mut self.rows[place]
    }

    /// The rows, in the order in which the first packet of each came.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// When the first packet came, since the start; `None`: none has.
    pub(crate) fn first(&self) -> Option<Duration> {
        self.rows.first().map(|row| row.first)
    }

    /// The sum of all rows.
    pub(crate) fn total(&self) -> Total {
        let mut total = Total { dropped: self.dropped, ..Total::default() };
        for row in &self.rows {
            total.packets += row.packets;
            total.bytes += row.bytes;
            let counts = row.counts().unwrap_or_default();
            total.lost += counts.lost;
            total.reordered += counts.reordered;
            total.duplicates += counts.duplicates;
        }
        total
    }

    /// A report has been made: rates are counted from here on.
    pub(crate) fn tell(&mut self) {
        for row in &mut self.rows {
            row.told = (row.packets, row.bytes);
        }
    }
}

/// The sum of all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Total {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) duplicates: u64,
    pub(crate) dropped: u64,
}

#[cfg(test)]
mod tests {
    use tautline_feed::format::{Builder, Compact, Session};

    use super::*;

    fn start() -> Duration {
        Duration::ZERO
    }

    fn seen<'a>(source: &str, payload: &'a [u8]) -> Seen<'a> {
        let (source, group) = (source.parse().ok(), "239.1.1.1:5000".parse().unwrap());
        let (time, interface, hops) = (None, None, None);
        let len = payload.len();
        Seen { time, source, group, interface, hops, payload, len, dropped: 0 }
    }

    fn packet(session: u32, number: u64) -> Vec<u8> {
        let mut room = [0; 64];
        let session = Session::of_number(session);
        let mut builder = Builder::<Compact>::new(&mut room, session, number).unwrap();
        builder.push(b"message").unwrap();
        builder.finish().to_vec()
    }

    /// Proves that sources, sessions and packets without numbers have rows of their own, and that
    /// their sum is that of all.
    #[test]
    fn sources_are_counted_apart() {
        let mut meter = Meter::new(Choice::Auto);
        for number in [1, 2, 5] {
            meter.take(&seen("10.0.0.1:1", &packet(1, number)), start);
            meter.take(&seen("10.0.0.2:1", &packet(1, 1)), start);
        }
        meter.take(&seen("10.0.0.1:1", &packet(2, 1)), start);
        meter.take(&seen("10.0.0.1:1", b"hello"), start);
        let rows: Vec<_> = meter.rows().iter().map(|row| (row.packets, row.counts())).collect();
        let counts = |received, lost, duplicates| {
            Some(Counts { received, lost, duplicates, ..Counts::default() })
        };
        let wanted = [(3, counts(3, 2, 0)), (3, counts(1, 0, 2)), (1, counts(1, 0, 0)), (1, None)];
        assert_eq!(rows, wanted);
        let total = meter.total();
        assert_eq!((total.packets, total.lost, total.duplicates), (8, 2, 2));
        assert_eq!(total.bytes, 7 * packet(1, 1).len() as u64 + 5);
    }

    /// Proves that rates are those since the last report, and means those of all the time since the first.
    #[test]
    fn rates_begin_anew_with_each_report() {
        let mut meter = Meter::new(Choice::Plain);
        let second = Duration::from_secs(1);
        for wanted in [10.0, 20.0, 0.0] {
            for _ in 0..wanted as u64 {
                meter.take(&seen("10.0.0.1:1", b"12345"), start);
            }
            assert_eq!(
                meter.rows()[0].rates(second),
                Rates { packets: wanted, bits: 40.0 * wanted }
            );
            meter.tell();
        }
        assert_eq!(meter.rows()[0].mean(3 * second).unwrap().packets.round(), 10.0);
        assert_eq!(meter.rows()[0].rates(Duration::ZERO), Rates::default());
    }

    /// Proves that the mean of a source begins with its first packet, however long it was waited for,
    /// that so many packets have one interval less, and that one packet, and an instant, have none.
    #[test]
    fn waiting_is_no_part_of_the_mean() {
        let mut meter = Meter::new(Choice::Plain);
        let second = Duration::from_secs(1);
        assert_eq!(meter.first(), None);
        for (source, count, at) in
            [("10.0.0.1:1", 11, 30), ("10.0.0.2:1", 5, 31), ("10.0.0.3:1", 1, 31)]
        {
            (0..count).for_each(|_| _ = meter.take(&seen(source, b"12345"), || at * second));
        }
        assert_eq!(meter.first(), Some(30 * second));
        let mean = |row: &Row, end| row.mean(end).map(|mean| (mean.packets, mean.bits));
        let means: Vec<_> = meter.rows().iter().map(|row| mean(row, 32 * second)).collect();
        assert_eq!(means, [Some((5.0, 200.0)), Some((4.0, 160.0)), None]);
        let instant = 30 * second + Duration::from_micros(900);
        assert_eq!(mean(&meter.rows()[0], instant), None);
    }

    /// Proves that no number of sources makes it grow without end.
    #[test]
    fn rows_are_bounded() {
        let mut meter = Meter::new(Choice::Auto);
        for port in 0..2 * MOST {
            meter.take(&seen(&format!("10.0.0.1:{port}"), b"a"), start);
        }
        assert_eq!(meter.rows().len(), MOST + 1);
        let rest = &meter.rows()[MOST];
        assert_eq!((rest.key.group, rest.packets as usize), (None, MOST));
        assert_eq!(meter.total().packets as usize, 2 * MOST);
    }
}
