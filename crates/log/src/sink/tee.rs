//! Lines into several sinks.

use std::fmt;
use std::io;

use super::Sink;
use crate::Line;

/// Gives each line to several sinks. One that fails does not keep the others from it.
///
/// ```
/// use tautline_log::sink::{Console, Json, Sink, Stream, Tee};
/// let tee = Tee::new().with(Console::stderr()).with(Stream::new(Vec::new(), Json::new()));
/// assert_eq!(tee.lost(), 0);
/// ```
#[derive(Default)]
pub struct Tee {
    sinks: Vec<Box<dyn Sink>>,
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("sinks", &self.sinks.len()).finish()
    }
}

impl Tee {
    /// No sink yet: lines go nowhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and one sink more.
    #[must_use]
    pub fn with(mut self, sink: impl Sink + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Has each sink do something; the first failure is told.
    fn each(&mut self, act: impl Fn(&mut dyn Sink) -> io::Result<()>) -> io::Result<()> {
        let mut done = Ok(());
        for sink in &mut self.sinks {
            done = done.and(act(&mut **sink));
        }
        done
    }
}

impl Sink for Tee {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.each(|sink| sink.line(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.each(|sink| sink.flush())
    }

    fn held(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.held()).sum()
    }

    fn lost(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.lost()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::{Disk, line};
    use crate::sink::{Human, Json, Stream};

    /// Proves that all sinks get all lines, also while one of them fails, which is told.
    #[test]
    fn one_failure_hinders_no_other() {
        let (full, good) = (Disk::default(), Disk::default());
        full.set_room(Some(0));
        let mut tee = Tee::new()
            .with(Stream::new(full.clone(), Human::new()))
            .with(Stream::new(good.clone(), Json::new()));
        tee.line(&line("one")).unwrap();
        assert_eq!(tee.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        tee.line(&line("two")).unwrap();
        tee.flush().unwrap();
        assert_eq!((full.text().as_str(), good.text().lines().count()), ("", 2));
    }
}
