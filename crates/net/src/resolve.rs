//! Names to addresses, beside the loop.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tautline_runtime::{offload, timer};

use crate::address::Address;
use crate::call::Call;
use crate::error::at;

/// The addresses of `host`, in the order that the system prefers, each with `port`. The
/// system's resolver runs on the runtime's pool of threads; after `within` it is waited
/// for no longer, though its thread is busy until it gives up itself.
///
/// The result is an error when there is no such name or no answer in time.
///
/// ```
/// # use std::time::Duration;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let found = runtime.block_on(tautline_net::resolve("localhost", 80, Duration::from_secs(5)))??;
/// assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn resolve(host: impl Into<String>, port: u16, within: Duration) -> Call<Vec<SocketAddr>> {
    let host = host.into();
    Call::new(async move {
        let asked = host.clone();
        let found = look_up(asked, port, within).await;
        found.map_err(at("resolve", host))
    })
}

async fn look_up(host: String, port: u16, within: Duration) -> io::Result<Vec<SocketAddr>> {
    let ask = offload(move || (host.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    let found = timer::timeout(within, ask).await???;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// The addresses behind what the user wrote; an IP address needs no resolver.
pub(crate) async fn addresses(address: Address, within: Duration) -> io::Result<Vec<SocketAddr>> {
    match address {
        Address::Socket(addr) => Ok(vec![addr]),
        Address::Name { host, port } => resolve(host, port, within).await,
    }
}
