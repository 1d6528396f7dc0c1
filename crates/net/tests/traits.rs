//! The ecosystem's traits and combinators work on the loop's streams.

mod common;

use std::pin::pin;
use std::time::Duration;

use common::run;
use futures::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use tautline_net::{TcpListener, TcpStream};
use tautline_runtime::{task, timer};

async fn pair() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    Ok((near, listener.accept().await?.0))
}

/// Lines are read through the buffered reader of `futures`.
#[test]
fn a_buffered_reader_splits_lines() {
    run(async || {
        let (mut near, far) = pair().await?;
        let sender = task::spawn(async move {
            for n in 0..1000 {
                AsyncWriteExt::write_all(&mut near, format!("line {n}\n").as_bytes())
                    .await
                    .unwrap();
            }
            near.close().await.unwrap();
        })?;
        let mut lines = futures::io::BufReader::new(far).lines();
        let mut count = 0;
        while let Some(line) = lines.next().await {
            assert_eq!(line?, format!("line {count}"));
            count += 1;
        }
        sender.await.unwrap();
        assert_eq!(count, 1000);
        Ok(())
    });
}

/// `copy` moves a stream into another, more than any queue holds, and nothing is lost.
#[test]
fn copy_moves_a_whole_stream() {
    run(async || {
        let (source, into) = pair().await?;
        let (out, sink) = pair().await?;
        let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let feeder = task::spawn(async move {
            source.write_all(sent).await.0.unwrap();
        })?;
        let relay = task::spawn(async move {
            let copied = futures::io::copy(&into, &mut &out).await.unwrap();
            (&out).close().await.unwrap();
            copied
        })?;
        let mut got = Vec::new();
        (&sink).read_to_end(&mut got).await?;
        feeder.await.unwrap();
        assert_eq!(relay.await.unwrap(), bytes.len() as u64);
        assert!(got == bytes);
        Ok(())
    });
}

/// A read that loses a race loses no byte.
#[test]
fn a_read_that_lost_a_race_loses_nothing() {
    run(async || {
        let (near, far) = pair().await?;
        let mut got = 0;
        let writer = task::spawn(async move {
            for _ in 0..200 {
                near.write_all(vec![1; 100]).await.0.unwrap();
                timer::sleep(Duration::from_micros(30)).await.unwrap();
            }
        })?;
        loop {
            let mut tick = pin!(timer::sleep(Duration::from_micros(40)).fuse());
            let mut read = pin!(far.read(vec![0; 64]).fuse());
            futures::select! {
                (read, _) = read => match read? {
                    0 => break,
                    n => got += n,
                },
                _ = tick => {}
            }
        }
        writer.await.unwrap();
        assert_eq!(got, 20_000);
        Ok(())
    });
}

/// Two reads on two streams are joined, and a timeout ends one that nobody serves.
#[test]
fn reads_are_joined_and_timed_out() {
    run(async || {
        let ((a, b), (c, d)) = futures::try_join!(pair(), pair())?;
        a.write_all("one").await.0?;
        c.write_all("two").await.0?;
        let (first, second) = futures::join!(b.read(vec![0; 8]), d.read(vec![0; 8]));
        assert_eq!((first.0?, second.0?), (3, 3));
        let late = b.read(vec![0; 8]).timeout(Duration::from_millis(1)).await.0;
        assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        a.write_all("more").await.0?;
        assert_eq!(b.read(vec![0; 8]).await.0?, 4);
        Ok(())
    });
}

/// The traits of tokio carry its own `copy` and its line reader.
#[cfg(feature = "tokio")]
#[test]
fn tokio_copies_over_our_streams() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    run(async || {
        let (mut source, mut into) = pair().await?;
        let (mut out, mut sink) = pair().await?;
        let feeder = task::spawn(async move {
            AsyncWriteExt::write_all(&mut source, &vec![5; 500_000]).await.unwrap();
            AsyncWriteExt::shutdown(&mut source).await.unwrap();
        })?;
        let relay = task::spawn(async move {
            let copied = tokio::io::copy(&mut into, &mut out).await.unwrap();
            AsyncWriteExt::shutdown(&mut out).await.unwrap();
            copied
        })?;
        let mut got = Vec::new();
        AsyncReadExt::read_to_end(&mut sink, &mut got).await?;
        feeder.await.unwrap();
        assert_eq!(relay.await.unwrap(), 500_000);
        assert!(got == vec![5; 500_000]);
        Ok(())
    });
}
