//! `tautline bus stat`: who uses what, how much lies in it, and how fast it goes through.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tautline_bus::OpenError;
use tautline_bus::shared::{self, Look, Queue, User};

use crate::Failure;
use crate::cli::StatArgs;

/// From the first look to the second, if nothing else is said.
const SOON: Duration = Duration::from_millis(250);
/// From one report to the next, if only their number is said.
const SECOND: Duration = Duration::from_secs(1);

/// An object, or why it could not be looked at.
type Seen = (String, Result<Look, OpenError>);

/// Reports as often as was asked for: once, a moment after a first look, unless it was said.
pub(crate) fn stat(args: &StatArgs) -> Result<(), Failure> {
    let (every, count) = match (args.every, args.count) {
        (None, None) => (SOON, 1),
        (None, Some(count)) => (SECOND, count),
        (Some(every), count) => (every, count.unwrap_or(u64::MAX)),
    };
    let pattern = args.name.as_deref();
    let mut before = see(pattern)?;
    for _ in 0..count {
        thread::sleep(every);
        let now = see(pattern)?;
        report(&before, &now, args.json)?;
        before = now;
    }
    Ok(())
}

fn see(pattern: Option<&str>) -> Result<Vec<Seen>, OpenError> {
    let names = super::names(pattern)?;
    if let [name] = &names[..]
        && pattern == Some(name)
    {
        return Ok(vec![(name.clone(), Ok(shared::look(name)?))]);
    }
    let looks = names.into_iter().map(|name| {
        let look = shared::look(&name);
        (name, look)
    });
    // Gone between the list and the look: it is not there.
    Ok(looks.filter(|(_, look)| !matches!(look, Err(OpenError::NotFound { .. }))).collect())
}

fn report(before: &[Seen], now: &[Seen], json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        let objects: Vec<_> = now.iter().map(|seen| as_json(seen, earlier(before, seen))).collect();
        return writeln!(stdout, "{}", json!(objects));
    }
    if now.is_empty() {
        return writeln!(stdout, "nothing is on the bus of this user and network namespace");
    }
    for seen in now {
        for line in lines(seen, earlier(before, seen)) {
            writeln!(stdout, "{line}")?;
        }
    }
    Ok(())
}

/// The same object at the look before.
fn earlier<'s>(before: &'s [Seen], (_, now): &Seen) -> Option<&'s Look> {
    let now = now.as_ref().ok()?;
    let looks = before.iter().filter_map(|(_, look)| look.as_ref().ok());
    looks.into_iter().find(|look| look.is_of_the_same(now))
}

/// How much was given and taken a second, where it is known.
fn rates(now: &Look, before: Option<&Look>, queue: &Queue) -> [Option<f64>; 2] {
    let Some(before) = before else { return [None; 2] };
    let seconds = now.when.duration_since(before.when).as_secs_f64();
    // A lane that was not there has just been used for the first time.
    let old = before.queues.iter().find(|old| old.name == queue.name);
    let rate = |now: Option<u64>, old: Option<u64>| {
        let passed = now?.checked_sub(old.unwrap_or(0))?;
        (seconds > 0.0).then(|| passed as f64 / seconds)
    };
    let is_new = old.is_none() && !queue.name.starts_with("lane");
    if is_new {
        return [None; 2];
    }
    [
        rate(queue.given, old.and_then(|old| old.given)),
        rate(queue.taken, old.and_then(|old| old.taken)),
    ]
}

// ------------------------------------------------------------------------------------ lines

fn lines((name, look): &Seen, before: Option<&Look>) -> Vec<String> {
    let look = match look {
        Ok(look) => look,
        Err(error) => return vec![format!("{name}  {error}")],
    };
    let mut lines = vec![format!("{name}  {} KiB  {}", look.bytes.div_ceil(1024), look.what)];
    lines.extend(look.users.iter().map(|user| user_line(look, user)));
    lines.extend(look.queues.iter().map(|queue| queue_line(look, before, queue)));
    if look.dropped != 0 || look.lost != 0 {
        lines.push(format!("  dropped {}  lost {}", look.dropped, look.lost));
    }
    lines
}

fn user_line(look: &Look, user: &User) -> String {
    let User { role, seat, process, uid, is_dead, .. } = user;
    let guest = uid.filter(|uid| *uid != look.owner);
    let guest = guest.map_or_else(String::new, |uid| format!("  guest, user {uid}"));
    let end = if *is_dead { "  DEAD: tautline bus clean clears its seat" } else { "" };
    format!("  {role} {seat}  process {process}{guest}{end}")
}

fn queue_line(look: &Look, before: Option<&Look>, queue: &Queue) -> String {
    let Queue { name, unit, depth, capacity, .. } = queue;
    let depth = depth.map_or_else(|| "corrupt".to_owned(), |depth| depth.to_string());
    let of = capacity.map_or_else(String::new, |capacity| format!(" of {capacity}"));
    let mut line = format!("  {name}  {depth}{of} {unit}");
    for (rate, way) in rates(look, before, queue).into_iter().zip(["in", "out"]) {
        if let Some(rate) = rate {
            line += &format!("  {way} {rate:.0}/s");
        }
    }
    line
}

// ------------------------------------------------------------------------------------- JSON

fn as_json((name, look): &Seen, before: Option<&Look>) -> Value {
    let look = match look {
        Ok(look) => look,
        Err(error) => return json!({ "name": name, "error": error.to_string() }),
    };
    let users: Vec<_> = look.users.iter().map(user_json).collect();
    let queues: Vec<_> = look.queues.iter().map(|queue| queue_json(look, before, queue)).collect();
    json!({
        "name": name, "kind": look.kind, "what": look.what, "bytes": look.bytes, "users": users,
        "queues": queues, "dropped": look.dropped, "lost": look.lost,
    })
}

fn user_json(user: &User) -> Value {
    let User { role, seat, process, uid, is_dead, .. } = user;
    json!({ "role": role, "seat": seat, "process": process, "uid": uid, "dead": is_dead })
}

fn queue_json(look: &Look, before: Option<&Look>, queue: &Queue) -> Value {
    let Queue { name, unit, depth, capacity, given, taken, .. } = queue;
    let [given_rate, taken_rate] = rates(look, before, queue);
    json!({
        "name": name, "unit": unit, "depth": depth, "capacity": capacity, "given": given,
        "taken": taken, "given_per_second": given_rate, "taken_per_second": taken_rate,
    })
}
