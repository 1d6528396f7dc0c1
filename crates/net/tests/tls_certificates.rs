//! Certificates: who is believed, what is chosen, what is swapped while it is in use, and what is
//! said when something is wrong with them.

mod common;
mod tls_support;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::rc::Rc;

use common::run;
use tautline_net::tls::{Acceptor, Connector, Error, Identity, Roots, TlsListener, Version};
use tautline_runtime::task;
use tls_support::{authority, error_of, meet};

/// A certificate for another host is refused with both names, and the server hears why.
#[test]
fn a_certificate_for_another_host_is_refused() {
    run(async || {
        let authority = authority("one");
        let acceptor = authority.server().build().unwrap();
        let connector = authority.client().build().unwrap();
        let (near, far) = meet(&connector, &acceptor, "example.org").await;
        let error = error_of(near);
        assert!(matches!(&error, Error::WrongHost { asked, .. } if asked == "example.org"));
        assert!(error.to_string().contains("`localhost`"), "{error}");
        let error = error_of(far).to_string();
        assert!(
            error.contains("BadCertificate") || error.contains("CertificateUnknown"),
            "{error}"
        );
        Ok(())
    });
}

/// A certificate that nobody trusted has signed is refused, unless every one is accepted.
#[test]
fn an_unknown_issuer_is_refused() {
    run(async || {
        let (one, other) = (authority("one"), authority("other"));
        let acceptor = one.server().build().unwrap();
        let (near, far) = meet(&other.client().build().unwrap(), &acceptor, "localhost").await;
        assert_eq!(error_of(near), Error::UnknownIssuer { whose: "server" });
        let error = error_of(far).to_string();
        assert!(error.contains("UnknownCA") && error.contains("trust"), "{error}");
        let connector = Connector::builder().dangerous_accept_any_certificate().build().unwrap();
        let (near, far) = meet(&connector, &acceptor, "example.org").await;
        near.and(far).map(drop)
    });
}

/// A certificate that has expired is refused by clients, and by servers when they are made.
#[test]
fn an_expired_certificate_is_refused() {
    run(async || {
        let authority = authority("one");
        let identity = authority.sign_expired(&["localhost"]).identity();
        let refused = Acceptor::builder().identity(identity.clone()).build().unwrap_err();
        assert!(matches!(&refused, Error::NotCurrent { when, .. } if when.starts_with("expired")));
        let acceptor = Acceptor::builder().identity(identity.even_expired()).build().unwrap();
        let connector = authority.client().build().unwrap();
        let (near, _) = meet(&connector, &acceptor, "localhost").await;
        let error = error_of(near);
        assert!(matches!(&error, Error::PeerNotCurrent { when, .. } if when.contains("days ago")));
        Ok(())
    });
}

/// A certificate of an authority is no server's, which is told with the way to make a right one.
#[test]
fn an_authority_is_no_server() {
    run(async || {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let identity = Identity::from_pem(pem.clone(), key.serialize_pem());
        let acceptor = Acceptor::builder().identity(identity).build().unwrap();
        let connector = Connector::builder().roots(Roots::from_pem(pem).unwrap()).build().unwrap();
        let error = error_of(meet(&connector, &acceptor, "localhost").await.0).to_string();
        assert!(error.contains("CA:TRUE") && error.contains("CA:FALSE"), "{error}");
        Ok(())
    });
}

/// Of several certificates the one is chosen that holds the name that is asked for.
#[test]
fn certificates_are_chosen_by_name() {
    run(async || {
        let authority = authority("one");
        let names = [&["first.test"][..], &["second.test", "*.wild.test"], &["deep.wild.test"]];
        let signed = names.map(|names| authority.sign(names));
        let acceptor = signed
            .iter()
            .fold(Acceptor::builder(), |builder, pem| builder.identity(pem.identity()))
            .build()
            .unwrap();
        let connector = authority.client().build().unwrap();
        let found =
            [("first.test", 0), ("SECOND.test", 1), ("any.wild.test", 1), ("deep.wild.test", 2)];
        let der = |at: usize| signed[at].identity();
        for (name, at) in found {
            let (near, far) = meet(&connector, &acceptor, name).await;
            let shown = near?.facts().peer_certificates.clone();
            let own = Acceptor::builder().identity(der(at)).build().unwrap();
            let (alone, _) = meet(&connector, &own, name).await;
            assert_eq!(shown, alone?.facts().peer_certificates, "{name}");
            let asked = far?.facts().server_name.clone();
            assert_eq!(asked.as_deref(), Some(name.to_ascii_lowercase().as_str()));
        }
        let silent = authority.client().server_name_indication(false).build().unwrap();
        let (near, far) = meet(&silent, &acceptor, "first.test").await;
        near?;
        assert_eq!(far?.facts().server_name, None);
        Ok(())
    });
}

