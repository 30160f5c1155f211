//! Arguments of `securecloud kv`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::name::{ObjectName, Prefix};
use super::quantity::{ByteRange, Pair, parse_bytes};
use crate::cli::{SHARED, Verbosity};

/// Objects that are moved at once where nothing else is asked for.
const JOBS_DEFAULT: u8 = 4;

#[derive(Debug, Args)]
pub(crate) struct KvArgs {
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Prints results as JSON, one a line, on standard output
    #[arg(long, global = true, help_heading = SHARED)]
    pub(crate) json: bool,
    /// Tells nothing but results and errors
    #[arg(short = 's', long, global = true, conflicts_with = "verbose", help_heading = SHARED)]
    pub(crate) silent: bool,
    /// Tells more; twice: everything
    #[arg(short = 'v', long, global = true, action = ArgAction::Count, help_heading = SHARED)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Option<KvCommand>,
}

impl KvArgs {
    pub(crate) fn verbosity(&self) -> Verbosity {
        Verbosity {
            silent: self.silent,
            verbose: self.verbose,
            json: self.json,
        }
    }
}

/// Where the store is, and what opens it.
#[derive(Debug, Args)]
#[command(next_help_heading = SHARED)]
pub(crate) struct ConnectionArgs {
    /// A gateway at http:// or https://; or, with --key, the store itself at tcp://host:port or ipc://path
    #[arg(long, value_name = "URL", global = true, env = "SECURECLOUD_URL")]
    pub(crate) url: Option<String>,
    /// The file that holds the token for a gateway
    #[arg(long, value_name = "FILE", global = true, env = "SECURECLOUD_TOKEN")]
    pub(crate) token: Option<PathBuf>,
    /// Trusts the certificates in this file (PEM) instead of the system's: for a gateway that vouches for itself
    #[arg(long, value_name = "FILE", global = true, env = "SECURECLOUD_CA")]
    pub(crate) ca: Option<PathBuf>,
    /// The file of credentials with which the store itself is spoken to, sealed, with no gateway between
    #[arg(long, value_name = "FILE", global = true, env = "SECURECLOUD_KV_KEY")]
    pub(crate) key: Option<PathBuf>,
    /// Link keys (`securecloud keygen --link`), which tcp:// beyond loopback needs
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) link_keys: Option<PathBuf>,
    /// Sends token and content over http:// beyond this machine, where everybody on the way reads them
    #[arg(long, global = true)]
    pub(crate) plain_http: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Datastores: where objects are
    Datastore {
        #[command(subcommand)]
        command: DatastoreCommand,
    },
    /// Stores a file, a folder with all that is in it, or standard input
    Put(Box<PutArgs>),
    /// Reads an object
    Get(GetArgs),
    /// Lists objects
    Ls(LsArgs),
    /// Deletes an object, or with -r all whose keys begin so; one that is not there is an error, unless -f
    Rm(RmArgs),
    /// Shows an object, and where each of its fragments lies
    Stat(StatArgs),
    /// Makes a datastore, or a prefix of one, what a folder is; or the other way round
    Sync(SyncArgs),
    /// Policies: how objects are coded, and where fragments may lie
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Locations: where fragments lie
    Location {
        #[command(subcommand)]
        command: LocationCommand,
    },
    /// Makes what writes had to leave out, and what lay at lost locations
    Repair(WorkArgs),
    /// Reads and verifies fragments where they lie, and makes those again that are damaged
    Scrub {
        /// The share of what is stored to look at, above 0 and up to 1
        #[arg(long, value_name = "SHARE", value_parser = parse_share)]
        sample: Option<f64>,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Moves objects to another policy, while they can be read
    Migrate {
        /// A datastore, or what keys begin with; a key alone with --one
        #[arg(value_name = "NAME[/PREFIX]")]
        target: Prefix,
        /// The policy that they get
        #[arg(value_name = "POLICY")]
        policy: String,
        /// Moves the object with this very key, and none whose key only begins so
        #[arg(long)]
        one: bool,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Moves what nobody reads as its policy says, and back what is read again; which happens every day by itself, too
    Tier(WorkArgs),
    /// Deletes what lies at locations and belongs to nothing; which happens every week by itself, too
    Gc {
        /// Also deletes fragments of which the last rebuild found no version. Give it only if no location is missing from `kv location ls`, and
        /// nothing at lost ones is still wanted
        #[arg(long)]
        strays: bool,
        #[command(flatten)]
        wait: WaitArgs,
    },
    /// Jobs: repair, scrub, drain, migration, tiering, gc and returns of locations that go on, or have ended
    Job {
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Tokens: what a gateway's users show
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Uploads in parts that are under way
    Upload {
        #[command(subcommand)]
        command: UploadCommand,
    },
    /// Tells what is used
    Usage,
    /// The catalogue: what the store knows of everything
    Catalogue {
        #[command(subcommand)]
        command: CatalogueCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// Copies the catalogue of a folder to a file, also while the store runs, and its hash to FILE.sha256
    Backup {
        /// The copy, which must not be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        place: CataloguePlace,
    },
    /// Puts a copy in the place of a catalogue that is lost; the next start then looks through the locations for what came after it
    Restore {
        /// The copy
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Its hash, if FILE.sha256 is not there
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        #[command(flatten)]
        place: CataloguePlace,
    },
    /// Has the running store make the catalogue again of what lies at the locations: it adds what is missing, and takes away what was deleted
    Rebuild,
}

/// Whose catalogue.
#[derive(Debug, Args)]
pub(crate) struct CataloguePlace {
    /// The folder of `securecloud up` or `store`; the default one of `up`, if not given
    #[arg(long, value_name = "DIR", env = "SECURECLOUD_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// The catalogue, if it is not DIR/catalogue.db
    #[arg(
        long,
        value_name = "FILE|URL",
        env = "SECURECLOUD_CATALOGUE",
        hide_env_values = true
    )]
    pub(crate) catalogue: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatastoreCommand {
    /// Makes a datastore
    Create {
        /// 1 to 63 of a-z, 0-9, -, _ and ., the first a letter or digit
        name: String,
        /// The policy of objects that name none
        #[arg(long, value_name = "POLICY", default_value = "hot")]
        policy: String,
        /// Keeps older versions
        #[arg(long)]
        versioning: bool,
        /// How much content it may hold, e.g. 10GiB; any amount, if not given
        #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
        quota: Option<u64>,
        /// A tag to search by; the store then sees which objects share a value. May be repeated
        #[arg(long, value_name = "TAG")]
        index_tag: Vec<String>,
    },
    /// Lists the datastores
    Ls,
    /// Changes a datastore; what is not named stays
    Set {
        /// The datastore
        name: String,
        /// The policy of objects that are stored from now on
        #[arg(long, value_name = "POLICY")]
        policy: Option<String>,
        /// Whether older versions are kept from now on
        #[arg(long, value_enum, value_name = "on|off")]
        versioning: Option<Switch>,
        /// How much content it may hold; 0: any amount
        #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
        quota: Option<u64>,
    },
    /// Deletes a datastore that is empty
    Rm {
        /// The datastore
        name: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// What to store: a file, a folder, or `-` for standard input
    #[arg(value_name = "FILE|DIR|-")]
    pub(crate) source: PathBuf,
    /// The object's name; of a folder what the names of its files begin with. A file for NAME or NAME/PREFIX/ keeps its own name there
    #[arg(value_name = "NAME/KEY")]
    pub(crate) target: Prefix,
    /// The storage policy, instead of the datastore's
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) policy: String,
    /// The media type
    #[arg(
        long,
        value_name = "TYPE",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) content_type: String,
    /// Metadata, sealed like the content; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) meta: Vec<Pair>,
    /// A tag, sealed like the content; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) tag: Vec<Pair>,
    /// Stores only what is not there yet; files of a folder that are there are passed over
    #[arg(long, conflicts_with = "if_version")]
    pub(crate) if_absent: bool,
    /// Stores only in place of this version
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub(crate) if_version: Option<Version>,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct JobsArgs {
    /// How many objects are on their way at once
    #[arg(short, long, value_name = "N", default_value_t = JOBS_DEFAULT, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) jobs: u8,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The object
    #[arg(value_name = "NAME/KEY")]
    pub(crate) source: ObjectName,
    /// Where to, in place of a file that is there; `-` for standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) target: PathBuf,
    /// Reads these bytes alone: 0-99, 100- or -100
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    pub(crate) range: Option<ByteRange>,
    /// Reads this version
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub(crate) version: Option<Version>,
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The datastore, and what keys begin with
    #[arg(value_name = "NAME[/PREFIX]")]
    pub(crate) target: Prefix,
    /// Lists every key, instead of one line for all that have a slash behind the prefix in common
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// Lists older versions and delete markers, too
    #[arg(long)]
    pub(crate) versions: bool,
    /// Lists objects that carry this tag, which the datastore has to index
    #[arg(long, value_name = "NAME=VALUE", conflicts_with_all = ["versions", "recursive"])]
    pub(crate) tag: Option<Pair>,
}

#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// The object; with -r what keys begin with: end it with a slash to mean a folder
    #[arg(value_name = "NAME/KEY")]
    pub(crate) target: Prefix,
    /// Deletes this version, for good
    #[arg(long, value_name = "VERSION", value_parser = parse_version, conflicts_with = "recursive")]
    pub(crate) version: Option<Version>,
    /// Deletes every object whose key begins so
    #[arg(short, long)]
    pub(crate) recursive: bool,
    /// With -r: deletes every version and delete marker, for good
    #[arg(long, requires = "recursive")]
    pub(crate) versions: bool,
    /// With -r: does not ask
    #[arg(short, long, requires = "recursive")]
    pub(crate) yes: bool,
    /// Takes an object that is not there for deleted, and not for an error
    #[arg(short, long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// The object
    #[arg(value_name = "NAME/KEY")]
    pub(crate) target: ObjectName,
    /// A version of it
    #[arg(long, value_name = "VERSION", value_parser = parse_version)]
    pub(crate) version: Option<Version>,
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// What to copy from: a folder, or a datastore with or without a prefix. Write ./DIR where a folder could be taken for a datastore
    #[arg(value_name = "DIR|NAME[/PREFIX]")]
    pub(crate) source: PathBuf,
    /// What to make the same: the other of the two
    #[arg(value_name = "NAME[/PREFIX]|DIR")]
    pub(crate) target: PathBuf,
    /// Deletes what the source does not have
    #[arg(long)]
    pub(crate) delete: bool,
    /// Tells what would be done, and does nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// The storage policy of what is stored, instead of the datastore's
    #[arg(
        long,
        value_name = "POLICY",
        default_value = "",
        hide_default_value = true
    )]
    pub(crate) policy: String,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Lists the policies
    Ls,
    /// Makes a policy, or a new version of one
    Create {
        /// 1 to 63 of a-z, 0-9, -, _ and ., the first a letter or digit
        name: String,
        /// A file with its definition; `-` for standard input; or the definition itself, as JSON
        #[arg(value_name = "FILE|JSON")]
        definition: String,
    },
    /// Tells what a policy costs and survives with the locations that there are, and changes nothing
    Simulate {
        /// A policy; or a definition: a file whose path has a slash or ends in .json, `-` for standard input, or JSON
        #[arg(value_name = "NAME|FILE|JSON")]
        policy: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LocationCommand {
    /// Lists the locations
    Ls,
    /// Makes a location known
    #[command(
        after_help = "A folder of the store's machine: securecloud kv location add disk2 '{\"backend\":{\"kind\":\"fs\",\"path\":\"/mnt/disk2\"},\"region\":\"north\"}'\nA `securecloud backend` prints the command for itself."
    )]
    Add {
        /// 1 to 63 of a-z, 0-9, -, _ and ., the first a letter or digit
        name: String,
        /// A file that describes it; `-` for standard input; or the description itself, as JSON
        #[arg(value_name = "FILE|JSON")]
        settings: String,
    },
    /// Has all fragments leave a location, which takes no new ones from now on
    Drain {
        /// The location
        name: String,
        #[command(flatten)]
        work: WorkArgs,
    },
    /// Changes what a location may be used for; lost and draining begin the job that goes with them
    Set {
        /// The location
        name: String,
        /// What for
        #[arg(value_enum)]
        state: LocationState,
    },
}

