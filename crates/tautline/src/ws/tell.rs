//! What `tautline ws connect` prints: messages on standard output, which it waits for, and what it was
//! asked to tell besides on standard error, which it does not wait for.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use serde_json::{Value, json};
use tautline_net::Stdout;
use tautline_websocket::deflate::Agreed;
use tautline_websocket::{Message, WebSocket};

use crate::Failure;
use crate::cli::ConnectArgs;
use crate::mcast::Page;
use crate::table::quantity::nanos;

/// Where it is printed, and how.
pub(super) struct Teller {
    json: bool,
    verbose: bool,
    /// Objects that are no messages wait here for the next time that standard output is written to.
    objects: RefCell<Vec<u8>>,
    trace: RefCell<Page>,
}

impl Teller {
    /// Nothing is printed yet.
    ///
    /// # Errors
    /// If the system grants no thread.
    pub(super) fn new(args: &ConnectArgs) -> io::Result<Self> {
        Ok(Self {
            json: args.json,
            verbose: args.verbose,
            objects: RefCell::default(),
            trace: RefCell::new(Page::to(io::stderr())?),
        })
    }

    /// Prints a message that has come.
    pub(super) async fn message(
        &self,
        stdout: &mut Stdout,
        message: Message<'_>,
        at: Duration,
    ) -> io::Result<()> {
        self.frame('<', message, at);
        let mut line = self.objects.take();
        if self.json {
            line.extend_from_slice(object(message, at).to_string().as_bytes());
        } else {
            line.extend_from_slice(message.bytes());
        }
        line.push(b'\n');
        stdout.write_all(line).await.0.map(drop)
    }

    /// Prints the objects that wait.
    pub(super) async fn flush(&self, stdout: &mut Stdout) -> io::Result<()> {
        let waiting = self.objects.take();
        if waiting.is_empty() { Ok(()) } else { stdout.write_all(waiting).await.0.map(drop) }
    }

    /// Tells of a message in that direction.
    pub(super) fn frame(&self, direction: char, message: Message<'_>, at: Duration) {
        if self.verbose {
            let (kind, length) = (kind(message), message.bytes().len());
            self.trace(&format!("{direction} {kind} of {length} B at {:.6} s", at.as_secs_f64()));
        }
    }

    /// Tells of anything else: as an object, where those are printed, else on standard error.
    pub(super) fn note(&self, asked: bool, object: &Value, line: &str) {
        if self.json {
            let mut objects = self.objects.borrow_mut();
            objects.extend_from_slice(object.to_string().as_bytes());
            objects.push(b'\n');
        } else if asked || self.verbose {
            self.trace(line);
        }
    }

    fn trace(&self, line: &str) {
        let mut trace = self.trace.borrow_mut();
        trace.put(&format!("{line}\n"));
        trace.rest();
    }

    /// Prints what is left.
    ///
    /// # Errors
    /// [`Failure::Unread`] and other failures to print.
    pub(super) fn finish(&self) -> Result<(), Failure> {
        use std::io::Write;
        io::stdout().write_all(&self.objects.take())?;
        // Whoever has closed standard error wants to hear no more.
        let _ = self.trace.borrow_mut().finish("");
        Ok(())
    }

    /// Tells that the connection is open.
    pub(super) fn opened(&self, url: &str, took: Duration, socket: &WebSocket) {
        let (protocol, deflate) = (socket.protocol(), socket.deflate().map(Agreed::to_string));
        let object = json!({
            "kind": "open", "url": url, "open_s": took.as_secs_f64(), "protocol": protocol,
            "deflate": deflate,
        });
        let mut line = format!("open after {}: {url}", time(took));
        for what in [protocol, deflate.as_deref()].into_iter().flatten() {
            line.push_str(", ");
            line.push_str(what);
        }
        self.note(false, &object, &line);
    }

    /// Tells how long a ping took to come back.
    pub(super) fn pong(&self, took: Duration) {
        let object = json!({ "kind": "pong", "round_trip_s": took.as_secs_f64() });
        self.note(true, &object, &format!("pong after {}", time(took)));
    }
}

/// A time for people.
pub(super) fn time(time: Duration) -> String {
    nanos(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

fn kind(message: Message<'_>) -> &'static str {
    match message {
        Message::Text(_) => "text",
        Message::Binary(_) => "binary",
    }
}

fn object(message: Message<'_>, at: Duration) -> Value {
    let (seconds, length) = (at.as_secs_f64(), message.bytes().len());
    let mut object = json!({
        "kind": "message", "type": kind(message), "at_s": seconds, "bytes": length,
    });
    match message {
        Message::Text(text) => object["text"] = text.into(),
        Message::Binary(bytes) => object["hex"] = hex(bytes).into(),
    }
    object
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |at: u8| char::from(DIGITS[usize::from(at)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a message is told as what it is, and that bytes can be read back.
    #[test]
    fn messages_are_told_as_what_they_are() {
        let text = object(Message::Text("a\nb"), Duration::from_millis(1_500));
        assert_eq!(
            (&text["type"], &text["text"], &text["at_s"]),
            (&"text".into(), &"a\nb".into(), &1.5.into())
        );
        let binary = object(Message::Binary(&[0, 0x7f, 0xa0]), Duration::ZERO);
        assert_eq!((&binary["hex"], &binary["bytes"]), (&"007fa0".into(), &3.into()));
    }
}
