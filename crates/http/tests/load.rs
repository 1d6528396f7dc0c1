//! Many at once, and an end in their midst.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{echo, on_each_driver};
use tautline_http::{Client, Full, Limits, Request, Server, service_fn};
use tautline_runtime::{task, timer};

/// A server that ends under load answers every request that its service has begun, whole, and
/// refuses the others; nobody waits for ever. So do several connections of either protocol.
#[test]
fn an_end_under_load_loses_no_answer() {
    on_each_driver(|| async {
        let begun = Rc::new(Cell::new(0));
        let counted = begun.clone();
        let service = service_fn(move |request| {
            counted.set(counted.get() + 1);
            async move {
                timer::sleep(Duration::from_millis(3)).await?;
                Ok::<_, tautline_runtime::Error>(echo(request).await.unwrap_or_default())
            }
        });
        let limits = Limits { connections: 64, ..Limits::default() };
        let server = Server::new().limits(limits).listen("127.0.0.1:0", service).unwrap();
        let url = format!("http://{}/load", server.local_addr());
        let asking: Vec<_> = (0..40)
            .map(|n| {
                let (client, url) = (Client::new().prior_knowledge(n % 2 == 0), url.clone());
                let sent = vec![n as u8; 1000 * n];
                let ask = async move {
                    let mut whole = 0;
                    for _ in 0..10_000 {
                        let request = Request::post(&url).body(Full::from(sent.clone())).unwrap();
                        let Ok(answer) = client.request(request).await else { break };
                        let body = answer.into_body().bytes().await.unwrap();
                        assert_eq!(body, [b"POST /load\n", &sent[..]].concat());
                        whole += 1;
                    }
                    whole
                };
                task::spawn(ask).unwrap()
            })
            .collect();
        while begun.get() < 400 {
            timer::sleep(Duration::from_millis(1)).await.unwrap();
        }
        assert!(server.shutdown(Duration::from_secs(10)).await, "something was cut off");
        let mut whole = 0;
        for asked in asking {
            whole += asked.await.unwrap();
        }
        assert_eq!(whole, begun.get(), "answers that were read, requests that were begun");
    });
}
