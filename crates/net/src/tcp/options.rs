//! What can be chosen for a stream before it is connected or accepted.

/// The choices for streams, kept in order in `$options`.
macro_rules! stream_options {
    ($chooser:ty, $options:ident) => {
        impl $chooser {
            /// Whether small segments leave at once. Default: yes.
            pub fn nodelay(self, on: bool) -> Self {
                self.option(SocketOption::NoDelay(on))
            }

            /// Streams probe a silent peer.
            pub fn keepalive(self, probes: KeepAlive) -> Self {
                self.option(SocketOption::KeepAlive(Some(probes)))
            }

            /// Bytes of the kernel's receive buffer of a stream; set before it is
            /// connected, so that the window scale fits it.
            pub fn receive_buffer(self, bytes: usize) -> Self {
                self.option(SocketOption::ReceiveBuffer(bytes))
            }

            /// Bytes of the kernel's send buffer of a stream.
            pub fn send_buffer(self, bytes: usize) -> Self {
                self.option(SocketOption::SendBuffer(bytes))
            }

            fn option(mut self, option: SocketOption) -> Self {
                self.$options.push(option);
                self
            }
        }
    };
}

pub(super) use stream_options;
