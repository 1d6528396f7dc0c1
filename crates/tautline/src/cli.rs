//! The command line: arguments in, a checked request out.

use std::path::PathBuf;
use std::time::Duration;

use crate::notice::LogArgs;
use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Parser, Subcommand};
use tautline_relay::endpoint::{DemoFeed, Destination, Source};
use tautline_relay::{DemoConfig, DriverChoice, HostConfig, RelayConfig, WaitChoice, demo, units};

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
}

#[derive(Debug, Subcommand)]
enum BusCommand {
    /// All objects, with their sizes, the processes that take part, and what they carry.
    List {
        /// Those of another user, by its number: what they carry is told to its guests alone.
        #[arg(long, value_name = "UID", value_parser = user)]
        user: Option<u32>,
        /// One JSON array instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Who is attached, how much lies in each lane or ring, how fast it goes through, and what was
    /// dropped or lost. Nobody is disturbed.
    Stat(StatArgs),
    /// Print messages as they pass, from the next on, without taking them from anybody.
    #[command(after_help = TAP)]
    Tap(TapArgs),
    /// Clear the seats of users whose processes have ended, as whoever attaches, sends or waits does
    /// too. An object vanishes with its last user, so that there is nothing else to be removed; the
    /// living are not touched.
    Clean {
        /// Which object; `*` stands for any characters [default: all].
        #[arg(value_name = "NAMESPACE/NAME", value_parser = pattern)]
        name: Option<String>,
        /// One JSON array instead of lines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct StatArgs {
    /// Which object; `*` stands for any characters [default: all].
    #[arg(value_name = "NAMESPACE/NAME", value_parser = pattern)]
    pub(crate) name: Option<String>,
    /// Report again and again, so far apart; a number without a unit is of seconds [default: once].
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = seconds)]
    pub(crate) every: Option<Duration>,
    /// End after so many reports.
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// One JSON array a report.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct TapArgs {
    /// Which object.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = name)]
    pub(crate) name: String,
    /// End after so many messages.
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Print the bytes, whatever they mean.
    #[arg(long)]
    pub(crate) hex: bool,
    /// One JSON object a message.
    #[arg(long)]
    pub(crate) json: bool,
}

const TAP: &str = "\
Each line begins with the lane (the sender's seat; 0 where all share a ring) and the position of the
message. Channels, byte channels, broadcasts of both kinds and requests have messages to tap. What
is overwritten before it can be copied is counted as missed. From a lane whose sender hands over
more than half its capacity at once a message may come out that is not yet sent.";

#[derive(Debug, Subcommand)]
enum LogCommand {
    /// Print the lines that are left in the directory of a log, the oldest first, run after run.
    /// Nothing is changed, and the program that wrote them may still run.
    #[command(after_help = RECOVER)]
    Recover(RecoverArgs),
}

const RECOVER: &str = "\
Where the directory has several runs, a heading names each. With --json the keys run, pid and waiting
say of which run a line is, and whether the log's sinks had not written it.

Exit codes: 0 all was read (lines that were dropped are counted on standard error), 1 a part of it is
damaged, or cannot be read, which standard error names, 2 the command line cannot be understood.";

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct RecoverArgs {
    /// The directory that the log was configured with, or that of one run in it.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Only lines that the log's sinks had not written.
    #[arg(long)]
    pub(crate) waiting: bool,
    /// One JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = ENDPOINTS)]
struct RelayArgs {
    /// Where the feed comes from.
    #[arg(long, value_name = "URL", value_parser = |url: &str| url.parse::<Source>())]
    from: Source,
    /// Where it goes; give it again for each further destination.
    #[arg(long, value_name = "URL", required = true, value_parser = |url: &str| url.parse::<Destination>())]
    to: Vec<Destination>,
    /// End after this time [default: run until Ctrl-C or the end of the source].
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true, value_parser = run_time)]
    run_for: Option<Duration>,
    /// Packets that can be held at a time, over all queues together.
    #[arg(long, value_name = "N", default_value = "8192", value_parser = slots)]
    slots: usize,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", allow_hyphen_values = true, value_parser = run_time)]
    run_for: Duration,
    /// Subscribers, each over a socket of its own.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscribers: u32,
    /// Packets a second, such as 500 or 20k.
    #[arg(long, value_name = "RATE", default_value = "1k", value_parser = units::parse_rate)]
    rate: u64,
    /// Bytes a packet.
    #[arg(long, value_name = "SIZE", default_value = "1200", value_parser = packet_size)]
    size: usize,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct HostArgs {
    /// How to talk to the kernel: auto, uring or readiness.
    #[arg(long, value_name = "DRIVER", default_value = "auto", value_parser = |text: &str| text.parse::<DriverChoice>())]
    driver: DriverChoice,
    /// What to do when nothing is to do: spin, warm or sleep.
    #[arg(long, value_name = "MODE", default_value = "sleep", value_parser = |text: &str| text.parse::<WaitChoice>())]
    wait: WaitChoice,
    /// Pin the loop to this core.
    #[arg(long, value_name = "N", value_parser = core)]
    core: Option<usize>,
}

