//! `tautline ws bench`: messages to an echo server, as many as it answers or at a rate, every answer
//! compared.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;
use tautline_runtime::{task, timer};
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{Client, CloseCode, Options, SendError, Sender};

use super::load::{Pattern, UnderWay};
use super::tell::time;
use super::{Error, reach};
use crate::Failure;
use crate::cli::BenchArgs;
use crate::mcast::{Pace, Session};
use crate::table::quantity::{bits, bytes, things};

/// How long answers are waited for when nothing more is sent.
const PATIENCE: Duration = Duration::from_secs(2);
/// So often it is looked whether they have come.
const LOOK: Duration = Duration::from_millis(1);
/// So soon it stops when it is asked to.
const STOP_WITHIN: Duration = Duration::from_millis(20);
/// Messages that are sent in a row when they are overdue.
const BATCH: usize = 64;
/// The longest latency that is told apart from longer ones, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// Loads a server for a while, and tells how it answers.
pub(crate) fn bench(args: &BenchArgs) -> Result<(), Failure> {
    let session = Session::start(&args.host(), None)?;
    let client = client(args)?;
    let load = Rc::new(Load::new(args, &session));
    let (loading, ending) = (load.clone(), session.ending().clone());
    session.spawn(async move {
        let done = loading.run(&client).await;
        loading.is_busy.set(false);
        done?;
        ending.now();
        Ok(())
    })?;
    session.run()?;
    // Whoever is asked to end hears what was so far.
    load.stop();
    session.run_while(|| load.is_busy.get() && !session.has_failed())?;
    if session.has_failed() {
        return session.result();
    }
    load.tell(args)?;
    load.judge()
}

fn client(args: &BenchArgs) -> Result<Client, Error> {
    let under_way = args.pipeline() * (args.size + 14);
    let limits = Limits::default();
    let write_limit = Options::default().write_limit.max(2 * under_way);
    reach::client(&args.reach, Options { limits, write_limit, ..Options::default() })
}

/// All connections, and what came of them.
struct Load {
    url: String,
    connections: usize,
    rate: Option<u64>,
    pipeline: usize,
    time: Duration,
    clock: Box<dyn Fn() -> Duration>,
    /// It is under way.
    is_busy: Cell<bool>,
    lines: RefCell<Vec<Rc<Line>>>,
    /// Connections on which messages are compressed.
    deflated: Cell<u64>,
    pattern: RefCell<Pattern>,
    latency: RefCell<Histogram<u64>>,
    /// When the first message left, and when nothing more did.
    began: Cell<Duration>,
    stopped: Cell<Option<Duration>>,
    /// Right answers that came before nothing more was sent.
    answers: Cell<u64>,
    wrong: Cell<u64>,
    /// Messages that found no room when they were due.
    refused: Cell<u64>,
    /// What went wrong with connections, and with how many.
    errors: RefCell<BTreeMap<String, u64>>,
}

/// One connection.
struct Line {
    sender: Sender,
    under_way: RefCell<UnderWay>,
}

impl Load {
    fn new(args: &BenchArgs, session: &Session) -> Self {
        let mut latency = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds that are right");
        latency.auto(false);
        Self {
            url: args.reach.url.clone(),
            connections: args.connections,
            rate: args.rate,
            pipeline: args.pipeline(),
            time: args.seconds,
            clock: Box::new(session.clock()),
            is_busy: Cell::new(true),
            lines: RefCell::default(),
            deflated: Cell::default(),
            pattern: RefCell::new(Pattern::of(args.size)),
            latency: RefCell::new(latency),
            began: Cell::default(),
            stopped: Cell::default(),
            answers: Cell::default(),
            wrong: Cell::default(),
            refused: Cell::default(),
            errors: RefCell::default(),
        }
    }

