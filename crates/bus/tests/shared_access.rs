//! Objects between users: guests come as their owner has named them, and others do not; each sees
//! the other's death, and there is one segment all the time.
//!
//! Hosts run as a user without rights, so that none reads what is another's. Where the test is not
//! run by root there is one user alone, and its part is left out.

mod processes;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::ptr;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use processes::squatter::squat;
use processes::users::{
    GROUP, GUEST, OWNER, STRANGER, are_to_be_had, program_of, segments_of, skip_in_part,
};
use processes::{Other, namespace, part, stay, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::AsFd;
use tautline_bus::broadcast::Broadcast;
use tautline_bus::broadcast::lossy::Lossy;
use tautline_bus::bytes::Bytes;
use tautline_bus::channel::{Channel, Config, Receiver, Sender};
use tautline_bus::pool::Pool;
use tautline_bus::request::Requests;
use tautline_bus::shared::{self, Guests, Namespace};
use tautline_bus::signal::Signal;
use tautline_bus::wakeup::Wakeup;
use tautline_bus::{OpenError, Shared, Wait};

type Numbers = Channel<u64, Shared>;

const LONG: Duration = Duration::from_secs(20);
/// Ends an exchange.
const END: u64 = u64::MAX;

fn config() -> Config {
    // Nobody spins: each wait is a sleep.
    Config { senders: 2, wait: Wait::Park { spin_for: Duration::ZERO }, ..Config::default() }
}

/// How a part comes, by its last word.
fn place(namespace: &str, how: &str) -> Namespace {
    let open = |guests| Namespace::new(namespace).guests(guests);
    match how {
        "guest" => Namespace::of_user(namespace, OWNER),
        "alone" => Namespace::from(namespace),
        "group" => open(Guests::Group(GROUP)),
        "others" => open(Guests::Users(vec![GUEST, STRANGER])),
        "guests" => open(Guests::Users(vec![GUEST])),
        "strangers" => open(Guests::Users(vec![STRANGER])),
        other => panic!("nobody comes as {other}"),
    }
}

fn numbers(namespace: &str, name: &str, how: &str) -> Result<Numbers, OpenError> {
    Numbers::open(place(namespace, how), name, config())
}

/// A process of a user that is in no group but its own, and plays a part.
fn start(user: u32, part: &str, namespace: &str) -> Other {
    start_with(user, &[user], part, namespace)
}

fn start_with(user: u32, groups: &[u32], part: &str, namespace: &str) -> Other {
    Other::play_in(program_of(user, groups, || Ok(())), part, namespace)
}

/// The same where `/proc` hides the processes of other users.
fn start_hidden_from(user: u32, part: &str, namespace: &str) -> Other {
    let hide = || {
        // SAFETY: the strings end in zeros, and outlast the calls.
        let done = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    ptr::null(),
                    c"/".as_ptr(),
                    ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    ptr::null(),
                ) == 0
                && libc::mount(
                    c"proc".as_ptr(),
                    c"/proc".as_ptr(),
                    c"proc".as_ptr(),
                    0,
                    c"hidepid=2".as_ptr().cast(),
                ) == 0
        };
        if done { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    Other::play_in(program_of(user, &[user], hide), part, namespace)
}

// --------------------------------------------------------------------------------- the parts

/// What the other processes do; nothing where the tests themselves are run.
#[test]
fn the_other_process() {
    let Some((part, namespace)) = part() else { return };
    let (what, how) = part.rsplit_once(' ').unwrap();
    match what {
        "come" => come(&namespace, how),
        "hold" => {
            let _numbers = numbers(&namespace, "numbers", how).unwrap();
            stay();
        }
        "reserve" => {
            let _kept = place(&namespace, how).reserve("numbers").unwrap();
            stay();
        }
        "spin" => {
            let _numbers = numbers(&namespace, "numbers", how).unwrap();
            spin_on_one_core();
        }
        "give" => {
            let channel = numbers(&namespace, "numbers", how).unwrap();
            let mut sender = channel.sender().unwrap();
            (0..10).for_each(|n| sender.send(n).unwrap());
            stay();
        }
        "take" => {
            let channel = numbers(&namespace, "numbers", how).unwrap();
            let mut receiver = channel.receiver().unwrap();
            (0..10).for_each(|n| assert_eq!(receiver.receive_timeout(LONG), Ok(n)));
            stay();
        }
        "sit" => {
            let channel = numbers(&namespace, "numbers", how).unwrap();
            let _sender = channel.sender().unwrap();
            stay();
        }
        "open all" => {
            let _all = all_kinds(&namespace, how);
            stay();
        }
        "use all" => use_all_kinds(&namespace, how),
        "watch" => watch(&namespace, how),
        "outlast" => outlast(&namespace, how),
        "look" => look(&namespace),
        "echo" => echo(&namespace, how, &mut Receiver::receive),
        "ask" => ask(&namespace, how, &mut Receiver::receive),
        "echo by descriptor" => echo(&namespace, how, &mut by_descriptor()),
        "ask by descriptor" => ask(&namespace, how, &mut by_descriptor()),
        "squat" => squat(&namespace, how, || numbers(&namespace, "numbers", "alone").unwrap()),
        other => panic!("there is no part {other}"),
    }
}

type Kinds = (
    Bytes<Shared>,
    Pool<[u8], Shared>,
    Signal<Shared>,
    Broadcast<u64, Shared>,
    Lossy<u64, Shared>,
    Requests<u64, u64, Shared>,
);

/// One of each kind but channels.
fn all_kinds(namespace: &str, how: &str) -> Kinds {
    let place = &place(namespace, how);
    (
        Bytes::open(place, "bytes", Default::default()).unwrap(),
        Pool::open_bytes(place, "pool", 100, Default::default()).unwrap(),
        Signal::open(place, "signal", Default::default()).unwrap(),
        Broadcast::open(place, "broadcast", Default::default()).unwrap(),
        Lossy::open(place, "lossy", Default::default()).unwrap(),
        Requests::open(place, "requests", Default::default()).unwrap(),
    )
}

/// Writes to all of them, those among them that are mapped twice.
fn use_all_kinds(namespace: &str, how: &str) {
    let (bytes, pool, signal, broadcast, lossy, requests) = all_kinds(namespace, how);
    let (mut sender, mut receiver) = (bytes.sender().unwrap(), bytes.receiver().unwrap());
    for n in 0..10_000_usize {
        let text = vec![n as u8; n % 100];
        sender.send(&text).unwrap();
        assert_eq!(receiver.take().unwrap().view().to_vec(), text);
    }
    let mut borrower = pool.borrower().unwrap();
    borrower.loan().unwrap().view_mut().copy_from(0, b"a frame");
    let mut waiter = signal.waiter().unwrap();
    signal.raiser().unwrap().raise(3);
    assert_eq!(waiter.take_all(), 3);
    let mut subscriber = broadcast.subscriber().unwrap();
    broadcast.publisher().unwrap().send(7).unwrap();
    assert_eq!(subscriber.receive(), Ok(7));
    lossy.publisher().unwrap().send(8).unwrap();
    let (_client, _server) = (requests.client().unwrap(), requests.server().unwrap());
}

/// Says whether it may, and how long that took.
fn come(namespace: &str, how: &str) {
    let begun = Instant::now();
    match numbers(namespace, "numbers", how) {
        Ok(_) => println!("\nopened in {:?}", begun.elapsed()),
        Err(error) => println!("\n{error:?} in {:?}: {error}", begun.elapsed()),
    }
    println!("ready");
}

/// Leaves the processor to nobody who could only run here.
fn spin_on_one_core() -> ! {
    let mut one = rustix::thread::CpuSet::new();
    one.set(rustix::thread::sched_getcpu());
    rustix::thread::sched_setaffinity(None, &one).unwrap();
    println!("\nready");
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        std::hint::spin_loop();
    }
    std::process::exit(1)
}

