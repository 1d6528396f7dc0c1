//! Joining and leaving, as calls of the types that have groups.

/// The calls that change memberships: a type's own, passed on to its `groups`.
macro_rules! joining {
    ($peer:ty) => {
        impl $peer {
            /// Joins a group where the kernel's routes lead, for any source.
            ///
            /// # Errors
            /// As [`Groups::join`].
            pub fn join(&self, group: impl ToIp) -> io::Result<()> {
                self.at_groups().join(group)
            }

            /// Joins a group on an interface, for any source.
            ///
            /// # Errors
            /// As [`Groups::join_on`].
            pub fn join_on(&self, group: impl ToIp, interface: impl ToInterface) -> io::Result<()> {
                self.at_groups().join_on(group, interface)
            }

            /// Joins a group for what this source sends, besides those that were named before.
            ///
            /// # Errors
            /// As [`Groups::join_source`].
            pub fn join_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().join_source(group, source)
            }

            /// The same on an interface.
            ///
            /// # Errors
            /// As [`Groups::join_source`].
            pub fn join_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().join_source_on(group, source, interface)
            }

            /// Leaves a group, with all its sources.
            ///
            /// # Errors
            /// As [`Groups::leave`].
            pub fn leave(&self, group: impl ToIp) -> io::Result<()> {
                self.at_groups().leave(group)
            }

            /// Leaves a group on one interface.
            ///
            /// # Errors
            /// As [`Groups::leave`].
            pub fn leave_on(
                &self,
                group: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().leave_on(group, interface)
            }

            /// Takes no more from this source. The last source takes the membership with it.
            ///
            /// # Errors
            /// As [`Groups::leave_source`].
            pub fn leave_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().leave_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::leave_source`].
            pub fn leave_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().leave_source_on(group, source, interface)
            }

            /// Of a group that is joined for any source, takes no more from this one.
            ///
            /// # Errors
            /// As [`Groups::block_source`].
            pub fn block_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().block_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::block_source`].
            pub fn block_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().block_source_on(group, source, interface)
            }

            /// Takes again from a source that was blocked.
            ///
            /// # Errors
            /// As [`Groups::unblock_source`].
            pub fn unblock_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().unblock_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::unblock_source`].
            pub fn unblock_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().unblock_source_on(group, source, interface)
            }

            /// What is joined, in the order in which it was.
            pub fn memberships(&self) -> Vec<Membership> {
                self.at_groups().list()
            }

            /// How many datagrams were passed over: see [`Groups::strays`].
            pub fn strays(&self) -> u64 {
                self.at_groups().strays()
            }

            /// A name for the memberships, for handlers that join and leave.
            pub fn groups(&self) -> Groups {
                self.at_groups().clone()
            }
        }
    };
}

pub(crate) use joining;
