//! Anonymous pipes.

use twixt_address::{Endpoint, Framing};
use twixt_os::{ErrorKind, Result, pipe};

use crate::half::{Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::stream::{self, PipeSink, PipeSource};
use crate::{Capabilities, Capacity, Opening};

pub(super) struct Pipe;

const NAMELESS: &str =
    "a pipe has no name to open it by; Opening::pair makes both ends, and fd:N is an inherited one";

impl Mechanism for Pipe {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        stream::capabilities(Framing::Frame)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        Err(opening.refused("open", ErrorKind::Unsupported, NAMELESS))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        Err(opening.refused("open", ErrorKind::Unsupported, NAMELESS))
    }

    fn pair(&self, opening: &Opening) -> Result<Halves> {
        let (reader, writer) = pipe::create()?;
        if let Some(Capacity::Bytes(bytes)) = opening.capacity() {
            writer.set_capacity(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        }
        let framing = opening.framing_or(Framing::Frame);
        let ends = (PipeSink::new(writer), PipeSource(reader));
        Ok(stream::halves(ends, framing, &stream::capabilities(framing), &Origin::of(opening)))
    }
}