/// Waits for others to sit down, and then for them to have gone.
fn watch(namespace: &str, how: &str) {
    let channel = numbers(namespace, "numbers", how).unwrap();
    let mut receiver = channel.receiver().unwrap();
    println!("\nready");
    for users in [1, 0] {
        let begun = Instant::now();
        while channel.users() != [users, 1] {
            _ = receiver.receive_timeout(Duration::from_millis(1));
            assert!(begun.elapsed() < LONG, "{:?}", channel.users());
        }
        println!("\nusers {users}");
    }
    stay();
}

/// Takes the only seat once the other who has it is dead, and not before.
fn outlast(namespace: &str, how: &str) {
    let one = Config { senders: 1, ..config() };
    let channel = Numbers::open(place(namespace, how), "one", one).unwrap();
    if how != "guest" {
        let _sender = channel.sender().unwrap();
        stay();
    }
    for _ in 0..20 {
        let error = channel.sender().unwrap_err();
        assert_eq!(error.holders.len(), 1, "{error}");
        thread::sleep(Duration::from_millis(1));
    }
    println!("\nready");
    let begun = Instant::now();
    while channel.sender().is_err() {
        assert!(begun.elapsed() < LONG, "the dead keep the seat");
    }
    println!("\nseated");
}

/// What is to be seen of another user's objects.
fn look(namespace: &str) {
    let name = format!("{OWNER}:{namespace}/numbers");
    match shared::look(&name) {
        Ok(look) => println!("\n{} user {:?}", look.what, look.users[0].uid),
        Err(error) => println!("\n{error}"),
    }
    let listed = shared::list_of(OWNER).unwrap();
    let one = listed.iter().find(|one| one.name == name).unwrap();
    println!("\nlisted {} {}", one.processes.len(), one.what);
}

