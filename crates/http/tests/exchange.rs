//! Our client and our server with each other, over real sockets, on each driver.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use common::{certificate, echo, echo_server, on_each_driver, tls_echo_server};
use tautline_http::{
    Client, ClientError, ClientLimits, Full, Limits, Request, Response, Server, StatusCode,
    Version, router, service_fn,
};
use tautline_runtime::{task, timer};

/// A body of any length arrives whole, by either protocol, and the connection is used again.
#[test]
fn bodies_of_any_length_come_back() {
    on_each_driver(|| async {
        let limits = Limits { body_bytes: 8 << 20, ..Limits::default() };
        let server = echo_server(limits);
        let clients = [Client::new(), Client::new().prior_knowledge(true)];
        for (prior, client) in [false, true].into_iter().zip(&clients) {
            for length in [0, 1, 1000, 16_384, 65_535, 65_536, 100_000, 3 << 20] {
                let sent: Vec<u8> = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
                let url = format!("http://{}/x?y=1", server.local_addr());
                let request = Request::post(url).body(Full::from(sent.clone())).unwrap();
                let answer = client.request(request).await.unwrap();
                let spoken = if prior { Version::HTTP_2 } else { Version::HTTP_11 };
                assert_eq!((answer.status(), answer.version()), (StatusCode::OK, spoken));
                let heard = answer.into_body().bytes().await.unwrap();
                assert_eq!(heard, [b"POST /x\n", &sent[..]].concat(), "{length}");
            }
        }
        assert_eq!(server.connections(), 2, "one for each client");
    });
}

/// Through TLS both sides agree on HTTP/2 by ALPN; where the client offers HTTP/1.1 alone, on that.
#[test]
fn alpn_chooses_the_protocol() {
    on_each_driver(|| async {
        let (acceptor, connector, chain) = certificate();
        let server = tls_echo_server(acceptor);
        let url = format!("https://localhost:{}/", server.local_addr().port());
        let roots = tautline_net::tls::Roots::from_pem(chain).unwrap();
        let old = tautline_net::tls::Connector::builder().roots(roots).alpn(["http/1.1"]);
        for (connector, version) in
            [(connector, Version::HTTP_2), (old.build().unwrap(), Version::HTTP_11)]
        {
            let client = Client::new().connector(connector);
            let answer = client.get(&url).await.unwrap();
            assert_eq!(answer.version(), version);
            assert_eq!(answer.into_body().text().await.unwrap(), "GET /\n");
        }
    });
}

/// A hundred requests at once share one connection of HTTP/2, and each gets its own answer.
#[test]
fn streams_share_a_connection() {
    on_each_driver(|| async {
        let server = echo_server(Limits::default());
        let client = Client::new().prior_knowledge(true);
        let url = format!("http://{}", server.local_addr());
        client.get(&url).await.unwrap();
        let asked: Vec<_> = (0..100)
            .map(|n| {
                let (client, url) = (client.clone(), format!("{url}/{n}"));
                let ask = async move { client.get(&url).await.unwrap().into_body().text().await };
                task::spawn(ask).unwrap()
            })
            .collect();
        for (n, answer) in asked.into_iter().enumerate() {
            assert_eq!(answer.await.unwrap().unwrap(), format!("GET /{n}\n"));
        }
        assert_eq!(server.connections(), 1);
    });
}

