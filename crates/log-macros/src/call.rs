//! The tokens of a call.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Expr, Ident, LitStr, Result, Token, bracketed};

/// What stands between the parentheses of a line.
pub(crate) struct Call {
    /// The path of `tautline_log`, as seen from there.
    pub(crate) house: TokenStream,
    pub(crate) level: TokenStream,
    pub(crate) target: Option<Expr>,
    pub(crate) format: LitStr,
    /// Those without a name first.
    pub(crate) arguments: Vec<Argument>,
}

/// `value`, or `name = value`.
pub(crate) struct Argument {
    pub(crate) name: Option<Ident>,
    pub(crate) value: Expr,
}

impl Parse for Call {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let house = in_brackets(input)?;
        let level = in_brackets(input)?;
        let target = target(input)?;
        if input.is_empty() {
            return Err(input.error("a line needs a format string"));
        }
        let format = input.parse().map_err(|error| {
            syn::Error::new(error.span(), "the format string must be a string literal")
        })?;
        let mut arguments = Vec::new();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                arguments.push(argument(input, &arguments)?);
            }
        }
        Ok(Self { house, level, target, format, arguments })
    }
}

fn in_brackets(input: ParseStream<'_>) -> Result<TokenStream> {
    let content;
    bracketed!(content in input);
    content.parse()
}

fn target(input: ParseStream<'_>) -> Result<Option<Expr>> {
    let named = input.peek(Ident) && input.peek2(Token![:]) && !input.peek2(Token![::]);
    if !named {
        return Ok(None);
    }
    let name: Ident = input.parse()?;
    if name != "target" {
        return Err(syn::Error::new(name.span(), "only `target:` may stand before the format"));
    }
    input.parse::<Token![:]>()?;
    let target = input.parse()?;
    input.parse::<Token![,]>()?;
    Ok(Some(target))
}

fn argument(input: ParseStream<'_>, before: &[Argument]) -> Result<Argument> {
    let named = input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==]);
    let name = if named {
        let name = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Some(name)
    } else {
        None
    };
    let value: Expr = input.parse()?;
    if name.is_none() && before.last().is_some_and(|last| last.name.is_some()) {
        let why = "arguments without a name stand before those that have one";
        return Err(syn::Error::new_spanned(value, why));
    }
    if before.iter().any(|other| name.is_some() && other.name == name) {
        return Err(syn::Error::new_spanned(name, "there is an argument of that name already"));
    }
    Ok(Argument { name, value })
}
