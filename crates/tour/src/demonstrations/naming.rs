//! The two ways to name whom a message is for: the process itself, or a mailbox.

use std::collections::VecDeque;
use std::time::Instant;

use twixt_os::Mode;
use twixt_os::sysv::msg::{Message, Queue, Select, Type};
use twixt_os::unix::{Address, Datagram};

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;
use crate::run::Run;

pub(super) const DIRECT: Demonstration = Demonstration {
    name: "direct",
    shows: "Send(P, m), Receive(Q, m): each pair of processes has its link",
    parties: &[("middle", middle), ("peer", peer)],
    conduct: direct,
    remove: |_| (),
    two_terminals: None,
};

pub(super) const INDIRECT: Demonstration = Demonstration {
    name: "indirect",
    shows: "a mailbox that three processes fill and two empty",
    parties: &[("producer", producer), ("consumer", consumer)],
    conduct: indirect,
    remove: |names| {
        if let Ok(mailbox) = Queue::open(names.key(0)) {
            let _ = mailbox.remove();
        }
    },
    two_terminals: None,
};

/// Messages between processes that name each other by process number.
///
/// Whoever knows the number can send: the link makes itself. It carries both ways, and it belongs to one pair: what
/// another process has sent waits until *that* process is asked for.
struct Links<'a> {
    party: &'a Party,
    socket: Datagram,
    waiting: VecDeque<(Address, Vec<u8>)>,
}

impl<'a> Links<'a> {
    fn new(party: &'a Party) -> Result<Self, Failure> {
        let socket = Datagram::bind(&address(party, std::process::id())?)?;
        Ok(Self { party, socket, waiting: VecDeque::new() })
    }

    fn send(&self, process: u32, message: &str) -> Result<(), Failure> {
        Ok(self.socket.send_to(message.as_bytes(), &address(self.party, process)?)?)
    }

    fn receive(&mut self, process: u32) -> Result<String, Failure> {
        let wanted = address(self.party, process)?;
        loop {
            if let Some(at) = self.waiting.iter().position(|(from, _)| *from == wanted) {
                let message = self.waiting.remove(at).map(|(_, message)| message).unwrap_or_default();
                return Ok(String::from_utf8_lossy(&message).into_owned());
            }
            let mut buffer = [0; 64];
            let (len, from) = self.socket.receive_from_deadline(&mut buffer, self.party.deadline())?;
            self.waiting.push_back((from, buffer[..len].to_vec()));
        }
    }
}

fn address(party: &Party, process: u32) -> Result<Address, Failure> {
    Ok(Address::abstract_name(party.names().abstract_name(&process.to_string()))?)
}

fn direct(run: &mut Run<'_>) -> Result<(), Failure> {
    let middle = run.start("middle")?;
    run.wait_for("ready")?;
    let to = run.pid(middle).to_string();
    let mut peers = Vec::new();
    for _ in 0..2 {
        let peer = run.start_with("peer", std::slice::from_ref(&to), None)?;
        run.wait_for("sent")?;
        peers.push(run.pid(peer).to_string());
    }
    // The middle asks for the second one's message first, though the first one's has come before it.
    peers.reverse();
    run.tell(middle, &peers.join(" "))?;
    run.finish()
}

fn number(text: &str) -> Result<u32, Failure> {
    text.parse().map_err(|_| Failure::wrong(format_args!("{text:?} is no process")))
}

fn middle(party: &Party) -> Result<(), Failure> {
    let mut links = Links::new(party)?;
    party.reached("ready", "");
    let told = party.wait_for_cue()?;
    let peers = told.split(' ').map(number).collect::<Result<Vec<u32>, Failure>>()?;
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        for peer in &peers {
            let message = links.receive(*peer)?;
            party.say(&format!("Receive({peer}, {message:?})"));
            expect("the message", message, format!("{round} from {peer}"))?;
            links.send(*peer, &format!("{round} for {peer}"))?;
        }
        samples.push(start.elapsed());
    }
    party.measured(samples);
    Ok(())
}

fn peer(party: &Party) -> Result<(), Failure> {
    let (own, middle) = (std::process::id(), number(party.argument(0)?)?);
    let mut links = Links::new(party)?;
    for round in 0..party.rounds() {
        links.send(middle, &format!("{round} from {own}"))?;
        if round == 0 {
            party.reached("sent", "");
        }
        let answer = links.receive(middle)?;
        expect("the answer", answer, format!("{round} for {own}"))?;
    }
    Ok(())
}

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 2;

/// The type of a message, and of the word that there will be no more. Consumers prefer neither: the word is sent last.
const LETTER: Type = Type::new(1).unwrap();
const END: Type = Type::new(2).unwrap();

fn indirect(run: &mut Run<'_>) -> Result<(), Failure> {
    let mailbox = Queue::create(run.names().key(0), Mode::OWNER)?;
    for _ in 0..CONSUMERS {
        run.start("consumer")?;
    }
    for producer in 0..PRODUCERS {
        run.start_with("producer", &[producer.to_string()], None)?;
    }
    for _ in 0..PRODUCERS {
        run.wait_for("done")?;
    }
    for _ in 0..CONSUMERS {
        mailbox.send(END, b"")?;
    }
    run.finish()?;
    // The numbers are all different: the right count with the right sum means each was taken once.
    let letters = PRODUCERS * run.rounds();
    expect("letters that were taken", run.count("letters"), letters)?;
    expect("the sum of their numbers", run.count("sum of letters"), letters * (letters - 1) / 2)
}

fn producer(party: &Party) -> Result<(), Failure> {
    let mailbox = Queue::open(party.names().key(0))?;
    let producer = u64::from(number(party.argument(0)?)?);
    for round in 0..party.rounds() {
        mailbox.send(LETTER, &(producer * party.rounds() + round).to_le_bytes())?;
        party.say(&format!("Producer {producer}: put letter {round} into the mailbox"));
    }
    party.reached("done", "");
    Ok(())
}

fn consumer(party: &Party) -> Result<(), Failure> {
    let mailbox = Queue::open(party.names().key(0))?;
    let (mut letters, mut sum) = (0, 0);
    let mut message = Message::with_capacity(size_of::<u64>());
    let mut samples = party.samples();
    loop {
        let start = Instant::now();
        mailbox.receive(Select::Any, &mut message)?;
        if message.mtype() == END {
            break;
        }
        samples.push(start.elapsed());
        let bytes = message.bytes().try_into().map_err(|_| Failure::wrong("a letter of the wrong length"))?;
        sum += u64::from_le_bytes(bytes);
        letters += 1;
    }
    party.say(&format!("Consumer {}: took {letters} letters", std::process::id()));
    party.counted("letters", letters);
    party.counted("sum of letters", sum);
    party.measured(samples);
    Ok(())
}
