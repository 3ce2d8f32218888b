//! The server's side of a conversation as a state machine: messages in, messages out, no I/O and no waiting.

use std::collections::{HashMap, VecDeque};

use twixt_os::Deadline;

use super::error::{Error, Identity, Part, Result};
use super::service::{Method, Service};
use super::wire::{FAILURE, Failure, Greeting, Packet, Reason, Refusal, Request, Who, cut};

/// What the server knows of the conversation and of its calls.
pub(crate) struct ServerCore {
    service: &'static Service,
    /// How many calls can be worked on at a time.
    workers: usize,
    /// How many may wait beyond those.
    most_queued: usize,
    /// The longest message that the channel carries.
    longest_carried: u64,
    /// And that the client takes, if that is less.
    longest_sent: u64,
    /// The longest message that is taken.
    longest_taken: u32,
    /// Which process this is, where clients have to be told.
    who: Option<Who>,
    /// Which process the client of the conversation is, where it has said so.
    client: Option<Who>,
    /// Counts the conversations: the results of an earlier one are no one's. None while there is none.
    conversation: Option<u64>,
    conversations: u64,
    /// Whether who calls without a conversation has been told that there is none.
    said_goodbye: bool,
    calls: HashMap<u32, Call>,
    queue: VecDeque<Job>,
    queued_bytes: usize,
    /// How many jobs were given out and are not finished, of whatever conversation.
    running: usize,
    /// Buffers that have served, so that a call allocates nothing in the long run.
    spare: Vec<Vec<u8>>,
}

/// A call that has no result yet.
#[derive(Debug)]
struct Call {
    /// Still in the queue.
    queued: bool,
    cancelled: bool,
    /// How many items of a stream may be sent.
    credit: u32,
}

/// A call to be worked on.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) ticket: Ticket,
    pub(crate) method: &'static Method,
    pub(crate) deadline: Option<Deadline>,
    pub(crate) payload: Vec<u8>,
}

/// A call of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    conversation: u64,
    pub(crate) call: u32,
}

/// What a message changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// A conversation has begun, and what was before it is over.
    Opened,
    /// There is a job.
    Queued,
    /// The credit of a call, or whether anyone wants its result.
    Changed,
    /// A call was answered with this failure.
    Rejected(Error),
    /// The client is not one of this service.
    Refused(Error),
    /// The client has ended the conversation.
    Closed,
}

/// Whether an item may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Granted,
    /// Not before the client grants more.
    NoCredit,
    /// Nobody wants it.
    Unwanted,
}

/// The most bytes of requests that wait, all together: one request may always wait.
const MOST_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// How many buffers are kept, and how large they may be.
const MOST_SPARE: usize = 32;
const LARGEST_SPARE: usize = 64 * 1024;

impl ServerCore {
    /// A server that has met nobody yet. `longest_carried` is the channel's limit.
    pub(crate) fn new(
        service: &'static Service,
        workers: usize,
        most_queued: usize,
        longest_carried: u64,
        longest_taken: u32,
    ) -> Self {
        Self {
            service,
            workers,
            most_queued,
            longest_carried,
            longest_sent: longest_carried,
            longest_taken: longest_taken.max(1),
            who: None,
            client: None,
            conversation: None,
            conversations: 0,
            said_goodbye: false,
            calls: HashMap::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            running: 0,
            spare: Vec::new(),
        }
    }

    /// Says which process it is, if there is room for that.
    pub(crate) fn introduce(&mut self, who: Option<Who>) {
        self.who = who.filter(|_| Who::fits(self.service.name(), self.longest_carried));
    }

    /// Which process the client of the conversation has said it is.
    pub(crate) fn client(&self) -> Option<Who> {
        self.client
    }

