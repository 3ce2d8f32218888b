//! Capacity zero over a connection: sender and receiver meet.
//!
//! Nothing waits between the two. The sender offers, and sends the message itself only once the receiver has asked for
//! one; it returns when the receiver has taken it:
//!
//! ```text
//! sender                      receiver
//!   send   ── OFFER n ────────►
//!                              receive
//!          ◄─────── READY n ──
//!          ── message, n ────►
//!          ◄─────── TAKEN n ── returns
//!   returns
//! ```
//!
//! A sender whose time is up before `READY` withdraws its offer (`WITHDRAW n`), and nothing of the message has been sent.
//! Once it has sent the message it cannot take it back: it then waits for `TAKEN` as long as it may, and succeeds in any
//! case, since this receive or the next one takes the message. A `try_send` offers, fails, and succeeds when it is tried
//! again after the receiver has asked; it does not wait for `TAKEN`.
//!
//! Each of these is a message of the connection below: eight bytes `n`, little-endian, and one byte that says which;
//! the user's bytes stand before these nine.

use std::collections::VecDeque;

use twixt_os::{Errno, Error, ErrorKind, Result, Wait};

use crate::connection;
use crate::gather::Gather;
use crate::half::{Halves, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::opening::{Opening, Side};
use crate::origin::Origin;
use crate::{Attributes, Capabilities, Capacities, Capacity, Message, Readiness};

pub(crate) fn sender(mechanism: &dyn Mechanism, opening: &Opening) -> Result<Box<dyn SendHalf>> {
    let halves = connection::open(mechanism, opening, Side::Connect)?;
    Ok(Box::new(MeetingSender::new(halves, opening)))
}

pub(crate) fn receiver(mechanism: &dyn Mechanism, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
    let origin = Origin::of(opening);
    let meet = move |(sender, receiver): Halves| -> Box<dyn ReceiveHalf> {
        Box::new(MeetingReceiver { sender, receiver, origin: origin.clone(), owed: VecDeque::new() })
    };
    match opening.side_or(Side::Listen) {
        Side::Listen => Ok(Box::new(Gather::new(mechanism.listener(opening)?, Box::new(meet))?)),
        Side::Connect => Ok(meet(mechanism.connect(opening)?)),
    }
}

const STRANGER: &str = "the other side does not speak the rendezvous; both must be opened with capacity=0";

/// What stands behind the user's bytes.
const TRAILER: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Word {
    Offer = 1,
    Ready = 2,
    Message = 3,
    Taken = 4,
    Withdraw = 5,
}

impl Word {
    const fn trailer(self, number: u64) -> [u8; TRAILER] {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        [a, b, c, d, e, f, g, h, self as u8]
    }

    /// Reads and takes off the trailer.
    fn take(message: &mut Message) -> Option<(Self, u64)> {
        let rest = message.len().checked_sub(TRAILER)?;
        let (number, word) = message.bytes()[rest..].split_first_chunk::<8>()?;
        let number = u64::from_le_bytes(*number);
        let word = match word {
            [1] => Self::Offer,
            [2] => Self::Ready,
            [3] => Self::Message,
            [4] => Self::Taken,
            [5] => Self::Withdraw,
            _ => return None,
        };
        message.set_len(rest);
        Some((word, number))
    }
}

struct MeetingSender {
    sender: Box<dyn SendHalf>,
    receiver: Box<dyn ReceiveHalf>,
    origin: Origin,
    /// The number of the present or next offer.
    number: u64,
    state: State,
    /// The message with its trailer.
    outgoing: Vec<u8>,
    incoming: Message,
}

/// How far the offer of the present number has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is none.
    Idle,
    /// It was made.
    Offered,
    /// The receiver asked for the message.
    Invited,
}

impl MeetingSender {
    fn new((sender, receiver): Halves, opening: &Opening) -> Self {
        Self {
            sender,
            receiver,
            origin: Origin::of(opening),
            number: 0,
            state: State::Idle,
            outgoing: Vec::new(),
            incoming: Message::new(),
        }
    }

    /// Waits until the receiver has said `word` about the present offer. What it says of earlier ones is stale.
    fn hear(&mut self, word: Word, wait: Wait) -> Result<()> {
        // It can answer only what it has got whole.
        self.sender.flush(wait)?;
        let mut patience = Patience::new(wait);
        loop {
            self.incoming.clear();
            self.receiver.receive(&mut self.incoming, wait)?;
            match Word::take(&mut self.incoming) {
                Some((said, number)) if said == word && number == self.number => return Ok(()),
                Some((Word::Ready | Word::Taken, number)) if number <= self.number => {}
                _ => return Err(self.stranger()),
            }
            patience.strain().map_err(|errno| self.origin.kernel("send to", errno))?;
        }
    }

    fn say(&mut self, word: Word, wait: Wait) -> Result<()> {
        self.sender.send(&word.trailer(self.number), &Attributes::NONE, wait)
    }

    fn stranger(&self) -> Error {
        self.origin.refused("send to", ErrorKind::Malformed, STRANGER)
    }

    /// Waits for the invitation. Afterwards the offer stands only if the user may poll for the invitation.
    fn meet(&mut self, wait: Wait) -> Result<()> {
        if self.state == State::Idle {
            self.number += 1;
            self.say(Word::Offer, wait)?;
            self.state = State::Offered;
        }
        match self.hear(Word::Ready, wait) {
            Ok(()) => {
                self.state = State::Invited;
                Ok(())
            }
            Err(error) => {
                if error.kind() != ErrorKind::WouldBlock {
                    self.state = State::Idle;
                    // If this finds no room the offer stands until the next one, which voids it.
                    let _ = self.say(Word::Withdraw, Wait::never());
                }
                Err(error)
            }
        }
    }
}

