//! The server's side: who one is, and whom one lets in.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use tautline_runtime::Descriptor;

use super::connector::{Common, common_choices};
use super::identity::provider;
use super::session::{Session, Version, server};
use super::store::Store;
use super::{Error, Identity, Roots, TlsStream};
use crate::call::Call;
use crate::tls;

/// Accepts TLS: who one is, who is let in, what is offered. Cheap to clone; all clones share their
/// certificates, which [`reload`](Self::reload) swaps while they are in use. It may be used on any
/// thread.
///
/// ```no_run
/// use tautline_net::tls::{Acceptor, Identity, TlsListener};
///
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let identity = Identity::from_pem_files("chain.pem", "key.pem");
/// let acceptor = Acceptor::builder().identity(identity).build()?;
/// let listener = TlsListener::bind("127.0.0.1:8443", acceptor)?;
/// listener.on_accept(|stream| match stream {
///     Ok(stream) => stream.on_data(|stream, bytes| stream.write(bytes)).map(drop),
///     Err(error) => Ok(eprintln!("{error}")),
/// })?;
/// runtime.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    /// The application protocols, as an error names them.
    offered: Arc<str>,
    store: Arc<Store>,
    /// What a reload reads again.
    identities: Arc<ArcSwap<Vec<Identity>>>,
    within: Duration,
}

/// What can be chosen for an [`Acceptor`].
#[derive(Clone, Debug)]
#[must_use = "it makes nothing until `build`"]
pub struct AcceptorBuilder {
    identities: Vec<Identity>,
    clients: Option<(Roots, bool)>,
    common: Common,
    tickets: bool,
    remembered: usize,
}

common_choices!(AcceptorBuilder);

impl AcceptorBuilder {
    /// Adds a certificate and its key. Of several, the one is taken that holds the name which the
    /// client asks for (SNI), exactly or by `*.` for the first label; the first one when none does
    /// or the client asks for no name.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Clients must have a certificate that one of these authorities has signed.
    pub fn require_clients(mut self, signed_by: Roots) -> Self {
        self.clients = Some((signed_by, true));
        self
    }

    /// Clients may have a certificate; if they do, one of these authorities must have signed it.
    /// [`Facts::peer_certificates`](super::Facts) tells.
    pub fn ask_clients(mut self, signed_by: Roots) -> Self {
        self.clients = Some((signed_by, false));
        self
    }

    /// Whether clients are given tickets by which to take their session up again, which costs the
    /// server no memory. Their key is made here and changes every 6 hours. Default: yes.
    pub fn tickets(mut self, on: bool) -> Self {
        self.tickets = on;
        self
    }

    /// How many sessions are remembered for clients to take up again without a ticket; 0: none.
    /// Default: none.
    pub fn remember_sessions(mut self, most: usize) -> Self {
        self.remembered = most;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// [`Error`]: no identity, or one that cannot be used; choices that make no sense.
    pub fn build(self) -> Result<Acceptor, Error> {
        self.common.check()?;
        let store = Arc::new(Store::load(&self.identities)?);
        let started = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.common.versions()?)
            .map_err(|error| Error::Config(error.to_string()))?;
        let mut config =
            started.with_client_cert_verifier(self.verifier()?).with_cert_resolver(store.clone());
        config.alpn_protocols.clone_from(&self.common.alpn);
        config.session_storage = match self.remembered {
            0 => Arc::new(NoServerSessionStorage {}),
            most => ServerSessionMemoryCache::new(most),
        };
        if self.tickets {
            config.ticketer = Ticketer::new().map_err(|error| Error::Config(error.to_string()))?;
        }
        let (offered, within) = (self.common.offered(), self.common.within);
        let identities = Arc::new(ArcSwap::from_pointee(self.identities));
        Ok(Acceptor { config: Arc::new(config), offered, store, identities, within })
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, Error> {
        let Some((roots, required)) = &self.clients else {
            return Ok(WebPkiClientVerifier::no_client_auth());
        };
        let builder = WebPkiClientVerifier::builder_with_provider(roots.store.clone(), provider());
        let builder = if *required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| Error::Config(format!("roots for clients: {error}")))
    }
}

impl Acceptor {
    /// With one certificate chain and its key, both PEM files, and the default choices.
    ///
    /// # Errors
    /// As [`AcceptorBuilder::build`].
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().identity(Identity::from_pem_files(chain, key)).build()
    }

    /// The choices.
    pub fn builder() -> AcceptorBuilder {
        AcceptorBuilder {
            identities: Vec::new(),
            clients: None,
            common: Common::default(),
            tickets: true,
            remembered: 0,
        }
    }

    /// Reads its certificates and keys again. Handshakes that begin afterwards, of all clones, get
    /// them; connections that stand go on. If anything is wrong with any of them, all stay as they
    /// are.
    ///
    /// # Errors
    /// What is wrong, and with which file.
    pub fn reload(&self) -> Result<(), Error> {
        self.store.replace(&self.identities.load())
    }

    /// Takes other certificates, as [`reload`](Self::reload) does, which reads these from now on.
    ///
    /// # Errors
    /// As [`reload`](Self::reload).
    pub fn replace(&self, identities: impl Into<Vec<Identity>>) -> Result<(), Error> {
        let identities = identities.into();
        self.store.replace(&identities)?;
        self.identities.store(Arc::new(identities));
        Ok(())
    }

    /// Speaks TLS over a stream that was accepted. The handshake is over when this is.
    pub fn accept(&self, stream: impl Into<Descriptor>) -> Call<TlsStream> {
        let (session, descriptor, within) = (self.session(), stream.into(), self.within);
        Call::new(async move { tls::handshake::run(session?, descriptor, within).await })
    }

    /// A session without I/O.
    ///
    /// # Errors
    /// What the library says of its configuration.
    pub fn session(&self) -> Result<Box<dyn Session>, Error> {
        server(self.config.clone(), self.offered.clone())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("store", &self.store)
            .field("offered", &self.offered)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
