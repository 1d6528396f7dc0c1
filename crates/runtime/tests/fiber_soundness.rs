//! What a fiber lends to the kernel is not freed before the kernel has given it back: reads and
//! writes of streams, datagrams and files, on each real driver, with buffers in the frames of
//! fibers that are cancelled, that panic, or whose runtime is dropped, at random points under
//! load. Freed blocks are filled with a pattern, kept for ever and verified at the end, as in
//! `soundness.rs`; and what was sent or written holds that pattern nowhere.

mod common;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::quarantine::{Guarded, LEN, PATTERN, Quarantine};
use common::{REAL, small};
use fastrand::Rng;
use tautline_runtime::fiber::{self, Builder, JoinError, JoinHandle, Stack};
use tautline_runtime::time::Instant;
use tautline_runtime::{Config, Descriptor, DriverChoice, IoBufMut, Runtime, WaitMode};

/// Streams that are read from.
const STREAMS: usize = 8;
/// Fibers that are alive at a time.
const ALIVE: usize = 48;
/// Fibers in all, on each driver.
const FIBERS: usize = 10_000;
/// Far ends of streams that are written to, which nobody reads at once.
const SINKS: usize = 16;
/// Bytes of the file.
const FILE: usize = 64 << 10;

/// The far ends, from which bytes of the number 1 come.
struct Peers {
    streams: Vec<UnixStream>,
    datagrams: UnixDatagram,
}

impl Peers {
    /// Sends a little to one of them, if there is room.
    fn send(&self, random: &mut Rng) {
        let bytes = &[1; LEN / 4][..random.usize(1..LEN / 4)];
        match random.usize(..STREAMS + 1) {
            STREAMS => drop(self.datagrams.send(bytes)),
            at => drop((&self.streams[at]).write(bytes)),
        }
    }
}

/// What all fibers of a run share.
struct Scene {
    random: RefCell<Rng>,
    quarantine: Rc<Quarantine>,
    streams: Vec<Descriptor>,
    datagrams: Descriptor,
    /// A file, and the same for a look at it from outside.
    file: (Descriptor, File),
    sinks: RefCell<Vec<UnixStream>>,
    /// Datagrams are sent from here, and arrive there.
    posts: (Descriptor, UnixDatagram),
    /// Calls into which a buffer was lent.
    lent: Cell<usize>,
    /// Bytes of freed memory that were sent.
    leaked: Cell<usize>,
}

fn descriptor(fd: impl Into<OwnedFd>) -> Descriptor {
    Descriptor::new(fd.into()).unwrap()
}

/// A file of zeros.
fn file() -> (Descriptor, File) {
    let file = tempfile::tempfile().unwrap();
    file.set_len(FILE as u64).unwrap();
    (descriptor(file.try_clone().unwrap()), file)
}

/// A pair of datagram sockets.
fn posts() -> (Descriptor, UnixDatagram) {
    let (near, far) = UnixDatagram::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    (descriptor(near), far)
}

/// What is written: no byte of it is as in freed memory.
fn ones(buf: &mut [u8]) -> &[u8] {
    buf.fill(1);
    buf
}

impl Scene {
    fn new(random: Rng, quarantine: &Rc<Quarantine>) -> (Rc<Self>, Arc<Peers>) {
        let pairs = (0..STREAMS).map(|_| UnixStream::pair().unwrap());
        let (ours, streams): (Vec<_>, Vec<_>) = pairs.unzip();
        let (datagrams, theirs) = UnixDatagram::pair().unwrap();
        streams.iter().for_each(|stream| stream.set_nonblocking(true).unwrap());
        theirs.set_nonblocking(true).unwrap();
        let scene = Self {
            random: RefCell::new(random),
            quarantine: quarantine.clone(),
            streams: ours.into_iter().map(descriptor).collect(),
            datagrams: descriptor(datagrams),
            file: file(),
            sinks: RefCell::default(),
            posts: posts(),
            lent: Cell::new(0),
            leaked: Cell::new(0),
        };
        (Rc::new(scene), Arc::new(Peers { streams, datagrams: theirs }))
    }

