//! The commands and their arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::attest::cli::AttestCommand;
use crate::storage::cli::{
    BackendArgs, CoderArgs, CredentialsCommand, GatewayArgs, StoreArgs, UpArgs,
};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use sc_program::{OBLIVIOUS_MATCHES_MAX, THREADS_MAX};

/// Publications in one batch, at most, if nothing else is asked for.
pub(crate) const BATCH_DEFAULT: u32 = 512;

/// The heading of what more than one command takes, behind each command's own.
pub(crate) const SHARED: &str = "Options of every command";

/// Routing and storage in clouds that may not see your data.
///
/// Settings come from a TOML file, from the environment and from arguments, in rising order.
#[derive(Debug, Parser)]
#[command(name = "securecloud", version, max_term_width = 110)]
pub(crate) struct Cli {
    /// The configuration file: a table for each command, e.g. `[scbr]`, with its long arguments as keys
    #[arg(long, value_name = "FILE", global = true, env = "SECURECLOUD_CONFIG", help_heading = SHARED)]
    pub(crate) config: Option<PathBuf>,
    /// Prints the settings in force, as a configuration file, and ends
    #[arg(long, global = true, help_heading = SHARED)]
    pub(crate) print_config: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The router: carries sealed publications to the trusted program and its notices to consumers
    Scbr(Box<ScbrArgs>),
    /// The publisher: owns a domain, admits consumers, publishes a file of publications
    #[command(visible_alias = "publish")]
    Source(Box<SourceArgs>),
    /// The subscriber: registers a file of subscriptions and prints what matches
    #[command(visible_alias = "subscribe")]
    Consumer(Box<ConsumerArgs>),
    /// Everything on this machine: store, coder, gateway, router and six local storage locations
    Up(UpArgs),
    /// The store: keeps sealed objects at storage locations, for clients whose data it cannot read
    Store(Box<StoreArgs>),
    /// A coder: the trusted program that seals and codes, for stores elsewhere
    Coder(CoderArgs),
    /// A storage location for stores elsewhere
    Backend(BackendArgs),
    /// The gateway: the owner's edge, with REST and the explorer in front of a store
    Gateway(Box<GatewayArgs>),
    /// Credentials: what an owner gives to clients that use the store without a gateway
    Credentials {
        #[command(subcommand)]
        command: CredentialsCommand,
    },
    /// Evidence: what protects the trusted programs, shown, judged by a policy, and acted on
    Attest {
        #[command(subcommand)]
        command: AttestCommand,
    },
    /// Matches two files offline: no keys, no network
    Match(MatchArgs),
    /// Objects: stored, read, listed, deleted, and what keeps them administered
    Kv(Box<crate::kv::cli::KvArgs>),
    /// Demonstrations on real data
    Demo {
        #[command(subcommand)]
        demo: Demo,
    },
    /// Makes keys
    Keygen(KeygenArgs),
    /// Prints a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Prints the manual page
    Man,
}

impl Command {
    /// Lets an address to listen at take the place of those to connect to.
    pub(crate) fn forget_connections(&mut self) {
        match self {
            Self::Scbr(arguments) => arguments.connect.clear(),
            Self::Source(arguments) => arguments.connect = None,
            Self::Consumer(arguments) => arguments.connect = None,
            _ => {}
        }
    }
}

impl ScbrArgs {
    /// A router that listens at `address`, and is otherwise as it is without arguments.
    pub(crate) fn listening(address: String) -> Self {
        use clap::FromArgMatches as _;
        let command = Self::augment_args(clap::Command::new("scbr")).no_binary_name(true);
        let matches = command.get_matches_from(["--address", &address]);
        Self::from_arg_matches(&matches).expect("an address is all that a router may need")
    }
}

fn parse_oblivious_matches(text: &str) -> Result<usize, String> {
    parse_count(text, OBLIVIOUS_MATCHES_MAX)
}

fn parse_threads(text: &str) -> Result<usize, String> {
    parse_count(text, THREADS_MAX)
}

fn parse_count(text: &str, max: usize) -> Result<usize, String> {
    let count = text.parse().ok();
    let count = count.filter(|count| (1..=max).contains(count));
    count.ok_or_else(|| format!("expected a number from 1 to {max}"))
}