type Receive<'r> =
    dyn FnMut(&mut Receiver<u64, Shared>) -> Result<u64, tautline_bus::ReceiveError> + 'r;

/// Waits as a foreign loop does, until the other rings.
fn by_descriptor()
-> impl FnMut(&mut Receiver<u64, Shared>) -> Result<u64, tautline_bus::ReceiveError> {
    let wakeup = Wakeup::between_processes().unwrap();
    move |receiver| loop {
        if let Poll::Ready(done) = wakeup.arm(|context| receiver.poll_receive(context)) {
            return done;
        }
        let limit = Timespec { tv_sec: LONG.as_secs() as i64, tv_nsec: 0 };
        let mut set = [PollFd::from_borrowed_fd(wakeup.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut set, Some(&limit)), Ok(1), "nobody has rung");
    }
}

fn ends(
    namespace: &str,
    how: &str,
    there: &str,
    back: &str,
) -> (Receiver<u64, Shared>, Sender<u64, Shared>) {
    let receiver = numbers(namespace, there, how).unwrap().receiver().unwrap();
    (receiver, numbers(namespace, back, how).unwrap().sender().unwrap())
}

/// Answers each number with the next.
fn echo(namespace: &str, how: &str, receive: &mut Receive<'_>) {
    let (mut receiver, mut sender) = ends(namespace, how, "there", "back");
    println!("\nready");
    loop {
        let number = receive(&mut receiver).unwrap();
        if number == END {
            return;
        }
        sender.send(number + 1).unwrap();
    }
}

/// Asks a hundred times; both sleep in between, and are woken by each other. Who were not would
/// look again after 5 ms by itself, the two of them in turn.
fn ask(namespace: &str, how: &str, receive: &mut Receive<'_>) {
    let (mut receiver, mut sender) = ends(namespace, how, "back", "there");
    let mut times: Vec<_> = (0..100)
        .map(|number| {
            let begun = Instant::now();
            sender.send(number).unwrap();
            assert_eq!(receive(&mut receiver), Ok(number + 1));
            begun.elapsed()
        })
        .collect();
    sender.send(END).unwrap();
    times.sort_unstable();
    println!("\nround trips of {:?} to {:?}", times[0], times[99]);
    assert!(times[9] < Duration::from_millis(4), "nobody is woken: {times:?}");
}

