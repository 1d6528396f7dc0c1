//! The control interface: a loop of its own that knows how the relay stands, and tells pages.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tautline_http::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN, WWW_AUTHENTICATE,
};
use tautline_http::{Body, Bytes, Full, Method, Request, Response, StatusCode, websocket};
use tautline_log::{debug, error};
use tautline_net::UnixStream;
use tautline_relay::stats::Snapshot;
use tautline_runtime::time::Instant;
use tautline_runtime::{now, task, timer};
use tautline_websocket::read::Limits;
use tautline_websocket::{CloseCode, Options, Sender, WebSocket};

use super::arrivals::{Batch, Lengths};
use super::guard::Guard;
use super::metrics;
use super::token::Token;

/// Between two batches of arrivals.
const BATCH: Duration = Duration::from_millis(50);
/// A relay that has not been heard of for so long is not well: it reports each second.
const PATIENCE: Duration = Duration::from_secs(3);
/// Before the tap is asked for again.
const REST: Duration = Duration::from_millis(200);
/// Pages at a time.
const PAGES: usize = 64;
/// Bytes that are read of the tap at a time.
const PIECE: usize = 64 << 10;

const PAGE: &str = include_str!("page.html");
/// The page has its script and its style in itself, and is shown in no other page.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                      connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

type Answer = Response<Full<Bytes>>;

/// What is known of the relay, and who wants to know.
pub(super) struct Control {
    guard: Guard,
    token: Token,
    /// Where packets of the relay can be had.
    tap: PathBuf,
    /// Somebody reads there.
    taps: Cell<bool>,
    /// The relay is to end.
    stop: Arc<AtomicBool>,
    known: RefCell<Known>,
    pages: RefCell<Vec<Sender>>,
    batch: RefCell<Batch>,
    /// When the batch began.
    begun: Cell<Instant>,
}

#[derive(Default)]
struct Known {
    snapshot: Option<(Snapshot, Instant)>,
    json: String,
    /// Of the latency, since the start.
    buckets: Vec<u64>,
}

impl Control {
    pub(super) fn new(guard: Guard, token: Token, tap: PathBuf, stop: Arc<AtomicBool>) -> Rc<Self> {
        Rc::new(Self {
            guard,
            token,
            tap,
            taps: Cell::new(false),
            stop,
            known: RefCell::default(),
            pages: RefCell::default(),
            batch: RefCell::default(),
            begun: Cell::new(now().unwrap_or_default()),
        })
    }

    /// Tells pages of packets as they come.
    pub(super) fn begin(self: &Rc<Self>) -> Result<(), tautline_runtime::Error> {
        let (control, mut message) = (self.clone(), Vec::new());
        timer::every(BATCH, move || control.send_batch(&mut message)).map(drop)
    }

    /// The relay has reported.
    pub(super) fn hear(&self, snapshot: Snapshot) {
        let json = match serde_json::to_string(&snapshot) {
            Ok(json) => json,
            Err(error) => return error!("a report has no JSON form: {}", error),
        };
        let mut known = self.known.borrow_mut();
        let count = snapshot.latency_buckets.len().max(known.buckets.len());
        known.buckets.resize(count, 0);
        for (all, more) in known.buckets.iter_mut().zip(&snapshot.latency_buckets) {
            *all += more;
        }
        for page in &*self.pages.borrow() {
            // Who does not read what was sent misses this one.
            let _ = page.send(json.as_str());
        }
        known.json = json;
        known.snapshot = Some((snapshot, now().unwrap_or_default()));
    }

    fn send_batch(&self, message: &mut Vec<u8>) {
        self.begun.set(now().unwrap_or_default());
        self.batch.borrow_mut().write(message);
        let mut pages = self.pages.borrow_mut();
        pages.retain(Sender::is_open);
        for page in &*pages {
            let _ = page.send(&message[..]);
        }
    }

    /// Says farewell to all pages.
    pub(super) fn end(&self) {
        for page in self.pages.take() {
            let _ = page.close(CloseCode::GOING_AWAY, "the relay has ended");
        }
    }

