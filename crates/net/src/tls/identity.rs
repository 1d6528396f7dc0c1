//! A certificate chain and its key.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, crypto::ring};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use super::Error;
use super::error::{expired, too_early};

/// Who one is: a chain of certificates, one's own first, and its private key, both as PEM. Files
/// are read when it is used, and again when an [`Acceptor`](super::Acceptor) reloads.
///
/// ```no_run
/// use tautline_net::tls::Identity;
///
/// let identity = Identity::from_pem_files("chain.pem", "key.pem");
/// identity.check()?;
/// # Ok::<(), tautline_net::tls::Error>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    chain: Source,
    key: Source,
    even_expired: bool,
}

/// Where PEM is from.
#[derive(Clone)]
pub(super) enum Source {
    File(Arc<Path>),
    /// The bytes, and what errors call them.
    Memory(Arc<[u8]>, &'static str),
}

impl Source {
    pub(super) fn file(path: impl AsRef<Path>) -> Self {
        Self::File(path.as_ref().into())
    }

    /// What errors call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(_, name) => (*name).to_owned(),
        }
    }

    fn bytes(&self) -> Result<Arc<[u8]>, Error> {
        match self {
            Self::Memory(bytes, _) => Ok(bytes.clone()),
            Self::File(path) => match std::fs::read(path) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) => {
                    let (file, reason) = (self.name(), error.to_string());
                    Err(Error::File { file, kind: error.kind(), reason })
                }
            },
        }
    }

    /// All certificates in it, at least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Error> {
        let bytes = self.bytes()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
        match found {
            Ok(found) if found.is_empty() => Err(Error::NoCertificate { from: self.name() }),
            Ok(found) => Ok(found),
            Err(error) => Err(self.malformed(&error)),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        match PrivateKeyDer::from_pem_slice(&self.bytes()?) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(Error::NoKey { from: self.name() }),
            Err(error) => Err(self.malformed(&error)),
        }
    }

    pub(super) fn malformed(&self, reason: &dyn fmt::Display) -> Error {
        Error::Malformed { from: self.name(), reason: reason.to_string() }
    }
}

impl Identity {
    /// From two PEM files, which may be the same one: the chain, and the key.
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        Self { chain: Source::file(chain), key: Source::file(key), even_expired: false }
    }

    /// From PEM in memory.
    pub fn from_pem(chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        Self {
            chain: Source::Memory(chain.into().into(), "the chain given in memory"),
            key: Source::Memory(key.into().into(), "the key given in memory"),
            even_expired: false,
        }
    }

    /// Takes the certificate even if it is not valid now: for tests of clients, which have to
    /// refuse it.
    pub fn even_expired(mut self) -> Self {
        self.even_expired = true;
        self
    }

    /// Reads it, and finds out whether it can be used.
    ///
    /// # Errors
    /// [`Error`]: a file that cannot be read or holds no certificate or key, a key that belongs to
    /// another certificate, a certificate that is not valid now.
    pub fn check(&self) -> Result<(), Error> {
        self.load().map(|_| ())
    }

    /// The names that the certificate holds.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let loaded = self.load()?;
        self.names_in(&loaded)
    }

    pub(super) fn names_in(&self, loaded: &CertifiedKey) -> Result<Vec<String>, Error> {
        let certificate = self.own(&loaded.cert)?;
        Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
    }

    pub(super) fn load(&self) -> Result<Arc<CertifiedKey>, Error> {
        let chain = self.chain.certificates()?;
        self.check_time(&chain)?;
        let key = self.key.private_key()?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| self.key.malformed(&error))?;
        let loaded = CertifiedKey::new(chain, key);
        match loaded.keys_match() {
            // Not every sort of key tells its public half.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(loaded))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                let (key, certificate) = (self.key.name(), self.chain.name());
                Err(Error::KeyMismatch { key, certificate })
            }
            Err(error) => Err(self.chain.malformed(&error)),
        }
    }

    fn own<'c>(&self, chain: &'c [CertificateDer<'_>]) -> Result<EndEntityCert<'c>, Error> {
        let none = || Error::NoCertificate { from: self.chain.name() };
        let first = chain.first().ok_or_else(none)?;
        EndEntityCert::try_from(first).map_err(|error| self.chain.malformed(&error))
    }

    /// Whether it is valid now. Of a path to authorities, of which there are none here, only its
    /// first step is looked at, and that is the time.
    fn check_time(&self, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let certificate = self.own(chain)?;
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms.all;
        let (now, usage) = (UnixTime::now(), KeyUsage::server_auth());
        let path = certificate.verify_for_usage(algorithms, &[], &[], now, usage, None, None);
        let when = match path.err() {
            Some(webpki::Error::CertExpired { time, not_after }) => expired(time, not_after),
            Some(webpki::Error::CertNotValidYet { time, not_before }) => {
                too_early(time, not_before)
            }
            _ => return Ok(()),
        };
        if self.even_expired {
            return Ok(());
        }
        Err(Error::NotCurrent { certificate: self.chain.name(), when })
    }
}

/// By its places; never the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain.name())
            .field("key", &self.key.name())
            .finish()
    }
}

/// How long a handshake may take, unless something else is said.
pub(super) const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// What does the mathematics.
pub(super) fn provider() -> Arc<CryptoProvider> {
    thread_local! {
        static PROVIDER: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    }
    PROVIDER.with(Arc::clone)
}
