//! Topics.

use twixt_bus::{Publisher, Sample, Subscriber, SubscriberOptions};
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
                Ok(In { subscriber, spins, words: touched_words(&setup.workload) })
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
        let wait = if waits { Wait::forever() } else { Wait::never() };
        let mut batch = self.publisher.batch();
        let mut went = 0;
        for message in messages {
            let wait = if went == 0 { wait } else { Wait::never() };
            let outcome = batch.publish_with(message.len(), wait, |room| message.fill_words(room));
            if unless_it_blocks(outcome)?.is_none() {
                break;
            }
            went += 1;
        }
        Ok(went)
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
    words: usize,
}

impl In {
    #[inline(always)]
    fn take(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        // One that is read while it is written has to be waited for; otherwise it would be read from its beginning each time.
        let wait = if self.words * 8 > PIECE { Wait::forever() } else { wait };
        let Some(mut sample) = unless_it_blocks(self.subscriber.receive_wait(wait))? else {
            return Ok(false);
        };
        let (number, is_whole) = read(&mut sample, self.words)?;
        incoming.check_number_of(number, is_whole);
        Ok(true)
    }
}

impl Receive for In {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.take(incoming, if self.spins { Wait::forever() } else { Wait::never() })
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.take(incoming, Wait::forever()).map(drop)
    }

    fn receive_batch(&mut self, incoming: &mut Incoming, waits: bool) -> Result<bool> {
        if !self.take(incoming, if waits || self.spins { Wait::forever() } else { Wait::never() })? {
            return Ok(false);
        }
        // Of those that are waited for, no more is known to come.
        let more = if self.words * 8 > PIECE { 0 } else { BATCH - 1 };
        for _ in 0..more {
            if !self.take(incoming, Wait::never())? {
                break;
            }
        }
        Ok(true)
    }
}

/// The number of a message of which `words` words are looked at, and whether they are all the same.
#[inline(always)]
fn read(sample: &mut Sample<'_>, words: usize) -> Result<(u64, bool)> {
    let number = sample.first_word().map_err(failed)?;
    if words <= 1 {
        return Ok((number, true));
    }
    let (mut differences, mut rest) = ([0; 8], 0);
    sample
        .read_lines(|line| {
            // A length that is known stays in the processor's vectors, which one that is not would have to leave.
            if let Ok(line) = <&[u64; 8]>::try_from(line) {
                for (difference, word) in differences.iter_mut().zip(line) {
                    *difference |= word ^ number;
                }
            } else {
                rest |= line.iter().fold(0, |all, word| all | (word ^ number));
            }
        })
        .map_err(failed)?;
    // Not a comparison of arrays: that would be a call, which waits for all of them to be stored.
    Ok((number, differences.iter().fold(rest, |all, it| all | it) == 0))
}