    /// Answers a request.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: Request<Body>,
    ) -> Result<Answer, Infallible> {
        let mut answer = match self.check(&request) {
            Ok(()) => self.route(&request),
            Err(refused) => text(StatusCode::FORBIDDEN, &format!("{refused}\n")),
        };
        let headers = answer.headers_mut();
        for (name, value) in [
            ("cache-control", "no-store"),
            ("content-security-policy", POLICY),
            ("cross-origin-resource-policy", "same-origin"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(answer)
    }

    fn check(&self, request: &Request<Body>) -> Result<(), super::guard::Refused> {
        let origin = said(request, &ORIGIN);
        // By HTTP/2 the host is a part of the address; a header beside it must be right as well.
        let named = request.uri().authority().map(|authority| authority.as_str());
        let header = said(request, &HOST);
        if named.is_some() && header.is_some() {
            self.guard.check(header.as_deref(), origin.as_deref())?;
        }
        self.guard.check(named.or(header.as_deref()), origin.as_deref())
    }

    fn route(self: &Rc<Self>, request: &Request<Body>) -> Answer {
        let method = request.method();
        let allowed = match request.uri().path() {
            "/api/stop" => "POST",
            "/live" => "GET, CONNECT",
            "/" | "/healthz" | "/metrics" | "/api/relay" => "GET, HEAD",
            _ => return text(StatusCode::NOT_FOUND, "there is nothing here: see /\n"),
        };
        if !allowed.split(", ").any(|one| one == method.as_str()) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
            answer.headers_mut().insert(ALLOW, allowed.parse().expect("a constant"));
            return answer;
        }
        match request.uri().path() {
            "/" => typed("text/html; charset=utf-8", PAGE),
            "/healthz" => self.health(),
            "/metrics" => self.metrics(),
            "/api/relay" => self.relay(),
            "/live" => self.live(request),
            _ => self.stop(request),
        }
    }

    fn health(&self) -> Answer {
        let now = now().unwrap_or_default();
        match &self.known.borrow().snapshot {
            Some((_, heard)) if now.saturating_since(*heard) < PATIENCE => {
                text(StatusCode::OK, "ok\n")
            }
            Some(_) => text(StatusCode::SERVICE_UNAVAILABLE, "the relay does not report\n"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the relay has not reported yet\n"),
        }
    }

    fn metrics(&self) -> Answer {
        let known = self.known.borrow();
        match &known.snapshot {
            Some((snapshot, _)) => typed(
                "text/plain; version=0.0.4; charset=utf-8",
                metrics::write(snapshot, &known.buckets),
            ),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the relay has not reported yet\n"),
        }
    }

    fn relay(&self) -> Answer {
        let known = self.known.borrow();
        match known.snapshot {
            Some(_) => typed("application/json", known.json.clone() + "\n"),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "the relay has not reported yet\n"),
        }
    }

    fn live(self: &Rc<Self>, request: &Request<Body>) -> Answer {
        if self.pages.borrow().len() >= PAGES {
            return text(StatusCode::SERVICE_UNAVAILABLE, "there are too many pages open\n");
        }
        let limits = Limits { max_message: 4096, max_frame: 4096, ..Limits::default() };
        let options = Options { limits, write_limit: 1 << 20, ..Options::default() };
        let control = self.clone();
        websocket::upgrade(request, options, move |socket| control.welcome(socket))
    }

    fn welcome(self: &Rc<Self>, socket: WebSocket) -> io::Result<()> {
        // What a page says is of no interest.
        let page = socket.on_message(|_, _| ())?;
        if self.known.borrow().snapshot.is_some() {
            let _ = page.send(self.known.borrow().json.as_str());
        }
        self.pages.borrow_mut().push(page);
        if !self.taps.get() {
            drop(task::spawn(self.clone().watch()).map_err(io::Error::other)?);
            self.taps.set(true);
        }
        Ok(())
    }

    /// Ends the relay, for those who may.
    fn stop(&self, request: &Request<Body>) -> Answer {
        debug_assert_eq!(request.method(), Method::POST);
        if !self.token.is_in(said(request, &AUTHORIZATION).as_deref()) {
            let mut answer =
                text(StatusCode::UNAUTHORIZED, "say `Authorization: Bearer` and the token\n");
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            return answer;
        }
        // The loop of the relay looks at it every 50 ms; nothing else is told by it.
        self.stop.store(true, Ordering::Relaxed);
        text(StatusCode::ACCEPTED, "the relay ends\n")
    }

    /// Looks at packets as long as there are pages.
    async fn watch(self: Rc<Self>) {
        while !self.pages.borrow().is_empty() {
            if let Err(error) = self.read_tap().await {
                debug!("the relay's packets cannot be seen: {}", error);
            }
            if timer::sleep(REST).await.is_err() {
                break;
            }
        }
        self.taps.set(false);
    }

    async fn read_tap(&self) -> io::Result<()> {
        let stream = UnixStream::connect(self.tap.as_path()).await?;
        let (mut lengths, mut buffer) = (Lengths::default(), vec![0; PIECE]);
        while !self.pages.borrow().is_empty() {
            let (count, bytes) = stream.read(buffer).await;
            let came = &bytes[..count?];
            if came.is_empty() {
                break;
            }
            let after = now().unwrap_or_default().saturating_since(self.begun.get());
            let micros = u32::try_from(after.as_micros()).unwrap_or(u32::MAX);
            let mut batch = self.batch.borrow_mut();
            lengths.find(came, |length| batch.note(micros, length));
            drop(batch);
            buffer = bytes;
        }
        Ok(())
    }
}

fn said(request: &Request<Body>, name: &HeaderName) -> Option<String> {
    // Of two, neither is to be trusted.
    let mut values = request.headers().get_all(name).iter();
    let value = values.next()?;
    match values.next() {
        None => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        Some(_) => Some(String::new()),
    }
}

fn text(status: StatusCode, line: &str) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", line.to_owned());
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
