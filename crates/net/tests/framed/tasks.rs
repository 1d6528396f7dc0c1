//! The async face.

use std::time::Duration;

use futures::StreamExt;
use tautline_net::codec::{Error, Fixed, LengthPrefix, Lines};
use tautline_runtime::{task, timer};

use super::{frames, lines, options, pair, put, run, with_pools};

/// Items arrive as they were sent, in order, on a stream that each side ends.
#[test]
fn items_arrive_in_order() {
    run(async || {
        let (mut near, mut far) = pair(&options(), LengthPrefix::varint()).await?;
        let echo = task::spawn(async move {
            let (reader, writer) = far.halves();
            while let Some(item) = reader.next().await {
                writer.send(item?)?;
            }
            far.close().await
        })?;
        for round in 0..100_usize {
            near.send(vec![round as u8; round * 37])?;
            near.ready().await?;
        }
        near.flush().await?;
        near.finish()?;
        for round in 0..100_usize {
            let item = near.next().await.expect("the echo has all")?;
            assert_eq!(item, vec![round as u8; round * 37]);
        }
        assert!(near.next().await.is_none(), "the end of the echo");
        assert!(near.next().await.is_none(), "and it stays the end");
        echo.await.unwrap()
    });
}

/// Whatever pieces bytes come in, one at a time, items come out whole.
#[test]
fn one_byte_at_a_time() {
    run(async || {
        let (near, mut far) = lines(&options()).await?;
        let sender = task::spawn(async move {
            for byte in b"one\r\ntwo\n\nlast" {
                put(&near, [*byte]).await?;
                task::yield_now().await;
            }
            std::io::Result::Ok(())
        })?;
        for expected in ["one", "two", "", "last"] {
            assert_eq!(far.next().await.expect("a line")?, expected);
        }
        assert!(far.next().await.is_none());
        sender.await.unwrap()
    });
}

/// A `next` that is dropped while it waits loses nothing, in the middle of a frame neither.
#[test]
fn a_dropped_next_loses_nothing() {
    run(async || {
        let (near, mut far) = lines(&options()).await?;
        for piece in ["o", "n", "e\ntw", "o\n"] {
            let waited = timer::timeout(Duration::from_millis(1), far.next()).await;
            assert!(waited.is_err(), "no line yet, or it was seen before");
            put(&near, piece).await?;
            if piece.contains('\n') {
                far.next().await.expect("a line")?;
            }
        }
        assert_eq!(far.halves().0.offset(), 8);
        Ok(())
    });
}

/// An item is looked at while its answer is sent, and owned items come as a stream of `futures`.
#[test]
fn owned_items_come_as_a_stream() {
    run(async || {
        let (near, far) = lines(&options()).await?;
        put(&near, "a\nb\nc\n").await?;
        drop(near);
        let (reader, _writer) = far.split();
        let all: Vec<Result<String, _>> = reader.map(str::to_owned).collect().await;
        let all: Vec<String> = all.into_iter().map(Result::unwrap).collect();
        assert_eq!(all, ["a", "b", "c"]);
        Ok(())
    });
}

/// A stream of owned items ends behind an error.
#[test]
fn a_stream_of_owned_items_ends_behind_an_error() {
    run(async || {
        let (near, far) = lines(&options()).await?;
        put(&near, b"a\n\xff\nc\n").await?;
        let (reader, _writer) = far.split();
        let all: Vec<Result<String, _>> = reader.map(str::to_owned).collect().await;
        assert_eq!(all.len(), 2);
        assert!(matches!(all[1], Err(Error::Malformed { offset: 2, .. })));
        Ok(())
    });
}

/// A stream holds a buffer only while a frame is on its way.
#[test]
fn an_idle_stream_holds_no_buffer() {
    run(async || {
        let (options, read, write) = with_pools(4, 4096);
        let (near, mut far) = lines(&options).await?;
        let waits = async |far: &mut tautline_net::codec::Framed<Lines>, held| {
            assert!(timer::timeout(Duration::from_millis(1), far.next()).await.is_err());
            assert_eq!((read.lent(), write.lent()), (held, 0));
        };
        waits(&mut far, 0).await;
        put(&near, "half").await?;
        waits(&mut far, 1).await;
        put(&near, " a line\n").await?;
        assert_eq!(far.next().await.expect("a line")?, "half a line");
        far.send("answer")?;
        waits(&mut far, 0).await;
        Ok(())
    });
}

/// Where all buffers are in use a stream waits for one, and those who wait are served in their order.
#[test]
fn streams_wait_for_a_buffer_in_their_order() {
    run(async || {
        let (options, read, _) = with_pools(1, 4096);
        let (holding, mut holder) = lines(&options).await?;
        put(&holding, "half").await?;
        assert!(timer::timeout(Duration::from_millis(1), holder.next()).await.is_err());
        assert_eq!(read.lent(), 1);
        let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let mut peers = Vec::new();
        for index in 0..3 {
            let (near, mut far) = lines(&options).await?;
            put(&near, format!("{index}\n")).await?;
            let seen = seen.clone();
            drop(task::spawn(async move {
                let line = far.next().await.unwrap().unwrap().to_owned();
                seen.borrow_mut().push(line);
            })?);
            peers.push(near);
            timer::sleep(Duration::from_millis(1)).await?;
        }
        assert!(seen.borrow().is_empty(), "all buffers are in use");
        put(&holding, "\n").await?;
        assert_eq!(holder.next().await.expect("a line")?, "half");
        drop(holder);
        timer::sleep(Duration::from_millis(5)).await?;
        assert_eq!(*seen.borrow(), ["0", "1", "2"]);
        Ok(())
    });
}

/// A stream that always has more lets other tasks run.
#[test]
fn a_busy_stream_starves_nobody() {
    run(async || {
        let (near, mut far) = pair(&options(), Fixed::<8>).await?;
        let flood = task::spawn(async move {
            let mut near = near;
            for _ in 0..200_000 {
                near.ready().await?;
                near.send([1; 8])?;
            }
            near.close().await
        })?;
        let beats = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = beats.clone();
        let beat = task::spawn(async move {
            loop {
                task::yield_now().await;
                count.set(count.get() + 1);
            }
        })?;
        let mut items = 0;
        while let Some(item) = far.next().await {
            item.unwrap();
            items += 1;
        }
        assert_eq!(items, 200_000);
        assert!(beats.get() > 5, "another task ran {} times", beats.get());
        beat.abort();
        flood.await.unwrap()
    });
}

/// The end between two frames is the end; inside one it is an error that counts what had come.
#[test]
fn the_end_inside_a_frame_is_an_error() {
    run(async || {
        for (sent, got, needs) in [(&[0, 0][..], 2, 4), (&[0, 0, 0, 9, 1, 2][..], 6, 13)] {
            let (near, mut far) = frames(&options()).await?;
            put(&near, [&[0, 0, 0, 1, 7], sent].concat()).await?;
            drop(near);
            assert_eq!(far.next().await.expect("the first is whole")?, [7]);
            let error = far.next().await.expect("half a frame").unwrap_err();
            match error {
                Error::Truncated { offset: 5, got: g, needs: n } => {
                    assert_eq!((g, n), (got, needs))
                }
                other => panic!("{other}"),
            }
        }
        Ok(())
    });
}
