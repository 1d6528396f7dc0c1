//! Whom one trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;

use super::Error;
use super::identity::Source;

/// The authorities whose signatures are trusted.
///
/// ```no_run
/// use tautline_net::tls::Roots;
///
/// let roots = Roots::system()?.with_pem_file("our-own-authority.pem")?;
/// # Ok::<(), tautline_net::tls::Error>(())
/// ```
#[derive(Clone)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
}

impl Roots {
    /// Nobody, until some are added.
    pub fn none() -> Self {
        Self { store: Arc::new(RootCertStore::empty()) }
    }

    /// Those of the system; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    ///
    /// # Errors
    /// [`Error::NoSystemRoots`].
    pub fn system() -> Result<Self, Error> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
            let reason = if reasons.is_empty() {
                "in none of the usual places".to_owned()
            } else {
                reasons.join("; ")
            };
            return Err(Error::NoSystemRoots { reason });
        }
        Ok(Self { store: Arc::new(store) })
    }

    /// Those in a PEM file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::NoCertificate`], [`Error::Malformed`].
    pub fn from_pem_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::none().with(&Source::file(path))
    }

    /// Those in PEM.
    ///
    /// # Errors
    /// [`Error::NoCertificate`], [`Error::Malformed`].
    pub fn from_pem(pem: impl Into<Vec<u8>>) -> Result<Self, Error> {
        Self::none().with(&in_memory(pem.into()))
    }

    /// And those in a PEM file.
    ///
    /// # Errors
    /// As [`from_pem_file`](Self::from_pem_file).
    pub fn with_pem_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        self.with(&Source::file(path))
    }

    /// And those in PEM.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem).
    pub fn with_pem(self, pem: impl Into<Vec<u8>>) -> Result<Self, Error> {
        self.with(&in_memory(pem.into()))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    fn with(mut self, source: &Source) -> Result<Self, Error> {
        let store = Arc::make_mut(&mut self.store);
        for certificate in source.certificates()? {
            store.add(certificate).map_err(|error| source.malformed(&error))?;
        }
        Ok(self)
    }
}

fn in_memory(pem: Vec<u8>) -> Source {
    Source::Memory(pem.into(), "the roots given in memory")
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roots").field("len", &self.len()).finish()
    }
}
