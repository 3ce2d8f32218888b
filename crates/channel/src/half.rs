//! What a mechanism implements: one half of a channel each.

use std::os::fd::BorrowedFd;

use twixt_os::{Outcome, Prepared, Result, Wait};

use crate::{Attributes, Capabilities, Capacity, Message, Readiness, Select};

/// The half that sends.
pub(crate) trait SendHalf: Send {
    /// Accepts the message, or fails and has taken nothing of it.
    ///
    /// A stream whose time is up in the middle of a message has accepted it: it keeps the rest and sends it first the
    /// next time. The handle has checked that the mechanism has what `attributes` asks for.
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()>;

    /// The system call that sends these bytes, if a single one does: for the handle to make it.
    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        let _ = (bytes, wait);
        None
    }

    /// What becomes of these bytes, whose [prepared](Self::prepare) call has come to `first`, and not to all that it should. Every
    /// half that prepares has this as well.
    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        let _ = first;
        self.send(bytes, &Attributes::NONE, wait)
    }

    /// Passes on what was accepted and kept.
    fn flush(&mut self, wait: Wait) -> Result<()> {
        let _ = wait;
        Ok(())
    }

    /// Whether something was accepted and kept, that [`SendHalf::flush`] would pass on.
    fn holds_back(&self) -> bool {
        false
    }

    /// Tells the receiver that no more will come, where that can be told. Dropping the half does the same without
    /// waiting.
    fn finish(&mut self, wait: Wait) -> Result<()> {
        self.flush(wait)
    }

    /// What this very object can do.
    fn capabilities(&self) -> Capabilities;

    /// How much may wait in it.
    fn capacity(&self) -> Result<Option<Capacity>>;

    /// How much waits in it, in the unit of its capacity.
    fn len(&self) -> Result<Option<u64>>;

    /// What to poll before a send that would block is tried again.
    fn readiness(&self) -> Option<Readiness<'_>>;

    /// How many receive at present, where that can be told.
    fn receivers(&self) -> Result<Option<usize>> {
        Ok(None)
    }

    /// The descriptor that bytes can be moved into directly (`splice(2)`), if the half is a stream of bytes and keeps
    /// nothing back.
    fn stream(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A system call that sends a message.
pub(crate) struct PreparedSend<'a> {
    pub(crate) call: Prepared<'a>,
    /// What it returns if all of the message went.
    pub(crate) whole: usize,
}

impl dyn SendHalf + '_ {
    /// Sends bytes alone.
    ///
    /// Part of its callers up to the user's own, as far as it is the system call: so that nothing is returned from after it,
    /// which some processors take long for ([`Prepared`]).
    #[inline(always)]
    pub(crate) fn send_bytes(&mut self, bytes: &[u8], wait: Wait) -> Result<()> {
        let Some(PreparedSend { call, whole }) = self.prepare(bytes, wait) else {
            return self.send(bytes, &Attributes::NONE, wait);
        };
        match call.make() {
            Ok(sent) if sent == whole => Ok(()),
            first => self.finish_prepared(first, bytes, wait),
        }
    }
}

/// The half that receives.
pub(crate) trait ReceiveHalf: Send {
    /// Receives one message into the cleared `message`, or fails and has lost nothing.
    ///
    /// [`PeerGone`](twixt_os::ErrorKind::PeerGone) once everything was received and nothing can come any more.
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()>;

    /// The system call that receives a message, if a single one does: for the handle to make it.
    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        let _ = (message, wait);
        None
    }

    /// Receives the message, where the [prepared](Self::prepare) call has come to `first`. Every half that prepares has this as
    /// well.
    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        let _ = first;
        self.receive(message, wait)
    }

    /// Which messages are wanted from now on. Only called where the mechanism has types.
    fn select(&mut self, select: Select) {
        let _ = select;
    }

    /// Whether a message stands ready that polling the descriptor would not show, since it was read with another.
    fn has_buffered(&self) -> bool {
        false
    }

    /// What this very object can do.
    fn capabilities(&self) -> Capabilities;

    /// How much may wait in it.
    fn capacity(&self) -> Result<Option<Capacity>>;

    /// How much waits in it, in the unit of its capacity.
    fn len(&self) -> Result<Option<u64>>;

    /// What to poll before a receive that would block is tried again.
    fn readiness(&self) -> Option<Readiness<'_>>;

    /// The descriptor that bytes can be moved out of directly (`splice(2)`), if the half is a stream of bytes and has
    /// nothing buffered.
    fn stream(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The address that others reach it by, where that says more than the one it was opened with (port 0).
    fn address(&self) -> Option<twixt_address::Endpoint> {
        None
    }
}

impl dyn ReceiveHalf + '_ {
    /// Receives a message, the system call as part of its callers, as [`send_bytes`](SendHalf::send_bytes) has it.
    #[inline(always)]
    pub(crate) fn receive_into(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        match self.prepare(message, wait) {
            Some(call) => {
                let first = call.make();
                self.finish_prepared(first, message, wait)
            }
            None => self.receive(message, wait),
        }
    }
}

/// Both halves of a connection. Each half keeps the connection open for its direction.
pub(crate) type Halves = (Box<dyn SendHalf>, Box<dyn ReceiveHalf>);

/// What accepts connections.
pub(crate) trait Accept: Send {
    /// Waits for the next one.
    fn accept(&self, wait: Wait) -> Result<Halves>;

    /// What to poll before an accept that would block is tried again.
    fn readiness(&self) -> Option<Readiness<'_>>;

    /// What the connections can do.
    fn capabilities(&self) -> Capabilities;

    /// The address that others reach it by, with what was left open filled in (port 0).
    fn address(&self) -> Result<twixt_address::Endpoint>;
}