/// How much a role tells.
#[derive(Debug, Clone, Args)]
pub(crate) struct Verbosity {
    /// Tells nothing but errors
    #[arg(short = 's', long, conflicts_with = "verbose")]
    pub(crate) silent: bool,
    /// Tells more; twice: everything
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Prints events as JSON, one a line, on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What every role of routing needs of its link.
#[derive(Debug, Clone, Args)]
pub(crate) struct LinkArgs {
    /// Link keys (`securecloud keygen --link`), which tcp beyond loopback needs
    #[arg(long, value_name = "FILE")]
    pub(crate) link_keys: Option<PathBuf>,
    /// The largest message that is accepted, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1024..=64 << 20))]
    pub(crate) max_message: u64,
    /// Runs unencrypted, as D4.2's plain mode does, for measurement only; all three roles have to agree
    #[arg(long)]
    pub(crate) plain: bool,
    /// Gives counters to Prometheus at this port of this machine
    #[arg(long, value_name = "127.0.0.1:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct ScbrArgs {
    /// Where to listen
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5555",
        env = "SECURECLOUD_SCBR_ADDRESS"
    )]
    pub(crate) address: String,
    /// Where to connect to listening publishers and subscribers; may be repeated
    #[arg(
        short,
        long,
        value_name = "host:port",
        env = "SECURECLOUD_SCBR_CONNECT",
        value_delimiter = ','
    )]
    pub(crate) connect: Vec<String>,
    /// Serves the owner of this public key only; may be repeated
    #[arg(long, value_name = "KEY")]
    pub(crate) owner: Vec<PathBuf>,
    /// Where notices wait for consumers that are slow or away: a folder of its own for each router, or `none`; without it one in the
    /// user's state folder, named after the address
    #[arg(long, value_name = "DIR|none", env = "SECURECLOUD_SCBR_SPILL")]
    pub(crate) spill: Option<PathBuf>,
    /// How much of one domain may wait there, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 30)]
    pub(crate) spill_quota: u64,
    /// Where the trusted program runs
    #[arg(long, value_enum, default_value_t = PlatformName::Process, env = "SECURECLOUD_SCBR_PLATFORM")]
    pub(crate) platform: PlatformName,
    /// The trusted program's binary, if it is not beside this one
    #[arg(long, value_name = "FILE", env = "SECURECLOUD_SCBR_PROGRAM")]
    pub(crate) program: Option<PathBuf>,
    /// The vector instructions that it matches with; the fastest that this processor has, if not given
    #[arg(
        long,
        value_name = "portable|avx2|avx512",
        env = "SECURECLOUD_SCBR_KERNEL"
    )]
    pub(crate) kernel: Option<String>,
    /// Threads that it matches with; as many as this machine runs at once, if not given
    #[arg(long, value_name = "N", env = "SECURECLOUD_SCBR_THREADS", value_parser = parse_threads)]
    pub(crate) threads: Option<usize>,
    /// Matches so that the memory which is touched does not show what matches; costs a full pass for up to eight publications
    #[arg(long, env = "SECURECLOUD_SCBR_OBLIVIOUS", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) oblivious: bool,
    /// With --oblivious: to how many matches the answer to a publication is padded, 64 if not given; one that matches more takes another
    /// pass, which shows
    #[arg(long, value_name = "N", env = "SECURECLOUD_SCBR_OBLIVIOUS_MATCHES", value_parser = parse_oblivious_matches)]
    pub(crate) oblivious_matches: Option<usize>,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlatformName {
    /// A child process that confines itself: the simulation, without hardware protection
    Process,
    /// An SGX enclave under Gramine; the program's signed manifest stands beside its binary
    GramineSgx,
    /// This machine, which is a virtual machine of TDX or SEV-SNP
    Vm,
    /// In the host's own process: for tests and measurement, with no claim at all
    Inline,
}

