//! Whom a request is for.

use std::fmt;
use std::time::Duration;

use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri};

use super::ClientError;

/// A server, as requests name it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Target {
    pub(super) secure: bool,
    /// Without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    pub(super) fn of(uri: &Uri) -> Result<Self, ClientError> {
        let bad =
            |reason: &str| ClientError::BadUrl { url: uri.to_string(), reason: reason.to_owned() };
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(_) => return Err(bad("its scheme is another")),
            None => return Err(bad("it has no scheme")),
        };
        let host =
            uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it has no host"))?;
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Ok(Self { secure, host, port })
    }

    /// Writes the request as the protocol wants it: HTTP/1.1 names the host in a header and asks
    /// for a path, HTTP/2 asks for the whole address.
    /// A body that is empty is said to be so where one is expected (RFC 9110 §8.6).
    pub(super) fn address<B: Body>(
        &self,
        request: &mut Request<B>,
        h2: bool,
    ) -> Result<(), ClientError> {
        let bad = |url: &Uri, reason: String| ClientError::BadUrl { url: url.to_string(), reason };
        let uri = request.uri().clone();
        let mut parts = uri.clone().into_parts();
        let path = parts.path_and_query.take();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        let authority = self.authority().map_err(|reason| bad(&uri, reason))?;
        parts.path_and_query = Some(path);
        if h2 {
            parts.scheme = Some(if self.secure { Scheme::HTTPS } else { Scheme::HTTP });
            parts.authority = Some(authority);
            request.headers_mut().remove(HOST);
        } else {
            (parts.scheme, parts.authority) = (None, None);
            if !request.headers().contains_key(HOST) {
                let host = HeaderValue::from_str(authority.as_str());
                let host = host.map_err(|error| bad(&uri, error.to_string()))?;
                request.headers_mut().insert(HOST, host);
            }
        }
        let expected = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
        if expected && request.body().is_end_stream() {
            request.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        }
        *request.version_mut() = if h2 { hyper::Version::HTTP_2 } else { hyper::Version::HTTP_11 };
        *request.uri_mut() =
            Uri::from_parts(parts).map_err(|error| bad(&uri, error.to_string()))?;
        Ok(())
    }

    pub(super) fn authority(&self) -> Result<Authority, String> {
        let usual = if self.secure { 443 } else { 80 };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let named = if self.port == usual { host } else { format!("{host}:{}", self.port) };
        Authority::try_from(named).map_err(|error| error.to_string())
    }

    pub(super) fn failed(&self, source: hyper::Error) -> ClientError {
        ClientError::Failed { target: self.to_string(), source }
    }

    pub(super) fn late(&self, within: Duration) -> ClientError {
        ClientError::Late { target: self.to_string(), within }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}
