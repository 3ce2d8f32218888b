//! Descriptors through a Unix socket: what one process has opened, another reads.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use twixt_os::unix::{Address, Attachments, Seqpacket, SeqpacketListener};

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const DESCRIPTORS: Demonstration = Demonstration {
    name: "unix-passing",
    shows: "an open file through a socket, and who sent it",
    parties: &[("receiver", receiver), ("sender", sender)],
    conduct: |run| {
        run.start("receiver")?;
        run.wait_for("ready")?;
        let sender = run.start("sender")?;
        run.finish()?;
        expect("the sender that the receiver saw", run.wait_for("sender")?, run.pid(sender).to_string())?;
        expect("files that were passed", run.count("files"), run.rounds())
    },
    remove: |names| drop(fs::remove_file(names.path(FILE))),
    two_terminals: None,
};

const FILE: &str = "file";
const NAME: &str = "passing";

fn address(party: &Party) -> Result<Address, Failure> {
    Ok(Address::abstract_name(party.names().abstract_name(NAME))?)
}

fn sender(party: &Party) -> Result<(), Failure> {
    let link = Seqpacket::connect_deadline(&address(party)?, party.deadline())?;
    let path = party.names().path(FILE);
    let mut samples = party.samples();
    for round in 0..party.rounds() {
        let start = Instant::now();
        let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
        // Without its name, only the descriptor leads to it.
        fs::remove_file(&path)?;
        write!(file, "round {round}")?;
        file.rewind()?;
        link.send_with(b"file", &Attachments::descriptors(&[file.as_fd()]))?;
        let mut answer = [0; 32];
        let len = link.receive_deadline(&mut answer, party.deadline())?.unwrap_or(0);
        samples.push(start.elapsed());
        let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
        party.say(&format!("Sender: passed a file without a name, which holds {answer:?}"));
        expect("what the receiver read", answer, format!("round {round}"))?;
    }
    party.measured(samples);
    Ok(())
}

fn receiver(party: &Party) -> Result<(), Failure> {
    let listener = SeqpacketListener::bind(&address(party)?)?;
    party.reached("ready", "");
    let link = listener.accept_deadline(party.deadline())?;
    let sender = link.peer_credentials()?.pid.map_or(0, |pid| pid.as_raw_nonzero().get());
    party.reached("sender", sender);
    let mut files = 0;
    let mut word = [0; 16];
    while let Some(mut received) = link.receive_with_deadline(&mut word, party.deadline())? {
        let descriptor =
            received.descriptors.pop().ok_or_else(|| Failure::wrong("a message without its file"))?;
        let mut text = String::new();
        File::from(descriptor).read_to_string(&mut text)?;
        link.send(text.as_bytes())?;
        files += 1;
    }
    party.counted("files", files);
    Ok(())
}
