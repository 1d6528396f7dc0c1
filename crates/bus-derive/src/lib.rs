//! `derive(Layout)`: what a type looks like in memory, so that two programs can compare theirs
//! before they share some.
//!
//! ```ignore
//! #[derive(Clone, Copy, Layout, TryFromBytes, IntoBytes, Immutable)]
//! #[repr(C)]
//! struct Order {
//!     number: u64,
//!     price: i64,
//! }
//! ```
//!
//! Used through `tautline_bus` with its feature `derive`, which re-exports it. Who has that under
//! another name says so: `#[layout(crate = tautline::bus)]`.

#![forbid(unsafe_code)] // what it writes into other crates is theirs

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Member, Path, Result, parse_macro_input};

/// Implements `tautline_bus::Layout`.
///
/// Structures must be `repr(C)` or `repr(transparent)`, for the compiler may place the fields of
/// others as it likes, and differently each time. Enums must have a `repr` of a number, and no
/// data; they look like that number, and each variant is told by its name and its value. Every
/// field's type must have a layout of its own.
///
/// # Errors
/// At compile time, at the place that is wrong.
#[proc_macro_derive(Layout, attributes(layout))]
pub fn derive_layout(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    implement(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn implement(input: &DeriveInput) -> Result<TokenStream> {
    let bus = bus(input)?;
    let (fields, any_bytes) = match &input.data {
        Data::Struct(data) => {
            let types = data.fields.iter().map(|field| &field.ty);
            let any_bytes = quote!(true #(&& <#types as #bus::Layout>::ANY_BYTES)*);
            (fields_of(input, &data.fields, &bus)?, any_bytes)
        }
        Data::Enum(data) => (variants_of(input, data, &bus)?, quote!(false)),
        Data::Union(data) => {
            let why = "a union has no layout: which of its fields is meant cannot be told";
            return Err(Error::new(data.union_token.span(), why));
        }
    };
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        // SAFETY: all fields, with their offsets as the compiler tells them; any bytes are a value
        // if that is so for each of them.
        unsafe impl #generics #bus::Layout for #name #arguments #bounds {
            const NAME: &'static str = ::core::stringify!(#name);
            const FIELDS: &'static [#bus::Field] = &[#(#fields),*];
            const ANY_BYTES: bool = #any_bytes;
        }
    })
}

/// Where the crate is found that has the trait.
fn bus(input: &DeriveInput) -> Result<Path> {
    let mut bus = syn::parse_quote!(::tautline_bus);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("layout")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("crate") {
                return Err(meta.error("this is not known: #[layout(crate = path)]"));
            }
            bus = meta.value()?.call(Path::parse_mod_style)?;
            Ok(())
        })?;
    }
    Ok(bus)
}

// ------------------------------------------------------------------------------- structures

fn fields_of(input: &DeriveInput, fields: &Fields, bus: &Path) -> Result<Vec<TokenStream>> {
    if !representations(input)?.iter().any(|repr| repr == "C" || repr == "transparent") {
        let why =
            "add #[repr(C)]: the compiler may place the fields of other structures as it likes";
        return Err(Error::new(input.ident.span(), why));
    }
    fields.members().zip(fields).map(|(member, field)| Ok(field_of(&member, field, bus))).collect()
}

fn field_of(member: &Member, field: &Field, bus: &Path) -> TokenStream {
    let name = match member {
        Member::Named(name) => name.to_string(),
        Member::Unnamed(index) => index.index.to_string(),
    };
    let of = &field.ty;
    quote! {
        #bus::Field {
            name: #name,
            of: <#of as #bus::Layout>::NAME,
            offset: ::core::mem::offset_of!(Self, #member),
            size: ::core::mem::size_of::<#of>(),
            hash: <#of as #bus::Layout>::HASH,
            fields: <#of as #bus::Layout>::FIELDS,
        }
    }
}

// ------------------------------------------------------------------------------------ enums

/// Each variant as a field of the number's type, whose hash is its value.
fn variants_of(input: &DeriveInput, data: &syn::DataEnum, bus: &Path) -> Result<Vec<TokenStream>> {
    let numbers = ["u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64"].map(str::to_owned);
    let Some(number) = representations(input)?.into_iter().find(|repr| numbers.contains(repr))
    else {
        let why = "add #[repr(u8)] or another number: else an enum may have any size";
        return Err(Error::new(input.ident.span(), why));
    };
    let mut fields = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            let why = "an enum with data has no layout: send a structure with a tag";
            return Err(Error::new(variant.span(), why));
        }
        let (ident, name) = (&variant.ident, variant.ident.to_string());
        fields.push(quote! {
            #bus::Field {
                name: #name,
                of: #number,
                offset: 0,
                size: ::core::mem::size_of::<Self>(),
                hash: Self::#ident as u64,
                fields: &[],
            }
        });
    }
    Ok(fields)
}

/// What stands in the `repr` attributes.
fn representations(input: &DeriveInput) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if let Some(name) = meta.path.get_ident() {
                found.push(name.to_string());
            }
            // `align(8)` and `packed(2)` bring a number.
            if meta.input.peek(syn::token::Paren) {
                let number;
                syn::parenthesized!(number in meta.input);
                number.parse::<TokenStream>()?;
            }
            Ok(())
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: &str) -> String {
        let input = syn::parse_str(input).expect("it is Rust");
        implement(&input).expect_err("it has no layout").to_string()
    }

    /// What has no layout is refused, and the error says what to do instead.
    #[test]
    fn what_has_no_layout_is_refused() {
        assert!(refused("struct Order { number: u64 }").starts_with("add #[repr(C)]"));
        assert!(refused("#[repr(packed(2))] struct Order(u64);").starts_with("add #[repr(C)]"));
        assert!(refused("enum Side { Buy, Sell }").starts_with("add #[repr(u8)]"));
        assert!(refused("#[repr(C)] enum Side { Buy, Sell }").starts_with("add #[repr(u8)]"));
        assert!(refused("#[repr(u8)] enum Side { Buy(u8) }").ends_with("a structure with a tag"));
        assert!(refused("#[repr(C)] union Word { a: u32, b: f32 }").starts_with("a union"));
        let attribute = refused("#[layout(krate = other)] #[repr(C)] struct Order(u64);");
        assert_eq!(attribute, "this is not known: #[layout(crate = path)]");
    }

    /// An error points at the variant that is wrong.
    #[test]
    fn an_error_points_at_its_place() {
        let input = "#[repr(u8)]\nenum Side {\n    Buy,\n    Sell { price: u64 },\n}";
        let error = implement(&syn::parse_str(input).expect("it is Rust")).expect_err("data");
        assert_eq!(error.span().start().line, 4);
    }

    /// Other attributes of a representation, and where the trait is found, are taken.
    #[test]
    fn representations_are_taken() {
        for input in [
            "#[repr(C, align(64))] struct Order { number: u64 }",
            "#[repr(C)] #[repr(packed(2))] struct Order(u8, u16);",
            "#[repr(transparent)] struct Price<T>(T);",
            "#[repr(i16)] enum Side { Buy = -1, Sell = 1 }",
            "#[layout(crate = tautline::bus)] #[repr(C)] struct Order {}",
        ] {
            let written = implement(&syn::parse_str(input).expect("it is Rust"));
            let written = written.expect("it has a layout").to_string();
            assert!(written.contains(":: Layout for"), "{written}");
            assert_eq!(
                written.contains("tautline :: bus ::"),
                input.contains("crate"),
                "{written}"
            );
        }
    }
}
