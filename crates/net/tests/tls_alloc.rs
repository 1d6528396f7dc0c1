//! What TLS allocates in steady state: the library one vector for each record on either side, we
//! nothing.

mod common;
mod tls_support;

use std::cell::Cell;
use std::rc::Rc;

use allocation_counter::measure;
use common::{block, small, until};
use tautline_net::tls::{Outgoing, Session, State};
use tautline_runtime::{Config, DriverChoice, Runtime, WaitMode};
use tls_support::{authority, pair};

/// Records of one measurement.
const RECORDS: u64 = 1000;

/// Carries what leaves one session to the other until nothing does.
fn settle(ends: [&mut Box<dyn Session>; 2]) {
    let [client, server] = ends;
    let (mut up, mut down) = (Outgoing::default(), Outgoing::default());
    client.receive(&mut [], &mut [], &mut up);
    for _ in 0..20 {
        if up.is_empty() && down.is_empty() {
            return;
        }
        let mut bytes = up.bytes().to_vec();
        up.clear();
        assert!(server.receive(&mut bytes, &mut [0; 64], &mut down).failure.is_none());
        let mut bytes = down.bytes().to_vec();
        down.clear();
        assert!(client.receive(&mut bytes, &mut [0; 64], &mut up).failure.is_none());
    }
    panic!("two sessions that never settle");
}

/// The library allocates one vector for each record that it makes, and one for each that it takes
/// in. The day it does less, the book is to be changed.
#[test]
fn the_library_allocates_one_vector_a_record() {
    let authority = authority("one");
    let mut client = authority.client().build().unwrap().session("localhost").unwrap();
    let mut server = authority.server().build().unwrap().session().unwrap();
    settle([&mut client, &mut server]);
    assert_eq!((client.state(), server.state()), (State::Open, State::Open));
    let mut out = Outgoing::with_capacity(1 << 15);
    let (mut cipher, mut plain) = (vec![0; 1 << 15], vec![0; 1 << 15]);
    let (mut sent, mut received) = (0, 0);
    for round in 0..=RECORDS {
        let counted = measure(|| {
            client.send(&mut [], &[7; 1000], &mut out).unwrap();
        });
        // The first one warms up.
        sent += if round == 0 { 0 } else { counted.count_total };
        let len = out.bytes().len();
        cipher[..len].copy_from_slice(out.bytes());
        out.clear();
        let counted = measure(|| {
            let done = server.receive(&mut cipher[..len], &mut plain, &mut out);
            assert_eq!((done.taken, done.given), (len, 1000));
        });
        received += if round == 0 { 0 } else { counted.count_total };
    }
    assert_eq!((sent, received), (RECORDS, RECORDS));
}

/// Between sockets and handlers nothing more is allocated: an echo is four records, and costs
/// four allocations.
#[test]
fn an_echo_allocates_what_the_library_does_and_nothing_else() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let config = Config { driver, wait: WaitMode::Spin, ..small() };
        let runtime = Runtime::new(config).unwrap();
        let (near, far) = block(&runtime, async { Ok(pair().await) });
        let _far = far.on_data(|stream, bytes| stream.write(bytes)).unwrap();
        let (left, counted) = (Rc::new(Cell::new(RECORDS)), Rc::new(Cell::new(0)));
        let mine = left.clone();
        let near = near
            .on_data(move |stream, bytes| {
                let now = mine.get().saturating_sub(1);
                mine.set(now);
                if now > 0 { stream.write(bytes).map(drop) } else { Ok(()) }
            })
            .unwrap();
        for warm in [true, false] {
            left.set(RECORDS);
            let info = measure(|| {
                near.write(&[7; 1000]).unwrap();
                until(&runtime, || left.get() == 0);
            });
            if !warm {
                counted.set(info.count_total);
            }
        }
        // The alarm of `until` and what it shares are a handful.
        let most = 4 * RECORDS + 16;
        assert!((4 * RECORDS..most).contains(&counted.get()), "{} allocations", counted.get());
    }
}

/// What an idle connection costs in memory is stated in the book: this holds it to that.
#[test]
fn an_idle_connection_costs_what_the_book_says() {
    const PAIRS: usize = 50;
    let runtime = Runtime::new(small()).unwrap();
    let authority = authority("one");
    let connector = authority.client().remember_sessions(0).build().unwrap();
    let acceptor = authority.server().build().unwrap();
    block(&runtime, async {
        let meet = async || tls_support::meet(&connector, &acceptor, "localhost").await;
        let _warm = (meet().await, meet().await);
        let mut held = Vec::with_capacity(PAIRS);
        let mut bytes = 0;
        for _ in 0..PAIRS {
            held.push(meet().await);
        }
        let freed = measure(|| held.clear());
        bytes -= freed.bytes_current;
        let each = bytes / (2 * PAIRS as i64);
        eprintln!("an idle connection: {each} bytes");
        assert!((1 << 10..8 << 10).contains(&each), "{each} bytes a connection");
        Ok(())
    });
}
