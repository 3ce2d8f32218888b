//! A ring in a mapped file: [`ring`].

use twixt_address::Endpoint;
use twixt_os::Result;

use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{Capabilities, Opening, Persistence, Side, connection, ring};

pub(super) struct Mmap;

impl Mechanism for Mmap {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        ring::capabilities(Persistence::File)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        ring::posix_sender(opening, Persistence::File)
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        ring::posix_receiver(opening, Persistence::File)
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        connection::open(self, opening, Side::Connect)
    }

    fn connect(&self, opening: &Opening) -> Result<Halves> {
        ring::posix_connect(opening, Persistence::File)
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        ring::posix_listen(opening, Persistence::File)
    }
}
