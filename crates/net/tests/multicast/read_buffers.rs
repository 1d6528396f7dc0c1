//! Buffers that are named, or taken from a region, and belong to whoever gets the datagram.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use futures::FutureExt;
use tautline_net::Conn;
use tautline_net::multicast::{Error, Peer, ReadEvent, Received};
use tautline_runtime::{Config, DriverChoice, Runtime, task, timer};

use crate::common::{run, small, until};
use crate::support::{
    SOON, everywhere_and_simulated, joined, on_every_driver, refusal, region, sender,
};

/// A read that waits lands in the buffer named last; those named before come back.
#[test]
fn a_waiting_read_lands_in_the_buffer_named_last() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(8, 64));
        let (sender, mut borrower) = (sender("127.0.0.1"), region.borrower().unwrap());
        for n in 0..50 {
            let mut read = Box::pin(peer.receive());
            assert!(futures::poll!(&mut read).is_pending());
            let drafts: Vec<_> = (0..3).map(|_| borrower.try_loan().unwrap()).collect();
            let places: Vec<_> = drafts.iter().map(|draft| draft.as_ptr()).collect();
            let before: Vec<_> = drafts
                .into_iter()
                .map(|draft| peer.set_read_buffer(draft).map(|before| before.as_ptr()))
                .collect();
            assert_eq!(before, [None, Some(places[0]), Some(places[1])]);
            sender.try_send_to(&[n; 9], to)?;
            let received = read.await?;
            assert_eq!((&received[..], received.as_ptr()), (&[n; 9][..], places[2]));
            assert!(peer.read_buffers().take().is_none());
        }
        assert_eq!(region.available(), 8);
        Ok(())
    });
}

/// Without a buffer a datagram that is there is an error by name, and stays there until one is
/// named; one that is not there is waited for.
#[test]
fn a_read_without_a_buffer_is_refused_and_loses_nothing() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(1, 64));
        let sender = sender("127.0.0.1");
        assert!(peer.receive().now_or_never().is_none());
        sender.try_send_to(b"first", to)?;
        assert_eq!(refusal(peer.receive().await), Error::Exhausted);
        assert_eq!(refusal(peer.try_receive()), Error::Exhausted);
        peer.read_from(region.borrower().unwrap());
        let held = peer.receive().await?;
        assert_eq!(&held[..], b"first");
        sender.try_send_to(b"second", to)?;
        timer::sleep(SOON).await?;
        assert_eq!(refusal(peer.receive().await), Error::Exhausted);
        drop(held);
        peer.read_buffers().available().await;
        assert_eq!(&peer.try_receive()?[..], b"second");
        let nothing = peer.try_receive().unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        Ok(())
    });
}

/// Who waits for a buffer hears of one that is named and of one that another thread gives back.
#[test]
fn waiting_for_a_buffer_ends_when_there_is_one() {
    run(async || {
        let ((peer, _), region) = (joined(), region(2, 64));
        let (buffers, mut borrower) = (peer.read_buffers(), region.borrower().unwrap());
        let waits = || {
            let buffers = buffers.clone();
            task::spawn(async move { buffers.available().await }).unwrap()
        };
        let waiting = [waits(), waits()];
        task::yield_now().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        let [one, two] = [0, 1].map(|_| borrower.try_loan().unwrap());
        peer.set_read_buffer(one);
        for task in waiting {
            task.await.unwrap();
        }
        drop(buffers.take());
        peer.read_from(region.borrower().unwrap());
        let other = borrower.try_loan().unwrap();
        let waiting = waits();
        task::yield_now().await;
        assert!(!waiting.is_finished());
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            drop(two);
        });
        waiting.await.unwrap();
        thread.join().unwrap();
        drop(other);
        Ok(())
    });
}

