//! System V message queues.

use twixt_address::{Endpoint, OptionName};
use twixt_os::sysv::msg::{self, Access, Queue, Settings, Type};
use twixt_os::{Error, ErrorKind, Outcome, Prepared, Result, Wait};

use super::create::{self, Lead};
use crate::half::{PreparedSend, ReceiveHalf, SendHalf};
use crate::mechanism::Mechanism;
use crate::origin::Origin;
use crate::{
    Attributes, Boundaries, Capabilities, Capacity, Message, Opening, Persistence, Readiness, Select,
};

/// `kernel.msgmax`, as the kernel starts with it.
const USUAL_LONGEST: usize = 8192;
/// The most room that is made before a message is known to need it. `kernel.msgmax` may be set to 2 GiB.
const FIRST_ROOM: usize = 64 << 10;

pub(super) struct SysvMsg;

impl Mechanism for SysvMsg {
    fn capabilities(&self, _endpoint: &Endpoint) -> Capabilities {
        Capabilities {
            max_message: Some(USUAL_LONGEST),
            types: true,
            persistence: Persistence::Kernel,
            pollable: false,
            ..Capabilities::new(Boundaries::Kept)
        }
    }

    fn sender(&self, opening: &Opening) -> Result<Box<dyn SendHalf>> {
        let queue = open(opening, Access::SEND)?;
        Ok(Box::new(Sender {
            capabilities: capabilities(self, &queue, opening),
            message_type: opening.address().options().message_type().and_then(Type::new).unwrap_or_default(),
            room: msg::Message::default(),
            origin: Origin::of(opening),
            queue,
        }))
    }

    fn receiver(&self, opening: &Opening) -> Result<Box<dyn ReceiveHalf>> {
        let queue = open(opening, Access::RECEIVE)?;
        let wanted = opening.address().options().message_type().and_then(Type::new);
        let longest = msg::limits()?.msgmax as usize;
        Ok(Box::new(Receiver {
            capabilities: capabilities(self, &queue, opening),
            select: wanted.map_or(Select::Any, Select::Exactly),
            room: msg::Message::with_capacity(longest.min(FIRST_ROOM)),
            queue,
        }))
    }
}

fn open(opening: &Opening, access: Access) -> Result<Queue> {
    create::only_with_create(opening, &[OptionName::Mode, OptionName::Capacity])?;
    let Endpoint::SysvMsg(key) = opening.endpoint() else {
        return Err(opening.refused("open", ErrorKind::InvalidInput, "it names no queue"));
    };
    let key = match Lead::of(opening, key)? {
        Lead::Key(key) => key,
        Lead::Id(id) => {
            let Some(id) = msg::Id::new(id.get()) else {
                return Err(opening.refused("open", ErrorKind::InvalidInput, "no queue has that number"));
            };
            return Queue::open_id(id);
        }
    };
    if !opening.address().options().create() {
        return Queue::open_for(key, access).map_err(create::or_advise);
    }
    loop {
        match Queue::open_for(key, access) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return opened,
        }
        match Queue::create(key, opening.mode()) {
            // Somebody else was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(queue) => return with_capacity(queue, opening),
        }
    }
}

/// Gives a new queue the capacity that was asked for; it goes again if that cannot be.
fn with_capacity(queue: Queue, opening: &Opening) -> Result<Queue> {
    let Some(qbytes) = opening.address().options().capacity() else { return Ok(queue) };
    let queue = queue.remove_on_drop();
    let settings = Settings { qbytes, mode: opening.mode(), ..stat(&queue)?.into() };
    queue.set(settings)?;
    Ok(queue.keep())
}

/// The state of a queue, also without read permission.
fn stat(queue: &Queue) -> Result<msg::Stat> {
    match queue.stat() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let listed = msg::list()?.into_iter().find(|listed| listed.id == queue.id());
            listed.map(|listed| listed.stat).ok_or(error)
        }
        stat => stat,
    }
}

/// A message has to fit the kernel's limit and the queue. Looked up once: both seldom change.
fn capabilities(mechanism: &SysvMsg, queue: &Queue, opening: &Opening) -> Capabilities {
    let msgmax = msg::limits().ok().map(|limits| u64::from(limits.msgmax));
    let qbytes = stat(queue).ok().map(|stat| stat.qbytes);
    let longest = msgmax.into_iter().chain(qbytes).min();
    Capabilities {
        max_message: longest.map(|longest| usize::try_from(longest).unwrap_or(usize::MAX)),
        ..mechanism.capabilities(opening.endpoint())
    }
}