const ENDPOINTS: &str = "\
Sources:      udp://HOST:PORT  tcp://HOST:PORT  tcp-listen://HOST:PORT  unix://PATH
              unix-listen://PATH  shm://NAMESPACE/NAME  file:PATH  stdin:  demo:
Destinations: udp://HOST:PORT  tcp://HOST:PORT  tcp-listen://HOST:PORT  unix-listen://PATH
              shm://NAMESPACE/NAME  file:PATH  stdout:
Options:      ?framing=rfc4571|raw  ?queue=PACKETS,BYTES  ?subscribers=N  ?publishers=N
              ?buffer=BYTES  ?policy=drop-old|drop-new|disconnect|wait  ?size=BYTES  ?rate=N (demo:)
              ?capacity=BYTES (shm:, as its other users have it)
Each destination has queue=1024,4MiB and policy=drop-old unless its URL says otherwise; only
policy=wait loses nothing (not for udp:), and a loss under it gives exit code 1.
A Unix PATH may be an abstract name, which is no file: unix-listen://@feed

Example:      tautline relay --from udp://0.0.0.0:5000 --to 'tcp-listen://0.0.0.0:9000?queue=256'";

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) log: LogArgs,
}

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
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
    /// Clear the seats of the dead.
    BusClean {
        /// Which objects.
        name: Option<String>,
        /// As JSON.
        json: bool,
    },
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help or version was asked for: print this on standard output and succeed.
    Told(String),
    /// Bad input: print this line on standard error and exit with code 2.
    Wrong(String),
}

/// Reads the command line, program name first. No subcommand means `demo`.
pub(crate) fn parse(mut arguments: Vec<std::ffi::OsString>) -> Result<Asked, Refusal> {
    if is_bare(&arguments) {
        arguments.insert(arguments.len().min(1), "demo".into());
    }
    let Cli { command, log } = Cli::try_parse_from(arguments).map_err(|error| refusal(&error))?;
    let missing = || Refusal::Wrong("write relay, demo, doctor, log or bus".to_owned());
    Ok(Asked { request: command.map(request).ok_or_else(missing)?, log })
}

/// Whether no subcommand is named: options of the log may stand before it.
fn is_bare(arguments: &[std::ffi::OsString]) -> bool {
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

fn request(command: Command) -> Request {
    match command {
        Command::Relay(args) => {
            let RelayArgs { from, to, run_for, slots, host, json } = args;
            Request::Relay {
                config: RelayConfig { from, to, run_for, host: host.into(), slots },
                json,
            }
        }
        Command::Demo(args) => {
            let DemoArgs { run_for, subscribers, rate, size, host, json } = args;
            let feed = DemoFeed { rate, size };
            Request::Demo {
                config: DemoConfig { feed, subscribers, run_for, host: host.into() },
                json,
            }
        }
        Command::Doctor(args) => Request::Doctor { json: args.json },
        Command::Log { command: LogCommand::Recover(args) } => Request::LogRecover(args),
        Command::Bus { command } => of_bus(command),
    }
}

fn of_bus(command: Option<BusCommand>) -> Request {
    match command {
        None => Request::BusList { user: None, json: false },
        Some(BusCommand::List { user, json }) => Request::BusList { user, json },
        Some(BusCommand::Stat(args)) => Request::BusStat(args),
        Some(BusCommand::Tap(args)) => Request::BusTap(args),
        Some(BusCommand::Clean { name, json }) => Request::BusClean { name, json },
    }
}

impl From<HostArgs> for HostConfig {
    fn from(args: HostArgs) -> Self {
        Self { driver: args.driver, wait: args.wait, core: args.core, signals: true }
    }
}

fn run_time(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(Duration::ZERO) => Err("write more than zero, such as 10s".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// Seconds, or any other time with its unit.
fn seconds(text: &str) -> Result<Duration, String> {
    let all = 0.01..=86_400.0;
    match text.parse::<f64>().map(|seconds| (all.contains(&seconds), seconds)) {
        Ok((true, seconds)) => Ok(Duration::from_secs_f64(seconds)),
        Ok((false, _)) => Err("write 0.01 to 86400 seconds".to_owned()),
        Err(_) => run_time(text),
    }
}

/// A user, by its number.
fn user(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "write the number of a user, as id -u tells it".to_owned())
}

/// The name of an object of the bus.
fn name(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("only one object can be tapped: write NAMESPACE/NAME without a star".to_owned());
    }
    pattern(text)
}

/// The same, in which stars may stand. In front of another user's stands its number and a colon.
fn pattern(text: &str) -> Result<String, String> {
    let (user, path) = text.split_once(':').map_or((None, text), |(user, path)| (Some(user), path));
    let is_user = user.is_none_or(|user| user.parse::<u32>().is_ok());
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-*/".contains(c);
    // A star stands for the slash too.
    let slashes = path.matches('/').count();
    let is_path = slashes == 1 || slashes == 0 && path.contains('*');
    if !is_user || !is_path || !path.chars().all(allowed) {
        let why = "write NAMESPACE/NAME as tautline bus list shows it; * stands for any characters";
        return Err(why.to_owned());
    }
    Ok(text.to_owned())
}

fn core(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 0..=65_535, "as the core's number")
}

