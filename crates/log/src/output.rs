//! From records to lines: looks up what a record refers to, fills the template in, and gives the
//! line to the sinks. Records are checked on the way.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::format::Template;
use crate::outlet::Outlets;
use crate::record::{FOREIGN, MOST, Malformed, Read, THREAD};
use crate::sink;
use crate::site;
use crate::timeline::Timeline;
use crate::{Field, Level, Line, Value};

/// The target of lines of the log about itself.
const OWN_TARGET: &str = "tautline_log";
/// The name of the thread that writes them.
pub(crate) const OWN_THREAD: &str = "tautline-log";

/// What a site's records are made lines with.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) level: Level,
    pub(crate) target: &'a str,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    /// None if the format string is none, as it may be in a file.
    pub(crate) template: Option<Template>,
    pub(crate) names: Vec<(u8, &'a str)>,
}

/// What a record is, when it is told.
pub(crate) struct Told<'a> {
    pub(crate) time: u64,
    pub(crate) thread: &'a str,
}

impl Known<'_> {
    /// Makes a record of this site a line, and hands it to `give`.
    pub(crate) fn tell<R>(
        &self,
        told: &Told<'_>,
        read: &Read<'_>,
        message: &mut String,
        give: impl FnOnce(&Line<'_>) -> R,
    ) -> R {
        message.clear();
        match &self.template {
            Some(template) => template.render(read.values(), message),
            None => message.push_str("(the format string is damaged)"),
        }
        let mut fields = [Field { name: "", value: Value::Bool(false) }; MOST];
        let mut count = 0;
        for (index, name) in &self.names {
            if let (Some(value), Some(field)) =
                (read.values().get(usize::from(*index)), fields.get_mut(count))
            {
                *field = Field { name, value: *value };
                count += 1;
            }
        }
        give(&Line {
            time: told.time,
            level: self.level,
            target: self.target,
            file: self.file,
            line: self.line,
            thread: told.thread,
            message,
            truncated: read.truncated,
            fields: &fields[..count],
        })
    }
}

/// Makes a record a line that came with its site ([`FOREIGN`]).
pub(crate) fn foreign<'a>(told: &Told<'a>, read: &'a Read<'a>) -> Result<Line<'a>, Malformed> {
    let [Value::U64(level), Value::U64(line), target, file, message] = read.values() else {
        return Err(Malformed);
    };
    let text = |value: &Value<'a>| match value {
        Value::Str(text) | Value::Text(text) => Ok(*text),
        _ => Err(Malformed),
    };
    Ok(Line {
        time: told.time,
        level: u8::try_from(*level).ok().and_then(Level::from_number).ok_or(Malformed)?,
        target: text(target)?,
        file: text(file)?,
        line: u32::try_from(*line).map_err(|_| Malformed)?,
        thread: told.thread,
        message: text(message)?,
        truncated: read.truncated,
        fields: &[],
    })
}

/// Sinks, and what it takes to write to them.
pub(crate) struct Output {
    pub(crate) outlets: Outlets,
    /// By their numbers.
    sites: Vec<Known<'static>>,
    /// Kept for its memory.
    message: String,
    /// The time of the latest line: no line is told to be older than the one before, unless the
    /// clock was set back.
    latest: u64,
    /// The time of lines of the log about itself.
    now: u64,
}

impl Output {
    pub(crate) fn new(outlets: Outlets) -> Self {
        let (sites, message) = (Vec::new(), String::new());
        Self { outlets, sites, message, latest: 0, now: 0 }
    }

    /// What time it is.
    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// The clock was set: the times of lines may go back once.
    pub(crate) fn forget_latest(&mut self) {
        self.latest = 0;
    }

    /// Hands a record on; returns the name of the thread, if that is what it tells.
    pub(crate) fn record(
        &mut self,
        timeline: &Timeline,
        thread: &str,
        record: &[u8],
    ) -> Result<Option<String>, Malformed> {
        if let Some(name) = thread_name(record) {
            return Ok(Some(name));
        }
        let read = Read::of(record)?;
        self.latest = self.latest.max(timeline.time(read.ticks));
        let told = Told { time: self.latest, thread };
        if read.site == FOREIGN {
            self.outlets.line(&foreign(&told, &read)?);
            return Ok(None);
        }
        let number = read.site as usize;
        if number >= self.sites.len() {
            learn(&mut self.sites);
        }
        let known = self.sites.get(number).ok_or(Malformed)?;
        known.tell(&told, &read, &mut self.message, |line| self.outlets.line(line));
        Ok(None)
    }

    /// A line of the log about itself.
    pub(crate) fn own(&mut self, level: Level, message: &str) {
        self.latest = self.latest.max(self.now);
        let line = Line {
            time: self.latest,
            level,
            target: OWN_TARGET,
            file: "",
            line: 0,
            thread: OWN_THREAD,
            message,
            truncated: false,
            fields: &[],
        };
        self.outlets.line(&line);
    }
}

/// How long what the log says waits for a standard error that is not read.
const READER: Duration = Duration::from_millis(500);
/// A pipe that takes anything takes so much at once.
const AT_ONCE: usize = 4096;

/// What the log cannot say by itself, as one line on standard error. Whoever has closed that, or does
/// not read it, wants to hear no more, which is no reason to end or to wait: it is said only if there
/// is room for it, and past the lock of the standard library, which a sink may hold that hangs.
pub(crate) fn say(what: fmt::Arguments<'_>) {
    let mut text = String::from("tautline-log: ");
    sink::escape(&what.to_string(), &mut text);
    text.truncate(text.floor_char_boundary(AT_ONCE - 1));
    text.push('\n');
    let stderr = io::stderr();
    let limit = Timespec { tv_sec: 0, tv_nsec: READER.subsec_nanos().into() };
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    if poll(&mut ready, Some(&limit)).is_ok_and(|ready| ready > 0) {
        let _ = rustix::io::write(stderr.as_fd(), text.as_bytes());
    }
}

/// The name that a record tells, if it tells one.
pub(crate) fn thread_name(record: &[u8]) -> Option<String> {
    let (head, name) = record.split_at_checked(crate::record::HEAD)?;
    let tells = head[8..12] == THREAD.to_le_bytes();
    tells.then(|| String::from_utf8_lossy(name).into_owned())
}

/// Looks up the sites that have been met since.
#[cold]
fn learn(sites: &mut Vec<Known<'static>>) {
    for site in site::known_from(sites.len()) {
        sites.push(Known {
            level: site.level(),
            target: site.target(),
            file: site.file(),
            line: site.line(),
            template: Template::parse(site.template()).ok(),
            names: site.names().to_vec(),
        });
    }
}
