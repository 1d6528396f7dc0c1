//! `tautline serve`: a relay, and beside it a page that shows how it stands.
//!
//! | file | what it does |
//! | --- | --- |
//! | `guard` | whom it answers: pages of other sites are refused |
//! | `token` | the secret of whoever may change something |
//! | `metrics` | the text that Prometheus reads |
//! | `arrivals` | packets as a page draws them |
//! | `control` | what is answered, on a loop and a thread of their own |
//! | `page.html` | what a browser shows |
//!
//! The loop of the relay serves no page. It posts a report each second, and has one subscriber more
//! while somebody looks at packets: the *tap*, a socket in a folder that is this user's alone.

mod arrivals;
mod control;
mod guard;
mod metrics;
mod token;

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tautline_http::{Handle, Server, service_fn};
use tautline_log::error;
use tautline_relay::endpoint::Destination;
use tautline_relay::stats::{Snapshot, Summary};
use tautline_relay::{RelayConfig, RunError};
use tautline_runtime::{Config, Remote, Runtime, stop, task};

use self::control::Control;
use self::guard::Guard;
use self::token::{Token, TokenError};
use crate::cli::ServeArgs;
use crate::output::Output;
use crate::{Failure, notice};

/// What is under way when the relay has ended is given so long.
const FAREWELL: Duration = Duration::from_secs(1);
/// How the tap is named among the endpoints, of which it is none that anybody asked for.
const TAP: &str = "tap";

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("--listen {addr}: {error}; choose another with --listen, or 127.0.0.1:0 for any")]
    Listen { addr: SocketAddr, error: io::Error },
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("no folder for the tap can be made in {folder}: {error}; set TMPDIR to one where that is possible", folder = .folder.display())]
    Folder { folder: PathBuf, error: io::Error },
    #[error("the control interface: {0}")]
    Loop(String),
}

thread_local! {
    /// What posts to the thread of the control interface are for.
    static CONTROL: RefCell<Option<(Rc<Control>, Handle)>> = const { RefCell::new(None) };
}

/// Runs a relay and its page, until the relay ends.
pub(crate) fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let path = args.token_file.clone().map_or_else(token::usual_place, Ok).map_err(Error::from)?;
    let token = Token::at(&path).map_err(Error::from)?;
    let folder = Folder::new()?;
    let stop = Arc::new(AtomicBool::new(false));
    let seat = Seat::start(args, token, folder.tap(), stop.clone())?;
    notice::say(format!("the page is at http://{}/, its token in {}", seat.addr, path.display()));
    let config = tapped(&args.config, &folder);
    let mut output = Output::for_destinations(&args.config.to, args.json);
    let mut report = |snapshot: &Snapshot| {
        let snapshot = without_tap(snapshot);
        output.snapshot(&snapshot);
        seat.report(snapshot);
    };
    let end = tautline_relay::run_until(&config, &mut report, &mut || stop.load(Ordering::Relaxed));
    seat.end();
    crate::conclude(&mut output, ended_without_tap(end)).map(drop)
}

/// The relay with one destination more.
fn tapped(config: &RelayConfig, folder: &Folder) -> RelayConfig {
    let mut config = config.clone();
    let url = format!("unix-listen://{}?queue=4096,1MiB&subscribers=1", folder.escaped_tap());
    let tap = url.parse::<Destination>().expect("a path that was escaped");
    config.to.push(Destination { url: TAP.to_owned(), ..tap });
    config
}

fn without_tap(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.endpoints.retain(|endpoint| endpoint.url != TAP);
    snapshot
}

fn ended_without_tap(mut end: Result<Summary, RunError>) -> Result<Summary, RunError> {
    let summary = match &mut end {
        Ok(summary) => Some(summary),
        Err(RunError::Ended { summary, .. }) => Some(&mut **summary),
        Err(_) => None,
    };
    if let Some(summary) = summary {
        summary.endpoints.retain(|endpoint| endpoint.url != TAP);
    }
    end
}

/// The thread of the control interface.
struct Seat {
    addr: SocketAddr,
    remote: Remote,
    thread: JoinHandle<()>,
}

impl Seat {
    fn start(
        args: &ServeArgs,
        token: Token,
        tap: PathBuf,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Error> {
        let (tell, told) = mpsc::channel();
        let (listen, names) = (args.listen, args.hosts.clone());
        let control = move || match open(listen, &names, token, tap, stop) {
            Ok((runtime, addr)) => {
                // Whoever has started it waits.
                let _ = tell.send(Ok((addr, runtime.remote())));
                if let Err(error) = runtime.run() {
                    error!("the control interface has ended: {}", error);
                }
                CONTROL.take();
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        let named = std::thread::Builder::new().name("control".to_owned());
        let thread = named.spawn(control).map_err(|error| Error::Loop(error.to_string()))?;
        let (addr, remote) =
            told.recv().unwrap_or_else(|_| Err(Error::Loop("it has panicked".to_owned())))?;
        Ok(Self { addr, remote, thread })
    }

    /// A full mailbox means that the report before is still unread.
    fn report(&self, snapshot: Snapshot) {
        let _ = self.remote.post(move || with(|control, _| control.hear(snapshot)));
    }

    /// Pages are told, and what is under way is answered.
    fn end(self) {
        let ended = self.remote.post(|| {
            with(|control, server| {
                control.end();
                let over = server.shutdown(FAREWELL);
                let ending = task::spawn(async move {
                    over.await;
                    let _ = stop();
                });
                if ending.is_err() {
                    let _ = stop();
                }
            });
        });
        if ended.is_ok() {
            // It has said why if it has panicked.
            let _ = self.thread.join();
        }
    }
}

fn with(work: impl FnOnce(&Rc<Control>, &Handle)) {
    CONTROL.with_borrow(|control| {
        if let Some((control, server)) = control {
            work(control, server);
        }
    });
}

fn open(
    listen: SocketAddr,
    names: &[String],
    token: Token,
    tap: PathBuf,
    stop: Arc<AtomicBool>,
) -> Result<(Runtime, SocketAddr), Error> {
    let failed = |error: tautline_runtime::Error| Error::Loop(error.to_string());
    let runtime = Runtime::new(Config::default()).map_err(failed)?;
    let refused = |error| Error::Listen { addr: listen, error };
    let listener = tautline_net::TcpListener::bind(listen).map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    let control = Control::new(Guard::new(addr, names), token, tap, stop);
    control.begin().map_err(failed)?;
    let own = control.clone();
    let service = service_fn(move |request| own.clone().answer(request));
    let server = Server::new().serve(listener, service).map_err(refused)?;
    CONTROL.set(Some((control, server)));
    Ok((runtime, addr))
}

/// A folder that is this user's alone, while it is needed.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Error> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
        let within = runtime.map_or_else(std::env::temp_dir, PathBuf::from);
        for attempt in 0..100 {
            let path = within.join(format!("tautline-serve-{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::Folder { folder: within, error }),
            }
        }
        let error = io::ErrorKind::AlreadyExists.into();
        Err(Error::Folder { folder: within, error })
    }

    fn tap(&self) -> PathBuf {
        self.0.join("tap")
    }

    /// As a URL has it.
    fn escaped_tap(&self) -> String {
        let escaped = |byte: &u8| match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                char::from(*byte).to_string()
            }
            other => format!("%{other:02X}"),
        };
        path_bytes(&self.tap()).iter().map(escaped).collect()
    }
}

fn path_bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What another has put there stays.
        let _ = fs::remove_file(self.tap());
        let _ = fs::remove_dir(&self.0);
    }
}
