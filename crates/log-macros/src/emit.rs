//! The code of a call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, Expr, Result};

use crate::call::Call;
use crate::parse::{Count, Name, Piece, Place, parse};

/// The most arguments of a line, each once for each way in which it is formatted.
const MOST_SLOTS: usize = 32;

/// Writes the call: a static, and what is done if its level passes.
pub(crate) fn emit(call: &Call) -> Result<TokenStream> {
    let format = call.format.value();
    let pieces = parse(&format).map_err(|why| Error::new(call.format.span(), why))?;
    let mut plan = Plan::new(call);
    for piece in &pieces {
        plan.add(piece)?;
    }
    plan.check_all_used()?;
    if plan.slots.len() > MOST_SLOTS {
        let why = format!("a line takes at most {MOST_SLOTS} arguments");
        return Err(Error::new(call.format.span(), why));
    }
    Ok(plan.code())
}

/// What is known of a call after its format string was read.
struct Plan<'a> {
    call: &'a Call,
    /// Explicit arguments first, then captured variables.
    values: Vec<Value>,
    slots: Vec<Slot>,
    /// The format string in which each place names its slot.
    template: String,
}

struct Value {
    expression: Expr,
    name: Option<String>,
    used: bool,
}

/// A value in one of the ways in which it is formatted.
#[derive(PartialEq, Eq)]
struct Slot {
    value: usize,
    way: Way,
}

#[derive(PartialEq, Eq)]
enum Way {
    /// As a width or a precision.
    Count,
    /// In a place.
    Place {
        /// The function that picks the form in which it travels.
        picks: &'static str,
        /// The format string for it alone.
        format: String,
        /// The values of its width and precision.
        counts: Vec<usize>,
    },
}

impl<'a> Plan<'a> {
    fn new(call: &'a Call) -> Self {
        let value = |argument: &crate::call::Argument| Value {
            expression: argument.value.clone(),
            name: argument.name.as_ref().map(|name| name.unraw().to_string()),
            used: false,
        };
        let values = call.arguments.iter().map(value).collect();
        Self { call, values, slots: Vec::new(), template: String::new() }
    }

    fn error<T>(&self, why: impl std::fmt::Display) -> Result<T> {
        Err(Error::new(self.call.format.span(), why))
    }

    fn add(&mut self, piece: &Piece) -> Result<()> {
        match piece {
            Piece::Text(text) => {
                self.template.push_str(text);
                Ok(())
            }
            Piece::Place(place) => self.place(place),
        }
    }

    fn place(&mut self, place: &Place) -> Result<()> {
        let picks = match &*place.kind {
            "" | "?" | "e" | "E" => "pick",
            "x" | "X" | "o" | "b" | "x?" | "X?" => "pick_bits",
            "p" => "pick_text",
            kind => {
                return self.error(format!(
                    "`{kind}` is no way to format: there are ?, x?, X?, x, X, o, b, e, E and p"
                ));
            }
        };
        let value = self.value(&place.argument)?;
        let mut counts = Vec::new();
        let (width, own_width) = self.count(&place.width, &mut counts)?;
        let (precision, own_precision) = self.count(&place.precision, &mut counts)?;
        let point = if place.precision == Count::None { "" } else { "." };
        let Place { align, flags, kind, .. } = place;
        let format = format!("{{0:{align}{flags}{own_width}{point}{own_precision}{kind}}}");
        let slot = self.slot(Slot { value, way: Way::Place { picks, format, counts } });
        let spec = format!("{align}{flags}{width}{point}{precision}{kind}");
        let colon = if spec.is_empty() { "" } else { ":" };
        self.template.push_str(&format!("{{{slot}{colon}{spec}}}"));
        Ok(())
    }

    /// How a width or a precision is written in the template, and in the format of the place alone,
    /// where the value is argument 0 and its counts follow.
    fn count(&mut self, count: &Count, counts: &mut Vec<usize>) -> Result<(String, String)> {
        Ok(match count {
            Count::None => (String::new(), String::new()),
            Count::Number(number) => (number.clone(), number.clone()),
            Count::Of(name) => {
                let value = self.value(name)?;
                let slot = self.slot(Slot { value, way: Way::Count });
                counts.push(value);
                (format!("{slot}$"), format!("{}$", counts.len()))
            }
        })
    }

