//! How a server is reached.

use tautline_net::tls::{Connector, Roots};
use tautline_websocket::deflate::Config;
use tautline_websocket::{Client, Options};

use super::Error;
use crate::cli::ReachArgs;

/// A client with these options, which trusts whom the arguments say.
///
/// # Errors
/// [`Error::Tls`].
pub(super) fn client(reach: &ReachArgs, options: Options) -> Result<Client, Error> {
    let client = Client::with(Options { deflate: reach.deflate.then(Config::default), ..options });
    let (argument, builder) = match &reach.ca {
        Some(file) => {
            let roots = Roots::from_pem_file(file).map_err(Error::tls("--ca"))?;
            ("--ca", Connector::builder().roots(roots))
        }
        None if reach.insecure => {
            ("--insecure", Connector::builder().dangerous_accept_any_certificate())
        }
        None => return Ok(client),
    };
    Ok(client.tls(builder.build().map_err(Error::tls(argument))?))
}
