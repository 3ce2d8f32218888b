//! Any bytes, however they are split as they arrive, are the same messages and the same fault; and what was encoded is
//! cut into what it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use twixt_channel::Framing;
use twixt_channel::framing::{Decoder, Fault, encode};

const FRAMINGS: [Framing; 5] = [Framing::Frame, Framing::Len, Framing::Lines, Framing::Nul, Framing::Raw];

/// Which bytes of a stream are spoiled, and with what.
type Spoiled = Vec<(u16, u8)>;

fuzz_target!(|input: (u8, Vec<Vec<u8>>, Spoiled, Vec<u16>)| {
    let (framing, messages, spoiled, splits) = input;
    let framing = FRAMINGS[usize::from(framing) % FRAMINGS.len()];
    let mut stream = Vec::new();
    let mut sent = Vec::new();
    for message in messages {
        match encode(framing, &message, &mut stream) {
            Ok(()) => sent.push(message),
            // What cannot be sent stands in the stream as it is.
            Err(_) if !spoiled.is_empty() => stream.extend(message),
            Err(_) => {}
        }
    }
    for &(at, byte) in &spoiled {
        match stream.len() {
            0 => stream.push(byte),
            len => stream[usize::from(at) % len] ^= byte,
        }
    }
    let whole = cut(framing, &stream, &[]);
    let split = cut(framing, &stream, &splits);
    let by_bytes = if stream.len() < 4096 { cut(framing, &stream, &[1]) } else { split.clone() };
    if framing == Framing::Raw {
        // Without boundaries the bytes are all there is.
        for outcome in [&whole, &split, &by_bytes] {
            assert_eq!(outcome.0.concat(), stream);
        }
        return;
    }
    assert_eq!(whole, split);
    assert_eq!(whole, by_bytes);
    if spoiled.is_empty() {
        assert_eq!(whole, (sent, None));
    }
});

/// The messages of a stream that arrives in pieces of these lengths, over and over, and what was wrong with it.
fn cut(framing: Framing, mut stream: &[u8], splits: &[u16]) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut decoder = Decoder::new(framing);
    let mut messages = Vec::new();
    let mut splits = splits.iter().cycle();
    while !stream.is_empty() {
        let len = splits.next().map_or(stream.len(), |&len| usize::from(len).clamp(1, stream.len()));
        let (piece, rest) = stream.split_at(len);
        decoder.push(piece);
        stream = rest;
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message.to_vec()),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next_message(), Err(fault), "it stays so");
                    return (messages, Some(fault));
                }
            }
        }
        assert!(decoder.buffered() <= (1 << 20) + 12, "no more than was pushed");
    }
    match decoder.finish() {
        Ok(last) => {
            messages.extend(last.map(<[u8]>::to_vec));
            (messages, None)
        }
        Err(fault) => (messages, Some(fault)),
    }
}
