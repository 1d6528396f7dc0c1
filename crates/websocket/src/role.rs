//! Which end of a connection this is.

/// Which end of a connection this is. A client masks what it sends, a server does not, RFC 6455
/// §5.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Role {
    /// It has asked for the connection.
    Client,
    /// It was asked.
    Server,
}

impl Role {
    /// Whether what it receives has to be masked.
    //= RFC 6455 §5.1
    #[inline]
    pub const fn receives_masked(self) -> bool {
        matches!(self, Self::Server)
    }

    /// The other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
