//! How a line becomes text.

use crate::Line;

/// Makes text of lines.
///
/// ```
/// use tautline_log::{Line, sink::{Console, Form, escape}};
///
/// /// The message, and nothing else.
/// struct Bare;
///
/// impl Form for Bare {
///     fn write(&mut self, line: &Line<'_>, out: &mut String) {
///         escape(line.message, out);
///         out.push('\n');
///     }
/// }
///
/// let console = Console::stderr().with_form(Bare);
/// # drop(console);
/// ```
pub trait Form: Send {
    /// Appends the text of a line, with the line break at its end. What comes from outside (the
    /// message, fields, names of threads) must not make a second line of it: see
    /// [`escape`](super::escape()).
    fn write(&mut self, line: &Line<'_>, out: &mut String);

    /// A [`Console`](super::Console) says whether colour is wanted there. Without it, it is not.
    fn offer_colour(&mut self, _wanted: bool) {}
}
