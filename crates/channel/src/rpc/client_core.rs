//! The client's side of a conversation as a state machine: messages in, messages out, no I/O and no waiting.

use std::collections::{HashMap, VecDeque};

use super::error::{Error, Identity, Part, Result, Side};
use super::service::{Method, Service, difference};
use super::wire::{Failure, Greeting, Packet, Reason, Refusal, Who};

/// What the client knows of the conversation and of its calls.
pub(crate) struct ClientCore {
    service: &'static Service,
    /// The hash to be compared; 0 if none is.
    hash: u64,
    nonce: u64,
    /// Which process this is, where the server has to be told.
    who: Option<Who>,
    /// Which process the server is, where it has said so.
    server: Option<Who>,
    phase: Phase,
    /// The most calls in flight.
    most_calls: usize,
    /// The longest message that may be sent: by the channel at first, by the server too once it has greeted.
    longest_sent: u64,
    /// The longest message that is taken.
    longest_taken: u32,
    next_call: u32,
    calls: HashMap<u32, Call>,
    /// How many of the calls have no result yet.
    in_flight: usize,
    /// Buffers that have served, so that a call allocates nothing in the long run.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Phase {
    /// The server has not greeted. What arrives until then belongs to an earlier conversation.
    Opening,
    Open,
    /// No call will ever have a result.
    Over(Error),
}

/// A call that somebody wants the result of.
#[derive(Debug)]
struct Call {
    method: &'static Method,
    /// The reply that has arrived and was not taken.
    reply: Option<Vec<u8>>,
    /// Of a stream: the items that have arrived and were not taken, no more than were granted.
    items: VecDeque<Vec<u8>>,
    /// How it ended, once it did. What has arrived comes first.
    end: Option<Result<()>>,
    /// Of a stream: how many items the server may still send.
    granted: u32,
    /// Of a stream: how many were taken since the last grant.
    taken: u32,
    /// Of a stream: how many may be on their way or waiting at most.
    window: u32,
}

/// What a message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// The conversation has begun.
    Opened,
    /// There is something to take of a call.
    Arrived(u32),
}

/// What there is to take of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Not yet anything.
    Nothing,
    /// A result or an item. Give the buffer back with [`ClientCore::recycle`].
    Payload {
        payload: Vec<u8>,
        /// How many more items to grant the server now; 0 if none.
        grant: u32,
    },
    /// The stream has ended; the call is forgotten.
    End,
    /// There is none; the call is forgotten.
    Failed(Error),
}

/// How many buffers are kept, and how large they may be.
const MOST_SPARE: usize = 32;
const LARGEST_SPARE: usize = 64 * 1024;

impl ClientCore {
    /// A conversation to be begun. `longest_sent` is the channel's limit.
    pub(crate) fn new(
        service: &'static Service,
        compare_types: bool,
        nonce: u64,
        most_calls: usize,
        longest_sent: u64,
        longest_taken: u32,
    ) -> Self {
        Self {
            service,
            hash: if compare_types { service.hash() } else { 0 },
            nonce,
            who: None,
            server: None,
            phase: Phase::Opening,
            most_calls,
            longest_sent,
            longest_taken: longest_taken.max(1),
            next_call: 1,
            calls: HashMap::new(),
            in_flight: 0,
            spare: Vec::new(),
        }
    }

    /// Says which process it is, if there is room for that.
    pub(crate) fn introduce(&mut self, who: Option<Who>) {
        self.who = who.filter(|_| Who::fits(self.service.name(), self.longest_sent));
    }

    /// Which process the server has said it is.
    pub(crate) fn server(&self) -> Option<Who> {
        self.server
    }

    /// The message that begins the conversation.
    pub(crate) fn open(&self, out: &mut Vec<u8>) {
        let greeting = Greeting {
            nonce: self.nonce,
            hash: self.hash,
            max_message: self.longest_taken,
            name: self.service.name(),
            who: self.who,
            signature: "",
        };
        Packet::Open(greeting).encode(out);
    }

    /// Whether the server has greeted, or why it never will.
    pub(crate) fn is_open(&self) -> Result<bool> {
        match &self.phase {
            Phase::Opening => Ok(false),
            Phase::Open => Ok(true),
            Phase::Over(error) => Err(error.clone()),
        }
    }

