//! Objects between processes: found, shared, left and cleaned up as the documentation has it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tautline_bus::broadcast::Broadcast;
use tautline_bus::broadcast::lossy::Lossy;
use tautline_bus::bytes::Bytes;
use tautline_bus::channel::{Channel, Config, Orphans};
use tautline_bus::pool::Pool;
use tautline_bus::request::Requests;
use tautline_bus::signal::Signal;
use tautline_bus::{Full, OpenError, ReceiveError, Shared, Wait, shared};

type Numbers = Channel<u64, Shared>;

/// A namespace that no other test has.
fn namespace(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn config() -> Config {
    Config { capacity: 64, senders: 4, ..Config::default() }
}

/// Runs one of the parts below in a process of its own.
fn child(part: &str, namespace: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_other_process", "--nocapture"])
        .env("TAUTLINE_BUS_PART", part)
        .env("TAUTLINE_BUS_NAMESPACE", namespace)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the child prints a line that ends so.
fn wait_for(child: &mut Child, word: &str) {
    let output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with(word)), "the child ended");
}

/// What the children do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Ok(part) = std::env::var("TAUTLINE_BUS_PART") else { return };
    let namespace = std::env::var("TAUTLINE_BUS_NAMESPACE").unwrap();
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    match part.as_str() {
        "send" => {
            let mut sender = channel.sender().unwrap();
            (0..100_000).for_each(|n| sender.send(n).unwrap());
        }
        "hold" => {
            let mut sender = channel.sender_as("the one who holds").unwrap();
            sender.send(1).unwrap();
            println!("\nready");
            loop {
                std::hint::spin_loop();
            }
        }
        "lend" | "lend and lose" => {
            let losing = Config { orphans: Orphans::Lose, ..config() };
            let channel = match part.as_str() {
                "lend" => channel,
                _ => Numbers::open(&namespace, "losing", losing).unwrap(),
            };
            let mut receiver = channel.receiver().unwrap();
            let loan = receiver.take();
            println!("\nready");
            std::thread::sleep(Duration::from_secs(60));
            drop(loan);
        }
        "drain" => {
            let mut receiver = channel.receiver().unwrap();
            let mut drain = receiver.drain(3);
            assert_eq!([drain.next(), drain.next()], [Some(0), Some(1)]);
            println!("\nready");
            std::thread::sleep(Duration::from_secs(60));
            drop(drain);
        }
        other => panic!("there is no part {other}"),
    }
}

/// What one process sends another receives, in order, also beyond the capacity.
#[test]
fn messages_cross() {
    let namespace = namespace("cross");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let mut receiver = channel.receiver().unwrap();
    let mut sender = child("send", &namespace);
    (0..100_000).for_each(|n| assert_eq!(receiver.receive(), Ok(n)));
    assert!(sender.wait().unwrap().success());
    assert_eq!(receiver.receive_timeout(Duration::from_millis(1)), Err(ReceiveError::TimedOut));
}

/// One who holds the object and spins, and is then killed: others open it meanwhile, get what was
/// sent, and take its seat.
#[test]
fn the_dead_leave_their_messages_and_their_seats() {
    let namespace = namespace("dead");
    let mut holder = child("hold", &namespace);
    wait_for(&mut holder, "ready");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    assert_eq!(channel.users(), [1, 0]);
    holder.kill().unwrap();
    // Not waited for: a zombie is as dead.
    let begun = Instant::now();
    let mut receiver = channel.receiver().unwrap();
    assert_eq!(receiver.receive(), Ok(1));
    while channel.users() != [0, 1] {
        _ = receiver.receive_timeout(Duration::from_millis(1));
        assert!(begun.elapsed() < Duration::from_secs(5), "it is not noticed");
    }
    // Somebody comes after the one who made it is gone: it is the same object.
    let again = Numbers::open(&namespace, "numbers", config()).unwrap();
    again.sender().unwrap().send(2).unwrap();
    assert_eq!(receiver.receive(), Ok(2));
    holder.wait().unwrap();
}

