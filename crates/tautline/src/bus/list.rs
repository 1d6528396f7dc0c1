//! `tautline bus list`: what processes of a user share.

use std::io::{self, Write};

use serde_json::json;
use tautline_bus::shared::{self, Listed};

use crate::Failure;

/// Tells the objects of a user, or of this one.
pub(crate) fn list(user: Option<u32>, json: bool) -> Result<(), Failure> {
    let objects = user.map_or_else(shared::list, shared::list_of)?;
    Ok(tell(&objects, json)?)
}

/// The objects, one a line, or as one JSON array.
fn tell(objects: &[Listed], json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        let objects: Vec<_> = objects.iter().map(as_json).collect();
        return writeln!(stdout, "{}", json!(objects));
    }
    if objects.is_empty() {
        return writeln!(stdout, "nothing is on the bus of this user and network namespace");
    }
    objects.iter().try_for_each(|object| writeln!(stdout, "{}", line(object)))
}

fn as_json(object: &Listed) -> serde_json::Value {
    let Listed { name, processes, bytes, what, .. } = object;
    json!({ "name": name, "processes": processes, "bytes": bytes, "what": what })
}

fn line(object: &Listed) -> String {
    let Listed { name, processes, bytes, what, .. } = object;
    let size =
        bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} KiB", bytes.div_ceil(1024)));
    let processes: Vec<_> = processes.iter().map(u32::to_string).collect();
    format!("{name}  {size}  processes {}  {what}", processes.join(", "))
}
