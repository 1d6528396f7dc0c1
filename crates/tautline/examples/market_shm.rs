//! Order books in shared memory: one process publishes, three read, and again and again one of these
//! is killed and another takes its place. Nobody misses a book, and none is torn.
//!
//! ```sh
//! cargo run --release --example market_shm        # five seconds; or as many as you say
//! tautline bus stat                               # in another terminal, meanwhile
//! tautline bus tap marketN/books                  # the same, by the name that it has told
//! ```

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tautline::bus::broadcast::{Broadcast, Config, Publisher};
use tautline::bus::{Layout, ReceiveError, Shared};
use zerocopy::{Immutable, IntoBytes, TryFromBytes};

const LEVELS: usize = 10;
const READERS: usize = 3;
/// Books a millisecond.
const BURST: u64 = 50;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A price, and how much is wanted or offered for it.
#[derive(Clone, Copy, Default, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[layout(crate = tautline::bus)]
struct Level {
    price: i64,
    size: u64,
}

/// What is wanted and offered at one moment, the best first.
#[derive(Clone, Copy, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[layout(crate = tautline::bus)]
struct Book {
    number: u64,
    bids: [Level; LEVELS],
    asks: [Level; LEVELS],
    /// Of all that stands above: a book of which half is another's would show.
    sum: u64,
}

impl Book {
    fn new(number: u64) -> Self {
        let middle = 100_000 + (number % 1000) as i64;
        let level = |price, at| Level { price, size: number % 97 + at as u64 + 1 };
        let bids = std::array::from_fn(|at| level(middle - 1 - at as i64, at));
        let asks = std::array::from_fn(|at| level(middle + 1 + at as i64, at));
        let book = Self { number, bids, asks, sum: 0 };
        Self { sum: book.sum(), ..book }
    }

    fn sum(&self) -> u64 {
        let levels = self.bids.iter().chain(&self.asks);
        levels.fold(self.number, |sum, level| {
            sum.rotate_left(5).wrapping_add(level.price.cast_unsigned()).wrapping_add(level.size)
        })
    }
}

fn books(namespace: &str) -> Result<Broadcast<Book, Shared>> {
    let config = Config { capacity: 4096, subscribers: READERS, ..Config::default() };
    Ok(Broadcast::open(namespace, "books", config)?)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["read", namespace] => read(namespace),
        [seconds] => {
            publish(Duration::from_secs(seconds.parse().map_err(|_| {
                format!("{seconds:?} is no number of seconds: market_shm [SECONDS]")
            })?))
        }
        [] => publish(Duration::from_secs(5)),
        _ => Err("too many arguments: market_shm [SECONDS]".into()),
    }
}

// --------------------------------------------------------------------------------- readers

/// What a reader has seen, as it tells every now and then.
#[derive(Clone, Copy, Default)]
struct Seen {
    books: u64,
    missed: u64,
    torn: u64,
}

fn read(namespace: &str) -> Result<()> {
    let mut books = books(namespace)?.subscriber()?;
    let (mut seen, mut last, mut told) = (Seen::default(), None, Instant::now());
    loop {
        let book = match books.receive_timeout(Duration::from_secs(2)) {
            Ok(book) => book,
            Err(ReceiveError::Closed) => return tell(&seen),
            Err(error) => return Err(error.into()),
        };
        seen.books += 1;
        seen.missed += last.map_or(0, |last: u64| book.number - last - 1);
        seen.torn += u64::from(book.sum != book.sum());
        last = Some(book.number);
        if told.elapsed() > Duration::from_millis(20) {
            tell(&seen)?;
            told = Instant::now();
        }
    }
}

fn tell(seen: &Seen) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{} {} {}", seen.books, seen.missed, seen.torn)?;
    Ok(out.flush()?)
}

/// A reader in a process of its own, and what it tells.
struct Reader {
    process: Child,
    seen: Receiver<Seen>,
}

impl Reader {
    fn start(namespace: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        let mut process = command.args(["read", namespace]).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(process.stdout.take().ok_or("a child without its output")?);
        let (tell, seen) = channel();
        thread::spawn(move || {
            for line in lines.lines().map_while(std::result::Result::ok) {
                let words: Vec<u64> =
                    line.split(' ').filter_map(|word| word.parse().ok()).collect();
                let [books, missed, torn] = words[..] else { continue };
                // Nobody listens any more: the reader was replaced.
                _ = tell.send(Seen { books, missed, torn });
            }
        });
        Ok(Self { process, seen })
    }

    /// Waits for its end, and says what it has seen last.
    fn end(mut self) -> Result<Seen> {
        self.process.wait()?;
        Ok(self.seen.iter().last().unwrap_or_default())
    }
}

// ------------------------------------------------------------------------------- publisher

fn publish(time: Duration) -> Result<()> {
    let namespace = format!("market{}", std::process::id());
    let books = books(&namespace)?;
    let mut publisher = books.publisher()?;
    let readers = (0..READERS).map(|_| Reader::start(&namespace)).collect::<Result<Vec<_>>>();
    let mut readers = readers?;
    while books.users()[1] < READERS {
        thread::sleep(Duration::from_millis(1));
    }
    println!("publishing {} books a second in {namespace}/books", BURST * 1000);

    // Who is killed, and when: another story for each process number.
    let mut chance = fastrand::Rng::with_seed(std::process::id().into());
    let (begun, mut number, mut kills, mut seen) = (Instant::now(), 0, 0, Seen::default());
    let mut next_kill = begun + Duration::from_millis(300);
    // As many as that time has bursts, however slow the machine is.
    let last = time.as_millis() as u64 * BURST;
    while number < last {
        number = burst(&mut publisher, number, begun)?;
        if Instant::now() >= next_kill {
            next_kill += Duration::from_millis(chance.u64(100..500));
            let victim = chance.usize(..READERS);
            let mut killed = readers.swap_remove(victim);
            killed.process.kill()?;
            readers.push(Reader::start(&namespace)?);
            add(&mut seen, killed.end()?);
            kills += 1;
        }
    }
    books.close();
    for reader in readers {
        add(&mut seen, reader.end()?);
    }
    println!(
        "{number} books, {kills} readers killed; of {} that readers have told of, {} missed, {} torn",
        seen.books, seen.missed, seen.torn
    );
    if (seen.missed, seen.torn) == (0, 0) { Ok(()) } else { Err("books were lost".into()) }
}

/// The books of one millisecond. A reader that is dead holds this up for some milliseconds at most.
fn burst(publisher: &mut Publisher<Book, Shared>, mut number: u64, begun: Instant) -> Result<u64> {
    for _ in 0..BURST {
        publisher.send(Book::new(number))?;
        number += 1;
    }
    let due = begun + Duration::from_millis(number / BURST);
    thread::sleep(due.saturating_duration_since(Instant::now()));
    Ok(number)
}

fn add(all: &mut Seen, one: Seen) {
    all.books += one.books;
    all.missed += one.missed;
    all.torn += one.torn;
}
