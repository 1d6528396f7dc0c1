//! One byte stream coming in: read, cut into packets, passed on.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, WithBuffer, task};

use super::Source;
use crate::endpoint::Source as Endpoint;
use crate::framing::{Deframer, Framing, FramingError, MAX_PACKET};
use crate::shell::fanout::Fanout;
use crate::shell::files::{Opened, Reader};
use crate::stats::EndpointState;
use crate::units::Nanos;

/// Bytes that one read brings at most.
const READ: usize = 64 << 10;

/// Who is told of a stream's end.
pub(super) trait Owner {
    /// The stream ended in order (`None`) or not; the intake has let go of it.
    fn ended(&self, intake: &Intake, why: Option<io::Error>);
}

/// A byte stream, read by one operation at a time.
///
/// Invariant: either a read is pending, or the source waits for room with bytes left in
/// `received`, or the stream is over.
pub(super) struct Intake {
    /// `None` while a reader is with the task that reads, and when the stream is over.
    input: RefCell<Option<Input>>,
    open: Cell<bool>,
    received: RefCell<Received>,
    framing: Framing,
    fanout: Rc<Fanout>,
    owner: Weak<dyn Owner>,
}

/// What bytes come from.
pub(super) enum Input {
    Stream(Descriptor),
    Reader(Reader),
}

/// What a read brought, and how far it has been passed on.
struct Received {
    deframer: Deframer,
    /// With the kernel while a read is pending.
    buffer: Vec<u8>,
    /// The part not passed on yet.
    start: usize,
    end: usize,
    arrival: Nanos,
}

impl Intake {
    pub(super) fn new(
        from: &Endpoint,
        fanout: &Rc<Fanout>,
        owner: Weak<dyn Owner>,
        input: Input,
    ) -> Rc<Self> {
        // Raw chunks are what one read brings: a read must not bring more than a packet holds.
        let room = match from.framing {
            Framing::Raw => from.max_packet.clamp(1, MAX_PACKET),
            Framing::Rfc4571 => READ,
        };
        let received = Received {
            deframer: Deframer::new(from.framing, from.max_packet),
            buffer: vec![0; room],
            start: 0,
            end: 0,
            arrival: Nanos::default(),
        };
        Rc::new(Self {
            input: RefCell::new(Some(input)),
            open: Cell::new(true),
            received: RefCell::new(received),
            framing: from.framing,
            fanout: fanout.clone(),
            owner,
        })
    }

    /// Whether the stream is still there.
    pub(super) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// Receives no more.
    pub(super) fn close(&self) {
        self.open.set(false);
        self.input.take();
    }

    /// Starts a read.
    pub(super) fn read(self: &Rc<Self>) {
        let Some(input) = self.input.take() else { return };
        let buffer = std::mem::take(&mut self.received.borrow_mut().buffer);
        let intake = self.clone();
        match input {
            Input::Stream(stream) => {
                stream.read(buffer).then(move |done| intake.on_read(done));
                self.input.replace(Some(Input::Stream(stream)));
            }
            Input::Reader(reader) => {
                if let Err(error) = task::spawn(intake.read_sequence(reader, buffer)) {
                    self.give_up(Some(error.into()));
                }
            }
        }
    }

    async fn read_sequence(self: Rc<Self>, mut reader: Reader, buffer: Vec<u8>) {
        let done = reader.read(buffer).await;
        if self.is_open() {
            self.input.replace(Some(Input::Reader(reader)));
            self.on_read(done);
        }
    }

    fn on_read(self: &Rc<Self>, (result, buffer): WithBuffer<Vec<u8>>) {
        self.received.borrow_mut().buffer = buffer;
        if !self.is_open() {
            return;
        }
        match result {
            Ok(0) => self.end(),
            Ok(count) => {
                self.received.borrow_mut().take_in(count, crate::shell::arrival());
                self.pass_on();
            }
            Err(error) => self.give_up(Some(error)),
        }
    }

    /// Passes on what was received, as far as there is room; then reads on.
    pub(super) fn pass_on(self: &Rc<Self>) {
        let result = self.received.borrow_mut().publish(self.framing, &self.fanout);
        self.fanout.flush();
        match result {
            Ok(true) => self.read(),
            Ok(false) => self.fanout.await_room(),
            Err(error) => {
                self.fanout.source().drop_packets(|drops| drops.too_long += 1);
                self.received.borrow_mut().deframer.reset();
                self.give_up(Some(told(io::ErrorKind::InvalidData, error)));
            }
        }
    }

