//! The arguments of `twixt serve`.

use std::ffi::OsString;

use clap::Args;
use twixt::address::Address;
use twixt::channel::Framing;

use super::address;

const NOTES: &str = "\
What is served, and how:
  unix:, unix-seqpacket:, tcp:   a COMMAND per connection, which is its
                                 standard input and output; with
                                 --per-message a COMMAND per message, and
                                 what it prints is the answer
  unix-dgram:, udp:              a COMMAND per message; what it prints
                                 goes back to the sender
  queues, rings, fifo:, file:, signal:
                                 a COMMAND per message; what it prints
                                 goes where twixt's own output does
  fd:N                           whichever of these the inherited
                                 descriptor is

Per message, COMMAND has the message on its standard input, and in its
environment what `twixt recv --exec` gives: TWIXT_NUMBER, TWIXT_LENGTH,
TWIXT_FDS, TWIXT_TYPE, TWIXT_PRIORITY, TWIXT_SOURCE, TWIXT_PID, TWIXT_UID,
TWIXT_GID. Per connection it has TWIXT_NUMBER, and of the other side
TWIXT_SOURCE (TCP) or TWIXT_PID, TWIXT_UID and TWIXT_GID (Unix). Descriptors
that came with a message are 3 and following; there are no others.

An answer is all that COMMAND has printed when it ends; nothing printed is no
answer. Under lines and nul the last delimiter is not part of it. If COMMAND
fails, that is told on standard error and the service goes on: a connection is
closed, and a message whose sender cannot see that is saved in a file that
only its owner can read, in $TMPDIR, the current directory or /tmp. More
connections than --max wait until one ends, and so do messages. With
--per-message it is messages that --max counts: connections that say nothing
wait in a row of their own, as many as there are descriptors for.

Socket activation: with --activated, or an address of the form fd:N, twixt
serves what systemd (or another) has opened: LISTEN_FDS descriptors from 3 on,
if LISTEN_PID is this process. COMMAND does not see these variables.

Once it is ready it says so on standard error. SIGTERM, SIGINT, SIGHUP or
SIGQUIT end the service: it takes nothing more, removes its socket, and waits
for the COMMANDs that run (each is in a process group of its own, which Ctrl-C
does not reach); a second one kills them. Exit status 0, or 128+N if they were
killed.

Examples:
  twixt serve unix:/run/echo.sock -- cat
  twixt serve tcp:127.0.0.1:8080 --max 20 -- ./answer-http
  twixt serve --per-message 'unix:/run/rev.sock?framing=lines' -- rev
  twixt serve udp:0.0.0.0:9000 -- date +%s
  twixt serve posix-mq:/jobs --max 4 -- ./work
  systemd-socket-activate -l /run/echo twixt serve --activated -- cat";

/// Run a command for each connection or message
#[derive(Args, Debug)]
#[command(after_help = NOTES)]
pub struct Serve {
    /// What to serve
    #[arg(value_name = "ADDRESS", value_parser = address(), required_unless_present = "activated")]
    pub address: Option<Address>,
    /// Serve the sockets that this program was started with, as systemd passes them
    #[arg(long, conflicts_with = "address")]
    pub activated: bool,
    /// Run the command for each message of a connection, rather than for the connection
    #[arg(long)]
    pub per_message: bool,
    /// How many commands may run at once [default: 100 for connections, 1 for messages, which then keep their order]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max: Option<u32>,
    /// How messages are told apart in a stream of bytes whose address says nothing about it: frame (twixt's own, with a
    /// checksum), lines, nul (a zero byte after each), len (4 bytes with the length before each, little-endian), raw
    /// (whatever a read gives). Only per message [default: frame; lines for file: and -]
    #[arg(long, value_name = "FRAMING")]
    pub framing: Option<Framing>,
    /// Make the object if it is not there, as ?create in the address does
    #[arg(long)]
    pub create: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}
