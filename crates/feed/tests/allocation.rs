//! Nothing allocates once it is made, whatever comes: counted by the allocator.

use std::time::{Duration, Instant};

use allocation_counter::measure;
use tautline_feed::format::{Builder, Compact, Format, Kind, Session};
use tautline_feed::sequence::{
    Bip, Config, Event, HoldOff, Line, Pool, Sequencer, Slots, Start, Stats, Store,
};

/// The packet with these messages; none: a heartbeat.
fn packet(session: u32, first: u64, count: u64) -> Vec<u8> {
    let mut datagram = [0; 1400];
    let session = Session::of_number(session);
    let mut builder = Builder::<Compact>::new(&mut datagram, session, first).unwrap();
    (first..first + count).for_each(|number| builder.push(&number.to_le_bytes()).unwrap());
    builder.finish().to_vec()
}

/// What comes, on which line: loss, repetition, disorder, overlaps, heartbeats, jumps, malformed
/// packets, other sessions. Also what is answered to requests.
fn stream(rng: &mut fastrand::Rng) -> Vec<(u8, Vec<u8>)> {
    let mut packets = Vec::new();
    for session in 1..4 {
        let mut first: u64 = 1;
        while first < 20_000 {
            let back = rng.u64(0..300) * u64::from(rng.u8(0..4) == 0);
            let count = rng.u64(0..8);
            let mut bytes = packet(session, first.saturating_sub(back).max(1), count);
            if rng.u8(0..100) == 0 {
                bytes.pop();
            }
            packets.push((rng.u8(0..3), bytes));
            if rng.u8(0..200) == 0 {
                packets.push((0, packet(session, first + 9_000_000, 1)));
            }
            first += if rng.u8(0..8) == 0 { rng.u64(0..30) } else { count };
        }
        packets.extend((0..20).map(|at| (1, packet(session, 9_000_000 + at, 1))));
    }
    packets
}

fn allocates_nothing<S: Store>(store: S) {
    let mut rng = fastrand::Rng::with_seed(7);
    let stream = stream(&mut rng);
    let mut now = Instant::now();
    let config = Config {
        lines: 2,
        start: Start::At(1),
        window: 256,
        gaps: 8,
        hold_off: HoldOff::Fixed(Duration::from_micros(300)),
        deadline: Duration::from_millis(2),
        ..Config::default()
    };
    let mut sequencer = Sequencer::<Compact, S>::new(config, store, now).unwrap();
    let mut bytes = 0;
    let counted = measure(|| {
        let mut tell = |event: Event<'_, Compact>| {
            if let Event::Messages(run) = event {
                bytes += run.messages().map(|(_, message)| message.len()).sum::<usize>();
            }
        };
        for (at, (line, datagram)) in stream.iter().enumerate() {
            now += Duration::from_micros(100);
            let Ok(packet) = Compact::parse(datagram) else { continue };
            assert!(packet.kind != Kind::End);
            match line {
                2 => sequencer.replayed(now, packet, &mut tell),
                line => sequencer.packet(now, Line(*line), packet, &mut tell),
            }
            if at % 1000 == 0 {
                sequencer.wait_for_snapshot();
            } else if at % 1000 == 100 {
                let next = sequencer.present() + 3;
                assert!(sequencer.snapshot(now, next, &mut tell));
            }
            if sequencer.timeout().is_some_and(|timeout| timeout <= now) {
                sequencer.tick(now, &mut tell);
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    let Stats { messages, lost, gaps, repaired, requests, malformed, absurd, .. } =
        sequencer.stats();
    assert_eq!(messages, bytes as u64 / 8);
    let all = [messages, lost, gaps, repaired, requests, malformed, absurd];
    assert!(all.into_iter().all(|count| count > 30), "all of it has happened: {all:?}");
}

/// With all stores, none of which is large enough for all that comes.
#[test]
fn sequencers_do_not_allocate() {
    allocates_nothing(Pool::new(16, 100).unwrap());
    allocates_nothing(Slots::new(2048).unwrap());
    allocates_nothing(Bip::new(2048, 64).unwrap());
}
