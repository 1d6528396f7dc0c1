//! An echo server by TLS, whose certificate is swapped while it runs: SIGHUP has it read its files
//! again. Connections that stand go on, new ones get the new certificate, and a bad file changes
//! nothing.
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
//!     -subj /CN=localhost -addext subjectAltName=DNS:localhost \
//!     -addext basicConstraints=CA:FALSE -keyout key.pem -out chain.pem
//! cargo run --release --example tls_echo chain.pem key.pem
//! openssl s_client -quiet -connect 127.0.0.1:7443 -servername localhost -CAfile chain.pem
//! kill -HUP $(pidof tls_echo)
//! ```

use tautline::net::tls::{Acceptor, TlsListener};
use tautline::net::{Signal, Signals};
use tautline::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [chain, key] = &arguments[..] else {
        return Err("usage: tls_echo CHAIN.pem KEY.pem".into());
    };
    let runtime = Runtime::new(Config::default())?;
    let acceptor = Acceptor::from_pem_files(chain, key)?;
    TlsListener::bind("127.0.0.1:7443", acceptor.clone())?.on_accept(|stream| match stream {
        Ok(stream) => stream.on_data(|stream, bytes| stream.write(bytes)).map(drop),
        Err(error) => {
            eprintln!("{error}");
            Ok(())
        }
    })?;
    Signals::new([Signal::HANG_UP])?.on_signal(move |_| match acceptor.reload() {
        Ok(()) => eprintln!("new handshakes get the new certificate"),
        Err(error) => eprintln!("the old certificate stays: {error}"),
    })?;
    runtime.run()?;
    Ok(())
}
