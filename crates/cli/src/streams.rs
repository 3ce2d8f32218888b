//! Standard streams that the program was started without (`>&-`).

use anyhow::bail;
use twixt::address::{Address, Endpoint};
use twixt_sys::start::was_closed;

use crate::args::Command;

/// Refuses to read from or write to what is not there, before anything is taken that would get lost.
pub fn check(command: &Command) -> anyhow::Result<()> {
    if was_closed(0) && reads(command) {
        bail!("cannot read from standard input: it was closed when twixt was started");
    }
    if was_closed(1) && prints(command) {
        bail!("cannot write to standard output: it was closed when twixt was started");
    }
    Ok(())
}

fn reads(command: &Command) -> bool {
    match command {
        Command::Send(send) => send.messages.is_empty(),
        Command::Call(call) => call.message.is_none(),
        Command::Recv(recv) => is_stdio(&recv.address),
        Command::Relay(relay) => is_stdio(&relay.from) || relay.both && is_stdio(&relay.to),
        _ => false,
    }
}

/// Whether its output is what it is for.
fn prints(command: &Command) -> bool {
    match command {
        Command::Recv(recv) => recv.exec.is_none(),
        Command::Send(send) => is_stdio(&send.address),
        Command::Relay(relay) => is_stdio(&relay.to) || relay.both && is_stdio(&relay.from),
        Command::Call(_)
        | Command::Stat(_)
        | Command::Bench(_)
        | Command::Tour(_)
        | Command::Completions { .. } => true,
        _ => false,
    }
}

fn is_stdio(address: &Address) -> bool {
    *address.endpoint() == Endpoint::Stdio
}
