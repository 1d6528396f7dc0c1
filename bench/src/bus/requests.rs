//! Tautline's requests, in the default configuration and with other ways to wait.

use std::{io, marker::PhantomData};

use tautline_bus::{
    Local, ReceiveError, request,
    request::{Requests, Server},
};

use super::{
    ours::Mode,
    trips::{self, Exchange},
};
use crate::harness::Failure;

/// A client that asks and waits, a server that answers on the spot.
pub(super) struct Asked<W>(PhantomData<W>);

type Client = request::Client<u64, u64, Local>;

impl<W: Mode> Exchange for Asked<W> {
    type Client = Client;
    type Server = Serving<W>;

    fn open() -> io::Result<(Client, Serving<W>)> {
        let config = request::Config { wait: W::wait(), ..request::Config::default() };
        let requests = Requests::<u64, u64, Local>::new(config).map_err(io::Error::other)?;
        let client = requests.client().map_err(io::Error::other)?;
        let server = requests.server().map_err(io::Error::other)?;
        Ok((client, Serving(server, PhantomData)))
    }
}

impl trips::Client for Client {
    #[inline(always)]
    fn ask(&mut self, number: u64) -> Result<u64, Failure> {
        self.request(number).map_err(|error| io::Error::other(error.to_string()).into())
    }
}

/// The server, in that mode.
pub(super) struct Serving<W>(Server<u64, u64, Local>, PhantomData<W>);

impl<W: Mode> trips::Server for Serving<W> {
    #[inline(always)]
    fn serve(&mut self) -> Result<Option<u64>, Failure> {
        let mut asked = 0;
        let answer = |number| {
            asked = number;
            number
        };
        let served = if W::WAITS { self.0.serve(answer) } else { self.0.try_serve(answer) };
        match served {
            Ok(()) => Ok(Some(asked)),
            Err(ReceiveError::Empty | ReceiveError::Closed) => Ok(None),
            Err(error) => Err(io::Error::other(error).into()),
        }
    }
}
