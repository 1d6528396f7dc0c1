//! What both sides agree to: RFC 7692 §7.1.

use super::super::*;
use crate::handshake::{Answer, Asked, Request, Server, Upgrade, Url};

const NONCE: [u8; 16] = *b"the sample nonce";

/// What a server of that configuration answers to that header.
fn server(config: &Config, offers: &str) -> Option<String> {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {offers}\r\n\r\n"
    );
    let mut server = Server::new();
    let Ok(Asked::Upgrade(upgrade)) = server.parse(request.as_bytes()) else { panic!("{offers}") };
    config.accept(upgrade.extensions()).map(|agreed| agreed.to_string())
}

fn default_server(offers: &str) -> Option<String> {
    server(&Config::default(), offers)
}

/// What a client makes of that header, having made these offers.
fn client(offers: &[Offer], answer: &str) -> Result<Agreed, String> {
    let answer = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Extensions: {answer}\r\n\r\n"
    );
    let url = Url::parse("ws://a/").expect("it is an address");
    match Request::new(&url).deflate(offers).start(NONCE).parse(answer.as_bytes()) {
        Ok(Answer::Opened(opened)) => Ok(opened.deflate().expect("it was answered")),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn terms(takeover: bool, window_bits: u8) -> Terms {
    Terms { takeover, window_bits }
}

/// The simplest offer has the simplest answer.
//= RFC 7692 §7.1
//= type=test
#[test]
fn an_offer_without_parameters_is_accepted() {
    assert_eq!(default_server("permessage-deflate").as_deref(), Some("permessage-deflate"));
    assert_eq!(default_server("x-webkit-deflate-frame, permessage-bzip2"), None);
    assert_eq!(default_server("Permessage-Deflate"), None);
}

/// What the client asks of the server's window is answered with itself.
//= RFC 7692 §7.1.1.1
//= RFC 7692 §7.1.1.2
//= type=test
#[test]
fn takeover_is_given_up_on_request() {
    let asked = "permessage-deflate; server_no_context_takeover";
    assert_eq!(default_server(asked).as_deref(), Some(asked));
    let hinted = "permessage-deflate; client_no_context_takeover";
    assert_eq!(default_server(hinted).as_deref(), Some(hinted));
    // A server may give it up, and have it given up, unasked.
    let config = Config { takeover: false, peer_takeover: false, ..Config::default() };
    assert_eq!(
        server(&config, "permessage-deflate").as_deref(),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
}

/// The server's window is as small as the client asks, or smaller, and is named.
//= RFC 7692 §7.1.2.1
//= type=test
#[test]
fn the_window_of_the_server_is_limited_on_request() {
    for bits in 9..=15 {
        let asked = format!("permessage-deflate; server_max_window_bits={bits}");
        assert_eq!(default_server(&asked).as_ref(), Some(&asked));
    }
    let config = Config { window_bits: 11, ..Config::default() };
    let eleven = "permessage-deflate; server_max_window_bits=11";
    let asked = "permessage-deflate; server_max_window_bits=15";
    assert_eq!(server(&config, asked).as_deref(), Some(eleven));
    assert_eq!(server(&config, "permessage-deflate").as_deref(), Some(eleven));
    let ten = "permessage-deflate; server_max_window_bits=\"10\"";
    let answer = server(&config, ten);
    assert_eq!(answer.as_deref(), Some("permessage-deflate; server_max_window_bits=10"));
}

/// The client's window is limited only if the client lets it.
//= RFC 7692 §7.1.2.2
//= type=test
#[test]
fn the_window_of_the_client_is_limited_if_it_may_be() {
    let ten = Config { peer_window_bits: 10, ..Config::default() };
    let limited = Some("permessage-deflate; client_max_window_bits=10");
    assert_eq!(server(&ten, "permessage-deflate").as_deref(), Some("permessage-deflate"));
    assert_eq!(server(&ten, "permessage-deflate; client_max_window_bits").as_deref(), limited);
    assert_eq!(server(&ten, "permessage-deflate; client_max_window_bits=15").as_deref(), limited);
    let nine = "permessage-deflate; client_max_window_bits=9";
    assert_eq!(server(&ten, nine).as_deref(), Some(nine));
    let asked = "permessage-deflate; client_max_window_bits";
    assert_eq!(default_server(asked).as_deref(), Some("permessage-deflate"));
}

/// A window of 256 bytes is none that a compressor here keeps to: a server declines to. What a client
/// wants to keep to itself is its own business: all windows can be read.
//= RFC 7692 §7.1.2.1
//= type=test
#[test]
fn a_window_of_eight_bits_is_declined() {
    assert_eq!(default_server("permessage-deflate; server_max_window_bits=8"), None);
    let second = "permessage-deflate; server_max_window_bits=8, permessage-deflate";
    assert_eq!(default_server(second).as_deref(), Some("permessage-deflate"));
    let own = "permessage-deflate; client_max_window_bits=8";
    assert_eq!(default_server(own).as_deref(), Some(own));
}

/// Offers that are none are passed over, and the connection goes on without compression.
//= RFC 7692 §7.1
//= type=test
#[test]
fn illegal_offers_are_declined() {
    for parameters in [
        "x",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=1e1",
        "client_max_window_bits=0",
        "client_max_window_bits=15.0",
        "client_max_window_bits=99999999999999999999",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "SERVER_NO_CONTEXT_TAKEOVER",
    ] {
        let offer = format!("permessage-deflate; {parameters}");
        assert_eq!(default_server(&offer), None, "{offer}");
        let answer = default_server(&format!("{offer}, permessage-deflate"));
        assert_eq!(answer.as_deref(), Some("permessage-deflate"), "{offer}");
    }
}

/// Of several offers, the first that can be kept is accepted.
//= RFC 7692 §5.1
//= type=test
#[test]
fn the_first_offer_that_can_be_kept_is_accepted() {
    let offers = "permessage-deflate; server_max_window_bits=10; server_no_context_takeover, \
                  permessage-deflate; server_max_window_bits=12, permessage-deflate";
    assert_eq!(
        default_server(offers).as_deref(),
        Some("permessage-deflate; server_no_context_takeover; server_max_window_bits=10")
    );
}

/// An answer that keeps an offer is agreed to.
//= RFC 7692 §7.1
//= type=test
#[test]
fn a_client_agrees_to_what_it_has_offered() {
    let plain = client(&[Offer::default()], "permessage-deflate").expect("it was offered");
    assert_eq!((plain.server(), plain.client()), (terms(true, 15), terms(true, 15)));
    let all = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
               server_max_window_bits=9; client_max_window_bits=10";
    let all = client(&[Offer::default()], all).expect("a server may add all that");
    assert_eq!((all.server(), all.client()), (terms(false, 9), terms(false, 10)));
}

/// What the client has said that it would do, it does, whatever the server says of it.
//= RFC 7692 §7.1.1.2
//= RFC 7692 §7.1.2.2
//= type=test
#[test]
fn a_client_keeps_its_own_word() {
    let offer = Offer {
        client_no_context_takeover: true,
        client_max_window_bits: Some(Some(11)),
        ..Offer::default()
    };
    let agreed = client(&[offer], "permessage-deflate").expect("it was offered");
    assert_eq!(agreed.client(), terms(false, 11));
}

/// An answer that keeps none of the offers fails the connection.
//= RFC 7692 §7.1
//= type=test
#[test]
fn a_client_fails_what_it_has_not_offered() {
    let none = Offer { client_max_window_bits: None, ..Offer::default() };
    let keep = Offer { server_no_context_takeover: true, ..none };
    let small = Offer { server_max_window_bits: Some(10), ..none };
    let hint = Offer { client_max_window_bits: Some(Some(10)), ..none };
    for (offer, parameters) in [
        (none, "; client_max_window_bits=10"),
        (keep, ""),
        (keep, "; client_no_context_takeover"),
        (small, ""),
        (small, "; server_max_window_bits=11"),
        (hint, "; client_max_window_bits=11"),
    ] {
        let answer = format!("permessage-deflate{parameters}");
        let error = client(&[offer], &answer).expect_err(&answer);
        assert!(error.contains("not offered"), "{offer}: {answer}: {error}");
        // Among several offers, one that it keeps is enough.
        assert!(client(&[small, keep, hint, none, Offer::default()], &answer).is_ok(), "{answer}");
    }
}

/// An answer that is malformed fails the connection.
//= RFC 7692 §7.1
//= type=test
#[test]
fn a_client_fails_a_malformed_answer() {
    for parameters in [
        "x",
        "server_no_context_takeover=1",
        "server_max_window_bits",
        "client_max_window_bits",
        "server_max_window_bits=7",
        "client_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=10; server_max_window_bits=10",
    ] {
        let answer = format!("permessage-deflate; {parameters}");
        let error = client(&[Offer::default()], &answer).expect_err(&answer);
        assert!(error.starts_with("the server's answer is malformed: "), "{answer}: {error}");
    }
}

/// A client whose window is limited to 256 bytes agrees, and sends messages as they are.
//= RFC 7692 §7.1.2.2
//= type=test
#[test]
fn a_client_that_is_left_eight_bits_sends_messages_as_they_are() {
    let eight = "permessage-deflate; client_max_window_bits=8; server_max_window_bits=8";
    let agreed = client(&[Offer::default()], eight).expect("it was offered");
    assert!(!agreed.client().can_be_compressed());
    assert_eq!(agreed.server(), terms(true, 8));
}

/// Whatever two configurations there are, both sides understand the same.
#[test]
fn both_sides_understand_the_same() {
    let flags = [false, true];
    let bits = [9, 12, 15];
    let mut configs = Vec::new();
    for (takeover, peer_takeover) in flags.iter().flat_map(|a| flags.iter().map(move |b| (*a, *b)))
    {
        for (window_bits, peer_window_bits) in
            bits.iter().flat_map(|a| bits.iter().map(move |b| (*a, *b)))
        {
            let default = Config::default();
            configs.push(Config {
                takeover,
                peer_takeover,
                window_bits,
                peer_window_bits,
                ..default
            });
        }
    }
    let url = Url::parse("ws://a/").expect("it is an address");
    for (of_client, of_server) in configs.iter().flat_map(|a| configs.iter().map(move |b| (a, b))) {
        let mut client = Request::new(&url).deflate(&[Offer::of(of_client)]).start(NONCE);
        let request = client.bytes().to_vec();
        let Ok(Asked::Upgrade(upgrade)) = Server::new().parse(&request) else { panic!() };
        let agreed = agreed(of_server, &upgrade);
        let answer = upgrade.accept().deflate(Some(agreed)).bytes();
        let Ok(Answer::Opened(opened)) = client.parse(&answer) else { panic!("{of_client:?}") };
        let understood = opened.deflate().expect("it was accepted");
        assert_eq!(understood.server(), agreed.server());
        assert_eq!(understood.client(), agreed.client());
        assert_eq!(agreed.server().takeover, of_server.takeover && of_client.peer_takeover);
        assert_eq!(agreed.client().takeover, of_client.takeover && of_server.peer_takeover);
        let smaller = of_server.window_bits.min(of_client.peer_window_bits);
        assert_eq!(agreed.server().window_bits, smaller);
        let smaller = of_client.window_bits.min(of_server.peer_window_bits);
        assert_eq!(agreed.client().window_bits, smaller);
    }
}

fn agreed(config: &Config, upgrade: &Upgrade<'_>) -> Agreed {
    config.accept(upgrade.extensions()).expect("what one of us offers can be kept")
}

/// A configuration that cannot be is refused before it is used.
#[test]
fn configurations_are_checked() {
    let of = |window_bits, level| Config { window_bits, level, ..Config::default() }.check();
    assert_eq!(of(9, 1), Ok(()));
    let name = "window_bits";
    assert_eq!(of(8, 1), Err(ConfigError::WindowBits { name, bits: 8 }));
    assert_eq!(of(16, 1), Err(ConfigError::WindowBits { name, bits: 16 }));
    assert_eq!(of(15, 0), Err(ConfigError::Level { level: 0 }));
    assert_eq!(of(15, 10), Err(ConfigError::Level { level: 10 }));
    let peer = Config { peer_window_bits: 8, ..Config::default() }.check();
    assert_eq!(peer, Err(ConfigError::WindowBits { name: "peer_window_bits", bits: 8 }));
}
