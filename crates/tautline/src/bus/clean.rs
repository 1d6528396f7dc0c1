//! `tautline bus clean`: the seats of the dead.

use std::io::{self, Write};

use serde_json::json;
use tautline_bus::OpenError;
use tautline_bus::shared::{self, Cleaned, User};

use crate::Failure;

/// Clears the seats of the dead, and says which.
pub(crate) fn clean(pattern: Option<&str>, json: bool) -> Result<(), Failure> {
    let mut all = Vec::new();
    for name in super::names(pattern)? {
        match shared::clean(&name) {
            Ok(cleaned) => all.push((name, cleaned)),
            // Gone meanwhile: with it all that could be cleaned.
            Err(OpenError::NotFound { .. }) => {}
            Err(error) if pattern == Some(&name) => return Err(error.into()),
            Err(error) => crate::notice::say(format!("{name}: {error}")),
        }
    }
    let mut stdout = io::stdout().lock();
    if json {
        let objects: Vec<_> = all.iter().map(|(name, cleaned)| as_json(name, cleaned)).collect();
        return Ok(writeln!(stdout, "{}", json!(objects))?);
    }
    let mut lines = all.iter().flat_map(|(name, cleaned)| lines(name, cleaned)).peekable();
    if lines.peek().is_none() {
        return Ok(writeln!(stdout, "no seat is held by a process that has ended")?);
    }
    Ok(lines.try_for_each(|line| writeln!(stdout, "{line}"))?)
}

fn lines(name: &str, cleaned: &Cleaned) -> Vec<String> {
    let cleared =
        cleaned.cleared.iter().map(|user| format!("{name}  cleared {}", super::told(user)));
    let left = cleaned.left.iter().map(|user| {
        format!(
            "{name}  left {} to the next client or server that comes or waits",
            super::told(user)
        )
    });
    cleared.chain(left).collect()
}

fn as_json(name: &str, cleaned: &Cleaned) -> serde_json::Value {
    let users = |users: &[User]| -> Vec<_> {
        let one =
            |user: &User| json!({ "role": user.role, "seat": user.seat, "process": user.process });
        users.iter().map(one).collect()
    };
    json!({ "name": name, "cleared": users(&cleaned.cleared), "left": users(&cleaned.left) })
}
