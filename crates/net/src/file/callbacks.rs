//! The callback face of a file's sequential calls.

use std::io;

use tautline_runtime::{Conn, IoBuf, IoBufMut, Outcome, defer, task};

use super::File;

/// Bytes that a handler is given at a time, at most.
const PIECE: usize = 64 << 10;

impl File {
    /// As [`read`](Self::read), with a callback: `done` is called on the loop, never before
    /// this returns, with the file, for the next call, the result and the buffer.
    ///
    /// # Errors
    /// When the task table is full; the file is closed then.
    pub fn read_then<B, F>(mut self, buf: B, done: F) -> io::Result<()>
    where
        B: IoBufMut,
        F: FnOnce((Self, io::Result<usize>, B)) + 'static,
    {
        task::spawn(async move {
            let (read, buf) = self.read(buf).await;
            // Only a runtime that is going refuses, and then nobody is to be called.
            let _ = defer((self, read, buf), done);
        })?;
        Ok(())
    }

    /// As [`write`](Self::write), with a callback: `done` is called on the loop, never
    /// before this returns, with the file, for the next call, the result and the buffer.
    ///
    /// ```
    /// # use tautline_net::File;
    /// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("notes");
    /// let file = runtime.block_on(File::create(&path))??;
    /// file.write_then("first, ", |(file, _, _)| {
    ///     let then = file.write_then("second", |_| tautline_runtime::stop().expect("on the loop"));
    ///     then.expect("there is room for a task");
    /// })?;
    /// runtime.run()?;
    /// assert_eq!(std::fs::read(&path)?, b"first, second");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`read_then`](Self::read_then).
    pub fn write_then<B, F>(mut self, buf: B, done: F) -> io::Result<()>
    where
        B: IoBuf,
        F: FnOnce((Self, io::Result<usize>, B)) + 'static,
    {
        task::spawn(async move {
            let (written, buf) = self.write(buf).await;
            let _ = defer((self, written, buf), done);
        })?;
        Ok(())
    }

    /// Gives the file to the loop, which calls `handler` with its bytes, from its position
    /// to its end, piece by piece. At the end, or on an error, the close handler of the
    /// returned name is called.
    ///
    /// # Errors
    /// When the task table is full.
    pub fn on_data<F, R>(self, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, &[u8]) -> R + 'static,
        R: Outcome,
    {
        let conn = self.conn().clone();
        let (mut file, mut buf) = (self, vec![0; PIECE]);
        // A file has no readiness: a task reads it, and ends it like a stream.
        task::spawn(async move {
            let result = loop {
                let (read, used) = file.read(buf).await;
                buf = used;
                if !file.conn().resumed().await {
                    return;
                }
                let told = match read {
                    Ok(0) => break Ok(()),
                    Ok(n) => handler(file.conn(), &buf[..n]).into_result(),
                    Err(error) => Err(error),
                };
                if told.is_err() {
                    break told;
                }
            };
            // It fails only when the loop is gone, and nobody is to be told then.
            let _ = file.into_conn().end(result);
        })?;
        Ok(conn)
    }
}