    fn draw(&self, below: usize) -> usize {
        self.random.borrow_mut().usize(..below)
    }

    fn buffer(&self) -> Guarded {
        Guarded::new(&self.quarantine)
    }

    /// One of the streams.
    fn stream(&self) -> &Descriptor {
        &self.streams[self.draw(STREAMS)]
    }

    /// Lends `buf` in one of the calls that borrow.
    fn lend(&self, buf: &mut [u8]) {
        self.lent.set(self.lent.get() + 1);
        let soon = Duration::from_micros(self.draw(200) as u64);
        let soon = tautline_runtime::now().ok().map(|now| now + soon);
        let deadline = soon.filter(|_| self.draw(3) == 0);
        let stream = self.stream().blocking().deadline(deadline);
        let file = self.file.0.blocking().deadline(deadline);
        let offset = self.draw(FILE - LEN) as u64;
        match self.draw(10) {
            0 | 1 => drop(stream.read(buf)),
            2 | 3 => drop(stream.read_exact(buf)),
            4 => drop(self.datagrams.blocking().deadline(deadline).receive_from(buf)),
            5 => drop(file.read_at(buf, offset)),
            6 => drop(file.write_at(ones(buf), offset)),
            7 => self.write_from(buf, deadline),
            8 => drop(stream.read_vectored(&mut [IoSliceMut::new(buf)])),
            _ => drop(self.posts.0.blocking().deadline(deadline).send_to(ones(buf), None)),
        }
    }

    /// Lends `buf` to a stream of its own, until that takes no more.
    fn write_from(&self, buf: &mut [u8], deadline: Option<Instant>) {
        // In a runtime that ends there are none.
        let Some(near) = self.narrow_stream() else { return };
        let stream = near.blocking().deadline(deadline);
        for _ in 0..self.draw(24) {
            let (bytes, all) = (ones(buf), self.draw(2) == 0);
            let written = match all {
                true => stream.write_all(bytes),
                false => stream.write_vectored(&[IoSlice::new(bytes)]).map(drop),
            };
            if written.is_err() {
                return;
            }
        }
    }

    /// A stream that takes a few kilobytes before it has to be read. The far end of another one
    /// is read to what there is of it, and closed.
    fn narrow_stream(&self) -> Option<Descriptor> {
        let (near, far) = UnixStream::pair().unwrap();
        socket2::SockRef::from(&near).set_send_buffer_size(1).unwrap();
        far.set_nonblocking(true).unwrap();
        self.sinks.borrow_mut().push(far);
        if self.sinks.borrow().len() > SINKS {
            let at = self.draw(SINKS);
            let sink = self.sinks.borrow_mut().swap_remove(at);
            self.drain(sink);
        }
        Descriptor::new(near.into()).ok()
    }

    /// Looks at everything that has arrived.
    fn drain(&self, mut sink: impl Read) {
        let mut got = [0; 4096];
        while let Ok(n @ 1..) = sink.read(&mut got) {
            let of_freed = got[..n].iter().filter(|&&byte| byte == PATTERN);
            self.leaked.set(self.leaked.get() + of_freed.count());
        }
    }

    /// The same for datagrams.
    fn receive_all(&self) {
        let mut got = [0; LEN];
        while let Ok(n @ 1..) = self.posts.1.recv(&mut got) {
            self.drain(&got[..n]);
        }
    }

    /// Bytes of freed memory that were sent or written.
    fn leaked(&self) -> usize {
        self.sinks.take().into_iter().for_each(|sink| self.drain(sink));
        self.receive_all();
        let mut content = vec![0; FILE];
        self.file.1.read_exact_at(&mut content, 0).unwrap();
        self.drain(&content[..]);
        self.leaked.get()
    }

    /// A few others run.
    fn linger(&self) {
        (0..self.draw(4)).for_each(|_| drop(fiber::yield_now()));
    }

