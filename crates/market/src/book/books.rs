//! The books of all instruments.

use std::ops::Index;

use super::orders::mixed;
use super::{Book, BookError, CapacityError};
use crate::message::{Instrument, Message};

/// A book for each instrument from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    books: Box<[Book]>,
}

impl Books {
    /// Empty books of so many instruments, for so many orders each.
    ///
    /// # Errors
    /// [`CapacityError`].
    pub fn new(instruments: u32, orders: usize) -> Result<Self, CapacityError> {
        if instruments == 0 {
            return Err(CapacityError::Instruments);
        }
        let books: Result<_, _> = (0..instruments).map(|_| Book::new(orders)).collect();
        Ok(Self { books: books? })
    }

    /// Does what a message says.
    ///
    /// # Errors
    /// [`BookError`]; the books are as they were.
    #[inline]
    pub fn apply(&mut self, message: &Message) -> Result<(), BookError> {
        let instrument = message.instrument();
        let instruments = self.len();
        let Some(book) = self.get_mut(instrument) else {
            return Err(BookError::UnknownInstrument { instrument, instruments });
        };
        book.apply(message)
    }

    /// As many as there are.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> u32 {
        self.books.len() as u32
    }

    /// The book of an instrument.
    #[inline]
    pub fn get(&self, instrument: Instrument) -> Option<&Book> {
        self.books.get(instrument.0 as usize)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, instrument: Instrument) -> Option<&mut Book> {
        self.books.get_mut(instrument.0 as usize)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Instrument, &Book)> {
        self.books.iter().enumerate().map(|(at, book)| (Instrument(at as u32), book))
    }

    /// All orders leave.
    pub fn clear(&mut self) {
        self.books.iter_mut().for_each(Book::clear);
    }

    /// A number that two have in common which have the same orders, and others hardly ever.
    pub fn checksum(&self) -> u64 {
        self.books.iter().fold(0, |sum, book| mixed(sum ^ book.checksum()))
    }
}

/// # Panics
/// If there is no such instrument.
impl Index<Instrument> for Books {
    type Output = Book;

    fn index(&self, instrument: Instrument) -> &Book {
        &self.books[instrument.0 as usize]
    }
}