fn slots(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 64..=1 << 20, "packets")
}

fn packet_size(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), demo::MIN_SIZE..=65_535, "bytes")
}

fn ranged(
    value: Result<u64, units::UnitError>,
    range: std::ops::RangeInclusive<usize>,
    unit: &str,
) -> Result<usize, String> {
    let value = usize::try_from(value.map_err(|error| error.to_string())?).unwrap_or(usize::MAX);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("write {} to {} {unit}", range.start(), range.end()))
}

/// One line that names the argument and the remedy.
fn refusal(error: &clap::Error) -> Refusal {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        // As of `tautline log`, which is no command alone.
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Refusal::Told(error.to_string()),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => Refusal::Wrong(bad_value(error)),
        ErrorKind::MissingRequiredArgument => {
            let missing = context(error);
            // Of all commands with an argument that must be there one is of the bus, one of the log.
            let command = match missing.as_str() {
                missing if missing.contains("NAMESPACE/NAME") => "bus tap",
                missing if missing.contains("DIR") => "log recover",
                _ => "relay",
            };
            Refusal::Wrong(format!("missing {missing}; see tautline {command} --help"))
        }
        _ => Refusal::Wrong(first_line(error)),
    }
}

fn bad_value(error: &clap::Error) -> String {
    let argument = context(error);
    let argument = argument.split(' ').next().unwrap_or_default();
    let Some(cause) = std::error::Error::source(error) else { return first_line(error) };
    let cause = cause.to_string();
    // An argument may be given more than once: which one is meant has to show.
    match error.get(ContextKind::InvalidValue).map(|value| value.to_string()) {
        Some(value) if !cause.contains(&value) => format!("{argument}: {value}: {cause}"),
        _ => format!("{argument}: {cause}"),
    }
}

/// The arguments that the error is about.
fn context(error: &clap::Error) -> String {
    error.get(ContextKind::InvalidArg).map(|arg| arg.to_string()).unwrap_or_default()
}

