//! FIFOs.

use twixt_address::{Endpoint, Framing, OptionName};
use twixt_os::fifo::Fifo as Named;
use twixt_os::pipe::PIPE_BUF;
use twixt_os::{ErrorKind, Result};

use crate::framing::overhead;
use crate::half::{ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::stream::{self, FifoSink, FifoSource, StreamReceiver, StreamSender};
use crate::{Capabilities, Capacity, Opening, Parties, Persistence};

pub(super) struct Fifo;

impl Mechanism for Fifo {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(Framing::Frame)
    }

    /// Waits for a reader.
    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let fifo = named(opening)?;
        let writer = fifo.open_write_wait(opening.opening_wait())?;
        if let Some(bytes) = capacity(opening) {
            writer.set_capacity(bytes)?;
        }
        let framing = opening.framing_or(Framing::Frame);
        let sink = FifoSink::new(fifo, writer, framing);
        let half = StreamSender::new(sink, framing, capabilities(framing), Origin::of(opening));
        Ok(Box::new(half))
    }

    /// Waits for nobody: the first receive does.
    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let source = FifoSource::open(named(opening)?)?;
        if let Some(bytes) = capacity(opening) {
            source.reader().set_capacity(bytes)?;
        }
        let framing = opening.framing_or(Framing::Frame);
        let half = StreamReceiver::new(source, framing, capabilities(framing), Origin::of(opening));
        Ok(Box::new(half))
    }
}

fn capabilities(framing: Framing) -> Capabilities {
    let persistence = Persistence::Process;
    // What several write is told apart as long as each write is one piece: 4096 bytes, `PIPE_BUF`. A longer message is sent
    // by one at a time.
    let unmixed = Some(PIPE_BUF - overhead(framing));
    Capabilities { senders: Parties::Many, unmixed, persistence, ..stream::capabilities(framing) }
}

fn capacity(opening: &Opening) -> Option<usize> {
    match opening.capacity() {
        Some(Capacity::Bytes(bytes)) => Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
        _ => None,
    }
}

fn named(opening: &Opening) -> Result<Named> {
    let Endpoint::Fifo(path) = opening.endpoint() else {
        return Err(opening.refused("open", ErrorKind::InvalidInput, "it is not a FIFO"));
    };
    if opening.address().options().create() {
        return Named::open_or_create(path.as_path(), opening.mode());
    }
    opening.without("open", &[OptionName::Mode], "it is for a FIFO that is made, with create")?;
    Named::open(path.as_path()).map_err(|error| match error.kind() {
        ErrorKind::NotFound => error.with_advice("add ?create to the address, or make it with `twixt mk`"),
        _ => error,
    })
}
