//! The arguments of `twixt recv`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use twixt::address::Address;
use twixt::channel::{Boundaries, Capabilities, Framing, Persistence, Select};
use twixt::os::sysv::msg::Type;

use super::address;
use crate::applies;

/// Receive messages from an address
///
/// Prints each message on a line. Listens where the mechanism has a listening side, and hears everyone who connects; the
/// address, where the kernel has chosen the port, is told on standard error.
///
/// Without -n and --follow it receives until the end: until all senders have gone, where that can be seen, and otherwise one
/// message, or the value that is there (the last column of the table below). An end before the N messages of -n is exit status 5.
///
/// No message that was taken is lost: what cannot be written to standard output, or whose command fails, is saved in a file
/// that only its owner can read, in $TMPDIR, the current directory or /tmp, and it is told which messages these are and
/// where. Messages are printed before any is waited for.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Recv {
    /// Where from
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub address: Address,
    /// Receive so many messages
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Go on when all senders have gone, and wait for others
    #[arg(long)]
    pub follow: bool,
    /// Receive only messages of these types: any, T, ..T (the lowest type there is up to T) or except:T
    #[arg(long = "type", value_name = "TYPES", value_parser = select)]
    pub select: Option<Select>,
    /// Wait no longer than this for each message; a whole number and ns, us, ms, s or m (2s, 500ms). Exit status 4. Goes
    /// before the address's ?timeout=
    #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
    pub timeout: Option<Duration>,
    /// Run this with `sh -c` for each message, one after the other, with the message on its standard input. If it fails, the
    /// message is saved as above, nothing more is received, and its exit status is this program's
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["json", "nul"])]
    pub exec: Option<OsString>,
    /// Print each message as a JSON object on a line of its own: schema, number, text (or base64 where it is no UTF-8), type,
    /// priority, pid, uid, gid, source, publisher, sequence, missed, deliveries, descriptors; null for what the mechanism does not tell
    #[arg(long, conflicts_with = "nul")]
    pub json: bool,
    /// Print a zero byte after each message rather than a newline
    #[arg(short = '0')]
    pub nul: bool,
    /// How messages are told apart on standard output, and in a stream of bytes whose address says nothing about it: lines,
    /// nul (a zero byte after each), len (4 bytes with the length before each, little-endian), raw (not at all), frame
    /// (twixt's own, with a checksum). Without it standard output has lines, and streams what is usual for them: lines for
    /// exec:, - and file:, otherwise frame
    #[arg(long, value_name = "FRAMING")]
    pub framing: Option<Framing>,
    /// Make the object if it is not there, as ?create in the address does
    #[arg(long)]
    pub create: bool,
    /// Listen, and hear everyone who connects; this is what is done without it
    #[arg(long, conflicts_with = "connect")]
    pub listen: bool,
    /// Connect to somebody who listens
    #[arg(long)]
    pub connect: bool,
}

const NOTES: &str = "\
A message is printed as it is: one with newlines takes several lines, and -0,
--json or --framing len tell them apart. Descriptors that come with a message
are closed, unless --exec passes them on.

The environment of --exec has TWIXT_NUMBER (from 1) and TWIXT_LENGTH (bytes);
where the mechanism tells them TWIXT_TYPE, TWIXT_PRIORITY, TWIXT_SOURCE (the
sender's address) and the sender's TWIXT_PID, TWIXT_UID and TWIXT_GID; on the
bus TWIXT_PUBLISHER (the sender's place), TWIXT_SEQUENCE (its number for the
message) and TWIXT_MISSED (how many before it were missed); and
TWIXT_FDS, which says how many descriptors came along. The command has them as
3 and following.";

const EXAMPLES: &str = "\
Examples:
  twixt recv posix-mq:/jobs
  twixt recv unix:/run/jobs.sock --follow --json
  twixt recv sysv-msg:0x7477 -n 10 --type ..3 --timeout 2s
  twixt recv tcp:0.0.0.0:7000 --framing raw > everything
  twixt recv unix:/run/jobs.sock --follow --exec 'logger --tag jobs'
  twixt recv 'topic:prices?history=10&slow=drop-oldest' --follow --json
  twixt recv latest:plant/speed";

fn help() -> String {
    let until = |can: &Capabilities| {
        // A file, which ends where it ends at present.
        let is_file = can.boundaries == Boundaries::Framed && can.persistence == Persistence::File;
        match (can.newest_wins, can.sees_end || is_file) {
            (true, _) => "the newest value",
            (false, true) => "until the end",
            (false, false) => "one message",
        }
    };
    let table = applies::table(applies::RECV, "without -n", until);
    format!("Which flag applies to which mechanism (all others to all):\n{table}\n\n{NOTES}\n\n{EXAMPLES}")
}

fn select(text: &str) -> Result<Select, String> {
    let one = |number: &str| {
        let number = number.parse::<i64>().ok().and_then(Type::new);
        number.ok_or_else(|| format!("{text:?} names no types; these are any, T, ..T or except:T, T from 1"))
    };
    if text == "any" {
        Ok(Select::Any)
    } else if let Some(highest) = text.strip_prefix("..") {
        one(highest).map(Select::LowestUpTo)
    } else if let Some(unwanted) = text.strip_prefix("except:") {
        one(unwanted).map(Select::Except)
    } else {
        one(text).map(Select::Exactly)
    }
}
