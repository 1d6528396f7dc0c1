//! Where an answer sends its client.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Body as _;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, LOCATION, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tautline_runtime::timer;
use tautline_websocket::handshake::{Url, UrlError};

use super::{ClientError, Outgoing, Target};
use crate::Body;

/// What is for one origin alone.
const SECRETS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// What describes a body.
const OF_BODY: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_TYPE,
    TRANSFER_ENCODING,
];

/// What of a request its successor needs.
pub(super) struct Trail {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    has_body: bool,
}

impl Trail {
    pub(super) fn of(request: &Request<Outgoing>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            has_body: !request.body().is_end_stream(),
        }
    }

    /// The request that comes next. `None`: the answer is for whoever has asked, as it leads
    /// nowhere, or asks for a body again that has gone.
    pub(super) fn next(
        mut self,
        answer: &Response<Body>,
    ) -> Result<Option<Request<Outgoing>>, ClientError> {
        let Some(method) = method_after(answer.status(), &self.method) else { return Ok(None) };
        let Some(location) = answer.headers().get(LOCATION) else { return Ok(None) };
        if method != self.method {
            OF_BODY.iter().for_each(|name| drop(self.headers.remove(name)));
        } else if self.has_body {
            return Ok(None);
        }
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        let here = Target::of(&self.uri)?;
        let uri = join(&here, &self.uri, &location)?;
        if Target::of(&uri)? != here {
            SECRETS.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        self.headers.remove(HOST);
        let empty: Outgoing = Box::pin(Empty::<Bytes>::new().map_err(|never| match never {}));
        let mut next = Request::new(empty);
        (*next.method_mut(), *next.uri_mut(), *next.headers_mut()) = (method, uri, self.headers);
        Ok(Some(next))
    }
}

/// With which method it goes on, if it does.
//= RFC 9110 §15.4
fn method_after(status: StatusCode, method: &Method) -> Option<Method> {
    match status {
        StatusCode::SEE_OTHER if *method != Method::HEAD => Some(Method::GET),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if *method == Method::POST => {
            Some(Method::GET)
        }
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => Some(method.clone()),
        _ => None,
    }
}

/// Where `location` leads from `uri`. A fragment is the business of whoever shows the page.
fn join(here: &Target, uri: &Uri, location: &str) -> Result<Uri, ClientError> {
    let bad = |reason: String| ClientError::BadUrl { url: location.to_owned(), reason };
    let scheme = if here.secure { "wss" } else { "ws" };
    let authority = here.authority().map_err(bad)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let bad = |reason: String| ClientError::BadUrl { url: location.to_owned(), reason };
    let url = Url::parse(&format!("{scheme}://{authority}{path}"));
    let there = url.and_then(|url| url.join(location.split('#').next().unwrap_or_default()));
    let there = there.map_err(|error| match error {
        UrlError::Downgrade => ClientError::Downgrade { location: location.to_owned() },
        other => bad(other.to_string()),
    })?;
    let scheme = if there.is_secure() { "https" } else { "http" };
    let text = format!("{scheme}://{}{}", there.authority(), there.target());
    text.parse().map_err(|error: hyper::http::uri::InvalidUri| bad(error.to_string()))
}

/// Bytes of an answer that are read so that its connection can be used again.
const FORGOTTEN: usize = 64 << 10;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads what is to be read of an answer that nobody wants, within reason.
pub(super) async fn forget(mut body: Body) {
    let mut left = FORGOTTEN;
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever takes longer loses the connection.
    let _ = timer::timeout(PATIENCE, read).await;
}
