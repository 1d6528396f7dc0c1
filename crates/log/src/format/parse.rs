//! From a format string to its pieces.
//!
//! ```text
//! text   := { literal | '{{' | '}}' | hole }
//! hole   := '{' [argument] [blanks] [':' spec] [blanks] '}'
//! spec   := [[fill] align] ['+' | '-'] ['#'] ['0'] [count] ['.' ('*' | count)] [kind]
//! count  := digits | argument '$'
//! argument := digits | name
//! ```

use super::spec::{Align, Count, Kind, Spec};
use super::{Hole, Piece, Template};

/// Why a text is no format string. Places are bytes from the start of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A placeholder, begun at this place, has no end.
    #[error(
        "the placeholder at byte {0} does not end: close it by `}}`, or write `{{{{` for a brace"
    )]
    Unclosed(usize),
    /// A brace at this place ends nothing.
    #[error("the brace at byte {0} ends nothing: write `}}}}` for a brace")]
    Unopened(usize),
    /// What stands at this place is no part of a placeholder.
    #[error("byte {0} is no part of a placeholder: see the syntax of std::fmt")]
    Syntax(usize),
    /// A number is larger than 65,535.
    #[error("the number at byte {0} is too large: at most 65535")]
    TooLarge(usize),
    /// A placeholder names what is not among the names.
    #[error("nothing is named `{0}`: give the names of all arguments")]
    UnknownName(String),
}

impl Template {
    /// Takes a format string apart in which arguments are known by their places.
    ///
    /// # Errors
    /// [`TemplateError`].
    ///
    /// ```
    /// use tautline_log::format::{Template, TemplateError};
    /// assert!(Template::parse("{:>+#010.3}").is_ok());
    /// assert_eq!(Template::parse("a } b"), Err(TemplateError::Unopened(2)));
    /// ```
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with_names(text, &[])
    }

    /// The same, for arguments some of which have names: `names` holds one for each argument, in
    /// order, and is empty for those that have none.
    ///
    /// # Errors
    /// [`TemplateError`].
    ///
    /// ```
    /// use tautline_log::{Value, format::Template};
    /// let template = Template::parse_with_names("{} costs {price:.2}", &["", "price"])?;
    /// let mut line = String::new();
    /// template.render(&[Value::Str("tea"), Value::F64(1.5)], &mut line);
    /// assert_eq!(line, "tea costs 1.50");
    /// # Ok::<(), tautline_log::format::TemplateError>(())
    /// ```
    pub fn parse_with_names(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let mut parser = Parser { text, at: 0, next: 0, names };
        let mut pieces = Vec::new();
        while let Some(piece) = parser.piece()? {
            join(&mut pieces, piece);
        }
        Ok(Self { pieces: pieces.into() })
    }
}

/// Appends a piece; texts that touch each other become one.
fn join(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), &piece) {
        (Some(Piece::Text(before)), Piece::Text(text)) => {
            *before = [&**before, &**text].concat().into();
        }
        _ => pieces.push(piece),
    }
}

