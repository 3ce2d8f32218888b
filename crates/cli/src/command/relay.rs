//! `twixt relay`.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, bail};
use twixt::address::{Address, Endpoint, OptionName};
use twixt::channel::{Capabilities, Direction, Duplex, Framing, Message, Opening, Receiver, Sender, Side};
use twixt::os::signal::{Signal, SignalFd, SignalSet};
use twixt::os::{ErrorKind, Wait};

use crate::args::{Limit, Relay};
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::undelivered::Undelivered;
use crate::{applies, channel, output};

mod counts;
mod messages;
mod pace;
mod splice;

use counts::Counts;

/// Opens both ends and moves what comes until the end.
pub fn run(arguments: &Relay) -> anyhow::Result<Exit> {
    check(arguments)?;
    // Before there is any other thread, so that it is blocked in all.
    let reports = SignalSet::from(Signal::USR1);
    reports.block()?.keep();
    let reports = SignalFd::create(reports)?;
    let interrupt = Interrupt::new()?;
    let tee = arguments.tee.as_deref().map(|path| {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        file.with_context(|| format!("cannot open {} for the copy", path.display()))
    });
    let tee = tee.transpose()?;
    let Some((there, back)) = open(arguments, &interrupt)? else {
        return Ok(interrupt.signal().map_or(Exit::Success, Exit::Stopped));
    };
    let counts = Arc::new(Counts::new(&arguments.from, &arguments.to, back.is_some()));
    report_on(reports, Arc::clone(&counts))?;
    let mut progress = Progress::new(!ends_at_the_terminal(arguments));
    let interrupt = &interrupt;
    let way = |ends, tee, counts, progress, is_way_back| Way {
        ends,
        tee,
        arguments,
        counts,
        progress,
        interrupt,
        is_way_back,
    };
    let forth = way(there, tee, &counts.forth, Some(&progress), false);
    let (outcome, other) = match back {
        None => (forth.run(), None),
        Some(ends) => {
            let back = way(ends, None, &counts.back, None, true);
            thread::scope(|scope| {
                let back = scope.spawn(|| {
                    interrupt.attend();
                    back.run()
                });
                let outcome = forth.run();
                (outcome, Some(back.join()))
            })
        }
    };
    progress.clear();
    output::note(&counts.to_string())?;
    let other = match other {
        Some(Ok(outcome)) => Some(outcome),
        Some(Err(_)) => bail!("the thread of the way back has failed"),
        None => None,
    };
    let ways = [Some(outcome), other];
    let mut exit = Ok(interrupt.signal().map_or(Exit::Success, Exit::Stopped));
    for outcome in ways.into_iter().flatten() {
        match outcome {
            Ok(()) => {}
            Err(Failure::Undelivered(undelivered)) => {
                output::complain(&undelivered.save("relay"))?;
                exit = Ok(interrupt.signal().map_or(undelivered.exit, Exit::Stopped));
            }
            Err(Failure::Other(error)) => match exit {
                Err(_) => output::complain(&error)?,
                Ok(_) => exit = Err(error),
            },
        }
    }
    exit
}