/// One who waits or looks, and one who sends by whatever call, notice that another has died, without
/// anybody coming; a full channel keeps nobody from it.
#[test]
fn those_who_wait_or_send_notice_a_death() {
    let namespace = namespace("notice");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let notice =
        |call: &str, victim: &str, before: [usize; 2], users: [usize; 2], act: &mut dyn FnMut()| {
            let mut victim = child(victim, &namespace);
            wait_for(&mut victim, "ready");
            assert_eq!(channel.users(), before, "{call}");
            victim.kill().unwrap();
            victim.wait().unwrap();
            let killed = Instant::now();
            while channel.users() != users {
                act();
                assert!(killed.elapsed() < Duration::from_secs(5), "{call} does not notice");
            }
            println!("{call} has noticed after {:?}", killed.elapsed());
        };

    let mut receiver = channel.receiver().unwrap();
    let short = Duration::from_millis(1);
    let mut wait = || _ = receiver.receive_timeout(short);
    notice("receive_timeout", "hold", [1, 1], [0, 1], &mut wait);
    notice("try_receive", "hold", [1, 1], [0, 1], &mut || _ = receiver.try_receive());
    drop(receiver);

    let mut sender = channel.sender().unwrap();
    notice("try_send", "lend", [1, 1], [1, 0], &mut || _ = sender.try_send(1));
    notice("send_batch", "lend", [1, 1], [1, 0], &mut || _ = sender.send_batch([1]));
    notice("loan", "lend", [1, 1], [1, 0], &mut || _ = sender.loan());
}