struct Parser<'a> {
    text: &'a str,
    /// How far it is read.
    at: usize,
    /// The argument of the next placeholder that names none.
    next: usize,
    names: &'a [&'a str],
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// Reads `wanted`, if it comes next.
    fn takes(&mut self, wanted: &str) -> bool {
        let there = self.rest().starts_with(wanted);
        self.at += if there { wanted.len() } else { 0 };
        there
    }

    fn piece(&mut self) -> Result<Option<Piece>, TemplateError> {
        let start = self.at;
        Ok(Some(if self.rest().is_empty() {
            return Ok(None);
        } else if self.takes("{{") || self.takes("}}") {
            Piece::Text(self.text[start..=start].into())
        } else if self.takes("{") {
            Piece::Hole(self.hole(start)?)
        } else if self.takes("}") {
            return Err(TemplateError::Unopened(start));
        } else {
            self.at += self.rest().find(['{', '}']).unwrap_or(self.rest().len());
            Piece::Text(self.text[start..self.at].into())
        }))
    }

    /// What stands behind the brace at `start`, up to the other one.
    fn hole(&mut self, start: usize) -> Result<Hole, TemplateError> {
        let named = self.argument()?;
        self.blanks();
        let spec = if self.takes(":") { self.spec()? } else { Spec::default() };
        // `.*` has taken its precision from the line of arguments before.
        let argument = named.unwrap_or_else(|| self.following());
        self.blanks();
        match (self.takes("}"), self.rest()) {
            (true, _) => Ok(Hole { argument, spec }),
            (false, "") => Err(TemplateError::Unclosed(start)),
            (false, _) => Err(TemplateError::Syntax(self.at)),
        }
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// The argument that no placeholder has asked for yet.
    fn following(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    fn argument(&mut self) -> Result<Option<usize>, TemplateError> {
        match self.number()? {
            Some(number) => Ok(Some(usize::from(number))),
            None => self.name(),
        }
    }

    fn number(&mut self) -> Result<Option<u16>, TemplateError> {
        let rest = self.rest();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if digits == 0 {
            return Ok(None);
        }
        // Nothing but digits: what is wrong with it can only be its size.
        let number = rest[..digits].parse().map_err(|_| TemplateError::TooLarge(self.at))?;
        self.at += digits;
        Ok(Some(number))
    }

    /// The place of the argument whose name comes next, if one does.
    fn name(&mut self) -> Result<Option<usize>, TemplateError> {
        let rest = self.rest();
        let name = &rest[..word(rest)];
        if name.is_empty() {
            return Ok(None);
        }
        let place = self.names.iter().position(|known| *known == name);
        let place = place.ok_or_else(|| TemplateError::UnknownName(name.to_owned()))?;
        self.at += name.len();
        Ok(Some(place))
    }

    fn spec(&mut self) -> Result<Spec, TemplateError> {
        let (fill, align) = self.fill_and_align();
        let plus = self.takes("+");
        let _ = !plus && self.takes("-"); // may stand there, and means nothing
        let alternate = self.takes("#");
        // In `0$` the zero is an argument.
        let zero = !self.rest().starts_with("0$") && self.takes("0");
        let width = self.count()?;
        let precision = if self.takes(".") { self.precision()? } else { Count::None };
        let kind = self.kind()?;
        Ok(Spec { fill, align, plus, alternate, zero, width, precision, kind })
    }

    fn fill_and_align(&mut self) -> (char, Option<Align>) {
        let mut chars = self.rest().chars();
        let (first, second) = (chars.next(), chars.next());
        if let (Some(fill), Some(align)) = (first, second.and_then(align)) {
            self.at += fill.len_utf8() + 1;
            return (fill, Some(align));
        }
        let align = first.and_then(align);
        self.at += usize::from(align.is_some());
        (' ', align)
    }

    fn precision(&mut self) -> Result<Count, TemplateError> {
        if self.takes("*") {
            return Ok(Count::Argument(self.following()));
        }
        let start = self.at;
        match self.count()? {
            Count::None => Err(TemplateError::Syntax(start)),
            count => Ok(count),
        }
    }

    fn count(&mut self) -> Result<Count, TemplateError> {
        if let Some(number) = self.number()? {
            let place = self.takes("$");
            return Ok(if place { Count::Argument(number.into()) } else { Count::Is(number) });
        }
        let rest = self.rest();
        if !rest[word(rest)..].starts_with('$') {
            return Ok(Count::None); // what comes is the kind
        }
        let argument = self.name()?.ok_or(TemplateError::Syntax(self.at))?;
        self.at += 1;
        Ok(Count::Argument(argument))
    }

    fn kind(&mut self) -> Result<Kind, TemplateError> {
        let rest = self.rest();
        let letters = word(rest);
        let end = letters + usize::from(rest[letters..].starts_with('?'));
        let kind = Kind::of(&rest[..end]).ok_or(TemplateError::Syntax(self.at))?;
        self.at += end;
        Ok(kind)
    }
}

/// The length of the word at the start of `text`.
fn word(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

fn align(c: char) -> Option<Align> {
    match c {
        '<' => Some(Align::Left),
        '^' => Some(Align::Center),
        '>' => Some(Align::Right),
        _ => None,
    }
}
