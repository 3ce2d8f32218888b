//! POSIX message queues: a conversation, urgent messages first, and a notification.

use std::time::{Duration, Instant};

use twixt_os::posix::mq::{self, Access, Limits, Priority, Queue};
use twixt_os::signal::{Cause, Signal, SignalSet};
use twixt_os::{ErrorKind, Mode};

use crate::conversation::{self, Line, Word};
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "posix-mq",
    shows: "a queue each way",
    parties: &[("server", server), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals {
        address: |names| {
            format!("posix-mq:{} (and {} for the answers)", names.posix(PING), names.posix(PONG))
        },
    }),
};

pub(super) const PRIORITIES: Demonstration = Demonstration {
    name: "posix-mq-priority",
    shows: "urgent messages first, and in order within a priority",
    parties: &[("sender", sender), ("receiver", receiver)],
    conduct: |run| {
        run.start("sender")?;
        run.wait_for("sent")?;
        run.start("receiver")?;
        run.finish()
    },
    remove,
    two_terminals: None,
};

pub(super) const NOTIFICATION: Demonstration = Demonstration {
    name: "posix-mq-notify",
    shows: "a signal when a message arrives; a second registrant refused",
    parties: &[("registrant", registrant), ("rival", rival), ("notifier", notifier)],
    conduct: |run| {
        run.start("registrant")?;
        run.wait_for("registered")?;
        run.start("rival")?;
        run.wait_for("refused")?;
        run.start("notifier")?;
        run.finish()
    },
    remove,
    two_terminals: None,
};

const PING: &str = "ping";
const PONG: &str = "pong";

/// Within what every user may ask for.
const LIMITS: Limits = Limits { max_messages: 8, message_size: size_of::<Word>() };

fn remove(names: &Names) {
    for name in [PING, PONG] {
        // Not every demonstration makes both.
        let _ = mq::unlink(&names.posix(name));
    }
}

/// The queue that one end writes to and the one it reads from.
struct Ends {
    sends: Queue,
    receives: Queue,
    /// As long as the queue's messages may be: somebody else may have made it.
    buffer: Vec<u8>,
}

impl Ends {
    fn new(sends: Queue, receives: Queue) -> Self {
        let buffer = vec![0; receives.message_size()];
        Self { sends, receives, buffer }
    }
}

impl Line for Ends {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.sends.send(word, Priority::LOWEST)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        let received = self.receives.receive(&mut self.buffer)?;
        let word = into.get_mut(..received.len).ok_or_else(|| Failure::wrong("a word longer than any"))?;
        word.copy_from_slice(&self.buffer[..received.len]);
        Ok(received.len)
    }
}

fn server(party: &Party) -> Result<(), Failure> {
    let (pings, pongs) = (party.names().posix(PING), party.names().posix(PONG));
    let receives = Queue::open_or_create(&pings, Access::Read, LIMITS, Mode::OWNER)?;
    let sends = Queue::open_or_create(&pongs, Access::Write, LIMITS, Mode::OWNER)?;
    party.reached("ready", "");
    conversation::server(party, &mut Ends::new(sends, receives))
}

fn client(party: &Party) -> Result<(), Failure> {
    let sends = Queue::open(&party.names().posix(PING), Access::Write)?;
    let receives = Queue::open(&party.names().posix(PONG), Access::Read)?;
    conversation::client(party, &mut Ends::new(sends, receives))
}

/// Out of order on purpose.
const SENT: [(u32, &str); 6] = [(5, "a1"), (0, "z"), (31, "now"), (5, "a2"), (7, "b"), (5, "a3")];
const RECEIVED: [(u32, &str); 6] = [(31, "now"), (7, "b"), (5, "a1"), (5, "a2"), (5, "a3"), (0, "z")];

fn sender(party: &Party) -> Result<(), Failure> {
    let queue = Queue::create(&party.names().posix(PING), Access::Write, LIMITS, Mode::OWNER)?;
    for (number, text) in SENT {
        let priority = Priority::new(number).ok_or_else(|| Failure::wrong("a priority above the highest"))?;
        queue.send(text.as_bytes(), priority)?;
        party.say(&format!("Sender: sent {text:?} with priority {number}"));
    }
    party.reached("sent", "");
    Ok(())
}

fn receiver(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open(&party.names().posix(PING), Access::Read)?;
    let mut samples = party.samples();
    let mut word = Word::default();
    for expected in RECEIVED {
        let start = Instant::now();
        let received = queue.try_receive(&mut word)?;
        samples.push(start.elapsed());
        let text = String::from_utf8_lossy(&word[..received.len]).into_owned();
        party.say(&format!("Receiver: received {text:?} of priority {}", received.priority.get()));
        expect("the next message", (received.priority.get(), text.as_str()), expected)?;
    }
    match queue.try_receive(&mut word) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        outcome => return Err(Failure::wrong(format_args!("an empty queue gave {outcome:?}"))),
    }
    party.measured(samples);
    Ok(())
}

/// Real-time, so that its value comes along.
const SIGNAL: Signal = Signal::RTMIN;
const VALUE: i32 = 77;

/// More would tell no more, and each round is a message, a signal and a new registration.
const NOTIFICATIONS: u64 = 100;

fn notifications(party: &Party) -> u64 {
    party.rounds().min(NOTIFICATIONS)
}

fn registrant(party: &Party) -> Result<(), Failure> {
    let signals = SignalSet::from([SIGNAL]);
    let _blocked = signals.block()?;
    let queue = Queue::create(&party.names().posix(PING), Access::Read, LIMITS, Mode::OWNER)?;
    let answers = Queue::create(&party.names().posix(PONG), Access::Write, LIMITS, Mode::OWNER)?;
    queue.notify_signal(SIGNAL, VALUE)?;
    party.reached("registered", "");
    let mut word = Word::default();
    for _ in 0..notifications(party) {
        let info = signals.wait_deadline(party.deadline())?;
        expect("the signal's value", info.value().map(|value| value.as_i32()), Some(VALUE))?;
        expect("that it is about a queue", matches!(info.cause(), Cause::MessageQueue { .. }), true)?;
        party.say("Registrant: notified of a message");
        // Anew before the queue is emptied, or a message that arrives in between would go unnoticed.
        queue.notify_signal(SIGNAL, VALUE)?;
        let received = queue.try_receive(&mut word)?;
        expect("the message", &word[..received.len], conversation::PING)?;
        answers.send(conversation::PONG, Priority::LOWEST)?;
    }
    Ok(())
}

fn rival(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open(&party.names().posix(PING), Access::Read)?;
    match queue.notify_signal(SIGNAL, VALUE) {
        Err(error) if error.kind() == ErrorKind::Busy => {
            party.say("Rival: refused, since another is registered")
        }
        outcome => return Err(Failure::wrong(format_args!("a second registrant got {outcome:?}"))),
    }
    party.reached("refused", "");
    Ok(())
}

fn notifier(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open(&party.names().posix(PING), Access::Write)?;
    let answers = Queue::open(&party.names().posix(PONG), Access::Read)?;
    let mut samples: Vec<Duration> = party.samples();
    let mut word = Word::default();
    for _ in 0..notifications(party) {
        let start = Instant::now();
        queue.send(conversation::PING, Priority::LOWEST)?;
        let received = answers.receive_deadline(&mut word, party.deadline())?;
        samples.push(start.elapsed());
        expect("the answer", &word[..received.len], conversation::PONG)?;
    }
    party.measured(samples);
    Ok(())
}
