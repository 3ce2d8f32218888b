//! Peers that do not keep to the format: they hurt nobody but themselves.

#[path = "support/rpc.rs"]
mod support;

use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use support::*;
use twixt_channel::Duplex;
use twixt_channel::rpc::{self, Ended, Error, Options};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::test;

const GOODBYE: [u8; 8] = [11, 0, 0, 0, 0, 0, 0, 0];

fn greeting(kind: u8, nonce: &[u8]) -> Vec<u8> {
    let hash = LabClient::service().hash().to_le_bytes();
    let code = u8::from(kind == 1);
    [&[kind, 0, code, 0, 0, 0, 0, 0], b"twxrpc\n\0".as_slice(), nonce, &hash, &[0, 0, 0, 4], b"\x03\0\0\0Lab"]
        .concat()
}

fn request(call: u32, method: &str, credit: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![4, 0, 0, 0];
    bytes.extend(call.to_le_bytes());
    bytes.extend(rpc::method_id(method).to_le_bytes());
    bytes.extend(credit.to_le_bytes());
    bytes.extend([0xff; 8]);
    bytes.extend(payload);
    bytes
}

/// A server, and the raw other end of its connection after the greeting.
fn served(workers: usize) -> (Duplex, thread::JoinHandle<rpc::Result<Ended>>) {
    let Pair { mut client, mut server, .. } = socket("unix");
    let thread =
        thread::spawn(move || Notes::default().into_server().workers(workers).queue(4).serve(&mut server));
    client.send(&greeting(1, b"12345678")).unwrap();
    assert_eq!(client.receive().unwrap().bytes()[0], 2);
    (client, thread)
}

#[test]
fn a_client_that_breaks_the_rules_is_shown_out() {
    let _test = test!();
    for workers in [0, 2] {
        let duplicate = [request(1, "gate", 0, b""), request(1, "gate", 0, b"")];
        let cases: [(&[Vec<u8>], &str); 6] = [
            (&[vec![]], "shorter than its header"),
            (&[vec![99; 8]], "reserved"),
            (&[vec![42, 0, 0, 0, 0, 0, 0, 0]], "unknown kind"),
            (&[vec![5, 0, 0, 0, 1, 0, 0, 0, 1]], "only a server sends"),
            (&[vec![4, 0, 0, 0, 1, 0, 0, 0, 1]], "cut short"),
            (&duplicate, "same number"),
        ];
        for (messages, why) in cases {
            let (mut client, server) = served(workers);
            for message in messages {
                client.send(message).unwrap();
            }
            if messages.len() == 2 && workers == 0 {
                // One at a time it would look again only when the first is done, which it never is.
                client.send(&[10, 0, 0, 0, 1, 0, 0, 0]).unwrap();
            }
            let said = client.receive().unwrap();
            assert_eq!(said.bytes(), GOODBYE, "{why}");
            let error = server.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{error}");
            assert!(error.to_string().contains(why), "{error}, not {why}");
        }
    }
}

#[test]
fn unknown_numbers_are_harmless() {
    let _test = test!();
    let (mut client, server) = served(0);
    for number in [0, 7, u32::MAX] {
        let number = number.to_le_bytes();
        client.send(&[&[10, 0, 0, 0], number.as_slice()].concat()).unwrap();
        client.send(&[&[9, 0, 0, 0], number.as_slice(), &[0xff; 4]].concat()).unwrap();
    }
    client.send(&request(3, "add", u32::MAX, &[2, 4])).unwrap();
    assert_eq!(client.receive().unwrap().bytes(), [5, 0, 0, 0, 3, 0, 0, 0, 6]);
    drop(client);
    assert_eq!(server.join().unwrap(), Ok(Ended::PeerGone));
}

#[test]
fn what_is_announced_is_not_believed() {
    let _test = test!();
    let (mut client, server) = served(0);
    // A vector of 2^63 bytes, of which three are there.
    let announced = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3];
    client.send(&request(1, "echo", 0, &announced)).unwrap();
    let failure = client.receive().unwrap();
    assert_eq!(failure.bytes()[..8], [6, 0, 2, 0, 1, 0, 0, 0], "not decodable");
    // A million levels, a byte each.
    client.send(&request(2, "depth", 0, &vec![1; 1_000_000])).unwrap();
    let failure = client.receive().unwrap();
    assert_eq!(failure.bytes()[..8], [6, 0, 2, 0, 2, 0, 0, 0], "not decodable");
    drop(client);
    assert_eq!(server.join().unwrap(), Ok(Ended::PeerGone));
}

