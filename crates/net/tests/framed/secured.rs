//! Through TLS: a codec stands on whatever a link is.

use tautline_net::codec::{Error, LengthPrefix, Options};
use tautline_net::tls::TlsStream;
use tautline_runtime::{Runtime, sim};

use super::common::{block, everywhere};
use super::simulated::{ECHOES, Echo, connected, framed, talk};
use super::tls_support::{Authority, authority};
use super::{with_pools, world};

/// Both ends, after their handshake.
async fn secured(authority: &Authority) -> std::io::Result<(TlsStream, TlsStream)> {
    let within = std::time::Duration::from_secs(30);
    let connector = authority.client().handshake_timeout(within).build().unwrap();
    let acceptor = authority.server().handshake_timeout(within).build().unwrap();
    let (near, far) = connected().await?;
    let (near, far) = futures::join!(connector.wrap(near, "localhost"), acceptor.accept(far));
    Ok((near?, far?))
}

fn talks(runtime: &Runtime, authority: &Authority, echo: Echo, name: &str) {
    let (options, read, write) = with_pools(2, 4096);
    let options: Options = options.high_water(20_000);
    block(runtime, async {
        let (near, far) = secured(authority).await?;
        echo(framed(&options, far))?;
        talk(&options, near).await
    });
    runtime.run_for(std::time::Duration::from_millis(50)).unwrap();
    assert_eq!((read.lent(), write.lent()), (0, 0), "by {name}");
}

/// Items come whole and in order through TLS, on each face, over both real drivers.
#[test]
fn items_come_through_tls() {
    let authority = authority("one");
    everywhere(|runtime| {
        ECHOES.iter().for_each(|(echo, name)| talks(runtime, &authority, *echo, name));
    });
}

/// The same in worlds that split and delay records wherever they like.
#[test]
fn items_come_through_tls_whatever_becomes_of_its_records() {
    let authority = authority("one");
    for seed in 0..30 {
        let faults =
            sim::Faults { no_descriptor: sim::Rate::NEVER, ..sim::Faults::draw_harmless(seed) };
        let runtime = world(seed, faults);
        println!("seed {seed}");
        ECHOES.iter().for_each(|(echo, name)| talks(&runtime, &authority, *echo, name));
    }
}

/// A stream that is cut off without a close of TLS is an error, though its last frame was whole.
#[test]
fn a_stream_that_is_cut_off_is_an_error() {
    let authority = authority("one");
    everywhere(|runtime| {
        block(runtime, async {
            let (near, far) = secured(&authority).await?;
            near.write_all(b"\x03one").await?;
            near.flush().await?;
            near.conn().shutdown_write()?;
            let mut far = Options::default().open(far, LengthPrefix::u8());
            assert_eq!(far.next().await.expect("a frame")?, b"one");
            let error = far.next().await.expect("an error").unwrap_err();
            assert!(matches!(error, Error::Io(_)), "{error}");
            Ok(())
        });
    });
}
