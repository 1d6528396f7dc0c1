//! TLS with other implementations, in both roles: the `openssl` program, curl, and Python. Where
//! one is missing, its tests say so and are counted as skipped in part.

mod common;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;
mod tls_support;

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::rc::Rc;
use std::time::Duration;

use common::{block, everywhere, run};
use tautline_net::tls::{AcceptorBuilder, Error, TlsConn, TlsListener, TlsStream, Version};
use tautline_runtime::timer;
use tls_support::{Authority, Pem, authority, error_of, pattern};

/// Whether a peer is there; says so if not.
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "TLS needs {program} to be tested with");
        skips::skip_in_part(&format!("TLS with {program}, which is not on this machine"));
    }
    found
}

/// An authority, and files that others can read.
struct Files {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let (authority, folder) = (authority("one"), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
        let this = Self { authority, folder };
        let server = this.authority.sign(&["localhost", "127.0.0.1"]);
        this.write("server", &server);
        this.write("client", &this.authority.sign(&["client"]));
        this
    }

    fn write(&self, name: &str, pem: &Pem) {
        fs::write(self.path(&format!("{name}.pem")), &pem.chain).unwrap();
        fs::write(self.path(&format!("{name}.key")), &pem.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A peer's program with these arguments, in which `@name` is one of the files.
    fn peer(&self, program: &str, line: &str) -> Peer {
        let arguments = line.split_whitespace().map(|word| match word.strip_prefix('@') {
            Some(name) => self.path(name).into_os_string(),
            None => word.into(),
        });
        Peer::start(Command::new(program).args(arguments))
    }

    fn python(&self, script: &str, port: u16) -> Peer {
        let path = self.path("peer.py");
        fs::write(&path, script).unwrap();
        Peer::start(Command::new("python3").arg(path).arg(port.to_string()).arg(self.folder.path()))
    }
}

/// A process that ends with the test.
struct Peer {
    child: Child,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { child: piped.spawn().unwrap() }
    }

    /// Says something to it.
    fn say(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The port in the line `ACCEPT address:port`.
    fn port(&mut self) -> u16 {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap());
        for _ in 0..50 {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended without a port");
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                self.child.stdout = Some(lines.into_inner());
                return address.trim().rsplit(':').next().unwrap().parse().unwrap();
            }
        }
        panic!("it tells no port");
    }

