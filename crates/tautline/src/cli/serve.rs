//! `tautline serve`: its arguments.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tautline_relay::RelayConfig;
use tautline_relay::endpoint::{Destination, Source};

use super::Request;
use super::relay::{ENDPOINTS, RunningArgs};

const AFTER: &str = "\
The page is at http://127.0.0.1:8080/ unless --listen says otherwise. Beside it: /metrics for Prometheus,
/healthz, /api/relay (the last report as JSON) and /live (the same over a WebSocket). POST /api/stop ends
the relay, with the header `Authorization: Bearer TOKEN`. Pages of other sites are refused (403).

Without --from and --to the built-in feed is shown.

Example:      tautline serve --from udp://0.0.0.0:5000 --to ws-listen://0.0.0.0:9000";

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER, after_long_help = format!("{AFTER}\n\n{ENDPOINTS}"))]
pub(super) struct ServeCommand {
    /// The address of the page; port 0 is any that is free. Who can reach it can read it.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// A name that the page is asked for by; give it again for each further one [default: the address,
    /// and localhost].
    #[arg(long = "host", value_name = "NAME", value_parser = host)]
    hosts: Vec<String>,
    /// Who knows what this file says may end the relay; it is made if it is not there
    /// [default: ~/.config/tautline/token].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the feed comes from.
    #[arg(long, value_name = "URL", default_value = "demo:", value_parser = |url: &str| url.parse::<Source>())]
    from: Source,
    /// Where it goes; give it again for each further destination [default: only to the page].
    #[arg(long, value_name = "URL", value_parser = |url: &str| url.parse::<Destination>())]
    to: Vec<Destination>,
    #[command(flatten)]
    running: RunningArgs,
}

/// What `serve` is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServeArgs {
    pub(crate) listen: SocketAddr,
    pub(crate) hosts: Vec<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) config: RelayConfig,
    pub(crate) json: bool,
}

impl From<ServeCommand> for Request {
    fn from(args: ServeCommand) -> Self {
        let ServeCommand { listen, hosts, token_file, from, to, running } = args;
        let json = running.json;
        let config = running.relay(from, to);
        Self::Serve(ServeArgs { listen, hosts, token_file, config, json })
    }
}

fn host(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if text.is_empty() || !text.bytes().all(is_name) {
        return Err("write a name without scheme and port, such as wall.example".to_owned());
    }
    Ok(text.to_owned())
}