/// A server that wants certificates lets in whom its authority has signed, and nobody else; one
/// that only asks lets in those without, too.
#[test]
fn clients_are_known_by_their_certificates() {
    run(async || {
        let (one, other) = (authority("one"), authority("other"));
        let plain = one.client().build().unwrap();
        let known = one.client().identity(one.sign(&["me"]).identity()).build().unwrap();
        let unknown = one.client().identity(other.sign(&["me"]).identity()).build().unwrap();
        for version in [Version::Tls12, Version::Tls13] {
            let strict =
                one.server().most_version(version).require_clients(one.roots()).build().unwrap();
            let (near, far) = meet(&known, &strict, "localhost").await;
            assert_eq!(far?.facts().peer_certificates.len(), 1);
            drop(near);
            let (near, far) = meet(&plain, &strict, "localhost").await;
            assert_eq!(error_of(far), Error::NoClientCertificate);
            // In TLS 1.3 a client is done before the server has seen who it is.
            let told = match near {
                Ok(near) => near.read(&mut [0]).await.unwrap_err(),
                Err(error) => error,
            };
            assert!(told.to_string().contains("it wants a certificate of ours"), "{told}");
            let (_, far) = meet(&unknown, &strict, "localhost").await;
            assert_eq!(error_of(far), Error::UnknownIssuer { whose: "client" });
            let open = one.server().most_version(version).ask_clients(one.roots()).build().unwrap();
            let (_near, far) = meet(&plain, &open, "localhost").await;
            assert!(far?.facts().peer_certificates.is_empty());
        }
        Ok(())
    });
}

/// A session is taken up again over real sockets, and both sides know it.
#[test]
fn sessions_are_taken_up_again() {
    run(async || {
        let authority = authority("one");
        let acceptor = authority.server().build().unwrap();
        for version in [Version::Tls12, Version::Tls13] {
            let connector = authority.client().most_version(version).build().unwrap();
            for resumed in [false, true, true] {
                let (near, far) = meet(&connector, &acceptor, "localhost").await;
                let (near, far) = (near?, far?);
                assert_eq!((near.facts().resumed, far.facts().resumed), (resumed, resumed));
                // The tickets of TLS 1.3 come behind the handshake.
                far.write_all(b"x").await?;
                near.read_exact(&mut [0]).await?;
            }
        }
        Ok(())
    });
}

/// Versions that do not meet are an error on both sides.
#[test]
fn versions_that_do_not_meet_are_told() {
    run(async || {
        let authority = authority("one");
        let acceptor = authority.server().least_version(Version::Tls13).build().unwrap();
        let connector = authority.client().most_version(Version::Tls12).build().unwrap();
        let (near, far) = meet(&connector, &acceptor, "localhost").await;
        assert!(error_of(near).to_string().contains("versions of TLS"));
        assert!(error_of(far).to_string().contains("version of TLS"));
        let none = authority.client().least_version(Version::Tls13).most_version(Version::Tls12);
        assert!(none.build().unwrap_err().to_string().contains("no version is left"));
        Ok(())
    });
}

