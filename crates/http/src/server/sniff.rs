//! Which protocol a client on plain TCP speaks.

use std::future::poll_fn;
use std::io;

use bytes::{Bytes, BytesMut};
use futures_io::AsyncRead;

use crate::rt::Io;

/// How HTTP/2 begins (RFC 9113 §3.4), and no request of HTTP/1.1.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client has begun with.
pub(super) struct Begun {
    pub(super) h2: bool,
    pub(super) bytes: Bytes,
}

/// Reads until it is clear. `None`: it has gone without a word.
pub(super) async fn sniff<S: AsyncRead + Unpin>(io: &mut Io<S>) -> io::Result<Option<Begun>> {
    let mut bytes = BytesMut::new();
    loop {
        let count =
            poll_fn(|cx| io.poll_piece(cx, usize::MAX, |piece| bytes.extend_from_slice(piece)))
                .await?;
        if count == 0 && bytes.is_empty() {
            return Ok(None);
        }
        if count == 0 || !PREFACE.starts_with(&bytes[..bytes.len().min(PREFACE.len())]) {
            return Ok(Some(Begun { h2: false, bytes: bytes.freeze() }));
        }
        if bytes.len() >= PREFACE.len() {
            return Ok(Some(Begun { h2: true, bytes: bytes.freeze() }));
        }
    }
}
