//! What one side of a connection is ready to do.

use super::{Agreed, Offer};
use crate::handshake::Extension;

/// How messages are compressed, and how much memory that may cost.
///
/// ```
/// use tautline_websocket::deflate::Config;
/// // Ten thousand connections: nobody keeps a window, so that contexts are shared.
/// let config = Config { takeover: false, peer_takeover: false, ..Config::default() };
/// assert!(config.check().is_ok());
/// assert!(Config { window_bits: 8, ..config }.check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether what this side has sent before helps to compress what it sends next: smaller messages,
    /// for a context that each connection keeps from its first message on.
    pub takeover: bool,
    /// The same for what the other side sends.
    pub peer_takeover: bool,
    /// How far this side looks back for repetitions: 2 to that power of bytes, 9 to 15.
    pub window_bits: u8,
    /// How far the other side looks back, where it lets that be said: 9 to 15. A smaller window saves
    /// memory there, not here.
    pub peer_window_bits: u8,
    /// How hard to try: from 1, fast, to 9, small.
    pub level: u8,
    /// Messages of fewer bytes are sent as they are.
    pub at_least: usize,
}

/// Windows are kept, and are as large as they can be; level 1, for who waits for the message would not
/// have it small but soon; messages from 64 bytes on.
impl Default for Config {
    fn default() -> Self {
        Self {
            takeover: true,
            peer_takeover: true,
            window_bits: 15,
            peer_window_bits: 15,
            level: 1,
            at_least: 64,
        }
    }
}

/// What is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A window that compression has not.
    #[error("{name} is {bits}: a window has 9 to 15 bits")]
    WindowBits {
        /// Which field.
        name: &'static str,
        /// What it is.
        bits: u8,
    },
    /// There is no such level.
    #[error("level is {level}: from 1, fast, to 9, small")]
    Level {
        /// What it is.
        level: u8,
    },
}

impl Config {
    /// Whether all of it is within its range.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        let bits = [("window_bits", self.window_bits), ("peer_window_bits", self.peer_window_bits)];
        if let Some((name, bits)) = bits.into_iter().find(|(_, bits)| !(9..=15).contains(bits)) {
            return Err(ConfigError::WindowBits { name, bits });
        }
        if !(1..=9).contains(&self.level) {
            return Err(ConfigError::Level { level: self.level });
        }
        Ok(())
    }

    /// What a server of that configuration makes of a client's extensions: it agrees to the first
    /// offer that it can keep, and passes over others, what is unknown or malformed too. `None`: there
    /// is no compression.
    ///
    /// ```
    /// use tautline_websocket::deflate::Config;
    /// use tautline_websocket::handshake::{Asked, Server};
    /// let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
    ///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    ///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: x-other, \
    ///     permessage-deflate; server_max_window_bits=8, permessage-deflate\r\n\r\n";
    /// let mut server = Server::new();
    /// let Asked::Upgrade(upgrade) = server.parse(request)? else { panic!("it is whole") };
    /// // No compressor keeps to 256 bytes, so it is the second offer.
    /// let agreed = Config::default().accept(upgrade.extensions()).unwrap();
    /// assert_eq!(agreed.to_string(), "permessage-deflate");
    /// let answer = upgrade.accept().deflate(Some(agreed)).bytes();
    /// assert!(answer.ends_with(b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
    /// # Ok::<(), tautline_websocket::handshake::Refusal>(())
    /// ```
    //= RFC 7692 §5.1
    pub fn accept(&self, extensions: &[Extension<'_>]) -> Option<Agreed> {
        let of_name = extensions.iter().filter(|extension| extension.name == Offer::NAME);
        let mut offers = of_name.filter_map(|extension| Offer::of_params(&extension.params).ok());
        offers.find_map(|offer| Agreed::to(&offer, self))
    }
}
