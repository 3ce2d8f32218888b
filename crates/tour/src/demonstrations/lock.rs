//! An ordinary file that several processes rewrite, each under `flock`.

use std::fs;
use std::io::{Read, Seek, Write};

use twixt_os::lock::{File, Kind};

use super::counter;
use crate::demonstration::Demonstration;
use crate::failure::Failure;
use crate::party::Party;

pub(super) const COUNTER: Demonstration = Demonstration {
    name: "lock",
    shows: "a file rewritten under flock: three processes, one counter",
    parties: &[("worker", worker)],
    conduct: |run| {
        let path = run.names().path(FILE);
        fs::write(&path, "0")?;
        counter::compete(run, || number(&fs::read_to_string(&path)?))
    },
    remove: |names| drop(fs::remove_file(names.path(FILE))),
    two_terminals: None,
};

const FILE: &str = "number";

fn worker(party: &Party) -> Result<(), Failure> {
    let path = party.names().path(FILE);
    let mut lock = File::open(&path)?;
    let mut file = fs::File::options().read(true).write(true).open(&path)?;
    counter::work(party, || {
        let _held = lock.lock(Kind::Exclusive)?;
        let mut text = String::new();
        file.rewind()?;
        file.read_to_string(&mut text)?;
        let next = number(&text)? + 1;
        file.rewind()?;
        // Numbers only grow, so the new text covers the old one.
        Ok(write!(file, "{next}")?)
    })
}

fn number(text: &str) -> Result<u64, Failure> {
    text.trim()
        .parse()
        .map_err(|_| Failure::wrong(format_args!("the file holds {text:?}, which is no number")))
}
