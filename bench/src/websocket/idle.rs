//! `idle-memory`: bytes of memory that a connection keeps which has carried a message and says nothing.
//!
//! Each server has a process of its own, so that nobody lives in what another has left. What it has of
//! memory with many connections, less what it has with few, is theirs: what the server needs besides is
//! in both. The kernel's part, which is the same for all, is not counted.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use super::generator::Script;
use super::{Server, servers};
use crate::echo::{Session, Wait};
use crate::harness::{
    Contender, Failure, Group, Metric, Role, Sample,
    sys::{GENERATOR, pin},
};

/// Names the server of a second process, and how many connections it has.
const SERVER: &str = "TAUTLINE_BENCH_IDLE_SERVER";
const CONNECTIONS: &str = "TAUTLINE_BENCH_IDLE_CONNECTIONS";

const FEW: usize = 100;
const MANY: usize = 1600;

/// Long enough for every answer to have left, and for what is put away after a while.
const REST: Duration = Duration::from_millis(50);

pub(super) fn groups() -> Vec<Group> {
    let contenders = all().into_iter().map(|server| {
        Contender::new(server.name, server.role, move || {
            let (few, many) = (in_a_process(server.name, FEW)?, in_a_process(server.name, MANY)?);
            let grown = many.saturating_sub(few);
            Ok(Sample::of([grown as f64 / (MANY - FEW) as f64]))
        })
    });
    vec![Group {
        metrics: vec![Metric::lower("idle-memory", "bytes")],
        contenders: contenders.collect(),
        note: Some("the limit is none: a bare loop keeps nothing but a descriptor"),
    }]
}

/// Who is there at all, once: batching is no matter here.
fn all() -> Vec<Server> {
    let plain = servers().into_iter().filter(|server| {
        let is_ours = server.role == Role::Tautline || server.name == "tautline-async";
        is_ours || (server.role == Role::Peer && !server.name.ends_with("batched"))
    });
    plain.chain([super::ours::deflating()]).collect()
}

/// Bytes of memory that a server has with so many idle connections.
fn in_a_process(name: &str, connections: usize) -> Result<u64, Failure> {
    let output = Command::new(env::current_exe()?)
        .env(SERVER, name)
        .env(CONNECTIONS, connections.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let bytes = said.trim().parse();
    bytes.map_err(|_| io::Error::other(format!("its process says: {}", said.trim())).into())
}

/// Measures a server, if this is a second process.
pub(crate) fn second_process() -> Option<ExitCode> {
    let (name, connections) = (env::var(SERVER).ok()?, env::var(CONNECTIONS).ok()?);
    match measure(&name, &connections) {
        Ok(bytes) => println!("{bytes}"),
        Err(error) => println!("{error}"),
    }
    Some(ExitCode::SUCCESS)
}

fn measure(name: &str, connections: &str) -> io::Result<u64> {
    let server = all().into_iter().find(|server| server.name == name);
    let server = server.ok_or_else(|| io::Error::other(format!("there is no server {name}")))?;
    let connections = connections.parse().map_err(io::Error::other)?;
    pin(GENERATOR)?;
    raise_descriptors(2 * connections as u64 + 100)?;
    let script = Script::new(16, 1);
    let mut session = Session::start(server.serve, connections, Wait::Sleep)?;
    let mut answer = vec![0; script.answer.len()];
    for client in &mut session.clients {
        client.set_nonblocking(false)?;
        client.write_all(&script.sent)?;
        client.read_exact(&mut answer)?;
        if answer != script.answer {
            return Err(io::Error::other("another answer"));
        }
    }
    thread::sleep(REST);
    let bytes = anonymous_memory()?;
    session.finish(connections as u64).map_err(|failure| io::Error::other(failure.to_string()))?;
    Ok(bytes)
}

/// Memory that is nobody's else: no file's, and not shared.
fn anonymous_memory() -> io::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kilobytes = line.and_then(|rest| rest.trim().strip_suffix("kB"));
    let kilobytes: Option<u64> = kilobytes.and_then(|number| number.trim().parse().ok());
    kilobytes.map(|n| n << 10).ok_or_else(|| io::Error::other("smaps_rollup names no `Anonymous`"))
}

fn raise_descriptors(needed: u64) -> io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum })?)
}