    async fn run(self: &Rc<Self>, client: &Client) -> Result<(), Failure> {
        for _ in 0..self.connections {
            self.open(client).await?;
        }
        self.began.set((self.clock)());
        match self.rate {
            Some(rate) => self.send_at(rate).await?,
            None => self.fill(),
        }
        self.wait_until(self.began.get() + self.time).await?;
        self.stop();
        for _ in 0..PATIENCE.as_millis() / LOOK.as_millis() {
            if self.unanswered() == 0 {
                break;
            }
            timer::sleep(LOOK).await.map_err(io::Error::from)?;
        }
        for line in self.lines.borrow().iter() {
            let _ = line.sender.close(CloseCode::NORMAL, "");
        }
        // The farewells leave at the end of the turn.
        Ok(timer::sleep(LOOK).await.map_err(io::Error::from)?)
    }

    async fn open(self: &Rc<Self>, client: &Client) -> Result<(), Failure> {
        let failed = |error| Error::Open { url: self.url.clone(), error };
        let socket = client.connect(&self.url).await.map_err(|error| failed(Box::new(error)))?;
        let line =
            Rc::new(Line { sender: socket.sender(), under_way: RefCell::new(UnderWay::default()) });
        self.lines.borrow_mut().push(line.clone());
        self.deflated.set(self.deflated.get() + u64::from(socket.deflate().is_some()));
        let load = self.clone();
        let sender = socket.on_event(move |_, event| load.see(&line, event))?;
        let load = self.clone();
        sender.on_close(move |how| {
            let told = match how {
                _ if load.is_stopped() => return,
                Ok(ended) => match ended.code {
                    Some(code) => format!("the server has closed with the code {code}"),
                    None => "the server has closed".to_owned(),
                },
                Err(error) => error.to_string(),
            };
            *load.errors.borrow_mut().entry(told).or_default() += 1;
        });
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stopped.get().is_some()
    }

    /// Nothing more is sent.
    fn stop(&self) {
        if !self.is_stopped() {
            self.stopped.set(Some((self.clock)()));
        }
    }

    /// Has as much under way on each connection as there is to be.
    fn fill(&self) {
        for line in self.lines.borrow().iter() {
            for _ in 0..self.pipeline {
                self.send(line, (self.clock)());
            }
        }
    }

    /// Waits until then, or until nothing more is to be sent.
    async fn wait_until(&self, then: Duration) -> io::Result<()> {
        while !self.is_stopped() {
            let wait = then.saturating_sub((self.clock)());
            if wait.is_zero() {
                break;
            }
            timer::sleep(wait.min(STOP_WITHIN)).await?;
        }
        Ok(())
    }

    /// Sends at a rate, on one connection after the other, until the time is over.
    async fn send_at(&self, rate: u64) -> Result<(), Failure> {
        let (mut pace, began) = (Pace::of_packets(rate as f64), self.began.get());
        let lines = self.lines.borrow().clone();
        let mut sent_at_once = 0;
        for line in lines.iter().cycle() {
            let due = pace.next();
            if due >= self.time || self.is_stopped() {
                break;
            }
            if (self.clock)() < began + due {
                self.wait_until(began + due).await?;
                sent_at_once = 0;
            } else if sent_at_once == BATCH {
                // Who is behind catches up, and still sees the answers.
                task::yield_now().await;
                sent_at_once = 0;
            }
            sent_at_once += 1;
            pace.note_sent(1);
            self.send(line, began + due);
        }
        Ok(())
    }

    fn send(&self, line: &Line, due: Duration) {
        let mut under_way = line.under_way.borrow_mut();
        let mut pattern = self.pattern.borrow_mut();
        match line.sender.send(pattern.message(under_way.next())) {
            Ok(()) => under_way.note_sent(due),
            Err(SendError::Full { .. }) => self.refused.set(self.refused.get() + 1),
            // The end of the connection says why.
            Err(_) => {}
        }
    }