// --------------------------------------------------------------------------------- the tests

/// What "come" says of itself.
fn outcome(mut other: Other) -> (String, Duration) {
    let begun = Instant::now();
    let mut line = other.told("");
    while line.is_empty() || line.starts_with("running") || line.starts_with("test ") {
        line = other.told("");
    }
    other.done();
    (line, begun.elapsed())
}

/// A guest and a host send to each other and sleep in between, each woken by the other: as threads
/// do, and as loops that poll a descriptor.
#[test]
fn guests_and_hosts_wake_each_other() {
    if !are_to_be_had("guests and hosts") {
        return;
    }
    for by in ["", " by descriptor"] {
        let namespace = namespace("both");
        let host = start(OWNER, &format!("echo{by} guests"), &namespace).ready();
        let mut guest = start(GUEST, &format!("ask{by} guest"), &namespace);
        println!("round trips {}{by}", guest.told("round trips"));
        guest.done();
        host.done();
    }
}

/// Who was named is let in, by its user or by any of its groups; who was not is told at once what
/// is wrong, and by whom; and an object that is open to nobody else stays so.
#[test]
fn those_who_were_named_are_let_in_and_no_others() {
    if !are_to_be_had("guests that are refused") {
        return;
    }
    let come = |host: &str, user, groups: &[u32]| {
        let namespace = &namespace(host);
        let _host = start(OWNER, &format!("hold {host}"), namespace).ready();
        outcome(start_with(user, groups, "come guest", namespace)).0
    };
    let many: Vec<u32> = (GROUP - 100..=GROUP).collect();
    for (host, user, groups, is_in) in [
        ("guests", GUEST, &[GUEST][..], true),
        ("guests", STRANGER, &[STRANGER], false),
        ("guests", STRANGER, &[STRANGER, GUEST], false),
        ("guests", OWNER, &[OWNER], true),
        ("group", GUEST, &[GROUP], true),
        ("group", GUEST, &[GUEST, GROUP], true),
        ("group", GUEST, &many, true),
        ("group", GUEST, &[GUEST], false),
        ("alone", GUEST, &[OWNER], false),
        ("alone", OWNER, &[OWNER], true),
    ] {
        let told = come(host, user, groups);
        if is_in {
            assert!(told.starts_with("opened"), "{host} {user} {groups:?}: {told}");
        } else {
            assert!(told.starts_with("NotAGuest"), "{host} {user} {groups:?}: {told}");
            let named = format!("user {OWNER} does not let user {user} use");
            assert!(told.contains(&named), "{told}");
        }
    }
    // Nobody makes what is another's.
    let (told, _) = outcome(start(GUEST, "come guest", &namespace("nothing")));
    assert!(told.starts_with("NotFound"), "{told}");
    assert!(told.contains(&format!("of user {OWNER}")), "{told}");
}

/// Objects of every kind are opened by guests, and used.
#[test]
fn guests_use_objects_of_every_kind() {
    if !are_to_be_had("guests of every kind of object") {
        return;
    }
    let namespace = &namespace("kinds");
    let _host = start(OWNER, "open all guests", namespace).ready();
    start(GUEST, "use all guest", namespace).done();
}

/// Hosts that differ in whom they let in are told both.
#[test]
fn hosts_must_agree_about_their_guests() {
    let namespace = namespace("agree");
    let open = |guests| Numbers::open(Namespace::new(&namespace).guests(guests), "n", config());
    let _numbers = open(Guests::Users(vec![3, 1])).unwrap();
    assert!(open(Guests::Users(vec![1, 3, 3])).is_ok());
    for guests in [Guests::Nobody, Guests::Users(vec![1]), Guests::Group(1)] {
        let error = open(guests).unwrap_err();
        let told = error.to_string();
        assert!(matches!(error, OpenError::Mismatch { .. }), "{told}");
        assert!(told.contains("open to its owner and the users 1, 3"), "{told}");
    }
    // Of one's own user too one can be a guest, who finds what is there and makes nothing.
    let own = rustix::process::geteuid().as_raw();
    let guest = |name| Numbers::open(Namespace::of_user(&namespace, own), name, config());
    assert!(guest("n").is_ok());
    assert!(matches!(guest("none"), Err(OpenError::NotFound { .. })));
}

