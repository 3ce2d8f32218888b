//! Standard input and output.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use twixt_address::{Endpoint, Framing};
use twixt_os::{Error, Result};

use crate::half::{Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{Capabilities, Capacities, Direction, Opening, stream};

pub(super) struct Stdio;

impl Mechanism for Stdio {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        let capacities = Capacities::empty();
        Capabilities { direction: Direction::BothWays, capacities, ..stream::capabilities(Framing::Lines) }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let stdout = copy(std::io::stdout().as_fd(), opening)?;
        stream::sender_over(stdout, opening.framing_or(Framing::Lines), &Origin::of(opening))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let stdin = copy(std::io::stdin().as_fd(), opening)?;
        stream::receiver_over(stdin, opening.framing_or(Framing::Lines), &Origin::of(opening))
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        Ok((self.sender(opening)?, self.receiver(opening)?))
    }
}

/// A descriptor of our own for the same description, which others share.
fn copy(stream: BorrowedFd<'_>, opening: &Opening) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(stream, 3).map_err(|errno| {
        let origin = Origin::of(opening);
        Error::kernel(origin.mechanism, "open", origin.object, errno)
    })
}
