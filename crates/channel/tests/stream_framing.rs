//! The codec alone: the bytes as documented, any split of them, and bytes that nobody should send.

use proptest::prelude::*;
use twixt_channel::Framing;
use twixt_channel::framing::{Decoder, Fault, MAX_MESSAGE, MAX_RAW, encode, wrap};
use twixt_os::ErrorKind;

/// All that comes out of a stream that is given in these pieces.
fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut decoder = Decoder::new(framing);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        while let Some(message) = decoder.next_message()? {
            messages.push(message.to_vec());
        }
    }
    messages.extend(decoder.finish()?.map(<[u8]>::to_vec));
    Ok(messages)
}

fn stream_of(framing: Framing, messages: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for message in messages {
        encode(framing, message.as_ref(), &mut stream).unwrap();
    }
    stream
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let hello = [5, 0, 0, 0, 0, 0, 0, 0, 0x2f, 0xc3, 0x02, 0xe2, b'h', b'e', b'l', b'l', b'o'];
    assert_eq!(stream_of(Framing::Frame, &["hello"]), hello);
    assert_eq!(stream_of(Framing::Frame, &[""]), [0, 0, 0, 0, 0, 0, 0, 0, 0xc2, 0x94, 0xd3, 0x38]);
    let three = wrap(Framing::Frame, b"\0\n", 3).unwrap();
    assert_eq!(three.before(), [2, 0, 0, 0, 3, 0, 0, 0, 0x01, 0x62, 0x4a, 0xf9]);
    // Lengths above 240 are another matter for the checksum.
    let long = wrap(Framing::Frame, &[b'x'; 1000], 0).unwrap();
    assert_eq!(long.before(), [0xe8, 3, 0, 0, 0, 0, 0, 0, 0xe8, 0xb5, 0xdf, 0xff]);
    assert_eq!(stream_of(Framing::Len, &["hello", ""]), b"\x05\0\0\0hello\0\0\0\0");
    assert_eq!(stream_of(Framing::Lines, &["hello", ""]), b"hello\n\n");
    assert_eq!(stream_of(Framing::Nul, &["hello\n", ""]), b"hello\n\0\0");
    assert_eq!(stream_of(Framing::Raw, &["hel", "lo"]), b"hello");
}

#[test]
fn what_cannot_be_told_apart_is_refused() {
    let fault = |framing, message: &[u8], descriptors| wrap(framing, message, descriptors).unwrap_err();
    assert_eq!(fault(Framing::Lines, b"a\nb", 0), Fault::Delimiter { delimiter: b'\n', at: 1 });
    assert_eq!(fault(Framing::Nul, b"ab\0", 0), Fault::Delimiter { delimiter: 0, at: 2 });
    assert_eq!(fault(Framing::Raw, b"", 0), Fault::Empty);
    assert_eq!(fault(Framing::Frame, b"", 254), Fault::Descriptors);
    assert_eq!(fault(Framing::Lines, b"", 1), Fault::Descriptors);
    let long = vec![b'x'; MAX_MESSAGE + 1];
    for framing in Framing::ALL {
        assert_eq!(fault(framing, &long, 0), Fault::TooLong { len: long.len() as u64 });
        assert!(wrap(framing, &long[1..], 0).is_ok());
    }
}

#[test]
fn the_longest_message_passes_and_one_byte_more_does_not() {
    let longest = vec![b'x'; MAX_MESSAGE];
    for framing in [Framing::Frame, Framing::Len, Framing::Lines, Framing::Nul] {
        let messages = [longest.as_slice(), b"next"];
        let stream = stream_of(framing, &messages);
        assert!(decode(framing, &[&stream]).unwrap() == messages, "{framing}");
    }
    let kind = |framing, stream: &[u8]| decode(framing, &[stream]).unwrap_err().kind();
    let mut line = longest;
    line.extend_from_slice(b"x\n");
    assert_eq!(kind(Framing::Lines, &line), ErrorKind::TooLong);
    assert_eq!(kind(Framing::Len, &[1, 0, 0, 4]), ErrorKind::TooLong);
    assert_eq!(kind(Framing::Frame, &[1, 0, 0, 4, 0, 0, 0, 0]), ErrorKind::TooLong, "before the checksum");
}

