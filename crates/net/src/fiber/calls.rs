//! What the views have in common, written once. A view has a field `inner`, what it is a view
//! of; one of a single descriptor also has `timeouts`, and is [`Timed`](super::timeouts::Timed).

/// The ways between a view and what it is a view of.
macro_rules! view {
    ([$($generics:tt)*] $view:ty, $inner:ty $(, $timeouts:ident)?) => {
        impl<$($generics)*> $view {
            /// What it is a view of: for calls that do not wait, and for operations, which
            /// [`wait`](tautline_runtime::Operation::wait).
            pub fn get_ref(&self) -> &$inner {
                &self.inner
            }

            /// What it is a view of, for callbacks and tasks.
            pub fn into_inner(self) -> $inner {
                self.inner
            }
        }

        impl<$($generics)*> From<$inner> for $view {
            fn from(inner: $inner) -> Self {
                Self { inner $(, $timeouts: Default::default())? }
            }
        }

        impl<$($generics)*> From<$view> for $inner {
            fn from(view: $view) -> Self {
                view.inner
            }
        }
    };
}

/// Where a view's calls go, and how long they wait.
macro_rules! timed {
    ([$($generics:tt)*] $view:ty) => {
        impl<$($generics)*> Timed for $view {
            #[inline]
            fn descriptor(&self) -> &Descriptor {
                self.inner.stands()
            }

            #[inline]
            fn timeouts(&self) -> &Timeouts {
                &self.timeouts
            }
        }
    };
}

/// Calls that do not wait, which a view passes on.
macro_rules! passed_on {
    ($view:ty { $($(#[$doc:meta])* fn $call:ident($($name:ident: $sort:ty),*) -> $result:ty;)* }) => {
        impl $view {
            $($(#[$doc])*
            pub fn $call(&self $(, $name: $sort)*) -> $result {
                self.inner.$call($($name),*)
            })*
        }
    };
}

/// The timeout of what receives.
macro_rules! read_timeout {
    ([$($generics:tt)*] $view:ty) => {
        impl<$($generics)*> $view {
            /// Gives each call that receives up after so long; it then fails with
            /// [`TimedOut`](io::ErrorKind::TimedOut). `None`, as at first: they wait for ever.
            ///
            /// # Errors
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a time of zero.
            pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
                self.timeouts.read.set(time)
            }

            /// How long a call that receives waits.
            ///
            /// # Errors
            /// None: `std` has the same signature.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.timeouts.read.get())
            }
        }
    };
}

/// The timeout of what sends.
macro_rules! write_timeout {
    ([$($generics:tt)*] $view:ty) => {
        impl<$($generics)*> $view {
            /// Gives each call that sends up after so long; it then fails with
            /// [`TimedOut`](io::ErrorKind::TimedOut). `None`, as at first: they wait for ever.
            ///
            /// # Errors
            /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a time of zero.
            pub fn set_write_timeout(&self, time: Option<Duration>) -> io::Result<()> {
                self.timeouts.write.set(time)
            }

            /// How long a call that sends waits.
            ///
            /// # Errors
            /// None: `std` has the same signature.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.timeouts.write.get())
            }
        }
    };
}

/// The calls that read from a stream.
macro_rules! reading {
    ([$($generics:tt)*] $stream:ty) => {
        crate::fiber::calls::read_timeout!([$($generics)*] $stream);

        impl<$($generics)*> $stream {
            /// Reads what is there, waiting for the first byte. Zero: the peer has ended, or
            /// `buf` is empty.
            ///
            /// # Errors
            /// What the kernel says, and what all calls say.
            #[inline]
            pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.to_read()?.read(buf)
            }

            /// Reads until `buf` is full. If the stream ends before, the error is
            /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), and what had arrived stays with
            /// the stream.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            #[inline]
            pub fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
                self.to_read()?.read_exact(buf)
            }

            /// Reads what is there into one buffer after the other, in one call.
            ///
            /// # Errors
            /// As [`read`](Self::read).
            pub fn read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
                self.to_read()?.read_vectored(bufs)
            }

            /// Waits until something can be read, or the peer has ended.
            ///
            /// # Errors
            /// What all calls say.
            pub fn readable(&self) -> io::Result<()> {
                self.to_read()?.readable()
            }
        }

        crate::fiber::calls::std_read!([$($generics)*] $stream, &$stream);
        crate::fiber::calls::std_read!([$($generics)*] $stream, $stream);
    };
}

/// [`io::Read`](std::io::Read) by a view's own calls: for the view, or for a reference to it.
macro_rules! std_read {
    ([$($generics:tt)*] $stream:ty, $holder:ty) => {
        impl<$($generics)*> io::Read for $holder {
            #[inline]
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                <$stream>::read(self, buf)
            }

            #[inline]
            fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
                <$stream>::read_exact(self, buf)
            }

            fn read_vectored(&mut self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
                <$stream>::read_vectored(self, bufs)
            }
        }
    };
}

/// The calls that write to a stream.
macro_rules! writing {
    ([$($generics:tt)*] $stream:ty) => {
        crate::fiber::calls::write_timeout!([$($generics)*] $stream);

        impl<$($generics)*> $stream {
            /// Queues `buf` to leave in one call at the end of the turn, with everything else
            /// that this turn writes; waits where the queue is full. Returns how much it has
            /// taken, at least a byte.
            ///
            /// # Errors
            /// What the kernel says, also of earlier writes; what all calls say.
            #[inline]
            pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
                self.to_write()?.write(buf)
            }

            /// Queues all of `buf`, or waits until it has left. Cancelled or timed out in its
            /// midst, the sending side fails from then on with an error that states the count.
            ///
            /// # Errors
            /// As [`write`](Self::write).
            #[inline]
            pub fn write_all(&self, buf: &[u8]) -> io::Result<()> {
                self.to_write()?.write_all(buf)
            }

            /// Queues one buffer after the other, to leave in one call; where the queue is full,
            /// waits and hands all to the kernel in one. Returns how much was taken, at least a
            /// byte.
            ///
            /// # Errors
            /// As [`write`](Self::write).
            pub fn write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
                self.to_write()?.write_vectored(bufs)
            }

            /// Waits until something can be written.
            ///
            /// # Errors
            /// What all calls say.
            pub fn writable(&self) -> io::Result<()> {
                self.to_write()?.writable()
            }

            /// Sends now what was written, and waits until the kernel has taken all of it.
            ///
            /// # Errors
            /// As [`write`](Self::write).
            #[inline]
            pub fn flush(&self) -> io::Result<()> {
                self.to_write()?.flush()
            }
        }

        crate::fiber::calls::std_write!([$($generics)*] $stream, &$stream);
        crate::fiber::calls::std_write!([$($generics)*] $stream, $stream);
    };
}

/// [`io::Write`](std::io::Write) by a view's own calls: for the view, or for a reference to it.
macro_rules! std_write {
    ([$($generics:tt)*] $stream:ty, $holder:ty) => {
        impl<$($generics)*> io::Write for $holder {
            #[inline]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                <$stream>::write(self, buf)
            }

            #[inline]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                <$stream>::write_all(self, buf)
            }

            fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
                <$stream>::write_vectored(self, bufs)
            }

            #[inline]
            fn flush(&mut self) -> io::Result<()> {
                <$stream>::flush(self)
            }
        }
    };
}

pub(super) use {passed_on, read_timeout, reading, std_read, std_write, timed, view};
pub(super) use {write_timeout, writing};