    /// A message has arrived. What is to be sent at once is put behind what `out` holds. An error ends the
    /// conversation: the client does not keep to the format.
    pub(crate) fn receive(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<Event> {
        let packet = Packet::decode(message).map_err(|malformed| Error::Malformed { why: malformed.0 })?;
        if let Packet::Open(greeting) = packet {
            return Ok(self.open(greeting, out));
        }
        let Some(conversation) = self.conversation else {
            // In a mailbox these are of a client whose server has gone. It learns that its calls are lost.
            if matches!(packet, Packet::Request(_)) && !self.said_goodbye {
                self.said_goodbye = true;
                Packet::Goodbye.encode(out);
            }
            return Ok(Event::Nothing);
        };
        match packet {
            Packet::Request(request) => self.queue(conversation, request, message.len(), out),
            Packet::Cancel { call } => {
                self.cancel(call);
                Ok(Event::Changed)
            }
            Packet::Credit { call, items } => {
                if let Some(call) = self.calls.get_mut(&call) {
                    call.credit = call.credit.saturating_add(items);
                }
                Ok(Event::Changed)
            }
            Packet::Goodbye => {
                self.close();
                Ok(Event::Closed)
            }
            _ => Err(Error::Malformed { why: "the client sent what only a server sends" }),
        }
    }

    /// The next call to work on, until [`ServerCore::finish`]; none if there is none or nobody has time for it.
    pub(crate) fn next(&mut self) -> Option<Job> {
        if self.running >= self.workers {
            return None;
        }
        let job = self.queue.pop_front()?;
        self.queued_bytes -= job.payload.len();
        if let Some(call) = self.calls.get_mut(&job.ticket.call) {
            call.queued = false;
        }
        self.running += 1;
        Some(job)
    }

    /// Whether [`ServerCore::next`] has something to give out.
    pub(crate) fn has_work(&self) -> bool {
        self.running < self.workers && !self.queue.is_empty()
    }

    /// Gives back the buffer of a job.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MOST_SPARE && buffer.capacity() <= LARGEST_SPARE {
            self.spare.push(buffer);
        }
    }

    /// Whether anyone wants the result of a call.
    pub(crate) fn wants(&self, ticket: Ticket) -> bool {
        self.conversation == Some(ticket.conversation)
            && self.calls.get(&ticket.call).is_some_and(|call| !call.cancelled)
    }

    /// Takes one item's worth of credit, if there is some.
    pub(crate) fn spend(&mut self, ticket: Ticket) -> Spent {
        if !self.wants(ticket) {
            return Spent::Unwanted;
        }
        let Some(call) = self.calls.get_mut(&ticket.call) else { return Spent::Unwanted };
        match call.credit.checked_sub(1) {
            Some(left) => {
                call.credit = left;
                Spent::Granted
            }
            None => Spent::NoCredit,
        }
    }

    /// The longest message that reaches the client.
    pub(crate) fn longest_sent(&self) -> u64 {
        self.longest_sent
    }

    /// A job that [`ServerCore::next`] gave out is done. Whether its result is still wanted.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> bool {
        let wanted = self.wants(ticket);
        self.running -= 1;
        if self.conversation == Some(ticket.conversation) {
            self.calls.remove(&ticket.call);
        }
        wanted
    }

    /// The conversation is over: no result is wanted any more.
    pub(crate) fn close(&mut self) {
        self.conversation = None;
        self.calls.clear();
        self.queue.clear();
        self.queued_bytes = 0;
    }

    /// Whether there is a conversation.
    pub(crate) fn is_open(&self) -> bool {
        self.conversation.is_some()
    }

    fn open(&mut self, client: Greeting<'_>, out: &mut Vec<u8>) -> Event {
        self.close();
        let service = self.service;
        let refusal = if client.is_of_another_version() {
            Some((Refusal::Version, "it speaks another version of the format"))
        } else if client.name != service.name() {
            Some((Refusal::Service, "they are different services"))
        } else if client.hash != 0 && client.hash != service.hash() {
            Some((Refusal::Types, "their methods or types differ"))
        } else {
            None
        };
        let mut greeting = Greeting {
            nonce: client.nonce,
            hash: service.hash(),
            max_message: self.longest_taken,
            name: service.name(),
            who: None,
            signature: "",
        };
        let Some((refusal, difference)) = refusal else {
            self.conversations += 1;
            self.conversation = Some(self.conversations);
            self.said_goodbye = false;
            self.longest_sent = self.longest_carried.min(client.max_message.into());
            self.client = client.who;
            greeting.who = self.who;
            Packet::Welcome(greeting).encode(out);
            return Event::Opened;
        };
        let start = out.len();
        greeting.signature = service.signature();
        Packet::Refuse(refusal, greeting).encode(out);
        if u64::try_from(out.len() - start).unwrap_or(u64::MAX) > self.longest_carried {
            // Without the details it may yet arrive.
            out.truncate(start);
            greeting.signature = "";
            Packet::Refuse(refusal, greeting).encode(out);
        }
        let client = Identity { name: client.name.to_owned(), hash: client.hash };
        let server = Identity { name: service.name().to_owned(), hash: service.hash() };
        Event::Refused(Error::Mismatch { client, server, difference: difference.to_owned() })
    }

    fn queue(
        &mut self,
        conversation: u64,
        request: Request<'_>,
        len: usize,
        out: &mut Vec<u8>,
    ) -> Result<Event> {
        let Request { call: number, method, credit, timeout, payload } = request;
        if self.calls.contains_key(&number) {
            return Err(Error::Malformed { why: "two calls bear the same number" });
        }
        let Some(method) = self.service.method(method) else {
            let error = Error::UnknownMethod { service: self.service.name(), method: "a method" };
            return Ok(reject(number, error, self.longest_sent, out));
        };
        let (name, limit) = (method.name(), u64::from(self.longest_taken));
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        if len > limit {
            let error = Error::TooLong { part: Part::Request, method: name, len, limit };
            return Ok(reject(number, error, self.longest_sent, out));
        }
        let idle = self.workers.saturating_sub(self.running);
        let too_many = self.queue.len() >= self.most_queued.saturating_add(idle);
        let too_much = !self.queue.is_empty() && self.queued_bytes + payload.len() > MOST_QUEUED_BYTES;
        if too_many || too_much {
            return Ok(reject(number, Error::Overloaded { method: name }, self.longest_sent, out));
        }
        self.calls.insert(number, Call { queued: true, cancelled: false, credit });
        self.queued_bytes += payload.len();
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(payload);
        self.queue.push_back(Job {
            ticket: Ticket { conversation, call: number },
            method,
            deadline: timeout.map(Deadline::after),
            payload: buffer,
        });
        Ok(Event::Queued)
    }

    fn cancel(&mut self, number: u32) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if !call.queued {
            call.cancelled = true;
            return;
        }
        self.calls.remove(&number);
        if let Some(place) = self.queue.iter().position(|job| job.ticket.call == number)
            && let Some(job) = self.queue.remove(place)
        {
            self.queued_bytes -= job.payload.len();
        }
    }
}