#[test]
fn a_last_line_needs_no_end() {
    assert_eq!(decode(Framing::Lines, &[b"a\n\nb"]).unwrap(), [&b"a"[..], b"", b"b"]);
    assert_eq!(decode(Framing::Nul, &[b"a\0b\0"]).unwrap(), [b"a", b"b"]);
    assert!(decode(Framing::Lines, &[b""]).unwrap().is_empty());
}

#[test]
fn an_end_within_a_message_says_how_much_is_missing() {
    for framing in [Framing::Frame, Framing::Len] {
        let head = wrap(framing, b"", 0).unwrap().before().len();
        // In the buffer, and longer than it.
        for message in [&b"hello"[..], &[7; 100_000]] {
            let stream = stream_of(framing, &[message]);
            for (at, cut) in
                (1..stream.len()).step_by(message.len().div_ceil(40)).map(|at| (at, &stream[..at]))
            {
                let whole = message.len();
                let expected = if at < head {
                    Fault::CutHeader { arrived: at, whole: head }
                } else {
                    Fault::Cut { arrived: at - head, whole }
                };
                assert_eq!(decode(framing, &[cut]).unwrap_err(), expected, "{framing} at {at}");
            }
        }
    }
    let fault = Fault::Cut { arrived: 3, whole: 5 };
    assert_eq!(fault.to_string(), "the stream ended within a message: 2 of its 5 bytes were cut off");
}

#[test]
fn damage_is_noticed_and_nothing_after_it_believed() {
    let stream = stream_of(Framing::Frame, &["hello", "world"]);
    for at in 0..17 {
        for bit in 0..8 {
            let mut damaged = stream.clone();
            damaged[at] ^= 1 << bit;
            let mut decoder = Decoder::new(Framing::Frame);
            decoder.push(&damaged);
            // A length that has grown may wait for more than ever comes.
            match decoder.next_message() {
                Err(fault) => assert_eq!(decoder.next_message(), Err(fault), "it stays so"),
                Ok(message) => {
                    assert_eq!(message, None, "byte {at}, bit {bit}");
                    assert!(decoder.finish().is_err());
                }
            }
        }
    }
}

#[test]
fn text_is_not_taken_for_a_frame() {
    assert_eq!(decode(Framing::Frame, &[b"GET / HTTP/1.1\r\n\r\n"]).unwrap_err(), Fault::NotAFrame);
}

#[test]
fn a_decoder_is_as_new_after_the_end() {
    let mut decoder = Decoder::new(Framing::Frame);
    decoder.push(&stream_of(Framing::Frame, &["hello"])[..7]);
    assert!(decoder.finish().is_err());
    decoder.push(&stream_of(Framing::Frame, &["again"]));
    assert_eq!(decoder.next_message().unwrap(), Some(&b"again"[..]));
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn announced_lengths_cost_nothing_until_the_bytes_come() {
    for (framing, header) in
        [(Framing::Frame, &[0, 0, 0, 4, 0, 0, 0, 0, 1, 2, 3, 4][..]), (Framing::Len, &[0, 0, 0, 4])]
    {
        let used = allocation_counter::measure(|| {
            let mut decoder = Decoder::new(framing);
            decoder.push(header);
            decoder.push(b"a little");
            assert_eq!(decoder.next_message(), Ok(None));
            decoder.push(&[0; 1000]);
            assert_eq!(decoder.next_message(), Ok(None));
        });
        assert!(used.bytes_max <= 4 * 65_536, "{used:?}");
    }
}

#[test]
fn nothing_is_allocated_for_one_message_after_the_other() {
    for framing in [Framing::Frame, Framing::Lines, Framing::Nul, Framing::Len, Framing::Raw] {
        let stream = stream_of(framing, &[[b'x'; 100]; 20]);
        let mut decoder = Decoder::new(framing);
        let mut round = || {
            decoder.push(&stream);
            while decoder.next_message().unwrap().is_some() {}
        };
        round();
        let used = allocation_counter::measure(|| (0..100).for_each(|_| round()));
        assert_eq!(used.count_total, 0, "{framing}");
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    prop::sample::select(&Framing::ALL[..])
}

/// Messages that the framing can carry, some of them longer than the decoder's buffer.
fn messages() -> impl Strategy<Value = (Framing, Vec<Vec<u8>>)> {
    let length = prop_oneof![8 => 0..40_usize, 1 => 60_000..70_000_usize, 1 => 120_000..200_000_usize];
    let message = (length, any::<u8>()).prop_map(|(len, seed)| {
        (0..len).map(|at| seed.wrapping_add((at * 31 + at / 251) as u8)).collect::<Vec<u8>>()
    });
    (framing(), prop::collection::vec(message, 0..8)).prop_map(|(framing, mut messages)| {
        for message in &mut messages {
            message.retain(|&byte| framing.delimiter() != Some(byte));
        }
        if framing == Framing::Raw {
            messages.retain(|message| !message.is_empty());
        }
        (framing, messages)
    })
}

/// Where to cut a stream.
fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..20)
}

