//! The arguments of `twixt call`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use twixt::address::Address;
use twixt::channel::Framing;

use super::address;

const NOTES: &str = "\
What can be called is what has a way back: unix:, unix-seqpacket:,
unix-dgram:, tcp:, udp:, exec: and connected sockets given as fd:N.

Where messages have boundaries, one goes out and one comes back, and is
printed with a newline behind it; of exec: its input ends with the request.
Under raw, and with exec:, all of the request goes out, then its end is told,
and what comes back until the other side's end is printed as it is, while the
request still goes out. What the other side does not want to read of it is no
error.

Exit status:
  0  the answer was printed
  1  there is nobody to call
  2  the command line is wrong, or what it asks for was refused
  4  the time was up
  5  nobody is there, or the other side has gone and has not answered

Examples:
  twixt call unix:/run/jobs.sock status
  twixt call 'unix:/run/nginx.sock?framing=raw' < request
  twixt call tcp:localhost:7000 --framing lines --timeout 2s PING
  seq 100 | twixt call exec:'sort -rn | head -3'";

/// Send a request to an address and print the answer
///
/// The request is the argument, or all of standard input. Connects to somebody who listens, or starts the command of
/// exec:.
#[derive(Args, Debug)]
#[command(after_help = NOTES)]
pub struct Call {
    /// Whom to call
    #[arg(value_name = "ADDRESS", value_parser = address())]
    pub address: Address,
    /// The request; all of standard input without one. After `--` it may begin with a minus sign
    #[arg(value_name = "MESSAGE")]
    pub message: Option<OsString>,
    /// How messages are told apart in a stream of bytes whose address says nothing about it: frame (twixt's own, with a
    /// checksum), lines, nul (a zero byte after each), len (4 bytes with the length before each, little-endian), raw (not
    /// at all); and what stands behind the answer or before it. Without it raw for exec:, frame for other streams, and a
    /// newline behind the answer. Under lines and nul the last delimiter of standard input is not part of the request
    #[arg(long, value_name = "FRAMING")]
    pub framing: Option<Framing>,
    /// Give up after this time, a whole number and ns, us, ms, s or m (2s, 500ms); exit status 4. Goes before the
    /// address's ?timeout=
    #[arg(long, value_name = "TIME", value_parser = twixt::address::parse_duration)]
    pub timeout: Option<Duration>,
}
