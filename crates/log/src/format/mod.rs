//! Format strings, taken apart and filled in at run time.
//!
//! A call site's string stays what it was, and is stored once; its lines hold the values alone.
//! Whoever reads them, perhaps long after the program is gone, puts both together here. The syntax
//! is that of [`std::fmt`], all of it, and what comes out is what `format!` would have written.
//!
//! What is read may be damaged. A value that is missing, or of a kind that its placeholder cannot
//! show, leaves a mark with its number, such as `{?3}`; nothing panics. Widths and precisions end at
//! 65,535, as they do in `std`, and a line at [`RENDER_LIMIT`].

mod parse;
mod render;
mod spec;

pub use parse::TemplateError;
pub use render::RENDER_LIMIT;

use spec::Spec;

/// A format string, taken apart.
///
/// ```
/// use tautline_log::{Value, format::Template};
/// let template = Template::parse("{} of {:>6.2}, {0:#x}")?;
/// let mut line = String::new();
/// template.render(&[Value::U64(17), Value::F64(2.5)], &mut line);
/// assert_eq!(line, format!("{} of {:>6.2}, {0:#x}", 17, 2.5));
/// # Ok::<(), tautline_log::format::TemplateError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Box<[Piece]>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Stands in each line as it is.
    Text(Box<str>),
    /// Is filled in.
    Hole(Hole),
}

/// A placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    /// Which argument it shows, from 0.
    argument: usize,
    /// How.
    spec: Spec,
}

#[cfg(test)]
mod tests;
