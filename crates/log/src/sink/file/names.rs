//! The names of files that follow each other.

use std::ffi::OsString;
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
        let text = |part: Option<&std::ffi::OsStr>| {
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

    /// Makes a file whose first line is of that second since 1970, under a name that nobody has.
    pub(super) fn create(&self, second: u64) -> io::Result<(fs::File, PathBuf)> {
        let time =
            i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
        let time = time.unwrap_or(Timestamp::MAX).strftime(TIME).to_string();
        let mut path = PathBuf::new();
        for number in 0..NUMBERS {
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
        Ok(newest.map(|(name, second)| (self.folder.join(name), second)))
    }

    /// Deletes the oldest files but for `keep`, and never `current`.
    pub(super) fn prune(&self, keep: usize, current: &Path) -> io::Result<()> {
        let files = self.list()?;
        let surplus = files.len().saturating_sub(keep);
        let paths = files.iter().take(surplus).map(|(name, _)| self.folder.join(name));
        paths.filter(|path| path != current).try_for_each(|path| match fs::remove_file(&path) {
            // Another process was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        })
    }

    /// Leads a link by the name of the path to a file beside it, in one step for all who look. A
    /// file of that name stays.
    pub(super) fn link(&self, target: &Path) -> io::Result<()> {
        let Some(target) = target.file_name() else { return Ok(()) };
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

    /// All files, the oldest first, each with the second of its first line.
    fn list(&self) -> io::Result<Vec<(OsString, u64)>> {
        let entries = fs::read_dir(&self.folder).map_err(|error| named(&self.folder, &error))?;
        let names = entries.filter_map(|entry| entry.ok().map(|entry| entry.file_name()));
        let ours =
            names.filter_map(|name| self.second(name.to_str()?).map(|second| (name, second)));
        let mut files: Vec<_> = ours.collect();
        files.sort();
        Ok(files)
    }

    /// The second that stands in a file's name, if it is one of ours.
    fn second(&self, name: &str) -> Option<u64> {
        let middle = name.strip_prefix(&self.before)?.strip_suffix(&self.behind)?;
        let (time, number) = middle.split_once('.')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let whole = time.len() == "20261130T045119Z".len() && number.len() == 4 && digits(number);
        let time = whole.then(|| DateTime::strptime(TIME, time).ok()).flatten()?;
        let second = time.to_zoned_datetime(TimeZone::UTC).ok()?.timestamp().as_second();
        u64::try_from(second).ok()
    }
}
