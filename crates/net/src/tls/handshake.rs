//! A session is taken on until both sides agree.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tautline_runtime::{Descriptor, timer};

use super::layer::Tls;
use super::session::Session;
use super::{Error, TlsStream};

/// Hands over a stream once its handshake is over.
pub(super) async fn run(
    session: Box<dyn Session>,
    descriptor: Descriptor,
    within: Duration,
) -> io::Result<TlsStream> {
    let mut tls = Tls::new(session);
    match timer::timeout(within, steps(&mut tls, &descriptor)).await {
        Ok(done) => done?,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            return Err(Error::Timeout { within }.into());
        }
        Err(error) => return Err(error),
    }
    Ok(TlsStream::new(descriptor, tls))
}

async fn steps(tls: &mut Tls, descriptor: &Descriptor) -> io::Result<()> {
    while !tls.advance(descriptor.conn())? {
        if tls.owes() {
            poll_fn(|cx| descriptor.poll_room(cx, 1)).await?;
        } else {
            descriptor.readable().await?;
        }
    }
    Ok(())
}
