//! How files are opened.

use std::fs;
use std::path::Path;

use tautline_runtime::offload;

use super::File;
use crate::call::Call;
use crate::error::at;

/// How a file is to be opened: as `std` has it.
#[derive(Clone, Debug)]
pub struct OpenOptions(fs::OpenOptions);

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(mut self, on: bool) -> Self {
            self.0.$name(on);
            self
        }
    )*};
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl OpenOptions {
    /// Nothing is chosen: not even reading.
    pub fn new() -> Self {
        Self(fs::OpenOptions::new())
    }

    choices! {
        /// It may be read.
        read,
        /// It may be written.
        write,
        /// Everything that is written goes to its end, wherever that is then.
        append,
        /// Its contents go.
        truncate,
        /// It is made if it is not there.
        create,
        /// It is made, and must not have been there.
        create_new,
    }

    /// Opens a file, on the runtime's pool of threads.
    ///
    /// The result is an error that names `path` and what would help.
    pub fn open(&self, path: impl AsRef<Path>) -> Call<File> {
        let (options, path) = (self.0.clone(), path.as_ref().to_owned());
        Call::new(async move {
            let name = path.display().to_string();
            let opened = offload(move || options.open(path)).await?;
            opened.and_then(File::from_std).map_err(at("open", name))
        })
    }
}