/// Who sends now and then notices a death by its next call; who has just sent fast, where not every
/// call reads the clock, by its eighth at the latest, however slowly these come.
#[test]
fn a_few_calls_are_enough_to_notice_a_death() {
    let namespace = namespace("few");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let mut sender = channel.sender().unwrap();
    let pause = Duration::from_millis(12);
    for (before, calls) in [(0, 1), (3, 1), (1000, 8)] {
        let mut victim = child("lend", &namespace);
        wait_for(&mut victim, "ready");
        for _ in 0..before {
            _ = sender.try_send(1);
            // Slow calls, or fast ones.
            std::thread::sleep(if before < 10 { pause } else { Duration::ZERO });
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        for call in 1.. {
            std::thread::sleep(pause);
            _ = sender.try_send(1);
            if channel.users() == [1, 0] {
                break;
            }
            assert!(call < calls, "{call} calls after {before}");
        }
    }
}

/// A message that a receiver had on loan when it was killed goes to the next one.
#[test]
fn what_the_dead_had_on_loan_comes_again() {
    let namespace = namespace("loan");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let mut sender = channel.sender().unwrap();
    (0..3).for_each(|n| sender.send(n).unwrap());
    let mut borrower = child("lend", &namespace);
    wait_for(&mut borrower, "ready");
    let error = channel.receiver().unwrap_err();
    assert_eq!(error.holders, [format!("process {}", borrower.id())]);
    borrower.kill().unwrap();
    borrower.wait().unwrap();
    let mut receiver = channel.receiver().unwrap();
    for n in 0..3 {
        assert_eq!(receiver.receive(), Ok(n));
        assert_eq!(receiver.is_redelivered(), n == 0);
    }
    drop(receiver);

    // Or they are given up, and counted, where that was agreed.
    let losing = Config { orphans: Orphans::Lose, ..config() };
    let channel = Numbers::open(&namespace, "losing", losing).unwrap();
    let mut sender = channel.sender().unwrap();
    (0..3).for_each(|n| sender.send(n).unwrap());
    let mut borrower = child("lend and lose", &namespace);
    wait_for(&mut borrower, "ready");
    borrower.kill().unwrap();
    borrower.wait().unwrap();
    let mut receiver = channel.receiver().unwrap();
    assert_eq!(receiver.lost(), 1);
    assert_eq!(receiver.drain(9).collect::<Vec<_>>(), [1, 2]);
}

/// Messages that a receiver had drained when it was killed come again, and those alone are marked,
/// also when the next receiver dies over the first of them.
#[test]
fn what_the_dead_had_drained_comes_again() {
    let namespace = namespace("drain");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let mut sender = channel.sender().unwrap();
    (0..4).for_each(|n| sender.send(n).unwrap());
    for part in ["drain", "lend"] {
        let mut receiver = child(part, &namespace);
        wait_for(&mut receiver, "ready");
        receiver.kill().unwrap();
        receiver.wait().unwrap();
    }
    let mut receiver = channel.receiver().unwrap();
    for n in 0..4 {
        assert_eq!(receiver.drain(1).collect::<Vec<_>>(), [n]);
        assert_eq!(receiver.is_redelivered(), n < 2, "message {n}");
    }
}

/// Who opens a name with another type or shape is told both; nothing is left behind by that.
#[test]
fn mismatches_show_both_sides() {
    let namespace = namespace("mismatch");
    let channel = Numbers::open(&namespace, "numbers", config()).unwrap();
    let error = Channel::<[u32; 2], Shared>::open(&namespace, "numbers", config()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Mismatch { .. }), "{text}");
    assert!(text.contains("u64") && text.contains("u32"), "{text}");
    let refusing = Config { full: Full::Refuse, ..config() };
    let error = Numbers::open(&namespace, "numbers", refusing).unwrap_err();
    assert!(error.to_string().contains("Refuse"), "{error}");
    drop(channel);
    // Nobody has it any more, so that it can be made anew, as somebody else wants it: as soon as
    // processes that other tests start, which have copies of all, have run their program.
    let begun = Instant::now();
    while let Err(error) = Numbers::open(&namespace, "numbers", refusing) {
        assert!(matches!(error, OpenError::Mismatch { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
    }
}

/// The list of what is on the bus names the kind of each object, and who takes part.
#[test]
fn the_list_names_the_kinds() {
    let namespace = &namespace("kinds");
    let _all = (
        Numbers::open(namespace, "a", config()).unwrap(),
        Bytes::<Shared>::open(namespace, "b", Default::default()).unwrap(),
        Broadcast::<u64, Shared>::open(namespace, "c", Default::default()).unwrap(),
        Lossy::<u64, Shared>::open(namespace, "d", Default::default()).unwrap(),
        Pool::<[u8], Shared>::open_bytes(namespace, "e", 100, Default::default()).unwrap(),
        Signal::<Shared>::open(namespace, "f", Default::default()).unwrap(),
        Requests::<u64, u8, Shared>::open(namespace, "g", Default::default()).unwrap(),
    );
    let mut listed = shared::list().unwrap();
    listed.retain(|one| one.name.starts_with(&format!("{namespace}/")));
    let kinds = [
        "channel of u64",
        "byte channel, capacity 262144 bytes",
        "broadcast of u64",
        "lossy broadcast of u64",
        "pool of 100 bytes",
        "signal, raisers 8",
        "requests of u64 8 bytes, replies of u8",
    ];
    assert_eq!(listed.len(), kinds.len(), "{listed:?}");
    for (one, kind) in listed.iter().zip(kinds) {
        assert!(one.what.starts_with(kind), "{one:?}");
        assert_eq!(one.processes, [std::process::id()]);
    }
}

/// Names that cannot be, sizes that do not fit: each is told by name.
#[test]
fn bad_wishes_are_refused() {
    let namespace = namespace("bad");
    for name in ["", "a/b", "a b", &"x".repeat(31)] {
        let error = Numbers::open(&namespace, name, config()).unwrap_err();
        assert!(matches!(error, OpenError::BadName { .. }), "{name}: {error}");
    }
    let huge = Config { capacity: 1 << 31, senders: 1000, ..config() };
    let error = Numbers::open(&namespace, "huge", huge).unwrap_err();
    assert!(matches!(error, OpenError::NoRoom { .. } | OpenError::Create(_)), "{error}");
    let crowd = Config { receivers: 65_536, ..config() };
    assert!(Numbers::open(&namespace, "crowd", crowd).unwrap_err().to_string().contains("65,536"));
}

/// The ends of a channel may be used by any thread of a process, one after the other.
#[test]
fn ends_go_to_other_threads() {
    let namespace = namespace("threads");
    for receivers in [1, 2] {
        let name = &format!("of{receivers}");
        let config = Config { receivers, ..config() };
        let channel = Numbers::open(&namespace, name, config).unwrap();
        let (mut sender, mut receiver) = (channel.sender().unwrap(), channel.receiver().unwrap());
        let thread = std::thread::spawn(move || sender.send(7));
        thread.join().unwrap().unwrap();
        let thread = std::thread::spawn(move || receiver.receive());
        assert_eq!(thread.join().unwrap(), Ok(7));
    }
}

/// Many processes and threads that come at once make one object, however many of them go.
#[test]
fn many_who_come_at_once_find_one_object() {
    let namespace = namespace("many");
    for round in 0..20 {
        let name = &format!("round{round}");
        let spin = Config { wait: Wait::Yield, senders: 8, ..config() };
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|id| {
                    let namespace = &namespace;
                    scope.spawn(move || {
                        let channel = Numbers::open(namespace, name, spin).unwrap();
                        channel.sender().unwrap().send(id).unwrap();
                        channel
                    })
                })
                .collect();
            let channels: Vec<_> = all.into_iter().map(|one| one.join().unwrap()).collect();
            let mut receiver = channels[0].receiver().unwrap();
            let mut received: Vec<_> = (0..8).map(|_| receiver.receive().unwrap()).collect();
            received.sort_unstable();
            assert_eq!(received, (0..8).collect::<Vec<_>>());
        });
    }
}