fn reject(call: u32, error: Error, longest: u64, out: &mut Vec<u8>) -> Event {
    failure(call, &error, longest, out);
    Event::Rejected(error)
}

/// Writes the message that tells a client of an error. What would make it longer than `longest` is cut off its text.
pub(crate) fn failure(call: u32, error: &Error, longest: u64, out: &mut Vec<u8>) {
    let text;
    let (reason, len, limit, text) = match error {
        Error::UnknownMethod { .. } => (Reason::UnknownMethod, 0, 0, ""),
        Error::Undecodable { why, .. } => (Reason::RequestUndecodable, 0, 0, why.as_str()),
        Error::Unencodable { why, .. } => (Reason::ReplyUnencodable, 0, 0, why.as_str()),
        &Error::TooLong { part: Part::Request, len, limit, .. } => (Reason::RequestTooLong, len, limit, ""),
        &Error::TooLong { len, limit, .. } => (Reason::ReplyTooLong, len, limit, ""),
        Error::Overloaded { .. } => (Reason::Overloaded, 0, 0, ""),
        Error::TimedOut { .. } => (Reason::TimedOut, 0, 0, ""),
        Error::Panicked { .. } => (Reason::Panicked, 0, 0, ""),
        Error::Failed { why, .. } => (Reason::Stopped, 0, 0, why.as_str()),
        other => {
            text = other.to_string();
            (Reason::Stopped, 0, 0, text.as_str())
        }
    };
    let most = usize::try_from(longest).unwrap_or(usize::MAX).saturating_sub(FAILURE);
    Packet::Failure { call, failure: Failure { reason, len, limit, text: cut(text, most) } }.encode(out);
}

#[cfg(test)]
mod tests;
