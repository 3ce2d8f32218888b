//! Commands: what is sent is their standard input, what is received their standard output.

use std::sync::{Arc, Mutex};

use twixt_address::{Endpoint, Framing};
use twixt_os::popen::Command;
use twixt_os::{ErrorKind, Result};

use crate::half::{Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::stream::{self, CommandSink, CommandSource, StreamReceiver, StreamSender};
use crate::{Capabilities, Capacities, Direction, Opening};

pub(super) struct Exec;

impl Mechanism for Exec {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(Framing::Lines)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let (writer, job) = command(opening)?.write()?.into_parts()?;
        let framing = opening.framing_or(Framing::Lines);
        let origin = Origin::of(opening);
        let sink = CommandSink::new(writer, Arc::new(Mutex::new(job)), origin.object.clone());
        Ok(Box::new(StreamSender::new(sink, framing, capabilities(framing), origin)))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let (reader, job) = command(opening)?.read()?.into_parts()?;
        let framing = opening.framing_or(Framing::Lines);
        let origin = Origin::of(opening);
        let source = CommandSource::new(reader, Arc::new(Mutex::new(job)), origin.object.clone());
        Ok(Box::new(StreamReceiver::new(source, framing, capabilities(framing), origin)))
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        let (writer, reader, job) = command(opening)?.duplex()?.into_parts()?;
        let framing = opening.framing_or(Framing::Lines);
        let origin = Origin::of(opening);
        let job = Arc::new(Mutex::new(job));
        let sink = CommandSink::new(writer, Arc::clone(&job), origin.object.clone());
        let source = CommandSource::new(reader, job, origin.object.clone());
        Ok(stream::halves((sink, source), framing, &capabilities(framing), &origin))
    }
}

fn capabilities(framing: Framing) -> Capabilities {
    let capacities = Capacities::empty();
    Capabilities { direction: Direction::BothWays, capacities, ..stream::capabilities(framing) }
}

fn command(opening: &Opening) -> Result<Command> {
    match opening.endpoint() {
        Endpoint::Exec(command) => Ok(Command::shell(command.as_os_str())),
        _ => Err(opening.refused("open", ErrorKind::InvalidInput, "it is not a command")),
    }
}
