//! `twixt recv`.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use twixt::address::Endpoint;
use twixt::channel::{Framing, Message, Receiver, Side};
use twixt::os::{ErrorKind, Wait};

use crate::args::Recv;
use crate::channel;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::undelivered::Undelivered;
use crate::{applies, output};

mod printer;
mod runner;

use printer::{Format, Printer};
use runner::Runner;

/// Receives, and prints or runs a command.
pub fn run(arguments: &Recv) -> anyhow::Result<Exit> {
    applies::check(applies::RECV, "receive from", &arguments.address, |flag| match flag {
        "--type" => arguments.select.is_some(),
        "--create" => arguments.create,
        "--listen" => arguments.listen,
        "--connect" => arguments.connect,
        _ => false,
    })?;
    let interrupt = match arguments.exec {
        // What the commands print to is their own affair.
        Some(_) => Interrupt::new()?,
        None => Interrupt::with_output()?,
    };
    let Some(mut receiver) = open(arguments, &interrupt)? else { return Ok(ended_early(&interrupt)) };
    if let Some(endpoint) = receiver.endpoint().filter(|&endpoint| endpoint != arguments.address.endpoint()) {
        // Without it nobody could connect.
        output::note(&format!("listening at {endpoint}"))?;
    }
    if let Some(select) = arguments.select {
        receiver.select(select)?;
    }
    let delivery = match &arguments.exec {
        Some(command) => Delivery::Run(Runner::new(command)),
        None => Delivery::Print(Printer::new(format(arguments))),
    };
    let mut receiving = Receiving {
        progress: Progress::new(!io::stdout().is_terminal()),
        arguments,
        receiver,
        interrupt,
        delivery,
    };
    let ended = receiving.receive();
    receiving.progress.clear();
    match ended {
        Ok(Ended::Well) => Ok(Exit::Success),
        Ok(Ended::Early) => Ok(ended_early(&receiving.interrupt)),
        Ok(Ended::Undelivered(undelivered)) => {
            let exit = receiving.interrupt.signal().map_or(undelivered.exit, Exit::Stopped);
            output::complain(&undelivered.save("recv"))?;
            Ok(exit)
        }
        Err(error) => Err(error),
    }
}