/// A guest comes in while the threads of the host do nothing but spin, on the core on which it was
/// opened.
#[test]
fn a_host_that_spins_lets_guests_in() {
    if !are_to_be_had("guests of a host that spins") {
        return;
    }
    let namespace = namespace("spins");
    let _host = start(OWNER, "spin guests", &namespace).ready();
    let (told, _) = outcome(start(GUEST, "come guest", &namespace));
    assert!(told.starts_with("opened"), "{told}");
}

/// Host and guest die in turn by a signal: the object outlasts each as long as the other lives, what
/// was committed arrives, and when both have gone nothing is left.
#[test]
fn the_object_outlasts_host_and_guest() {
    if !are_to_be_had("hosts that die before guests") {
        return;
    }
    let namespace = &namespace("outlasts");
    let the_segment = |other: &Other| {
        let segments = segments_of(other.id(), namespace, "numbers");
        assert_eq!(segments.len(), 1);
        segments[0]
    };
    let host = start(OWNER, "give guests", namespace).ready();
    let guest = start(GUEST, "hold guest", namespace).ready();
    let segment = the_segment(&guest);
    assert_eq!(the_segment(&host), segment);
    host.kill();
    // A guest finds it with a guest, and so does the next host.
    let again = start(STRANGER, "come guest", namespace);
    assert!(outcome(again).0.starts_with("NotAGuest"));
    let second = start(GUEST, "hold guest", namespace).ready();
    guest.kill();
    let host = start(OWNER, "take guests", namespace).ready();
    assert_eq!((the_segment(&second), the_segment(&host)), (segment, segment));
    second.kill();
    let last = start(GUEST, "hold guest", namespace).ready();
    assert_eq!(the_segment(&last), segment);
    host.kill();
    last.kill();
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.contains(&format!("/{namespace}/numbers")), "{sockets}");
}

/// A guest that is stopped and alone has the object is waited for, and named when that takes too
/// long: nobody makes a second one. A host that is stopped keeps neither hosts nor, with another
/// there, guests out.
#[test]
fn those_who_are_stopped_are_waited_for() {
    if !are_to_be_had("guests that are stopped") {
        return;
    }
    let namespace = &namespace("stopped");
    let come = |user, how: &str| outcome(start(user, &format!("come {how}"), namespace)).0;
    let host = start(OWNER, "hold guests", namespace).ready();
    let guest = start(GUEST, "hold guest", namespace).ready();
    host.signal(libc::SIGSTOP);
    let told = come(OWNER, "guests");
    assert!(told.starts_with("opened"), "{told}");
    let told = come(GUEST, "guest");
    assert!(told.starts_with("opened"), "{told}");
    host.kill();
    guest.signal(libc::SIGSTOP);
    let told = come(OWNER, "guests");
    let named = format!("process {} of user {GUEST} takes part, but does not answer", guest.id());
    assert!(told.starts_with("NoAnswer") && told.contains(&named), "{told}");
    guest.signal(libc::SIGCONT);
    let told = come(OWNER, "guests");
    assert!(told.starts_with("opened"), "{told}");
}

/// Any number of guests may wait for a host: it makes the object, and they all find it.
#[test]
fn guests_may_come_first() {
    if !are_to_be_had("guests that come before their host") {
        return;
    }
    for _ in 0..3 {
        let namespace = &namespace("first");
        let guests: Vec<_> = (0..8).map(|_| start(GUEST, "come guest", namespace)).collect();
        thread::sleep(Duration::from_millis(200));
        let _host = start(OWNER, "hold guests", namespace).ready();
        for guest in guests {
            let (told, _) = outcome(guest);
            assert!(told.starts_with("opened"), "{told}");
        }
    }
}

