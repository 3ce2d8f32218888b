//! From one producer to one consumer.

use std::num::NonZeroUsize;

use shaq::spsc::{Consumer, Producer, ReadBatch, minimum_file_size};
use twixt::bench::{
    Ends, Failure, Incoming, Outgoing, Pattern, Receive, Result, Role, Send, Setup, Transport, never,
};

use super::{LONG, Slot, batch, make, open, room, slots, supports};

/// A party's part: who receives makes the queue, so that there are two of them for a round trip.
pub struct Single<const N: usize> {
    setup: Setup,
    consumer: Option<Consumer<Slot<N>>>,
}

impl<const N: usize> Transport for Single<N> {
    type Sender = Writer<N>;
    type Receiver = Reader<N>;

    fn supports(setup: &Setup) -> Result<()> {
        supports(setup)
    }

    fn prepare(setup: &Setup) -> Result<Self> {
        let own = match setup.role {
            Role::Subscriber(_) => Some(0),
            Role::Publisher(_) => (setup.workload.pattern == Pattern::Rtt).then_some(1),
        };
        let consumer = own.map(|index| {
            let size = minimum_file_size::<Slot<N>>(slots::<N>(setup));
            // SAFETY: the file has just been made by this process, which is its only consumer; all use the same type,
            // of which every value is valid everywhere.
            unsafe { Consumer::create(&make(setup, index)?, size) }.map_err(Failure::failed)
        });
        Ok(Self { setup: setup.clone(), consumer: consumer.transpose()? })
    }

    fn connect(self) -> Result<Ends<Writer<N>, Reader<N>>> {
        let other = match self.setup.role {
            Role::Publisher(_) => Some(0),
            Role::Subscriber(_) => (self.setup.workload.pattern == Pattern::Rtt).then_some(1),
        };
        let batch = batch::<N>(&self.setup);
        let sender = other.map(|index| {
            // SAFETY: this process is the only producer of that queue, and uses the same type as its consumer.
            let producer = unsafe { Producer::join(&open(&self.setup, index)?) }.map_err(Failure::failed)?;
            Ok::<_, Failure>(Writer { producer, batch })
        });
        let most = NonZeroUsize::new(batch).unwrap_or(NonZeroUsize::MIN);
        let receiver = self.consumer.map(|consumer| Reader { consumer, most });
        Ok(Ends { sender: sender.transpose()?, receiver })
    }
}

pub struct Writer<const N: usize> {
    producer: Producer<Slot<N>>,
    batch: usize,
}

impl<const N: usize> Send for Writer<N> {
    #[inline]
    fn try_send(&mut self, message: &mut Outgoing) -> Result<bool> {
        let mut batch = self.producer.write_batch();
        // SAFETY: the slot holds a message, or zeros, before it is written to, and a message afterwards.
        let Some(slot) = (unsafe { batch.try_as_mut() }) else {
            // Dropped, it would publish once more what has been published, and disturb the consumer in its reading.
            std::mem::forget(batch);
            return Ok(false);
        };
        message.fill(room(slot, message.len()));
        Ok(true)
    }

    fn send(&mut self, message: &mut Outgoing) -> Result<()> {
        // In a round trip there is always room.
        if self.try_send(message)? { Ok(()) } else { never("its producers cannot sleep until there is room") }
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn send_batch(&mut self, messages: &mut [Outgoing], _: bool) -> Result<usize> {
        let mut batch = self.producer.write_batch();
        for (index, message) in messages.iter_mut().enumerate() {
            // SAFETY: as in `try_send`.
            let Some(slot) = (unsafe { batch.try_as_mut() }) else {
                if index == 0 {
                    std::mem::forget(batch);
                }
                return Ok(index);
            };
            message.fill(room(slot, message.len()));
        }
        Ok(messages.len())
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
        check(&batch, incoming);
        Ok(true)
    }

    fn receive(&mut self, incoming: &mut Incoming) -> Result<()> {
        loop {
            if let Ok(batch) = self.consumer.reserve_read_batch_timeout(self.most, LONG) {
                check(&batch, incoming);
                return Ok(());
            }
        }
    }
}

#[inline]
fn check<const N: usize>(batch: &ReadBatch<'_, Slot<N>>, incoming: &mut Incoming) {
    let len = incoming.len();
    let (first, second) = batch.as_slices();
    for slot in first.iter().chain(second) {
        incoming.check(&slot[..len]);
    }
}