fn open(arguments: &Recv, interrupt: &Interrupt) -> anyhow::Result<Option<Receiver>> {
    let timeout = arguments.timeout.or(arguments.address.options().timeout());
    let side = channel::side(arguments.listen, arguments.connect);
    let mut opening = channel::opening(&arguments.address, arguments.create, side, arguments.framing)?;
    if !arguments.follow && arguments.count.is_none() {
        // A file has an end then.
        opening = opening.to_present_end();
    }
    loop {
        match opening.clone().wait(interrupt.wait(timeout)).receiver() {
            Ok(receiver) => return Ok(Some(receiver)),
            Err(error) if error.kind() == ErrorKind::Interrupted && interrupt.is_due() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn format(arguments: &Recv) -> Format {
    match arguments.framing {
        _ if arguments.json => Format::Json,
        _ if arguments.nul => Format::Framed(Framing::Nul),
        framing => Format::Framed(framing.unwrap_or(Framing::Lines)),
    }
}

/// A reader that has gone is no fault of anybody.
fn ended_early(interrupt: &Interrupt) -> Exit {
    interrupt.signal().map_or(Exit::Success, Exit::Stopped)
}

struct Receiving<'a> {
    arguments: &'a Recv,
    receiver: Receiver,
    interrupt: Interrupt,
    progress: Progress,
    delivery: Delivery,
}

/// Why no further message is received.
enum Ended {
    /// It is done.
    Well,
    /// The user wants it so, or nobody reads the output any more.
    Early,
    /// These could not be delivered.
    Undelivered(Box<Undelivered>),
}

impl Receiving<'_> {
    fn receive(&mut self) -> anyhow::Result<Ended> {
        let asked = self.arguments.count;
        let can = self.receiver.capabilities();
        let until_end = self.arguments.follow || can.sees_end && !can.newest_wins;
        let most = asked.unwrap_or(if until_end { u64::MAX } else { 1 });
        let timeout = self.arguments.timeout.or(self.arguments.address.options().timeout());
        let mut message = Message::new();
        let mut taken = 0;
        while taken < most && !self.is_due() {
            // What is taken is delivered before anything is waited for.
            let wait = if self.delivery.is_empty() { self.interrupt.wait(timeout) } else { Wait::never() };
            let received = self.receiver.receive_wait(&mut message, wait);
            let outcome = match received {
                Ok(()) => {
                    taken += 1;
                    let length = message.len();
                    let put = self.delivery.put(taken, &mut message, &self.interrupt);
                    self.progress.message(length);
                    put
                }
                Err(_) => self.delivery.flush(&self.interrupt),
            };
            if let Err(undelivered) = outcome {
                return Ok(Ended::Undelivered(undelivered));
            }
            let Err(error) = received else { continue };
            match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => {}
                ErrorKind::PeerGone if self.arguments.follow && self.others_may_come() => {}
                ErrorKind::PeerGone if asked.is_none() => return Ok(Ended::Well),
                ErrorKind::PeerGone => {
                    let context = format!("{taken} of {most} messages have come");
                    return Err(anyhow::Error::new(error).context(context));
                }
                // One who talks nonsense does not end it for the others.
                ErrorKind::Malformed | ErrorKind::TooLong if self.arguments.follow && self.listens() => {
                    output::complain(&anyhow!(error))?;
                }
                ErrorKind::TimedOut => {
                    let context = format!("no message came within {:?}", timeout.unwrap_or_default());
                    return Err(anyhow::Error::new(error).context(context));
                }
                _ => return Err(error.into()),
            }
        }
        if let Err(undelivered) = self.delivery.flush(&self.interrupt) {
            return Ok(Ended::Undelivered(undelivered));
        }
        Ok(if taken < most { Ended::Early } else { Ended::Well })
    }

    /// Whether nothing more may be taken.
    fn is_due(&self) -> bool {
        match self.delivery {
            Delivery::Print(_) => self.interrupt.is_due(),
            // Beside a command, asking is cheap.
            Delivery::Run(_) => self.interrupt.is_due_already(),
        }
    }

    /// Whether there may be other senders when all have gone.
    fn others_may_come(&self) -> bool {
        self.listens() || {
            let endpoint = self.arguments.address.endpoint();
            matches!(
                endpoint,
                Endpoint::Fifo(_) | Endpoint::File(_) | Endpoint::Topic(_) | Endpoint::Latest(_)
            )
        }
    }

    fn listens(&self) -> bool {
        let side = channel::side(self.arguments.listen, self.arguments.connect);
        self.receiver.capabilities().listens && side != Some(Side::Connect)
    }
}

/// What becomes of the messages.
enum Delivery {
    Print(Printer),
    Run(Runner),
}

impl Delivery {
    /// Whether nothing is taken that was not delivered.
    fn is_empty(&self) -> bool {
        match self {
            Self::Print(printer) => printer.is_empty(),
            Self::Run(_) => true,
        }
    }

    /// Takes a message over.
    fn put(
        &mut self,
        number: u64,
        message: &mut Message,
        interrupt: &Interrupt,
    ) -> Result<(), Box<Undelivered>> {
        match self {
            Self::Print(printer) => printer.put(number, message, interrupt),
            Self::Run(runner) => runner.run(number, message),
        }
    }

    /// Delivers what was taken over.
    fn flush(&mut self, interrupt: &Interrupt) -> Result<(), Box<Undelivered>> {
        match self {
            Self::Print(printer) => printer.flush(interrupt),
            Self::Run(_) => Ok(()),
        }
    }
}
