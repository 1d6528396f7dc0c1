//! A thread that writes, so that a reader who has stopped reading holds up nobody but it.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Pages that may wait to be written.
const WAITING: usize = 16;
/// How long the end waits for what is not written yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hands pages to its thread and never waits for it before the end.
pub(crate) struct Writer {
    pages: SyncSender<Vec<u8>>,
    last: Sender<Vec<u8>>,
    /// Hears how it went: once, when everything is written or a write has failed.
    done: Receiver<io::Result<()>>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// A writer to `sink`, with a thread of its own.
    ///
    /// # Errors
    /// If the system grants no thread.
    pub(crate) fn start(mut sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (pages, waiting) = sync_channel::<Vec<u8>>(WAITING);
        let (last, at_last) = channel::<Vec<u8>>();
        let (tell, done) = sync_channel(1);
        let named = thread::Builder::new().name("tautline-writer".to_owned());
        let thread = named.spawn(move || {
            let mut all = waiting.into_iter().chain(at_last);
            // Whoever has stopped listening needs no answer.
            let _ = tell.send(all.try_for_each(|page| write(&mut sink, &page)));
        })?;
        Ok(Self { pages, last, done, thread })
    }

    /// Takes a page; false if too many wait, or if nobody can be written to any more: then it is
    /// dropped.
    pub(crate) fn offer(&self, page: Vec<u8>) -> bool {
        self.take(page).is_ok()
    }

    /// Takes a page.
    ///
    /// # Errors
    /// The page, where [`offer`](Self::offer) drops it.
    pub(crate) fn take(&self, page: Vec<u8>) -> Result<(), Vec<u8>> {
        self.pages.try_send(page).map_err(|refused| match refused {
            TrySendError::Full(page) | TrySendError::Disconnected(page) => page,
        })
    }

    /// Whether nobody can be written to any more: [`finish`](Self::finish) says why.
    pub(crate) fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has `page` written behind all that was taken, and waits for it, but not for ever: a reader
    /// who does not read is no failure.
    ///
    /// # Errors
    /// The first failure to write.
    pub(crate) fn finish(self, page: Vec<u8>) -> io::Result<()> {
        self.finish_in_time(page).unwrap_or(Ok(()))
    }

    /// The same; `None`: not all was written in time.
    pub(crate) fn finish_in_time(self, page: Vec<u8>) -> Option<io::Result<()>> {
        let Self { pages, last, done, .. } = self;
        // A thread that has ended says why below.
        let _ = last.send(page);
        drop((pages, last));
        done.recv_timeout(PATIENCE).ok()
    }
}

fn write(sink: &mut impl Write, page: &[u8]) -> io::Result<()> {
    sink.write_all(page)?;
    sink.flush()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    /// Proves that pages are written in order, the last one behind all others.
    #[test]
    fn pages_keep_their_order() {
        let (mut reader, sink) = pipe().unwrap();
        let writer = Writer::start(sink).unwrap();
        assert!(writer.offer(b"one ".to_vec()) && writer.offer(b"two ".to_vec()));
        writer.finish(b"three".to_vec()).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two three");
    }

    /// Proves that a reader who does not read costs pages, and at the end a moment, but no more.
    #[test]
    fn unread_pages_are_dropped() {
        let (_reader, sink) = pipe().unwrap();
        let writer = Writer::start(sink).unwrap();
        let taken = (0..1_000).filter(|_| writer.offer(vec![b'x'; 128 << 10])).count();
        assert!(taken <= WAITING + 1, "{taken}");
        assert!(writer.finish(Vec::new()).is_ok());
    }

    /// Proves that a reader who has gone is told of at the end.
    #[test]
    fn closed_pipe_is_told_of() {
        let (reader, sink) = pipe().unwrap();
        drop(reader);
        let writer = Writer::start(sink).unwrap();
        writer.offer(b"anybody?".to_vec());
        let error = writer.finish(b"nobody".to_vec()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
