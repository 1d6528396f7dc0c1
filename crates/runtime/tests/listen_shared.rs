//! Receivers that other processes send to: the loop sleeps until they do, and is woken by them.

mod common;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{REAL, small};
use tautline_bus::Shared;
use tautline_bus::channel::{Channel, Config, Sender};
use tautline_runtime::fiber::{self, Stack};
use tautline_runtime::listen::Listen;
use tautline_runtime::{DriverChoice, Runtime, WaitMode, task};

type Numbers = Channel<u64, Shared>;

/// Round trips of a face.
const ROUNDS: u64 = 40;

/// The channel of that name; the other process answers on its twin.
fn open(namespace: &str, name: &str) -> Numbers {
    Numbers::open(namespace, name, Config { capacity: 64, ..Config::default() }).unwrap()
}

/// Runs the part below in a process of its own.
fn child(namespace: &str, part: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env("TAUTLINE_LISTEN_NAMESPACE", namespace)
        .env("TAUTLINE_LISTEN_PART", part)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What the other process does; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Ok(namespace) = std::env::var("TAUTLINE_LISTEN_NAMESPACE") else { return };
    match std::env::var("TAUTLINE_LISTEN_PART").unwrap().as_str() {
        "play" => ["callback", "task", "fiber"].iter().for_each(|face| play(&namespace, face)),
        _ => {
            let mut sender = open(&namespace, "callback").sender().unwrap();
            sender.send(7).unwrap();
            // Killed in here, or ends by itself.
            std::thread::sleep(Duration::from_secs(20));
        }
    }
}

/// Sends, waits for the answer, and gives the loop the time to go to sleep. Prints how long the
/// median round trip took, in microseconds.
fn play(namespace: &str, face: &str) {
    let (there, back) = (open(namespace, face), open(namespace, &format!("{face}-back")));
    let (mut sender, mut receiver) = (there.sender().unwrap(), back.receiver().unwrap());
    let mut times = Vec::new();
    for n in 0..ROUNDS {
        std::thread::sleep(Duration::from_millis(3));
        let began = Instant::now();
        sender.send(n).unwrap();
        assert_eq!(receiver.receive(), Ok(n));
        times.push(began.elapsed());
    }
    times.sort();
    println!("median {} us", times[times.len() / 2].as_micros());
}

fn runtime(driver: DriverChoice) -> Runtime {
    let config = tautline_runtime::Config { driver, wait: WaitMode::Sleep, stall: None, ..small() };
    Runtime::new(config).unwrap()
}

/// The end of the channel by which a face answers.
fn back(namespace: &str, face: &str) -> Sender<u64, Shared> {
    open(namespace, &format!("{face}-back")).sender().unwrap()
}

/// Another process sends to a callback, to a task and to a fiber, on each driver, and waits for each
/// answer: the loop sleeps in between, and is woken long before it would look by itself.
#[test]
fn another_process_wakes_the_loop() {
    for (at, driver) in REAL.into_iter().enumerate() {
        let namespace = &format!("wakes{at}-{}", std::process::id());
        let runtime = runtime(driver);
        let done = Rc::new(Cell::new(0));
        let (count, mut answer) = (done.clone(), back(namespace, "callback"));
        let listener = open(namespace, "callback").receiver().unwrap().on_message(move |n| {
            answer.send(n.unwrap()).unwrap();
            count.set(count.get() + 1);
        });
        let (count, mut answer) = (done.clone(), back(namespace, "task"));
        let mut receiver = open(namespace, "task").receiver().unwrap();
        task::spawn(async move {
            for _ in 0..ROUNDS {
                answer.send(receiver.receive_async().await.unwrap()).unwrap();
                count.set(count.get() + 1);
            }
        })
        .unwrap();
        let (count, mut answer) = (done.clone(), back(namespace, "fiber"));
        let mut receiver = open(namespace, "fiber").receiver().unwrap();
        let waits = fiber::spawn(Stack::Small, move || {
            for _ in 0..ROUNDS {
                answer.send(fiber::wait(receiver.receive_async()).unwrap().unwrap()).unwrap();
                count.set(count.get() + 1);
            }
        });
        waits.unwrap().detach();
        let mut other = child(namespace, "play");
        let began = Instant::now();
        let over = || done.get() == 3 * ROUNDS || began.elapsed() > Duration::from_secs(20);
        runtime.run_until(over).unwrap();
        assert!(other.wait().unwrap().success());
        assert_eq!(done.get(), 3 * ROUNDS);
        // It looks by itself every 5 ms, and some times for each round; not all the time.
        let slept = runtime.metrics().sleeps;
        assert!(slept > ROUNDS, "it has slept {slept} times");
        let turns = runtime.metrics().turns;
        let most = began.elapsed().as_millis() as u64 * 2 + 3 * ROUNDS * 20;
        assert!(turns < most, "{turns} turns in {:?}", began.elapsed());
        let mut said = String::new();
        other.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let medians: Vec<u64> = said
            .lines()
            .filter_map(|line| line.rsplit("median ").next()?.strip_suffix(" us")?.parse().ok())
            .collect();
        assert_eq!(medians.len(), 3, "{said}");
        // A look that nobody asks for comes after 2.5 ms in the mean.
        assert!(medians.iter().all(|median| *median < 1_500), "{medians:?} us");
        assert!(listener.unwrap().stop());
    }
}

/// When nobody waits for other processes any more, nobody looks for them either: a loop that is run
/// until nothing is left comes to an end.
#[test]
fn a_doorbell_that_nobody_waits_for_is_not_attended() {
    let namespace = &format!("ends-{}", std::process::id());
    let runtime = runtime(DriverChoice::Auto);
    let channel = open(namespace, "callback");
    let heard = Rc::new(RefCell::new(Vec::new()));
    let told = heard.clone();
    let listener = channel.receiver().unwrap().on_message(move |n| told.borrow_mut().push(n));
    let mut other = child(namespace, "send");
    let began = Instant::now();
    let over = || !heard.borrow().is_empty() || began.elapsed() > Duration::from_secs(20);
    runtime.run_until(over).unwrap();
    assert_eq!(*heard.borrow(), [Ok(7)]);
    assert!(listener.unwrap().stop());
    runtime.run_pending().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}