#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Where to listen for a router
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5557",
        env = "SECURECLOUD_SOURCE_ADDRESS"
    )]
    pub(crate) address: String,
    /// Where to connect to a listening router
    #[arg(
        short,
        long,
        value_name = "host:port",
        env = "SECURECLOUD_SOURCE_CONNECT"
    )]
    pub(crate) connect: Option<String>,
    /// The file of publications; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The private key that owns the domain
    #[arg(short, long, value_name = "KEY", env = "SECURECLOUD_SOURCE_KEY")]
    pub(crate) key: PathBuf,
    /// Publishes when the files of so many consumers are admitted and indexed
    #[arg(long = "await", value_name = "N", default_value_t = 1)]
    pub(crate) await_consumers: usize,
    /// Ends when everything is published, instead of staying for leases
    #[arg(long)]
    pub(crate) once: bool,
    /// Whom to admit: a file of fingerprints, one a line (read again on SIGHUP), or `all`
    #[arg(long, value_name = "FILE|all", env = "SECURECLOUD_SOURCE_ADMIT")]
    pub(crate) admit: Option<String>,
    /// Which trusted programs get the keys: a policy file
    #[arg(long, value_name = "FILE", env = "SECURECLOUD_SOURCE_POLICY")]
    pub(crate) policy: Option<PathBuf>,
    /// Accepts simulated evidence from the platforms that the policy names
    #[arg(long)]
    pub(crate) allow_simulation: bool,
    /// Subscriptions that one consumer may hold
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) quota: usize,
    /// How long subscriptions live without renewal, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) lease: u64,
    /// What happens to a consumer that does not keep up
    #[arg(long, value_enum, default_value_t = Slow::Spill)]
    pub(crate) slow: Slow,
    /// For how long, at most, consumers may have notices kept while they are away
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(crate) retention_max: Duration,
    /// Who may publish in this domain besides its owner: a file of fingerprints, one a line, read again on SIGHUP
    #[arg(
        long,
        value_name = "FILE",
        env = "SECURECLOUD_SOURCE_GRANT",
        conflicts_with = "domain"
    )]
    pub(crate) grant: Option<PathBuf>,
    /// Publishes in the domain of the owner of this public key, who has to grant it
    #[arg(long, value_name = "OWNER_KEY", env = "SECURECLOUD_SOURCE_DOMAIN", conflicts_with_all = ["admit", "policy", "allow_simulation"])]
    pub(crate) domain: Option<PathBuf>,
    /// Publishes all of the input, even if an earlier start was killed in its middle: without it that one is taken up again
    #[arg(long)]
    pub(crate) anew: bool,
    /// Publications in one batch, at most
    #[arg(long, value_name = "N", default_value_t = BATCH_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) batch: u32,
    /// How long the first publication of a batch waits for others, in microseconds
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 1000)]
    pub(crate) linger: u64,
    /// Publishes the file so many times over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,
    /// Publishes at most so many publications a second, as fast as it can if not given; such an input is not taken up in its middle
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// Gives each publication a payload of so many bytes instead of its own line
    #[arg(long, value_name = "BYTES")]
    pub(crate) payload_bytes: Option<usize>,
    /// Begins each such payload with the time at which it is published, in nanoseconds since 1970: with `received_ns` in the
    /// events of a consumer on the same machine, the delay
    #[arg(long)]
    pub(crate) stamp: bool,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Slow {
    /// Lets the router keep on its disk what waits for it
    Spill,
    /// Holds this domain's publishers back until it has caught up
    Block,
    /// Disconnects it
    Disconnect,
}

#[derive(Debug, Args)]
pub(crate) struct ConsumerArgs {
    /// Where to listen for a router
    #[arg(
        short,
        long,
        value_name = "host:port",
        default_value = "*:5558",
        env = "SECURECLOUD_CONSUMER_ADDRESS"
    )]
    pub(crate) address: String,
    /// Where to connect to a listening router
    #[arg(
        short,
        long,
        value_name = "host:port",
        env = "SECURECLOUD_CONSUMER_CONNECT"
    )]
    pub(crate) connect: Option<String>,
    /// The file of subscriptions; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// The public key of the domain's owner
    #[arg(short, long, value_name = "KEY", env = "SECURECLOUD_CONSUMER_KEY")]
    pub(crate) key: PathBuf,
    /// This consumer's own identity, made at first use; beside the key if not given
    #[arg(long, value_name = "FILE", env = "SECURECLOUD_CONSUMER_IDENTITY")]
    pub(crate) identity: Option<PathBuf>,
    /// Ends after so many deliveries
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Has notices kept for so long while this consumer is away, and goes on where it was
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) durable: Option<Duration>,
    /// Counts deliveries and does not print them
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Args)]
pub(crate) struct MatchArgs {
    /// The file of subscriptions; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) subscriptions: PathBuf,
    /// The file of publications; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) publications: PathBuf,
    /// Prints the number of matches alone
    #[arg(long)]
    pub(crate) count: bool,
    /// Prints JSON: a list of ids a line, or the number
    #[arg(long)]
    pub(crate) json: bool,
    /// The vector instructions to match with; the fastest that this processor has, if not given
    #[arg(long, value_name = "portable|avx2|avx512")]
    pub(crate) kernel: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// Routing: a source, a router and a consumer on real quotes, as processes, explained
    Routing {
        /// Runs unencrypted
        #[arg(long)]
        plain: bool,
        /// Prints the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Storage: real data under each policy, two of six locations lost, everything read back, explained
    Storage {
        /// Prints the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Writes the files that D4.2's own three commands need
    Files {
        /// Into this folder, which is made if it is not there
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Writes NAME.prv (mode 0600) and NAME.pub; with --link, NAME.link
    #[arg(value_name = "NAME", default_value = "key")]
    pub(crate) name: PathBuf,
    /// An RSA key of so many bits, as in D4.2
    #[arg(long, value_name = "BITS", conflicts_with_all = ["link", "public_from"])]
    pub(crate) rsa: Option<usize>,
    /// Link keys: what tcp beyond loopback is encrypted with
    #[arg(long, conflicts_with = "public_from")]
    pub(crate) link: bool,
    /// Writes NAME.pub of an existing private key
    #[arg(long, value_name = "PRIVATE_KEY")]
    pub(crate) public_from: Option<PathBuf>,
    /// Replaces files that are there
    #[arg(long)]
    pub(crate) force: bool,
}
