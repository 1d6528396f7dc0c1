//! The names of files that follow each other.

use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::{fs, process};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::named;

/// `20261130T045119Z`
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// Files whose first lines are of the same second have numbers below this.
const NUMBERS: u32 = 10_000;

/// The path `FOLDER/STEM.EXTENSION`, from which those of the files are made:
/// `FOLDER/STEM.TIME.NUMBER.EXTENSION`.
#[derive(Debug)]
pub(super) struct Names {
    path: PathBuf,
    folder: PathBuf,
    /// `app.`
    before: String,
    /// `.log`, or nothing.
    behind: String,
}

impl Names {
    pub(super) fn of(path: &Path) -> Self {
        let text = |part: Option<&OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let extension = text(path.extension());
        Self {
            path: path.to_owned(),
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            before: text(path.file_stem()) + ".",
            behind: if extension.is_empty() { extension } else { format!(".{extension}") },
        }
    }

    /// Makes a file whose first line is of that second since 1970, under a name that nobody has and
    /// that sorts behind all others, whatever was deleted and however the clock was set.
    pub(super) fn create(&self, second: u64) -> io::Result<(fs::File, PathBuf)> {
        let newest = self.list()?.pop();
        let (second, first) = match newest {
            Some(newest) if newest.second >= second => (newest.second, newest.number + 1),
            _ => (second, 0),
        };
        let time =
            i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = time.unwrap_or(Timestamp::MAX).strftime(TIME).to_string();
        let mut path = PathBuf::new();
        for number in first..NUMBERS {
            let Self { before, behind, .. } = self;
            path = self.folder.join(format!("{before}{time}.{number:04}{behind}"));
            match fs::OpenOptions::new().append(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named(&path, &error)),
                Ok(file) => return Ok((file, path)),
            }
        }
        Err(named(&path, &ErrorKind::AlreadyExists.into()))
    }

    /// The newest file, and the second of its first line.
    pub(super) fn newest(&self) -> io::Result<Option<(PathBuf, u64)>> {
        let newest = self.list()?.pop();
        Ok(newest.map(|file| (self.folder.join(file.name), file.second)))
    }

    /// Deletes the oldest files but for `keep`, and never `current`.
    pub(super) fn prune(&self, keep: usize, current: &Path) -> io::Result<()> {
        let files = self.list()?;
        let surplus = files.len().saturating_sub(keep);
        let paths = files.iter().take(surplus).map(|file| self.folder.join(&file.name));
        paths.filter(|path| path != current).try_for_each(|path| match fs::remove_file(&path) {
            // Another process was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        })
    }

    /// Leads a link by the name of the path to a file beside it, in one step for all who look. A
    /// file of that name stays.
    pub(super) fn link(&self, target: &Path) -> io::Result<()> {
        let Some(target) = target.file_name() else {
            return Ok(());
        };
        match fs::symlink_metadata(&self.path) {
            Ok(data) if !data.is_symlink() => return Ok(()),
            _ => {}
        }
        let new = self.folder.join(format!(".{}link.{}", self.before, process::id()));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => std::os::unix::fs::symlink(target, &new)?,
        }
        fs::rename(&new, &self.path)
    }

    /// All files, the oldest first.
    fn list(&self) -> io::Result<Vec<Dated>> {
        let entries = fs::read_dir(&self.folder).map_err(|error| named(&self.folder, &error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut files: Vec<_> = names.filter_map(|name| self.read(name)).collect();
        files.sort();
        Ok(files)
    }

    /// What a file's name says, if it is one of ours.
    fn read(&self, name: String) -> Option<Dated> {
        let middle = name.strip_prefix(&self.before)?.strip_suffix(&self.behind)?;
        let (time, number) = middle.split_once('.')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if time.len() != "20261130T045119Z".len() || number.len() != 4 || !digits(number) {
            return None;
        }
        let number = number.parse().ok()?;
        let time = DateTime::strptime(TIME, time).ok()?;
        let second = time.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_second();
        Some(Dated { second: u64::try_from(second).ok()?, number, name })
    }
}

/// A file, sorted by age, as its name is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dated {
    /// That of its first line, or of the file before it if the clock was set back.
    second: u64,
    /// Its place among those of the same second.
    number: u32,
    name: String,
}
