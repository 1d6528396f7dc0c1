//! The command line: arguments in, a checked request out.
//!
//! | file | what it does |
//! | --- | --- |
//! | `relay` | the arguments of `relay`, `demo` and `doctor` |
//! | `log`, `bus`, `mcast`, `serve`, `ws` | those of the command of that name |
//! | `market` | those of `exchange` and `gateway` |
//! | `values` | what arguments of several commands have as value |
//! | `refusal` | one line for a command line that cannot be understood |

mod bus;
mod log;
mod market;
mod mcast;
mod refusal;
mod relay;
mod serve;
#[cfg(test)]
mod tests;
mod values;
mod ws;

pub(crate) use self::bus::{StatArgs, TapArgs};
pub(crate) use self::log::RecoverArgs;
pub(crate) use self::mcast::{DumpArgs, JoinArgs, Origin, RateArgs, RecvArgs, SendArgs};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::serve::ServeArgs;
pub(crate) use self::ws::{BenchArgs, ConnectArgs, EchoArgs, ReachArgs};

use std::ffi::OsString;

use clap::{Parser, Subcommand};
use tautline_market::live::{ExchangeConfig, GatewayConfig};
use tautline_relay::{DemoConfig, RelayConfig};

use self::bus::BusCommand;
use self::log::LogCommand;
use self::market::{ExchangeArgs, GatewayArgs};
use self::mcast::McastCommand;
use self::relay::{DemoArgs, DoctorArgs, RelayArgs};
use self::serve::ServeCommand;
use self::ws::WsCommand;
use crate::notice::LogArgs;

/// Moves live data from where it arises to everyone who needs it.
#[derive(Debug, Parser)]
#[command(name = "tautline", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    log: LogArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Relay one feed to many destinations.
    Relay(RelayArgs),
    /// Relay a built-in feed to checking subscribers over loopback (the default).
    Demo(DemoArgs),
    /// Relay one feed, and show on a page how it stands.
    Serve(ServeCommand),
    /// Tell what this machine grants, with the remedy for what it does not.
    Doctor(DoctorArgs),
    /// Tell what is in the log of a program that was killed.
    Log {
        #[command(subcommand)]
        command: LogCommand,
    },
    /// Tell what processes of this user share by the message bus (list, if nothing is said).
    Bus {
        #[command(subcommand)]
        command: Option<BusCommand>,
    },
    /// See what comes to multicast groups, send to them, and read captures.
    Mcast {
        #[command(subcommand)]
        command: McastCommand,
    },
    /// Talk to WebSocket servers, be one, and load one.
    Ws {
        #[command(subcommand)]
        command: WsCommand,
    },
    /// Simulate an exchange: order books on two multicast lines that lose packets.
    Exchange(ExchangeArgs),
    /// Build the books of an exchange from its lines, repair what they lose, and publish quotes.
    Gateway(GatewayArgs),
}

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) log: LogArgs,
}

/// What the user asked for.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    /// Run a relay.
    Relay {
        /// What to relay.
        config: RelayConfig,
        /// Whether to speak JSON.
        json: bool,
    },
    /// Run the demonstration.
    Demo {
        /// What to demonstrate.
        config: DemoConfig,
        /// Whether to speak JSON.
        json: bool,
    },
    /// Run a relay and its page.
    Serve(ServeArgs),
    /// Examine the machine.
    Doctor {
        /// Whether to speak JSON.
        json: bool,
    },
    /// Print what is left of a log.
    LogRecover(RecoverArgs),
    /// Tell what is on the bus.
    BusList {
        /// Of another user.
        user: Option<u32>,
        /// As JSON.
        json: bool,
    },
    /// Tell how it is used.
    BusStat(StatArgs),
    /// Print what passes.
    BusTap(TapArgs),
    /// Print what comes to groups.
    McastRecv(RecvArgs),
    /// Send to a group.
    McastSend(SendArgs),
    /// Report how much comes to groups.
    McastRate(RateArgs),
    /// Print a capture.
    McastDump(DumpArgs),
    /// Send everything back.
    WsEcho(EchoArgs),
    /// Talk to a server.
    WsConnect(ConnectArgs),
    /// Load a server.
    WsBench(BenchArgs),
    /// Run a simulated exchange.
    Exchange {
        /// Which one.
        config: ExchangeConfig,
        /// Whether to speak JSON.
        json: bool,
    },
    /// Run a gateway.
    Gateway {
        /// Which one.
        config: GatewayConfig,
        /// Whether to speak JSON.
        json: bool,
    },
    /// Clear the seats of the dead.
    BusClean {
        /// Which objects.
        name: Option<String>,
        /// As JSON.
        json: bool,
    },
}

/// Reads the command line, program name first. No subcommand means `demo`.
pub(crate) fn parse(mut arguments: Vec<OsString>) -> Result<Asked, Refusal> {
    join_negatives(&mut arguments);
    if is_bare(&arguments) {
        arguments.insert(arguments.len().min(1), "demo".into());
    }
    let Cli { command, log } = Cli::try_parse_from(arguments)?;
    let missing = || {
        Refusal::Wrong(
            "write relay, demo, doctor, log, bus, mcast, ws, exchange or gateway".to_owned(),
        )
    };
    Ok(Asked { request: request(command.ok_or_else(missing)?)?, log })
}

/// Takes what begins like a negative number behind an option for its value, and not for an option of
/// its own: what may be written instead is for that option to say.
fn join_negatives(arguments: &mut Vec<OsString>) {
    let is_negative = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next() == Some(b'-') && bytes.next().is_some_and(|b| b.is_ascii_digit() || b == b'.')
    };
    for at in (2..arguments.len()).rev() {
        let (Some(option), Some(value)) = (arguments[at - 1].to_str(), arguments[at].to_str())
        else {
            continue;
        };
        if option.len() > 2
            && option.starts_with("--")
            && !option.contains('=')
            && is_negative(value)
        {
            arguments[at - 1] = format!("{option}={value}").into();
            arguments.remove(at);
        }
    }
}

/// Whether no subcommand is named: options of the log may stand before it.
fn is_bare(arguments: &[OsString]) -> bool {
    let mut rest = arguments.iter().skip(1).map(|argument| argument.to_string_lossy());
    while let Some(argument) = rest.next() {
        match &*argument {
            "--log-json" => {}
            "--log" | "--log-file" | "--log-rotate" | "--log-keep" | "--log-dir" => {
                rest.next();
            }
            "-h" | "--help" | "-V" | "--version" => return false,
            other if other.starts_with("--log") && other.contains('=') => {}
            other => return other.starts_with('-'),
        }
    }
    true
}

fn request(command: Command) -> Result<Request, Refusal> {
    Ok(match command {
        Command::Relay(args) => args.into(),
        Command::Demo(args) => args.into(),
        Command::Serve(args) => args.into(),
        Command::Doctor(args) => args.into(),
        Command::Log { command: LogCommand::Recover(args) } => Request::LogRecover(args),
        Command::Bus { command } => bus::request(command),
        Command::Mcast { command } => return mcast::request(command),
        Command::Ws { command } => return ws::request(command),
        Command::Exchange(args) => return market::exchange(args, seconds_since_1970()),
        Command::Gateway(args) => return market::gateway(args),
    })
}

/// What sessions are named after.
fn seconds_since_1970() -> u32 {
    u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX)
}
