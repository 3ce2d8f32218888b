//! The bus, as a program uses it that knows its calls: messages are written and read in place.

use std::fs;

use twixt_address::BusName;
use twixt_bus::{Capacity, Options, Place, Publisher, Subscriber, SubscriberOptions, Waiting as How, queue};
use twixt_os::{ErrorKind, Wait};

use crate::message::touched_words;
use crate::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Touch, Transport, Waiting,
};

/// The pieces in which a large message is shown while it is written.
const PIECE: usize = 16 << 10;

/// The most messages that go together.
const BATCH: usize = 64;

/// A party's part in a topic, or in two: there and back.
pub(crate) struct Topic {
    setup: Setup,
}

fn failed(error: twixt_os::Error) -> Failure {
    Failure::failed(error)
}

fn options(setup: &Setup) -> Result<Options> {
    let place = Place::at(setup.directory.join("bus")).map_err(failed)?;
    let size = setup.workload.size as u64;
    // Room for a few large ones.
    let bytes = setup.capacity.unwrap_or_else(|| (1 << 20).max(8 * size));
    Ok(Options::new().place(place).create(true).capacity(Capacity::Bounded(bytes)))
}

fn name(index: usize) -> Result<BusName> {
    BusName::new(format!("bench-{index}")).map_err(Failure::failed)
}

fn how(setup: &Setup) -> How {
    match setup.workload.waiting {
        // With more parties than processors, to spin without end keeps the others from running.
        Waiting::Spin => How::Spin,
        Waiting::Block => How::Block,
        Waiting::Adaptive => How::Adaptive,
    }
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
        let directory = setup.directory.join("bus");
        if setup.role == Role::Publisher(0) {
            fs::create_dir(&directory)?;
        }
        Ok(Self { setup: setup.clone() })
    }

    fn connect(self) -> Result<Ends<Out, In>> {
        let setup = &self.setup;
        let options = options(setup)?;
        let is_rtt = setup.workload.pattern == Pattern::Rtt;
        let publish = |index| -> Result<Out> {
            let publisher = Publisher::open_waiting(&name(index)?, &options, how(setup)).map_err(failed)?;
            Ok(Out { publisher, touch: setup.workload.touch })
        };
        let subscribe = |index| -> Result<In> {
            let how = SubscriberOptions::new().waiting(how(setup));
            let subscriber = Subscriber::open_with(&name(index)?, &options, how).map_err(failed)?;
            let spins = setup.workload.waiting == Waiting::Spin && !setup.is_crowded;
            Ok(In { subscriber, spins, words: touched_words(&setup.workload) })
        };
        Ok(match setup.role {
            Role::Publisher(_) => {
                Ends { receiver: if is_rtt { Some(subscribe(1)?) } else { None }, sender: Some(publish(0)?) }
            }
            Role::Subscriber(_) => {
                Ends { receiver: Some(subscribe(0)?), sender: if is_rtt { Some(publish(1)?) } else { None } }
            }
        })
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
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(failed(error)),
        }
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
            match batch.publish_with(message.len(), wait, |room| message.fill_words(room)) {
                Ok(()) => went += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed(error)),
            }
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
        let mut sample = match self.subscriber.receive_wait(wait) {
            Ok(sample) => sample,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
        let (number, is_whole) = if self.words > 1 {
            let mut first = None;
            let mut differences = [0; 8];
            sample
                .read_lines(|line| {
                    let number = *first.get_or_insert(line[0]);
                    for (difference, word) in differences.iter_mut().zip(line) {
                        *difference |= word ^ number;
                    }
                })
                .map_err(failed)?;
            // Not a comparison of arrays: that would be a call, which waits for all of them to be stored.
            (first.unwrap_or_default(), differences.iter().fold(0, |all, it| all | it) == 0)
        } else {
            (sample.first_word().map_err(failed)?, true)
        };
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
        let directory = setup.directory.join("bus");
        if setup.role == Role::Publisher(0) {
            fs::create_dir(&directory)?;
        }
        Ok(Self { setup: setup.clone() })
    }

    fn connect(self) -> Result<Ends<Giver, Worker>> {
        let setup = &self.setup;
        let options = options(setup)?;
        let is_rtt = setup.workload.pattern == Pattern::Rtt;
        let give = |index| -> Result<Giver> {
            let producer =
                queue::Producer::open_waiting(&name(index)?, &options, how(setup)).map_err(failed)?;
            Ok(Giver { producer })
        };
        let work = |index| -> Result<Worker> {
            let prefetch = if is_rtt { 1 } else { BATCH };
            let how = queue::ConsumerOptions::new().waiting(how(setup)).prefetch(prefetch);
            let consumer = queue::Consumer::open_with(&name(index)?, &options, how).map_err(failed)?;
            Ok(Worker { consumer, words: touched_words(&setup.workload) })
        };
        Ok(match setup.role {
            Role::Publisher(_) => {
                Ends { receiver: if is_rtt { Some(work(1)?) } else { None }, sender: Some(give(0)?) }
            }
            Role::Subscriber(_) => {
                Ends { receiver: Some(work(0)?), sender: if is_rtt { Some(give(1)?) } else { None } }
            }
        })
    }
}

/// Sends to a queue.
pub(crate) struct Giver {
    producer: queue::Producer,
}

impl Giver {
    #[inline(always)]
    fn go(&mut self, message: &mut Outgoing, wait: Wait) -> Result<bool> {
        match self.producer.send_with(message.len(), wait, |room| message.fill_words(room)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(failed(error)),
        }
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
            match batch.send_with(message.len(), wait, |room| message.fill_words(room)) {
                Ok(()) => went += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(went)
    }
}

/// Receives from a queue, and acknowledges each message when it has read it.
pub(crate) struct Worker {
    consumer: queue::Consumer,
    words: usize,
}

impl Worker {
    #[inline(always)]
    fn take(&mut self, incoming: &mut Incoming, wait: Wait) -> Result<bool> {
        let job = match self.consumer.receive_wait(wait) {
            Ok(job) => job,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(failed(error)),
        };
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
