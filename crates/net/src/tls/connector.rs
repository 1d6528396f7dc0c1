//! The client's side: whom to trust, and how to begin.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tautline_runtime::Descriptor;

use super::identity::{HANDSHAKE_TIME, provider};
use super::session::{Session, Version, client};
use super::{Error, Identity, Roots, TlsStream};
use crate::address::ToAddress;
use crate::call::Call;
use crate::error::at;
use crate::{Dial, tls};

/// Sessions that a client remembers, unless something else is said.
const REMEMBERED: usize = 256;

/// Connects by TLS: whom to trust, who one is, what to offer. Cheap to clone; all clones remember
/// the same sessions. It may be used on any thread.
///
/// ```no_run
/// use tautline_net::tls::Connector;
///
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let connector = Connector::new()?;
/// runtime.block_on(async {
///     let mut stream = connector.connect("example.org:443").await?;
///     stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n").await?;
///     let mut page = vec![0; 4096];
///     let count = stream.read(&mut page).await?;
///     println!("{}", String::from_utf8_lossy(&page[..count]));
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    /// The application protocols, as an error names them.
    offered: Arc<str>,
    within: Duration,
}

/// What can be chosen for a [`Connector`].
#[derive(Clone, Debug)]
#[must_use = "it makes nothing until `build`"]
pub struct ConnectorBuilder {
    trust: Trust,
    identity: Option<Identity>,
    common: Common,
    server_name: bool,
    remembered: usize,
}

#[derive(Clone, Debug)]
enum Trust {
    System,
    Given(Roots),
    Everybody,
}

/// What clients and servers choose alike.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) alpn: Vec<Vec<u8>>,
    pub(super) least: Version,
    pub(super) most: Version,
    pub(super) within: Duration,
}

impl Default for Common {
    fn default() -> Self {
        let (least, most) = (Version::Tls12, Version::Tls13);
        Self { alpn: Vec::new(), least, most, within: HANDSHAKE_TIME }
    }
}

impl Common {
    pub(super) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Error> {
        let all =
            [(Version::Tls13, &rustls::version::TLS13), (Version::Tls12, &rustls::version::TLS12)];
        let allowed = self.least..=self.most;
        let chosen: Vec<_> = all
            .into_iter()
            .filter(|(v, _)| allowed.contains(v))
            .map(|(_, version)| version)
            .collect();
        if chosen.is_empty() {
            return Err(Error::Config(
                "the least version of TLS is above the most: no version is left".to_owned(),
            ));
        }
        Ok(chosen)
    }

    /// The application protocols, as an error names them.
    pub(super) fn offered(&self) -> Arc<str> {
        let shown = |name: &Vec<u8>| format!("`{}`", name.escape_ascii());
        match self.alpn.is_empty() {
            true => "none".into(),
            false => self.alpn.iter().map(shown).collect::<Vec<_>>().join(", ").into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let long = self.alpn.iter().any(|name| name.is_empty() || name.len() > 255);
        if long {
            return Err(Error::Config(
                "an application protocol (ALPN) has a name of 1 to 255 bytes".to_owned(),
            ));
        }
        Ok(())
    }
}

/// The choices that clients and servers have in common.
macro_rules! common_choices {
    ($builder:ty) => {
        impl $builder {
            /// Application protocols (ALPN), the one that is liked best first, such as `h2` and
            /// `http/1.1`. Default: none, and then none is agreed on.
            pub fn alpn<N: AsRef<[u8]>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
                self.common.alpn = names.into_iter().map(|name| name.as_ref().to_vec()).collect();
                self
            }

            /// The oldest version to speak. Default: [`Version::Tls12`].
            pub fn least_version(mut self, version: Version) -> Self {
                self.common.least = version;
                self
            }

            /// The newest version to speak. Default: [`Version::Tls13`].
            pub fn most_version(mut self, version: Version) -> Self {
                self.common.most = version;
                self
            }

            /// How long a handshake may take. Default: 10 s.
            pub fn handshake_timeout(mut self, within: Duration) -> Self {
                self.common.within = within;
                self
            }
        }
    };
}
pub(super) use common_choices;

common_choices!(ConnectorBuilder);

impl ConnectorBuilder {
    /// Trusts these authorities. Default: those of the system, see [`Roots::system`].
    pub fn roots(mut self, roots: Roots) -> Self {
        self.trust = Trust::Given(roots);
        self
    }

