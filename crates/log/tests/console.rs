//! A console that goes away.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{env, fs};

use tautline_log::sink::{Console, File, Rotation};
use tautline_log::{Config, Logger, flush, info};

/// Names the file that the other process writes to.
const FILE: &str = "TAUTLINE_LOG_TEST_FILE";

/// Writes to a console and a file; the console is closed.
fn write(file: PathBuf) {
    let file = File::open(file, Rotation::default()).unwrap();
    let config =
        Config { sinks: vec![Box::new(Console::stderr()), Box::new(file)], ..Config::default() };
    let guard = Logger::start(config).unwrap();
    info!("one");
    flush().unwrap();
    info!("two");
    drop(guard);
}

/// A console that nobody reads any more keeps no line from the other sinks.
#[test]
fn a_closed_console_ends_no_log() {
    if let Some(file) = env::var_os(FILE) {
        return write(file.into());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_closed_console_ends_no_log", "--nocapture"])
        .env(FILE, file.path())
        .stdout(Stdio::null())
        .stderr(closed)
        .status();
    assert!(status.unwrap().success());
    let text = fs::read_to_string(file.path()).unwrap();
    let messages: Vec<_> = text.lines().map(|line| line.rsplit(' ').next().unwrap()).collect();
    assert_eq!(messages, ["one", "two"]);
}
