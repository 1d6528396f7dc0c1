//! `tautline ws connect`: lines go out as messages, messages come in as lines.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tautline_net::{Stdin, Stdout};
use tautline_runtime::{task, timer};
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{Client, CloseCode, Ended, Message, Options, Sender, WebSocket};

use super::tell::Teller;
use super::{Error, flow, reach};
use crate::Failure;
use crate::cli::ConnectArgs;
use crate::mcast::{Lines, Session};

/// Bytes that are read from standard input at a time.
const CHUNK: usize = 1 << 16;
/// So often the server is pinged.
const PING: Duration = Duration::from_secs(1);

/// Opens a connection, and lets standard input and output talk on it until the end.
pub(crate) fn connect(args: &ConnectArgs) -> Result<(), Failure> {
    let session = Session::start(&args.host(), None)?;
    let client = client(args)?;
    let talk = Rc::new(Talk::new(args, &session)?);
    let (talking, ending) = (talk.clone(), session.ending().clone());
    session.spawn(async move {
        let end = talking.clone().hold(client).await;
        talking.is_over.set(true);
        end?;
        ending.now();
        Ok(())
    })?;
    let elapsed = session.run()?;
    // Whoever is asked to end while the connection is open says farewell.
    if talk.say_farewell() {
        session.run_while(|| !talk.is_over.get())?;
    }
    talk.finish(elapsed)?;
    session.result()
}

fn client(args: &ConnectArgs) -> Result<Client, Failure> {
    let most = args.max_message;
    let limits = Limits { max_message: most, max_frame: most, whole: most, ..Limits::default() };
    let mut client = reach::client(&args.reach, Options { limits, ..Options::default() })?;
    for (name, value) in &args.headers {
        client = client.header(name, value);
    }
    for name in &args.protocols {
        client = client.protocol(name);
    }
    let opened = |error| Error::Open { url: args.reach.url.clone(), error: Box::new(error) };
    if let Some(proxy) = &args.proxy {
        client = client.proxy(proxy).map_err(opened)?;
    }
    Ok(client.redirects(args.redirects))
}

/// A connection, and what is told of it.
struct Talk {
    args: ConnectArgs,
    teller: Teller,
    clock: Box<dyn Fn() -> Duration>,
    /// Once the connection is open.
    sender: RefCell<Option<Sender>>,
    is_over: Cell<bool>,
    ended: Rc<RefCell<Option<Ended>>>,
    /// Why standard input or something else that goes out failed.
    failure: RefCell<Option<Error>>,
    /// When the latest ping left, and its number.
    pinged: Cell<(u64, Duration)>,
    sent: Cell<u64>,
    received: Cell<u64>,
    bytes: Cell<u64>,
}

impl Talk {
    fn new(args: &ConnectArgs, session: &Session) -> io::Result<Self> {
        Ok(Self {
            args: args.clone(),
            teller: Teller::new(args)?,
            clock: Box::new(session.clock()),
            sender: RefCell::default(),
            is_over: Cell::new(false),
            ended: Rc::default(),
            failure: RefCell::default(),
            pinged: Cell::default(),
            sent: Cell::default(),
            received: Cell::default(),
            bytes: Cell::default(),
        })
    }

    /// Opens the connection, and holds it until it has ended.
    async fn hold(self: Rc<Self>, client: Client) -> Result<(), Failure> {
        let begun = (self.clock)();
        let url = &self.args.reach.url;
        let opened = client.connect(url).await;
        let mut socket =
            opened.map_err(|error| Error::Open { url: url.clone(), error: Box::new(error) })?;
        self.teller.opened(url, (self.clock)().saturating_sub(begun), &socket);
        let sender = socket.sender();
        let ended = self.ended.clone();
        sender.on_close(move |how| *ended.borrow_mut() = how.ok());
        *self.sender.borrow_mut() = Some(sender);
        self.begin().map_err(Error::Input)?;
        self.listen(&mut socket).await?;
        if let Some(failure) = self.failure.take() {
            return Err(failure.into());
        }
        self.judge()
    }

    /// Has everything begin that goes out.
    fn begin(self: &Rc<Self>) -> io::Result<()> {
        let talk = self.clone();
        task::spawn(async move {
            let spoken = talk.speak().await;
            talk.note_end(spoken);
        })?;
        if self.args.ping {
            let talk = self.clone();
            task::spawn(async move { talk.ping().await })?;
        }
        if let Some(time) = self.args.close_after {
            let talk = self.clone();
            timer::after(time, move || {
                talk.say_farewell();
            })?;
        }
        Ok(())
    }

