//! From one producer to all of several consumers.

use std::num::NonZeroUsize;

use shaq::broadcast::{self, BroadcastConfig, Consumer, Producer, ProducerId};
use twixt::bench::{Ends, Failure, Incoming, Outgoing, Receive, Result, Role, Send, Setup, Transport, never};

use super::{Slot, batch, make, open, room, slots, supports};

/// A party's part: the publisher makes the queue.
pub struct Broadcast<const N: usize> {
    setup: Setup,
    own: Option<broadcast::Broadcast<Slot<N>>>,
}

impl<const N: usize> Transport for Broadcast<N> {
    type Sender = Writer<N>;
    type Receiver = Reader<N>;

    fn supports(setup: &Setup) -> Result<()> {
        supports(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let own = match setup.role {
            Role::Publisher(_) => {
                let config = BroadcastConfig {
                    capacity: slots::<N>(setup),
                    producer_slots: 1,
                    consumer_slots: setup.workload.subscribers,
                };
                // SAFETY: the file has just been made, and this process alone initializes it; all use the same type,
                // of which every value is valid everywhere.
                Some(
                    unsafe { broadcast::Broadcast::create(&make(setup, 0)?, config) }
                        .map_err(Failure::failed)?,
                )
            }
            Role::Subscriber(_) => None,
        };
        Ok(Self { setup: setup.clone(), own })
    }

    fn connect(self) -> Result<Ends<Writer<N>, Reader<N>>> {
        let most = NonZeroUsize::new(batch::<N>(&self.setup)).unwrap_or(NonZeroUsize::MIN);
        if let Some(own) = self.own {
            let producer = own.producer(ProducerId::new(0)).map_err(Failure::failed)?;
            return Ok(Ends { sender: Some(Writer { producer }), receiver: None });
        }
        // SAFETY: the publisher has initialized the file for the same type.
        let consumer = unsafe { Consumer::join(&open(&self.setup, 0)?) }.map_err(Failure::failed)?;
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

    fn stop(&mut self, mut message: Outgoing, _: usize) -> Result<()> {
        while !self.try_send(&mut message)? {
            std::thread::yield_now();
        }
        Ok(())
    }
}

pub struct Reader<const N: usize> {
    consumer: Consumer<Slot<N>>,
    most: NonZeroUsize,
}

impl<const N: usize> Receive for Reader<N> {
    #[inline]
    fn try_receive(&mut self, incoming: &mut Incoming) -> Result<bool> {
        let Some(batch) = self.consumer.try_reserve_read_batch(self.most) else { return Ok(false) };
        let len = incoming.len();
        let (first, second) = batch.as_slices();
        for slot in first.iter().chain(second) {
            incoming.check(&slot[..len]);
        }
        Ok(true)
    }

    fn receive(&mut self, _: &mut Incoming) -> Result<()> {
        never("its producers cannot sleep until there is room")
    }
}