/// Why a direction has ended before its end.
enum Failure {
    /// This was taken and could not be passed on.
    Undelivered(Box<Undelivered>),
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// Refuses what the two mechanisms cannot do, before anything is opened.
fn check(arguments: &Relay) -> anyhow::Result<()> {
    let (from, to) = (&arguments.from, &arguments.to);
    let has = |options: &Address, name| options.options().has(name);
    applies::check(applies::RELAY, "relay from", from, |flag| match flag {
        "--both" => arguments.both,
        "--pass-fds" => arguments.pass_fds,
        "--connect" => arguments.connect,
        _ => false,
    })?;
    applies::check(applies::RELAY, "relay to", to, |flag| match flag {
        "--both" => arguments.both,
        "--pass-fds" => arguments.pass_fds,
        "--listen" => arguments.listen,
        _ => false,
    })?;
    if has(from, OptionName::Prio) {
        bail!("cannot relay from {from}: ?prio= is a priority to send with; it belongs to B");
    }
    if arguments.create && !creates(from) && !creates(to) {
        bail!(
            "cannot relay from {from} to {to}: --create applies to neither, for none can be made beforehand"
        );
    }
    Ok(())
}

fn creates(address: &Address) -> bool {
    let listens = Capabilities::of(address.endpoint()).is_some_and(|can| can.listens);
    !listens && address.endpoint().options().any(|option| option == OptionName::Create)
}

/// One direction's ends, and what must stay open as long as they do.
struct Ends {
    receiver: Receiver,
    sender: Sender,
    /// The unused halves of connections: their end would be taken for the end of the conversation.
    _unused: (Option<Sender>, Option<Receiver>),
}

/// Opens what is needed for one direction or both; `None` if the user stopped it meanwhile.
fn open(arguments: &Relay, interrupt: &Interrupt) -> anyhow::Result<Option<(Ends, Option<Ends>)>> {
    let from_side = if arguments.connect { Side::Connect } else { Side::Listen };
    let to_side = if arguments.listen { Side::Listen } else { Side::Connect };
    let opening = |address: &Address, side| {
        let create = arguments.create && creates(address);
        let sided = Capabilities::of(address.endpoint()).is_some_and(|can| can.listens);
        channel::opening(address, create, sided.then_some(side), Some(arguments.framing))
    };
    let (from, to) = (opening(&arguments.from, from_side)?, opening(&arguments.to, to_side)?);
    if arguments.both {
        let Some((to_receiver, from_receiver)) = open_both(&from, &to, interrupt)? else { return Ok(None) };
        return Ok(Some((to_receiver, Some(from_receiver))));
    }
    // B first: nobody should be heard before there is somebody to tell.
    let Some(sender) = patiently(interrupt, |wait| to.clone().wait(wait).sender())? else { return Ok(None) };
    let is_one_stream = is_raw(&arguments.from, arguments.framing) && from_side == Side::Listen;
    let (receiver, unused) = if is_one_stream {
        let listener = from.listener()?;
        let Some(connection) = patiently(interrupt, |wait| listener.accept_wait(wait))? else {
            return Ok(None);
        };
        let (unused, receiver) = connection.split();
        (receiver, Some(unused))
    } else {
        match patiently(interrupt, |wait| from.clone().wait(wait).receiver())? {
            Some(receiver) => (receiver, None),
            None => return Ok(None),
        }
    };
    Ok(Some((Ends { receiver, sender, _unused: (unused, None) }, None)))
}

/// A connection at each end.
fn open_both(from: &Opening, to: &Opening, interrupt: &Interrupt) -> anyhow::Result<Option<(Ends, Ends)>> {
    let connection = |opening: &Opening| patiently(interrupt, |wait| opening.clone().wait(wait).duplex());
    let Some(there): Option<Duplex> = connection(from)? else { return Ok(None) };
    let Some(here) = connection(to)? else { return Ok(None) };
    let ((from_sender, from_receiver), (to_sender, to_receiver)) = (there.split(), here.split());
    let forth = Ends { receiver: from_receiver, sender: to_sender, _unused: (None, None) };
    let back = Ends { receiver: to_receiver, sender: from_sender, _unused: (None, None) };
    Ok(Some((forth, back)))
}

/// Whether an address leads to a stream of bytes, with a listening side, in which nothing tells messages apart.
fn is_raw(address: &Address, framing: Framing) -> bool {
    let can = Capabilities::of(address.endpoint());
    let is_stream = can.is_some_and(|can| {
        can.listens
            && can.direction == Direction::BothWays
            && can.boundaries == twixt::channel::Boundaries::Framed
            && address.options().capacity() != Some(0)
    });
    is_stream && address.options().framing().unwrap_or(framing) == Framing::Raw
}

/// How messages are told apart at an end that is a stream of bytes.
fn framing(address: &Address, arguments: &Relay) -> Framing {
    address.options().framing().unwrap_or(arguments.framing)
}

/// Whether what is moved shows up where the progress would.
fn ends_at_the_terminal(arguments: &Relay) -> bool {
    let stdio = Endpoint::Stdio;
    let ends = [arguments.from.endpoint(), arguments.to.endpoint()];
    ends.contains(&&stdio) && (io::stdin().is_terminal() || io::stdout().is_terminal())
}

/// Waits for something until the user stops it.
fn patiently<T>(
    interrupt: &Interrupt,
    mut open: impl FnMut(Wait) -> twixt::os::Result<T>,
) -> anyhow::Result<Option<T>> {
    loop {
        match open(interrupt.wait(None)) {
            Ok(opened) => return Ok(Some(opened)),
            Err(error) if error.kind() == ErrorKind::Interrupted && interrupt.is_due() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Tells the counts whenever SIGUSR1 comes.
fn report_on(reports: SignalFd, counts: Arc<Counts>) -> anyhow::Result<()> {
    let report = move || {
        while reports.receive().is_ok() {
            let _ = output::note(&counts.to_string());
        }
    };
    thread::Builder::new().name("report".to_owned()).spawn(report)?;
    Ok(())
}

/// One direction.
struct Way<'a> {
    ends: Ends,
    tee: Option<File>,
    arguments: &'a Relay,
    counts: &'a counts::Way,
    progress: Option<&'a Progress>,
    interrupt: &'a Interrupt,
    /// Whether it goes from B to A.
    is_way_back: bool,
}

impl Way<'_> {
    /// Where it comes from.
    fn from(&self) -> &Address {
        if self.is_way_back { &self.arguments.to } else { &self.arguments.from }
    }

    /// Where it goes.
    fn to(&self) -> &Address {
        if self.is_way_back { &self.arguments.from } else { &self.arguments.to }
    }

    /// So much more was moved.
    fn moved(&self, messages: u64, bytes: usize) {
        self.counts.add(messages, bytes as u64);
        if let Some(progress) = self.progress {
            progress.add(messages, bytes as u64);
        }
    }

    /// Moves until the end, and tells the receiver of it.
    fn run(mut self) -> Result<(), Failure> {
        let arguments = self.arguments;
        let are_raw =
            [&arguments.from, &arguments.to].iter().all(|it| framing(it, arguments) == Framing::Raw);
        let by_message = arguments.count.is_some() || matches!(arguments.rate, Some(Limit::Messages(_)));
        let has_timeout = [&arguments.from, &arguments.to].iter().any(|it| it.options().timeout().is_some());
        let in_kernel = are_raw && !by_message && !arguments.pass_fds && !has_timeout;
        let pace = pace::Pace::new(arguments.rate);
        let is_spliced = in_kernel && self.splice(pace.clone())?;
        if !is_spliced {
            self.messages(pace)?;
        }
        loop {
            match self.ends.sender.flush(self.interrupt.wait(None)) {
                Err(error) if error.kind() == ErrorKind::Interrupted && !self.interrupt.is_due() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
                Err(error) => return Err(error.into()),
                Ok(()) => break,
            }
        }
        let asks = is_spliced && matches!(self.from().endpoint(), Endpoint::Exec(_));
        let Ends { mut receiver, sender, _unused } = self.ends;
        match sender.close(Wait::forever().interruptible()) {
            // Nothing is held back any more: the receiver has all there is.
            Err(error) if matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::Interrupted) => {}
            closed => closed?,
        }
        // What a command ended with, its bytes alone do not say.
        while asks && !self.interrupt.is_due() {
            match receiver.receive_wait(&mut Message::new(), self.interrupt.wait(None)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() != ErrorKind::PeerGone => return Err(error.into()),
                _ => break,
            }
        }
        Ok(())
    }
}
