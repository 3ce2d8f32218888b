//! Queues.

use std::time::Duration;

use twixt_bus::queue::{Consumer, ConsumerOptions, Producer};
use twixt_os::{Deadline, Wait};

use super::{BATCH, ends, failed, how, make_place, name, rings, unless_it_blocks};
use crate::message::touched_words;
use crate::{Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport};

/// How long the end of a run waits for those who are to take what was sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// A party's part in a queue, or in two: there and back.
pub(crate) struct Queue {
    setup: Setup,
}

impl Transport for Queue {
    type Sender = Giver;
    type Receiver = Worker;

    fn supports(setup: &Setup) -> Result<()> {
        match setup.workload.pattern {
            Pattern::Fanout => Err(Failure::Unsupported("each message goes to one consumer".into())),
            _ => Ok(()),
        }
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        if setup.role == Role::Publisher(0) {
            make_place(setup)?;
        }
        Ok(Self { setup: setup.clone() })
    }

    fn connect(self) -> Result<Ends<Giver, Worker>> {
        let setup = &self.setup;
        let options = rings(setup)?;
        let is_rtt = setup.workload.pattern == Pattern::Rtt;
        ends(
            setup,
            |index| {
                let producer = Producer::open_waiting(&name(index)?, &options, how(setup)).map_err(failed)?;
                Ok(Giver { producer })
            },
            |index| {
                let prefetch = if is_rtt { 1 } else { BATCH };
                let how = ConsumerOptions::new().waiting(how(setup)).prefetch(prefetch);
                let consumer = Consumer::open_with(&name(index)?, &options, how).map_err(failed)?;
                Ok(Worker { consumer, words: touched_words(&setup.workload) })
            },
        )
    }
}

/// Sends to a queue.
pub(crate) struct Giver {
    producer: Producer,
}

impl Giver {
    #[inline(always)]
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        let outcome = self.producer.send_with(message.len(), wait, |room| message.fill_words(room));
        unless_it_blocks(outcome).map(|went| went.is_some())
    }
}

impl Send for Giver {
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
        let mut batch = self.producer.batch();
        let mut went = 0;
        for message in messages {
            let wait = if went == 0 { wait } else { Wait::never() };
            let outcome = batch.send_with(message.len(), wait, |room| message.fill_words(room));
            if unless_it_blocks(outcome)?.is_none() {
                break;
            }
            went += 1;
        }
        Ok(went)
    }

    /// Each producer has a ring of its own: what the others have sent is not before this one's messages. So all has to be
    /// taken first, but for as long as a run may take.
    fn stop(&mut self, message: Outgoing, subscribers: usize) -> Result<()> {
        let end = Deadline::after(PATIENCE);
        while !self.producer.is_empty().map_err(failed)? && !end.has_passed() {
            std::thread::sleep(Duration::from_millis(1));
        }
        (0..subscribers).try_for_each(|_| self.send(&mut message.clone()))
    }
}

/// Receives from a queue, and acknowledges each message when it has read it.
pub(crate) struct Worker {
    consumer: Consumer,
    words: usize,
}

impl Worker {
    #[inline(always)]
    fn take(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        let Some(job) = unless_it_blocks(self.consumer.receive_wait(wait))? else { return Ok(false) };
        let number = job.first_word().map_err(failed)?;
        let mut difference = 0;
        if self.words > 1 {
            job.read_words(|word| difference |= word ^ number).map_err(failed)?;
        }
        job.acknowledge().map_err(failed)?;
        incoming.check_number_of(number, difference == 0);
        Ok(true)
    }
}

impl Receive for Worker {
    #[inline(always)]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        self.take(incoming, Wait::never())
    }

    #[inline]
    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        self.take(incoming, Wait::forever()).map(drop)
    }
}
