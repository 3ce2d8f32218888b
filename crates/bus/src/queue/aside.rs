//! What was handed out too often, and goes to the queue `NAME.dead`.

use core::cell::{OnceCell, RefCell};

use twixt_address::BusName;
use twixt_os::{ErrorKind, Result};

use crate::place::Place;
use crate::site::{Capacity, Options};

use super::consumer::{Consumer, Taken};
use super::{Producer, page};

/// The way to the queue of what is put aside, which is made when there is something.
///
/// A message is sent there first and then acknowledged: one whose consumer dies in between is put aside twice. While it cannot be
/// sent there, the consumer keeps it in hand, and tries again from time to time.
pub(super) struct Aside {
    name: BusName,
    place: Option<Place>,
    producer: OnceCell<Box<Producer>>,
    kept: RefCell<Vec<Taken>>,
}

impl Aside {
    pub(super) fn new(name: BusName, place: Option<Place>) -> Self {
        Self { name, place, producer: OnceCell::new(), kept: RefCell::default() }
    }

    /// Puts a message aside, or keeps it.
    pub(super) fn put(&self, consumer: &Consumer, taken: Taken) {
        if self.send(consumer, &taken).is_err() {
            self.kept.borrow_mut().push(taken);
        }
    }

    /// Tries again with those that it keeps.
    pub(super) fn retry(&self, consumer: &Consumer) {
        for taken in self.take() {
            self.put(consumer, taken);
        }
    }

    /// Those that it keeps.
    pub(super) fn take(&self) -> Vec<Taken> {
        core::mem::take(&mut *self.kept.borrow_mut())
    }

    fn send(&self, consumer: &Consumer, taken: &Taken) -> Result<()> {
        let producer = self.producer(consumer)?;
        // If it was taken from this consumer, that is another's task now.
        let Some((taken, bytes)) = consumer.copy_of(taken) else { return Ok(()) };
        producer.try_send(&bytes)?;
        if consumer.finish_taken(&taken) {
            consumer.count(page::DEAD, 1);
        }
        Ok(())
    }

    fn producer(&self, consumer: &Consumer) -> Result<&Producer> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let opened = self.open(consumer)?;
        Ok(self.producer.get_or_init(|| Box::new(opened)))
    }

    fn open(&self, consumer: &Consumer) -> Result<Producer> {
        let site = consumer.site();
        let name = BusName::new(format!("{}.dead", self.name)).map_err(|error| {
            let object = &site.object;
            crate::error::refused("put aside from", object, ErrorKind::InvalidInput, error.to_string())
        })?;
        let mut options = Options::new();
        options.place.clone_from(&self.place);
        match Producer::open(&name, &options) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        let charter = &site.charter;
        let capacity = match charter.capacity {
            // Nobody need be there to take it.
            Capacity::Zero => Capacity::DEFAULT,
            other => other,
        };
        let mut options =
            options.create(true).mode(charter.mode).capacity(capacity).type_name(charter.type_name.clone());
        options.visibility = charter.visibility;
        Producer::open(&name, &options)
    }
}
