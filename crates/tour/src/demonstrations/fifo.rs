//! FIFOs: `ping` through one, `pong` through another, and in the end `end`.

use std::time::Instant;

use twixt_os::fifo::Fifo;
use twixt_os::{ErrorKind, Mode};

use super::pipe::Ends;
use crate::conversation;
use crate::demonstration::{Demonstration, TwoTerminals};
use crate::failure::{Failure, expect};
use crate::names::Names;
use crate::party::Party;

pub(super) const CONVERSATION: Demonstration = Demonstration {
    name: "fifo",
    shows: "two unrelated processes, a FIFO each way",
    parties: &[("server", server), ("client", client)],
    conduct: |run| run.server_and_client(),
    remove,
    two_terminals: Some(TwoTerminals { address }),
};

pub(super) const OPENING: Demonstration = Demonstration {
    name: "fifo-open",
    shows: "who waits for whom: the four ways to open a FIFO",
    parties: &[("reader", reader), ("writer", writer)],
    conduct: |run| {
        for name in [PING, PONG] {
            Fifo::create(run.names().path(name), Mode::OWNER)?;
        }
        let writer = run.start("writer")?;
        run.wait_for("nobody reads")?;
        run.start("reader")?;
        run.cue(writer)?;
        run.finish()
    },
    remove,
    two_terminals: None,
};

const PING: &str = "ping";
const PONG: &str = "pong";

fn remove(names: &Names) {
    for name in [PING, PONG] {
        if let Ok(fifo) = Fifo::open(names.path(name)) {
            let _ = fifo.remove();
        }
    }
}

fn address(names: &Names) -> String {
    format!("fifo:{} (and {PONG} beside it for the answers)", names.path(PING).display())
}

fn server(party: &Party) -> Result<(), Failure> {
    let names = party.names();
    let (pings, pongs) = (names.path(PING), names.path(PONG));
    let pings = Fifo::open_or_create(pings, Mode::OWNER)?;
    let pongs = Fifo::open_or_create(pongs, Mode::OWNER)?;
    party.reached("ready", "");
    // Each open waits for the other side's, so both must open in the same order.
    let reader = pings.open_read_deadline(party.deadline())?;
    let writer = pongs.open_write_deadline(party.deadline())?;
    conversation::server(party, &mut Ends { reader, writer })
}

fn client(party: &Party) -> Result<(), Failure> {
    let names = party.names();
    let writer = Fifo::open(names.path(PING))?.open_write_deadline(party.deadline())?;
    let reader = Fifo::open(names.path(PONG))?.open_read_deadline(party.deadline())?;
    conversation::client(party, &mut Ends { reader, writer })
}

/// Each round opens and closes both ends, which must meet each time.
const OPENINGS: u64 = 100;

fn writer(party: &Party) -> Result<(), Failure> {
    let fifo = Fifo::open(party.names().path(PING))?;
    let answers = Fifo::open(party.names().path(PONG))?;
    // Without waiting: writing needs a reader, reading needs nobody, and both ends at once wait for nobody.
    match fifo.try_open_write() {
        Err(error) if error.kind() == ErrorKind::NoPeer => {
            party.say("Writer: O_WRONLY | O_NONBLOCK: ENXIO, nobody reads")
        }
        outcome => {
            return Err(Failure::wrong(format_args!("opening to write without a reader gave {outcome:?}")));
        }
    }
    let mut byte = [0];
    expect("bytes of a FIFO without writers", fifo.open_read_now()?.read(&mut byte)?, 0)?;
    party.say("Writer: O_RDONLY | O_NONBLOCK: open, and at the end of its data");
    drop(fifo.open_read_write()?);
    party.say("Writer: O_RDWR: open");
    party.reached("nobody reads", "");
    party.wait_for_cue()?;
    let mut samples = party.samples();
    for _ in 0..party.rounds().min(OPENINGS) {
        let start = Instant::now();
        let writer = fifo.open_write_deadline(party.deadline())?;
        samples.push(start.elapsed());
        writer.write_atomic(b"w")?;
        drop(writer);
        let reader = answers.open_read_deadline(party.deadline())?;
        expect("the reader's answer", reader.read_deadline(&mut byte, party.deadline())?, 1)?;
        expect("the end after it", reader.read_deadline(&mut byte, party.deadline())?, 0)?;
    }
    party.measured(samples);
    Ok(())
}

fn reader(party: &Party) -> Result<(), Failure> {
    let fifo = Fifo::open(party.names().path(PING))?;
    let answers = Fifo::open(party.names().path(PONG))?;
    let mut byte = [0];
    for _ in 0..party.rounds().min(OPENINGS) {
        let reader = fifo.open_read_deadline(party.deadline())?;
        party.say("Reader: O_RDONLY: open, since the other has opened to write");
        expect("what the writer wrote", reader.read_deadline(&mut byte, party.deadline())?, 1)?;
        expect("the end after it", reader.read_deadline(&mut byte, party.deadline())?, 0)?;
        drop(reader);
        // An answer through the same FIFO might be read by whoever asked for it, before it left.
        answers.open_write_deadline(party.deadline())?.write_atomic(b"r")?;
    }
    Ok(())
}
