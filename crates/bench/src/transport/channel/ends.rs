//! Sending to several links, and receiving.

use std::time::Duration;

use twixt_address::Endpoint;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::{ErrorKind, Wait};

use super::Kind;
use super::content::Content;
use super::many::{ReceiveMany, SendMany};
use crate::{Incoming, Outgoing, Pattern, Receive, Result, Send, Setup};

/// Sends to all of several, or to one after the other.
pub(crate) struct Senders {
    senders: Vec<Sender>,
    many: Option<SendMany>,
    buffer: Vec<u8>,
    content: Content,
    next: usize,
    broadcasts: bool,
    /// Whether those who receive take the end for the end of all: then all must have arrived before it.
    waits_for_arrival: bool,
    has_stopped: bool,
}

impl Senders {
    pub(super) fn new(setup: &Setup, kind: &Kind, senders: Vec<Sender>) -> Result<Self> {
        let workload = &setup.workload;
        let many = match (workload.pattern, senders.first()) {
            (Pattern::Batch, Some(sender)) => Some(SendMany::over(setup, kind, sender)?),
            _ => None,
        };
        Ok(Self {
            senders,
            many,
            buffer: vec![0; workload.size],
            content: Content::of(kind),
            next: 0,
            broadcasts: workload.pattern == Pattern::Fanout,
            // What is sent over another socket in the same machine is in the receiver's queue at once, but for TCP.
            waits_for_arrival: workload.publishers > 1 && matches!(kind.address.endpoint(), Endpoint::Tcp(_)),
            has_stopped: false,
        })
    }

    #[inline]
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        if !message.is_filled() {
            self.content.fill(message, &mut self.buffer);
        }
        loop {
            match self.senders[self.next].send_wait(&self.buffer, wait) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
            self.next = (self.next + 1) % self.senders.len();
            if !self.broadcasts || self.next == 0 {
                return Ok(true);
            }
        }
    }
}

impl Send for Senders {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.go(message, Wait::never())
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.go(message, Wait::forever()).map(drop)
    }

    fn batch(&self) -> usize {
        self.many.as_ref().map_or(1, SendMany::batch)
    }

    fn send_batch(&mut self, messages: &mut [Outgoing], waits: bool) -> Result<usize> {
        let wait = if waits { Wait::forever() } else { Wait::never() };
        match &mut self.many {
            Some(many) => many.send(messages, wait),
            None => Ok(0),
        }
    }

    /// A stream that could not wait may have kept the rest of a message.
    #[inline]
    fn flush(&mut self) -> Result<()> {
        for sender in &mut self.senders {
            if sender.holds_back() {
                sender.flush(Wait::forever())?;
            }
            while self.waits_for_arrival && sender.len()? != Some(0) {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
        Ok(())
    }

    fn stop(&mut self, message: Outgoing, subscribers: usize) -> Result<()> {
        // The first time there are those who make room. When it is said again, they may be about to go.
        let wait = if self.has_stopped { Wait::never() } else { Wait::forever() };
        self.has_stopped = true;
        // Those who have had the end take nothing more, so that what is behind it may never arrive.
        self.waits_for_arrival = false;
        for _ in 0..subscribers {
            match self.go(&mut message.clone(), wait) {
                Ok(true) => {}
                // The next one may have room.
                Ok(false) => self.next = (self.next + 1) % self.senders.len(),
                Err(crate::Failure::Failed(_)) if wait.is_never() => {}
                Err(failure) => return Err(failure),
            }
        }
        self.flush()
    }
}

/// Receives from a link.
pub(crate) struct Receivers {
    receiver: Receiver,
    many: Option<ReceiveMany>,
    message: Message,
    content: Content,
    /// Whether several connections come together here, so that what the others sent before the end may come behind it.
    gathers: bool,
}

impl Receivers {
    pub(super) fn new(setup: &Setup, kind: &Kind, receiver: Receiver) -> Result<Self> {
        let many = match setup.workload.pattern {
            Pattern::Batch => ReceiveMany::over(setup, kind, &receiver)?,
            _ => None,
        };
        Ok(Self {
            receiver,
            many,
            message: Message::new(),
            content: Content::of(kind),
            gathers: kind.is_connection() && setup.workload.publishers > 1,
        })
    }

    #[inline]
    fn go(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        match self.receiver.receive_wait(&mut self.message, wait) {
            Ok(()) => self.content.check(incoming, self.message.bytes()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if self.gathers && incoming.has_stopped() {
            self.take_the_rest(incoming)?;
        }
        Ok(true)
    }

    #[cold]
    fn take_the_rest(&mut self, incoming: &mut Incoming) -> Result<()> {
        loop {
            match self.receiver.receive_wait(&mut self.message, Wait::never()) {
                Ok(()) => self.content.check(incoming, self.message.bytes()),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::PeerGone) => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Receive for Receivers {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.go(incoming, Wait::never())
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.go(incoming, Wait::forever()).map(drop)
    }

    fn receive_batch(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        let wait = if waits { Wait::forever() } else { Wait::never() };
        if let Some(many) = &mut self.many {
            return many.receive(incoming, wait);
        }
        if !self.go(incoming, wait)? {
            return Ok(false);
        }
        // One read has brought these, too.
        while self.receiver.has_buffered() && !incoming.has_stopped() {
            if !self.go(incoming, Wait::never())? {
                break;
            }
        }
        Ok(true)
    }
}
