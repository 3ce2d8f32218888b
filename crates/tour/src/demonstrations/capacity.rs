//! How much a link holds: nothing, so much and no more, or whatever comes within a budget.
//!
//! The same ring in shared memory each time, opened with another capacity.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Instant;

use twixt_address::Address;
use twixt_channel::{Message, Receiver, Sender};
use twixt_os::posix::shm;
use twixt_os::{ErrorKind, Wait};

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;
use crate::run::Run;

pub(super) const ZERO: Demonstration = Demonstration {
    name: "capacity-zero",
    shows: "a rendezvous: the sender returns when the receiver has it",
    parties: &[("sender", sender), ("receiver", receiver)],
    conduct: meet,
    remove: |names| {
        remove(names);
        let _ = fs::remove_file(names.path(LETTERS));
    },
    two_terminals: None,
};

pub(super) const BOUNDED: Demonstration = Demonstration {
    name: "capacity-bounded",
    shows: "what fits is accepted; one more waits for room",
    parties: &[("producer", producer), ("consumer", consumer)],
    conduct: |run| {
        run.start("producer")?;
        run.wait_for("full")?;
        run.start("consumer")?;
        run.finish()?;
        expect("messages that were taken", run.count("taken"), run.count("sent"))
    },
    remove,
    two_terminals: None,
};

pub(super) const UNBOUNDED: Demonstration = Demonstration {
    name: "capacity-unbounded",
    shows: "no send ever waits; beyond the budget it is refused",
    parties: &[("spender", spender), ("consumer", consumer)],
    conduct: |run| {
        run.start("spender")?;
        run.wait_for("spent")?;
        run.start("consumer")?;
        run.finish()?;
        expect("messages that were taken", run.count("taken"), run.count("sent"))
    },
    remove,
    two_terminals: None,
};

const NAME: &str = "link";

fn remove(names: &Names) {
    let _ = shm::unlink(&names.posix(NAME));
}

/// The link's address with these options.
fn link(party: &Party, options: &str) -> Result<Address, Failure> {
    let address = format!("posix-shm:{}{options}", party.names().posix(NAME));
    address.parse().map_err(|error| Failure::wrong(format_args!("{error}")))
}

/// Where both sides leave a letter each: `a` for asking, `r` for returned.
const LETTERS: &str = "letters";

fn meet(run: &mut Run<'_>) -> Result<(), Failure> {
    run.start("sender")?;
    run.wait_for("would block")?;
    run.start("receiver")?;
    run.finish()?;
    let letters = fs::read_to_string(run.names().path(LETTERS))?;
    let mut asked = 0_i64;
    let in_time = letters.chars().all(|letter| {
        asked += if letter == 'a' { 1 } else { -1 };
        asked >= 0
    });
    expect("letters", letters.len() as u64, 2 * run.rounds())?;
    expect("whether no send returned before its message was asked for", in_time, true)
}

fn letters(party: &Party) -> Result<fs::File, Failure> {
    Ok(OpenOptions::new().create(true).append(true).open(party.names().path(LETTERS))?)
}

fn sender(party: &Party) -> Result<(), Failure> {
    let mut sender = Sender::open(&link(party, "?create&capacity=0")?)?;
    let mut letters = letters(party)?;
    // Nobody is there to take anything, and there is nowhere to leave it.
    match sender.try_send(b"nobody gets this") {
        Err(error) if error.kind() == ErrorKind::WouldBlock => party.reached("would block", ""),
        outcome => return Err(Failure::wrong(format_args!("sending to nobody gave {outcome:?}"))),
    }
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        sender.send_deadline(&round.to_le_bytes(), party.deadline())?;
        letters.write_all(b"r")?;
        samples.push(start.elapsed());
        party.say(&format!("Sender: {round} was taken"));
    }
    party.measured(samples);
    Ok(())
}

fn receiver(party: &Party) -> Result<(), Failure> {
    let mut receiver = Receiver::open(&link(party, "")?)?;
    let mut letters = letters(party)?;
    for round in 0..party.rounds() {
        letters.write_all(b"a")?;
        let message = receiver.receive_deadline(party.deadline())?;
        expect("the number", number(&message)?, round)?;
        party.say(&format!("Receiver: took {round}"));
    }
    Ok(())
}

fn producer(party: &Party) -> Result<(), Failure> {
    let mut sender = Sender::open(&link(party, "?create&capacity=4k")?)?;
    let mut sent = fill(&mut sender, ErrorKind::WouldBlock)?;
    party.say(&format!("Producer: {sent} fit"));
    party.reached("full", "");
    let mut samples = party.samples();
    for _ in 0..party.rounds() {
        let start = Instant::now();
        sender.send_deadline(&sent.to_le_bytes(), party.deadline())?;
        samples.push(start.elapsed());
        sent += 1;
    }
    sender.send_deadline(END, party.deadline())?;
    party.measured(samples);
    party.counted("sent", sent);
    Ok(())
}

fn spender(party: &Party) -> Result<(), Failure> {
    let mut sender = Sender::open(&link(party, "?create&budget=64k")?)?;
    let start = Instant::now();
    let sent = fill(&mut sender, ErrorKind::LimitReached)?;
    let each = start.elapsed() / u32::try_from(sent).unwrap_or(u32::MAX).max(1);
    party.say(&format!("Spender: {sent} used up the budget, and none waited"));
    party.reached("spent", "");
    // The consumer makes room; only a sender that wants to waits for it.
    let message = END;
    let wait = Wait::until(party.deadline());
    wait.with_backoff(|| match sender.try_send(message) {
        Err(error) if error.kind() == ErrorKind::LimitReached => Err(twixt_os::Errno::AGAIN),
        outcome => Ok(outcome),
    })
    .map_err(|errno| Failure::wrong(format_args!("no room again: {errno}")))??;
    let mut samples = party.samples();
    samples.push(each);
    party.measured(samples);
    party.counted("sent", sent);
    Ok(())
}

/// Sends numbers, without waiting, until one is refused in the way it should be.
fn fill(sender: &mut Sender, refusal: ErrorKind) -> Result<u64, Failure> {
    let mut sent = 0_u64;
    loop {
        match sender.try_send(&sent.to_le_bytes()) {
            Ok(()) => sent += 1,
            Err(error) if error.kind() == refusal => return Ok(sent),
            Err(error) => return Err(error.into()),
        }
    }
}

const END: &[u8] = b"end";

fn consumer(party: &Party) -> Result<(), Failure> {
    let mut receiver = Receiver::open(&link(party, "")?)?;
    let mut message = Message::new();
    let mut taken = 0;
    loop {
        receiver.receive_wait(&mut message, Wait::until(party.deadline()))?;
        if message.bytes() == END {
            break;
        }
        expect("the next message", number(&message)?, taken)?;
        taken += 1;
    }
    party.say(&format!("Consumer: took {taken} in order"));
    party.counted("taken", taken);
    Ok(())
}

fn number(message: &Message) -> Result<u64, Failure> {
    let bytes = message.bytes().try_into();
    let bytes = bytes.map_err(|_| Failure::wrong(format_args!("{} bytes are no number", message.len())))?;
    Ok(u64::from_le_bytes(bytes))
}
