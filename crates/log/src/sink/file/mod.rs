//! Lines into files.

mod names;

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use self::names::Names;
use super::{Form, Human, Sink, Stream};
use crate::Line;

const NANOS: u64 = 1_000_000_000;

/// When a new file begins, and how many are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A file ends with the line that makes it at least so many bytes long.
    pub max_bytes: Option<u64>,
    /// A file ends with the hour or the day.
    pub every: Option<Every>,
    /// So many files are kept, the one that is written to among them. At least 1.
    pub keep: Option<usize>,
}

/// A time after which a new file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// With each full hour.
    Hour,
    /// At midnight, UTC.
    Day,
}

impl Every {
    fn seconds(self) -> u64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }
}

impl Rotation {
    /// Whether there is ever more than one file.
    fn is_on(&self) -> bool {
        self.max_bytes.is_some() || self.every.is_some()
    }

    /// The number of the hour or day of a second since 1970.
    fn period(&self, second: u64) -> u64 {
        self.every.map_or(0, |every| second / every.seconds())
    }

    fn is_full(&self, bytes: u64) -> bool {
        self.max_bytes.is_some_and(|limit| bytes >= limit)
    }
}

/// Writes to a file, or to one after the other.
///
/// Without rotation, lines are appended to the file of the path itself. With it, each file has its
/// name from the start, and no file is ever renamed, so that nobody who reads one is surprised:
/// `app.log` becomes `app.20261130T045119Z.0000.log`, by the UTC time of its first line and a number
/// that tells files of the same second apart. The names sort by age, and a link by the name
/// `app.log` leads to the newest, unless a file of that name is there. A program that starts again
/// appends to the newest file while that is not full, nor of a time that has passed.
///
/// While the disk is full, 1 MiB of lines is kept, and what is lost is counted, as [`Stream`] has
/// it. A rotation that fails is tried again a second later; until then the old file grows.
///
/// ```
/// use tautline_log::sink::{Every, File, Json, Rotation};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("app.log");
/// let rotation =
///     Rotation { max_bytes: Some(64 << 20), every: Some(Every::Day), keep: Some(14) };
/// let sink = File::open(&path, rotation)?.with_form(Json::new());
/// # drop(sink);
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct File<F = Human> {
    stream: Stream<fs::File, F>,
    names: Names,
    rotation: Rotation,
    /// The file that is written to.
    current: Opened,
    /// A rotation has failed; it is tried again with the first line after this time.
    retry_at: Option<u64>,
}

/// The file that is written to.
#[derive(Debug)]
struct Opened {
    path: PathBuf,
    /// The hour or day that it is for.
    period: u64,
    /// Bytes in it before anything was written to it here.
    bytes: u64,
    /// Bytes that the stream had taken when it was opened.
    taken: u64,
}

impl File {
    /// Opens the file, or the newest of them, to append to it. Lines are for people
    /// ([`Human`]), unless [`with_form`](File::with_form) says otherwise. The clock is read here,
    /// once; later the lines have the time.
    ///
    /// # Errors
    /// What the system says, with the path. Folders are not made.
    pub fn open(path: impl AsRef<Path>, rotation: Rotation) -> io::Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self::open_at(path.as_ref(), rotation, now)
    }

    fn open_at(path: &Path, rotation: Rotation, now: u64) -> io::Result<Self> {
        let names = Names::of(path);
        let (file, current) = match rotation.is_on() {
            true => open_newest(&names, &rotation, now)?,
            false => open_existing(path, 0)?,
        };
        let stream = Stream::new(file, Human::new());
        let sink = Self { stream, names, rotation, current, retry_at: None };
        sink.tidy_up();
        Ok(sink)
    }
}

impl<F: Form> File<F> {
    /// The same, with lines of another form.
    #[must_use]
    pub fn with_form<G: Form>(self, form: G) -> File<G> {
        let Self { stream, names, rotation, current, retry_at } = self;
        File { stream: stream.with_form(form), names, rotation, current, retry_at }
    }

    /// The file that is written to at the moment.
    pub fn path(&self) -> &Path {
        &self.current.path
    }

    /// Whether the line belongs to a new file.
    fn is_due(&self, line: &Line<'_>) -> bool {
        let bytes = self.current.bytes + (self.stream.taken() - self.current.taken);
        let due = self.rotation.is_full(bytes)
            || self.rotation.period(line.time / NANOS) > self.current.period;
        due && self.retry_at.is_none_or(|time| line.time >= time)
    }

    /// Goes on in a new file, if what belongs to the old one could be written.
    fn rotate(&mut self, time: u64) -> io::Result<()> {
        self.stream.flush()?;
        if !self.stream.is_empty() {
            return Ok(()); // the disk is full: told of already
        }
        let (file, mut current) = create(&self.names, &self.rotation, time / NANOS)?;
        current.taken = self.stream.taken();
        self.stream.replace(file);
        self.current = current;
        self.retry_at = None;
        self.tidy_up();
        Ok(())
    }

    /// Leads the link to the newest file, and deletes the oldest. What fails here costs no line, and
    /// is done the next time.
    fn tidy_up(&self) {
        if self.rotation.is_on() {
            let _ = self.names.link(&self.current.path);
            let keep = self.rotation.keep.unwrap_or(usize::MAX).max(1);
            let _ = self.names.prune(keep, &self.current.path);
        }
    }
}

impl<F: Form> Sink for File<F> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut done = Ok(());
        if self.is_due(line) {
            let again = self.retry_at.is_some();
            self.retry_at = Some(line.time.saturating_add(NANOS));
            done = self.rotate(line.time).or_else(|error| if again { Ok(()) } else { Err(error) });
        }
        done.and(self.stream.line(line).map_err(|error| named(&self.current.path, &error)))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().map_err(|error| named(&self.current.path, &error))
    }

    fn held(&self) -> u64 {
        self.stream.held()
    }

    fn lost(&self) -> u64 {
        self.stream.lost()
    }
}

/// The newest file, if lines of now belong to it, else a new one.
fn open_newest(names: &Names, rotation: &Rotation, now: u64) -> io::Result<(fs::File, Opened)> {
    if let Some((path, second)) = names.newest()? {
        let period = rotation.period(second);
        let full = fs::metadata(&path).is_ok_and(|data| rotation.is_full(data.len()));
        if !full && period >= rotation.period(now) {
            return open_existing(&path, period);
        }
    }
    create(names, rotation, now)
}

/// Opens a file to append to it, or makes it. If its last line was cut off, the next one begins on
/// a line of its own.
fn open_existing(path: &Path, period: u64) -> io::Result<(fs::File, Opened)> {
    let open = || {
        let mut file = fs::OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 && !ends_line(&mut file)? {
            file.write_all(b"\n")?;
            bytes += 1;
        }
        Ok((file, Opened { path: path.to_owned(), period, bytes, taken: 0 }))
    };
    open().map_err(|error| named(path, &error))
}

/// Whether the last byte of a file is a line break. What cannot be looked at (a pipe) is not asked.
fn ends_line(file: &mut fs::File) -> io::Result<bool> {
    let mut last = [b'\n'];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn create(names: &Names, rotation: &Rotation, second: u64) -> io::Result<(fs::File, Opened)> {
    let (file, path) = names.create(second)?;
    let period = rotation.period(second);
    Ok((file, Opened { path, period, bytes: 0, taken: 0 }))
}

/// The same error, and the file that it is about.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("log file {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