    /// Spawns a fiber that lends buffers in one of many ways.
    fn spawn(self: &Rc<Self>) -> JoinHandle<()> {
        let (scene, way) = (self.clone(), WAYS[self.draw(WAYS.len())]);
        let builder = Builder::new(Stack::Small);
        let builder = if self.draw(4) == 0 { builder.cancel_by_error() } else { builder };
        builder.spawn(move || way(&scene)).unwrap()
    }
}

const WAYS: [fn(&Scene); 7] = [lend, lend, scope, child_panics, lends_at_end, goes_on, owned];

/// A buffer in the frame that waits.
fn lend(scene: &Scene) {
    let mut buf = scene.buffer();
    scene.lend(buf.bytes_mut());
}

/// Buffers in the frame of a parent, lent by its children; the parent panics meanwhile, waits,
/// or is at its end.
fn scope(scene: &Scene) {
    let mut bufs = [scene.buffer(), scene.buffer(), scene.buffer()];
    let _ = fiber::scope(|scope| {
        for buf in &mut bufs {
            drop(scope.spawn(Stack::Small, || scene.lend(buf.bytes_mut())));
        }
        scene.linger();
        match scene.draw(3) {
            0 => resume_unwind(Box::new("on purpose")),
            1 => drop(fiber::park()),
            _ => {}
        }
    });
}

/// As [`scope`], but it is a child that panics, and its siblings that lend.
fn child_panics(scene: &Scene) {
    let mut bufs = [scene.buffer(), scene.buffer()];
    let _ = fiber::scope(|scope| {
        for buf in &mut bufs {
            drop(scope.spawn(Stack::Small, || scene.lend(buf.bytes_mut())));
        }
        let child = scope.spawn(Stack::Small, || {
            scene.linger();
            resume_unwind(Box::new("on purpose"))
        });
        if let Ok(Err(JoinError::Panicked(panic))) = child.map(|child| child.join()) {
            resume_unwind(panic.into_payload());
        }
    });
}

/// A panic in a frame of its own goes through one whose destructor lends.
fn lends_at_end(scene: &Scene) {
    struct AtEnd<'s>(&'s Scene, Guarded);
    impl Drop for AtEnd<'_> {
        fn drop(&mut self) {
            self.0.lend(self.1.bytes_mut());
        }
    }
    let _at_end = AtEnd(scene, scene.buffer());
    let _outlasts = AtEnd(scene, scene.buffer());
    scene.linger();
    resume_unwind(Box::new("on purpose"));
}

/// What unwinds it is caught, and it goes on to lend, twice.
fn goes_on(scene: &Scene) {
    let (mut first, mut second) = (scene.buffer(), scene.buffer());
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut inner = scene.buffer();
        scene.lend(inner.bytes_mut());
        scene.lend(first.bytes_mut());
    }));
    scene.lend(second.bytes_mut());
    drop(first);
    scene.linger();
    if let Err(payload) = caught {
        resume_unwind(payload);
    }
}

/// Operations own their buffers; those whose future is dropped with its fiber do so on.
fn owned(scene: &Scene) {
    scene.lent.set(scene.lent.get() + 1);
    let read = scene.stream().read_exact(scene.buffer());
    if scene.draw(2) == 0 {
        drop(read.wait());
    } else {
        drop(fiber::wait(read));
    }
}

fn runtime(driver: DriverChoice) -> Runtime {
    let config = Config {
        driver,
        wait: WaitMode::Sleep,
        // What is written is lent rather than queued, as often as can be.
        write_limit: 64,
        // Reads go to the ring rather than being tried first, as often as can be.
        dispatch_limit: 1,
        stall: None,
        ..small()
    };
    Runtime::new(config).unwrap()
}

/// How the fibers of a run ended.
#[derive(Default, Debug)]
struct Ends {
    returned: usize,
    cancelled: usize,
    panicked: usize,
    detached: usize,
}

impl Ends {
    fn add(&mut self, scene: &Scene, handle: JoinHandle<()>) {
        if scene.draw(8) == 0 {
            self.detached += 1;
            return;
        }
        match handle.join() {
            Ok(()) => self.returned += 1,
            Err(JoinError::Cancelled) => self.cancelled += 1,
            Err(_) => self.panicked += 1,
        }
    }
}

