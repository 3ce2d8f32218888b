//! The arguments of `twixt relay`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use twixt::address::{Address, parse_size};
use twixt::channel::Framing;

use super::address;
use crate::applies;
use crate::pace::Rate;

/// Move messages or bytes from one address to another
///
/// Receives from A as `recv` does, and sends to B as `send` does: it listens at A and connects to B where there are sides. It
/// takes nothing that it cannot pass on: when B is full, A waits. At the end of A it ends B and itself; what anybody may
/// still send to (a queue, a ring) has no end, and is relayed until Ctrl-C.
///
/// Two streams of bytes without framing are moved within the kernel (splice), without a copy through this program. Into TCP,
/// and from pipes into Unix sockets, a copy may be faster: while many bytes come at a time relay tries both, and keeps to the
/// faster one, unless it is to keep to a --rate or to write a copy (--tee). A stream that is listened to without framing is
/// that of the first who connects.
///
/// What was taken and could not be passed on is saved in a file, and it is told which and where. What was moved is counted
/// on standard error at the end, and whenever SIGUSR1 comes.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, after_long_help = help())]
pub struct Relay {
    /// Where from
    #[arg(value_name = "A", value_parser = address(), allow_hyphen_values = true)]
    pub from: Address,
    /// Where to
    #[arg(value_name = "B", value_parser = address(), allow_hyphen_values = true)]
    pub to: Address,
    /// Both ways: one connection at A with one to B. The end of one direction leaves the other open
    #[arg(long)]
    pub both: bool,
    /// Write a copy of what goes from A to B into this file, too. A new file is readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub tee: Option<PathBuf>,
    /// Move so many messages in a second (100), or in a minute (30/m), or so many bytes in a second (64kB, 10MB)
    #[arg(long, value_name = "N[/s|/m]|BYTES")]
    pub rate: Option<Limit>,
    /// Pass on the descriptors that come with messages; without it they are closed
    #[arg(long)]
    pub pass_fds: bool,
    /// End after so many messages
    #[arg(short = 'n', long = "count", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// How messages are told apart in streams of bytes whose address says nothing about it, and in the file of --tee: raw
    /// (not at all), lines, nul, len, frame
    #[arg(long, value_name = "FRAMING", default_value_t = Framing::Raw, hide_default_value = false)]
    pub framing: Framing,
    /// Make the objects that are not there, as ?create in the addresses does
    #[arg(long)]
    pub create: bool,
    /// Connect to A rather than listen there
    #[arg(long)]
    pub connect: bool,
    /// Listen at B, for the first to connect, rather than connect to it
    #[arg(long)]
    pub listen: bool,
}

/// How much may be moved in a time.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// So many messages.
    Messages(Rate),
    /// So many bytes in a second.
    Bytes(u64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(size) = text.strip_suffix("/s").unwrap_or(text).strip_suffix('B') else {
            return text.parse().map(Self::Messages);
        };
        match parse_size(size) {
            Ok(0) => Err("0 bytes in a second would never move anything".to_owned()),
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(error) => Err(error.to_string()),
        }
    }
}

const MAPPING: &str = "\
What becomes of a message:
  boundaries   From what keeps boundaries to what keeps boundaries one
               message stays one message. A stream's messages are told
               apart by its framing (?framing= in its address, or
               --framing); without one (raw) what a read gives, at most
               what B takes, is a message of B, and B as a raw stream
               gets the bytes of each message and nothing between them,
               so that an empty one leaves nothing. A message that is too
               long for B, or has the byte that ends B's messages, is
               saved and ends the relay.
  types        Kept from System V queue to System V queue. A ?type= of B
               gives all messages its own.
  priorities   Kept from POSIX queue to POSIX queue. A ?prio= of B gives
               all messages its own.
  descriptors  Kept from Unix socket to Unix socket with --pass-fds,
               otherwise closed.
  senders      Whoever receives from B sees this program as the sender.
What B has no place for is told once on standard error.

It ends with status 5 as soon as B is seen to have gone, if that can be seen,
and takes nothing more; what it has taken by Ctrl-C has a second to go to B. A
?timeout= of A is kept for each message, one of B for its room.";

const EXAMPLES: &str = "\
Examples:
  twixt relay fifo:/run/jobs posix-mq:/jobs --framing lines
  twixt relay unix:/run/app.sock tcp:db.example:5432 --both
  twixt relay --connect tcp:feed:7000 'file:feed?create' --rate 1MB
  twixt relay sysv-msg:0x7477 - --framing lines --tee /tmp/copy";

fn help() -> String {
    let table = applies::table(applies::RELAY, "", |_| "");
    format!("{MAPPING}\n\nWhich flag applies to which mechanism (all others to all):\n{table}\n\n{EXAMPLES}")
}
