//! The same echo server with tasks.
//!
//! ```sh
//! cargo run --release --example echo_async
//! echo hello | nc -N 127.0.0.1 7000
//! ```

use std::io;

use tautline::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = Runtime::new(Config::default())?;
    runtime.block_on(serve())??;
    Ok(())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:7000")?;
    loop {
        let (stream, peer) = listener.accept().await?;
        task::spawn(async move {
            if let Err(error) = echo(stream).await {
                eprintln!("{peer}: {error}");
            }
        })?;
    }
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let (read, mut bytes) = stream.read(buffer).await;
        let count = read?;
        if count == 0 {
            return Ok(());
        }
        bytes.truncate(count);
        let (written, mut bytes) = stream.write_all(bytes).await;
        written?;
        bytes.resize(4096, 0);
        buffer = bytes;
    }
}
