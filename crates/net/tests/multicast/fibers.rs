//! The peer for fibers.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use tautline_net::To;
use tautline_net::fiber::multicast::{Error, Options, Peer};
use tautline_runtime::fiber::{Stack, sleep, spawn};

use crate::support::{LO, everywhere_and_simulated, group, refusal, region};

/// Runs `test` as a fiber on each driver.
fn run(test: fn() -> io::Result<()>) {
    everywhere_and_simulated(async || {
        let done = spawn(Stack::Medium, test)?;
        done.await.unwrap_or_else(|error| panic!("{error}"))
    });
}

fn peer() -> io::Result<(Peer, std::net::SocketAddr)> {
    let peer = Peer::bind_with(&Options::default().interface(LO), "0.0.0.0:0")?;
    let group = group();
    peer.join_on(group, LO)?;
    let to = (group, peer.local_addr()?.port()).into();
    Ok((peer, to))
}

/// A fiber that waits gets the datagram in the buffer that another names meanwhile.
#[test]
fn a_waiting_fiber_reads_into_the_buffer_named_last() {
    run(|| {
        let (peer, to) = peer()?;
        let (peer, region) = (Rc::new(peer), region(4, 64));
        let (last, reader) = (Rc::new(Cell::new(std::ptr::null())), peer.clone());
        let expected = last.clone();
        let reading = spawn(Stack::Small, move || {
            (0..100u8).try_for_each(|n| {
                let received = reader.receive()?;
                assert_eq!((&received[..], received.as_ptr()), (&[n; 3][..], expected.get()));
                io::Result::Ok(())
            })
        })?;
        let mut borrower = region.borrower().unwrap();
        for n in 0..100 {
            for time in 0..2 {
                let draft = borrower.try_loan().unwrap();
                last.set(draft.as_ptr());
                assert_eq!(peer.set_read_buffer(draft).is_some(), time > 0);
                sleep(Duration::from_micros(20)).unwrap();
            }
            peer.send_to(&[n; 3], to)?;
            while peer.read_buffers().take().map(|draft| peer.set_read_buffer(draft)).is_some() {
                sleep(Duration::from_micros(20)).unwrap();
            }
        }
        reading.join().unwrap()
    });
}

/// Batches, single datagrams and buffers of a region come in order; each call gives up in time and
/// loses nothing by it; without a buffer there is an error by name.
#[test]
fn fibers_read_in_every_way() {
    run(|| {
        let (peer, to) = peer()?;
        let region = region(1, 64);
        peer.set_read_timeout(Some(Duration::from_millis(2)))?;
        let late = [
            peer.receive().map(drop),
            peer.receive_from(&mut [0; 8]).map(drop),
            peer.receive_batch(&mut peer.batch(4, 64)).map(drop),
        ];
        assert!(late.into_iter().all(|late| late.unwrap_err().kind() == ErrorKind::TimedOut));
        let mut batch = peer.batch(4, 64);
        for n in 0..4 {
            batch.push(&[n], None)?;
        }
        peer.send_batch(&mut batch, To::All(&to.into()))?;
        peer.readable()?;
        assert_eq!(refusal(peer.receive()), Error::Exhausted);
        peer.read_from(region.borrower().unwrap());
        let received = peer.receive()?;
        assert_eq!((&received[..], received.destination), (&[0][..], Some(to.ip())));
        assert_eq!(refusal(peer.receive()), Error::Exhausted);
        let mut buf = [9; 4];
        assert_eq!((peer.receive_from(&mut buf)?.len, buf[0]), (1, 1));
        let mut all = Vec::new();
        while all.len() < 2 {
            peer.receive_batch(&mut batch)?;
            all.extend(batch.iter().map(|packet| packet.bytes.to_vec()));
        }
        assert_eq!(all, [[2], [3]]);
        peer.leave(to.ip())?;
        assert!(peer.memberships().is_empty());
        Ok(())
    });
}
