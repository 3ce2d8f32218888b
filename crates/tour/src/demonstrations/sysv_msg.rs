//! System V message queues: `ping` as type 10, `pong` as type 11, and the four ways to select by type.

use twixt_os::sysv::msg::{Message, Queue, Select, Type};
use twixt_os::{ErrorKind, Mode};

use crate::conversation::{self, Line, Word};
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "sysv-msg",
    shows: "ping as type 10, pong as type 11, through one queue",
    parties: &[("server", server), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals { address: |names| format!("sysv-msg:{}", names.key(0).as_raw()) }),
};

pub(super) const SELECTION: Demonstration = Demonstration {
    name: "sysv-msg-select",
    shows: "receive by type, up to a type, all but a type, in order",
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

const REQUEST: Type = Type::new(10).unwrap();
const REPLY: Type = Type::new(11).unwrap();

fn remove(names: &Names) {
    if let Ok(queue) = Queue::open(names.key(0)) {
        // Another process may have been quicker, and that is as good.
        let _ = queue.remove();
    }
}

/// One end of the conversation: what it sends has one type, what it receives the other.
struct End {
    queue: Queue,
    sends: Type,
    receives: Type,
    message: Message,
}

impl End {
    fn new(queue: Queue, sends: Type, receives: Type) -> Self {
        Self { queue, sends, receives, message: Message::with_capacity(size_of::<Word>()) }
    }
}

impl Line for End {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.queue.send(self.sends, word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        self.queue.receive(Select::Exactly(self.receives), &mut self.message)?;
        let bytes = self.message.bytes();
        into[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

fn server(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open_or_create(party.names().key(0), Mode::OWNER)?;
    let mut end = End::new(queue, REPLY, REQUEST);
    party.reached("ready", "");
    conversation::server(party, &mut end)
}

fn client(party: &Party) -> Result<(), Failure> {
    conversation::client(party, &mut End::new(Queue::open(party.names().key(0))?, REQUEST, REPLY))
}

/// Out of order on purpose: ascending types would hide a wrong choice.
const SENT: [(i64, &str); 6] = [(30, "c"), (10, "a1"), (20, "b"), (10, "a2"), (40, "d"), (5, "z")];

fn sender(party: &Party) -> Result<(), Failure> {
    let queue = Queue::create(party.names().key(0), Mode::OWNER)?;
    for (number, text) in SENT {
        let mtype = Type::new(number).ok_or_else(|| Failure::wrong("a type below 1"))?;
        queue.send(mtype, text.as_bytes())?;
        party.say(&format!("Sender: sent {text:?} as type {number}"));
    }
    party.reached("sent", "");
    Ok(())
}

fn receiver(party: &Party) -> Result<(), Failure> {
    let queue = Queue::open(party.names().key(0))?;
    let twenty = Type::new(20).unwrap_or(Type::MIN);
    let ten = Type::new(10).unwrap_or(Type::MIN);
    let steps: [(&str, Select, (i64, &str)); 6] = [
        ("type 20", Select::Exactly(twenty), (20, "b")),
        ("the lowest up to 20", Select::LowestUpTo(twenty), (5, "z")),
        ("the lowest up to 20", Select::LowestUpTo(twenty), (10, "a1")),
        ("all but 10", Select::Except(ten), (30, "c")),
        ("all but 10", Select::Except(ten), (40, "d")),
        ("any", Select::Any, (10, "a2")),
    ];
    let mut message = Message::with_capacity(16);
    let mut samples = party.samples();
    for (how, select, (number, text)) in steps {
        let start = std::time::Instant::now();
        queue.try_receive(select, &mut message)?;
        samples.push(start.elapsed());
        let got = (message.mtype().get(), String::from_utf8_lossy(message.bytes()).into_owned());
        party.say(&format!("Receiver: asked for {how}, received {:?} of type {}", got.1, got.0));
        expect(how, got, (number, text.to_owned()))?;
    }
    match queue.try_receive(Select::Any, &mut message) {
        Err(error) if matches!(error.kind(), ErrorKind::NoMessage | ErrorKind::WouldBlock) => {}
        outcome => return Err(Failure::wrong(format_args!("an empty queue gave {outcome:?}"))),
    }
    party.measured(samples);
    Ok(())
}