/// Of a region, many datagrams are received in one call and handed out in order, each in a buffer
/// of its own; a read that is dropped loses none of them.
#[test]
fn dropped_reads_lose_nothing() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(64, 64));
        peer.read_from(region.borrower().unwrap());
        let sender = sender("127.0.0.1");
        for round in 0..20u32 {
            let mut read = Box::pin(peer.receive());
            assert!(futures::poll!(&mut read).is_pending());
            for n in 0..40u32 {
                sender.try_send_to(&(40 * round + n).to_be_bytes(), to)?;
            }
            timer::sleep(Duration::from_micros(100)).await?;
            drop(read);
            let mut held = Vec::new();
            for n in 0..40u32 {
                if n % 3 == 0 {
                    held.extend(Box::pin(peer.receive()).now_or_never());
                }
                while held.len() <= n as usize {
                    held.push(peer.receive().await);
                }
            }
            let held: Vec<Received> = held.into_iter().collect::<io::Result<_>>()?;
            let numbers = held.iter().map(|received| received[..].try_into().unwrap());
            assert!(numbers.map(u32::from_be_bytes).eq(40 * round..40 * round + 40));
            let mut places: Vec<_> = held.iter().map(|received| received.as_ptr()).collect();
            places.sort_unstable();
            places.dedup();
            assert_eq!(places.len(), 40);
        }
        assert!(region.available() >= 64 - 32, "{}", region.available());
        Ok(())
    });
}

/// What has landed before a buffer was named comes first, then the named one; and a region that is
/// taken away still hands out what has landed in it.
#[test]
fn what_has_landed_comes_first() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(64, 64));
        let mut borrower = region.borrower().unwrap();
        peer.read_from(region.borrower().unwrap());
        let sender = sender("127.0.0.1");
        // So that the peer has learned to take several at once.
        for _ in 0..2 {
            for n in 0..32 {
                sender.try_send_to(&[n], to)?;
            }
            timer::sleep(SOON).await?;
            for n in 0..32 {
                assert_eq!(peer.receive().await?[..], [n]);
            }
        }
        for n in 0..3 {
            sender.try_send_to(&[n], to)?;
        }
        timer::sleep(SOON).await?;
        assert_eq!(peer.receive().await?[..], [0]);
        let draft = borrower.try_loan().unwrap();
        let place = draft.as_ptr();
        peer.set_read_buffer(draft);
        assert!(peer.read_from(None).is_some());
        sender.try_send_to(&[3], to)?;
        for n in 1..3 {
            let received = peer.receive().await?;
            assert_eq!(received[..], [n]);
            assert_ne!(received.as_ptr(), place);
        }
        let received = peer.receive().await?;
        assert_eq!((&received[..], received.as_ptr()), (&[3][..], place));
        Ok(())
    });
}

/// Several peers share a region, whose buffers go to another thread and come back; a peer that
/// is idle keeps one of them at most, however many it had use for before.
#[test]
fn peers_share_a_region_with_another_thread() {
    run(async || {
        let region = region(64, 64);
        let peers: Vec<_> = (0..4).map(|_| joined()).collect();
        let (give, take) = mpsc::channel::<Received>();
        let reader = std::thread::spawn(move || {
            let sum = |sum, received: Received| sum + u64::from(received[0]);
            take.into_iter().fold(0, sum)
        });
        for (peer, _) in &peers {
            peer.read_from(region.borrower().unwrap());
        }
        let (sender, mut sent) = (sender("127.0.0.1"), 0);
        for _ in 0..100 {
            for (peer, to) in &peers {
                for n in 0..50 {
                    sender.try_send_to(&[n], *to)?;
                    sent += u64::from(n);
                }
                for _ in 0..50 {
                    peer.read_buffers().available().await;
                    give.send(peer.receive().await?).unwrap();
                }
            }
        }
        for (peer, _) in &peers {
            assert!(timer::timeout(Duration::from_millis(1), peer.receive()).await.is_err());
        }
        drop(give);
        assert_eq!(reader.join().unwrap(), sent);
        assert!(region.available() >= 64 - peers.len(), "{}", region.available());
        drop(peers);
        task::yield_now().await;
        assert_eq!((region.available(), region.users()), (64, 0));
        Ok(())
    });
}

/// A peer that nobody reads from any more keeps what has landed, and one buffer beside: those that it
/// has taken out of the region and had no use for are there for others.
#[test]
fn what_a_receive_had_no_use_for_goes_back_at_once() {
    everywhere_and_simulated(async || {
        let ((peer, to), region) = (joined(), region(64, 64));
        peer.read_from(region.borrower().unwrap());
        let sender = sender("127.0.0.1");
        // By the 31 it has learned to take 32 at once: it has had 1, 2, 4, 8 and 16.
        for count in [31, 3] {
            for n in 0..count {
                sender.try_send_to(&[n], to)?;
            }
            timer::sleep(SOON).await?;
            let (mut received, most) = (Vec::new(), if count == 3 { 1 } else { count });
            for n in 0..most {
                received.push(if n % 2 == 0 { peer.receive().await? } else { peer.try_receive()? });
            }
            // Here the user stops, with two datagrams that wait.
            if count == 3 {
                assert!(region.available() >= 64 - 4, "{} are left", region.available());
            }
        }
        for n in 1..3 {
            assert_eq!(peer.receive().await?[..], [n]);
        }
        Ok(())
    });
}

