//! Files that follow each other.

use tempfile::TempDir;

use super::*;
use crate::sink::testing::line;

/// 2025-11-30 04:51:19 UTC, in seconds.
const START: u64 = 1_764_478_279;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, rotation: Rotation, now: u64) -> File {
        File::open_at(&self.0.path().join("app.log"), rotation, now).unwrap()
    }

    /// The names of all files, sorted, but for the link.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != "app.log").collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// The messages of all files, in the order of their names.
    fn messages(&self) -> Vec<String> {
        let text: String = self.names().iter().map(|name| self.read(name)).collect();
        text.lines().map(|line| line.split_once(": ").unwrap().1.to_owned()).collect()
    }
}

fn at(second: u64, message: &str) -> Line<'_> {
    Line { time: second * NANOS, ..line(message) }
}

fn write(file: &mut File, second: u64, message: &str) {
    file.line(&at(second, message)).unwrap();
    file.flush().unwrap();
}

/// Proves that without rotation lines are appended to the very file, behind a line that was cut off
/// when the program was killed.
#[test]
fn one_file_is_appended_to() {
    let folder = Folder::new();
    fs::write(folder.0.path().join("app.log"), "a line that was cut o").unwrap();
    for message in ["one", "two"] {
        write(&mut folder.open(Rotation::default(), START), START, message);
    }
    let text = folder.read("app.log");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines[0], lines.len()), ("a line that was cut o", 3));
    assert!(lines[1].ends_with(": one") && lines[2].ends_with(": two"), "{text}");
    assert!(folder.names().is_empty());
}

/// Proves that a file ends with the line that fills it, that no line is lost or written twice, that
/// names sort by age within a second too, and that the link leads to the newest.
#[test]
fn full_files_are_followed_by_others() {
    let folder = Folder::new();
    let rotation = Rotation { max_bytes: Some(150), ..Rotation::default() };
    let mut file = folder.open(rotation, START);
    let messages: Vec<_> = (0..10).map(|number| format!("message {number}")).collect();
    messages.iter().for_each(|message| file.line(&at(START, message)).unwrap());
    file.flush().unwrap();
    let names: Vec<_> = (0..4).map(|n| format!("app.20251130T045119Z.{n:04}.log")).collect();
    assert_eq!(folder.names(), names);
    assert_eq!(folder.messages(), messages);
    assert_eq!(folder.read(&names[0]).lines().count(), 3);
    assert_eq!(folder.read("app.log"), folder.read(&names[3]));
}

/// Proves that a new file begins with the hour or the day of a line, not later and not sooner, and
/// that a line which comes late makes no file of a time that has passed.
#[test]
fn files_end_with_their_time() {
    for (every, seconds) in [(Every::Hour, 3_600), (Every::Day, 86_400)] {
        let folder = Folder::new();
        let rotation = Rotation { every: Some(every), ..Rotation::default() };
        let mut file = folder.open(rotation, START);
        let next = (START / seconds + 1) * seconds;
        let times = [START, next - 1, next, next - 1, next + seconds - 1, next + 5 * seconds];
        times.iter().for_each(|second| write(&mut file, *second, "x"));
        let counts: Vec<_> =
            folder.names().iter().map(|name| folder.read(name).lines().count()).collect();
        assert_eq!(counts, [2, 3, 1], "{every:?}");
    }
}

/// Proves that a program that starts again goes on in the newest file, unless that is full or of an
/// hour that has passed.
#[test]
fn restart_goes_on_in_the_newest_file() {
    let folder = Folder::new();
    let rotation =
        Rotation { max_bytes: Some(200), every: Some(Every::Hour), ..Rotation::default() };
    for (second, files) in [(START, 1), (START + 1, 1), (START + 2, 1), (START + 3, 1)] {
        write(&mut folder.open(rotation, second), second, "again");
        assert_eq!(folder.names().len(), files, "{second}");
    }
    write(&mut folder.open(rotation, START + 4), START + 4, "full");
    assert_eq!(folder.names().len(), 2, "the first has its 200 bytes");
    write(&mut folder.open(rotation, START + 3_600), START + 3_600, "later");
    assert_eq!(folder.names().len(), 3);
    assert_eq!(folder.messages(), ["again", "again", "again", "again", "full", "later"]);
}

