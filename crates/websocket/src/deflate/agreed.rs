//! What both sides have agreed to.

use std::fmt;

use super::offer::{Params, no_value, write_takeover};
use super::{Config, Offer, OfferError};
use crate::handshake::Param;

/// How messages are compressed on a connection: the answer of a server, as both sides understand it.
///
/// It is written as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Of what the server sends.
    server: Terms,
    /// Of what the client sends.
    client: Terms,
    /// What the answer says, where it says something.
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

/// How one side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether messages refer to those before them.
    pub takeover: bool,
    /// They refer to at most 2 to that power of bytes before: 8 to 15.
    pub window_bits: u8,
}

impl Terms {
    /// Whether there is a compressor for it: none keeps to a window of 256 bytes. Who has agreed to
    /// that sends messages as they are.
    pub fn can_be_compressed(self) -> bool {
        self.window_bits >= 9
    }
}

/// Why a server's answer agrees with no offer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It is malformed.
    #[error("the server's answer is malformed: {0}")]
    Malformed(#[from] OfferError),
    /// It agrees to something that was not offered.
    #[error("the server agrees to {answer:?}, which was not offered")]
    NotOffered {
        /// Its parameters.
        answer: String,
    },
}

impl Agreed {
    /// Of what the server sends.
    pub fn server(&self) -> Terms {
        self.server
    }

    /// Of what the client sends.
    pub fn client(&self) -> Terms {
        self.client
    }

    /// What a server of that configuration answers to an offer. `None`: it cannot keep it.
    pub(super) fn to(offer: &Offer, config: &Config) -> Option<Self> {
        let offered = offer.server_max_window_bits.unwrap_or(15);
        let server = Terms {
            //= RFC 7692 §7.1.1.1
            takeover: config.takeover && !offer.server_no_context_takeover,
            window_bits: offered.min(config.window_bits),
        };
        if !server.can_be_compressed() {
            return None;
        }
        //= RFC 7692 §7.1.2.2
        let hinted = offer.client_max_window_bits.map(|hint| hint.unwrap_or(15));
        let client_bits = hinted.map(|hint| hint.min(config.peer_window_bits));
        let client = Terms {
            takeover: config.peer_takeover && !offer.client_no_context_takeover,
            window_bits: client_bits.unwrap_or(15),
        };
        Some(Self {
            server,
            client,
            //= RFC 7692 §7.1.2.1
            server_max_window_bits: (offer.server_max_window_bits.is_some()
                || server.window_bits < 15)
                .then_some(server.window_bits),
            client_max_window_bits: client_bits.filter(|bits| *bits < 15),
        })
    }

    /// What a client makes of the parameters of an answer to its offers.
    ///
    /// # Errors
    /// [`AnswerError`]: the connection fails.
    pub fn of_answer(params: &[Param<'_>], offers: &[Offer]) -> Result<Self, AnswerError> {
        let answer = Params::read(params)?;
        let value = |name, bits: Option<Option<u8>>| match bits {
            Some(None) => Err(no_value(name)),
            bits => Ok(bits.flatten()),
        };
        let server_bits = value("server_max_window_bits", answer.server_max_window_bits)?;
        let client_bits = value("client_max_window_bits", answer.client_max_window_bits)?;
        let offer = offers.iter().find(|offer| suits(offer, &answer, server_bits, client_bits));
        let offer = offer.ok_or_else(|| AnswerError::NotOffered { answer: text(params) })?;
        let hint = offer.client_max_window_bits.flatten().unwrap_or(15);
        Ok(Self {
            server: Terms {
                takeover: !answer.server_no_context_takeover,
                window_bits: server_bits.unwrap_or(15),
            },
            // What the client has said that it would do, it does.
            client: Terms {
                takeover: !answer.client_no_context_takeover && !offer.client_no_context_takeover,
                window_bits: client_bits.unwrap_or(15).min(hint),
            },
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        })
    }
}

/// Whether that is an answer to the offer.
//= RFC 7692 §7.1
fn suits(offer: &Offer, answer: &Params, server_bits: Option<u8>, client_bits: Option<u8>) -> bool {
    let server_keeps = !offer.server_no_context_takeover || answer.server_no_context_takeover;
    let server_looks = match (offer.server_max_window_bits, server_bits) {
        (Some(offered), Some(bits)) => bits <= offered,
        (Some(_), None) => false,
        (None, _) => true,
    };
    let client_looks = match (offer.client_max_window_bits, client_bits) {
        (None, Some(_)) => false,
        (Some(Some(hint)), Some(bits)) => bits <= hint,
        _ => true,
    };
    server_keeps && server_looks && client_looks
}

/// Parameters as they were in the header, or nearly so.
fn text(params: &[Param<'_>]) -> String {
    let word = |param: &Param<'_>| match &param.value {
        Some(value) => format!("{}={value}", param.name),
        None => param.name.to_owned(),
    };
    params.iter().map(word).collect::<Vec<_>>().join("; ")
}

/// As it stands in the header of the answer.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_takeover(f, !self.server.takeover, !self.client.takeover)?;
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            Some(bits) => write!(f, "; client_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}
