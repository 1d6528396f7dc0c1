//! TLS in simulated worlds: reads and writes are short, attempts would block although they would
//! not, completions come late and in another order. What was sent arrives, and nothing stalls.

mod common;
mod tls_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use common::small;
use tautline_net::tls::{Connector, TlsConn, TlsListener, TlsStream, buffers_in_use};
use tautline_runtime::sim::{self, Faults, Rate};
use tautline_runtime::{Config, DriverChoice, Runtime, timer};
use tls_support::{Authority, authority, pattern};

const SEEDS: u64 = 150;

/// Virtual time in which all comes to its end.
const LIMIT: Duration = Duration::from_secs(60);

fn world(seed: u64, faults: Faults) -> Runtime {
    let world = sim::Config { faults, ..sim::Config::new(seed) };
    Runtime::new(Config { driver: DriverChoice::Sim(Box::new(world)), ..small() }).unwrap()
}

/// Nothing of TCP is lost, and there is always a descriptor.
fn gentle(seed: u64) -> Faults {
    Faults { no_descriptor: Rate::NEVER, ..Faults::draw_harmless(seed) }
}

fn clients_of(authority: &Authority) -> Connector {
    let within = Duration::from_secs(30);
    authority.client().remember_sessions(0).handshake_timeout(within).build().unwrap()
}

/// Sends, ends, and reads to the end.
async fn ask(stream: TlsStream, question: &[u8]) -> io::Result<Vec<u8>> {
    let stream = &stream;
    let asked = async {
        stream.write_all(question).await?;
        stream.shutdown().await
    };
    let answered = async {
        let (mut answer, mut buf) = (Vec::new(), vec![0; 5000]);
        loop {
            match stream.read(&mut buf).await? {
                0 => return io::Result::Ok(answer),
                count => answer.extend_from_slice(&buf[..count]),
            }
        }
    };
    futures::try_join!(asked, answered).map(|((), answer)| answer)
}

/// Echoes as far as there is room, and the rest when there is.
fn echo(stream: TlsStream) -> io::Result<()> {
    let owed: Rc<RefCell<Vec<u8>>> = Rc::default();
    let pay = |conn: &TlsConn, owed: &mut Vec<u8>| -> io::Result<()> {
        let taken = conn.write(owed)?;
        owed.drain(..taken);
        if owed.is_empty() {
            return conn.conn().resume();
        }
        conn.conn().pause();
        Ok(())
    };
    let mine = owed.clone();
    let conn = stream.on_data(move |conn, bytes| {
        let mut owed = mine.borrow_mut();
        owed.extend_from_slice(bytes);
        pay(conn, &mut owed)
    })?;
    conn.conn().set_write_limit(20_000);
    conn.on_writable(move |conn| pay(conn, &mut owed.borrow_mut()));
    Ok(())
}

/// In worlds that lose nothing of TCP, every byte comes back through handlers that pause and go
/// on, and each side ends in order.
#[test]
fn every_byte_comes_back_in_worlds_that_lose_nothing() {
    let authority = authority("one");
    let connector = clients_of(&authority);
    let question = pattern(150_000);
    for seed in 0..SEEDS {
        let runtime = world(seed, gentle(seed));
        let acceptor = authority.server().build().unwrap();
        let answers = runtime.block_on(timer::timeout(LIMIT, async {
            let listener = TlsListener::bind("127.0.0.1:7000", acceptor)?;
            listener.on_accept(|stream| echo(stream?))?;
            let talk = async || {
                let stream = connector.connect_as("127.0.0.1:7000", "localhost").await?;
                ask(stream, &question).await
            };
            futures::try_join!(talk(), talk())
        }));
        let (one, other) = answers.unwrap().expect("it stalls").unwrap_or_else(|error| {
            panic!("seed {seed}: {error}");
        });
        assert!(one == question && other == question, "seed {seed}");
        assert_eq!(buffers_in_use(), 0, "seed {seed}");
    }
}

/// In worlds that reset and refuse, every talk ends: with all of its bytes, or with an error; what
/// has come by then is the beginning of what was sent.
#[test]
fn every_talk_ends_in_worlds_that_reset() {
    let authority = authority("one");
    let connector = clients_of(&authority);
    let question = pattern(50_000);
    let (whole, failed) = (Cell::new(0), Cell::new(0));
    for seed in 0..SEEDS {
        let runtime = world(seed, Faults::draw(seed));
        let acceptor = authority.server().build().unwrap();
        let done = runtime.block_on(timer::timeout(LIMIT, async {
            let listener = TlsListener::bind("127.0.0.1:7000", acceptor)?;
            listener.on_accept(|stream| stream.and_then(echo))?;
            for _ in 0..3 {
                let talk = async {
                    let stream = connector.connect_as("127.0.0.1:7000", "localhost").await?;
                    ask(stream, &question).await
                };
                match talk.await {
                    Ok(answer) => {
                        assert!(answer == question, "seed {seed}");
                        whole.set(whole.get() + 1);
                    }
                    Err(_) => failed.set(failed.get() + 1),
                }
            }
            io::Result::Ok(())
        }));
        // A world without a descriptor to spare has no listener.
        let _ = done.unwrap().unwrap_or_else(|_| panic!("seed {seed} stalls"));
    }
    assert!(whole.get() > 100 && failed.get() > 10, "{} {}", whole.get(), failed.get());
}
