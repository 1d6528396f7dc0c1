//! Heads that come in pieces.

use super::*;

/// What a server says when `input` has come, as text.
fn server_says(server: &mut Server, input: &[u8]) -> String {
    match server.parse(input) {
        Ok(Asked::Incomplete) => String::new(),
        other => format!("{other:?}"),
    }
}

fn client_says(client: &mut Client, input: &[u8]) -> String {
    match client.parse(input) {
        Ok(Answer::Incomplete) => String::new(),
        other => format!("{other:?}"),
    }
}

/// A request means the same however it is cut.
#[test]
fn a_request_means_the_same_however_it_is_cut() {
    let requests = [
        request_with("Origin: http://server.example.com\r\nSec-WebSocket-Protocol: a, b\r\n")
            + "rest",
        request_with("X: y\nZ: a\r\n"),
        request_with("X: y\r\n z\r\n"),
        request_but("Host", ""),
        request_but("Upgrade", "") + "body",
        format!("\r\n{}", request_with("")),
        "\r\n\r\n".into(),
    ];
    for request in requests {
        let input = request.as_bytes();
        let whole = server_says(&mut Server::new(), input);
        assert!(!whole.is_empty());
        let mut by_bytes = Server::new();
        let pieces = (0..=input.len()).map(|end| server_says(&mut by_bytes, &input[..end]));
        assert_eq!(first_word(pieces), whole, "{request:?} byte by byte");
        for cut in 0..input.len() {
            let mut server = Server::new();
            let pieces = [&input[..cut], input].map(|piece| server_says(&mut server, piece));
            assert_eq!(first_word(pieces), whole, "{request:?} cut at {cut}");
        }
    }
}

/// An answer means the same however it is cut.
#[test]
fn an_answer_means_the_same_however_it_is_cut() {
    let answers = [
        answer_with("Sec-WebSocket-Protocol: chat\r\n") + "rest",
        format!("HTTP/1.1 100 Continue\r\n\r\n{}", answer_with("")),
        answer_with("X: y\rZ: a\r\n"),
        answer_but("Upgrade", ""),
        "HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n".into(),
        "HTTP/1.1 404 Not Found\r\n\r\nbody".into(),
    ];
    for answer in answers {
        let input = answer.as_bytes();
        let whole = client_says(&mut client(), input);
        assert!(!whole.is_empty());
        let mut by_bytes = client();
        let pieces = (0..=input.len()).map(|end| client_says(&mut by_bytes, &input[..end]));
        assert_eq!(first_word(pieces), whole, "{answer:?} byte by byte");
        for cut in 0..input.len() {
            let mut client = client();
            let pieces = [&input[..cut], input].map(|piece| client_says(&mut client, piece));
            assert_eq!(first_word(pieces), whole, "{answer:?} cut at {cut}");
        }
    }
}

/// What is said first that is more than "not all of it".
fn first_word(said: impl IntoIterator<Item = String>) -> String {
    said.into_iter().find(|word| !word.is_empty()).unwrap_or_default()
}

/// A head that comes byte by byte costs no more than one that comes whole: each byte is looked at
/// once. A hundred megabytes would be looked at otherwise.
#[test]
fn each_byte_is_looked_at_once() {
    let limits = Limits { bytes: usize::MAX, headers: 100 };
    let mut scanner = head::Scanner::of_request();
    let input = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'y'; 1 << 20]].concat();
    for end in 0..input.len() {
        assert_eq!(scanner.find(&input[..end], limits), Ok(None));
    }
}