fn capacity(queue: &Queue) -> Result<Option<Capacity>> {
    Ok(Some(Capacity::Bytes(stat(queue)?.qbytes)))
}

fn len(queue: &Queue) -> Result<Option<u64>> {
    Ok(Some(stat(queue)?.cbytes))
}

struct Sender {
    queue: Queue,
    message_type: Type,
    /// The kernel wants the type and the bytes in one piece.
    room: msg::Message,
    capabilities: Capabilities,
    origin: Origin,
}

impl Sender {
    fn type_of(&self, attributes: &Attributes<'_>) -> Result<Type> {
        match attributes.message_type {
            None => Ok(self.message_type),
            Some(number) => Type::new(number).ok_or_else(|| {
                let why = "the type of a message is a number from 1 to 9223372036854775807";
                self.origin.refused("send to", ErrorKind::OutOfRange, why)
            }),
        }
    }
}

/// The one limit that a message can exceed.
#[cold]
fn or_too_long(error: Error) -> Error {
    match error.kind() {
        ErrorKind::LimitReached => error.with_kind(ErrorKind::TooLong),
        _ => error,
    }
}

impl SendHalf for Sender {
    fn send(&mut self, bytes: &[u8], attributes: &Attributes<'_>, wait: Wait) -> Result<()> {
        let message_type = self.type_of(attributes)?;
        self.queue.send_wait(message_type, bytes, wait).map_err(or_too_long)
    }

    fn prepare<'a>(&'a mut self, bytes: &'a [u8], wait: Wait) -> Option<PreparedSend<'a>> {
        // Longer ones are seldom, and so much room need not be kept for each sender.
        if bytes.len() > USUAL_LONGEST {
            return None;
        }
        self.room.set(self.message_type, bytes);
        Some(PreparedSend { call: self.queue.prepare_send_message(&self.room, wait)?, whole: 0 })
    }

    fn finish_prepared(&mut self, first: Outcome, _: &[u8], wait: Wait) -> Result<()> {
        self.queue.finish_send_message(first, &self.room, wait).map_err(or_too_long)
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        capacity(&self.queue)
    }

    fn len(&self) -> Result<Option<u64>> {
        len(&self.queue)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}

struct Receiver {
    queue: Queue,
    select: Select,
    /// The kernel wants the type and the bytes in one piece.
    room: msg::Message,
    capabilities: Capabilities,
}

impl Receiver {
    /// Gives what was received; or receives it, where there was no room for it.
    #[inline]
    fn give(&mut self, mut received: Result<()>, message: &mut Message, wait: Wait) -> Result<()> {
        while let Err(error) = received {
            // No message is longer than what an `int` counts.
            if error.kind() != ErrorKind::TooLong || self.room.capacity() >= i32::MAX as usize {
                return Err(error);
            }
            self.make_room(&error);
            received = self.queue.receive_wait(self.select, &mut self.room, wait);
        }
        message.set(self.room.bytes());
        message.set_message_type(self.room.mtype().get());
        Ok(())
    }

    /// Makes room for the message that did not fit, or for twice as much as before if another receiver took it.
    fn make_room(&mut self, error: &Error) {
        let needed = error.limit().and_then(|limit| limit.needed);
        let needed = needed.and_then(|needed| usize::try_from(needed).ok()).unwrap_or(0);
        let doubled = self.room.capacity().saturating_mul(2).max(USUAL_LONGEST);
        self.room.reserve(if needed > self.room.capacity() { needed } else { doubled });
    }
}

impl ReceiveHalf for Receiver {
    fn receive(&mut self, message: &mut Message, wait: Wait) -> Result<()> {
        let received = self.queue.receive_wait(self.select, &mut self.room, wait);
        self.give(received, message, wait)
    }

    fn prepare<'a>(&'a mut self, _: &'a mut Message, wait: Wait) -> Option<Prepared<'a>> {
        self.queue.prepare_receive(self.select, &mut self.room, wait)
    }

    fn finish_prepared(&mut self, first: Outcome, message: &mut Message, wait: Wait) -> Result<()> {
        let received = self.queue.finish_receive(first, self.select, &mut self.room, wait);
        self.give(received, message, wait)
    }

    fn select(&mut self, select: Select) {
        self.select = select;
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn capacity(&self) -> Result<Option<Capacity>> {
        capacity(&self.queue)
    }

    fn len(&self) -> Result<Option<u64>> {
        len(&self.queue)
    }

    fn readiness(&self) -> Option<Readiness<'_>> {
        None
    }
}