impl SendHalf for MeetingSender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        if let Some(most) = self.capabilities().max_message
            && bytes.len() > most
        {
            return Err(self.origin.too_long(bytes.len(), most));
        }
        if self.state != State::Invited {
            self.meet(wait)?;
        }
        self.outgoing.clear();
        self.outgoing.extend_from_slice(bytes);
        self.outgoing.extend_from_slice(&Word::Message.trailer(self.number));
        self.sender.send(&self.outgoing, attributes, wait)?;
        self.state = State::Idle;
        if wait.is_never() {
            return Ok(());
        }
        match self.hear(Word::Taken, wait) {
            // The message is on its way and nothing brings it back.
            Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(()),
            heard => heard,
        }
    }

    fn flush(&mut self, wait: Wait) -> Result<()> {
        self.sender.flush(wait)
    }

    fn holds_back(&self) -> bool {
        self.sender.holds_back()
    }

    fn finish(&mut self, wait: Wait) -> Result<()> {
        self.sender.finish(wait)
    }

    fn capabilities(&self) -> Capabilities {
        meeting(self.sender.capabilities())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(Capacity::Zero))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    /// The invitation is what a send waits for, unless the rest of an earlier word has to go first.
    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.sender.holds_back() { self.sender.readiness() } else { self.receiver.readiness() }
    }
}

struct MeetingReceiver {
    sender: Box<dyn SendHalf>,
    receiver: Box<dyn ReceiveHalf>,
    origin: Origin,
    /// The answers that found no room yet, the earliest first.
    owed: VecDeque<(Word, u64)>,
}

impl MeetingReceiver {
    /// Answers, or remembers to.
    fn say(&mut self, word: Word, number: u64, wait: Wait) -> Result<()> {
        if word == Word::Ready {
            // A sender has one offer at a time: this one voids those before.
            self.owed.retain(|&(owed, _)| owed != Word::Ready);
        }
        self.owed.push_back((word, number));
        self.settle(wait)
    }

    /// Sends the answers that are owed.
    fn settle(&mut self, wait: Wait) -> Result<()> {
        while let Some(&(word, number)) = self.owed.front() {
            match self.sender.send(&word.trailer(number), &Attributes::NONE, wait) {
                // A sender that has gone needs no answer. What it sent before can still be received.
                Err(error) if error.kind() != ErrorKind::PeerGone => return Err(error),
                _ => self.owed.pop_front(),
            };
        }
        match self.sender.flush(wait) {
            Err(error) if error.kind() != ErrorKind::PeerGone => Err(error),
            _ => Ok(()),
        }
    }

    fn owes(&self) -> bool {
        !self.owed.is_empty() || self.sender.holds_back()
    }
}

impl ReceiveHalf for MeetingReceiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        if self.owes() {
            self.settle(wait)?;
        }
        let mut patience = Patience::new(wait);
        loop {
            message.clear();
            self.receiver.receive(message, wait)?;
            match Word::take(message) {
                Some((Word::Offer, number)) => {
                    message.clear();
                    self.say(Word::Ready, number, wait)?;
                }
                Some((Word::Withdraw, withdrawn)) => {
                    self.owed.retain(|&owed| owed != (Word::Ready, withdrawn));
                }
                Some((Word::Message, number)) => {
                    // The message is here; if the answer cannot go yet, it goes first the next time.
                    let _ = self.say(Word::Taken, number, wait);
                    return Ok(());
                }
                _ => {
                    message.clear();
                    return Err(self.origin.refused("receive from", ErrorKind::Malformed, STRANGER));
                }
            }
            if let Err(errno) = patience.strain() {
                message.clear();
                return Err(self.origin.kernel("receive from", errno));
            }
        }
    }

    fn has_buffered(&self) -> bool {
        self.receiver.has_buffered()
    }

    fn capabilities(&self) -> Capabilities {
        meeting(self.receiver.capabilities())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        Ok(Some(Capacity::Zero))
    }

    fn len(&self) -> Result<Option<u64>> {
        Ok(Some(0))
    }

    /// An answer that is owed goes before all else.
    fn readiness(&self) -> Option<Readiness<'_>> {
        if self.owes() { self.sender.readiness() } else { self.receiver.readiness() }
    }
}

/// How long to listen to words that bring nothing nearer. A peer may say them faster than they can be heard, and each
/// that is there is heard even after the deadline.
struct Patience {
    wait: Wait,
    /// How many more to hear if there is no deadline that could pass.
    left: u32,
}

impl Patience {
    const fn new(wait: Wait) -> Self {
        Self { wait, left: 1000 }
    }

    /// One more such word was heard.
    fn strain(&mut self) -> Result<(), Errno> {
        if self.wait.has_passed() {
            return Err(Errno::TIMEDOUT);
        }
        self.left = self.left.saturating_sub(1);
        if self.wait.is_never() && self.left == 0 { Err(Errno::AGAIN) } else { Ok(()) }
    }
}

/// What a connection can do once it is one for meeting.
fn meeting(can: Capabilities) -> Capabilities {
    Capabilities {
        max_message: can.max_message.map(|most| most.saturating_sub(TRAILER)),
        capacities: Capacities::ZERO,
        ..can
    }
}
