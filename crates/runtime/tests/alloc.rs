//! In steady state nothing allocates: echo round trips, timer firings and posts, on the
//! callback and the async face, on both real drivers.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::counting::{self, Counting};
use common::{REAL, listener, small, tcp};
use tautline_runtime::{Config, Descriptor, Runtime, WaitMode, task, timer};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocations of the whole process while `work` runs. The tests of this file run one
/// after the other in one function, so that none counts another's.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = counting::allocations();
    work();
    counting::allocations() - before
}

const ROUNDS: usize = 100_000;
const WARM_UP: usize = 2_000;

fn config(driver: tautline_runtime::DriverChoice) -> Config {
    Config {
        driver,
        wait: WaitMode::Warm { spin_for: Duration::from_millis(1) },
        // The watcher thread's own work is not the loop's.
        stall: None,
        ..small()
    }
}

/// Handlers on both sides play ping-pong over TCP.
fn callback_echo(runtime: &Runtime) {
    let (server, addr) = listener();
    server.on_accept(|stream| stream.on_data(|s, bytes| s.write(bytes)).map(|_| ())).unwrap();
    let client = tcp();
    runtime.block_on(client.connect(addr)).unwrap().unwrap();
    let rounds = Rc::new(Cell::new(0));
    let count = rounds.clone();
    let client = client
        .on_data(move |stream, bytes| {
            count.set(count.get() + 1);
            stream.write(bytes)
        })
        .unwrap();
    client.write(&[7; 64]).unwrap();
    runtime.run_until(|| rounds.get() >= WARM_UP).unwrap();
    let counted = allocations(|| {
        runtime.run_until(|| rounds.get() >= WARM_UP + ROUNDS).unwrap();
    });
    assert_eq!(counted, 0, "callback echo on {}", runtime.report().driver);
}

/// Tasks on both sides do the same with poll-based calls.
fn async_echo(runtime: &Runtime) {
    async fn serve(stream: Descriptor) {
        let mut buf = [0; 256];
        loop {
            let n = std::future::poll_fn(|cx| stream.poll_read(cx, &mut buf)).await.unwrap();
            if n == 0 {
                return;
            }
            std::future::poll_fn(|cx| stream.poll_write(cx, &buf[..n])).await.unwrap();
        }
    }
    let (a, b) = Descriptor::pair().unwrap();
    let counted = runtime
        .block_on(async move {
            drop(task::spawn(serve(b)));
            let mut buf = [0; 64];
            let mut before = 0;
            for round in 0..WARM_UP + ROUNDS {
                if round == WARM_UP {
                    before = counting::allocations();
                }
                std::future::poll_fn(|cx| a.poll_write(cx, &[9; 64])).await.unwrap();
                let mut got = 0;
                while got < 64 {
                    let rest = &mut buf[got..];
                    got += std::future::poll_fn(|cx| a.poll_read(cx, rest)).await.unwrap();
                }
            }
            counting::allocations() - before
        })
        .unwrap();
    assert_eq!(counted, 0, "async echo on {}", runtime.report().driver);
}

/// Operations that own their buffers go round as well.
fn owned_echo(runtime: &Runtime) {
    let (a, b) = Descriptor::pair().unwrap();
    let counted = runtime
        .block_on(async move {
            drop(task::spawn(async move {
                let mut buf = vec![0; 64];
                loop {
                    let (result, back) = b.read_exact(buf).await;
                    if result.is_err() {
                        return;
                    }
                    let (_, back) = b.write_all(back).await;
                    buf = back;
                }
            }));
            let mut buf = vec![3; 64];
            let mut before = 0;
            for round in 0..WARM_UP + ROUNDS {
                if round == WARM_UP {
                    before = counting::allocations();
                }
                buf = a.write_all(buf).await.1;
                buf = a.read_exact(buf).await.1;
            }
            counting::allocations() - before
        })
        .unwrap();
    assert_eq!(counted, 0, "owned echo on {}", runtime.report().driver);
}

fn timers(runtime: &Runtime) {
    let fired = Rc::new(Cell::new(0));
    let count = fired.clone();
    timer::every(Duration::from_nanos(512), move || count.set(count.get() + 1)).unwrap();
    thread_local!(static CHAIN: Cell<usize> = const { Cell::new(0) });
    fn chain() {
        CHAIN.with(|chain| chain.set(chain.get() + 1));
        timer::after(Duration::from_nanos(1), chain).unwrap();
    }
    chain();
    let enough = |n| move || fired.get() >= n && CHAIN.with(Cell::get) >= n;
    let warm = enough.clone()(WARM_UP);
    runtime.run_until(warm).unwrap();
    let counted = allocations(|| runtime.run_until(enough(WARM_UP + ROUNDS)).unwrap());
    assert_eq!(counted, 0, "timers on {}", runtime.report().driver);
}

fn posts(runtime: &Runtime) {
    thread_local!(static TAKEN: Cell<usize> = const { Cell::new(0) });
    TAKEN.with(|taken| taken.set(0));
    let remote = runtime.remote();
    let counted = allocations(|| {
        for _ in 0..ROUNDS {
            assert!(remote.post(|| TAKEN.with(|taken| taken.set(taken.get() + 1))).is_ok());
            runtime.poll_once().unwrap();
        }
    });
    assert_eq!(TAKEN.with(Cell::get), ROUNDS);
    assert_eq!(counted, 0, "posts on {}", runtime.report().driver);
}

/// 100,000 of each after a warm-up allocate nothing. One test, so that nothing else
/// allocates meanwhile.
#[test]
fn steady_state_allocates_nothing() {
    assert!(allocations(|| drop(std::hint::black_box(vec![1]))) > 0, "the counter counts");
    for driver in REAL {
        for part in [callback_echo, async_echo, owned_echo, timers, posts] {
            let runtime = Runtime::new(config(driver.clone())).unwrap();
            part(&runtime);
        }
    }
}
