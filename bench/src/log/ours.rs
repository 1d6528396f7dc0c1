//! Ours.

use std::{io, path::PathBuf};

use tautline_log::{
    Config, Guard, Logger, info,
    sink::{Human, Stream},
};

use super::{ends::Log, out::Out};

/// With its default configuration.
pub(super) struct Memory(Running);

/// With rings in files. Fields are dropped in this order: the log puts its files away first.
pub(super) struct Files {
    running: Running,
    _folder: Folder,
}

/// A folder that is removed at the end, when nothing is in it any more.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

struct Running {
    out: Out,
    _guard: Guard,
}

impl Running {
    fn start(directory: Option<PathBuf>) -> io::Result<Self> {
        let out = Out::open()?;
        let sinks: Vec<Box<dyn tautline_log::sink::Sink>> =
            vec![Box::new(Stream::new(out.clone(), Human::new()))];
        let config = Config { sinks, directory, ..Config::default() };
        let guard = Logger::start(config).map_err(io::Error::other)?;
        Ok(Self { out, _guard: guard })
    }
}

#[inline(always)]
fn line(id: u64, price: f64, name: &str) {
    info!("order {id} filled at {price:.2} for {name}");
}

impl Log for Memory {
    fn open() -> io::Result<Self> {
        Running::start(None).map(Self)
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        line(id, price, name);
    }

    fn written(&self) -> u64 {
        self.0.out.lines()
    }
}

impl Log for Files {
    fn open() -> io::Result<Self> {
        let name = format!("tautline-bench-log-{}", std::process::id());
        let folder = PathBuf::from("/dev/shm").join(name);
        let running = Running::start(Some(folder.clone()))?;
        Ok(Self { running, _folder: Folder(folder) })
    }

    #[inline(always)]
    fn line(&mut self, id: u64, price: f64, name: &str) {
        line(id, price, name);
    }

    fn written(&self) -> u64 {
        self.running.out.lines()
    }
}
