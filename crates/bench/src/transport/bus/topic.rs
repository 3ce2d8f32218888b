//! Topics.

use twixt_bus::{Publisher, Subscriber, SubscriberOptions, Visit};
use twixt_os::Wait;

use super::{BATCH, PIECE, ends, failed, how, make_place, name, rings, unless_it_blocks};
use crate::message::touched_words;
use crate::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Touch, Transport, Waiting,
};

/// A party's part in a topic, or in two: there and back.
pub(crate) struct Topic {
    setup: Setup,
}

impl Transport for Topic {
    type Sender = Out;
    type Receiver = In;

    fn supports(setup: &Setup) -> Result<()> {
        match setup.workload.pattern {
            Pattern::Work => Err(Failure::Unsupported("every subscriber has every message".into())),
            _ => Ok(()),
        }
    }

    /// A ring that a second-level cache holds, or one with room for more.
    fn capacities(setup: &Setup) -> Vec<Option<u64>> {
        if setup.capacity.is_some() {
            return vec![setup.capacity];
        }
        // A message takes less than half of its ring.
        let least = (2 * setup.workload.size as u64 + 256).next_power_of_two();
        vec![None, Some(least.max(256 << 10))]
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        if setup.role == Role::Publisher(0) {
            make_place(setup)?;
        }
        Ok(Self { setup: setup.clone() })
    }

    fn connect(self) -> Result<Ends<Out, In>> {
        let setup = &self.setup;
        let options = rings(setup)?;
        ends(
            setup,
            |index| {
                let publisher =
                    Publisher::open_waiting(&name(index)?, &options, how(setup)).map_err(failed)?;
                Ok(Out { publisher, touch: setup.workload.touch })
            },
            |index| {
                let how = SubscriberOptions::new().waiting(how(setup));
                let subscriber = Subscriber::open_with(&name(index)?, &options, how).map_err(failed)?;
                let spins = setup.workload.waiting == Waiting::Spin && !setup.is_crowded;
                let is_asked = setup.workload.pattern == Pattern::Rtt;
                Ok(In { subscriber, spins, is_asked, words: touched_words(&setup.workload) })
            },
        )
    }
}

/// Publishes.
pub(crate) struct Out {
    publisher: Publisher,
    touch: Touch,
}

impl Out {
    #[inline(always)]
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        let outcome = if message.len() > PIECE && self.touch == Touch::All {
            self.flow(message, wait)
        } else {
            self.publisher.publish_with(message.len(), wait, |room| message.fill_words(room))
        };
        unless_it_blocks(outcome).map(|went| went.is_some())
    }

    fn flow(&mut self, message: &mut Outgoing, wait: Wait) -> twixt_os::Result<()> {
        let mut flow = self.publisher.flow_wait(message.len(), wait)?;
        while flow.remaining() > 0 {
            let piece = PIECE.min(flow.remaining());
            message.fill_part(flow.next(piece));
            flow.show(piece);
        }
        flow.finish()
    }
}

impl Send for Out {
    #[inline(always)]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        self.go(message, Wait::never())
    }

    #[inline]
    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        self.go(message, Wait::forever()).map(drop)
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn send_batch(&mut self, messages: &mut [Outgoing], waits: bool) -> Result<usize> {
        let Some(len) = messages.first().map(Outgoing::len) else { return Ok(0) };
        let wait = if waits { Wait::forever() } else { Wait::never() };
        let most = messages.len();
        let mut messages = messages.iter_mut();
        let outcome = self.publisher.publish_batch(most, len, wait, |room| {
            if let Some(message) = messages.next() {
                message.fill_words(room);
            }
        });
        Ok(unless_it_blocks(outcome)?.unwrap_or(0))
    }

    /// All subscribers see the same messages: one is enough.
    fn stop(&mut self, mut message: Outgoing, _: usize) -> Result<()> {
        self.send(&mut message)
    }
}

/// Receives.
pub(crate) struct In {
    subscriber: Subscriber,
    /// Whether to wait is left to the subscriber, which has a processor of its own.
    spins: bool,
    /// Whether messages are waited for one by one.
    is_asked: bool,
    words: usize,
}

impl In {
    /// One message; or as many as are there, where they are not read while they are written.
    #[inline(always)]
    fn take(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        if self.is_asked || self.words * 8 > PIECE {
            self.take_one(incoming, wait)
        } else {
            self.take_some(incoming, wait)
        }
    }

    #[inline(always)]
    fn take_one(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        // One that is read while it is written has to be waited for; otherwise it would be read from its beginning each time.
        let wait = if self.words * 8 > PIECE { Wait::forever() } else { wait };
        let Some(mut sample) = unless_it_blocks(self.subscriber.receive_wait(wait))? else {
            return Ok(false);
        };
        let number = sample.first_word().map_err(failed)?;
        let mut alike = Alike::to(number);
        if self.words > 1 {
            sample.visit(&mut alike).map_err(failed)?;
        }
        incoming.check_number_of(number, alike.is_all());
        Ok(true)
    }

    fn take_some(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        let (words, mut failure) = (self.words, None);
        let received = self.subscriber.receive_batch(BATCH, wait, |message| {
            let outcome = message.first_word().and_then(|number| {
                let mut alike = Alike::to(number);
                if words > 1 {
                    message.visit(&mut alike)?;
                }
                incoming.check_number_of(number, alike.is_all());
                Ok(())
            });
            if let Err(error) = outcome {
                failure = Some(error);
            }
        });
        match failure {
            Some(error) => Err(failed(error)),
            None => Ok(unless_it_blocks(received)?.is_some()),
        }
    }

    fn wait(&self) -> Wait {
        if self.spins { Wait::forever() } else { Wait::never() }
    }
}

impl Receive for In {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.take(incoming, self.wait())
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.take(incoming, Wait::forever()).map(drop)
    }
}

/// Whether all words that were seen are the same.
///
/// Of two words at a time, as one vector: the fewer instructions a line takes, the more lines a processor waits for at once.
struct Alike {
    number: u64,
    differences: [u64; 2],
    rest: u64,
}

impl Alike {
    #[inline(always)]
    fn to(number: u64) -> Self {
        Self { number, differences: [0; 2], rest: 0 }
    }

    #[inline(always)]
    fn is_all(&self) -> bool {
        // Not a comparison of arrays: that would be a call, which waits for all of them to be stored.
        self.differences.iter().fold(self.rest, |all, it| all | it) == 0
    }
}

impl Visit for Alike {
    #[inline(always)]
    fn line(&mut self, line: &[u64; 8]) {
        for pair in line.as_chunks::<2>().0 {
            for (difference, word) in self.differences.iter_mut().zip(pair) {
                *difference |= word ^ self.number;
            }
        }
    }

    #[inline(always)]
    fn rest(&mut self, words: &[u64]) {
        self.rest |= words.iter().fold(0, |all, word| all | (word ^ self.number));
    }
}
