//! What a mapping may be asked for beyond its size.

use crate::Error;

/// Whether a mapping should stand on huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// Ordinary pages.
    #[default]
    Off,
    /// Huge pages where the system grants them, else ordinary ones; the buffer's `pages()` says
    /// which it became. With huge pages the size is rounded up to a whole number of them.
    Try,
    /// Huge pages or [`Error::HugePages`].
    Require,
}

/// The pages that a mapping stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// The system's ordinary pages.
    Ordinary,
    /// Reserved huge pages.
    Huge,
}

/// Options of a mapping: prefault, huge pages, lock in memory. All off by default.
///
/// ```
/// use tautline_buffer::{HugePages, MapOptions, Mirrored};
///
/// let options = MapOptions::new().prefault(true).huge_pages(HugePages::Try);
/// let buffer = Mirrored::with(64 * 1024, options)?;
/// println!("stands on {:?} pages", buffer.pages());
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct MapOptions {
    pub(crate) prefault: bool,
    pub(crate) huge_pages: HugePages,
    pub(crate) lock: bool,
}

impl MapOptions {
    /// Ordinary pages, given memory at first touch, not locked.
    ///
    /// ```
    /// use tautline_buffer::MapOptions;
    /// assert_eq!(MapOptions::new(), MapOptions::default());
    /// ```
    pub const fn new() -> Self {
        Self { prefault: false, huge_pages: HugePages::Off, lock: false }
    }

    /// Gives every page its memory at construction, so that no first touch costs a page fault.
    ///
    /// ```
    /// use tautline_buffer::{MapOptions, Region};
    /// let region = Region::with(4096, MapOptions::new().prefault(true))?;
    /// assert_eq!(region.slice(0, 4), [0; 4]);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub const fn prefault(mut self, yes: bool) -> Self {
        self.prefault = yes;
        self
    }

    /// Asks for huge pages. Huge pages are always prefaulted, so that a shortage is an error at
    /// construction and not a signal later.
    ///
    /// ```
    /// use tautline_buffer::{Error, HugePages, MapOptions, Mirrored, Pages};
    /// match Mirrored::with(4096, MapOptions::new().huge_pages(HugePages::Require)) {
    ///     Ok(buffer) => assert_eq!(buffer.pages(), Pages::Huge),
    ///     Err(error) => assert!(matches!(error, Error::HugePages { .. })),
    /// }
    /// ```
    pub const fn huge_pages(mut self, huge: HugePages) -> Self {
        self.huge_pages = huge;
        self
    }

    /// Locks the pages in memory, which also prefaults them. Huge pages never leave memory and
    /// need no lock.
    ///
    /// ```
    /// use tautline_buffer::{MapOptions, Mirrored};
    /// if let Err(error) = Mirrored::with(4096, MapOptions::new().lock(true)) {
    ///     eprintln!("{error}"); // names the limit to raise
    /// }
    /// ```
    pub const fn lock(mut self, yes: bool) -> Self {
        self.lock = yes;
        self
    }

    /// Runs `map` with the pages asked for; under `Try` a refusal of huge pages leads to a second
    /// run with ordinary ones.
    pub(crate) fn on_pages<T>(
        self,
        mut map: impl FnMut(Pages) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.huge_pages {
            HugePages::Off => map(Pages::Ordinary),
            HugePages::Require => map(Pages::Huge),
            HugePages::Try => match map(Pages::Huge) {
                Err(Error::HugePages { .. }) => map(Pages::Ordinary),
                other => other,
            },
        }
    }
}
