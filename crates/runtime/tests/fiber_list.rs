//! What `fiber::list` tells of fibers, wherever they stand.

mod common;

use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{REAL, small};
use tautline_runtime::fiber::{self, Band, Builder, Info, JoinHandle, Stack, State};
use tautline_runtime::{Config, Descriptor, Runtime};

/// The fiber of that name.
fn info(name: &str) -> Info {
    let listed = fiber::list().unwrap();
    listed.iter().find(|info| info.name == name).unwrap_or_else(|| panic!("{listed:?}")).clone()
}

fn named(name: &str) -> Builder {
    Builder::new(Stack::Small).name(name.to_owned())
}

/// Uses over 10,000 bytes of its stack.
#[inline(never)]
fn go_deep() -> usize {
    black_box([1u8; 10_000]).iter().map(|&byte| usize::from(byte)).sum()
}

fn measured() -> Config {
    let mut config = Config { measure_stacks: true, ..small() };
    config.stacks.small.count = 4;
    config
}

/// A fiber is listed from its spawn to its join, in each state by that: new, awaiting a stack,
/// ready, running, waiting and over.
#[test]
fn a_fiber_is_listed_in_each_state() {
    let runtime = Runtime::new(measured()).unwrap();
    let asks = named("asks").band(Band::High).spawn(|| {
        let ready = named("ready").spawn(|| fiber::sleep(Duration::from_secs(9))).unwrap();
        let new = info("ready");
        assert_eq!((new.state, new.used, new.waits_in), (State::New, None, None));
        fiber::sleep(Duration::from_millis(1)).unwrap();
        assert_eq!((info("ready").state, info("ready").waits_in), (State::Parked, Some("sleep")));
        ready.cancel();
        assert_eq!((info("ready").state, info("ready").cancelled), (State::Ready, true));
        let me = info("asks");
        assert_eq!((me.state, me.band, me.stack), (State::Running, Band::High, Stack::Small));
        assert!(me.used.is_some_and(|used| used > 0) && me.waits_in.is_none() && !me.cancelled);
        assert!(me.to_string().ends_with("bytes used): running"), "{me}");
        drop(ready.join());
    });
    runtime.block_on(asks.unwrap()).unwrap().unwrap();
    assert!(fiber::list().unwrap().is_empty());
}

/// The fifth fiber of four stacks awaits one, and is told so.
#[test]
fn a_fiber_without_a_stack_is_listed() {
    let runtime = Runtime::new(measured()).unwrap();
    let others: Vec<JoinHandle<_>> =
        (0..4).map(|_| named("other").spawn(fiber::park).unwrap()).collect();
    let late = named("late").spawn(go_deep).unwrap();
    runtime.poll().unwrap();
    assert_eq!((info("late").state, info("late").used), (State::AwaitingStack, None));
    assert!(info("late").to_string().ends_with("late (small stack): awaits a stack"));
    others[0].cancel();
    runtime.poll().unwrap();
    assert!(late.is_finished());
}

/// What a fiber has used of its stack stays until it is joined; one that never began has used
/// nothing, and a place that is taken anew tells nothing of the one before.
#[test]
fn the_mark_of_a_fiber_outlives_it() {
    let runtime = Runtime::new(measured()).unwrap();
    let deep = named("deep").spawn(go_deep).unwrap();
    let shallow = named("shallow").spawn(|| ()).unwrap();
    runtime.poll().unwrap();
    assert_eq!((info("deep").state, info("shallow").state), (State::Over, State::Over));
    let used = |name| info(name).used.unwrap();
    assert!((10_000..24_000).contains(&used("deep")), "{}", used("deep"));
    assert!(used("shallow") < 9_000, "{}", used("shallow"));
    assert!(info("deep").to_string().ends_with("bytes used): over"), "{}", info("deep"));
    runtime.block_on(deep).unwrap().unwrap();
    let unbegun = named("unbegun").spawn(go_deep).unwrap();
    unbegun.cancel();
    runtime.poll().unwrap();
    let unbegun = info("unbegun");
    assert_eq!((unbegun.state, unbegun.used, unbegun.cancelled), (State::Over, None, true));
    drop(shallow);
    assert_eq!(fiber::list().unwrap().len(), 1);
}

/// Where stacks are not measured, a fiber that is over tells no mark: there is none of its own.
#[test]
fn an_unmeasured_mark_is_not_told() {
    let runtime = Runtime::new(small()).unwrap();
    let _over = named("over").spawn(go_deep).unwrap();
    runtime.poll().unwrap();
    assert_eq!((info("over").state, info("over").used), (State::Over, None));
}

/// A fiber that waits for a descriptor tells its number, as long as it waits, on each driver.
#[test]
fn the_number_of_a_descriptor_is_told() {
    for driver in REAL {
        let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let number = near.as_raw_fd();
        let near = Descriptor::new(near.into()).unwrap();
        let reads = named("reads").band(Band::Low).spawn(move || {
            near.blocking().read(&mut [0; 8]).unwrap();
            fiber::park()
        });
        let reads = reads.unwrap();
        runtime.poll().unwrap();
        let waits = info("reads");
        assert_eq!((waits.waits_in, waits.descriptor), (Some("read"), Some(number)));
        assert_eq!((waits.state, waits.band), (State::Parked, Band::Low));
        assert!(waits.to_string().ends_with(&format!("waits in read on descriptor {number}")));
        std::io::Write::write_all(&mut &far, b"on").unwrap();
        runtime.run_until(|| info("reads").waits_in == Some("park")).unwrap();
        assert_eq!(info("reads").descriptor, None);
        reads.cancel();
        assert!(info("reads").to_string().ends_with("ready, cancelled"), "{}", info("reads"));
    }
}