    /// Gives a call its number. Only [`ClientCore::forget`] or taking its end forgets it.
    pub(crate) fn begin(&mut self, method: &'static Method, window: u32) -> Result<u32> {
        if let Phase::Over(error) = &self.phase {
            return Err(error.clone());
        }
        if self.in_flight >= self.most_calls {
            return Err(Error::TooManyCalls { limit: self.most_calls });
        }
        while self.calls.contains_key(&self.next_call) {
            self.next_call = self.next_call.wrapping_add(1);
        }
        let number = self.next_call;
        self.next_call = self.next_call.wrapping_add(1);
        let granted = if method.streams() { window } else { 0 };
        let items = VecDeque::new();
        let call = Call { method, reply: None, items, end: None, granted, taken: 0, window };
        self.calls.insert(number, call);
        self.in_flight += 1;
        Ok(number)
    }

    /// The longest message that reaches the server, once it has greeted.
    pub(crate) fn longest_sent(&self) -> u64 {
        self.longest_sent
    }

    /// Forgets a call, whatever became of it. Whether the server must be told.
    pub(crate) fn forget(&mut self, number: u32) -> bool {
        let Some(mut call) = self.calls.remove(&number) else { return false };
        for buffer in call.reply.take().into_iter().chain(call.items.drain(..)) {
            self.recycle(buffer);
        }
        if call.end.is_some() {
            return false;
        }
        self.in_flight -= 1;
        matches!(self.phase, Phase::Open)
    }

    /// Takes the result or the next item of a call.
    pub(crate) fn take(&mut self, number: u32) -> Taken {
        let Some(call) = self.calls.get_mut(&number) else { return Taken::Failed(Error::Closed) };
        if let Some(payload) = call.reply.take() {
            self.calls.remove(&number);
            return Taken::Payload { payload, grant: 0 };
        }
        if let Some(payload) = call.items.pop_front() {
            call.taken += 1;
            let mut grant = 0;
            // Half a window at a time, so that a grant is sent for many items, and before the server must wait for it.
            if call.end.is_none() && call.taken >= call.window.div_ceil(2) {
                grant = std::mem::take(&mut call.taken);
                call.granted = call.granted.saturating_add(grant);
            }
            return Taken::Payload { payload, grant };
        }
        let Some(end) = call.end.take() else { return Taken::Nothing };
        self.calls.remove(&number);
        match end {
            Ok(()) => Taken::End,
            Err(error) => Taken::Failed(error),
        }
    }

