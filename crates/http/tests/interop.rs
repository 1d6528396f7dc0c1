//! Peers that others have written: curl, Python's own HTTP and Node's HTTP/2.

mod common;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{blocking, certificate, echo_server, live, on_each_driver, tls_echo_server};
use tautline_http::{
    Body, Bytes, Client, ClientLimits, Full, Limits, Method, Request, Response, Server, Version,
    service_fn,
};
use tautline_net::tls::TlsListener;
use tautline_runtime::timer;

/// Runs a program that others have written; its output, or `None` where it is not installed, which
/// is said, and on the machine that decides is a failure.
async fn foreign(program: &'static str, args: Vec<String>) -> Option<String> {
    let ran = blocking(move || {
        Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::inherit()).output()
    })
    .await;
    match ran {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{program}: {} {said}", output.status);
            Some(said)
        }
        Err(error) => {
            skipped(&format!("{program}: {error}"));
            None
        }
    }
}

/// What is not tested goes into the summary of `scripts/test`; with `CI` set it is a failure.
fn skipped(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "a peer is missing: {what}");
    skips::skip_in_part(what);
}

fn args(list: &[&str]) -> Vec<String> {
    list.iter().map(|arg| (*arg).to_owned()).collect()
}

/// curl gets a page and posts a body by HTTP/1.1, by HTTP/2 at once, and by what ALPN gives it
/// through TLS.
#[test]
fn curl_speaks_both_protocols() {
    on_each_driver(|| async {
        let Some(able) = foreign("curl", args(&["--version"])).await else { return };
        if !able.contains("HTTP2") {
            return skipped("this curl has no HTTP/2");
        }
        let (acceptor, _, chain) = certificate();
        let mut trusted = tempfile::NamedTempFile::new().unwrap();
        trusted.write_all(chain.as_bytes()).unwrap();
        let trusted = trusted.path().to_str().unwrap();
        let limits = Limits { body_bytes: 4 << 20, ..Limits::default() };
        let (plain, secure) = (echo_server(limits), tls_echo_server(acceptor));
        let plain = format!("http://{}/curl", plain.local_addr());
        let secure = format!("https://localhost:{}/curl", secure.local_addr().port());
        let mut large = tempfile::NamedTempFile::new().unwrap();
        large.write_all(&vec![b'x'; 1_000_000]).unwrap();
        let large = format!("@{}", large.path().to_str().unwrap());
        for (flag, url, version) in [
            ("--http1.1", &plain, "1.1"),
            ("--http2-prior-knowledge", &plain, "2"),
            ("--http2", &secure, "2"),
            ("--http1.1", &secure, "1.1"),
        ] {
            let asked = args(&[
                "-sS",
                "--max-time",
                "10",
                "--cacert",
                trusted,
                "-w",
                "%{http_version}",
                flag,
                url,
            ]);
            let heard = foreign("curl", asked.clone()).await.unwrap_or_default();
            assert_eq!(heard, format!("GET /curl\n{version}"), "{flag}");
            let posted = [asked, args(&["--data-binary", &large])].concat();
            let heard = foreign("curl", posted).await.unwrap_or_default();
            assert_eq!(heard.len(), "POST /curl\n".len() + 1_000_000 + version.len(), "{flag}");
        }
        let refused = args(&["-sS", "-o", "/dev/null", "-w", "%{http_code}", &plain]);
        let many = (0..150).flat_map(|n| ["-H".to_owned(), format!("x-{n}: y")]).collect();
        let heard = foreign("curl", [refused, many].concat()).await;
        assert_eq!(heard.as_deref(), Some("431"));
    });
}

const ASKS: &str = r#"
import http.client, sys
host, port = sys.argv[1], int(sys.argv[2])
conn = http.client.HTTPConnection(host, port, timeout=10)
for n in range(20):
    body = (b"part %d;" % i for i in range(n))
    conn.request("PUT", f"/{n}", body=body, encode_chunked=True,
                 headers={"Transfer-Encoding": "chunked"})
    answer = conn.getresponse()
    said = answer.read()
    want = b"PUT /%d\n" % n + b"".join(b"part %d;" % i for i in range(n))
    assert answer.status == 200 and said == want, (answer.status, said)
conn.request("HEAD", "/")
answer = conn.getresponse()
assert answer.status == 200 and answer.read() == b"", answer.status
print("done")
"#;

