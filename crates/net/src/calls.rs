//! What all streams have in common, written once: operations, direct calls and the
//! ecosystem's traits. Each type says by `descriptor` where its bytes go.

/// The calls that read.
macro_rules! reading {
    ([$($generics:tt)*] $stream:ty) => {
        impl<$($generics)*> $stream {
            /// Reads what is there, up to the buffer's length. Zero: the peer has ended, or the
            /// buffer has no length: `Vec::with_capacity(n)` has none, `vec![0; n]` has `n`.
            /// The buffer comes back with the result.
            pub fn read<B: IoBufMut>(&self, buf: B) -> Operation<op::Read<B, false>> {
                self.descriptor().read(buf)
            }

            /// Reads until the buffer is full. If the stream ends before, the error is
            /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), and what had arrived
            /// stays with the stream.
            pub fn read_exact<B: IoBufMut>(&self, buf: B) -> Operation<op::Read<B, true>> {
                self.descriptor().read_exact(buf)
            }

            /// Reads what is there into several buffers.
            pub fn read_vectored<B: IoBufMut>(&self, bufs: Vec<B>) -> Operation<op::ReadVectored<B>> {
                self.descriptor().read_vectored(bufs)
            }

            /// Waits until something can be read.
            pub fn readable(&self) -> Operation<op::Ready> {
                self.descriptor().readable()
            }

            /// Reads what is there now.
            ///
            /// # Errors
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there or
            /// another read is before it; what the kernel says.
            pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.descriptor().try_read(buf)
            }
        }

        impl<$($generics)*> $stream {
            fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.descriptor().poll_read(cx, buf)
            }
        }

        crate::calls::async_read!([$($generics)*] &$stream);
        crate::calls::async_read!([$($generics)*] $stream);
    };
}

/// The calls that write.
macro_rules! writing {
    ([$($generics:tt)*] $stream:ty) => {
        impl<$($generics)*> $stream {
            /// Writes as much as the kernel takes, at least a byte. The buffer comes
            /// back with the result.
            pub fn write<B: IoBuf>(&self, buf: B) -> Operation<op::Write<B, false>> {
                self.descriptor().write(buf)
            }

            /// Writes everything. Cancelled or timed out after a part has left, the
            /// sending side fails from then on with an error that states the count.
            /// Dropped, it goes on in the background.
            pub fn write_all<B: IoBuf>(&self, buf: B) -> Operation<op::Write<B, true>> {
                self.descriptor().write_all(buf)
            }

            /// Writes several buffers, as much as the kernel takes.
            pub fn write_vectored<B: IoBuf>(&self, bufs: Vec<B>) -> Operation<op::WriteVectored<B>> {
                self.descriptor().write_vectored(bufs)
            }

            /// Waits until something can be written.
            pub fn writable(&self) -> Operation<op::Ready> {
                self.descriptor().writable()
            }

            /// Writes now what the kernel takes, and queues nothing.
            ///
            /// # Errors
            /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing was taken;
            /// what the kernel says.
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.descriptor().conn().try_write(bytes)
            }
        }

        impl<$($generics)*> $stream {
            fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.descriptor().poll_write(cx, buf)
            }

            fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.descriptor().poll_flush(cx)
            }

            fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                std::task::ready!(self.poll_flush(cx))?;
                Poll::Ready(self.end())
            }
        }

        crate::calls::async_write!([$($generics)*] &$stream);
        crate::calls::async_write!([$($generics)*] $stream);
    };
}

/// The ways between a type and the descriptor that it is made of.
macro_rules! of_descriptor {
    ($name:ty) => {
        impl $name {
            /// Names it, for the calls that handlers have: queued writes, marks, pausing.
            pub fn conn(&self) -> &Conn {
                self.descriptor.conn()
            }

            /// As a plain descriptor.
            pub fn into_descriptor(self) -> Descriptor {
                self.descriptor
            }

            /// Takes in a descriptor that is of this sort already.
            pub fn from_descriptor(descriptor: Descriptor) -> Self {
                Self { descriptor }
            }
        }

        impl crate::calls::Stands for $name {
            fn stands(&self) -> &Descriptor {
                &self.descriptor
            }
        }
    };
}

/// Where a stream's calls go, for a stream that may be split too.
macro_rules! stands {
    ($name:ty) => {
        impl $name {
            fn descriptor(&self) -> &Descriptor {
                &self.descriptor
            }
        }
    };
}

/// Gives a connected stream to the loop.
macro_rules! handing_over {
    ($stream:ty) => {
        impl $stream {
            /// Gives the stream to the loop, which calls `handler` with received bytes
            /// where they were received; what the handler returns may be nothing, a
            /// count or a result. The stream is closed when it ends, fails or is closed
            /// by its name.
            ///
            /// # Errors
            /// When the operation table is full.
            pub fn on_data<F, R>(self, handler: F) -> io::Result<Conn>
            where
                F: FnMut(&Conn, &[u8]) -> R + 'static,
                R: Outcome,
            {
                self.descriptor.on_data(handler)
            }
        }
    };
}

/// The handler of a listener.
macro_rules! accepting {
    ($listener:ty, $stream:ty) => {
        impl $listener {
            /// Gives the listener to the loop, which calls `handler` with each accepted
            /// stream. When descriptors run out, accepting rests for a moment.
            ///
            /// # Errors
            /// When the operation table is full.
            pub fn on_accept<F, R>(self, mut handler: F) -> io::Result<Conn>
            where
                F: FnMut($stream) -> R + 'static,
                R: Outcome,
            {
                self.descriptor.on_accept(move |socket| handler(<$stream>::from_descriptor(socket)))
            }
        }
    };
}

pub(crate) use {accepting, handing_over, of_descriptor, reading, stands, writing};

use tautline_runtime::Descriptor;

/// Made of one descriptor.
pub(crate) trait Stands {
    fn stands(&self) -> &Descriptor;
}

/// The ecosystem's traits for a type that has a `poll_read` of its own.
macro_rules! async_read {
    ([$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> futures_io::AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_read(cx, buf)
            }
        }

        #[cfg(feature = "tokio")]
        impl<$($generics)*> tokio::io::AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut tokio::io::ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let read = self.get_mut().poll_read(cx, buf.initialize_unfilled());
                read.map_ok(|n| buf.advance(n))
            }
        }
    };
}

/// The ecosystem's traits for a type that has a `poll_write`, `poll_flush` and `poll_end` of
/// its own.
macro_rules! async_write {
    ([$($generics:tt)*] $name:ty) => {
        impl<$($generics)*> futures_io::AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_write(cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_flush(cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_end(cx)
            }
        }

        #[cfg(feature = "tokio")]
        impl<$($generics)*> tokio::io::AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_write(cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_end(cx)
            }
        }
    };
}

pub(crate) use {async_read, async_write};
