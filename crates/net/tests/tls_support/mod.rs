//! What the tests of TLS share: an authority, and what it has signed.

#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::io;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tautline_net::tls::{
    Acceptor, AcceptorBuilder, Connector, ConnectorBuilder, Error, Identity, Roots, TlsStream,
};
use tautline_net::{TcpListener, TcpStream};

/// One that signs, made for one test.
pub struct Authority {
    /// Its own certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Pem {
    pub chain: String,
    pub key: String,
}

impl Pem {
    pub fn identity(&self) -> Identity {
        Identity::from_pem(self.chain.clone(), self.key.clone())
    }
}

/// An authority of that name.
pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

impl Authority {
    pub fn roots(&self) -> Roots {
        Roots::from_pem(self.pem.clone()).unwrap()
    }

    /// A certificate for these names.
    pub fn sign(&self, names: &[&str]) -> Pem {
        self.sign_with(names, |_| ())
    }

    /// One that has expired long ago.
    pub fn sign_expired(&self, names: &[&str]) -> Pem {
        self.sign_with(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn sign_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pem {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pem { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts it.
    pub fn client(&self) -> ConnectorBuilder {
        Connector::builder().roots(self.roots())
    }

    /// A server that it has signed for `localhost`.
    pub fn server(&self) -> AcceptorBuilder {
        Acceptor::builder().identity(self.sign(&["localhost", "127.0.0.1"]).identity())
    }
}

/// Both ends of a handshake over the loopback.
pub async fn meet(
    connector: &Connector,
    acceptor: &Acceptor,
    name: &str,
) -> (io::Result<TlsStream>, io::Result<TlsStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (far, _) = listener.accept().await.unwrap();
    futures::join!(connector.wrap(near, name), acceptor.accept(far))
}

/// A pair that trusts each other.
pub async fn pair() -> (TlsStream, TlsStream) {
    let authority = authority("one");
    let (connector, acceptor) =
        (authority.client().build().unwrap(), authority.server().build().unwrap());
    let (near, far) = meet(&connector, &acceptor, "localhost").await;
    (near.unwrap(), far.unwrap())
}

/// What TLS says is wrong.
pub fn error_of<T>(result: io::Result<T>) -> Error {
    let error = result.err().expect("it goes wrong");
    Error::of(&error).unwrap_or_else(|| panic!("not of TLS: {error}")).clone()
}

/// Bytes of which no two neighbours, nor any two blocks, are alike.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect()
}
