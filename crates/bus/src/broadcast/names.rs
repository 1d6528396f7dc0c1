//! What the names of both broadcasts do alike: users attach by them.

/// The name `$name` of objects of that shape, for messages `T` and scopes `S` so bound.
macro_rules! names_a_broadcast {
    ($name:ident of $shape:ident, [$($bounds:tt)*]) => {
        impl<$($bounds)*> Clone for $name<T, S> {
            fn clone(&self) -> Self {
                Self { handle: self.handle.clone() }
            }
        }

        impl<$($bounds)*> fmt::Debug for $name<T, S> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.handle.fmt(f)
            }
        }

        impl<$($bounds)*> $name<T, S> {
            /// Attaches the publisher.
            ///
            /// # Errors
            /// [`AttachError`], when there is one.
            pub fn publisher(&self) -> Result<Publisher<T, S>, AttachError> {
                Publisher::attach(&self.handle, None)
            }

            /// The same under a name, which errors tell to those who find no seat.
            ///
            /// # Errors
            /// [`AttachError`].
            pub fn publisher_as(&self, name: &str) -> Result<Publisher<T, S>, AttachError> {
                Publisher::attach(&self.handle, Some(name))
            }

            /// Attaches a subscriber, which gets what is sent from now on.
            ///
            /// # Errors
            /// [`AttachError`], when [`Config::subscribers`] are attached.
            pub fn subscriber(&self) -> Result<Subscriber<T, S>, AttachError> {
                self.subscriber_from(Start::Next, None)
            }

            /// The same under a name, which errors tell to those who find no seat.
            ///
            /// # Errors
            /// [`AttachError`].
            pub fn subscriber_as(&self, name: &str) -> Result<Subscriber<T, S>, AttachError> {
                self.subscriber_from(Start::Next, Some(name))
            }

            /// Lets nothing be sent any more: sends fail with [`SendError::Closed`](crate::SendError), and
            /// subscribers get what is left.
            pub fn close(&self) {
                $shape::close(self.handle.parts());
            }

            /// What was decided when it was made.
            pub fn config(&self) -> Config {
                self.handle.shape().config()
            }

            /// Users of both kinds at this moment: publishers, subscribers.
            pub fn users(&self) -> [usize; 2] {
                [Role::Giver, Role::Taker].map(|role| self.handle.parts().users(role))
            }
        }
    };
}

pub(super) use names_a_broadcast;
