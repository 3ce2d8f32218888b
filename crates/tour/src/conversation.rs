//! The conversation that the texts' programs hold: `ping`, `pong`, and in the end `end`.
//!
//! The words go over the wire as they are, so that any other program can take a side.

use std::time::Instant;

use crate::failure::{Failure, expect};
use crate::party::Party;

pub(crate) const PING: &[u8] = b"ping";
pub(crate) const PONG: &[u8] = b"pong";
pub(crate) const END: &[u8] = b"end";

/// The longest word, and then some: a longer answer must be seen to be too long.
pub(crate) type Word = [u8; 16];

/// Something that carries words both ways.
pub(crate) trait Line {
    /// Sends one word.
    fn send(&mut self, word: &[u8]) -> Result<(), Failure>;

    /// Receives one word and says how long it is; 0 if the other side has gone.
    fn receive(&mut self, into: &mut Word) -> Result<usize, Failure>;
}

/// Says `ping` as often as the party has rounds, checks each `pong`, times each round, and ends it.
pub(crate) fn client(party: &Party, line: &mut impl Line) -> Result<(), Failure> {
    let mut samples = party.samples();
    let mut word = Word::default();
    for _ in 0..party.rounds() {
        // Said before it is done, so that no effect of it is said earlier.
        party.say("Client: Sent ping");
        let start = Instant::now();
        line.send(PING)?;
        let len = line.receive(&mut word)?;
        samples.push(start.elapsed());
        if len == 0 {
            return Err(Failure::Gone("the server has gone without an answer".to_owned()));
        }
        expect("the answer", text(&word[..len]), text(PONG))?;
        party.say("Client: Received pong");
    }
    line.send(END)?;
    party.measured(samples);
    Ok(())
}

/// Answers each `ping` with `pong` until `end`, and counts them.
pub(crate) fn server(party: &Party, line: &mut impl Line) -> Result<(), Failure> {
    let mut word = Word::default();
    let mut pings = 0;
    loop {
        let len = line.receive(&mut word)?;
        match &word[..len] {
            END => break,
            [] => return Err(Failure::Gone("the client has gone without saying end".to_owned())),
            said => expect("the client's word", text(said), text(PING))?,
        }
        party.say("Server: Received ping");
        party.say("Server: Sent pong");
        line.send(PONG)?;
        pings += 1;
    }
    party.say("Server: Received end");
    party.counted("pings", pings);
    Ok(())
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// Reads one word from a stream, which keeps no boundaries: three bytes tell `end` from the other words.
pub(crate) fn read_word(stream: &mut impl std::io::Read, into: &mut Word) -> Result<usize, Failure> {
    let got = fill(stream, &mut into[..END.len()])?;
    if got < END.len() || into.starts_with(END) {
        return Ok(got);
    }
    Ok(got + fill(stream, &mut into[END.len()..PING.len()])?)
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut impl std::io::Read, buffer: &mut [u8]) -> Result<usize, Failure> {
    let mut got = 0;
    while got < buffer.len() {
        match stream.read(&mut buffer[got..])? {
            0 => break,
            more => got += more,
        }
    }
    Ok(got)
}
