//! Files, pipes and standard output.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::path::Path;
use std::rc::{Rc, Weak};

use tautline_runtime::{Descriptor, WithBuffer, task};

use super::Destination;
use crate::endpoint::Destination as Endpoint;
use crate::framing::Framing;
use crate::pool::Run;
use crate::queue::Wire;
use crate::shell::backlog::Backlog;
use crate::shell::fanout::{Fanout, GATHER};
use crate::shell::files::{self, Opened, Untouched, Writer};
use crate::shell::link::{Link, Owner};
use crate::shell::report::Tally;
use crate::stats::EndpointState;

/// Bytes and runs of packets that one write to a file takes at most (and at least one run).
const BLOCK: usize = 256 << 10;
const RUNS: usize = 1024;

/// Opens a file to write, or a named pipe or device.
pub(super) fn open(
    to: &Endpoint,
    path: &Path,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    let (opened, untouched) = files::open_destination(path)?;
    Ok(start(opened, untouched, to, fanout, tally))
}

/// Standard output, whatever it is.
pub(super) fn stdout(
    to: &Endpoint,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> io::Result<Rc<dyn Destination>> {
    Ok(start(files::stdout()?, None, to, fanout, tally))
}

fn start(
    opened: Opened<Writer>,
    untouched: Option<Untouched>,
    to: &Endpoint,
    fanout: &Rc<Fanout>,
    tally: &Rc<Tally>,
) -> Rc<dyn Destination> {
    tally.set_state(EndpointState::Open);
    match opened {
        Opened::Sequence(writer) => Recording::start(writer, untouched, to, fanout, tally),
        Opened::Stream(pipe) | Opened::NamedPipe(pipe) => Pipe::start(pipe, to, fanout, tally),
    }
}

/// A named pipe or device: written to as far as it takes.
struct Pipe {
    link: Rc<Link>,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
}

impl Pipe {
    fn start(
        descriptor: Descriptor,
        to: &Endpoint,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
    ) -> Rc<dyn Destination> {
        let pipe = Rc::new_cyclic(|own: &Weak<Self>| Self {
            link: Link::new(to, fanout, tally, own.clone()),
            fanout: fanout.clone(),
            tally: tally.clone(),
        });
        pipe.link.attach_deaf(descriptor);
        pipe
    }
}

impl Owner for Pipe {
    fn lost(&self, _: &Link, why: Option<io::Error>) {
        let error = why.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        self.tally.set_state(EndpointState::Failed);
        self.fanout.ending().fail(self.tally.url(), &error);
    }
}

impl Destination for Pipe {
    fn deliver(&self, run: &Run) {
        self.link.deliver(run);
    }

    fn flush(&self) {
        self.link.flush();
    }

    fn is_idle(&self) -> bool {
        self.link.is_idle() || !self.link.is_attached()
    }

    fn close(&self) {
        self.link.close();
        self.tally.set_state(EndpointState::Ended);
    }

    fn queued(&self) -> usize {
        self.link.queued()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// A regular file or standard output: one write at a time, of as much as is queued.
struct Recording {
    /// With the task that writes while a write is pending, and after a failure.
    writer: RefCell<Option<Writer>>,
    /// Until it begins.
    untouched: RefCell<Option<Untouched>>,
    backlog: Backlog,
    /// Bytes that one write takes at most: of a reader who is slow, less than of the disk.
    most: usize,
    /// What is being written, and from whose packets. The buffer is with the kernel meanwhile.
    block: RefCell<Vec<u8>>,
    writing: RefCell<Vec<Run>>,
    failed: Cell<bool>,
    framing: Framing,
    fanout: Rc<Fanout>,
    tally: Rc<Tally>,
    own: Weak<Self>,
}

impl Recording {
    fn start(
        writer: Writer,
        untouched: Option<Untouched>,
        to: &Endpoint,
        fanout: &Rc<Fanout>,
        tally: &Rc<Tally>,
    ) -> Rc<dyn Destination> {
        Rc::new_cyclic(|own| Self {
            most: if writer.is_file() { BLOCK } else { GATHER },
            writer: RefCell::new(Some(writer)),
            untouched: RefCell::new(untouched),
            backlog: Backlog::new(to, fanout, tally),
            block: RefCell::new(Vec::with_capacity(BLOCK)),
            writing: RefCell::new(Vec::with_capacity(RUNS)),
            failed: Cell::new(false),
            framing: to.framing,
            fanout: fanout.clone(),
            tally: tally.clone(),
            own: own.clone(),
        })
    }

    /// Takes the oldest packets out of the queue, side by side into the block.
    fn fill(&self) -> Vec<u8> {
        let mut block = self.block.take();
        let (mut queue, mut writing) = (self.backlog.queue(), self.writing.borrow_mut());
        block.clear();
        while writing.len() < RUNS
            && let Some(run) = queue.head()
            && (block.is_empty()
                || block.len() + run.wire_len(usize::MAX, self.framing) <= self.most)
        {
            run.wire(self.framing).for_each(|part| block.extend_from_slice(part));
            let packets = run.packets();
            queue.pop_sent(packets, |run| writing.push(run));
        }
        block
    }

    fn write(&self) {
        let (Some(own), Some(mut writer)) = (self.own.upgrade(), self.writer.take()) else {
            return;
        };
        let block = self.fill();
        let writing = task::spawn(async move {
            let done = writer.write(block).await;
            own.writer.replace(Some(writer));
            own.written(done);
        });
        if let Err(error) = writing {
            self.fail(&error.into());
        }
    }

    fn written(&self, (result, block): WithBuffer<Vec<u8>>) {
        let packets = self.packets_in_writing();
        match result {
            Ok(bytes) => {
                self.tally.count(packets as u64, bytes as u64);
                let now = OnceCell::new();
                self.writing.borrow_mut().drain(..).for_each(|run| self.fanout.sent(&run, &now));
            }
            Err(error) => self.fail(&error),
        }
        self.block.replace(block);
        self.backlog.take_back();
        self.flush();
    }

    fn packets_in_writing(&self) -> usize {
        self.writing.borrow().iter().map(Wire::packets).sum()
    }

    fn fail(&self, error: &io::Error) {
        self.failed.set(true);
        self.lose_what_is_in_writing();
        self.tally.set_state(EndpointState::Failed);
        self.tally.note(error);
        self.fanout.ending().fail(self.tally.url(), error);
    }

    fn is_busy(&self) -> bool {
        self.writer.borrow().is_none()
    }

    fn lose_what_is_in_writing(&self) {
        self.tally.count_lost(self.packets_in_writing());
        self.writing.borrow_mut().clear();
    }
}

impl Destination for Recording {
    fn begin(&self) -> io::Result<()> {
        self.untouched.take().map_or(Ok(()), Untouched::begin)
    }

    fn deliver(&self, run: &Run) {
        if !self.backlog.has_room_for(run) {
            self.flush();
        }
        // A file cannot be cut off, and no policy asks for it.
        let _ = self.backlog.offer(run);
    }

    fn flush(&self) {
        if !self.is_busy() && !self.failed.get() && !self.backlog.has_none_to_send() {
            self.write();
            self.backlog.take_back();
        }
    }

    fn is_idle(&self) -> bool {
        self.failed.get() || !self.is_busy() && self.backlog.is_empty()
    }

    fn close(&self) {
        self.backlog.clear();
        self.lose_what_is_in_writing();
        if !self.failed.get() {
            self.tally.set_state(EndpointState::Ended);
        }
    }

    fn queued(&self) -> usize {
        self.backlog.len()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }
}
