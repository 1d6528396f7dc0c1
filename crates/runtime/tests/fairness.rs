//! Nothing that is always ready starves anything else.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::everywhere;
use tautline_runtime::{Descriptor, Runtime, remote, task, timer};

/// Echoes over a pair until `rounds` are done, by handlers alone.
fn ping_pong(rounds: usize) -> Rc<Cell<usize>> {
    let (a, b) = Descriptor::pair().unwrap();
    let done = Rc::new(Cell::new(0));
    let count = done.clone();
    b.on_data(|stream, bytes| stream.write(bytes)).unwrap();
    let a = a
        .on_data(move |stream, bytes| {
            count.set(count.get() + 1);
            if count.get() < rounds { stream.write(bytes) } else { Ok(0) }
        })
        .unwrap();
    a.write(&[1; 8]).unwrap();
    done
}

fn beats() -> Rc<Cell<usize>> {
    let beats = Rc::new(Cell::new(0));
    let count = beats.clone();
    timer::every(Duration::from_micros(50), move || count.set(count.get() + 1)).unwrap();
    beats
}

fn posts() -> Rc<Cell<usize>> {
    thread_local!(static POSTS: Rc<Cell<usize>> = Rc::default());
    let count = POSTS.with(Rc::clone);
    count.set(0);
    let remote = remote().unwrap();
    std::thread::spawn(move || {
        for _ in 0..100 {
            let mut job =
                tautline_runtime::Job::new(|| POSTS.with(|posts| posts.set(posts.get() + 1)));
            while let Err(back) = remote.post_job(job) {
                job = back.into_message();
                std::thread::yield_now();
            }
        }
    });
    count
}

/// Everything makes progress beside what `hog` keeps ready.
fn all_progress(runtime: &Runtime, hog: impl FnOnce()) {
    let (echo, beats, posts) = (ping_pong(200), beats(), posts());
    let yields = Rc::new(Cell::new(0));
    let count = yields.clone();
    drop(task::spawn(async move {
        while count.get() < 200 {
            count.set(count.get() + 1);
            task::yield_now().await;
        }
    }));
    hog();
    let all =
        || echo.get() >= 200 && beats.get() >= 20 && posts.get() == 100 && yields.get() >= 200;
    let mut turns = 0u64;
    runtime
        .run_until(|| {
            turns += 1;
            assert!(
                turns < 50_000_000,
                "starved: {} {} {} {}",
                echo.get(),
                beats.get(),
                posts.get(),
                yields.get()
            );
            all()
        })
        .unwrap();
}

/// A task that always yields.
#[test]
fn a_yielding_task_starves_nobody() {
    everywhere(|runtime| {
        all_progress(runtime, || {
            drop(task::spawn(async {
                loop {
                    task::yield_now().await;
                }
            }));
        });
    });
}

/// A timer that always arms itself again for now.
#[test]
fn a_rearming_timer_starves_nobody() {
    fn again() {
        timer::after(Duration::ZERO, again).unwrap();
    }
    everywhere(|runtime| all_progress(runtime, again));
}

/// A socket that always has something to read.
#[test]
fn a_flooding_socket_starves_nobody() {
    everywhere(|runtime| {
        all_progress(runtime, || {
            let (a, b) = Descriptor::pair().unwrap();
            b.on_data(|_, _| ()).unwrap();
            drop(task::spawn(async move {
                loop {
                    a.write_all(vec![0; 100_000]).await.0.unwrap();
                }
            }));
        });
    });
}

/// A chain of operations that complete at once.
#[test]
fn a_chain_of_immediate_completions_starves_nobody() {
    fn chain(stream: Rc<Descriptor>) {
        let next = stream.clone();
        stream.writable().then(move |_| chain(next));
    }
    everywhere(|runtime| {
        all_progress(runtime, || {
            let (a, b) = Descriptor::pair().unwrap();
            std::mem::forget(b);
            chain(Rc::new(a));
        });
    });
}
