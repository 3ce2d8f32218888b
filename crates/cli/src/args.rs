//! The command line, from which help, completions and manual pages are made as well.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use twixt::address::{Address, ParseError};
use twixt::os::Mode;
use twixt::os::signal::{Signal, Target};

mod call;
mod recv;
mod relay;
mod send;
mod serve;
mod stat;
mod with;
mod work;

pub use call::Call;
pub use recv::Recv;
pub use relay::{Limit, Relay};
pub use send::Send;
pub use serve::Serve;
pub use stat::{Column, Stat};
pub use with::With;
pub use work::Work;

const EXIT_STATUS: &str = "\
Exit status:
  0  it was done
  1  nothing was found, or something was found that should not be
  2  the command line is wrong, or what it asks for was refused
  3  part of it could not be read
  4  the time was up
  5  the other side has gone, or nobody is there
  128+N  stopped by signal N";

/// Everything two processes on Linux can talk through, under one set of addresses
#[derive(Debug, Parser)]
#[command(name = "twixt", version, after_help = EXIT_STATUS, disable_help_subcommand = true, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Send(Send),
    Recv(Recv),
    Relay(Relay),
    Serve(Serve),
    Call(Call),
    With(With),
    Work(Work),
    Stat(Stat),
    Bench(twixt::bench::command::Arguments),
    Tour(Tour),
    Mk(Mk),
    Rm(Rm),
    Signal(SignalArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory; it must exist
        directory: PathBuf,
    },
}

/// Show every mechanism at work between real processes, checked and measured
///
/// Each row holds a conversation between real processes, checks every byte, and measures a round. Everything that a
/// row makes is removed when the row ends, also after Ctrl-C.
#[derive(Args, Debug)]
pub struct Tour {
    /// Which rows to show, by name (`fifo`) or by the start of names (`sysv` shows all System V rows); all without one
    #[arg(value_name = "MECHANISM")]
    pub mechanisms: Vec<String>,
    /// List the rows and what they show, and run nothing
    #[arg(long, conflicts_with_all = ["dialogue", "side", "rounds"])]
    pub list: bool,
    /// Print what the two sides say to each other; 5 rounds unless --rounds says otherwise
    #[arg(long, conflicts_with = "json")]
    pub dialogue: bool,
    /// Play one side here; the other is played in another terminal of the same user, or by a program of yours
    #[arg(long = "as", value_name = "SIDE", value_enum, conflicts_with = "json")]
    pub side: Option<SideArgument>,
    /// How many rounds each conversation has [default: 1000]. Rows whose rounds start programs or wait for clocks have
    /// fewer, and some hold one fixed conversation
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub rounds: Option<u64>,
    /// Print each row as a JSON object on a line of its own
    #[arg(long)]
    pub json: bool,
    /// Leave out the headings of the table
    #[arg(long, conflicts_with_all = ["json", "side", "list"])]
    pub noheadings: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SideArgument {
    /// Waits for the other and answers
    Server,
    /// Begins
    Client,
}

const MAKE_EXAMPLES: &str = "\
Examples:
  twixt mk fifo:/run/jobs
  twixt mk posix-mq:/jobs --capacity 8 --message-size 4k --mode 0660
  twixt mk 'sysv-sem:0x7477?count=3&value=1' posix-shm:/frame?size=16M
  queue=$(twixt mk sysv-msg:private)
  twixt mk 'queue:jobs?retries=5&visibility=10m'

For each object its address is printed; a System V object with a key has its
identifier (id=N) after it.";

/// Make named objects that are not there yet
///
/// Either all are made or none. What an object needs to know at its making stands in options, or in the address itself
/// (`posix-mq:/jobs?capacity=4`), which counts more. An option that the kind of object does not have is an error.
#[derive(Args, Debug)]
#[command(after_help = MAKE_EXAMPLES)]
pub struct Mk {
    /// What to make: fifo:, file:, mmap:, lock:, sysv-msg:, sysv-sem:, sysv-shm:, posix-mq:, posix-sem:, posix-shm:,
    /// topic:, queue:, latest:, rpc:
    #[arg(required = true, value_name = "ADDRESS", value_parser = address())]
    pub addresses: Vec<Address>,
    /// Who may use it: permission bits in octal, whatever the umask [default: 0600]
    #[arg(long, value_name = "OCTAL")]
    pub mode: Option<Mode>,
    /// Bytes of shared memory or of a mapped file; k, M and G after the number are powers of 1024
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = twixt::address::parse_size)]
    pub size: Option<u64>,
    /// How many semaphores a System V set has, 1 to 65536 [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub count: Option<u32>,
    /// The value that semaphores begin with; System V to 32767, POSIX to 2147483647 [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub value: Option<u32>,
    /// How many messages a POSIX queue holds, or how many bytes a System V queue, or a ring of a name on the bus (k, M, G as
    /// for --size)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = twixt::address::parse_size)]
    pub capacity: Option<u64>,
    /// Bytes of the longest message of a POSIX queue, or of a latest value (k, M, G as for --size)
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true, value_parser = twixt::address::parse_size)]
    pub message_size: Option<u64>,
    /// Print each object as a JSON object on a line of its own
    #[arg(long)]
    pub json: bool,
}

