//! What Autobahn's suite talks to, in both roles: `autobahn server ADDR` sends everything back;
//! `autobahn client URL AGENT` asks a fuzzing server for each of its cases.

use std::io;
use std::time::Duration;

use tautline_runtime::Runtime;
use tautline_websocket::deflate::Config;
use tautline_websocket::read::{Event, Limits};
use tautline_websocket::{Client, Options, Sender, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = Runtime::new(Default::default())?;
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", addr] => {
            let addr =
                Server::with(options()).listen(addr, |socket| socket.on_event(echo).map(drop))?;
            println!("listening on {addr}");
            Ok(runtime.run()?)
        }
        ["client", url, agent] => Ok(runtime.block_on(all_cases(url, agent))??),
        _ => Err("usage: autobahn server ADDR | autobahn client URL AGENT".into()),
    }
}

/// The suite's messages have up to 16 MiB in 65,536 fragments.
fn options() -> Options {
    let limits = Limits { max_message: 64 << 20, max_frame: 64 << 20, ..Limits::default() };
    let deflate = Some(Config::default());
    Options { limits, deflate, close_within: Duration::from_secs(2), ..Options::default() }
}

fn echo(sender: &Sender, event: Event<'_>) -> io::Result<()> {
    match event {
        Event::Text(text) => sender.send(text)?,
        Event::Binary(bytes) => sender.send(bytes)?,
        Event::Part(part) => sender.send_part(part.kind, part.bytes, part.last)?,
        Event::Ping(_) | Event::Pong(_) | Event::Close(_) => {}
    }
    Ok(())
}

async fn all_cases(url: &str, agent: &str) -> io::Result<()> {
    let client = Client::with(options());
    let mut count = client.connect(&format!("{url}/getCaseCount")).await?;
    let Some(Event::Text(text)) = count.read().await? else {
        return Err(io::Error::other("no count of cases"));
    };
    let cases: u32 = text.parse().map_err(io::Error::other)?;
    for case in 1..=cases {
        let mut socket =
            client.connect(&format!("{url}/runCase?case={case}&agent={agent}")).await?;
        let sender = socket.sender();
        // How a case ends is for the suite to judge.
        while let Ok(Some(event)) = socket.read().await {
            if echo(&sender, event).is_err() {
                break;
            }
        }
    }
    println!("{cases} cases played");
    let mut end = client.connect(&format!("{url}/updateReports?agent={agent}")).await?;
    while let Ok(Some(_)) = end.read().await {}
    Ok(())
}
