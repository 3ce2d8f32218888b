//! Anonymous pipes: a parent and its child, and two commands joined as the shell joins them.

use std::os::fd::OwnedFd;
use std::time::Instant;

use twixt_os::inherit::PassDescriptors;
use twixt_os::pipe::{self, Reader, Writer};
use twixt_os::popen;

use crate::conversation::{self, Line, Word};
use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const PARENT_AND_CHILD: Demonstration = Demonstration {
    name: "pipe",
    shows: "parent and child, a pipe each way",
    parties: &[("parent", parent), ("child", child)],
    conduct: |run| {
        run.start("parent")?;
        run.finish()?;
        expect("pings that the child counted", run.count("pings"), run.rounds())
    },
    remove: |_| (),
    two_terminals: None,
};

pub(super) const SHELL: Demonstration = Demonstration {
    name: "pipe-shell",
    shows: "two executed commands joined by a pipe: A | B",
    parties: &[("shell", shell)],
    conduct: |run| {
        run.start("shell")?;
        run.finish()
    },
    remove: |_| (),
    two_terminals: None,
};

/// The descriptors under which the child finds its ends.
const FROM_PARENT: i32 = 3;
const TO_PARENT: i32 = 4;

/// A pipe each way: what one end says and hears.
pub(super) struct Ends {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
}

impl Line for Ends {
    fn send(&mut self, word: &[u8]) -> Result<(), Failure> {
        Ok(self.writer.write_atomic(word)?)
    }

    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure> {
        conversation::read_word(&mut self.reader, into)
    }
}

fn parent(party: &Party) -> Result<(), Failure> {
    let (for_child, writer) = pipe::create()?;
    let (reader, by_child) = pipe::create()?;
    let mut command = party.command("child")?;
    let ends: [(OwnedFd, i32); 2] = [(for_child.into(), FROM_PARENT), (by_child.into(), TO_PARENT)];
    command.pass_descriptors(ends)?;
    let mut child = command.spawn()?;
    // The child's ends live in the command too: without this, its end would never be seen.
    drop(command);
    let spoken = conversation::client(party, &mut Ends { reader, writer });
    let status = child.wait()?;
    spoken?;
    expect("the child's end", status.success(), true)
}

fn child(party: &Party) -> Result<(), Failure> {
    let (reader, writer) = (Reader::inherited(FROM_PARENT)?, Writer::inherited(TO_PARENT)?);
    conversation::server(party, &mut Ends { reader, writer })
}

/// Each round starts two programs, so a few tell enough.
const PIPELINES: u64 = 20;

fn shell(party: &Party) -> Result<(), Failure> {
    let mut samples = party.samples();
    for round in 0..party.rounds().min(PIPELINES) {
        let start = Instant::now();
        let said = format!("round {round}\n");
        let mut pipeline = (popen::Command::program("printf").arg("%s").arg(&said)
            | popen::Command::program("tr").args(["a-z", "A-Z"]))
        .read()?;
        let mut heard = String::new();
        std::io::Read::read_to_string(&mut pipeline, &mut heard)?;
        expect("the end of the last command", pipeline.close()?.success(), true)?;
        samples.push(start.elapsed());
        party.say(&format!("printf '{}' | tr a-z A-Z: {}", said.trim_end(), heard.trim_end()));
        expect("what came through", heard, said.to_uppercase())?;
    }
    party.measured(samples);
    Ok(())
}
