//! An operation that got a part done at once and then finds the table full.

mod common;

use std::io;

use common::{REAL, small};
use tautline_runtime::{Config, Descriptor, Error, Runtime};

/// A runtime whose operation table is full.
fn full(driver: tautline_runtime::DriverChoice) -> Runtime {
    let runtime = Runtime::new(Config { driver, operations: 1, ..small() }).unwrap();
    let (a, b) = Descriptor::pair().unwrap();
    a.read(vec![0; 1]).then(|_| ());
    a.into_conn();
    b.into_conn();
    runtime
}

/// What a refused exact read had got is there for the next read.
#[test]
fn a_refused_read_gives_back_what_it_got() {
    for driver in REAL {
        let runtime = full(driver);
        let (a, b) = Descriptor::pair().unwrap();
        a.conn().write_now(b"abc").unwrap();
        runtime
            .block_on(async {
                let error = b.read_exact(vec![0; 5]).await.0.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
                let (got, buf) = b.read(vec![0; 5]).await;
                assert_eq!(&buf[..got.unwrap()], b"abc");
            })
            .unwrap();
    }
}

/// A refused write of which a part has left breaks the sending side, so that what
/// follows cannot be taken for its rest.
#[test]
fn a_refused_write_breaks_the_sending_side() {
    for driver in REAL {
        let runtime = full(driver);
        let (a, _b) = Descriptor::pair().unwrap();
        runtime
            .block_on(async {
                let len = 16 << 20;
                let error = a.write_all(vec![1; len]).await.0.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{error}");
                let error = a.write_all(vec![2; 1]).await.0.unwrap_err();
                let torn = Error::of(&error);
                assert!(
                    matches!(torn, Some(&Error::WriteTorn { written, of }) if written > 0 && of == len),
                    "{error}"
                );
            })
            .unwrap();
    }
}