/// The same for a handler that pauses its peer.
#[test]
fn a_pause_gives_back_what_a_receive_had_no_use_for() {
    on_every_driver(|runtime| {
        let ((peer, to), region) = (joined(), region(64, 64));
        peer.read_from(region.borrower().unwrap());
        let seen = Rc::new(Cell::new(0));
        let count = seen.clone();
        let take = move |conn: &Conn, event| {
            let ReadEvent::Datagram(received) = event else { panic!("there are buffers") };
            count.set(count.get() + 1);
            if received[..] == *b"pause" {
                conn.pause();
            }
        };
        let conn = peer.on_received(take).unwrap();
        let sender = sender("127.0.0.1");
        for n in 0..31 {
            sender.try_send_to(&[n], to).unwrap();
        }
        until(runtime, || seen.get() == 31);
        sender.try_send_to(b"pause", to).unwrap();
        sender.try_send_to(b"waits", to).unwrap();
        until(runtime, || seen.get() == 32);
        runtime.run_for(SOON).unwrap();
        assert_eq!(seen.get(), 32);
        assert!(region.available() >= 64 - 2, "{} are left", region.available());
        conn.resume().unwrap();
        until(runtime, || seen.get() == 33);
    });
}

type Kept = Rc<RefCell<Vec<Received>>>;

/// A handler that keeps what it gets, and counts how often it was told that there is no buffer.
fn keep(peer: Peer) -> (Conn, Kept, Rc<Cell<usize>>) {
    let (kept, exhausted) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (keep, count) = (kept.clone(), exhausted.clone());
    let conn = peer.on_received(move |_, event| match event {
        ReadEvent::Datagram(received) => keep.borrow_mut().push(received),
        ReadEvent::Exhausted => count.set(count.get() + 1),
    });
    (conn.unwrap(), kept, exhausted)
}

/// A region that is exhausted is told once, by name; reading goes on when a buffer comes back, and
/// what has waited in the kernel meanwhile comes in order.
#[test]
fn an_exhausted_region_is_told_and_got_over() {
    on_every_driver(|runtime| {
        let ((peer, to), region) = (joined(), region(8, 64));
        peer.read_from(region.borrower().unwrap());
        let (conn, kept, exhausted) = keep(peer);
        let sender = sender("127.0.0.1");
        let mut next = 0..40u8;
        for n in 0..40 {
            sender.try_send_to(&[n], to).unwrap();
        }
        for round in 1..=5 {
            until(runtime, || kept.borrow().len() == 8);
            runtime.run_for(Duration::from_millis(1)).unwrap();
            assert_eq!((kept.borrow().len(), region.available()), (8, 0));
            assert_eq!(exhausted.get(), round);
            for received in kept.take() {
                assert_eq!(received[..], [next.next().unwrap()]);
            }
        }
        runtime.run_for(Duration::from_millis(1)).unwrap();
        assert!(next.next().is_none() && kept.borrow().is_empty());
        conn.close();
        runtime.run_for(Duration::from_millis(1)).unwrap();
        assert_eq!((region.available(), region.users()), (8, 0));
    });
}

/// A handler that waits for the region goes on, though somebody began to wait for a buffer after it
/// and gave up.
#[test]
fn who_gives_up_waiting_leaves_the_next_buffer_to_the_others() {
    run(async || {
        let ((peer, to), region) = (joined(), region(1, 64));
        peer.read_from(region.borrower().unwrap());
        let buffers = peer.read_buffers();
        let (conn, kept, exhausted) = keep(peer);
        let sender = sender("127.0.0.1");
        for n in 0..3 {
            sender.try_send_to(&[n], to)?;
        }
        for n in 0..3 {
            timer::sleep(SOON).await?;
            assert_eq!((kept.borrow().len(), exhausted.get()), (1, usize::from(n) + 1));
            assert!(buffers.available().now_or_never().is_none());
            assert_eq!(kept.take()[0][..], [n]);
        }
        conn.close();
        Ok(())
    });
}

