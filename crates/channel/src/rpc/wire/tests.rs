use proptest::prelude::*;

use super::*;

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(&mut out);
    out
}

fn greeting<'a>(name: &'a str, signature: &'a str) -> Greeting<'a> {
    // Every other one says which process it is.
    let who = (name.len() % 2 == 1).then_some(Who { place: 0x1112_1314_1516_1718, started: 20, pid: 4711 });
    Greeting { nonce: 0x0102_0304_0506_0708, hash: 9, max_message: 4096, name, who, signature }
}

#[test]
fn each_kind_is_what_it_says() {
    let payload = b"payload".as_slice();
    let request = Request { call: 3, method: 4, credit: 5, timeout: Some(Duration::from_nanos(6)), payload };
    let failure = Failure { reason: Reason::ReplyTooLong, len: 10, limit: 5, text: "why" };
    for packet in [
        Packet::Open(greeting("Sums", "")),
        Packet::Welcome(greeting("Sums", "")),
        Packet::Refuse(Refusal::Types, greeting("Sums", "add(i32)")),
        Packet::Refuse(Refusal::Unknown(77), greeting("", "")),
        Packet::Request(request),
        Packet::Request(Request { timeout: None, payload: b"", ..request }),
        Packet::Reply { call: 1, payload },
        Packet::Reply { call: u32::MAX, payload: b"" },
        Packet::Failure { call: 1, failure },
        Packet::Failure { call: 1, failure: Failure { reason: Reason::Unknown(999), ..failure } },
        Packet::Item { call: 1, payload },
        Packet::End { call: 1 },
        Packet::Credit { call: 1, items: 16 },
        Packet::Cancel { call: 1 },
        Packet::Goodbye,
    ] {
        let bytes = encoded(&packet);
        assert_eq!(Packet::decode(&bytes), Ok(packet));
        for end in 0..bytes.len() {
            // Cut short it may still be a message, with less payload; it must not be read past its end.
            let _ = Packet::decode(&bytes[..end]);
        }
    }
}

#[test]
fn headers_are_as_long_as_their_names_say() {
    let request = Request { call: 1, method: 1, credit: 0, timeout: None, payload: b"" };
    assert_eq!(encoded(&Packet::Request(request)).len(), REQUEST_HEADER);
    assert_eq!(encoded(&Packet::Reply { call: 1, payload: b"" }).len(), HEADER);
    assert_eq!(encoded(&Packet::Item { call: 1, payload: b"" }).len(), HEADER);
}

#[test]
fn what_is_malformed_is_said() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "shorter than its header"),
        (b"1234567", "shorter than its header"),
        (&[0; 8], "unknown kind"),
        (&[99, 0, 0, 0, 0, 0, 0, 0], "unknown kind"),
        (&[8, 1, 0, 0, 1, 0, 0, 0], "reserved"),
        (&[8, 0, 1, 0, 1, 0, 0, 0], "no code"),
        (&[11, 0, 0, 0, 1, 0, 0, 0], "belongs to no call"),
        (&[8, 0, 0, 0, 1, 0, 0, 0, 0], "no payload"),
        (&[9, 0, 0, 0, 1, 0, 0, 0, 0], "12 bytes"),
        (&[4, 0, 0, 0, 1, 0, 0, 0, 0], "request is cut short"),
        (&[6, 0, 1, 0, 1, 0, 0, 0, 0], "failure is cut short"),
        (&[1, 0, 1, 0, 0, 0, 0, 0, 0], "mark of the format"),
        (b"\x01\0\x01\0\0\0\0\0twxrpc\n\0", "greeting is cut short"),
        (b"\x01\0\x02\0\0\0\0\0twxrpc\n\0", "mark of the format"),
    ];
    for (bytes, why) in cases {
        let Malformed(said) = Packet::decode(bytes).unwrap_err();
        assert!(said.contains(why), "{bytes:?}: {said}, not {why}");
    }
    let mut short = encoded(&Packet::Welcome(greeting("Sums", "")));
    short.truncate(42);
    assert_eq!(Packet::decode(&short), Err(Malformed("a greeting is shorter than the name in it")));
}

#[test]
fn another_version_is_known_as_one() {
    let mut bytes = encoded(&Packet::Open(greeting("Sums", "")));
    bytes[2] = 2;
    bytes.truncate(24);
    let Ok(Packet::Open(greeting)) = Packet::decode(&bytes) else { panic!("{:?}", Packet::decode(&bytes)) };
    assert!(greeting.is_of_another_version());
    assert_eq!(greeting.nonce, 0x0102_0304_0506_0708);
}

#[test]
fn texts_are_cut_between_characters() {
    let long = "ß".repeat(2000);
    let bytes = encoded(&Packet::Refuse(Refusal::Types, greeting(&long, &"ß".repeat(20_000))));
    let Ok(Packet::Refuse(_, greeting)) = Packet::decode(&bytes) else {
        panic!("{:?}", Packet::decode(&bytes))
    };
    assert_eq!(greeting.name.len(), 254);
    assert_eq!(greeting.signature.len(), LONGEST_SIGNATURE);
    let failure = Failure { reason: Reason::Stopped, len: 0, limit: 0, text: &long };
    let bytes = encoded(&Packet::Failure { call: 1, failure });
    let Ok(Packet::Failure { failure, .. }) = Packet::decode(&bytes) else { panic!() };
    assert_eq!(failure.text.len(), LONGEST_REASON);
}

proptest! {
    /// Whatever the bytes, they are a message or they are refused, and a message is written as it was read.
    #[test]
    fn any_bytes_are_read_or_refused(
        kind in 0_u8..14,
        code in prop_oneof![Just(0_u16), Just(1), any::<u16>()],
        rest in proptest::collection::vec(any::<u8>(), 0..80),
        marked in any::<bool>(),
    ) {
        let mut bytes = vec![kind, 0];
        bytes.extend(code.to_le_bytes());
        bytes.extend(&rest);
        if marked && bytes.len() >= 16 {
            bytes[8..16].copy_from_slice(&MAGIC);
        }
        if let Ok(packet) = Packet::decode(&bytes) {
            let another = matches!(packet, Packet::Open(greeting) if greeting.is_of_another_version());
            if !another {
                prop_assert_eq!(encoded(&packet), bytes);
            }
        }
    }
}