    /// Accepts every certificate, so that anybody in between can read and change everything. For
    /// tests alone.
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Everybody;
        self
    }

    /// Who one is, for servers that ask.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Whether the server is told which name was asked for (SNI). Default: yes.
    pub fn server_name_indication(mut self, on: bool) -> Self {
        self.server_name = on;
        self
    }

    /// How many sessions are remembered, to be taken up again with fewer steps; 0: none. Default:
    /// 256.
    pub fn remember_sessions(mut self, most: usize) -> Self {
        self.remembered = most;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// [`Error`]: no roots, an identity that cannot be used, choices that make no sense.
    pub fn build(self) -> Result<Connector, Error> {
        self.common.check()?;
        let started = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&self.common.versions()?)
            .map_err(|error| Error::Config(error.to_string()))?;
        let roots = match &self.trust {
            Trust::System => Roots::system()?,
            Trust::Given(roots) => roots.clone(),
            Trust::Everybody => Roots::none(),
        };
        let trusting = started.with_root_certificates(roots.store);
        let mut config = match &self.identity {
            None => trusting.with_no_client_auth(),
            Some(identity) => {
                let key = identity.load()?;
                trusting
                    .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)))
            }
        };
        if matches!(self.trust, Trust::Everybody) {
            config.dangerous().set_certificate_verifier(Arc::new(Everybody));
        }
        config.alpn_protocols.clone_from(&self.common.alpn);
        config.enable_sni = self.server_name;
        config.resumption = match self.remembered {
            0 => Resumption::disabled(),
            most => Resumption::in_memory_sessions(most),
        };
        let (offered, within) = (self.common.offered(), self.common.within);
        Ok(Connector { config: Arc::new(config), offered, within })
    }
}

impl Connector {
    /// Trusts the authorities of the system, and has no certificate of its own.
    ///
    /// # Errors
    /// [`Error::NoSystemRoots`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// The choices.
    pub fn builder() -> ConnectorBuilder {
        ConnectorBuilder {
            trust: Trust::System,
            identity: None,
            common: Common::default(),
            server_name: true,
            remembered: REMEMBERED,
        }
    }

    /// Connects to `peer` by TCP, and makes sure that it is who its name says. The handshake is
    /// over when this is.
    ///
    /// The result is an error that names `peer`.
    pub fn connect(&self, peer: impl ToAddress) -> Call<TlsStream> {
        self.connect_by(Dial::new(), peer)
    }

    /// The same, dialling as `dial` says.
    pub fn connect_by(&self, dial: Dial, peer: impl ToAddress) -> Call<TlsStream> {
        let (this, peer) = (self.clone(), peer.to_address());
        Call::new(async move {
            let peer = peer?;
            let host = peer.host();
            this.run(dial, peer, host).await
        })
    }

    /// Connects to `peer` by TCP, and makes sure that it is `name`, whatever its address is.
    pub fn connect_as(&self, peer: impl ToAddress, name: &str) -> Call<TlsStream> {
        let (this, peer, name) = (self.clone(), peer.to_address(), name.to_owned());
        Call::new(async move { this.run(Dial::new(), peer?, name).await })
    }

    async fn run(self, dial: Dial, peer: crate::Address, name: String) -> io::Result<TlsStream> {
        let target = peer.to_string();
        let stream = dial.connect(peer).await?;
        self.wrap(stream, &name).await.map_err(at("speak TLS with", target))
    }

    /// Speaks TLS over a stream that is connected already, with a peer of that `name`.
    pub fn wrap(&self, stream: impl Into<Descriptor>, name: &str) -> Call<TlsStream> {
        let (session, descriptor, within) = (self.session(name), stream.into(), self.within);
        Call::new(async move { tls::handshake::run(session?, descriptor, within).await })
    }

    /// A session without I/O, with a peer of that `name`.
    ///
    /// # Errors
    /// [`Error::BadName`].
    pub fn session(&self, name: &str) -> Result<Box<dyn Session>, Error> {
        let bad = |_| Error::BadName { name: name.to_owned() };
        let name = ServerName::try_from(name.to_owned()).map_err(bad)?;
        client(self.config.clone(), name, self.offered.clone())
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("offered", &self.offered)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

/// Believes everybody to be who they say.
#[derive(Debug)]
struct Everybody;

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
