//! Addresses, taken apart.

use std::net::Ipv6Addr;

use super::{Url, UrlError, default_port};

pub(super) fn url(text: &str) -> Result<Url, UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let is_secure = match scheme.to_ascii_lowercase().as_str() {
        "ws" => false,
        "wss" => true,
        _ => return Err(UrlError::Scheme),
    };
    behind_scheme(is_secure, rest)
}

pub(super) fn join(from: &Url, location: &str) -> Result<Url, UrlError> {
    let location = location.split('#').next().unwrap_or_default();
    if let Some((scheme, rest)) = location.split_once("://")
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "ws" | "http" => false,
            "wss" | "https" => true,
            _ => return Err(UrlError::Scheme),
        };
        return elsewhere(from, is_secure, rest);
    }
    if let Some(rest) = location.strip_prefix("//") {
        return elsewhere(from, from.is_secure, rest);
    }
    let target = resolve(&from.target, location);
    check(&target)?;
    Ok(Url { target, ..from.clone() })
}

/// What a whole address leads to; the user goes along to the same host only.
fn elsewhere(from: &Url, is_secure: bool, rest: &str) -> Result<Url, UrlError> {
    if from.is_secure && !is_secure {
        return Err(UrlError::Downgrade);
    }
    let mut url = behind_scheme(is_secure, rest)?;
    if url.user.is_none() && (&url.host, url.port) == (&from.host, from.port) {
        url.user.clone_from(&from.user);
    }
    Ok(url)
}

/// A path, or a part of one, seen from another path.
fn resolve(base: &str, location: &str) -> String {
    let base_path = base.split('?').next().unwrap_or_default();
    let (path, query) = match location.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (location, None),
    };
    let folder = &base_path[..base_path.rfind('/').map_or(0, |at| at + 1)];
    let mut target = match path {
        "" if query.is_none() => return base.to_owned(),
        "" => base_path.to_owned(),
        path if path.starts_with('/') => without_dots(path),
        path => without_dots(&format!("{folder}{path}")),
    };
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// A path without the segments `.` and `..`: RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_open = false; // in a folder, so that the path ends in a slash
    for segment in path.split('/').skip(1) {
        ends_open = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    if ends_open {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

fn behind_scheme(is_secure: bool, rest: &str) -> Result<Url, UrlError> {
    if rest.contains('#') {
        return Err(UrlError::Fragment);
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    check(target)?;
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(credentials(user)?), place),
        None => (None, authority),
    };
    let (host, port) = host_and_port(place)?;
    let port = port.unwrap_or(default_port(is_secure));
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Ok(Url { is_secure, host, port, target, user })
}

/// Whether all of it may stand in a request line.
fn check(target: &str) -> Result<(), UrlError> {
    let is_foreign = |c: &char| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(*c);
    if let Some(character) = target.chars().find(is_foreign) {
        return Err(UrlError::Character { character });
    }
    decoded(target).map(drop)
}

/// Bytes, of which some may be percent-encoded.
fn decoded(text: &str) -> Result<Vec<u8>, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, behind @ ..] = behind else { return Err(UrlError::Percent) };
        let digit = |byte: u8| char::from(byte).to_digit(16).ok_or(UrlError::Percent);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = behind;
    }
    Ok(bytes)
}

fn credentials(text: &str) -> Result<(String, String), UrlError> {
    if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '@') {
        return Err(UrlError::Character { character });
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let text = |part| String::from_utf8(decoded(part)?).map_err(|_| UrlError::User);
    let (user, password) = (text(user)?, text(password)?);
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    if user.contains(':') || !is_plain(&user) || !is_plain(&password) {
        return Err(UrlError::User);
    }
    Ok((user, password))
}

pub(crate) fn host_and_port(place: &str) -> Result<(String, Option<u16>), UrlError> {
    let no_host = || UrlError::Host { host: place.to_owned() };
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, behind) = inner.split_once(']').ok_or_else(no_host)?;
            host.parse::<Ipv6Addr>().map_err(|_| no_host())?;
            match behind.strip_prefix(':') {
                Some(port) => (host, port),
                None if behind.is_empty() => (host, ""),
                None => return Err(no_host()),
            }
        }
        None if place.matches(':').count() > 1 => return Err(no_host()),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    let may_be_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !place.starts_with('[') && !host.bytes().all(may_be_in_name) {
        return Err(no_host());
    }
    Ok((host.to_ascii_lowercase(), port_of(port)?))
}

fn port_of(text: &str) -> Result<Option<u16>, UrlError> {
    if text.is_empty() {
        return Ok(None);
    }
    let no_port = || UrlError::Port { port: text.to_owned() };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(no_port());
    }
    text.parse().ok().filter(|port| *port > 0).map(Some).ok_or_else(no_port)
}