/// Proves that so many files are kept as was said, the newest of them, and that files of other names
/// are left alone.
#[test]
fn oldest_files_are_deleted() {
    let folder = Folder::new();
    let others =
        ["app.notes.log", "app.20251130T045119Z.00.log", "apple.20251130T045119Z.0000.log"];
    others.iter().for_each(|name| fs::write(folder.0.path().join(name), "mine").unwrap());
    let rotation = Rotation { max_bytes: Some(1), keep: Some(3), ..Rotation::default() };
    let mut file = folder.open(rotation, START);
    (0..10).for_each(|second| write(&mut file, START + second, "x"));
    let names = folder.names();
    let ours: Vec<_> = names.iter().filter(|name| !others.contains(&name.as_str())).collect();
    assert_eq!(
        ours,
        [
            "app.20251130T045126Z.0000.log",
            "app.20251130T045127Z.0000.log",
            "app.20251130T045128Z.0000.log"
        ]
    );
    assert_eq!(names.len(), 6);
}

/// Proves that names sort by age also where the oldest files of the same second are gone already,
/// and after the clock was set back.
#[test]
fn names_sort_by_age_whatever_the_clock_does() {
    let folder = Folder::new();
    let rotation = Rotation { max_bytes: Some(1), keep: Some(2), ..Rotation::default() };
    for message in ["0", "1", "2", "3"] {
        write(&mut folder.open(rotation, START), START, message);
    }
    assert_eq!(folder.messages(), ["2", "3"]);
    let mut file = folder.open(rotation, START - 100);
    write(&mut file, START - 100, "4");
    write(&mut file, START - 99, "5");
    assert_eq!(folder.messages(), ["4", "5"]);
}

/// Proves that two processes that rotate under one path lose no line.
#[test]
fn two_writers_share_a_path() {
    let folder = Folder::new();
    let rotation = Rotation { max_bytes: Some(300), ..Rotation::default() };
    let mut files = [folder.open(rotation, START), folder.open(rotation, START)];
    for number in 0..100 {
        write(&mut files[number % 2], START + number as u64 / 10, &format!("{number}"));
    }
    let mut numbers: Vec<u32> =
        folder.messages().iter().map(|message| message.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

/// Proves that a rotation that fails costs no line, is told of once, and is made up for later.
#[test]
fn failed_rotation_costs_no_line() {
    let folder = Folder::new();
    let rotation = Rotation { max_bytes: Some(1), ..Rotation::default() };
    let mut file = folder.open(rotation, START);
    write(&mut file, START, "one");
    let (here, away) = (folder.0.path().to_owned(), folder.0.path().with_extension("away"));
    fs::rename(&here, &away).unwrap();
    let error = file.line(&at(START + 1, "two")).unwrap_err();
    assert!(error.to_string().contains(here.to_str().unwrap()), "{error}");
    file.line(&at(START + 1, "three")).unwrap();
    file.line(&at(START + 2, "four")).unwrap();
    fs::rename(&away, &here).unwrap();
    file.line(&at(START + 3, "five")).unwrap();
    file.flush().unwrap();
    assert_eq!(folder.messages(), ["one", "two", "three", "four", "five"]);
    assert_eq!(folder.names().len(), 2);
}

/// Proves that a file that cannot be opened is named in the error.
#[test]
fn errors_name_the_file() {
    let folder = Folder::new();
    let path = folder.0.path().join("no/such/folder/app.log");
    for max_bytes in [None, Some(1)] {
        let error = File::open(&path, Rotation { max_bytes, ..Rotation::default() }).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