/// Routes, state and extractors of `axum` work, by either protocol.
#[test]
fn a_router_is_served() {
    on_each_driver(|| async {
        let app = Router::new()
            .route("/greet", get(async |State(name): State<&'static str>| format!("hi {name}")))
            .route("/count", post(async |body: String| body.len().to_string()))
            .with_state("loop");
        let server = Server::new().listen("127.0.0.1:0", router(app)).unwrap();
        let url = |path: &str| format!("http://{}{path}", server.local_addr());
        for prior in [false, true] {
            let client = Client::new().prior_knowledge(prior);
            let greeted = client.get(&url("/greet")).await.unwrap();
            assert_eq!(greeted.into_body().text().await.unwrap(), "hi loop");
            let request = Request::post(url("/count")).body(Full::from("12345")).unwrap();
            let counted = client.request(request).await.unwrap();
            assert_eq!(counted.into_body().text().await.unwrap(), "5");
            let missing = client.get(&url("/none")).await.unwrap();
            assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        }
    });
}

/// A service that fails is a 500, and the connection lives.
#[test]
fn a_failing_service_is_a_500() {
    on_each_driver(|| async {
        let failing =
            service_fn(async |_| Err::<Response<Full<_>>, _>(std::io::Error::other("broken")));
        let server = Server::new().listen("127.0.0.1:0", failing).unwrap();
        let (client, url) = (Client::new(), format!("http://{}/", server.local_addr()));
        for _ in 0..3 {
            let answer = client.get(&url).await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!answer.into_body().text().await.unwrap().contains("broken"));
        }
        assert_eq!(server.connections(), 1);
    });
}

/// Shutting down finishes what is under way by either protocol, takes nothing more, and says so;
/// what is not over in time is cut off.
#[test]
fn shutting_down_finishes_what_is_under_way() {
    on_each_driver(|| async {
        for (within, prior) in [(5000, false), (5000, true), (20, false), (20, true)] {
            // It ends in time, or never.
            let takes = Duration::from_millis(if within > 1000 { 150 } else { 60_000 });
            let entered = Rc::new(Cell::new(false));
            let inside = entered.clone();
            let slow = service_fn(move |request| {
                inside.set(true);
                async move {
                    timer::sleep(takes).await?;
                    Ok::<_, tautline_runtime::Error>(echo(request).await.unwrap_or_default())
                }
            });
            let server = Server::new().listen("127.0.0.1:0", slow).unwrap();
            let url = format!("http://{}/", server.local_addr());
            let client = Client::new().prior_knowledge(prior);
            let asked = task::spawn(async move { client.get(&url).await }).unwrap();
            while !entered.get() {
                timer::sleep(Duration::from_millis(1)).await.unwrap();
            }
            let whole = server.shutdown(Duration::from_millis(within)).await;
            assert_eq!((whole, server.connections()), (within > 1000, 0), "h2: {prior}");
            let answer = asked.await.unwrap();
            assert_eq!(answer.is_ok(), whole, "{answer:?}");
            let again = Client::new().get(&format!("http://{}/", server.local_addr())).await;
            assert!(matches!(again, Err(ClientError::Connect { .. })));
        }
    });
}

/// Idle connections of either protocol do not hold the end up.
#[test]
fn idle_connections_end_at_once() {
    on_each_driver(|| async {
        let server = echo_server(Limits::default());
        let url = format!("http://{}/", server.local_addr());
        let (one, two) = (Client::new(), Client::new().prior_knowledge(true));
        one.get(&url).await.unwrap().into_body().bytes().await.unwrap();
        two.get(&url).await.unwrap().into_body().bytes().await.unwrap();
        assert_eq!(server.connections(), 2);
        let before = tautline_runtime::now_precise().unwrap();
        assert!(server.shutdown(Duration::from_secs(5)).await);
        let took = tautline_runtime::now_precise().unwrap().saturating_since(before);
        assert!(took < Duration::from_millis(500), "{took:?}");
    });
}

/// A connection that the server has closed meanwhile is replaced unseen.
#[test]
fn a_closed_connection_is_replaced() {
    on_each_driver(|| async {
        let limits = Limits { idle_within: Duration::from_millis(30), ..Limits::default() };
        let server = echo_server(limits);
        let url = format!("http://{}/", server.local_addr());
        for prior in [false, true] {
            let client = Client::new().prior_knowledge(prior);
            for _ in 0..3 {
                let answer = client.get(&url).await.unwrap();
                assert_eq!(answer.into_body().text().await.unwrap(), "GET /\n");
                timer::sleep(Duration::from_millis(80)).await.unwrap();
                assert_eq!(server.connections(), 0);
            }
        }
    });
}

/// A client gives up on servers that are silent, and on answers that are too long, and says why.
#[test]
fn a_client_has_limits_of_its_own() {
    on_each_driver(|| async {
        let service = service_fn(async |request: Request<_>| {
            if request.uri().path() == "/slow" {
                timer::sleep(Duration::from_secs(60)).await?;
            }
            Ok::<_, tautline_runtime::Error>(Response::new(Full::from(vec![0; 5000])))
        });
        let server = Server::new().listen("127.0.0.1:0", service).unwrap();
        let url = |path: &str| format!("http://{}{path}", server.local_addr());
        let limits = ClientLimits {
            answer_within: Duration::from_millis(50),
            body_bytes: 4999,
            ..ClientLimits::default()
        };
        for prior in [false, true] {
            let client = Client::new().limits(limits).prior_knowledge(prior);
            let late = client.get(&url("/slow")).await.unwrap_err();
            assert!(matches!(late, ClientError::Late { .. }), "{late}");
            let long = client.get(&url("/")).await.unwrap().into_body().bytes().await.unwrap_err();
            assert!(long.to_string().contains("longer than 4999 bytes"), "{long}");
        }
        for bad in ["ftp://host/", "/path", "http://", "not a url"] {
            let error = Client::new().get(bad).await.unwrap_err();
            assert!(matches!(error, ClientError::BadUrl { .. }), "{bad}: {error}");
        }
    });
}
