//! What can be wrong with an endpoint URL.

/// An endpoint URL that could not be understood. Each message is one line: the part that is wrong,
/// and what to write instead. The caller puts the argument's name before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// There is no `scheme:` at the start.
    #[error("{url:?} has no scheme; begin with one of {known}")]
    NoScheme {
        /// The whole URL as written.
        url: String,
        /// The schemes of this direction.
        known: String,
    },
    /// The scheme exists for neither direction, or not for this one.
    #[error("{scheme:?} is no {role} scheme; write one of {known}")]
    UnknownScheme {
        /// The scheme as written, without the colon.
        scheme: String,
        /// `source` or `destination`.
        role: &'static str,
        /// The schemes of this direction.
        known: String,
    },
    /// A host and port were expected.
    #[error("{text:?} is no HOST:PORT ({why}); write for example {example}")]
    Address {
        /// The text between `//` and `?`.
        text: String,
        /// What is wrong with it.
        why: &'static str,
        /// A URL that would do.
        example: String,
    },
    /// A multicast group and a port were expected.
    #[error(
        "{text:?} is no GROUP:PORT ({why}); write for example mcast://239.1.1.1:5000 or \
         mcast://[ff12::1]:5000"
    )]
    Group {
        /// The text between `//` and `?`.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A multicast group was expected, and this is the address of one host.
    #[error(
        "{address:?} is no GROUP:PORT (that is no multicast address: use udp://{address}); write \
         for example mcast://239.1.1.1:5000 or mcast://[ff12::1]:5000"
    )]
    NotMulticast {
        /// The address, with its port.
        address: String,
    },
    /// A path was expected.
    #[error("{text:?} is no usable path ({why}); write for example {example}")]
    Path {
        /// The path as written.
        text: String,
        /// What is wrong with it.
        why: &'static str,
        /// A URL that would do.
        example: String,
    },
    /// A namespace and a name of the bus were expected.
    #[error("{text:?} is no NAMESPACE/NAME ({why}); write for example shm://feeds/prices")]
    Channel {
        /// The text between `//` and `?`.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something follows a scheme that stands alone.
    #[error(
        "{scheme}: takes no address, found {text:?}; write {scheme}: alone, options after a '?'"
    )]
    Unexpected {
        /// The scheme.
        scheme: &'static str,
        /// What followed it.
        text: String,
    },
    /// The address of a WebSocket was expected.
    #[error("{text:?} is no address of a WebSocket ({why}); write for example {example}")]
    WebSocket {
        /// The URL without its options.
        text: String,
        /// What is wrong with it.
        why: String,
        /// A URL that would do.
        example: String,
    },
    /// An option is missing that the scheme cannot do without.
    #[error("{scheme} needs the option {key}; write for example {example}")]
    MissingKey {
        /// The scheme.
        scheme: &'static str,
        /// The key that is missing.
        key: &'static str,
        /// A URL that would do.
        example: String,
    },
    /// The option is not known for this scheme and direction.
    #[error("unknown option {key:?} for {scheme}; {known}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The scheme.
        scheme: &'static str,
        /// A sentence that lists the known keys.
        known: String,
    },
    /// The same option stands twice.
    #[error("option {key:?} is given twice; keep one")]
    RepeatedKey {
        /// The key as written.
        key: String,
    },
    /// An option's value is not usable.
    #[error("option {key}={value:?}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What is wrong with it, with the remedy.
        why: String,
    },
}
