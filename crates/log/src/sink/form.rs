//! How a line becomes text.

use crate::Line;

/// Makes text of lines.
///
/// ```
/// use tautline_log::{Line, sink::{Console, Form}};
///
/// /// The message, and nothing else.
/// struct Bare;
///
/// impl Form for Bare {
///     fn write(&mut self, line: &Line<'_>, out: &mut String) {
///         out.extend(line.message.chars().filter(|c| !c.is_control()));
///         out.push('\n');
///     }
/// }
///
/// let console = Console::stderr().with_form(Bare);
/// # drop(console);
/// ```
pub trait Form: Send {
    /// Appends the text of a line, with the line break at its end. What comes from outside (the
    /// message, fields, names of threads) must not make a second line of it.
    fn write(&mut self, line: &Line<'_>, out: &mut String);
}