/// Certificates are swapped while handshakes go on all the time: each gets the old one or the
/// new one, none fails, those that stand go on, and a bad file changes nothing.
#[test]
fn certificates_are_swapped_under_load() {
    run(async || {
        let authority = authority("one");
        let folder = tempfile::tempdir()?;
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let write = |pem: &tls_support::Pem| {
            fs::write(&chain, &pem.chain).and_then(|()| fs::write(&key, &pem.key))
        };
        write(&authority.sign(&["localhost"]))?;
        let acceptor = Acceptor::from_pem_files(&chain, &key).unwrap();
        let listener = TlsListener::bind("127.0.0.1:0", acceptor.clone())?;
        let addr = listener.local_addr()?;
        listener.on_accept(|stream| stream?.on_data(|s, bytes| s.write(bytes)).map(drop))?;
        let connector = authority.client().remember_sessions(0).build().unwrap();
        let old = connector.connect_as(addr, "localhost").await?;
        let seen: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
        let stop = Rc::new(Cell::new(false));
        let load = |_| {
            let (connector, seen, stop) = (connector.clone(), seen.clone(), stop.clone());
            task::spawn(async move {
                for _ in 0..10_000 {
                    if stop.get() {
                        return io::Result::Ok(());
                    }
                    let stream = connector.connect_as(addr, "localhost").await?;
                    seen.borrow_mut().push(stream.facts().peer_certificates[0].clone());
                    stream.shutdown().await?;
                }
                panic!("nobody stops the load");
            })
            .unwrap()
        };
        let load: Vec<_> = (0..4).map(load).collect();
        for _ in 0..5 {
            let enough = seen.borrow().len() + 8;
            while seen.borrow().len() < enough {
                tautline_runtime::timer::sleep(std::time::Duration::from_millis(1)).await?;
            }
            write(&authority.sign(&["localhost"]))?;
            acceptor.reload().unwrap();
        }
        fs::write(&key, "nonsense")?;
        let error = acceptor.reload().unwrap_err();
        assert!(matches!(&error, Error::NoKey { from } if from.ends_with("key.pem")), "{error}");
        let last = connector.connect_as(addr, "localhost").await?;
        stop.set(true);
        for load in load {
            load.await.unwrap()?;
        }
        let mut seen = seen.take();
        assert_eq!(seen.last(), Some(&last.facts().peer_certificates[0]));
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 6);
        old.write_all(b"still here").await?;
        old.read_exact(&mut [0; 10]).await
    });
}

/// Each thing that can be wrong with a file is told with the name of the file and the remedy.
#[test]
fn what_is_wrong_with_a_file_is_told() {
    let authority = authority("one");
    let (pem, other) = (authority.sign(&["localhost"]), authority.sign(&["localhost"]));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (chain, key) = (file("chain.pem", &pem.chain), file("key.pem", &pem.key));
    let cases = [
        (Identity::from_pem_files(folder.path().join("none"), &key), "none: No such file"),
        (Identity::from_pem_files(file("empty.pem", ""), &key), "empty.pem holds no certificate"),
        (Identity::from_pem_files(&key, &key), "key.pem holds no certificate"),
        (Identity::from_pem_files(&chain, &chain), "chain.pem holds no private key"),
        (
            Identity::from_pem_files(&chain, file("other.pem", &other.key)),
            "other.pem is not that of the certificate",
        ),
        (
            Identity::from_pem_files(file("cut.pem", &pem.chain[..200]), &key),
            "cut.pem cannot be understood",
        ),
        (
            Identity::from_pem(
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                pem.key.clone(),
            ),
            "the chain given in memory cannot be understood",
        ),
    ];
    for (identity, told) in cases {
        let error = identity.check().unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let none = Identity::from_pem_files("no/such/file", &key).check().unwrap_err();
    assert_eq!(none.kind(), io::ErrorKind::NotFound);
    let both = file("both.pem", &format!("{}{}", pem.chain, pem.key));
    let identity = Identity::from_pem_files(&both, &both);
    assert_eq!(identity.names().unwrap(), ["localhost"]);
    assert!(!format!("{identity:?}").contains("PRIVATE"));
    assert_eq!(Acceptor::builder().build().unwrap_err(), Error::NoIdentity);
    assert!(matches!(Roots::from_pem("x"), Err(Error::NoCertificate { .. })));
    assert!(Roots::system().is_ok_and(|roots| !roots.is_empty()));
}

/// A name that no certificate could hold is refused before anything is connected to.
#[test]
fn a_name_that_is_none_is_refused() {
    let connector = authority("one").client().build().unwrap();
    for name in ["", "a b", "localhost:443", "https://localhost"] {
        let error = connector.session(name).err().expect("no name");
        assert_eq!(error, Error::BadName { name: name.to_owned() });
    }
    assert!(connector.session("::1").is_ok() && connector.session("localhost").is_ok());
}