    fn slot(&mut self, slot: Slot) -> usize {
        self.slots.iter().position(|other| *other == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        })
    }

    fn value(&mut self, name: &Name) -> Result<usize> {
        let explicit = self.call.arguments.len();
        let found = match name {
            Name::Index(index) if *index < explicit => *index,
            Name::Index(index) => {
                return self.error(format!(
                    "the format string names argument {index}, counted from 0, and there are \
                     {explicit}"
                ));
            }
            Name::Word(word) => {
                let named = |value: &Value| value.name.as_deref() == Some(word);
                self.values.iter().position(named).map_or_else(|| self.capture(word), Ok)?
            }
        };
        self.values[found].used = true;
        Ok(found)
    }

    /// A variable at the place of the call.
    fn capture(&mut self, word: &str) -> Result<usize> {
        let span = self.call.format.span();
        let variable = match word {
            "self" => Ident::new(word, span),
            "Self" | "super" | "crate" | "_" => {
                return self.error(format!("`{word}` is no name of a variable"));
            }
            _ if syn::parse_str::<Ident>(word).is_ok() => Ident::new(word, span),
            // As `format!` has it, `{type}` shows the variable `r#type`.
            _ if syn::parse_str::<Ident>(&format!("r#{word}")).is_ok() => {
                Ident::new_raw(word, span)
            }
            _ => return self.error(format!("`{word}` is no name of a variable")),
        };
        let expression = syn::parse_quote!(#variable);
        self.values.push(Value { expression, name: Some(word.to_owned()), used: false });
        Ok(self.values.len() - 1)
    }

    fn check_all_used(&self) -> Result<()> {
        match self.values.iter().find(|value| !value.used) {
            Some(value) => {
                let why = "this argument is not in the format string";
                Err(Error::new_spanned(&value.expression, why))
            }
            None => Ok(()),
        }
    }

    fn code(&self) -> TokenStream {
        let Call { house, level, target, .. } = self.call;
        let target = match target {
            Some(target) => quote!(#target),
            None => quote!(::core::module_path!()),
        };
        let template = &self.template;
        let names = self.names();
        let expressions = self.values.iter().map(|value| &value.expression);
        let variables = (0..self.values.len()).map(variable);
        let arguments = self.arguments();
        // What is called by no name that stands in an argument.
        let site = format_ident!("__TAUTLINE_LOG_SITE");
        let gate = Ident::new("gate", Span::mixed_site());
        quote! {{
            static #site: #house::__private::Site = #house::__private::Site::new(
                #level, #target, ::core::file!(), ::core::line!(), #template, &[#(#names),*],
            );
            if let ::core::option::Option::Some(#gate) = #site.gate() {
                #[allow(unused_imports, reason = "which of them picks depends on the types")]
                use #house::__private::{PickBits as _, PickScalar as _, PickText as _};
                match (#(&(#expressions),)*) {
                    (#(#variables,)*) => #house::__private::write(&#site, #gate, #arguments),
                }
            }
        }}
    }

    /// Slots whose values have a name, each value once.
    fn names(&self) -> Vec<TokenStream> {
        let mut told = Vec::new();
        let mut names = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let shown = !matches!(slot.way, Way::Count);
            if let Some(name) = &self.values[slot.value].name
                && shown
                && !told.contains(name)
            {
                let index = index as u8;
                told.push(name.clone());
                names.push(quote!((#index, #name)));
            }
        }
        names
    }

    /// The slots, as pairs of one and the rest.
    fn arguments(&self) -> TokenStream {
        let house = &self.call.house;
        self.slots.iter().rev().fold(quote!(()), |rest, slot| {
            let span = self.values[slot.value].expression.span();
            let value = spanned(slot.value, span);
            match &slot.way {
                Way::Count => quote_spanned!(span=> (#house::__private::count(#value), #rest)),
                Way::Place { picks, format, counts } => {
                    let picks = Ident::new(picks, span);
                    let counts = counts.iter().map(|count| variable(*count));
                    let text = quote_spanned! {span=>
                        ::core::format_args!(#format, #value #(, *#counts)*)
                    };
                    quote_spanned! {span=>
                        ((&&#house::__private::Pick(#value)).#picks(#text), #rest)
                    }
                }
            }
        })
    }
}

fn variable(index: usize) -> Ident {
    format_ident!("value{index}", span = Span::mixed_site())
}

fn spanned(index: usize, span: Span) -> Ident {
    let mut name = variable(index);
    name.set_span(Span::mixed_site().located_at(span));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word that can be no variable is an error at its place, as is one of Rust's own.
    #[test]
    fn what_is_no_variable_is_refused() {
        for (word, is_one) in [("price", true), ("type", true), ("²", false), ("crate", false)] {
            let call = format!(r#"[$crate][Info] "{{{word}}}""#).replace("$crate", "tautline_log");
            let call = syn::parse_str::<Call>(&call).expect("a call");
            match emit(&call) {
                Ok(_) => assert!(is_one, "{word}"),
                Err(error) => {
                    assert!(!is_one, "{word}");
                    assert_eq!(error.to_string(), format!("`{word}` is no name of a variable"));
                }
            }
        }
    }
}
