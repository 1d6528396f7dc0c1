//! When what was sent leaves, and what happens when the peer does not take it.

use std::time::Duration;

use tautline_net::UnixStream;
use tautline_net::codec::{Flush, Framed, LengthPrefix, Lines, SendError};
use tautline_runtime::{task, timer};

use super::{lines, options, put, run, with_pools};

fn at_hand(near: &UnixStream) -> usize {
    let mut buf = [0; 65_536];
    near.try_read(&mut buf).unwrap_or(0)
}

/// What was sent leaves with the turn, whatever its sender waits for next; all of it in one call.
#[test]
fn items_leave_with_the_turn() {
    run(async || {
        let (near, mut far) = lines(&options()).await?;
        for _ in 0..100 {
            far.send("line")?;
        }
        assert_eq!(at_hand(&near), 0, "the turn is not over");
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 500);
        Ok(())
    });
}

/// By hand, it leaves when it is flushed or pushed, or when its buffer is full, and not before.
#[test]
fn items_leave_by_hand() {
    run(async || {
        let (options, _, _) = with_pools(1, 4096);
        let (near, mut far) = lines(&options.flush(Flush::Manual)).await?;
        far.send("line")?;
        let next = timer::timeout(Duration::from_millis(1), far.next()).await;
        assert!(next.is_err(), "waiting to receive does not flush either");
        assert_eq!((at_hand(&near), far.halves().1.waiting()), (0, 5));
        far.halves().1.push()?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 5);
        far.send("x".repeat(4000))?;
        far.send("y".repeat(200))?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 4001, "the buffer was full");
        far.flush().await?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 201);
        Ok(())
    });
}

/// Behind so many bytes it leaves at once, and the rest with the turn.
#[test]
fn items_leave_behind_so_many_bytes() {
    run(async || {
        let (near, mut far) = lines(&options().flush(Flush::After(1400))).await?;
        for _ in 0..15 {
            far.send("x".repeat(99))?;
        }
        assert_eq!(far.halves().1.waiting(), 100, "fourteen have gone");
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 1500);
        Ok(())
    });
}

/// What was sent leaves although its stream is dropped at once, with a full queue too.
#[test]
fn items_outlive_their_stream() {
    run(async || {
        let (near, mut far) = lines(&options().flush(Flush::Manual)).await?;
        far.send("last words")?;
        drop(far);
        let (read, buf) = near.read(vec![0; 64]).await;
        assert_eq!(&buf[..read?], b"last words\n");
        let (near, far) = super::streams().await?;
        let mut near = Framed::new(near, LengthPrefix::u32());
        let mut far = options().high_water(10_000).open(far, LengthPrefix::u32());
        let mut count = 0;
        while far.send([count as u8; 1000]).is_ok() {
            count += 1;
        }
        drop(far);
        for expected in 0..count {
            assert_eq!(near.next().await.expect("all of them")?, [expected as u8; 1000]);
        }
        assert!(near.next().await.is_none());
        Ok(())
    });
}

/// A sender that does not wait is refused once as much waits as may, and nothing of what it has sent
/// is lost; one that waits sends any amount, in bounded memory.
#[test]
fn a_slow_reader_holds_its_sender_up() {
    run(async || {
        let (near, far) = super::streams().await?;
        let (options, _, write) = with_pools(1, 4096);
        let mut far = options.high_water(20_000).open(far, Lines::new(100));
        let mut sent = 0;
        let refused = loop {
            match far.send(format!("{sent}")) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 1_000_000, "it is never refused");
        };
        assert!(refused.is_full() && matches!(refused, SendError::Full { .. }), "{refused}");
        let waiting = far.halves().1.waiting();
        assert!((20_000..=28_192).contains(&waiting), "{waiting} bytes wait");
        assert!(timer::timeout(Duration::from_millis(1), far.ready()).await.is_err());
        let reader = task::spawn(async move {
            let mut near = Framed::new(near, Lines::new(100));
            let mut count = 0;
            while let Some(line) = near.next().await {
                assert_eq!(line?, format!("{count}"));
                count += 1;
                if count % 10_000 == 0 {
                    timer::sleep(Duration::from_micros(100)).await?;
                }
            }
            std::io::Result::Ok(count)
        })?;
        for _ in 0..100_000 {
            far.ready().await?;
            far.send(format!("{sent}"))?;
            assert!(far.halves().1.waiting() <= 28_192);
            sent += 1;
        }
        assert_eq!(write.made(), 1);
        far.close().await?;
        assert_eq!(reader.await.unwrap()?, sent);
        Ok(())
    });
}

