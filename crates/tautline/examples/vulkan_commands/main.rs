//! A Vulkan command pool, which one thread at a time may use, and workers who paint with it: by
//! messages to an agent that owns it, and by a mutex around it, timed one beside the other.
//!
//! ```sh
//! apt-get install libvulkan1 mesa-vulkan-drivers   # a loader, and a device made of software
//! cargo run --release -p tautline --features vulkan --example vulkan_commands
//! ```
//!
//! Each worker paints tiles of an image of its own, over and over. What it sends is recorded into a
//! command buffer, many paints to a submission, as drawing programs do. In the end the image is read
//! back, and each pixel must have the colour that was sent last.

mod gpu;

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tautline::bus::Local;
use tautline::bus::agent::{Agent, Config, Owner};

use gpu::{Gpu, Painter, SIDE, TILE, TILES};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const WORKERS: usize = 4;
/// How often a worker paints each of its tiles.
const ROUNDS: u32 = 200;
/// How often each way is measured.
const RUNS: usize = 5;

/// A tile, and its colour from now on.
#[derive(Clone, Copy)]
struct Paint {
    tile: usize,
    colour: u32,
}

impl Paint {
    fn of(tile: usize, round: u32) -> Self {
        Self { tile, colour: (tile as u32).wrapping_mul(0x9e37_79b9) ^ round }
    }
}

impl Owner for Painter {
    type Message = Paint;
    type Reply = ();

    fn handle(&mut self, Paint { tile, colour }: Paint) {
        self.paint(tile, colour);
    }
}

fn main() -> Result<()> {
    let (gpu, name) = Gpu::open()?;
    let gpu = Arc::new(gpu);
    println!("on {name}: {WORKERS} workers, {} paints each", work_of(0).count());
    let (mut agents, mut mutexes) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        agents.push(by_agent(&gpu)?);
        mutexes.push(by_mutex(&gpu)?);
    }
    println!("{:<8} {:>10} {:>12} {:>12} {:>12}", "", "all", "call p50", "call p99", "longest");
    for (name, runs) in [("agent", agents), ("mutex", mutexes)] {
        let median = |of: fn(&Run) -> Duration| {
            let mut times: Vec<_> = runs.iter().map(of).collect();
            times.sort();
            times[times.len() / 2]
        };
        println!(
            "{name:<8} {:>7.1} ms {:>9} ns {:>9} ns {:>9} us",
            median(|run| run.total).as_secs_f64() * 1e3,
            median(|run| run.p50).as_nanos(),
            median(|run| run.p99).as_nanos(),
            median(|run| run.longest).as_micros()
        );
    }
    println!(
        "each of {} pixels had the colour that was sent last, in {} runs",
        SIDE * SIDE,
        2 * RUNS
    );
    Ok(())
}

/// What that worker paints, in that order.
fn work_of(worker: usize) -> impl Iterator<Item = Paint> {
    (0..ROUNDS).flat_map(move |round| {
        (worker..TILES).step_by(WORKERS).map(move |tile| Paint::of(tile, round))
    })
}

/// How long it took: until all was painted, and a worker for one call. A worker that is ahead of the
/// painter waits: of the agent's mailbox for room, of the mutex for its turn.
struct Run {
    total: Duration,
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

fn by_agent(gpu: &Arc<Gpu>) -> Result<Run> {
    let config = Config { clients: WORKERS, capacity: 1024, ..Config::default() };
    let agent = Agent::<_, Local>::new(Painter::new(gpu.clone())?, config)?;
    let mail = agent.mail();
    let mut end = agent.spawn_thread("painter")?;
    let begun = Instant::now();
    let calls = all_work(|| {
        let mut client = mail.client()?;
        Ok(move |paint| client.tell(paint).map_err(Into::into))
    })?;
    mail.stop();
    let painter = end.wait(None)??;
    finish(painter, begun, &calls)
}

fn by_mutex(gpu: &Arc<Gpu>) -> Result<Run> {
    let painter = Arc::new(Mutex::new(Painter::new(gpu.clone())?));
    let begun = Instant::now();
    let calls = all_work(|| {
        let painter = painter.clone();
        Ok(move |paint| {
            painter.lock().map_err(|_| "a worker has panicked")?.handle(paint);
            Ok(())
        })
    })?;
    let painter = Arc::into_inner(painter).ok_or("a worker still has the painter")?;
    finish(painter.into_inner().map_err(|_| "a worker has panicked")?, begun, &calls)
}

/// Plays all workers, each with a way to paint of its own. Returns the times of their calls.
fn all_work<P>(mut way: impl FnMut() -> Result<P>) -> Result<Histogram<u64>>
where
    P: FnMut(Paint) -> Result<()> + Send + 'static,
{
    let workers = (0..WORKERS).map(|worker| {
        let mut paint = way()?;
        Ok(thread::spawn(move || -> Result<Histogram<u64>> {
            let mut calls = Histogram::new(3)?;
            for order in work_of(worker) {
                let begun = Instant::now();
                paint(order)?;
                calls.record(begun.elapsed().as_nanos() as u64)?;
            }
            Ok(calls)
        }))
    });
    let workers = workers.collect::<Result<Vec<_>>>()?;
    let mut all = Histogram::new(3)?;
    for worker in workers {
        all.add(worker.join().map_err(|_| "a worker has panicked")??)?;
    }
    Ok(all)
}

/// Reads the image back, and looks at each pixel.
fn finish(mut painter: Painter, begun: Instant, calls: &Histogram<u64>) -> Result<Run> {
    let pixels = painter.image()?;
    let total = begun.elapsed();
    for (at, pixel) in pixels.iter().enumerate() {
        let (x, y) = (at % SIDE, at / SIDE);
        let wanted = Paint::of(y / TILE * (SIDE / TILE) + x / TILE, ROUNDS - 1).colour;
        if *pixel != wanted {
            return Err(format!("the pixel at {x}, {y} is {pixel:08x}, not {wanted:08x}").into());
        }
    }
    let at = |share| Duration::from_nanos(calls.value_at_quantile(share));
    Ok(Run { total, p50: at(0.5), p99: at(0.99), longest: at(1.0) })
}