/// Spawns `count` fibers, cancels most of them in their midst, and waits for all.
fn chaos(scene: &Rc<Scene>, peers: &Peers, count: usize) -> Ends {
    let (mut ends, mut alive) = (Ends::default(), Vec::new());
    let mut random = scene.random.borrow_mut().fork();
    for _ in 0..count {
        alive.push(scene.spawn());
        scene.linger();
        if random.bool() {
            peers.send(&mut random);
        }
        if random.u8(..8) == 0 {
            scene.receive_all();
        }
        if alive.len() == ALIVE {
            let handle = alive.swap_remove(random.usize(..ALIVE));
            handle.cancel();
            ends.add(scene, handle);
        }
    }
    alive.iter().for_each(JoinHandle::cancel);
    alive.into_iter().for_each(|handle| ends.add(scene, handle));
    ends
}

/// Thousands of fibers that lend buffers, most of them cancelled while the kernel has them, leave
/// no write in freed memory, send nothing of it, and leave no buffer behind.
#[test]
fn cancelled_and_panicking_fibers_never_touch_freed_memory() {
    REAL.into_iter().for_each(fibers_end_early);
}

fn fibers_end_early(driver: DriverChoice) {
    let seed = 0x7A17_F1BE;
    let quarantine = Rc::new(Quarantine::default());
    let runtime = runtime(driver.clone());
    let (scene, peers) = Scene::new(Rng::with_seed(seed), &quarantine);
    let theirs = scene.clone();
    let ends = runtime.run_fiber(Stack::Large, move || chaos(&theirs, &peers, FIBERS)).unwrap();
    runtime.run_pending().unwrap();
    let (lent, completions) = (scene.lent.get(), runtime.metrics().engine.completions);
    println!("{driver:?}: {ends:?}; {lent} calls, {completions} completions");
    assert!(lent > FIBERS && completions > FIBERS as u64 / 2, "the driver was hardly used");
    assert_eq!(scene.leaked(), 0, "seed {seed:#x}");
    drop(scene);
    drop(runtime);
    assert_eq!(quarantine.violated(), 0, "seed {seed:#x}");
    assert_eq!(quarantine.alive.get(), 0, "a fiber's buffers go with it");
    assert!(quarantine.freed() > FIBERS);
    let fewest = ends.cancelled.min(ends.panicked).min(ends.returned);
    assert!(fewest > FIBERS / 20, "each end is met: {ends:?}");
}