/// The seat of one who was killed is free for one of another user who waits, in both directions.
#[test]
fn the_seats_of_other_users_are_freed() {
    if !are_to_be_had("guests that are killed") {
        return;
    }
    for (watcher, how, user, seated) in
        [(OWNER, "watch guests", GUEST, "sit guest"), (GUEST, "watch guest", OWNER, "sit guests")]
    {
        let namespace = &namespace(&how.replace(' ', "-"));
        let _host = start(OWNER, "hold guests", namespace).ready();
        let mut watcher = start(watcher, how, namespace).ready();
        let victim = start(user, seated, namespace).ready();
        watcher.told("users 1");
        victim.kill();
        let killed = Instant::now();
        watcher.told("users 0");
        println!("{how}: noticed after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_secs(5));
    }
}

/// Where `/proc` hides other users' processes, a living one counts as alive, and a dead one as dead.
#[test]
fn who_is_hidden_is_not_dead() {
    if !are_to_be_had("guests under hidepid") {
        return;
    }
    let namespace = &namespace("hidden");
    let host = start(OWNER, "outlast guests", namespace).ready();
    let Some(mut guest) = try_hidden(GUEST, "outlast guest", namespace) else { return };
    guest.told("ready");
    host.kill();
    guest.told("seated");
    guest.done();
}

/// `None`, and told: this system lets nobody mount `/proc`.
fn try_hidden(user: u32, part: &str, namespace: &str) -> Option<Other> {
    let started = std::panic::catch_unwind(|| start_hidden_from(user, part, namespace));
    if started.is_err() {
        skip_in_part("guests under hidepid: /proc cannot be mounted here");
    }
    started.ok()
}

/// Callers that hold on to a door, or fill its queue again and again, keep no guest out.
#[test]
fn callers_that_hang_keep_no_guest_out() {
    if !are_to_be_had("guests at a crowded door") {
        return;
    }
    let namespace = &namespace("crowd");
    let _host = start(OWNER, "hold guests", namespace).ready();
    let _callers = crowd(namespace);
    let (told, _) = outcome(start(GUEST, "come guest", namespace));
    assert!(told.starts_with("opened"), "{told}");
}

/// Calls at the only door there until no more can.
fn crowd(namespace: &str) -> Vec<OwnedFd> {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let mark = format!("@tautline-bus/{OWNER}/{namespace}/numbers#");
    let address = sockets.split_ascii_whitespace().find(|word| word.starts_with(&mark)).unwrap();
    let address = SocketAddrUnix::new_abstract_name(&address.as_bytes()[1..]).unwrap();
    let call = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = rustix::net::socket_with(family, kind, flags, None).unwrap();
        rustix::net::connect(&socket, &address).ok().map(|()| socket)
    };
    let callers: Vec<_> = (0..500).filter_map(|_| call()).collect();
    assert!(callers.len() > 100, "{}", callers.len());
    callers
}