fn split<'a>(stream: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_decodes_the_same((framing, messages) in messages(), cuts in cuts()) {
        let stream = stream_of(framing, &messages);
        let decoded = decode(framing, &split(&stream, &cuts)).unwrap();
        if framing == Framing::Raw {
            prop_assert!(decoded.iter().all(|piece| piece.len() <= MAX_RAW));
            prop_assert!(decoded.concat() == messages.concat());
        } else {
            prop_assert!(decoded == messages);
        }
    }

    /// Through `room` and `filled`, as a read fills it, which also never offers nothing.
    #[test]
    fn any_filling_decodes_the_same((framing, messages) in messages(), most in 1..100_000_usize) {
        let stream = stream_of(framing, &messages);
        let (mut decoder, mut decoded, mut rest) = (Decoder::new(framing), Vec::new(), &stream[..]);
        while !rest.is_empty() {
            let room = decoder.room();
            prop_assert!(!room.is_empty());
            let len = room.len().min(rest.len()).min(most);
            room[..len].copy_from_slice(&rest[..len]);
            decoder.filled(len);
            rest = &rest[len..];
            while let Some(message) = decoder.next_message().unwrap() {
                decoded.push(message.to_vec());
            }
        }
        prop_assert!(decoder.finish().unwrap().is_none());
        prop_assert!(decoded.concat() == messages.concat());
        prop_assert!(framing == Framing::Raw || decoded == messages);
    }

    #[test]
    fn hostile_bytes_neither_panic_nor_depend_on_the_split(
        framing in framing(),
        bytes in prop::collection::vec(prop_oneof![3 => 0..4_u8, 1 => any::<u8>()], 0..300),
        cuts in cuts(),
    ) {
        let whole = decode(framing, &[&bytes]);
        let pieces = decode(framing, &split(&bytes, &cuts));
        match framing {
            Framing::Raw => prop_assert_eq!(whole.unwrap().concat(), pieces.unwrap().concat()),
            _ => prop_assert_eq!(whole, pieces),
        }
    }

    #[test]
    fn memory_follows_what_has_arrived(framing in framing(), header in any::<[u8; 12]>(), len in 0..400_000_usize) {
        let mut header = header;
        // Else hardly any would be a header.
        header[5..8].fill(0);
        header[3] = 0;
        let payload = vec![1; len];
        let used = allocation_counter::measure(|| {
            let mut decoder = Decoder::new(framing);
            for piece in [&header[..], &payload] {
                for piece in piece.chunks(1000) {
                    decoder.push(piece);
                    while matches!(decoder.next_message(), Ok(Some(_))) {}
                }
            }
        });
        // While a vector grows its old bytes are still there.
        prop_assert!(used.bytes_max as usize <= 4 * (len + 65_536), "{used:?}");
    }
}
