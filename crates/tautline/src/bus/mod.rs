//! `tautline bus`: what processes of this user, or of one whose guest it is, share, seen by somebody
//! who takes no part.

mod clean;
mod list;
mod stat;
mod tap;

pub(crate) use self::clean::clean;
pub(crate) use self::list::list;
pub(crate) use self::stat::stat;
pub(crate) use self::tap::tap;

use tautline_bus::OpenError;
use tautline_bus::shared::{self, User};

/// The names of the objects that are meant: all, or those that a pattern fits, or the one.
///
/// # Errors
/// [`OpenError::NotFound`]: a name was given, and nobody has such an object.
fn names(pattern: Option<&str>) -> Result<Vec<String>, OpenError> {
    let pattern = pattern.unwrap_or("*");
    let user = pattern.split_once(':').and_then(|(user, _)| user.parse().ok());
    let all = user.map_or_else(shared::list, shared::list_of)?;
    let all = all.into_iter().map(|listed| listed.name);
    // Of the user nothing is left to be compared, and of this process's own names do not tell.
    let path = |name: &str| name.rsplit(':').next().unwrap_or_default().as_bytes().to_vec();
    let names: Vec<_> = all.filter(|name| fits(&path(pattern), &path(name))).collect();
    if names.is_empty() && pattern != "*" {
        return Err(OpenError::NotFound { name: pattern.to_owned() });
    }
    Ok(names)
}

/// Whether a pattern fits, in which `*` stands for any characters. Looks at each place of a star at
/// most once: a star that comes later makes those before it final.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => {
                let Some((back, taken)) = star else { return false };
                star = Some((back, taken + 1));
                (at, seen) = (back + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// `receiver 0 (process 4711)`.
fn told(user: &User) -> String {
    let User { role, seat, process, .. } = user;
    format!("{role} {seat} (process {process})")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a star stands for any characters, none among them, and nothing else does.
    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, is_fit) in [
            ("*", "a/b", true),
            ("a/*", "a/", true),
            ("a/*", "b/a", false),
            ("*/prices", "a/prices", true),
            ("*a*b*", "xaxxbx", true),
            ("*a*b", "xaxxbx", false),
            ("a.b", "axb", false),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), is_fit, "{pattern} {text}");
        }
    }
}
