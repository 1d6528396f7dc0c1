//! Frames that are too large, and bytes that are none.

use tautline_buffer::Pool;
use tautline_net::codec::{Error, Flush, LengthError, LineError, SendError};
use tautline_runtime::task;

use super::{frames, lines, options, put, run, with_pools};

/// What a codec does not understand is an error that names its byte of the stream; what came before it
/// was seen, and nothing is behind it.
#[test]
fn malformed_bytes_are_named_once() {
    run(async || {
        let (near, mut far) = lines(&options()).await?;
        put(&near, b"one\ntwo\nth\xffree\nfour\n").await?;
        assert_eq!(far.next().await.expect("a line")?, "one");
        assert_eq!(far.next().await.expect("a line")?, "two");
        let error = far.next().await.expect("an error").unwrap_err();
        assert!(matches!(error, Error::Malformed { offset: 10, error: LineError::NotUtf8 }));
        assert!(error.to_string().starts_with("at byte 10 of the stream"), "{error}");
        for _ in 0..3 {
            let again = far.next().await.expect("an error").unwrap_err();
            assert!(matches!(again, Error::Failed { offset: 8 }), "{again}");
        }
        far.send("sending goes on")?;
        far.flush().await?;
        let (read, buf) = near.read(vec![0; 64]).await;
        assert_eq!(&buf[..read?], b"sending goes on\n");
        Ok(())
    });
}

/// A frame that does not fit the buffer is refused as soon as its length is known, by an error that
/// names both sizes and the remedy.
#[test]
fn a_frame_larger_than_the_buffer_is_refused() {
    run(async || {
        let (options, read, _) = with_pools(2, 4096);
        let (near, mut far) = frames(&options).await?;
        put(&near, [0, 0, 0, 1, 7, 0, 1, 0, 0]).await?;
        assert_eq!(far.next().await.expect("a frame")?, [7]);
        let error = far.next().await.expect("an error").unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { offset: 5, needs: 65_540, holds: 4096 }),
            "{error}"
        );
        assert!(error.to_string().contains("large_from"), "{error}");
        assert!(matches!(far.next().await, Some(Err(Error::Failed { offset: 5 }))));
        assert_eq!(read.lent(), 0, "what has failed holds no buffer");
        Ok(())
    });
}

/// Where a second pool is named, a large frame is moved to one of its buffers, which goes back behind it.
#[test]
fn a_large_frame_gets_a_large_buffer() {
    run(async || {
        let (options, read, _) = with_pools(2, 4096);
        let large = Pool::new(1, 1 << 20);
        let (near, mut far) = frames(&options.large_from(&large)).await?;
        let mut bytes = vec![0, 0, 0, 3, 1, 2, 3, 0, 1, 0, 0];
        bytes.extend_from_slice(&[9; 1 << 16]);
        bytes.extend_from_slice(&[0, 0, 0, 2, 4, 5, 0, 0, 0, 1]);
        let sender = task::spawn(async move {
            put(&near, bytes).await?;
            std::io::Result::Ok(near)
        })?;
        assert_eq!(far.next().await.expect("a frame")?, [1, 2, 3]);
        assert_eq!(far.next().await.expect("a frame")?, [9; 1 << 16]);
        assert_eq!((read.lent(), large.lent()), (0, 1));
        assert_eq!(far.next().await.expect("a frame")?, [4, 5]);
        let near = sender.await.unwrap()?;
        put(&near, [6]).await?;
        assert_eq!(far.next().await.expect("a frame")?, [6]);
        put(&near, [0]).await?;
        drop(near);
        let error = far.next().await.expect("an error").unwrap_err();
        let offset = 7 + 4 + (1 << 16) + 6 + 5;
        assert!(matches!(error, Error::Truncated { offset: o, got: 1, needs: 4 } if o == offset));
        assert_eq!((read.lent(), large.lent()), (1, 0), "a small one serves again");
        Ok(())
    });
}

/// What even the large buffer does not hold is refused at once.
#[test]
fn a_frame_larger_than_the_large_buffer_is_refused() {
    run(async || {
        let (options, _, _) = with_pools(2, 4096);
        let large = Pool::new(1, 8192);
        let (near, mut far) = frames(&options.large_from(&large)).await?;
        put(&near, [0, 1, 0, 0]).await?;
        let error = far.next().await.expect("an error").unwrap_err();
        assert!(matches!(error, Error::TooLarge { needs: 65_540, holds: 8192, .. }), "{error}");
        assert_eq!(large.made(), 0);
        Ok(())
    });
}

/// An item that cannot be sent leaves no trace: what comes before and behind it arrives.
#[test]
fn an_item_that_cannot_be_sent_leaves_no_trace() {
    run(async || {
        let (options, _, _) = with_pools(2, 4096);
        let (near, mut far) = frames(&options.flush(Flush::Manual)).await?;
        far.send(b"a")?;
        let error = far.send(vec![0; 4093]).unwrap_err();
        assert!(matches!(error, SendError::TooLarge { needs: 4097, holds: 4096 }), "{error}");
        far.send(b"b")?;
        far.flush().await?;
        let (read, buf) = near.read(vec![0; 64]).await;
        assert_eq!(&buf[..read?], b"\0\0\0\x01a\0\0\0\x01b");
        let (_, mut far) = super::pair(&super::options(), super::LengthPrefix::u8()).await?;
        let error = far.send(vec![0; 256]).unwrap_err();
        let too_long = LengthError::TooLong { len: 256, limit: 255 };
        assert!(matches!(error, SendError::Encode(error) if error == too_long));
        assert_eq!(far.halves().1.waiting(), 0);
        Ok(())
    });
}