    /// Waits on the loop until it has ended; what it has said.
    async fn end(mut self) -> io::Result<Output> {
        while self.child.try_wait()?.is_none() {
            timer::sleep(Duration::from_millis(2)).await?;
        }
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        self.child.stdout.take().unwrap().read_to_end(&mut stdout)?;
        self.child.stderr.take().unwrap().read_to_end(&mut stderr)?;
        Ok(Output { status: self.child.wait()?, stdout, stderr })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What became of the handshakes of a server.
type Outcomes = Rc<RefCell<Vec<Result<(), Error>>>>;

/// Serves each stream with `serve`, and notes what became of each handshake.
fn serve(
    acceptor: AcceptorBuilder,
    serve: impl Fn(TlsStream) -> io::Result<()> + 'static,
) -> (SocketAddr, Outcomes) {
    let listener = TlsListener::bind("127.0.0.1:0", acceptor.build().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let outcomes = Outcomes::default();
    let noted = outcomes.clone();
    listener
        .on_accept(move |stream| match stream {
            Ok(stream) => {
                noted.borrow_mut().push(Ok(()));
                serve(stream)
            }
            Err(error) => {
                noted.borrow_mut().push(Err(Error::of(&error).unwrap().clone()));
                Ok(())
            }
        })
        .unwrap();
    (addr, outcomes)
}

/// Answers the first line in capitals, and ends.
fn shout(stream: TlsStream) -> io::Result<()> {
    let mut line = Vec::new();
    let handler = move |conn: &TlsConn, bytes: &[u8]| {
        line.extend_from_slice(bytes);
        if line.ends_with(b"\n") {
            conn.write(&line.to_ascii_uppercase())?;
            conn.close();
        }
        io::Result::Ok(())
    };
    stream.on_data(handler).map(drop)
}

/// `s_client` gets an answer by either version, and believes our certificate and our end.
#[test]
fn openssl_is_served() {
    if !is_there("openssl") {
        return;
    }
    let files = Files::new();
    everywhere(|runtime| {
        for version in ["-tls1_2", "-tls1_3"] {
            let (addr, _) = serve(files.authority.server().alpn(["http/1.1"]), shout);
            let output = block(runtime, async {
                let mut peer = files.peer(
                    "openssl",
                    &format!(
                        "s_client -connect {addr} -servername localhost -CAfile @ca.pem \
                         -verify_return_error -verify_hostname localhost -alpn h2,http/1.1 {version}"
                    ),
                );
                peer.say("a question\n");
                peer.end().await
            });
            let said = text(&output);
            for part in ["A QUESTION", "Verify return code: 0 (ok)", "ALPN protocol: http/1.1"] {
                assert!(said.contains(part), "{part} is not in {said}");
            }
            assert!(!said.contains("unexpected eof"), "{said}");
        }
    });
}

/// A peer that changes its keys, and has us change ours, loses nothing.
#[test]
fn keys_are_changed_on_the_way() {
    if !is_there("openssl") {
        return;
    }
    let files = Files::new();
    run(async || {
        let (addr, _) = serve(files.authority.server(), shout);
        let mut peer = files
            .peer("openssl", &format!("s_client -connect {addr} -tls1_3 -servername localhost"));
        for line in ["K\n", "k\n", "after new keys\n"] {
            timer::sleep(Duration::from_millis(150)).await?;
            peer.say(line);
        }
        let said = text(&peer.end().await?);
        assert!(said.contains("KEYUPDATE") && said.contains("AFTER NEW KEYS"), "{said}");
        Ok(())
    });
}

/// Clients with a certificate are let in, and those without are told why they are not.
#[test]
fn openssl_shows_its_certificate() {
    if !is_there("openssl") {
        return;
    }
    let files = Files::new();
    run(async || {
        for version in ["-tls1_2", "-tls1_3"] {
            let roots = files.authority.roots();
            let (addr, outcomes) = serve(files.authority.server().require_clients(roots), shout);
            let line = format!("s_client -connect {addr} -servername localhost {version}");
            let mut peer =
                files.peer("openssl", &format!("{line} -cert @client.pem -key @client.key"));
            peer.say("it is me\n");
            assert!(text(&peer.end().await?).contains("IT IS ME"));
            let mut peer = files.peer("openssl", &line);
            // It may be gone already.
            let _ = peer.child.stdin.as_mut().unwrap().write_all(b"let me in\n");
            let said = text(&peer.end().await?);
            assert!(said.contains("alert"), "{said}");
            assert_eq!(*outcomes.borrow(), [Ok(()), Err(Error::NoClientCertificate)]);
        }
        Ok(())
    });
}

/// `s_server` answers us by either version; killed in the midst, its stream is told as cut off.
#[test]
fn openssl_serves_us_and_is_cut_off() {
    if !is_there("openssl") {
        return;
    }
    let files = Files::new();
    run(async || {
        for (option, version) in [("-tls1_2", Version::Tls12), ("-tls1_3", Version::Tls13)] {
            let mut peer = files.peer(
                "openssl",
                &format!(
                    "s_server -accept 127.0.0.1:0 -cert @server.pem -key @server.key -rev {option}"
                ),
            );
            let port = peer.port();
            let connector = files.authority.client().build().unwrap();
            for resumed in [false, true] {
                let stream = connector.connect(("localhost", port)).await?;
                assert_eq!(stream.facts().version, Some(version));
                assert_eq!(stream.facts().resumed, resumed);
                stream.write_all(b"stressed\n").await?;
                let mut buf = [0; 9];
                stream.read_exact(&mut buf).await?;
                assert_eq!(&buf, b"desserts\n");
                stream.shutdown().await?;
                assert_eq!(stream.read(&mut buf).await?, 0);
            }
            let stream = connector.connect(("localhost", port)).await?;
            stream.write_all(b"stressed\n").await?;
            stream.read_exact(&mut [0; 9]).await?;
            drop(peer);
            let error = error_of(stream.read(&mut [0]).await);
            assert!(matches!(error, Error::Truncated { .. }), "{error}");
        }
        Ok(())
    });
}

/// curl fetches 4 MB by either version; without TLS it is told in words what is wrong, and so is
/// the server.
#[test]
fn curl_is_served() {
    if !is_there("curl") {
        return;
    }
    let files = Files::new();
    let page: Rc<Vec<u8>> = pattern(4 << 20).into();
    run(async || {
        let served = page.clone();
        let (addr, outcomes) = serve(files.authority.server(), move |stream| {
            let page = served.clone();
            let task = tautline_runtime::task::spawn(async move {
                stream.read(&mut [0; 4096]).await?;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", page.len());
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(&page).await?;
                stream.shutdown().await
            });
            task.map(drop).map_err(Into::into)
        });
        for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3"] {
            let port = addr.port();
            let peer = files.peer(
                "curl",
                &format!("-sS --cacert @ca.pem {version} -o @page https://localhost:{port}/"),
            );
            let output = peer.end().await?;
            assert!(output.status.success(), "{}", text(&output));
            assert!(fs::read(files.path("page"))? == *page);
        }
        let peer = files.peer("curl", &format!("-sS http://localhost:{}/", addr.port()));
        let said = text(&peer.end().await?);
        assert!(said.contains("This port speaks TLS"), "{said}");
        assert_eq!(outcomes.borrow().last(), Some(&Err(Error::PlainHttp)));
        Ok(())
    });
}

const PYTHON_CLIENT: &str = r#"
import socket, ssl, sys
port, folder = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=folder + "/ca.pem")
said, session = bytes(n % 251 for n in range(1 << 20)), None
for turn in range(2):
    with socket.create_connection(("127.0.0.1", port)) as plain:
        stream = context.wrap_socket(plain, server_hostname="localhost", session=session)
        got, at = b"", 0
        while len(got) < len(said):
            if at < len(said):
                at += stream.send(said[at:at + 40000])
            got += stream.recv(1 << 16)
        assert got == said
        assert stream.session_reused == (turn == 1), turn
        session = stream.session
        stream.unwrap()  # fails unless our end is told in order
print("all is well")
"#;

const PYTHON_SERVER: &str = r#"
import socket, ssl, sys
folder = sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder + "/server.pem", folder + "/server.key")
context.load_verify_locations(folder + "/ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
context.set_alpn_protocols(["tautline"])
with socket.create_server(("127.0.0.1", 0)) as listener:
    print("ACCEPT 127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    plain, _ = listener.accept()
    with context.wrap_socket(plain, server_side=True) as stream:
        assert stream.selected_alpn_protocol() == "tautline"
        assert stream.getpeercert()["subjectAltName"] == (("DNS", "client"),)
        while piece := stream.recv(1 << 16):
            stream.sendall(piece)
        stream.unwrap()
print("all is well")
"#;

/// Python talks to us, takes its session up again, and gets our end.
#[test]
fn python_is_served() {
    if !is_there("python3") {
        return;
    }
    let files = Files::new();
    run(async || {
        let (addr, _) = serve(files.authority.server(), |stream| {
            stream.on_data(|conn: &TlsConn, bytes: &[u8]| conn.write(bytes)).map(drop)
        });
        let output = files.python(PYTHON_CLIENT, addr.port()).end().await?;
        assert!(text(&output).contains("all is well"), "{}", text(&output));
        Ok(())
    });
}

/// Python serves us: a megabyte comes back, it knows us by our certificate, and ends in order.
#[test]
fn python_serves_us() {
    if !is_there("python3") {
        return;
    }
    let files = Files::new();
    run(async || {
        let mut peer = files.python(PYTHON_SERVER, 0);
        let port = peer.port();
        let identity = tautline_net::tls::Identity::from_pem_files(
            files.path("client.pem"),
            files.path("client.key"),
        );
        let connector =
            files.authority.client().identity(identity).alpn(["tautline"]).build().unwrap();
        let stream = connector.connect(("localhost", port)).await?;
        let (sent, mut got) = (pattern(1 << 20), vec![0; 1 << 20]);
        futures::try_join!(stream.write_all(&sent), stream.read_exact(&mut got))?;
        assert!(sent == got);
        stream.shutdown().await?;
        assert_eq!(stream.read(&mut [0]).await?, 0);
        let output = peer.end().await?;
        assert!(text(&output).contains("all is well"), "{}", text(&output));
        Ok(())
    });
}

/// A handshake with the longest keys in use, checked and made by fibers, fits the smallest stack.
#[test]
fn a_handshake_with_long_keys_fits_a_small_stack() {
    use tautline_net::fiber::{TlsListener, TlsStream};
    use tautline_net::tls::{Acceptor, Connector, Identity, Roots};
    use tautline_runtime::fiber::{self, Stack};
    use tautline_runtime::{Config, Runtime};
    if !is_there("openssl") {
        return;
    }
    let files = Files::new();
    let mut made = files.peer(
        "openssl",
        "req -x509 -newkey rsa:4096 -nodes -days 2 -subj /CN=localhost \
         -addext subjectAltName=DNS:localhost \
         -addext basicConstraints=critical,CA:FALSE -keyout @rsa.key -out @rsa.pem",
    );
    assert!(made.child.wait().unwrap().success());
    let runtime = Runtime::new(Config { measure_stacks: true, ..common::small() }).unwrap();
    let identity = Identity::from_pem_files(files.path("rsa.pem"), files.path("rsa.key"));
    let acceptor = Acceptor::builder().identity(identity).build().unwrap();
    let roots = Roots::from_pem_file(files.path("rsa.pem")).unwrap();
    let connector = Connector::builder().roots(roots).build().unwrap();
    let both = runtime.run_fiber(Stack::Medium, move || {
        let listener = TlsListener::bind("127.0.0.1:0", acceptor)?;
        let addr = listener.local_addr()?;
        let server = fiber::spawn(Stack::Small, move || {
            let stream = listener.accept()?.0.complete()?;
            stream.read(&mut [0]).and_then(|_| stream.shutdown())
        })?;
        let client = fiber::spawn(Stack::Small, move || {
            let stream = TlsStream::connect_as(&connector, addr, "localhost")?;
            stream.shutdown()
        })?;
        let both = [client.join().unwrap(), server.join().unwrap()];
        let used = fiber::stacks()?[0].used.expect("it is measured");
        eprintln!("a handshake used {used} bytes of a stack");
        // Frames of the address sanitizer are several times as large.
        assert!(cfg!(asan) || used < 28 << 10, "{used} bytes");
        both.into_iter().collect::<io::Result<()>>()
    });
    both.unwrap().unwrap();
}