/// How many more tasks this runtime has room for.
fn free_tasks(runtime: &Runtime) -> usize {
    let spawned: Vec<_> =
        (0..100).map_while(|_| task::spawn(std::future::pending::<()>()).ok()).collect();
    spawned.iter().for_each(|task| task.abort());
    runtime.run_for(Duration::from_millis(1)).unwrap();
    spawned.len()
}

/// One task at a time waits for the region, however often it is exhausted, and none is left when
/// the peer is gone.
#[test]
fn a_peer_that_is_gone_leaves_no_task_behind() {
    for driver in [DriverChoice::Uring, DriverChoice::Readiness] {
        let runtime = Runtime::new(Config { driver, tasks: 4, ..small() }).unwrap();
        assert_eq!(free_tasks(&runtime), 4);
        for _ in 0..3 {
            let ((peer, to), region) = (joined(), region(1, 64));
            peer.read_from(region.borrower().unwrap());
            let (conn, kept, exhausted) = keep(peer);
            let sender = sender("127.0.0.1");
            for n in 0..5 {
                sender.try_send_to(&[n], to).unwrap();
                until(&runtime, || exhausted.get() == usize::from(n) + 1);
                assert_eq!(free_tasks(&runtime), 3);
                if n < 4 {
                    kept.borrow_mut().clear();
                }
            }
            conn.close();
            assert_eq!(free_tasks(&runtime), 4);
        }
    }
}

/// A handler that names its buffers one by one gets each datagram in the one it named last, and
/// goes on when one is named from elsewhere.
#[test]
fn a_handler_names_the_next_buffer() {
    on_every_driver(|runtime| {
        let ((peer, to), region) = (joined(), region(4, 64));
        let (mut borrower, buffers) = (region.borrower().unwrap(), peer.read_buffers());
        let last = Rc::new(Cell::new(std::ptr::null()));
        let (named, outside) = (last.clone(), buffers.clone());
        let mut name = move || {
            let draft = borrower.try_loan().unwrap();
            named.set(draft.as_ptr());
            buffers.set(draft)
        };
        assert!(name().is_none());
        assert!(name().is_some());
        let (seen, starved) = (Rc::new(Cell::new(0u32)), Rc::new(Cell::new(0)));
        let (count, told, expected) = (seen.clone(), starved.clone(), last.clone());
        peer.on_received(move |_, event| {
            let ReadEvent::Datagram(received) = event else { return told.set(told.get() + 1) };
            assert_eq!(received[..], count.get().to_be_bytes());
            assert_eq!(received.as_ptr(), expected.get());
            count.set(count.get() + 1);
            if count.get() % 10 != 0 {
                assert!(name().is_none());
            }
        })
        .unwrap();
        let sender = sender("127.0.0.1");
        for n in 0..30u32 {
            sender.try_send_to(&n.to_be_bytes(), to).unwrap();
        }
        let mut borrower = region.borrower().unwrap();
        for round in 1..=3 {
            until(runtime, || seen.get() == 10 * round);
            runtime.run_for(Duration::from_millis(1)).unwrap();
            assert_eq!((seen.get(), starved.get()), (10 * round, round));
            let draft = borrower.try_loan().unwrap();
            last.set(draft.as_ptr());
            assert!(outside.set(draft).is_none());
        }
    });
}

/// A pause holds from the next datagram on, also of those that were received together, and is
/// the user's alone to end.
#[test]
fn a_pause_holds_from_the_next_datagram_on() {
    on_every_driver(|runtime| {
        let ((peer, to), region) = (joined(), region(64, 64));
        peer.read_from(region.borrower().unwrap());
        let (seen, buffers) = (Rc::new(Cell::new(0)), peer.read_buffers());
        let count = seen.clone();
        let take = move |conn: &Conn, event| {
            let ReadEvent::Datagram(received) = event else { panic!("there are buffers") };
            assert_eq!(received[..], [count.get()]);
            count.set(count.get() + 1);
            conn.pause();
        };
        let conn = peer.on_received(take).unwrap();
        let sender = sender("127.0.0.1");
        for n in 0..40 {
            sender.try_send_to(&[n], to).unwrap();
        }
        let mut borrower = region.borrower().unwrap();
        for n in 1..=40 {
            until(runtime, || seen.get() >= n);
            buffers.set(borrower.try_loan().unwrap());
            runtime.run_for(Duration::from_micros(200)).unwrap();
            assert_eq!(seen.get(), n);
            drop(buffers.take());
            conn.resume().unwrap();
        }
        runtime.run_for(SOON).unwrap();
        assert_eq!(seen.get(), 40);
    });
}