    /// Sends what was given on the command line, and then the lines of standard input.
    async fn speak(&self) -> Result<(), Error> {
        for message in &self.args.messages {
            self.send(message.as_bytes(), 0).await?;
        }
        let mut stdin = Stdin::open().map_err(Error::Input)?;
        let most = usize::try_from(self.args.max_message).unwrap_or(usize::MAX);
        let (mut lines, mut chunk, mut count) = (Lines::of_at_most(most), vec![0; CHUNK], 0);
        loop {
            let (read, buf) = stdin.read(chunk).await;
            chunk = buf;
            match read.map_err(Error::Input)? {
                0 => break,
                read => lines.push(&chunk[..read]),
            }
            let long = |line| Error::Line { line, most };
            while let Some(line) = lines.next().map_err(|it| long(it.line))? {
                count += 1;
                self.send(line, count).await?;
            }
        }
        match lines.rest() {
            Some(line) => self.send(line, count + 1).await,
            None => Ok(()),
        }
    }

    async fn send(&self, bytes: &[u8], line: u64) -> Result<(), Error> {
        let Some(sender) = self.sender.borrow().clone() else { return Ok(()) };
        let message = match self.args.binary {
            true => Message::Binary(bytes),
            false => Message::Text(std::str::from_utf8(bytes).map_err(|_| Error::NoText { line })?),
        };
        self.teller.frame('>', message, (self.clock)());
        flow::send(&sender, message).await.map_err(|error| self.broken(error))?;
        self.sent.set(self.sent.get() + 1);
        Ok(())
    }

    /// Nothing more is to be sent. What has failed is told when the connection has ended.
    fn note_end(&self, spoken: Result<(), Error>) {
        let has_failed = spoken.is_err();
        *self.failure.borrow_mut() = spoken.err();
        if has_failed || !self.args.stays() {
            self.say_farewell();
        }
    }

    /// Whether there was a connection to say it on.
    fn say_farewell(&self) -> bool {
        let sender = self.sender.borrow();
        let Some(sender) = sender.as_ref().filter(|_| !self.is_over.get()) else { return false };
        // It may be about to end already.
        let _ = sender.close(CloseCode::NORMAL, "");
        let _ = sender.flush();
        true
    }

    async fn ping(&self) {
        let Some(sender) = self.sender.borrow().clone() else { return };
        for number in 1_u64.. {
            self.pinged.set((number, (self.clock)()));
            let sent = sender.ping(&number.to_be_bytes());
            if sent.and_then(|()| Ok(sender.flush()?)).is_err() || timer::sleep(PING).await.is_err()
            {
                return;
            }
        }
    }

    /// Prints what comes, until nothing does.
    async fn listen(&self, socket: &mut WebSocket) -> Result<(), Failure> {
        let mut stdout = Stdout::open()?;
        loop {
            let message = match socket.read().await {
                Ok(Some(Event::Text(text))) => Message::Text(text),
                Ok(Some(Event::Binary(bytes))) => Message::Binary(bytes),
                Ok(Some(Event::Pong(payload))) => {
                    let (number, at) = self.pinged.get();
                    if payload == number.to_be_bytes() {
                        self.teller.pong((self.clock)().saturating_sub(at));
                        self.teller.flush(&mut stdout).await?;
                    }
                    continue;
                }
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.broken(error).into()),
            };
            if self.args.count.is_some_and(|most| self.received.get() >= most) {
                continue; // It was on its way when the farewell was said.
            }
            self.teller.message(&mut stdout, message, (self.clock)()).await?;
            self.received.set(self.received.get() + 1);
            self.bytes.set(self.bytes.get() + message.bytes().len() as u64);
            if self.args.count == Some(self.received.get()) {
                self.say_farewell();
            }
        }
    }

    fn broken(&self, error: io::Error) -> Error {
        Error::Broken { url: self.args.reach.url.clone(), error }
    }

    /// Whether the connection has ended because all was done.
    fn judge(&self) -> Result<(), Failure> {
        let ended = self.ended.borrow();
        let Some(Ended { code: Some(code), reason }) = ended.as_ref() else { return Ok(()) };
        if [CloseCode::NORMAL, CloseCode::GOING_AWAY].contains(code) {
            return Ok(());
        }
        let (url, reason) = (self.args.reach.url.clone(), reason.clone());
        Err(Error::Closed { url, code: code.get(), reason }.into())
    }

    /// Tells how it ended, and how much it was.
    fn finish(&self, elapsed: Duration) -> Result<(), Failure> {
        let ended = self.ended.borrow();
        let code = ended.as_ref().and_then(|ended| ended.code).map(CloseCode::get);
        let reason = ended.as_ref().map(|ended| ended.reason.as_str());
        let (seconds, sent, received) =
            (elapsed.as_secs_f64(), self.sent.get(), self.received.get());
        let object = json!({
            "kind": "summary", "elapsed_s": seconds, "sent": sent, "received": received,
            "bytes": self.bytes.get(), "code": code, "reason": reason,
        });
        let how = code.map_or("no code".to_owned(), |code| format!("the code {code}"));
        let line = format!("{sent} sent, {received} received in {seconds:.3} s; closed with {how}");
        self.teller.note(false, &object, &line);
        self.teller.finish()
    }
}
