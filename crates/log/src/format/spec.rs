//! What stands behind the colon of a placeholder.

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// What a width is filled up with.
    pub(super) fill: char,
    /// `None`: numbers to the right, all others to the left.
    pub(super) align: Option<Align>,
    /// A sign before what is not negative, too.
    pub(super) plus: bool,
    /// `#`.
    pub(super) alternate: bool,
    /// Numbers are filled up with zeros, behind sign and prefix.
    pub(super) zero: bool,
    pub(super) width: Count,
    pub(super) precision: Count,
    pub(super) kind: Kind,
}

impl Default for Spec {
    /// `{}`.
    fn default() -> Self {
        Self {
            fill: ' ',
            align: None,
            plus: false,
            alternate: false,
            zero: false,
            width: Count::None,
            precision: Count::None,
            kind: Kind::Display,
        }
    }
}

/// Where a value stands in its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
}

/// A width or a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Not said.
    None,
    /// So many characters or digits.
    Is(u16),
    /// As many as this argument says.
    Argument(usize),
}

/// Which of the traits of [`std::fmt`] shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Display,
    Debug,
    /// `x?`: as `Debug`, with whole numbers in hexadecimal.
    DebugLowerHex,
    /// `X?`.
    DebugUpperHex,
    LowerHex,
    UpperHex,
    Octal,
    Binary,
    LowerExp,
    UpperExp,
    Pointer,
}

impl Kind {
    /// The kind that `word`, the end of a placeholder, stands for.
    pub(super) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "" => Self::Display,
            "?" => Self::Debug,
            "x?" => Self::DebugLowerHex,
            "X?" => Self::DebugUpperHex,
            "x" => Self::LowerHex,
            "X" => Self::UpperHex,
            "o" => Self::Octal,
            "b" => Self::Binary,
            "e" => Self::LowerExp,
            "E" => Self::UpperExp,
            "p" => Self::Pointer,
            _ => return None,
        })
    }

    /// Whether it is `Debug`, in one of its forms.
    pub(super) fn is_debug(self) -> bool {
        matches!(self, Self::Debug | Self::DebugLowerHex | Self::DebugUpperHex)
    }
}