/// The first line of clap's message, and where to read on.
fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    format!("{line}; see tautline --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Refusal> {
        parse(line.split_whitespace().map(Into::into).collect()).map(|asked| asked.request)
    }

    fn wrong(line: &str) -> String {
        match parsed(line) {
            Err(Refusal::Wrong(message)) => message,
            other => panic!("{line} gave {other:?}"),
        }
    }

    /// Proves that no arguments mean the demonstration with its documented defaults.
    #[test]
    fn no_arguments_mean_demo() {
        let Ok(Request::Demo { config, json: false }) = parsed("tautline") else {
            panic!("no demonstration")
        };
        assert_eq!((config.subscribers, config.run_for), (100, Duration::from_secs(10)));
        assert_eq!(config.feed, DemoFeed::default());
        assert!(matches!(parsed("tautline --json --for 2s"), Ok(Request::Demo { json: true, .. })));
    }

    /// Proves that all of a relay's arguments reach its configuration.
    #[test]
    fn relay_arguments_reach_the_configuration() {
        let line = "tautline relay --from udp://[::1]:5 --to stdout: --to file:a --for 1m \
                    --driver readiness --wait spin --core 1 --slots 100 --json";
        let Ok(Request::Relay { config, json: true }) = parsed(line) else { panic!("no relay") };
        assert_eq!((config.from.url.as_str(), config.to.len()), ("udp://[::1]:5", 2));
        assert_eq!((config.run_for, config.slots), (Some(Duration::from_secs(60)), 100));
        let host = HostConfig {
            driver: DriverChoice::Readiness,
            wait: WaitChoice::Spin,
            core: Some(1),
            signals: true,
        };
        assert_eq!(config.host, host);
    }

    /// Proves that each mistake is answered by one line with the argument and the remedy.
    #[test]
    fn mistakes_name_argument_and_remedy() {
        let cases = [
            ("tautline relay --from udp://x --to stdout:", "--from: ", "HOST:PORT"),
            ("tautline relay --from stdin: --to rtmp:x", "--to: ", "tcp-listen://"),
            ("tautline relay --from stdin:", "--to <URL>", "--help"),
            ("tautline relay", "--from <URL>", "--help"),
            (
                "tautline relay --from stdin: --to stdout: --driver iocp",
                "--driver: ",
                "auto, uring",
            ),
            ("tautline demo --core last", "--core: ", "decimal digits"),
            ("tautline demo --for soon", "--for: ", "10s"),
            ("tautline demo --for -1s", "--for: ", "10s"),
            ("tautline relay --from demo: --to stdout: --for -1s", "--for: ", "10s"),
            (
                "tautline relay --from demo: --to unix-listen://@a?subscribers=100000000",
                "--to: unix-listen://@a?subscribers=100000000: ",
                "1 to 1000000",
            ),
            (
                "tautline relay --from unix-listen://@a?publishers=1000001 --to stdout:",
                "--from: ",
                "1 to 1000000",
            ),
            ("tautline demo --for 0", "--for: ", "more than zero"),
            ("tautline demo --size 8", "--size: ", "32 to 65535"),
            ("tautline demo --subscribers 0", "--subscribers: ", "1..=100000"),
            ("tautline demo --colour red", "--colour", "--help"),
            ("tautline dome", "dome", "--help"),
            ("tautline demo --log loud", "--log: ", "trace, debug"),
            ("tautline --log-file a --log-rotate week", "--log-rotate: ", "hour or day"),
            ("tautline --log-file a --log-rotate 0", "--log-rotate: ", "more than 0 bytes"),
            ("tautline doctor --log-keep 0", "--log-keep: ", "1 or more"),
            ("tautline doctor --log-keep -1", "--log-keep: ", "1 or more"),
            ("tautline --log info dome", "dome", "--help"),
            ("tautline bus tap", "<NAMESPACE/NAME>", "tautline bus tap --help"),
            ("tautline bus tap prices", "<NAMESPACE/NAME>: prices: ", "NAMESPACE/NAME as"),
            ("tautline bus tap feeds/*", "<NAMESPACE/NAME>: feeds/*: ", "one object"),
            ("tautline bus tap a/b --count 0", "--count: ", "1.."),
            ("tautline bus tap me:a/b", "<NAMESPACE/NAME>: me:a/b: ", "NAMESPACE/NAME as"),
            ("tautline bus list --user me", "--user: me: ", "id -u"),
            ("tautline bus stat a/b/c", "[NAMESPACE/NAME]: a/b/c: ", "NAMESPACE/NAME as"),
            ("tautline bus stat --every -1", "--every: ", "0.01 to 86400"),
            ("tautline bus stat --every soon", "--every: ", "10s"),
            ("tautline bus clear", "clear", "--help"),
        ];
        for (line, argument, remedy) in cases {
            let message = wrong(line);
            assert!(message.contains(argument) && message.contains(remedy), "{line}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }

    /// Proves that options of the log may stand before the command as well as behind it.
    #[test]
    fn log_options_stand_anywhere() {
        for line in [
            "tautline --log info doctor --json",
            "tautline --log=info --log-json doctor --json",
            "tautline doctor --json --log info",
        ] {
            assert!(matches!(parsed(line), Ok(Request::Doctor { json: true })), "{line}");
        }
        for line in ["tautline --log info", "tautline --log info --json", "tautline --log-json"] {
            assert!(matches!(parsed(line), Ok(Request::Demo { .. })), "{line}");
        }
    }

    /// Proves that help is no error.
    #[test]
    fn help_is_told() {
        assert!(
            matches!(parsed("tautline log"), Err(Refusal::Told(text)) if text.contains("recover"))
        );
        assert!(
            matches!(parsed("tautline --help"), Err(Refusal::Told(text)) if text.contains("relay"))
        );
        assert!(
            matches!(parsed("tautline relay --help"), Err(Refusal::Told(text)) if text.contains("drop-old") && text.contains("unix-listen://@"))
        );
    }

    /// Proves that the argument definitions hold together.
    #[test]
    fn definitions_hold_together() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