    /// Goes on after the source had to wait, if it was this stream that had more.
    pub(super) fn resume(self: &Rc<Self>) {
        if self.is_open() && self.received.borrow().has_more() {
            self.pass_on();
        }
    }

    fn end(&self) {
        let finished = self.received.borrow().deframer.finish();
        let why = finished.err().map(|error| told(io::ErrorKind::UnexpectedEof, error));
        self.give_up(why);
    }

    fn give_up(&self, why: Option<io::Error>) {
        let was_open = self.is_open();
        self.close();
        if was_open && self.received.borrow().deframer.finish().is_err() {
            self.fanout.source().count_lost(1);
        }
        if was_open && let Some(owner) = self.owner.upgrade() {
            owner.ended(self, why);
        }
    }
}

/// What is wrong with a stream, with the options of the source that would help.
fn told(kind: io::ErrorKind, error: FramingError) -> io::Error {
    let remedy = match error {
        FramingError::TooLong { .. } => "raise ?size=, or use ?framing=raw",
        FramingError::Truncated { .. } | FramingError::Oversize { .. } => "use ?framing=raw",
    };
    io::Error::new(kind, format!("{error}: {remedy}"))
}

impl Received {
    fn take_in(&mut self, count: usize, arrival: Nanos) {
        (self.start, self.end, self.arrival) = (0, count, arrival);
    }

    fn has_more(&self) -> bool {
        self.start < self.end
    }

    /// Publishes packet after packet; false if some are left for want of room.
    fn publish(&mut self, framing: Framing, fanout: &Fanout) -> Result<bool, FramingError> {
        let mut input = &self.buffer[self.start..self.end];
        let mut ready = fanout.is_ready();
        while ready && let Some(packet) = self.deframer.next(&mut input)? {
            fanout.publish(packet, packet.len() + framing.overhead(), self.arrival);
            ready = fanout.is_ready();
        }
        self.start = self.end - input.len();
        Ok(!self.has_more())
    }
}

/// A file, pipe or standard input: read to its end, which ends the relay.
struct Whole {
    intake: Rc<Intake>,
    /// To be waited for before the first read.
    named_pipe: bool,
    started: Cell<bool>,
    fanout: Rc<Fanout>,
}

pub(super) fn whole(
    from: &Endpoint,
    opened: Opened<Reader>,
    fanout: &Rc<Fanout>,
) -> Rc<dyn Source> {
    fanout.source().set_state(EndpointState::Open);
    let named_pipe = matches!(opened, Opened::NamedPipe(_));
    let input = match opened {
        Opened::Stream(stream) | Opened::NamedPipe(stream) => Input::Stream(stream),
        Opened::Sequence(reader) => Input::Reader(reader),
    };
    Rc::new_cyclic(|own: &Weak<Whole>| Whole {
        intake: Intake::new(from, fanout, own.clone(), input),
        named_pipe,
        started: Cell::new(false),
        fanout: fanout.clone(),
    })
}

impl Owner for Whole {
    fn ended(&self, _: &Intake, why: Option<io::Error>) {
        let source = self.fanout.source();
        source.set_state(EndpointState::Ended);
        match why {
            Some(error) => {
                source.set_state(EndpointState::Failed);
                source.note(&error);
                self.fanout.ending().fail(source.url(), &error);
            }
            None => self.fanout.ending().source_ended(self.fanout.is_lossless()),
        }
    }
}

impl Source for Whole {
    fn start(&self) {
        let intake = self.intake.clone();
        if !self.fanout.is_ready() {
            // Nobody is there yet who could be sent to.
            return self.fanout.await_room();
        }
        self.started.set(true);
        if let Some(Input::Stream(pipe)) = &*self.intake.input.borrow()
            && self.named_pipe
        {
            // One that nobody has opened to write reads like one at its end.
            pipe.readable().then(move |_| intake.read());
            return;
        }
        intake.read();
    }

    fn resume(&self) {
        if self.started.get() {
            self.intake.resume();
        } else {
            self.start();
        }
    }

    fn stop(&self) {
        self.intake.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a stream is told with the options that would help.
    #[test]
    fn remedies_are_options_of_the_source() {
        let long = FramingError::TooLong { index: 1, announced: 900, limit: 700 };
        let cut = FramingError::Truncated { index: 2, got: 3, expected: 9 };
        let told = |error| told(io::ErrorKind::InvalidData, error).to_string();
        assert!(told(long).contains("900") && told(long).contains("raise ?size="));
        assert!(told(cut).contains("packet 2") && told(cut).contains("?framing=raw"));
    }
}
