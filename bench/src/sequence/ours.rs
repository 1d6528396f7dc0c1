//! Tautline's sequencer.

use std::io;
use std::time::{Duration, Instant};

use tautline_feed::format::Format;
use tautline_feed::sequence::{
    Bip, Config, Event, Line, Pool, Sequencer, Slots, Start, Store, StoreError,
};

use super::stream::{BATCH, Stream};
use super::{Failure, Order, Shape, Sink};

/// The default configuration, but for the number of lines and where the feed begins.
pub(super) struct Ours<F: Format, S: Store> {
    sequencer: Sequencer<F, S>,
    now: Instant,
}

/// What [`Ours`] needs beyond [`Store`]: to be made.
pub(super) trait Construct: Store + Sized {
    /// Room for so many packets of so many bytes.
    fn of(packets: usize, bytes: usize) -> Result<Self, StoreError>;
}

impl Construct for Pool {
    fn of(packets: usize, bytes: usize) -> Result<Self, StoreError> {
        Self::new(packets, bytes)
    }
}

impl Construct for Slots {
    fn of(packets: usize, bytes: usize) -> Result<Self, StoreError> {
        Self::new(packets * bytes.next_power_of_two())
    }
}

impl Construct for Bip {
    /// Twice as many: what is let go in the midst lies there until what is older goes.
    fn of(packets: usize, bytes: usize) -> Result<Self, StoreError> {
        Self::new(2 * packets * bytes, 2 * packets)
    }
}

impl<F: Format, S: Construct> Order for Ours<F, S> {
    fn new(next: u64, shape: Shape) -> Result<Self, Failure> {
        let bytes = usize::from(shape.messages) * (2 + shape.bytes);
        let store = S::of(shape.displacement.max(64), bytes).map_err(io::Error::other)?;
        let config = Config { lines: 2, start: Start::At(next), ..Config::default() };
        let now = Instant::now();
        let sequencer = Sequencer::new(config, store, now).map_err(io::Error::other)?;
        Ok(Self { sequencer, now })
    }

    fn take(&mut self, stream: &Stream, sink: &mut Sink) {
        for batch in stream.batches() {
            // A hundred nanoseconds a packet, seen once for each receive.
            self.now += Duration::from_nanos(100 * BATCH as u64);
            let tell = &mut |event: Event<'_, F>| {
                if let Event::Messages(run) = event {
                    run.messages().for_each(|(number, message)| sink.take(number, message));
                }
            };
            for (line, datagram) in batch {
                let Ok(packet) = F::parse(datagram) else { continue };
                self.sequencer.packet(self.now, Line(line), packet, tell);
            }
            if self.sequencer.timeout().is_some_and(|timeout| timeout <= self.now) {
                self.sequencer.tick(self.now, tell);
            }
        }
    }
}
