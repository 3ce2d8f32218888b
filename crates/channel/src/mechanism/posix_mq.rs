//! POSIX message queues.

use std::os::fd::AsFd;

use twixt_address::{Endpoint, OptionName};
use twixt_os::posix::mq::{Access, Limits, Priority, Queue, Received};
use twixt_os::{ErrorKind, Limit, Outcome, Prepared, Result, Wait};

use super::create;
use crate::half::{PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{Attributes, Boundaries, Capabilities, Capacity, Message, Opening, Persistence, Readiness};

/// `fs.mqueue.msgsize_default`, as the kernel starts with it.
const USUAL_LONGEST: usize = 8192;

pub(super) struct PosixMq;

impl Mechanism for PosixMq {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        capabilities(USUAL_LONGEST)
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let priority = opening.address().options().priority().and_then(Priority::new).unwrap_or_default();
        Ok(sender(open(opening, Access::Write)?, priority, Origin::of(opening)))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let why = "a receiver takes the highest priority first, whatever it is";
        opening.without("receive from", &[OptionName::Prio], why)?;
        Ok(receiver(open(opening, Access::Read)?))
    }
}

/// The sending half of a queue that is open.
pub(super) fn sender(queue: Queue, priority: Priority, origin: Origin) -> Box<dyn SendHalf> {
    Box::new(Sender { queue, priority, origin })
}

/// The receiving half of a queue that is open.
pub(super) fn receiver(queue: Queue) -> Box<dyn ReceiveHalf> {
    Box::new(Receiver { queue, priority: 0 })
}

/// What a queue with messages of up to so many bytes can do.
pub(super) fn capabilities(longest: usize) -> Capabilities {
    Capabilities {
        max_message: Some(longest),
        priority: Some(Priority::HIGHEST.get()),
        persistence: Persistence::Kernel,
        ..Capabilities::new(Boundaries::Kept)
    }
}

fn open(opening: &Opening, access: Access) -> Result<Queue> {
    create::only_with_create(opening, &[OptionName::Mode, OptionName::Capacity, OptionName::MessageSize])?;
    let Endpoint::PosixMq(name) = opening.endpoint() else {
        return Err(opening.refused("open", ErrorKind::InvalidInput, "it names no queue"));
    };
    if opening.address().options().create() {
        Queue::open_or_create(name.as_os_str(), access, limits(opening), opening.mode())
    } else {
        Queue::open(name.as_os_str(), access).map_err(create::or_advise)
    }
}

/// The limits that the options ask for. What is not given is what the kernel would take.
fn limits(opening: &Opening) -> Option<Limits> {
    let options = opening.address().options();
    let (capacity, size) = (options.capacity(), options.message_size());
    if capacity.is_none() && size.is_none() {
        return None;
    }
    let read = |name| Limit::sysctl(name, 0).current;
    let count = |given: Option<u64>, [default, most]: [&'static str; 2], usual: u64| {
        let count = given.or_else(|| Some(read(default)?.min(read(most)?))).unwrap_or(usual);
        // More than fits is more than any limit, which the kernel will say.
        usize::try_from(count).unwrap_or(usize::MAX)
    };
    let (messages, size_of) = (
        ["fs.mqueue.msg_default", "fs.mqueue.msg_max"],
        ["fs.mqueue.msgsize_default", "fs.mqueue.msgsize_max"],
    );
    Some(Limits {
        max_messages: count(capacity, messages, 10),
        message_size: count(size, size_of, USUAL_LONGEST as u64),
    })
}

fn capacity(queue: &Queue) -> Result<Option<Capacity>> {
    Ok(Some(Capacity::Messages(queue.status()?.limits.max_messages as u64)))
}

fn len(queue: &Queue) -> Result<Option<u64>> {
    Ok(Some(queue.status()?.messages as u64))
}

struct Sender {
    queue: Queue,
    priority: Priority,
    origin: Origin,
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let priority = match attributes.priority {
            None => self.priority,
            Some(number) => Priority::new(number).ok_or_else(|| {
                let why = "the priority of a message is a number from 0 to 32767";
                self.origin.refused("send to", ErrorKind::OutOfRange, why)
            })?,
        };
        self.queue.send_wait(bytes, priority, wait)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        Some(PreparedSend { call: self.queue.prepare_send(bytes, self.priority, wait), whole: 0 })
    }

    fn finish_prepared(&mut self, first: Outcome, bytes: &[u8], wait: Wait) -> Result<()> {
        self.queue.finish_send(first, bytes, self.priority, wait)
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.queue.message_size())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        capacity(&self.queue)
    }

    fn len(&self) -> Result<Option<u64>> {
        len(&self.queue)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_write(self.queue.as_fd()))
    }
}

struct Receiver {
    queue: Queue,
    /// Where the kernel writes the priority of a message.
    priority: u32,
}

impl Receiver {
    #[inline]
    fn give(received: Received, message: &mut Message) {
        message.set_len(received.len);
        message.set_priority(received.priority.get());
    }
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let received = self.queue.receive_wait(message.room(self.queue.message_size()), wait)?;
        Self::give(received, message);
        Ok(())
    }

    fn prepare<'a>(&'a mut self, message: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        let room = message.room(self.queue.message_size());
        Some(self.queue.prepare_receive(room, &mut self.priority, wait))
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        let room = message.room(self.queue.message_size());
        let received = self.queue.finish_receive(first, room, &mut self.priority, wait)?;
        Self::give(received, message);
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.queue.message_size())
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        capacity(&self.queue)
    }

    fn len(&self) -> Result<Option<u64>> {
        len(&self.queue)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        Some(Readiness::to_read(self.queue.as_fd()))
    }
}