const REMOVE_EXAMPLES: &str = "\
Examples:
  twixt rm fifo:/run/jobs
  twixt rm --yes sysv-msg:id=3 sysv-shm:0x7477 posix-mq:/jobs

A missing object gives exit status 1, and so does a question answered with no.";

/// Remove named objects, after telling who uses them
///
/// Asks before each, and removes nothing unless every object is there and may be removed. A Unix socket's file is
/// removed only if no process has the socket open any more. Who uses an object is told on standard error.
#[derive(Args, Debug)]
#[command(after_help = REMOVE_EXAMPLES)]
pub struct Rm {
    /// What to remove: all that mk makes, also by identifier (sysv-msg:id=3), and unix:/path
    #[arg(required = true, value_name = "ADDRESS", value_parser = address())]
    pub addresses: Vec<Address>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// List, send and wait for signals
#[derive(Args, Debug)]
pub struct SignalArguments {
    #[command(subcommand)]
    pub command: SignalCommand,
}

#[derive(Debug, Subcommand)]
pub enum SignalCommand {
    /// List all signals: number, name, default action, meaning
    List {
        /// Only these, by name or number
        #[arg(value_name = "SIGNAL")]
        signals: Vec<Signal>,
        /// Print each as a JSON object on a line of its own
        #[arg(long)]
        json: bool,
        /// Leave out the headings of the table
        #[arg(long, conflicts_with = "json")]
        noheadings: bool,
    },
    /// Send a signal to processes or process groups
    ///
    /// Nothing is sent unless every target is there and may be signalled.
    Send {
        /// A process id, or a process group's with a minus sign before it, or 0 for the own group; several with commas
        /// between them
        #[arg(value_name = "TARGET", allow_hyphen_values = true, value_parser = targets)]
        targets: Targets,
        /// The signal, by name or number: USR1, SIGTERM, RTMIN+2, 15
        signal: Signal,
        /// Send this 32-bit number along (to processes only); real-time signals queue, each with its value
        #[arg(long, value_name = "N", allow_hyphen_values = true)]
        value: Option<i32>,
    },
    /// Wait for one of these signals, and print who sent it and with what value
    ///
    /// They are blocked before anything else is done, so that none can end the program.
    Wait {
        /// The signals, by name or number: USR1, SIGTERM, RTMIN+2, 15
        #[arg(required = true, value_name = "SIGNAL")]
        signals: Vec<Signal>,
        /// Give up after this time, a whole number and ns, us, ms, s or m (2s, 500ms); exit status 4
        #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
        timeout: Option<Duration>,
        /// Print it as a JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Whom a signal goes to.
#[derive(Clone, Debug)]
pub struct Targets(pub Vec<Target>);

fn targets(text: &str) -> Result<Targets, String> {
    text.split(',').map(target).collect::<Result<_, _>>().map(Targets)
}

fn target(text: &str) -> Result<Target, String> {
    let right = "a process is its number, a process group -NUMBER, the own group 0";
    let number: i32 = text.parse().map_err(|_| format!("{text:?} is no process or group; {right}"))?;
    let everyone = || format!("-1 means every process of the machine, which is refused; {right}");
    Target::from_raw(number).ok_or_else(everyone)
}

/// Addresses are taken as bytes, since paths are.
fn address() -> impl TypedValueParser<Value = Address> {
    OsStringValueParser::new()
        .try_map(|text: OsString| -> Result<Address, ParseError> { Address::try_from(text.as_os_str()) })
}
