//! From a request to its answer, within the limits.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};

use super::under_way::{Answer, Busy, Piece, UnderWay};
use super::way::{Slot, Taker, Way};
use super::{Limits, Peer};
use crate::body::Fault;
use crate::rt::Ledger;
use crate::{Body, BoxError};

/// What the requests of a connection share.
pub(super) struct Requests<S> {
    pub(super) limits: Limits,
    pub(super) peer: SocketAddr,
    pub(super) service: Rc<S>,
    pub(super) ledger: Rc<Ledger>,
    pub(super) busy: Rc<Busy>,
    /// Who gets the connection once the answer that is being written has left.
    pub(super) heir: Cell<Option<Taker>>,
}

/// Has the service answer, unless the request is beyond the limits.
pub(super) async fn answer<S, B>(
    requests: Rc<Requests<S>>,
    request: Request<Incoming>,
) -> Result<Response<impl HttpBody<Data = Piece, Error = BoxError>>, Infallible>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let under_way = UnderWay::new(&requests.busy);
    let answered = match beyond(&requests.limits, &request) {
        Some(refusal) => Err(refusal),
        None => ask(&requests, request, &under_way).await,
    };
    let response = match answered {
        Ok(response) => response.map(|body| Either::Left(body.map_err(Into::into))),
        Err(status) => {
            requests.ledger.refused.set(true);
            short(status).map(Either::Right)
        }
    };
    Ok(response.map(|body| Answer::new(body, under_way)))
}

/// Why a request is refused unread.
fn beyond(limits: &Limits, request: &Request<Incoming>) -> Option<StatusCode> {
    if request.headers().len() > limits.header_count {
        return Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let length = request.body().size_hint().lower();
    (length > limits.body_bytes).then_some(StatusCode::PAYLOAD_TOO_LARGE)
}

async fn ask<S, B>(
    requests: &Requests<S>,
    request: Request<Incoming>,
    under_way: &Rc<UnderWay>,
) -> Result<Response<B>, StatusCode>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let fault = Rc::new(Cell::new(Fault::None));
    let bounds = requests.limits.bounds();
    let mut request = request.map(|incoming| Body::new(incoming, bounds).with_fault(fault.clone()));
    request.extensions_mut().insert(Peer(requests.peer));
    // Its own: nobody gets a connection by the request before.
    let slot = Rc::new(Slot::default());
    if let Some(way) = Way::of(&request, &slot, under_way) {
        request.extensions_mut().insert(way);
    }
    let answered = requests.service.call(request).await;
    // Whatever the service makes of half a body, it is not what was asked for.
    match fault.get() {
        Fault::TooLong => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        Fault::Stalled => return Err(StatusCode::REQUEST_TIMEOUT),
        Fault::None => {}
    }
    if matches!(&answered, Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS) {
        requests.heir.set(slot.take());
    }
    answered.map_err(|error| {
        let error: BoxError = error.into();
        log::error!("a request of {} was answered 500: {error}", requests.peer);
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

/// An answer that says its status alone.
pub(crate) fn short(status: StatusCode) -> Response<Full<Bytes>> {
    let text = format!("{status}\n");
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length);
    response
}
