//! A ring in System V shared memory: [`ring`].

use twixt_address::Endpoint;
use twixt_os::Result;

use crate::half::{Accept, Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::{Capabilities, Opening, Persistence, Side, connection, ring};

pub(super) struct SysvShm;

impl Mechanism for SysvShm {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        ring::capabilities(Persistence::Kernel)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        ring::sysv_sender(opening)
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        ring::sysv_receiver(opening)
    }

    fn duplex(&self, opening: &Opening) -> Result<Halves> {
        connection::open(self, opening, Side::Connect)
    }

    fn connect(&self, opening: &Opening) -> Result<Halves> {
        ring::sysv_connect(opening)
    }

    fn listener(&self, opening: &Opening) -> Result<Box<dyn Accept>> {
        ring::sysv_listen(opening)
    }
}