/// Whether a job is waited for.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Begins the job and does not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
}

/// How a job goes about it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WorkArgs {
    /// Bytes to read and write in a second, e.g. 10MiB; 0: as many as can be; the store's own rate, if not given
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub(crate) rate: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Lists jobs, the newest first
    Ls,
    /// Shows a job
    Show {
        /// Its id
        id: u64,
    },
    /// Waits until a job has ended
    Wait {
        /// Its id
        id: u64,
    },
    /// Stops a job; what it has done stays
    Cancel {
        /// Its id
        id: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LocationState {
    /// Everything; one that was lost is `returning` first, until what was deleted meanwhile is deleted there, too
    Active,
    /// Reading, while its fragments move elsewhere
    Draining,
    /// Reading
    ReadOnly,
    /// Nothing: its fragments are to be made again elsewhere
    Lost,
}

impl LocationState {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::ReadOnly => "read-only",
            Self::Lost => "lost",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum UploadCommand {
    /// Lists the uploads of a datastore that nobody has completed or ended
    Ls {
        /// The datastore
        name: String,
    },
    /// Ends an upload; its parts are gone
    Rm {
        /// The datastore
        name: String,
        /// Its id, as `upload ls` shows it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token, and writes it to a file that its owner alone may read
    Create {
        /// The file, which must not be there yet; `-` for standard output
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// For people: whose it is, or what for
        #[arg(long, default_value = "", hide_default_value = true)]
        label: String,
        /// What it allows where: datastores (or beginnings of names and `*`), a colon, and some of read, write, delete, list and
        /// administer; may be repeated
        #[arg(long, value_name = "NAME,…:RIGHT,…", required = true)]
        grant: Vec<GrantText>,
        /// After which time it is worth nothing; it stays until it is deleted, if not given
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        lifetime: Option<Duration>,
    },
    /// Lists tokens, without their secrets
    Ls,
    /// Deletes a token
    Rm {
        /// Its id, as `token ls` shows it
        id: String,
    },
}

/// A grant of a token, as it is typed: `readings,orders-*:read,list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantText {
    pub(crate) datastores: Vec<String>,
    pub(crate) rights: Vec<String>,
}

impl std::str::FromStr for GrantText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RIGHTS: [&str; 5] = ["read", "write", "delete", "list", "administer"];
        let form = "expected datastores, a colon and rights, e.g. readings,orders-*:read,list";
        let (datastores, rights) = text.rsplit_once(':').ok_or(form)?;
        let parts = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        let (datastores, rights) = (parts(datastores), parts(rights));
        if datastores.iter().any(String::is_empty) {
            return Err(form.to_owned());
        }
        match rights.iter().find(|right| !RIGHTS.contains(&&***right)) {
            None => Ok(Self { datastores, rights }),
            Some(right) => Err(format!(
                "{right:?} is no right: there are {}",
                RIGHTS.join(", ")
            )),
        }
    }
}

