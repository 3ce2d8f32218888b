//! Connections: a client's calls, and what a server replies.

use twixt_bus::{Link, LinkReceiver, LinkSender, Listener};
use twixt_os::Wait;

use super::{PIECE, failed, how, make_place, name, rings, unless_it_blocks};
use crate::message::touched_words;
use crate::{Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport};

/// A party's part in a connection.
pub(crate) struct Rpc {
    setup: Setup,
    /// Of the one that answers.
    listener: Option<Listener>,
}

impl Transport for Rpc {
    type Sender = Speaking;
    type Receiver = Hearing;

    fn supports(setup: &Setup) -> Result<()> {
        let why = match setup.workload.pattern {
            Pattern::Rtt | Pattern::Throughput => return Ok(()),
            Pattern::Batch => "it moves one message at a time",
            Pattern::Fanout | Pattern::Work => "a connection goes between two processes",
        };
        Err(Failure::Unsupported(why.into()))
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let listener = match setup.role {
            Role::Publisher(_) => None,
            Role::Subscriber(_) => {
                make_place(setup)?;
                Some(Listener::open_waiting(&name(0)?, &rings(setup)?, how(setup)).map_err(failed)?)
            }
        };
        Ok(Self { setup: setup.clone(), listener })
    }

    fn connect(mut self) -> Result<Ends<Speaking, Hearing>> {
        let setup = &self.setup;
        let link = match &mut self.listener {
            Some(listener) => listener.accept(),
            None => Link::connect_waiting(&name(0)?, &rings(setup)?, Wait::forever(), how(setup)),
        };
        let (sender, receiver) = link.map_err(failed)?.split();
        let sender = Speaking { sender, message: vec![0; setup.workload.size] };
        let receiver = Hearing {
            receiver,
            message: Vec::new(),
            flows: touched_words(&setup.workload) * 8 > PIECE,
            _listener: self.listener,
        };
        Ok(Ends { sender: Some(sender), receiver: Some(receiver) })
    }
}

/// Sends a call, or a reply.
pub(crate) struct Speaking {
    sender: LinkSender,
    message: Vec<u8>,
}

impl Speaking {
    #[inline(always)]
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        if !message.is_filled() {
            message.fill(&mut self.message);
        }
        unless_it_blocks(self.sender.send_wait(&self.message, wait)).map(|went| went.is_some())
    }
}

impl Send for Speaking {
    #[inline(always)]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.go(message, Wait::never())
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.go(message, Wait::forever()).map(drop)
    }
}

/// Receives a call, or a reply.
pub(crate) struct Hearing {
    receiver: LinkReceiver,
    /// A copy, as whoever answers a call has one.
    message: Vec<u8>,
    /// Whether a message is read while it is written.
    flows: bool,
    /// A connection outlives it, but nobody else is to listen at the name meanwhile.
    _listener: Option<Listener>,
}

impl Hearing {
    #[inline(always)]
    fn take(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        // One that is read while it is written has to be waited for; otherwise it would be read from its beginning each time.
        let wait = if self.flows { Wait::forever() } else { wait };
        let Some(mut sample) = unless_it_blocks(self.receiver.receive_wait(wait))? else { return Ok(false) };
        sample.read_into(&mut self.message).map_err(failed)?;
        incoming.check(&self.message);
        Ok(true)
    }
}

impl Receive for Hearing {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.take(incoming, Wait::never())
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.take(incoming, Wait::forever()).map(drop)
    }
}