/// Sends to the peers until it is dropped, from a thread of its own.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn begin(peers: Arc<Peers>, mut random: Rng) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let flood = move || {
            // Relaxed: nothing is published by it.
            while !stopped.load(Ordering::Relaxed) {
                peers.send(&mut random);
                std::thread::yield_now();
            }
        };
        Self { stop, thread: Some(std::thread::spawn(flood)) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A runtime that is dropped while fibers have lent their buffers, and while bytes go on to
/// come, has all of them back before any is freed.
#[test]
fn a_runtime_dropped_in_the_middle_never_touches_freed_memory() {
    REAL.into_iter().for_each(runtimes_end_early);
}

fn runtimes_end_early(driver: DriverChoice) {
    let seed = 0x7A17_D80F;
    let mut random = Rng::with_seed(seed);
    let quarantine = Rc::new(Quarantine::default());
    let mut pending = 0;
    for _ in 0..150 {
        let runtime = runtime(driver.clone());
        let (scene, peers) = Scene::new(random.fork(), &quarantine);
        let flood = random.bool().then(|| Flood::begin(peers.clone(), random.fork()));
        for _ in 0..ALIVE {
            drop(scene.spawn());
            if random.u8(..4) == 0 {
                peers.send(&mut random);
                runtime.poll().unwrap();
            }
        }
        let parked = |info: &fiber::Info| info.descriptor.is_some();
        pending += fiber::list().unwrap().iter().filter(|info| parked(info)).count();
        drop(runtime);
        assert_eq!(scene.leaked(), 0, "seed {seed:#x}");
        drop(scene);
        assert_eq!(quarantine.alive.get(), 0, "seed {seed:#x}: buffers outlive their runtime");
        drop(flood);
    }
    assert_eq!(quarantine.violated(), 0, "seed {seed:#x}");
    println!("{pending} calls were under way when their runtime was dropped");
    // How far fibers get until then is the machine's: on a busy one it was 1,974, on others 3,000.
    assert!(pending > 500, "{pending} calls were under way when their runtime was dropped");
}

/// Memory that is lent by two owners: the fiber that reads into it, and whoever frees it.
type Shared = Rc<RefCell<Option<Guarded>>>;

/// Reads into a buffer that somebody else may free meanwhile.
fn read_what_is_freed(scene: &Scene, shared: &Shared) {
    let place = shared.borrow_mut().as_mut().unwrap().bytes_mut().as_mut_ptr();
    // SAFETY: not kept: this is the fault that the check has to find. The memory itself stays
    // mapped, because the quarantine keeps it.
    let buf = unsafe { std::slice::from_raw_parts_mut(place, LEN) };
    drop(scene.stream().blocking().read_exact(buf));
}

/// The canary: buffers that are freed when their fiber is cancelled, rather than when the kernel
/// has given them back, are caught by the same check under the same load.
#[test]
fn the_check_catches_buffers_freed_when_their_fiber_is_cancelled() {
    let quarantine = Rc::new(Quarantine::default());
    let runtime = runtime(DriverChoice::Uring);
    let (scene, peers) = Scene::new(Rng::with_seed(0x7A17_CA5A), &quarantine);
    let work = move || {
        let (mut alive, mut random) = (Vec::new(), scene.random.borrow_mut().fork());
        for _ in 0..2_000 {
            let shared = Shared::new(RefCell::new(Some(scene.buffer())));
            let (theirs, lent) = (scene.clone(), shared.clone());
            let work = move || read_what_is_freed(&theirs, &lent);
            alive.push((fiber::spawn(Stack::Small, work).unwrap(), shared));
            scene.linger();
            peers.send(&mut random);
            if alive.len() == ALIVE {
                let (handle, shared) = alive.swap_remove(random.usize(..ALIVE));
                drop(shared.borrow_mut().take());
                handle.cancel();
            }
        }
        alive.iter().for_each(|(handle, _)| handle.cancel());
    };
    runtime.run_fiber(Stack::Large, work).unwrap();
    runtime.run_pending().unwrap();
    drop(runtime);
    println!("{} of {} blocks were written to", quarantine.violated(), quarantine.freed());
    assert!(quarantine.violated() > 0);
}

/// Writes from a buffer that is freed meanwhile.
fn write_what_is_freed(stream: &Descriptor, shared: &Shared) {
    let place = shared.borrow_mut().as_mut().unwrap().bytes_mut().as_mut_ptr();
    // SAFETY: not kept, as in `read_what_is_freed`.
    let buf = unsafe { std::slice::from_raw_parts(place, LEN) };
    while stream.blocking().write_all(buf).is_ok() {}
}

/// The canary of what is sent: a buffer that is freed while it is lent is seen at the far end.
#[test]
fn the_check_catches_freed_buffers_that_are_sent() {
    for driver in REAL {
        let quarantine = Rc::new(Quarantine::default());
        let runtime = runtime(driver);
        let (scene, _peers) = Scene::new(Rng::with_seed(1), &quarantine);
        let shared = Shared::new(RefCell::new(Some(scene.buffer())));
        let (theirs, lent) = (scene.narrow_stream().unwrap(), shared.clone());
        let writer = fiber::spawn(Stack::Small, move || write_what_is_freed(&theirs, &lent));
        let writer = writer.unwrap();
        runtime.run_for(Duration::from_millis(2)).unwrap();
        drop(shared.borrow_mut().take());
        let sink = scene.sinks.borrow()[0].try_clone().unwrap();
        scene.drain(sink);
        runtime.run_for(Duration::from_millis(2)).unwrap();
        writer.cancel();
        runtime.poll().unwrap();
        assert!(scene.leaked() > 0, "on {}", runtime.report().driver);
    }
}
