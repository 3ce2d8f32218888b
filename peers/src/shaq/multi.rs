//! From any of several producers to any of several consumers.

use std::num::NonZeroUsize;

use shaq::mpmc::{Consumer, Producer, minimum_file_size};
use twixt::bench::{Ends, Failure, Incoming, Outgoing, Receive, Result, Role, Send, Setup, Transport, never};

use super::{Slot, make, open, room, slots, supports};

/// A party's part: the first publisher makes the queue.
pub struct Multi<const N: usize> {
    setup: Setup,
    own: Option<Producer<Slot<N>>>,
}

impl<const N: usize> Transport for Multi<N> {
    type Sender = Writer<N>;
    type Receiver = Reader<N>;

    fn supports(setup: &Setup) -> Result<()> {
        supports(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let own = (setup.role == Role::Publisher(0)).then(|| {
            let size = minimum_file_size::<Slot<N>>(slots::<N>(setup));
            // SAFETY: the file has just been made, and this process alone initializes it; all use the same type, of
            // which every value is valid everywhere.
            unsafe { Producer::create(&make(setup, 0)?, size) }.map_err(Failure::failed)
        });
        Ok(Self { setup: setup.clone(), own: own.transpose()? })
    }

    fn connect(self) -> Result<Ends<Writer<N>, Reader<N>>> {
        if let Some(producer) = self.own {
            return Ok(Ends { sender: Some(Writer { producer }), receiver: None });
        }
        let file = open(&self.setup, 0)?;
        if let Role::Publisher(_) = self.setup.role {
            // SAFETY: the first publisher has initialized the file for the same type.
            let producer = unsafe { Producer::join(&file) }.map_err(Failure::failed)?;
            return Ok(Ends { sender: Some(Writer { producer }), receiver: None });
        }
        // SAFETY: as above.
        let consumer = unsafe { Consumer::join(&file) }.map_err(Failure::failed)?;
        // So many that each of the others finds some, too.
        let share = slots::<N>(&self.setup) / 4 / self.setup.workload.subscribers;
        let most = NonZeroUsize::new(share.min(MOST)).unwrap_or(NonZeroUsize::MIN);
        Ok(Ends { sender: None, receiver: Some(Reader { consumer, most }) })
    }
}

pub struct Writer<const N: usize> {
    producer: Producer<Slot<N>>,
}

impl<const N: usize> Send for Writer<N> {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        // SAFETY: the slot holds a message, or zeros, before it is written to, and a message afterwards.
        let Some(mut slot) = (unsafe { self.producer.try_reserve_write() }) else { return Ok(false) };
        message.fill(room(slot.as_mut(), message.len()));
        Ok(true)
    }

    fn send(&mut self, _: &mut Outgoing) -> Result<()> {
        never("its producers cannot sleep until there is room")
    }

    fn stop(&mut self, message: Outgoing, subscribers: usize) -> Result<()> {
        for _ in 0..subscribers {
            while !self.try_send(&mut message.clone())? {
                std::thread::yield_now();
            }
        }
        Ok(())
    }
}

/// How many messages a consumer takes at once at the most: as many as in the library's example. Slots are given back in the
/// order in which they were taken, and whoever comes later spins until all before it have: it does not give its CPU up. Where
/// there are more parties than CPUs, one that was put aside with messages in its hand keeps all others spinning for a turn of
/// the scheduler: with one message at a time, a run in which that happens goes on for minutes.
const MOST: usize = 1024;

pub struct Reader<const N: usize> {
    consumer: Consumer<Slot<N>>,
    most: NonZeroUsize,
}

impl<const N: usize> Receive for Reader<N> {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let Some(batch) = self.consumer.try_reserve_read_batch(self.most) else { return Ok(false) };
        let len = incoming.len();
        for slot in batch.iter() {
            incoming.check(&slot[..len]);
        }
        Ok(true)
    }

    fn receive(&mut self, _: &mut Incoming) -> Result<()> {
        never("its producers cannot sleep until there is room")
    }
}