/// Reads a share of a whole.
fn parse_share(text: &str) -> Result<f64, String> {
    let form = || "a share is a number above 0 and up to 1, e.g. 0.1".to_owned();
    let share: f64 = text.parse().map_err(|_| form())?;
    (share > 0.0 && share <= 1.0)
        .then_some(share)
        .ok_or_else(form)
}

/// A version's id.
pub(crate) type Version = [u8; 16];

/// Reads a version's id: 32 hexadecimal digits.
pub(crate) fn parse_version(text: &str) -> Result<Version, String> {
    let form = || "a version has 32 hexadecimal digits".to_owned();
    let is_hexadecimal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).map_err(|_| form())?;
    is_hexadecimal
        .then(|| number.to_be_bytes())
        .ok_or_else(form)
}

/// A version's id as 32 hexadecimal digits.
pub(crate) fn version_text(version: Version) -> String {
    format!("{:032x}", u128::from_be_bytes(version))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_arguments_contradict_each_other_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn where_the_store_is_may_be_said_behind_the_command() {
        let words = "securecloud kv get logs/a - --range -5 --url tcp://h:1 --key k --json";

        let cli = Cli::try_parse_from(words.split(' ')).unwrap();

        let Some(crate::cli::Command::Kv(kv)) = cli.command else {
            panic!("it is kv");
        };
        assert_eq!(kv.connection.url.as_deref(), Some("tcp://h:1"));
        assert!(kv.json);
        let Some(KvCommand::Get(get)) = kv.command else {
            panic!("it is get");
        };
        assert_eq!(get.range, Some(ByteRange::Last(5)));
    }

    #[test]
    fn a_commands_own_options_come_before_those_of_every_command() {
        let mut command = Cli::command();
        command.build();
        let kv = command.find_subcommand_mut("kv").unwrap();

        let help = kv.find_subcommand_mut("rm").unwrap().render_help();

        let help = help.to_string();
        let (own, shared) = help.split_once(SHARED).unwrap();
        for option in ["--recursive", "--force", "--help"] {
            assert!(own.contains(option), "{help}");
        }
        for option in ["--url", "--token", "--ca", "--key", "--json", "--silent"] {
            assert!(shared.contains(option) && !own.contains(option), "{help}");
        }
    }

    #[test]
    fn a_version_reads_back() {
        let text = "00112233445566778899aabbccddeeff";

        assert_eq!(version_text(parse_version(text).unwrap()), text);
        for wrong in ["", "0", "+0112233445566778899aabbccddeeff", &text[1..]] {
            assert!(parse_version(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_grant_names_datastores_and_rights() {
        let grant: GrantText = "readings,orders-*:read,list".parse().unwrap();

        assert_eq!(grant.datastores, ["readings", "orders-*"]);
        assert_eq!(grant.rights, ["read", "list"]);
        for wrong in ["", "a", "a:", ":read", "a,:read", "a:reed"] {
            assert!(wrong.parse::<GrantText>().is_err(), "{wrong}");
        }
    }
}
