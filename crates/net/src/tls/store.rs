//! The certificates of a server, chosen by name and swapped while it runs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Error, Identity};

/// What new handshakes choose from. Those that are going on keep what they have chosen.
pub(super) struct Store {
    current: ArcSwap<Choice>,
}

/// Certificates by the names that they hold.
struct Choice {
    /// In lower case; `*.` stands for one label.
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name nobody, or somebody unknown.
    first: Arc<CertifiedKey>,
    /// How many there are.
    count: usize,
}

impl Choice {
    fn load(identities: &[Identity]) -> Result<Self, Error> {
        let loaded = identities.iter().map(Identity::load).collect::<Result<Vec<_>, _>>()?;
        let first = loaded.first().cloned().ok_or(Error::NoIdentity)?;
        let mut by_name = HashMap::new();
        for (identity, key) in identities.iter().zip(&loaded) {
            for name in identity.names_in(key)? {
                by_name.entry(name).or_insert_with(|| key.clone());
            }
        }
        Ok(Self { by_name, first, count: loaded.len() })
    }

    fn by_name(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wild = || {
            let (_, rest) = name.split_once('.')?;
            self.by_name.get(&format!("*.{rest}"))
        };
        self.by_name.get(&name).or_else(wild)
    }
}

impl Store {
    pub(super) fn load(identities: &[Identity]) -> Result<Self, Error> {
        Ok(Self { current: ArcSwap::from_pointee(Choice::load(identities)?) })
    }

    /// Puts others in their place, all or none.
    pub(super) fn replace(&self, identities: &[Identity]) -> Result<(), Error> {
        self.current.store(Arc::new(Choice::load(identities)?));
        Ok(())
    }
}

thread_local! {
    /// The name that the client has asked for in the message that was processed last: the library
    /// tells it here alone.
    static ASKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The name that was asked for since the last call.
pub(super) fn take_asked() -> Option<String> {
    ASKED.take()
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = self.current.load();
        let asked = hello.server_name();
        ASKED.set(asked.map(str::to_owned));
        let found = asked.and_then(|name| choice.by_name(name)).unwrap_or(&choice.first);
        Some(found.clone())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("count", &self.current.load().count).finish_non_exhaustive()
    }
}