    /// Gives back a buffer that [`ClientCore::take`] gave.
    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MOST_SPARE && buffer.capacity() <= LARGEST_SPARE {
            self.spare.push(buffer);
        }
    }

    /// A message has arrived. An error ends the conversation: give it to [`ClientCore::fail`].
    pub(crate) fn receive(&mut self, message: &[u8]) -> Result<Event> {
        let packet = Packet::decode(message).map_err(|malformed| Error::Malformed { why: malformed.0 })?;
        match self.phase {
            Phase::Opening => self.receive_greeting(packet),
            Phase::Open => self.receive_answer(packet),
            Phase::Over(_) => Ok(Event::Nothing),
        }
    }

    /// The conversation is over: no call in flight will have a result.
    pub(crate) fn fail(&mut self, error: Error) {
        if matches!(self.phase, Phase::Over(_)) {
            return;
        }
        for call in self.calls.values_mut().filter(|call| call.end.is_none()) {
            // A reply that has arrived stays a reply.
            call.end = Some(Err(error.clone()));
        }
        self.in_flight = 0;
        self.phase = Phase::Over(error);
    }

    fn receive_greeting(&mut self, packet: Packet<'_>) -> Result<Event> {
        match packet {
            Packet::Welcome(greeting) if greeting.nonce == self.nonce => {
                self.longest_sent = self.longest_sent.min(greeting.max_message.into());
                self.server = greeting.who;
                self.phase = Phase::Open;
                Ok(Event::Opened)
            }
            Packet::Refuse(refusal, greeting) if greeting.nonce == self.nonce => {
                let difference = match refusal {
                    Refusal::Version => "it speaks another version of the format".to_owned(),
                    Refusal::Service => "they are different services".to_owned(),
                    Refusal::Types => difference(self.service, greeting.signature),
                    Refusal::Unknown(code) => format!("it refuses for a reason of number {code}"),
                };
                let client = Identity { name: self.service.name().to_owned(), hash: self.hash };
                let server = Identity { name: greeting.name.to_owned(), hash: greeting.hash };
                Err(Error::Mismatch { client, server, difference: printable(&difference) })
            }
            _ => Ok(Event::Nothing),
        }
    }

    fn receive_answer(&mut self, packet: Packet<'_>) -> Result<Event> {
        match packet {
            Packet::Reply { call, payload } => self.arrive(call, payload, false),
            Packet::Item { call, payload } => self.arrive(call, payload, true),
            Packet::End { call: number } => {
                if self.calls.get(&number).is_some_and(|call| !call.method.streams()) {
                    return Err(Error::Malformed { why: "a call that is no stream was ended as one" });
                }
                self.end(number, |_| Ok(()))
            }
            Packet::Failure { call, failure } => {
                let service = self.service.name();
                self.end(call, |method| Err(reported(failure, service, method)))
            }
            Packet::Goodbye => Err(Error::Closed),
            _ => Err(Error::Malformed { why: "the server sent what only a client sends, or greeted again" }),
        }
    }

    /// A payload has arrived, which may come too late for anyone to want it.
    fn arrive(&mut self, number: u32, payload: &[u8], is_item: bool) -> Result<Event> {
        let Some(call) = self.calls.get_mut(&number) else { return Ok(Event::Nothing) };
        if call.method.streams() != is_item {
            return Err(Error::Malformed { why: "a stream was answered as a call, or a call as a stream" });
        }
        if call.end.is_some() {
            return Err(Error::Malformed { why: "a call was answered twice" });
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        if is_item {
            let Some(left) = call.granted.checked_sub(1) else {
                return Err(Error::Malformed { why: "an item was sent without credit" });
            };
            call.granted = left;
            buffer.extend_from_slice(payload);
            call.items.push_back(buffer);
        } else {
            call.end = Some(Ok(()));
            self.in_flight -= 1;
            buffer.extend_from_slice(payload);
            call.reply = Some(buffer);
        }
        Ok(Event::Arrived(number))
    }

    fn end(&mut self, number: u32, end: impl FnOnce(&'static Method) -> Result<()>) -> Result<Event> {
        let Some(call) = self.calls.get_mut(&number) else { return Ok(Event::Nothing) };
        if call.end.is_some() {
            return Err(Error::Malformed { why: "a call was answered twice" });
        }
        call.end = Some(end(call.method));
        self.in_flight -= 1;
        Ok(Event::Arrived(number))
    }
}

/// What the server reports, as an error of the call.
fn reported(failure: Failure<'_>, service: &'static str, method: &'static Method) -> Error {
    let part = if method.streams() { Part::Item } else { Part::Reply };
    let method = method.name();
    let why = printable(failure.text);
    let Failure { len, limit, .. } = failure;
    match failure.reason {
        Reason::UnknownMethod => Error::UnknownMethod { service, method },
        Reason::RequestUndecodable => {
            Error::Undecodable { part: Part::Request, method, side: Side::Server, why }
        }
        Reason::RequestTooLong => Error::TooLong { part: Part::Request, method, len, limit },
        Reason::ReplyUnencodable => Error::Unencodable { part, method, why },
        Reason::ReplyTooLong => Error::TooLong { part, method, len, limit },
        Reason::Overloaded => Error::Overloaded { method },
        Reason::TimedOut => Error::TimedOut { method },
        Reason::Panicked => Error::Panicked { method },
        Reason::Stopped => Error::Failed { method, why },
        Reason::Unknown(code) => Error::Failed { method, why: format!("failure number {code}: {why}") },
    }
}

/// What the other side says, without what could play with a terminal.
fn printable(text: &str) -> String {
    if text.contains(char::is_control) { text.escape_debug().collect() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
