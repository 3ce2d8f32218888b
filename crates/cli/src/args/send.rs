//! The arguments of `twixt send`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use twixt::address::Address;
use twixt::channel::Framing;

use super::address;
use crate::applies;
use crate::pace::Rate;

/// Send messages to an address
///
/// Each argument is a message. Without one, standard input is cut into messages as --framing says.
///
/// Connects where the mechanism has a listening side, and waits for a reader where it is a FIFO. Succeeds once every message
/// was accepted by the kernel, or taken by the other side at capacity 0. Where a mechanism carries numbers (signal, eventfd),
/// a message is one in decimal.
///
/// A topic takes messages also while nobody subscribes to it: they reach only who asks for a ?history= later. That is told on
/// standard error, and is no failure. A latest value is replaced by each message; the last one stays.
///
/// A message that cannot be sent is told with its number and beginning, nothing of it has been sent, and what precedes
/// it has. If standard input is a file, it is left standing at the first byte that was not sent.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Send {
    /// Where to
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub address: Address,
    /// The messages; standard input without one. After `--` a message may begin with a minus sign
    #[arg(value_name = "MESSAGE")]
    pub messages: Vec<OsString>,
    /// How messages are told apart on standard input, and in a stream of bytes whose address says nothing about it:
    /// lines, nul (a zero byte after each), len (4 bytes with the length before each, little-endian), raw (whatever a
    /// read gives, 64 KiB at most), frame (twixt's own, with a checksum). Without it standard input has lines, and streams
    /// what is usual for them: lines for exec:, - and file:, otherwise frame
    #[arg(long, value_name = "FRAMING")]
    pub framing: Option<Framing>,
    /// The type of each message, from 1; without it what the address says (?type=), or 1
    #[arg(long = "type", value_name = "T", value_parser = clap::value_parser!(i64).range(1..))]
    pub message_type: Option<i64>,
    /// The priority of each message, 0 to 32767, higher ones are received first
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u32).range(..=32_767))]
    pub prio: Option<u32>,
    /// Open this file to read, and pass the descriptor with the first message; can be given several times
    #[arg(long, value_name = "PATH")]
    pub fd: Vec<PathBuf>,
    /// With arguments: send all of them N times over. From standard input: send N messages at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Send so many messages in a second, or in a minute (30/m), evenly
    #[arg(long, value_name = "N[/s|/m]")]
    pub rate: Option<Rate>,
    /// Wait no longer than this, for the other side at first and then for room for each message; a whole number and ns,
    /// us, ms, s or m (2s, 500ms). Exit status 4. Goes before the address's ?timeout=
    #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
    pub timeout: Option<Duration>,
    /// Make the object if it is not there, as ?create in the address does
    #[arg(long)]
    pub create: bool,
    /// Wait for somebody to connect, and send to that one
    #[arg(long, conflicts_with = "connect")]
    pub listen: bool,
    /// Connect to somebody who listens; this is what is done without it
    #[arg(long)]
    pub connect: bool,
}

const EXAMPLES: &str = "\
Examples:
  twixt send posix-mq:/jobs --prio 5 'rotate the logs'
  seq 1000000 | twixt send unix:/run/jobs.sock
  find . -print0 | twixt send fifo:/run/paths --framing nul
  twixt send unix:/run/jobs.sock --fd /etc/hosts 'here it is'
  twixt send sysv-msg:0x7477 --create --type 3 hello
  twixt send --create topic:prices 17.25";

fn help() -> String {
    let table = applies::table(applies::SEND, "", |_| "");
    format!(
        "Which flag applies to which mechanism (all others to all;\n?: what the descriptor is decides):\n{table}\n\n{EXAMPLES}"
    )
}
