//! Routers of `axum` as services.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::Request;
use hyper::service::Service;

use crate::Body;

/// Serves the routes of `router`.
///
/// Its handlers are `Send`, as `axum` asks for; they are polled on the loop's thread alone. A
/// body that an extractor of `axum` finds too long is answered by that extractor: see
/// [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit).
pub fn router(router: Router) -> RouterService {
    RouterService { router }
}

/// What [`router`] makes.
#[derive(Clone)]
pub struct RouterService {
    router: Router,
}

impl Service<Request<Body>> for RouterService {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, request: Request<Body>) -> Self::Future {
        let mut router = self.router.clone();
        tower_service::Service::call(&mut router, request.map(axum::body::Body::new))
    }
}

impl fmt::Debug for RouterService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouterService").finish_non_exhaustive()
    }
}
