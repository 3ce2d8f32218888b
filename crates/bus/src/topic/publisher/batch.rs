//! Many messages, one look at who sleeps.

use twixt_os::{Result, Wait};

use crate::ring::frame::Flags;
use crate::sync::AtomicU64;
use crate::words::copy_in;

use super::Publisher;

/// Messages that are published one after the other, with one look at who sleeps.
#[derive(Debug)]
pub struct Batch<'p> {
    pub(super) publisher: &'p Publisher,
}

impl Batch<'_> {
    /// As [`Publisher::publish_wait`].
    ///
    /// # Errors
    /// As [`Publisher::publish_wait`].
    pub fn publish(&mut self, message: &[u8], wait: Wait) -> Result<()> {
        self.publish_with(message.len(), wait, |room| copy_in(room, message))
    }

    /// As [`Publisher::publish_with`].
    ///
    /// # Errors
    /// As [`Publisher::publish_with`].
    #[inline(always)]
    pub fn publish_with(&mut self, len: usize, wait: Wait, fill: impl FnOnce(&[AtomicU64])) -> Result<()> {
        let slot = self.publisher.reserve(len, Flags::empty(), &wait)?.plain();
        self.publisher.producer.fill(slot, fill);
        self.publisher.check_filler()?;
        if self.publisher.meets {
            let [position, back, sequence] = slot.parts();
            return self.publisher.hand_over(position, back, sequence, slot.len, &wait);
        }
        self.publisher.producer.publish(slot);
        Ok(())
    }
}

impl Publisher {
    /// Publishes messages of `len` bytes each, up to `most` of them, with one look at who sleeps, and says how many: it waits for room
    /// for the first, as `wait` says, and for no other. `fill` writes each in place, as with [`publish_with`](Self::publish_with),
    /// is called once for each, and cannot publish by the same publisher; if it panics, those before it are published.
    ///
    /// It takes little more than half of what [`publish_with`](Self::publish_with) takes for each, where they are small. Without
    /// capacity it is one message at a time.
    ///
    /// ```
    /// # use twixt_bus::{Options, Publisher, Subscriber};
    /// # use core::sync::atomic::Ordering::Relaxed;
    /// # let scratch = twixt_testkit::scratch();
    /// # let place = twixt_bus::Place::at(scratch.path())?;
    /// # let name = twixt_address::BusName::new("readings")?;
    /// # let options = Options::new().create(true).place(place);
    /// # let mut subscriber = Subscriber::open(&name, &options)?;
    /// # let publisher = Publisher::open(&name, &options)?;
    /// let readings = [20, 21, 23];
    /// let mut next = readings.iter();
    /// let published = publisher.publish_batch(3, 8, twixt_os::Wait::forever(), |room| {
    ///     room[0].store(*next.next().unwrap(), Relaxed);
    /// })?;
    /// assert_eq!(published, 3);
    /// assert_eq!(subscriber.receive()?.first_word()?, 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`publish_with`](Self::publish_with), before anything was published.
    #[inline(always)]
    pub fn publish_batch(
        &self,
        most: usize,
        len: usize,
        wait: Wait,
        mut fill: impl FnMut(&[AtomicU64]),
    ) -> Result<usize> {
        let mut batch = self.batch();
        let (mut published, mut wait, maker) = (0, wait, self.maker);
        while published < most {
            match batch.publish_with(len, wait, &mut fill) {
                Ok(()) => published += 1,
                // What it is, the next time tells.
                Err(_) if published > 0 => break,
                Err(error) => return Err(error),
            }
            if self.meets {
                break;
            }
            published += self.producer.publish_series(len, most - published, |room| {
                fill(room);
                // Not the slots of the parent in a child that `fill` has forked.
                maker.is_this()
            });
            wait = Wait::never();
        }
        Ok(published)
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.publisher.ring();
    }
}
