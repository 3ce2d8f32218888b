//! Latest values: there and back only, since otherwise a receiver need not see each.

use twixt_bus::{LatestReader, LatestWriter, Version};
use twixt_os::Wait;

use super::{ends, failed, how, make_place, name, names};
use crate::{Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport};

/// A party's part in two states: there and back.
pub(crate) struct Latest {
    setup: Setup,
}

impl Transport for Latest {
    type Sender = Writing;
    type Receiver = Reading;

    fn supports(setup: &Setup) -> Result<()> {
        let why = match (setup.workload.pattern, setup.capacity) {
            (Pattern::Rtt, None) => return Ok(()),
            (Pattern::Rtt, Some(_)) => "it has no capacity: a value takes the place of the one before",
            _ => "a value takes the place of the one before: only in a round trip is each of them read",
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        if setup.role == Role::Publisher(0) {
            make_place(setup)?;
        }
        Ok(Self { setup: setup.clone() })
    }

    fn connect(self) -> Result<Ends<Writing, Reading>> {
        let setup = &self.setup;
        let options = names(setup)?.message_size(setup.workload.size as u64);
        ends(
            setup,
            |index| {
                LatestWriter::open(&name(index)?, &options).map(|writer| Writing { writer }).map_err(failed)
            },
            |index| {
                let reader =
                    LatestReader::open_waiting(&name(index)?, &options, how(setup)).map_err(failed)?;
                Ok(Reading { reader, seen: None, value: Vec::with_capacity(setup.workload.size) })
            },
        )
    }
}

/// Writes the value.
pub(crate) struct Writing {
    writer: LatestWriter,
}

impl Send for Writing {
    /// A writer never waits.
    #[inline(always)]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.send(message).map(|()| true)
    }

    #[inline(always)]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.writer.write_with(message.len(), |room| message.fill_words(room)).map(drop).map_err(failed)
    }
}

/// Reads the value whenever there is another.
pub(crate) struct Reading {
    reader: LatestReader,
    seen: Option<Version>,
    /// A copy: what is read in place may be overwritten meanwhile.
    value: Vec<u8>,
}

impl Reading {
    #[inline(always)]
    fn read(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.seen = self.reader.read(&mut self.value).map_err(failed)?;
        incoming.check(&self.value);
        Ok(())
    }
}

impl Receive for Reading {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        // Not a wait that must not be one, which looks each time whether the writer has died.
        if self.reader.version().map_err(failed)? == self.seen {
            return Ok(false);
        }
        self.read(incoming).map(|()| true)
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.reader.wait_for_newer(self.seen, Wait::forever()).map_err(failed)?;
        self.read(incoming)
    }
}
