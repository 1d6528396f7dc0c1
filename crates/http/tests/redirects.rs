//! Where servers send a client, and what it takes along.

mod common;

use std::convert::Infallible;
use std::time::Duration;

use common::{certificate, on_each_driver, tls_echo_server};
use tautline_http::{
    Body, Client, ClientError, ClientLimits, Full, Handle, Limits, Request, Response, Server,
    StatusCode, service_fn,
};
use tautline_net::tls::TlsListener;
use tautline_runtime::timer;

/// Answers `/STATUS?to=LOCATION` with both, and anything else with what was asked.
async fn lead(request: Request<Body>) -> Result<Response<Full<tautline_http::Bytes>>, Infallible> {
    let status = request.uri().path()[1..].parse::<StatusCode>();
    let location = request.uri().query().and_then(|query| query.strip_prefix("to="));
    if let (Ok(status), Some(location)) = (status, location) {
        let mut answer = Response::new(Full::from("over there"));
        *answer.status_mut() = status;
        answer.headers_mut().insert("location", location.parse().unwrap());
        return Ok(answer);
    }
    let (parts, body) = request.into_parts();
    let names = ["authorization", "cookie", "content-type", "x-own"];
    let kept = names.iter().filter(|name| parts.headers.contains_key(**name)).copied();
    let kept: Vec<_> = kept.collect();
    let length = body.bytes().await.unwrap().len();
    let said = format!("{} {} {length} {}", parts.method, parts.uri.path(), kept.join(","));
    Ok(Response::new(Full::from(said)))
}

fn leading() -> Handle {
    Server::new().listen("127.0.0.1:0", service_fn(lead)).unwrap()
}

/// Asks with a body and with secrets.
async fn ask(client: &Client, method: &str, url: &str, body: &'static str) -> (u16, String) {
    let mut request = Request::builder().method(method).uri(url);
    for name in ["authorization", "cookie", "x-own", "content-type"] {
        request = request.header(name, "z");
    }
    let answer = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    (answer.status().as_u16(), answer.into_body().text().await.unwrap())
}

/// The method, the body and the headers that describe it change as RFC 9110 §15.4 says, by either
/// protocol, on one connection.
#[test]
fn the_method_is_rewritten() {
    const ALL: &str = "authorization,cookie,content-type,x-own";
    const BARE: &str = "authorization,cookie,x-own";
    on_each_driver(|| async {
        let server = leading();
        for prior in [false, true] {
            let client = Client::new().prior_knowledge(prior);
            for (status, method, body, expected) in [
                (301, "GET", "", format!("GET /there 0 {ALL}")),
                (302, "POST", "body", format!("GET /there 0 {BARE}")),
                (301, "POST", "", format!("GET /there 0 {BARE}")),
                (303, "PUT", "body", format!("GET /there 0 {BARE}")),
                (307, "POST", "", format!("POST /there 0 {ALL}")),
                (308, "DELETE", "", format!("DELETE /there 0 {ALL}")),
            ] {
                let url = format!("http://{}/{status}?to=there", server.local_addr());
                assert_eq!(ask(&client, method, &url, body).await, (200, expected));
            }
            // The body has gone: it cannot be sent again.
            let url = format!("http://{}/307?to=/there", server.local_addr());
            let handed = (307, "over there".to_owned());
            assert_eq!(ask(&client, "POST", &url, "body").await, handed);
            let stays = client.redirects(0);
            assert_eq!(ask(&stays, "GET", &url, "").await, handed);
        }
        assert!(server.connections() <= 2, "{}", server.connections());
    });
}

/// Secrets stay with the scheme, host and port that they are for.
#[test]
fn secrets_are_not_taken_elsewhere() {
    on_each_driver(|| async {
        let (here, there) = (leading(), leading());
        let url = format!("http://{}/302?to=http://{}/x", here.local_addr(), there.local_addr());
        let heard = ask(&Client::new(), "GET", &url, "").await;
        assert_eq!(heard, (200, "GET /x 0 content-type,x-own".to_owned()));
        // Nor are they given back on the way home.
        let home = format!("http://{}/x", here.local_addr());
        let url = format!("http://{}/302?to={home}", there.local_addr());
        let url = format!("http://{}/302?to={url}", here.local_addr());
        let heard = ask(&Client::new(), "GET", &url, "").await;
        assert_eq!(heard, (200, "GET /x 0 content-type,x-own".to_owned()));
    });
}

/// Going in circles, from TLS to plain, and to what is no address have errors of their own.
#[test]
fn wrong_ways_have_errors() {
    on_each_driver(|| async {
        let server = leading();
        let url = |to: &str| format!("http://{}/302?to={to}", server.local_addr());
        // To nowhere else: to itself.
        let error = Client::new().get(&url("")).await.unwrap_err();
        assert!(matches!(error, ClientError::Redirects { limit: 5, .. }), "{error}");
        let chain = url(&url(&url(&url("/x"))));
        let error = Client::new().redirects(3).get(&chain).await.unwrap_err();
        assert!(matches!(error, ClientError::Redirects { limit: 3, .. }), "{error}");
        assert!(Client::new().redirects(4).get(&chain).await.is_ok());
        let error = Client::new().get(&url("ftp://host/")).await.unwrap_err();
        assert!(matches!(error, ClientError::BadUrl { .. }), "{error}");
        let (acceptor, connector, _) = certificate();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor).unwrap();
        let secure = Server::new().serve_tls(listener, service_fn(lead)).unwrap();
        let port = secure.local_addr().port();
        let client = Client::new().connector(connector);
        let down = format!("https://localhost:{port}/302?to=http://localhost:{port}/");
        let error = client.get(&down).await.unwrap_err();
        assert!(matches!(error, ClientError::Downgrade { .. }), "{error}");
    });
}

/// Connections that nobody uses are closed, of either protocol.
#[test]
fn idle_connections_are_swept() {
    on_each_driver(|| async {
        let (acceptor, connector, _) = certificate();
        let plain = common::echo_server(Limits::default());
        let secure = tls_echo_server(acceptor);
        let within = Duration::from_millis(50);
        let limits = ClientLimits { idle_within: within, ..ClientLimits::default() };
        let client = Client::new().limits(limits).connector(connector);
        let urls = [
            format!("http://{}/", plain.local_addr()),
            format!("https://localhost:{}/", secure.local_addr().port()),
        ];
        for url in &urls {
            client.get(url).await.unwrap().into_body().bytes().await.unwrap();
        }
        assert_eq!((plain.connections(), secure.connections()), (1, 1));
        for _ in 0..200 {
            timer::sleep(Duration::from_millis(10)).await.unwrap();
            if plain.connections() + secure.connections() == 0 {
                break;
            }
        }
        assert_eq!((plain.connections(), secure.connections()), (0, 0));
        for url in &urls {
            assert!(client.get(url).await.is_ok());
        }
    });
}
