//! A ring in POSIX shared memory: [`ring`].

use twixt_address::Endpoint;
use twixt_os::Result;

use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{Capabilities, Opening, Persistence, Side, connection, ring};

pub(super) struct PosixShm;

impl Mechanism for PosixShm {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        ring::capabilities(Persistence::Kernel)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        ring::posix_sender(opening, Persistence::Kernel)
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        ring::posix_receiver(opening, Persistence::Kernel)
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        connection::open(self, opening, Side::Connect)
    }

    fn connect(&self, opening: &Opening) -> Result<Halves> {
        ring::posix_connect(opening, Persistence::Kernel)
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        ring::posix_listen(opening, Persistence::Kernel)
    }
}
