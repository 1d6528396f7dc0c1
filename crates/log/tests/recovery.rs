//! What a directory tells after its process was killed: everything that was committed and had not
//! left the sinks, up to the last line.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{Keep, Kept, turn};
use tautline_log::sink::Sink;
use tautline_log::{Config, Line, Logger, RecoverError, Was, flush, info, recover};

// --------------------------------------------------------------------------------- the child

const ROLE: &str = "TAUTLINE_LOG_ROLE";
const FOLDER: &str = "TAUTLINE_LOG_FOLDER";
const THREADS: u64 = 3;

/// Writes lines to a file at once, as they come.
struct Written(fs::File);

impl Sink for Written {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.0.write_all(format!("{}\n", line.message).as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes no line, ever.
struct Stuck;

impl Sink for Stuck {
    fn line(&mut self, _line: &Line<'_>) -> io::Result<()> {
        loop {
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a child does; nothing where the test itself is run.
#[test]
fn a_child_that_is_killed() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = std::env::var(FOLDER).unwrap();
    let folder = Path::new(&folder);
    let sink: Box<dyn Sink> = if role == "writes" {
        Box::new(Written(fs::File::create(folder.join("sink")).unwrap()))
    } else {
        Box::new(Stuck)
    };
    let directory = Some(folder.join("rings"));
    let config = Config { directory, sinks: vec![sink], ring_bytes: 1 << 20, ..Config::default() };
    let _guard = Logger::start(config).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let name = format!("t{thread}");
            let aborts = role == "aborts";
            thread::Builder::new().name(name).spawn(move || write(thread, aborts)).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Writes numbered lines, and tells the parent of each after it is committed.
fn write(thread: u64, aborts: bool) {
    for number in 0..u64::MAX {
        info!("{thread} {number} {}", "some text");
        if aborts && number == 5000 {
            std::process::abort();
        }
        // Within the ring of a sink that takes nothing, of a megabyte.
        if number == 8000 && std::env::var(ROLE).is_ok_and(|role| role != "writes") {
            thread::sleep(Duration::from_secs(60));
        }
        println!("at {thread} {number}");
    }
}

// -------------------------------------------------------------------------------- the parent

fn start(program: &Path, role: &str, folder: &Path) -> Child {
    Command::new(program)
        .args(["--exact", "a_child_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads what the child tells, kills it after so many lines, and returns the last number of each
/// thread that was told.
fn kill_after(mut child: Child, lines: usize) -> BTreeMap<u64, u64> {
    let mut told = BTreeMap::new();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut count = 0;
    for line in output.lines() {
        let line = line.unwrap();
        let Some(line) = line.strip_prefix("at ") else { continue };
        // The last one may have been cut off.
        let mut numbers = line.split(' ').filter_map(|number| number.parse::<u64>().ok());
        if let (Some(thread), Some(number)) = (numbers.next(), numbers.next()) {
            let latest = told.entry(thread).or_insert(number);
            *latest = number.max(*latest);
        }
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    told
}

/// The lines that are left, in the order in which they are shown.
fn recovered(folder: &Path) -> Vec<(Kept, Was)> {
    let mut lines = Vec::new();
    let recovered = recover(&folder.join("rings")).unwrap();
    assert!(recovered.problems().is_empty(), "{:?}", recovered.problems());
    recovered.visit(|line, was| lines.push((Kept::of(line), was)));
    assert!(lines.is_sorted_by_key(|(line, _)| line.time));
    lines
}

/// The numbers of a thread, from messages of the form of [`write`].
fn numbers<'a>(messages: impl Iterator<Item = &'a str>, thread: u64) -> Vec<u64> {
    let of = |message: &str| {
        let mut words = message.split(' ');
        let thread: u64 = words.next()?.parse().ok()?;
        let number = words.next()?.parse().ok()?;
        Some((thread, number))
    };
    messages.filter_map(of).filter(|(of, _)| *of == thread).map(|(_, number)| number).collect()
}

/// Killed at some moment in mid-run, with a sink that writes: what the sink has written and what is
/// recovered are together every line up to the last committed one, in order, without a gap.
#[test]
fn a_killed_process_leaves_every_line() {
    for lines in [1, 500, 20_000] {
        let folder = tempfile::tempdir().unwrap();
        let child = start(&std::env::current_exe().unwrap(), "writes", folder.path());
        let told = kill_after(child, lines);
        let written = fs::read_to_string(folder.path().join("sink")).unwrap();
        let recovered = recovered(folder.path());
        for (thread, last) in told {
            let written = numbers(written.lines(), thread);
            let messages = recovered.iter().map(|(line, _)| line.message.as_str());
            let left = numbers(messages, thread);
            let newest = *left.last().unwrap();
            assert!(newest >= last, "{newest} of {last}");
            let first = left[0];
            assert!(left.iter().copied().eq(first..=newest), "a gap in what is left: {left:?}");
            let written_to = written.len() as u64;
            assert!(written.iter().copied().eq(0..written_to), "a gap in what was written");
            assert!(first <= written_to, "written up to {written_to}, left from {first}");
            let waiting = recovered.iter().filter(|(_, was)| *was == Was::Waiting);
            let waiting = numbers(waiting.map(|(line, _)| line.message.as_str()), thread);
            assert!(waiting.first().is_none_or(|first| *first <= written_to));
        }
    }
}

/// With sinks that take nothing, all is recovered: after a kill, after an abort, and after the
/// program itself is gone.
#[test]
fn all_is_recovered_from_the_directory_alone() {
    for (role, deleted) in [("sticks", false), ("aborts", false), ("sticks", true)] {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        // By another process: a child of another test, between its fork and its exec, would hold the
        // file that is written here, which then cannot be run.
        let copied =
            Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status();
        assert!(copied.unwrap().success());
        let child = start(&program, role, folder.path());
        let told = kill_after(child, if role == "aborts" { usize::MAX } else { 9000 });
        if deleted {
            fs::remove_file(&program).unwrap();
        }
        let recovered = recovered(folder.path());
        for (thread, last) in told {
            let messages = recovered.iter().map(|(line, _)| line.message.as_str());
            let left = numbers(messages, thread);
            let newest = *left.last().unwrap();
            assert!(newest >= last && left.iter().copied().eq(0..=newest), "{last}: {left:?}");
        }
        let (line, _) = &recovered[0];
        assert!(line.file.ends_with("recovery.rs") && line.target == "recovery", "{line:?}");
        assert!(line.thread.starts_with('t') && line.message.ends_with("some text"));
        assert_eq!(line.fields.len(), 2);
    }
}

/// A run that ends in peace leaves nothing; one that lives is read without being disturbed.
#[test]
fn a_living_run_is_read_and_an_ended_one_is_gone() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let keep = Keep::default();
    let directory = Some(folder.path().join("rings"));
    let guard = Logger::start(Config { directory, ..keep.config() }).unwrap();
    for n in 0..1000 {
        info!("{n} of many");
    }
    let lines = recovered(folder.path());
    assert_eq!(lines.len(), 1000);
    for n in 1000..2000 {
        info!("{n} of many");
    }
    drop(guard);
    assert_eq!(keep.lines().len(), 2000);
    let told = lines.iter().map(|(line, _)| &line.message);
    assert!(told.eq(keep.messages().iter().take(1000)));
    let error = recover(&folder.path().join("rings")).unwrap_err();
    assert!(matches!(error, RecoverError::NoRun(_)), "{error}");
    assert!(recover(&folder.path().join("nowhere")).is_err());
}

/// Torn and scribbled files give errors and what else there is; no panic, whatever is in them.
#[test]
fn scribbled_directories_are_no_danger() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().join("rings"));
    let keep = Keep::default();
    let config = Config { directory, ring_bytes: 16 << 10, ..keep.config() };
    let guard = Logger::start(config).unwrap();
    for n in 0..300_u32 {
        info!("{n} {:?} {} {name}", Some(n), "text", name = "näme");
    }
    let run = guard.folder().unwrap().to_owned();
    let files: Vec<_> =
        ["index", "ring-0"].map(|name| (name, fs::read(run.join(name)).unwrap())).into();
    drop(guard);
    let mut random = fastrand::Rng::with_seed(3);
    let hostile = folder.path().join("hostile");
    fs::create_dir(&hostile).unwrap();
    let mut shown = 0;
    for round in 0..1500 {
        for (name, whole) in &files {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(..6) {
                let range = if random.bool() { bytes.len().min(512) } else { bytes.len() };
                bytes[random.usize(..range)] = random.u8(..);
            }
            if round % 20 == 0 {
                bytes.truncate(random.usize(..bytes.len()));
            }
            fs::write(hostile.join(name), &bytes).unwrap();
        }
        match recover(&hostile) {
            Ok(recovered) => recovered.visit(|line, _| shown += line.message.len().min(1)),
            Err(error) => assert!(error.to_string().contains("hostile"), "{error}"),
        }
    }
    assert!(shown > 10_000, "{shown}: what is whole is shown");
}

/// A copy of a run, but for its index, of which only the head is there.
fn without_sites(run: &Path, copy: &Path) {
    fs::create_dir(copy).unwrap();
    for entry in fs::read_dir(run).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let index = fs::OpenOptions::new().write(true).open(copy.join("index")).unwrap();
    index.set_len(192).unwrap();
}

/// Lines whose call sites the index does not name are counted, and shown as what they are.
#[test]
fn lines_of_unknown_calls_are_counted() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().join("rings"));
    let guard = Logger::start(Config { directory, ..Keep::default().config() }).unwrap();
    let write = || (0..3).for_each(|n| info!("{n}"));
    thread::Builder::new().name("writer".to_owned()).spawn(write).unwrap().join().unwrap();
    let copy = folder.path().join("copy");
    without_sites(guard.folder().unwrap(), &copy);
    drop(guard);
    let recovered = recover(&copy).unwrap();
    let [RecoverError::Sites { path, count: 3 }] = recovered.problems() else {
        panic!("{:?}", recovered.problems());
    };
    assert_eq!(path, &copy.join("ring-0"));
    let mut shown = 0;
    recovered.visit(|line, _| {
        assert!(line.message.contains("is unknown") && line.truncated, "{}", line.message);
        assert_eq!(line.thread, "writer");
        shown += 1;
    });
    assert_eq!(shown, 3);
}

/// What is no regular file is not read, nor waited for, wherever it stands in the folder of a run.
#[test]
fn pipes_and_links_are_not_read() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().join("rings"));
    let guard = Logger::start(Config { directory, ..Keep::default().config() }).unwrap();
    info!("whole");
    let run = guard.folder().unwrap().to_owned();
    let pipe = |path: &Path| {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    };
    pipe(&run.join("ring-77"));
    pipe(&run.join("threads-0.new"));
    std::os::unix::fs::symlink("/dev/zero", run.join("ring-78")).unwrap();
    std::os::unix::fs::symlink(run.join("ring-0"), run.join("ring-79")).unwrap();
    let other = folder.path().join("rings/run-0-0");
    fs::create_dir(&other).unwrap();
    pipe(&other.join("index"));
    let (tell, told) = std::sync::mpsc::channel();
    let directory = folder.path().join("rings");
    thread::spawn(move || tell.send(recover(&directory)));
    let recovered =
        told.recv_timeout(Duration::from_secs(20)).expect("it waits for nobody").unwrap();
    assert_eq!(recovered.problems().len(), 4, "{:?}", recovered.problems());
    let mut messages = Vec::new();
    recovered.visit(|line, _| messages.push(line.message.to_owned()));
    assert_eq!(messages, ["whole"]);
    drop(guard);
}

/// However many threads come and go, the folder of a run does not grow with them, and each of their
/// lines that is left has its name.
#[test]
fn the_folder_does_not_grow_with_threads() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().join("rings"));
    let config = Config { directory, ring_bytes: 8192, longest: 1024, ..Keep::default().config() };
    let guard = Logger::start(config).unwrap();
    let run = guard.folder().unwrap().to_owned();
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    let mut index = 0;
    for n in 0..6000 {
        let write = move || info!("of {n}");
        thread::Builder::new().name(format!("t {n}")).spawn(write).unwrap().join().unwrap();
        if n % 10 == 0 {
            (0..2).for_each(|_| flush().unwrap()); // rings that were read are given back
        }
        if n == 0 {
            index = size(&run.join("index"));
        }
    }
    assert_eq!(size(&run.join("index")), index);
    for entry in fs::read_dir(&run).unwrap() {
        let path = entry.unwrap().path();
        // A hundred threads have lines in a ring, and as many more may be named; 26 bytes each.
        let named = path.to_string_lossy().contains("threads-");
        assert!(!named || size(&path) < 8 << 10, "{}: {}", path.display(), size(&path));
    }
    let lines = recovered(folder.path());
    assert!(lines.len() > 50, "{}", lines.len());
    for (line, _) in lines {
        assert_eq!(line.thread.replace('t', "of"), line.message);
    }
    drop(guard);
}

/// A process may be killed while it makes a ring: before the file has its room, and before it says
/// what it is. Nothing was in it, so nothing is lost, and all else is told.
#[test]
fn a_ring_that_was_being_made_is_no_damage() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { directory: Some(folder.path().join("rings")), ..Keep::default().config() };
    let guard = Logger::start(config).unwrap();
    info!("whole");
    let run = guard.folder().unwrap();
    fs::write(run.join("ring-77"), []).unwrap();
    fs::write(run.join("ring-78"), [0; 64 << 10]).unwrap();
    let messages: Vec<_> =
        recovered(folder.path()).into_iter().map(|(line, _)| line.message).collect();
    assert_eq!(messages, ["whole"]);
    drop(guard);
}
