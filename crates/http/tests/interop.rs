//! Peers that others have written: curl, Python's own HTTP and Node's HTTP/2.

mod common;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::io::Write;
use std::process::{Command, Stdio};

use common::{blocking, certificate, echo_server, on_each_driver, tls_echo_server};
use tautline_http::{Client, ClientLimits, Full, Limits, Request};

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
        let every = std::time::Duration::from_millis(50);
        let within = std::time::Duration::from_secs(5);
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
        let every = std::time::Duration::from_millis(50);
        let limits = Limits { ping_every: every, ..Limits::default() };
        let server = echo_server(limits);
        let url = format!("http://{}", server.local_addr());
        let Some(said) = foreign("node", args(&["-e", NODE_ASKS, &url])).await else { return };
        assert_eq!(said.trim(), "done");
    });
}
