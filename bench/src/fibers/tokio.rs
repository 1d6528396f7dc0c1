//! tokio's tasks on its current-thread runtime, without drivers: no system call is made.

use std::{
    future::{Future, poll_fn},
    hint::black_box,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use tokio::{runtime::Builder, sync::Notify, task::yield_now};

use super::{FEWER_LIVES as LIVES, FEWER_TURNS as TURNS, Measured, WARM_UP, in_turn, same};
use crate::harness::{
    Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Two tasks that yield the documented way: what was woken before goes first, and the driver.
pub(super) fn switch() -> Measured {
    run(switch_with(yield_now))
}

/// Two tasks that wake themselves, which puts them into the run queue at once.
pub(super) fn switch_by_waking() -> Measured {
    run(switch_with(wake_and_yield))
}

fn run(main: impl Future<Output = Measured> + Send + 'static) -> Measured {
    pin(UNDER_TEST)?;
    let runtime = Builder::new_current_thread().build()?;
    // Spawned, so that it is a task as the others are.
    runtime.block_on(async { tokio::spawn(main).await.map_err(io::Error::from)? })
}

async fn wake_and_yield() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn switch_with<F>(yield_once: fn() -> F) -> Measured
where
    F: Future<Output = ()> + Send + 'static,
{
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let partner = tokio::spawn(async move {
        let mut turns = 0;
        while !is_over.load(Ordering::Relaxed) {
            yield_once().await;
            turns += 1;
        }
        turns
    });
    for _ in 0..WARM_UP {
        yield_once().await;
    }
    let watch = Stopwatch::start();
    for _ in 0..TURNS {
        yield_once().await;
    }
    let cpu = watch.stop();
    over.store(true, Ordering::Relaxed);
    in_turn(TURNS, partner.await.map_err(io::Error::from)?)?;
    Ok(Sample::of_work(cpu, 2 * TURNS as usize))
}

/// One task after another.
pub(super) fn live() -> Measured {
    run(async {
        sum_of(WARM_UP).await?;
        let watch = Stopwatch::start();
        let sum = sum_of(LIVES).await?;
        let cpu = watch.stop();
        same(LIVES * (LIVES - 1) / 2, sum)?;
        Ok(Sample::of_work(cpu, LIVES as usize))
    })
}

async fn sum_of(lives: u64) -> io::Result<u64> {
    let mut sum = 0;
    for number in 0..lives {
        let number = black_box(number);
        sum += tokio::spawn(async move { number }).await?;
    }
    Ok(sum)
}

/// Two tasks and two notifies.
pub(super) fn hand_over() -> Measured {
    run(async {
        let notifies = Arc::new([Notify::new(), Notify::new()]);
        let shared = Arc::clone(&notifies);
        let partner = tokio::spawn(async move {
            let [mine, theirs] = &*shared;
            for _ in 0..WARM_UP + TURNS {
                mine.notified().await;
                theirs.notify_one();
            }
        });
        let [theirs, mine] = &*notifies;
        let rounds = async |count| {
            for _ in 0..count {
                theirs.notify_one();
                mine.notified().await;
            }
        };
        rounds(WARM_UP).await;
        let watch = Stopwatch::start();
        rounds(TURNS).await;
        let cpu = watch.stop();
        partner.await.map_err(io::Error::from)?;
        Ok(Sample::of_work(cpu, 2 * TURNS as usize))
    })
}