/// Streams that send more in a turn than there are buffers for lend them to each other: what is to leave
/// soon leaves now.
#[test]
fn many_streams_share_few_buffers() {
    run(async || {
        let (options, _, write) = with_pools(2, 4096);
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(lines(&options).await?);
        }
        for round in 0..3 {
            for (_, far) in &mut streams {
                far.send(format!("line {round}"))?;
            }
            timer::sleep(Duration::from_millis(1)).await?;
            assert!(streams.iter().all(|(near, _)| at_hand(near) == 7));
        }
        assert_eq!((write.made(), write.lent()), (2, 0));
        Ok(())
    });
}

/// Peers that take nothing keep no buffers from others, however many they are.
#[test]
fn slow_readers_disturb_nobody() {
    run(async || {
        let (options, _, write) = with_pools(1, 4096);
        let options = options.high_water(10_000);
        let mut slow = Vec::new();
        for _ in 0..20 {
            let (near, mut far) = lines(&options).await?;
            let full = async {
                loop {
                    far.ready().await?;
                    far.send("x".repeat(2000))?;
                }
            };
            let full: Result<std::io::Result<()>, _> =
                timer::timeout(Duration::from_millis(2), full).await;
            assert!(full.is_err(), "it waits until its peer takes something");
            slow.push((near, far));
        }
        assert_eq!(write.lent(), 0);
        let (_idle, mut idle) = lines(&options).await?;
        idle.ready().await?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(write.lent(), 0, "nor does one that was ready, and sent nothing");
        let (near, mut far) = lines(&options).await?;
        far.send("undisturbed")?;
        far.flush().await?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!(at_hand(&near), 12);
        Ok(())
    });
}

/// Where all buffers are kept by streams that are flushed by hand, sending is refused by name, and who
/// waits to be ready gets the first that comes back.
#[test]
fn a_writer_waits_for_a_buffer() {
    run(async || {
        let (options, _, write) = with_pools(1, 4096);
        let (_near, mut keeper) = lines(&options.clone().flush(Flush::Manual)).await?;
        let (near, mut far) = lines(&options).await?;
        keeper.send("kept")?;
        let refused = far.send("refused").unwrap_err();
        assert!(refused.is_full() && matches!(refused, SendError::NoBuffer(_)), "{refused}");
        assert!(refused.to_string().contains("all 1 buffers of the pool are in use"), "{refused}");
        assert!(timer::timeout(Duration::from_millis(1), far.ready()).await.is_err());
        keeper.flush().await?;
        far.ready().await?;
        far.send("sent")?;
        far.flush().await?;
        timer::sleep(Duration::from_millis(1)).await?;
        assert_eq!((at_hand(&near), write.lent()), (5, 0));
        Ok(())
    });
}

/// Half-close: behind all that was sent the peer sees the end, and its answers are still received.
#[test]
fn a_half_closed_stream_still_receives() {
    run(async || {
        let (near, far) = super::streams().await?;
        let mut near = Framed::new(near, Lines::new(100));
        let mut far = Framed::new(far, Lines::new(100));
        near.send("question")?;
        near.finish()?;
        assert!(near.send("too late").is_err());
        assert_eq!(far.next().await.expect("a line")?, "question");
        assert!(far.next().await.is_none());
        far.send("answer")?;
        far.close().await?;
        assert_eq!(near.next().await.expect("a line")?, "answer");
        assert!(near.next().await.is_none());
        Ok(())
    });
}

/// A peer that is gone is told to the sender, and what it had sent before can still be read.
#[test]
fn a_peer_that_is_gone_is_told() {
    run(async || {
        let (near, mut far) = lines(&options()).await?;
        put(&near, "farewell\n").await?;
        drop(near);
        let mut told = false;
        for _ in 0..100 {
            told = told || far.send("to nobody").is_err() || far.flush().await.is_err();
            timer::sleep(Duration::from_micros(100)).await?;
        }
        assert!(told && far.send("to nobody").is_err());
        assert_eq!(far.next().await.expect("a line")?, "farewell");
        Ok(())
    });
}
