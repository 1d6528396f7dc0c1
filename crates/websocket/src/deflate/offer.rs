//! What a client offers.

use std::fmt;

use super::Config;
use crate::handshake::Param;

/// One way to compress, as a client offers it. All parameters of RFC 7692 §7.1 in one place.
///
/// ```
/// use tautline_websocket::deflate::Offer;
/// let offer = Offer { server_no_context_takeover: true, ..Offer::default() };
/// assert_eq!(
///     offer.to_string(),
///     "permessage-deflate; server_no_context_takeover; client_max_window_bits"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The server is to begin each message without what it has sent before.
    pub server_no_context_takeover: bool,
    /// The client will begin each message without what it has sent before.
    pub client_no_context_takeover: bool,
    /// The server is to look back at most 2 to that power of bytes: 8 to 15.
    pub server_max_window_bits: Option<u8>,
    /// The server may say how far the client may look back; the client itself will not look back
    /// further than 2 to that power of bytes: 8 to 15.
    pub client_max_window_bits: Option<Option<u8>>,
}

/// That the server may limit how far the client looks back, and nothing else.
impl Default for Offer {
    fn default() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: None,
            client_max_window_bits: Some(None),
        }
    }
}

/// Why parameters are no offer. A server passes such an offer over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// None of the four.
    #[error("permessage-deflate has no parameter {name:?}")]
    Unknown {
        /// Which.
        name: String,
    },
    /// There twice.
    #[error("the parameter {name:?} of permessage-deflate is there twice")]
    Twice {
        /// Which.
        name: String,
    },
    /// It has a value that it cannot have, or none where it must have one.
    #[error("the parameter {name:?} of permessage-deflate cannot be {value:?}")]
    Value {
        /// Which.
        name: String,
        /// Its value; `None`: it has none.
        value: Option<String>,
    },
}

impl Offer {
    /// What the extension is called.
    pub const NAME: &'static str = "permessage-deflate";

    /// What a client of that configuration wants.
    ///
    /// ```
    /// use tautline_websocket::deflate::{Config, Offer};
    /// let config = Config { window_bits: 12, peer_window_bits: 10, ..Config::default() };
    /// assert_eq!(
    ///     Offer::of(&config).to_string(),
    ///     "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12"
    /// );
    /// ```
    pub fn of(config: &Config) -> Self {
        let below_15 = |bits: u8| (bits < 15).then_some(bits);
        Self {
            server_no_context_takeover: !config.peer_takeover,
            client_no_context_takeover: !config.takeover,
            server_max_window_bits: below_15(config.peer_window_bits),
            client_max_window_bits: Some(below_15(config.window_bits)),
        }
    }

    /// Reads an offer.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn of_params(params: &[Param<'_>]) -> Result<Self, OfferError> {
        let read = Params::read(params)?;
        Ok(Self {
            server_no_context_takeover: read.server_no_context_takeover,
            client_no_context_takeover: read.client_no_context_takeover,
            //= RFC 7692 §7.1.2.1
            server_max_window_bits: match read.server_max_window_bits {
                Some(None) => return Err(no_value("server_max_window_bits")),
                bits => bits.flatten(),
            },
            client_max_window_bits: read.client_max_window_bits,
        })
    }
}

pub(super) fn no_value(name: &str) -> OfferError {
    OfferError::Value { name: name.to_owned(), value: None }
}

/// Parameters, of an offer or an answer: each there once, and with a value that it can have.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Params {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<Option<u8>>,
    pub(super) client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    //= RFC 7692 §7.1
    pub(super) fn read(params: &[Param<'_>]) -> Result<Self, OfferError> {
        let mut read = Self::default();
        for (at, param) in params.iter().enumerate() {
            if params[..at].iter().any(|before| before.name == param.name) {
                return Err(OfferError::Twice { name: param.name.to_owned() });
            }
            match param.name {
                "server_no_context_takeover" => read.server_no_context_takeover = flag(param)?,
                "client_no_context_takeover" => read.client_no_context_takeover = flag(param)?,
                "server_max_window_bits" => read.server_max_window_bits = Some(bits(param)?),
                "client_max_window_bits" => read.client_max_window_bits = Some(bits(param)?),
                name => return Err(OfferError::Unknown { name: name.to_owned() }),
            }
        }
        Ok(read)
    }
}

fn wrong(param: &Param<'_>) -> OfferError {
    OfferError::Value {
        name: param.name.to_owned(),
        value: param.value.as_deref().map(str::to_owned),
    }
}

/// A parameter that has no value.
fn flag(param: &Param<'_>) -> Result<bool, OfferError> {
    if param.value.is_some() { Err(wrong(param)) } else { Ok(true) }
}

/// A parameter that has a number of bits as value, or none.
fn bits(param: &Param<'_>) -> Result<Option<u8>, OfferError> {
    Ok(match param.value.as_deref() {
        None => None,
        Some("8") => Some(8),
        Some("9") => Some(9),
        Some("10") => Some(10),
        Some("11") => Some(11),
        Some("12") => Some(12),
        Some("13") => Some(13),
        Some("14") => Some(14),
        Some("15") => Some(15),
        Some(_) => return Err(wrong(param)),
    })
}

/// As it stands in the header.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_takeover(f, self.server_no_context_takeover, self.client_no_context_takeover)?;
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
            Some(None) => f.write_str("; client_max_window_bits"),
            None => Ok(()),
        }
    }
}

/// How offers and answers begin.
pub(super) fn write_takeover(
    f: &mut fmt::Formatter<'_>,
    server_has_none: bool,
    client_has_none: bool,
) -> fmt::Result {
    f.write_str(Offer::NAME)?;
    if server_has_none {
        f.write_str("; server_no_context_takeover")?;
    }
    if client_has_none {
        f.write_str("; client_no_context_takeover")?;
    }
    Ok(())
}
