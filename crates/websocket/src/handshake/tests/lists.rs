//! Extensions and their parameters.

use super::*;

/// The extensions of a request with these headers, as text.
fn read(values: &[&str]) -> Result<Vec<String>, ServerError> {
    let line = |value: &&str| format!("Sec-WebSocket-Extensions: {value}\r\n");
    let request = request_with(&values.iter().map(line).collect::<String>());
    let asked =
        Server::new().parse(request.as_bytes()).map_err(|refusal| refusal.error().clone())?;
    let Asked::Upgrade(upgrade) = asked else { panic!("{asked:?}") };
    Ok(upgrade.extensions().iter().map(text).collect())
}

fn text(extension: &Extension<'_>) -> String {
    let param = |param: &Param<'_>| match &param.value {
        Some(value) => format!(";{}={value}", param.name),
        None => format!(";{}", param.name),
    };
    format!("{}{}", extension.name, extension.params.iter().map(param).collect::<String>())
}

/// Extensions have parameters with or without values, plain or in quotes.
//= RFC 6455 §9.1
//= type=test
#[test]
fn extensions_are_read_with_their_parameters() {
    for (value, expected) in [
        ("foo", vec!["foo"]),
        ("bar; baz=2", vec!["bar;baz=2"]),
        ("foo;bar=\"2\"", vec!["foo;bar=2"]),
        ("a ;b = c\t; d , e", vec!["a;b=c;d", "e"]),
        ("a; b=\"c\\d\"", vec!["a;b=cd"]),
        ("a; b=\"\\c\"; e", vec!["a;b=c;e"]),
        (", ,a,, b ,", vec!["a", "b"]),
        ("", vec![]),
    ] {
        assert_eq!(read(&[value]).expect(value), expected, "{value:?}");
    }
}

/// Several headers are as one.
//= RFC 6455 §9.1
//= type=test
#[test]
fn several_headers_are_as_one() {
    let both = read(&["foo; a, bar", "baz; b=1"]).expect("it is well-formed");
    assert_eq!(both, ["foo;a", "bar", "baz;b=1"]);
}

/// What is not in the grammar is an error that names the place.
//= RFC 6455 §9.1
//= type=test
#[test]
fn malformed_extensions_are_refused() {
    for (value, at) in [
        (";", 0),
        ("a;", 2),
        ("a;;b", 2),
        ("a b", 2),
        ("a;b=", 4),
        ("a;b=,c", 4),
        ("a;b c", 4),
        ("a;b=\"\"", 5),
        ("a;b=\"c d\"", 6),
        ("a;b=\"c", 6),
        ("a;b=\"c\\", 7),
        ("a;b=\"\\\"\"", 6),
        ("a;b=\"c\"d", 7),
        ("a=b", 1),
        ("\"a\"", 0),
        ("ä", 0),
    ] {
        let error = read(&[value]).expect_err(value);
        let ServerError::List(ListError::Extension { at: found, .. }) = error else {
            panic!("{value:?}: {error:?}")
        };
        assert_eq!(found, at, "{value:?}");
    }
}
