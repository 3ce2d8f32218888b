//! popen: reading what a command writes, and writing what a command reads.

use std::io::{Read, Write};
use std::time::Instant;

use twixt_os::popen::Command;

use crate::demonstration::Demonstration;
use crate::failure::{Failure, expect};
use crate::party::Party;

pub(super) const READ: Demonstration = Demonstration {
    name: "popen-read",
    shows: "read what a shell command writes: uname -a",
    parties: &[("reader", reader)],
    conduct: |run| {
        run.start("reader")?;
        run.finish()
    },
    remove: |_| (),
    two_terminals: None,
};

pub(super) const WRITE: Demonstration = Demonstration {
    name: "popen-write",
    shows: "write what a shell command reads: od -c",
    parties: &[("writer", writer)],
    conduct: |run| {
        run.start("writer")?;
        run.finish()
    },
    remove: |names| drop(std::fs::remove_file(names.path("dump"))),
    two_terminals: None,
};

/// Each round starts a shell and a program, so a few tell enough.
const COMMANDS: u64 = 20;

fn reader(party: &Party) -> Result<(), Failure> {
    let uname = rustix::system::uname();
    let mut samples = party.samples();
    for _ in 0..party.rounds().min(COMMANDS) {
        let start = Instant::now();
        let mut stream = Command::shell("uname -a").read()?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        expect("the status that pclose gave", stream.close()?.code(), Some(0))?;
        samples.push(start.elapsed());
        party.say(&format!("output was: {}", text.trim_end()));
        for part in [uname.sysname(), uname.nodename(), uname.release(), uname.machine()] {
            let part = part.to_string_lossy();
            expect(&format!("{part:?} in the output"), text.contains(part.as_ref()), true)?;
        }
    }
    party.measured(samples);
    Ok(())
}

const SENTENCE: &str = "Once upon a time, there was ...\n";

fn writer(party: &Party) -> Result<(), Failure> {
    let dump = party.names().path("dump");
    let mut samples = party.samples();
    for _ in 0..party.rounds().min(COMMANDS) {
        let start = Instant::now();
        // The shell gets the path as a variable, so that no character in it means anything to the shell.
        let mut stream = Command::shell("od -An -c >\"$DUMP\"").env("DUMP", &dump).write()?;
        stream.write_all(SENTENCE.as_bytes())?;
        expect("the status that pclose gave", stream.close()?.code(), Some(0))?;
        samples.push(start.elapsed());
        let text = std::fs::read_to_string(&dump)?;
        party.say(&format!("od -c wrote: {}", text.trim_end()));
        expect("what od made of it", letters(&text), SENTENCE.to_owned())?;
    }
    party.measured(samples);
    Ok(())
}

/// Undoes `od -An -c`, which gives each byte four columns.
fn letters(dump: &str) -> String {
    let mut text = String::new();
    for line in dump.lines() {
        for cell in line.as_bytes().chunks(4) {
            match cell.trim_ascii() {
                b"\\n" => text.push('\n'),
                b"" => text.push(' '),
                letter => text.push_str(&String::from_utf8_lossy(letter)),
            }
        }
    }
    text
}