/// A host that is stopped, and whose door is crowded, keeps no other host out.
#[test]
fn a_crowd_at_a_stopped_host_keeps_no_host_out() {
    if !are_to_be_had("hosts at a crowded door") {
        return;
    }
    let namespace = &namespace("jam");
    let host = start(OWNER, "hold guests", namespace).ready();
    host.signal(libc::SIGSTOP);
    until("it is stopped", || {
        let tasks = fs::read_dir(format!("/proc/{}/task", host.id())).unwrap();
        let mut stats =
            tasks.map(|task| fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
        stats.all(|stat| stat.contains(") T ")).then_some(())
    });
    let _callers = crowd(namespace);
    let (told, _) = outcome(start(OWNER, "come guests", namespace));
    assert!(told.starts_with("opened"), "{told}");
}

/// Who is no guest any more, and keeps an old segment, leads no guest to it while a host is about to
/// make another.
#[test]
fn former_guests_lead_nobody_astray() {
    if !are_to_be_had("former guests") {
        return;
    }
    let namespace = &namespace("former");
    let host = start(OWNER, "hold others", namespace).ready();
    let _former = start(GUEST, "hold guest", namespace).ready();
    host.kill();
    let _host = start(OWNER, "reserve strangers", namespace).ready();
    let (told, _) = outcome(start(STRANGER, "come guest", namespace));
    assert!(told.starts_with("NotFound"), "{told}");
}

/// A host that is run by root, and may look into everybody's descriptors, takes a foreign socket
/// under its name for nobody too.
#[test]
fn those_who_squat_fool_no_host_of_root() {
    if !are_to_be_had("squatters of root's names") {
        return;
    }
    let namespace = &namespace("root");
    let _squatter = start(STRANGER, "squat root", namespace).ready();
    let numbers = numbers(namespace, "numbers", "alone").unwrap();
    numbers.sender().unwrap().send(1).unwrap();
}

/// A foreign process that binds a name's key is named; one that listens where a participant would is
/// nobody for hosts, whatever it says, and for guests neither, who are told whom they have met.
#[test]
fn those_who_squat_fool_nobody() {
    if !are_to_be_had("squatters") {
        return;
    }
    let namespace = |how: &str| namespace(&format!("squat-{how}"));
    let name = namespace("key");
    let squatter = start(STRANGER, "squat key", &name).ready();
    for how in ["alone", "guests"] {
        let (told, took) = outcome(start(OWNER, &format!("come {how}"), &name));
        assert!(told.starts_with("Squatted"), "{told}");
        let named = format!("held by process {} of user {STRANGER}", squatter.id());
        assert!(told.contains(&named) && took < LONG, "{told}");
    }
    thread::scope(|threads| {
        let ways =
            ["quietly", "newline", "bytes", "silent", "joining", "with-a-file", "with-a-segment"];
        for how in ways {
            threads.spawn(move || a_squatter_fools_nobody(how, &namespace(how)));
        }
    });
}

fn a_squatter_fools_nobody(how: &str, namespace: &str) {
    let _squatter = start(STRANGER, &format!("squat {how}"), namespace).ready();
    let come = |user, how: &str| outcome(start(user, &format!("come {how}"), namespace));
    // A guest finds nothing else.
    let (told, took) = come(GUEST, "guest");
    let waits =
        ["quietly", "newline", "bytes", "joining"].contains(&how) && told.starts_with("NotFound");
    let is_named = told.contains(&format!("user {STRANGER}"));
    assert!(waits || is_named, "{how}: {told}");
    assert!(took < LONG, "{took:?}");
    for host in ["alone", "guests"] {
        let (told, _) = come(OWNER, host);
        assert!(told.starts_with("opened"), "{how} {host}: {told}");
    }
    // Where there is a host, guests find it.
    let _host = start(OWNER, "hold guests", namespace).ready();
    let (told, _) = come(GUEST, "guest");
    assert!(told.starts_with("opened"), "{how}: {told}");
}

/// Guests see what a host has, by its name and that of its user; who is none sees that it is there.
#[test]
fn guests_see_what_they_may_use() {
    if !are_to_be_had("guests that look") {
        return;
    }
    let namespace = &namespace("seen");
    let _host = start(OWNER, "sit guests", namespace).ready();
    let mut guest = start(GUEST, "look guest", namespace);
    let told = guest.told("channel of u64");
    assert!(told.ends_with(&format!("user Some({OWNER})")), "{told}");
    let told = guest.told("listed 1 channel of u64");
    assert!(told.ends_with(&format!("open to its owner and the users {GUEST}")), "{told}");
    guest.done();
    let mut stranger = start(STRANGER, "look guest", namespace);
    stranger.told(&format!("user {OWNER} does not let user {STRANGER} use"));
    stranger.told(&format!("listed 1 user {OWNER} does not let user {STRANGER} use"));
    stranger.done();
}