    /// An answer, or anything else.
    fn see(&self, line: &Line, event: Event<'_>) {
        let bytes = match event {
            Event::Binary(bytes) => bytes,
            Event::Text(text) => text.as_bytes(),
            _ => return,
        };
        let now = (self.clock)();
        let taken = line.under_way.borrow_mut().take();
        let is_binary = matches!(event, Event::Binary(_));
        match taken {
            Some((number, due)) if is_binary && self.pattern.borrow().is(number, bytes) => {
                self.note_answer(now.saturating_sub(due));
            }
            _ => self.wrong.set(self.wrong.get() + 1),
        }
        if self.rate.is_none() && !self.is_stopped() {
            self.send(line, now);
        }
    }

    fn note_answer(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(LONGEST);
        self.latency.borrow_mut().saturating_record(nanoseconds.max(1));
        if !self.is_stopped() {
            self.answers.set(self.answers.get() + 1);
        }
    }

    fn unanswered(&self) -> usize {
        self.lines.borrow().iter().map(|line| line.under_way.borrow().len()).sum()
    }

    fn tell(&self, args: &BenchArgs) -> io::Result<()> {
        let ended = self.stopped.get().unwrap_or_default();
        let seconds = ended.saturating_sub(self.began.get()).as_secs_f64();
        let (answers, size) = (self.answers.get(), args.size as u64);
        let rate = if seconds > 0.0 { answers as f64 / seconds } else { 0.0 };
        let (latency, errors) = (self.latency.borrow(), self.errors.borrow());
        let at = |share: f64| latency.value_at_quantile(share);
        let mut stdout = io::stdout().lock();
        if args.json {
            let us = |nanoseconds: u64| nanoseconds as f64 / 1e3;
            let object = json!({
                "kind": "summary", "url": self.url, "elapsed_s": seconds,
                "connections": self.connections, "deflated": self.deflated.get(), "size": size, "pipeline": args.rate.is_none().then_some(self.pipeline),
                "asked_messages_per_s": args.rate, "messages": answers, "messages_per_s": rate,
                "latency_us": {
                    "p50": us(at(0.5)), "p90": us(at(0.9)), "p99": us(at(0.99)),
                    "p999": us(at(0.999)), "max": us(latency.max()), "mean": latency.mean() / 1e3,
                },
                "unanswered": self.unanswered(), "wrong": self.wrong.get(),
                "refused": self.refused.get(), "errors": *errors,
            });
            return writeln!(stdout, "{object}");
        }
        let deflated = match self.deflated.get() {
            0 => String::new(),
            count => format!(" ({count} compressed)"),
        };
        writeln!(
            stdout,
            "{} of {size} B over {}{deflated} in {seconds:.1} s: {} msg/s, {}/s each way",
            things(answers, "message"),
            things(self.connections as u64, "connection"),
            bits(rate),
            bytes((rate * size as f64) as u64),
        )?;
        let told = |nanoseconds| time(Duration::from_nanos(nanoseconds));
        writeln!(
            stdout,
            "latency: 50 % {}, 90 % {}, 99 % {}, 99.9 % {}, longest {}",
            told(at(0.5)),
            told(at(0.9)),
            told(at(0.99)),
            told(at(0.999)),
            told(latency.max()),
        )
    }

    /// Whether every answer came and was right.
    fn judge(&self) -> Result<(), Failure> {
        let mut whys = Vec::new();
        let counted = [
            (self.wrong.get(), "wrong answer"),
            (self.unanswered() as u64, "message without an answer"),
            (self.refused.get(), "message for which there was no room when it was due"),
        ];
        for (count, what) in counted.into_iter().filter(|(count, _)| *count > 0) {
            whys.push(format!("{count} × {what}"));
        }
        for (error, count) in self.errors.borrow().iter() {
            whys.push(format!("{count} × {error}"));
        }
        if self.answers.get() == 0 && whys.is_empty() {
            whys.push("no message was answered".to_owned());
        }
        let (url, why) = (self.url.clone(), whys.join("; "));
        if why.is_empty() { Ok(()) } else { Err(Error::Answers { url, why }.into()) }
    }
}
