//! Nothing allocates once it runs: each object, in both scopes, counted by the allocator.

use std::task::{Context, Waker};

use allocation_counter::measure;
use tautline_bus::broadcast::lossy::{self, Lossy};
use tautline_bus::broadcast::{self, Broadcast, Shows, Start};
use tautline_bus::bytes::{self, Bytes};
use tautline_bus::channel::{self, Channel, Order};
use tautline_bus::pool::{self, Buffer, Keeps, Pool};
use tautline_bus::signal::{self, Signal};
use tautline_bus::{Carries, InProcess, Local, Private};

/// Runs `work` once to warm up, and then says how often it allocates.
#[track_caller]
fn allocates_nothing(mut work: impl FnMut()) {
    work();
    let counted = measure(|| (0..100).for_each(|_| work()));
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

fn channels<S: Carries<u64> + InProcess>() {
    let one = channel::Config { capacity: 8, ..channel::Config::default() };
    let total = channel::Config { senders: 2, order: Order::Total, ..one };
    for config in [one, channel::Config { senders: 3, ..one }, total] {
        let channel = Channel::<u64, S>::new(config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        allocates_nothing(|| {
            sender.send(1).unwrap();
            sender.loan().unwrap().send(2);
            assert_eq!(sender.send_batch([3, 4]), 2);
            assert_eq!(*receiver.take().unwrap(), 1);
            assert_eq!(receiver.receive(), Ok(2));
            assert_eq!(receiver.drain(8).sum::<u64>(), 7);
            assert!(receiver.poll_receive(&mut context()).is_pending());
        });
    }
}

/// Channels, of lanes and of one ring.
#[test]
fn channels_do_not_allocate() {
    channels::<Private>();
    channels::<Local>();
}

fn broadcasts<S: Shows<u64> + InProcess>() {
    let config = broadcast::Config { capacity: 8, ..broadcast::Config::default() };
    let broadcast = Broadcast::<u64, S>::new(config).unwrap();
    let mut publisher = broadcast.publisher().unwrap();
    let mut readers = [(); 2].map(|()| broadcast.subscriber_from(Start::Oldest, None).unwrap());
    allocates_nothing(|| {
        publisher.send(1).unwrap();
        publisher.loan().unwrap().send(2);
        assert_eq!(publisher.send_batch([3, 4]), 2);
        for reader in &mut readers {
            assert_eq!(*reader.take().unwrap(), 1);
            assert_eq!(reader.receive(), Ok(2));
            assert_eq!(reader.drain(8).iter().sum::<u64>(), 7);
            assert!(reader.poll_receive(&mut context()).is_pending());
        }
    });

    let config = lossy::Config { capacity: 2, ..lossy::Config::default() };
    let broadcast = Lossy::<u64, S>::new(config).unwrap();
    let mut publisher = broadcast.publisher().unwrap();
    let mut reader = broadcast.subscriber().unwrap();
    allocates_nothing(|| {
        assert_eq!(publisher.send_batch([1, 2, 3]), 3);
        assert!(reader.receive().is_err()); // it has missed one
        assert_eq!(reader.receive(), Ok(2));
        assert_eq!(reader.drain(8).count(), 1);
        assert!(reader.poll_receive(&mut context()).is_pending());
    });
}

/// Broadcasts of both kinds.
#[test]
fn broadcasts_do_not_allocate() {
    broadcasts::<Private>();
    broadcasts::<Local>();
}

fn bytes<S: InProcess>() {
    let config = bytes::Config { capacity: 4096, senders: 2, ..bytes::Config::default() };
    let channel = Bytes::<S>::new(config).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    allocates_nothing(|| {
        sender.send(b"one").unwrap();
        sender.reserve(900).unwrap().commit(800);
        assert_eq!(sender.send_batch(&["two", "three"]), 2);
        assert_eq!(&*receiver.take().unwrap(), b"one");
        assert_eq!(receiver.receive().unwrap().len(), 800);
        assert_eq!(receiver.drain(8).iter().count(), 2);
        assert!(receiver.poll_wait(&mut context()).is_pending());
    });
}

/// Byte channels.
#[test]
fn byte_channels_do_not_allocate() {
    bytes::<Private>();
    bytes::<Local>();
}

fn pools<S: InProcess + Keeps<[u8]> + Carries<Buffer<[u8], S>>>() {
    let config = pool::Config { buffers: 2, ..pool::Config::default() };
    let mut borrower = Pool::<[u8], S>::of_bytes(64, config).unwrap().borrower().unwrap();
    let channel = Channel::<Buffer<[u8], S>, S>::new(channel::Config::default()).unwrap();
    let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
    allocates_nothing(|| {
        for n in 0..2 {
            let mut draft = borrower.loan().unwrap();
            draft.fill(n);
            sender.send(draft.freeze_to(10)).unwrap();
        }
        assert!(borrower.try_loan().is_err());
        assert!(borrower.poll_loan(&mut context()).is_pending());
        assert_eq!(*receiver.receive().unwrap(), [0; 10]);
        assert_eq!(**receiver.take().unwrap(), [1; 10]);
        drop(borrower.loan().unwrap());
    });
}

/// Pools, and channels that carry their messages.
#[test]
fn pools_do_not_allocate() {
    pools::<Private>();
    pools::<Local>();
}

fn signals<S: InProcess>() {
    let signal = Signal::<S>::new(signal::Config::default()).unwrap();
    let (raiser, mut waiter) = (signal.raiser().unwrap(), signal.waiter().unwrap());
    allocates_nothing(|| {
        raiser.raise(3);
        waiter.wait().unwrap();
        waiter.try_take().unwrap();
        assert_eq!(waiter.take_all(), 1);
        assert!(waiter.poll_take(&mut context()).is_pending());
    });
}

/// Signals.
#[test]
fn signals_do_not_allocate() {
    signals::<Private>();
    signals::<Local>();
}
