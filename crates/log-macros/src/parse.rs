//! The format string, taken apart (`std::fmt` has the grammar).

use std::iter::Peekable;
use std::str::Chars;

/// A part of a format string.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text, with its braces doubled as they stood.
    Text(String),
    /// What an argument fills.
    Place(Place),
}

/// What stands between a pair of braces.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// What it shows.
    pub(crate) argument: Name,
    /// Fill and alignment.
    pub(crate) align: String,
    /// Sign, `#` and `0`.
    pub(crate) flags: String,
    pub(crate) width: Count,
    pub(crate) precision: Count,
    /// `?`, `x` and the like.
    pub(crate) kind: String,
}

/// How an argument is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// By its place.
    Index(usize),
    /// By a name.
    Word(String),
}

/// A width or a precision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    None,
    /// A number in the format string.
    Number(String),
    /// An argument.
    Of(Name),
}

/// Takes a format string apart.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(format: &str) -> Result<Vec<Piece>, String> {
    Parser { rest: format.chars().peekable(), next: 0 }.pieces()
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    /// The argument of the next place that names none.
    next: usize,
}

impl Parser<'_> {
    fn pieces(mut self) -> Result<Vec<Piece>, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.rest.next() {
            match c {
                '{' | '}' if self.accept(c) => text.extend([c, c]),
                '{' => {
                    if !text.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut text)));
                    }
                    pieces.push(Piece::Place(self.place()?));
                }
                '}' => return Err("a `}` without its `{`: write `}}` for the brace".to_owned()),
                _ => text.push(c),
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(pieces)
    }

    /// From behind the brace to behind the closing one.
    fn place(&mut self) -> Result<Place, String> {
        let named = self.name()?;
        self.blanks();
        let mut place = Place {
            argument: Name::Index(0),
            align: String::new(),
            flags: String::new(),
            width: Count::None,
            precision: Count::None,
            kind: String::new(),
        };
        if self.accept(':') {
            place.align = self.align();
            place.flags = self.flags();
            place.width = self.count()?;
            place.precision = self.precision()?;
            place.kind = self.kind();
            self.blanks();
        }
        if !self.accept('}') {
            return Err(match self.rest.peek() {
                Some(c) => format!("there is no place for `{c}` in what is to be filled"),
                None => "a `{` without its `}`: write `{{` for the brace".to_owned(),
            });
        }
        // After the precision `*`, which takes its argument first.
        place.argument = named.unwrap_or_else(|| self.next_argument());
        Ok(place)
    }

    fn next_argument(&mut self) -> Name {
        self.next += 1;
        Name::Index(self.next - 1)
    }

    fn align(&mut self) -> String {
        let mut ahead = self.rest.clone();
        let is_align = |c: Option<char>| matches!(c, Some('<' | '^' | '>'));
        let (first, second) = (ahead.next(), ahead.next());
        let len = if is_align(second) { 2 } else { usize::from(is_align(first)) };
        self.rest.by_ref().take(len).collect()
    }

    fn flags(&mut self) -> String {
        let mut flags = String::new();
        flags.extend(['+', '-'].into_iter().find(|sign| self.accept(*sign)));
        flags.extend(self.accept('#').then_some('#'));
        let mut ahead = self.rest.clone();
        // `0$` is the width of the first argument.
        if ahead.next() == Some('0') && ahead.next() != Some('$') {
            self.rest.next();
            flags.push('0');
        }
        flags
    }

    /// A number, or an argument with a dollar.
    fn count(&mut self) -> Result<Count, String> {
        let start = self.rest.clone();
        let name = self.name()?;
        Ok(match name {
            Some(name) if self.accept('$') => Count::Of(name),
            Some(Name::Index(number)) => Count::Number(number.to_string()),
            // It was the kind.
            _ => {
                self.rest = start;
                Count::None
            }
        })
    }

    fn precision(&mut self) -> Result<Count, String> {
        if !self.accept('.') {
            return Ok(Count::None);
        }
        if self.accept('*') {
            return Ok(Count::Of(self.next_argument()));
        }
        match self.count()? {
            Count::None => Err("a `.` without the precision".to_owned()),
            count => Ok(count),
        }
    }

    fn kind(&mut self) -> String {
        let mut kind = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphabetic() || *c == '?') {
            kind.push(c);
        }
        kind
    }

    fn name(&mut self) -> Result<Option<Name>, String> {
        let is_word = |c: &char| c.is_alphanumeric() || *c == '_';
        let mut word = String::new();
        let digits = self.rest.peek().is_some_and(char::is_ascii_digit);
        let goes_on = |c: &char| if digits { c.is_ascii_digit() } else { is_word(c) };
        while let Some(c) = self.rest.next_if(goes_on) {
            word.push(c);
        }
        match word {
            word if word.is_empty() => Ok(None),
            word if digits => match word.parse::<u16>() {
                Ok(number) => Ok(Some(Name::Index(number.into()))),
                Err(_) => Err(format!("{word} is too large a number: at most 65535")),
            },
            word => Ok(Some(Name::Word(word))),
        }
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn blanks(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(format: &str) -> Place {
        match parse(format).unwrap().pop() {
            Some(Piece::Place(place)) => place,
            other => panic!("{format}: {other:?}"),
        }
    }

    /// Every part of a place is found, whether or not the ones before it are there.
    #[test]
    fn places_are_taken_apart() {
        let word = |text: &str| Name::Word(text.to_owned());
        let place = only("{x:*^+#08.3?}");
        assert_eq!(place.argument, word("x"));
        assert_eq!((&*place.align, &*place.flags, &*place.kind), ("*^", "+#0", "?"));
        assert_eq!(place.width, Count::Number("8".to_owned()));
        assert_eq!(place.precision, Count::Number("3".to_owned()));
        let place = only("{:0$.prec$x?}");
        assert_eq!(place.width, Count::Of(Name::Index(0)));
        assert_eq!((place.precision, &*place.kind), (Count::Of(word("prec")), "x?"));
        let place = only("{:>w$}");
        assert_eq!((&*place.align, place.width), (">", Count::Of(word("w"))));
        let place = only("{:}>4}");
        assert_eq!(place.align, "}>");
        let place = only("{:.*}");
        assert_eq!(place.precision, Count::Of(Name::Index(0)));
        assert_eq!(place.argument, Name::Index(1));
        assert_eq!(only("{3 :e }").argument, Name::Index(3));
        assert_eq!(only("{:e}").kind, "e");
        assert_eq!(only("{:02X}").flags, "0");
    }

    /// Braces that are doubled stay so; places without a name count up.
    #[test]
    fn text_stays_as_it_is() {
        let pieces = parse("a{{b}}{}c{1}{}").unwrap();
        assert_eq!(pieces[0], Piece::Text("a{{b}}".to_owned()));
        assert_eq!(pieces[2], Piece::Text("c".to_owned()));
        let arguments: Vec<_> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Place(place) => Some(place.argument.clone()),
                Piece::Text(_) => None,
            })
            .collect();
        assert_eq!(arguments, [Name::Index(0), Name::Index(1), Name::Index(1)]);
    }

    /// What is no format string says why.
    #[test]
    fn mistakes_are_told() {
        for (format, why) in [
            ("{", "without its `}`"),
            ("}", "without its `{`"),
            ("{:.}", "without the precision"),
            ("{a b}", "no place for `b`"),
            ("{99999}", "too large"),
            ("{:5!}", "no place for `!`"),
            ("{ 3}", "no place for `3`"),
            ("{:+-}", "no place for `-`"),
        ] {
            let error = parse(format).unwrap_err();
            assert!(error.contains(why), "{format}: {error}");
        }
    }
}