/// A client whose server is the test, after the greeting.
fn client_of(serve: impl FnOnce(&mut Duplex) + Send + 'static) -> (LabClient, thread::JoinHandle<()>) {
    let Pair { client, mut server, .. } = socket("unix");
    let thread = thread::spawn(move || {
        let open = server.receive().unwrap();
        server.send(&greeting(2, &open.bytes()[16..24])).unwrap();
        serve(&mut server);
    });
    let options = Options::new().timeout(Duration::from_secs(30));
    (LabClient::open_wait(client, options, Wait::forever()).unwrap(), thread)
}

#[test]
fn a_server_that_breaks_the_rules_fails_every_call() {
    let _test = test!();
    let cases: [(&[u8], &str); 5] = [
        (&[42, 0, 0, 0, 0, 0, 0, 0], "unknown kind"),
        (&[7, 0, 0, 0, 1, 0, 0, 0, 1], "stream"),
        (&[8, 0, 0, 0, 1, 0, 0, 0], "stream"),
        (&[10, 0, 0, 0, 1, 0, 0, 0], "only a client sends"),
        (b"no", "shorter"),
    ];
    for (message, why) in cases {
        let (lab, server) = client_of(|server| {
            server.receive().unwrap();
            server.receive().unwrap();
            server.send(message).unwrap();
            // Its client hangs up only when it has been told.
            while server.receive().is_ok() {}
        });
        let other = lab.add(3, 4).start().unwrap();
        let error = lab.add(1, 2).call().unwrap_err();
        assert!(matches!(error, Error::Malformed { .. }) && error.to_string().contains(why), "{error}");
        assert_eq!(other.wait(), Err(error));
        drop(lab);
        server.join().unwrap();
    }
}

#[test]
fn a_server_that_sends_more_than_was_granted_is_caught() {
    let _test = test!();
    let (lab, server) = client_of(|server| {
        server.receive().unwrap();
        server.receive().unwrap();
        for _ in 0..5 {
            server.send(&[7, 0, 0, 0, 1, 0, 0, 0, 1]).unwrap();
        }
        while server.receive().is_ok() {}
    });
    let stream = lab.count(9).window(4).start().unwrap();
    // None is taken while this is waited for.
    let error = lab.add(1, 2).call().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the other side does not keep to the format: an item was sent without credit"
    );
    let items: Vec<_> = stream.collect();
    assert_eq!(items, [Ok(1), Ok(1), Ok(1), Ok(1), Err(error)], "what was granted is there");
    drop(lab);
    server.join().unwrap();
}

#[test]
fn a_reply_of_another_type_is_said() {
    let _test = test!();
    let (lab, server) = client_of(|server| {
        server.receive().unwrap();
        server.send(&[5, 0, 0, 0, 1, 0, 0, 0, 2, 3, 4]).unwrap();
        server.receive().unwrap();
        server.send(&[5, 0, 0, 0, 2, 0, 0, 0]).unwrap();
        // An answer to nothing, and one that comes after its call was given up.
        server.send(&[5, 0, 0, 0, 77, 0, 0, 0, 2]).unwrap();
        server.receive().unwrap();
        server.send(&[5, 0, 0, 0, 3, 0, 0, 0, 2]).unwrap();
        while server.receive().is_ok() {}
    });
    let error = lab.add(1, 2).call().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot call add: the client cannot decode the reply: 2 of 3 bytes are left over"
    );
    let error = lab.add(1, 2).call().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
    assert_eq!(lab.add(1, 2).call(), Ok(1));
    drop(lab);
    server.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client sends, its server ends with it, in good order or by name.
    #[test]
    fn no_bytes_hang_or_panic_a_server(
        messages in proptest::collection::vec(
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                (1_u8..12, 0_u32..4, proptest::collection::vec(any::<u8>(), 0..24)).prop_map(|(kind, call, rest)| {
                    [&[kind, 0, 0, 0], call.to_le_bytes().as_slice(), &rest].concat()
                }),
                (0_u32..4, 0_usize..4, proptest::collection::vec(any::<u8>(), 0..8)).prop_map(|(call, method, rest)| {
                    request(call, ["add", "echo", "depth", "count"][method], 1, &rest)
                }),
            ],
            0..12,
        ),
        workers in 0_usize..3,
    ) {
        let (mut client, server) = served(workers);
        for message in messages {
            if client.send(&message).is_err() {
                break;
            }
        }
        drop(client);
        match server.join().unwrap() {
            Ok(_) | Err(Error::Malformed { .. } | Error::Mismatch { .. }) => {}
            Err(error) => prop_assert_eq!(error.kind(), ErrorKind::PeerGone),
        }
    }
}