/// Python's client sends chunks on one connection, again and again.
#[test]
fn python_asks() {
    on_each_driver(|| async {
        let server = echo_server(Limits::default());
        let addr = server.local_addr();
        let port = addr.port().to_string();
        let asked = args(&["-c", ASKS, "127.0.0.1", &port]);
        let Some(said) = foreign("python3", asked).await else { return };
        assert_eq!(said.trim(), "done");
    });
}

const ANSWERS: &str = r#"
import http.server, sys
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[1]
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        if self.protocol_version == "HTTP/1.1":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 1000):
                piece = body[at:at + 1000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.end_headers()
            self.wfile.write(body)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// Python's server answers in chunks, and by HTTP/1.0 until it closes.
#[test]
fn python_answers() {
    on_each_driver(|| async {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            let spawned = Command::new("python3")
                .args(["-c", ANSWERS, version])
                .stdout(Stdio::piped())
                .spawn();
            let mut child = match spawned {
                Ok(child) => child,
                Err(error) => return skipped(&format!("python3: {error}")),
            };
            let mut line = String::new();
            let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
            std::io::BufRead::read_line(&mut said, &mut line).unwrap();
            let url = format!("http://127.0.0.1:{}/", line.trim());
            let client = Client::new();
            let mut heard = Vec::new();
            for length in [0, 1, 5000, 200_000] {
                let sent = vec![b'y'; length];
                let request = Request::post(&url).body(Full::from(sent.clone())).unwrap();
                let answer = client.request(request).await;
                let body = match answer {
                    Ok(answer) => answer.into_body().bytes().await.map_err(|e| e.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                heard.push((sent, body));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            for (sent, body) in heard {
                assert_eq!(body.unwrap(), sent, "{version}");
            }
        }
    });
}

const NODE_ANSWERS: &str = r#"
const http2 = require("node:http2");
const server = http2.createServer();
server.on("stream", (stream, headers) => {
  if (headers[":path"] === "/old") {
    stream.respond({ ":status": 302, location: "/new" });
    return stream.end("over there");
  }
  stream.respond({ ":status": 200 });
  setTimeout(() => stream.end(`${headers[":method"]} ${headers[":path"]}`), 300);
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// A server by Node's HTTP/2 gives its sign of life while an answer takes its time, and is followed
/// where it sends the client.
#[test]
fn node_answers() {
    on_each_driver(|| async {
        let spawned =
            Command::new("node").args(["-e", NODE_ANSWERS]).stdout(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => return skipped(&format!("node: {error}")),
        };
        let mut line = String::new();
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        let every = Duration::from_millis(50);
        let within = Duration::from_secs(5);
        let limits =
            ClientLimits { ping_every: every, ping_within: within, ..ClientLimits::default() };
        let client = Client::new().prior_knowledge(true).limits(limits);
        let answer = client.get(&format!("http://127.0.0.1:{}/old", line.trim())).await;
        let heard = match answer {
            Ok(answer) => answer.into_body().text().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(heard.as_deref(), Ok("GET /new"));
    });
}

const NODE_ASKS: &str = r#"
const http2 = require("node:http2");
const session = http2.connect(process.argv[1]);
let left = 20;
for (let n = 0; n < 20; n++) {
  const stream = session.request({ ":method": "POST", ":path": `/${n}` });
  let heard = "";
  stream.setEncoding("utf8").on("data", (piece) => { heard += piece; });
  stream.on("end", () => {
    if (heard !== `POST /${n}\n` + "z".repeat(n * 10000)) throw new Error(`of ${n}: ${heard.length}`);
    if (--left === 0) setTimeout(() => session.close(() => console.log("done")), 300);
  });
  stream.end("z".repeat(n * 10000));
}
"#;

/// Node's HTTP/2 asks for much at once, and gives the server its signs of life.
#[test]
fn node_asks() {
    on_each_driver(|| async {
        let every = Duration::from_millis(50);
        let limits = Limits { ping_every: every, ..Limits::default() };
        let server = echo_server(limits);
        let url = format!("http://{}", server.local_addr());
        let Some(said) = foreign("node", args(&["-e", NODE_ASKS, &url])).await else { return };
        assert_eq!(said.trim(), "done");
    });
}

const NODE_CONNECTS: &str = r#"
const http2 = require("node:http2");
const session = http2.connect(process.argv[1]);
// A text frame, masked by zeros, with a length of 16 bits.
const frame = (text) => {
  const head = Buffer.from([0x81, 0xfe, 0, 0, 0, 0, 0, 0]);
  head.writeUInt16BE(text.length, 2);
  return Buffer.concat([head, Buffer.from(text)]);
};
session.on("remoteSettings", (settings) => {
  if (!settings.enableConnectProtocol) throw new Error("no extended CONNECT");
  let left = 10;
  for (let n = 0; n < 10; n++) {
    const stream = session.request({
      ":method": "CONNECT", ":protocol": "websocket", ":path": "/live",
      "sec-websocket-version": "13", "sec-websocket-protocol": "a",
    }, { endStream: false });
    const said = `${n}`.repeat(20000 + n);
    let heard = Buffer.alloc(0);
    stream.on("response", (headers) => {
      if (headers[":status"] !== 200) throw new Error(JSON.stringify(headers));
      if (headers["sec-websocket-protocol"] !== "a") throw new Error(JSON.stringify(headers));
      stream.write(frame(said));
    });
    stream.on("data", (piece) => {
      heard = Buffer.concat([heard, piece]);
      if (heard.length < 4 + said.length) return;
      if (heard.subarray(4, 4 + said.length).toString() !== said) throw new Error("not what was said");
      if (heard.length === 4 + said.length) stream.end(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 3, 232]));
    });
    stream.on("end", () => {
      if (heard.subarray(-4).toString("hex") !== "880203e8") throw new Error(heard.subarray(-4).toString("hex"));
      if (--left === 0) session.close(() => console.log("done"));
    });
  }
});
"#;

/// Node opens ten WebSockets on one connection of HTTP/2.
#[test]
fn node_opens_websockets() {
    on_each_driver(|| async {
        let server = Server::new().listen("127.0.0.1:0", service_fn(live)).unwrap();
        let url = format!("http://{}", server.local_addr());
        let Some(said) = foreign("node", args(&["-e", NODE_CONNECTS, &url])).await else { return };
        assert_eq!(said.trim(), "done");
    });
}

/// A page whose script opens a WebSocket, and shows what it has heard.
const PAGE: &str = r#"<!doctype html><p id="heard">nothing</p><script>
const socket = new WebSocket(`wss://${location.host}/live`, "a");
const said = ["hi", "x".repeat(100000), "\u{1f980}"];
let heard = 0;
socket.onopen = () => said.forEach((text) => socket.send(text));
socket.onmessage = ({ data }) => {
  if (data !== said[heard++]) heard = -1000;
  if (heard === said.length) socket.close(1000);
};
socket.onclose = ({ code, wasClean }) => {
  const text = `${heard} ${code} ${wasClean} ${socket.protocol}`;
  document.getElementById("heard").textContent = text;
  fetch("/told", { method: "POST", body: text });
};
</script>"#;

thread_local! {
    /// What the browser has told, and the methods of its requests by HTTP/2.
    static TOLD: RefCell<(Option<String>, Vec<Method>)> = RefCell::default();
}

async fn page(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.version() == Version::HTTP_2 {
        TOLD.with_borrow_mut(|told| told.1.push(request.method().clone()));
    }
    match request.uri().path() {
        "/live" => live(request).await,
        "/told" => {
            let text = request.into_body().text().await.unwrap_or_default();
            TOLD.with_borrow_mut(|told| told.0 = Some(text));
            Ok(Response::default())
        }
        _ => {
            let page = Response::builder().header("content-type", "text/html");
            Ok(page.body(Full::from(PAGE)).unwrap())
        }
    }
}

/// Chromium opens a WebSocket through TLS on the connection of HTTP/2 that its page came by.
#[test]
fn chromium_opens_a_websocket() {
    let runtime = tautline_runtime::Runtime::new(Default::default()).unwrap();
    let told = runtime.block_on(async {
        let (acceptor, _, _) = certificate();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor).unwrap();
        let server = Server::new().serve_tls(listener, service_fn(page)).unwrap();
        let port = server.local_addr().port();
        let profile = tempfile::tempdir().unwrap();
        let spawned = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update"])
            .args(["--disable-sync", "--ignore-certificate-errors", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("https://localhost:{port}/"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                skipped(&format!("chromium: {error}"));
                return None;
            }
        };
        for _ in 0..600 {
            if TOLD.with_borrow(|told| told.0.is_some()) {
                break;
            }
            timer::sleep(Duration::from_millis(50)).await.unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        Some(TOLD.take())
    });
    let Some((heard, methods)) = told.unwrap() else { return };
    assert_eq!(heard.as_deref(), Some("3 1000 true a"));
    assert!(methods.contains(&Method::CONNECT) && methods.contains(&Method::GET), "{methods:?}");
}
