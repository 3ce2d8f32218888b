//! Typed connections: both sides say which types they speak before anything else.

#[path = "support/channels.rs"]
mod support;

use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use support::*;
use twixt_channel::typed::{Schema, Typed, TypedReceiver, TypedSender};
use twixt_channel::{Duplex, Listener, Opening};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{scratch, test, unique_name};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Request {
    Add(i64, i64),
    Shout { text: String },
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Reply {
    Sum(i64),
    Text(String),
}

fn patient() -> Wait {
    Wait::until(later())
}

fn serve(mut client: Typed<Reply, Request>) -> usize {
    for served in 0.. {
        let reply = match client.receive_wait(patient()) {
            Ok(Request::Add(a, b)) => Reply::Sum(a + b),
            Ok(Request::Shout { text }) => Reply::Text(text.to_uppercase()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                return served;
            }
        };
        client.send_wait(&reply, patient()).unwrap();
    }
    unreachable!("the client goes before")
}

#[test]
fn requests_and_replies_go_over_every_connection() {
    let test = test!();
    test.role("client", |peer| {
        let mut server = Typed::<Request, Reply>::open(&address(&peer.arg(0))).unwrap();
        for number in 0..100 {
            server.send(&Request::Add(number, 1)).unwrap();
            assert_eq!(server.receive().unwrap(), Reply::Sum(number + 1));
        }
        let (mut sender, mut receiver) = server.split();
        let text = "ä".repeat(10_000);
        sender.send(&Request::Shout { text: text.clone() }).unwrap();
        assert_eq!(receiver.receive().unwrap(), Reply::Text(text.to_uppercase()));
    });
    let directory = scratch();
    for text in [
        format!("unix:@{}", unique_name()),
        format!("unix-seqpacket:@{}", unique_name()),
        "tcp:127.0.0.1:0".to_owned(),
        format!("unix:{}?framing=len", directory.path().join("len").display()),
    ] {
        let listener = Listener::open(&address(&text)).unwrap();
        let reached = listener.address().unwrap().to_string();
        let options = text.split_once('?').map_or(String::new(), |(_, options)| format!("?{options}"));
        let client = test.child("client").arg(format!("{reached}{options}")).spawn();
        let client_side = Typed::new(listener.accept_wait(patient()).unwrap(), patient()).unwrap();
        assert_eq!(serve(client_side), 101, "{text}");
        client.succeed();
    }
}

type Agreed<S, R> = twixt_os::Result<Typed<S, R>>;

/// Two sides that speak these types. Each time at a name of its own: a child that another test just starts may still have
/// a listener from before.
fn meet<A, B, C, D>(scheme: &str) -> (Agreed<A, B>, Agreed<C, D>)
where
    A: Serialize + DeserializeOwned + Send + 'static,
    B: DeserializeOwned + Send + 'static,
    C: Serialize + DeserializeOwned,
    D: DeserializeOwned,
{
    let text = format!("{scheme}:@{}", unique_name());
    let listener = Listener::open(&address(&text)).unwrap();
    let connecting = address(&text);
    let client = thread::spawn(move || Typed::<A, B>::open(&connecting));
    let server = Typed::<C, D>::new(listener.accept_wait(patient()).unwrap(), patient());
    (client.join().unwrap(), server)
}

#[test]
fn sides_that_differ_are_both_told_how() {
    let _test = test!();
    for scheme in ["unix", "unix-seqpacket"] {
        let (client, server) = meet::<Request, Reply, Reply, (u8, String)>(scheme);
        let ours = "enum Request { Add(i64, i64), Shout { text: string } }";
        let words = ["the other side receives (u8, string), and this side sends", ours];
        refusal(client.map(drop), ErrorKind::Malformed, &words);
        let words =
            ["the other side sends enum Request { Add(i64, i64), Shout { text: string } }", "(u8, string)"];
        refusal(server.map(drop), ErrorKind::Malformed, &words);

        // Both the same way round, where the one should send what the other receives.
        let (client, server) = meet::<Request, Reply, Request, Reply>(scheme);
        refusal(
            client.map(drop),
            ErrorKind::Malformed,
            &["the other side sends enum Request", "receives enum Reply"],
        );
        refusal(server.map(drop), ErrorKind::Malformed, &["the other side sends enum Request"]);

        let (client, server) = meet::<Request, Reply, Reply, Request>(scheme);
        drop((client.unwrap(), server.unwrap()));
    }
}

#[test]
fn types_whose_texts_are_cut_differ_all_the_same() {
    let _test = test!();
    type Ten<T> = (T, u8, T, u8, T, u8, T, u8, T, u8);
    let text = format!("unix-seqpacket:@{}", unique_name());
    let (client, server) =
        meet::<Ten<Ten<Ten<Ten<Option<String>>>>>, (), (), Ten<Ten<Ten<Ten<(Option<String>, Option<u8>)>>>>>(
            &text,
        );
    assert_eq!(client.map(drop).unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(server.map(drop).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn who_says_nothing_or_something_else_is_refused() {
    let _test = test!();
    let text = format!("unix-seqpacket:@{}", unique_name());
    let listener = Listener::open(&address(&text)).unwrap();
    let greet = |said: &[u8]| {
        let mut client = Duplex::open(&address(&text)).unwrap();
        let connection = listener.accept_wait(patient()).unwrap();
        client.send(said).unwrap();
        Typed::<Reply, Request>::new(connection, patient()).map(drop)
    };
    for said in [&b""[..], b"hello", b"twixt:ty", b"twixt:ty\x01", b"Ty\x01\x00abcdefgh"] {
        refusal(greet(said), ErrorKind::Malformed, &["did not say which types it speaks"]);
    }
    refusal(
        greet(b"twixt:ty\x07\0\0\0\0\0\0\0"),
        ErrorKind::Malformed,
        &["version 7, and this side knows 1"],
    );
    // A text with what would play with a terminal.
    let mut hello = b"twixt:ty\x01\0\0\0\0\0\0\0".to_vec();
    hello.extend_from_slice(&[9; 16]);
    for text in ["\x1b[2J evil \n", "()"] {
        hello.extend_from_slice(&(text.len() as u16).to_le_bytes());
        hello.extend_from_slice(text.as_bytes());
    }
    let error = refusal(greet(&hello), ErrorKind::Malformed, &["evil"]);
    assert!(!error.to_string().contains(char::is_control), "{error}");
    hello.truncate(hello.len() - 1);
    refusal(greet(&hello), ErrorKind::Malformed, &["did not say"]);

    let silent = Duplex::open(&address(&text)).unwrap();
    let connection = listener.accept_wait(patient()).unwrap();
    let agreed = Typed::<Reply, Request>::new(connection, Wait::until(soon()));
    refusal(agreed.map(drop), ErrorKind::TimedOut, &[]);
    drop(silent);
    let gone = Duplex::open(&address(&text)).unwrap();
    let connection = listener.accept_wait(patient()).unwrap();
    drop(gone);
    assert_eq!(kind(Typed::<Reply, Request>::new(connection, patient()).map(drop)), ErrorKind::PeerGone);
}

#[test]
fn the_first_message_is_as_documented() {
    let _test = test!();
    let text = format!("unix-seqpacket:@{}", unique_name());
    let listener = Listener::open(&address(&text)).unwrap();
    let connecting = address(&text);
    let client = thread::spawn(move || Typed::<u32, Option<String>>::open(&connecting));
    let mut server = listener.accept_wait(patient()).unwrap();
    let mut golden = b"twixt:ty\x01\0\0\0\0\0\0\0".to_vec();
    golden.extend_from_slice(&Schema::named("u32").hash().to_le_bytes());
    golden.extend_from_slice(&Schema::named("string?").hash().to_le_bytes());
    golden.extend_from_slice(b"\x03\0u32\x07\0string?");
    assert_eq!(server.receive().unwrap().bytes(), golden);
    let mut answer = b"twixt:ty\x01\0\0\0\0\0\0\0".to_vec();
    answer.extend_from_slice(&Schema::named("string?").hash().to_le_bytes());
    answer.extend_from_slice(&Schema::named("u32").hash().to_le_bytes());
    // Something that a later version adds.
    answer.extend_from_slice(b"\x07\0string?\x03\0u32 and more");
    server.send(&answer).unwrap();
    let mut client = client.join().unwrap().unwrap();
    client.send(&300).unwrap();
    assert_eq!(server.receive().unwrap().bytes(), [0xac, 0x02], "the value alone");
    server.send(b"\x01\x02hi").unwrap();
    assert_eq!(client.receive().unwrap().as_deref(), Some("hi"));
    server.send(b"\x01\x09hi").unwrap();
    refusal(client.receive(), ErrorKind::Malformed, &["it ends too early"]);
}

#[test]
fn senders_that_come_one_by_one_are_heard_by_one_receiver() {
    let _test = test!();
    let text = format!("unix:@{}", unique_name());
    let mut receiver = TypedReceiver::<Request>::open(&address(&text)).unwrap();
    TypedSender::<Request>::open(&address(&text)).unwrap().send(&Request::Add(1, 2)).unwrap();
    assert_eq!(receiver.receive().unwrap(), Request::Add(1, 2));
    TypedSender::<Reply>::open(&address(&text)).unwrap().send(&Reply::Sum(3)).unwrap();
    TypedSender::<Request>::open(&address(&text)).unwrap().send(&Request::Add(3, 4)).unwrap();
    let mut values: Vec<_> = receiver.values().take(3).collect();
    values.retain(|value| !matches!(value, Err(error) if error.kind() == ErrorKind::PeerGone));
    let (right, wrong): (Vec<_>, Vec<_>) = values.into_iter().partition(Result::is_ok);
    assert_eq!(right.len(), 1);
    refusal(wrong.into_iter().next().unwrap(), ErrorKind::Malformed, &["the message holds Reply"]);
}

#[test]
fn what_carries_numbers_is_refused_by_name() {
    let _test = test!();
    let (sender, receiver) = Opening::new(&address("eventfd:")).pair().unwrap();
    refusal(TypedSender::<u64>::new(sender).map(drop), ErrorKind::Unsupported, &["eventfd", "numbers"]);
    refusal(TypedReceiver::<u64>::new(receiver).map(drop), ErrorKind::Unsupported, &["eventfd", "numbers"]);
    let signal = format!("signal:{}/USR1", std::process::id());
    refusal(
        TypedSender::<u64>::open(&address(&signal)).map(drop),
        ErrorKind::Unsupported,
        &["signal", "numbers"],
    );
}

#[test]
fn typed_values_go_through_pipes_and_files() {
    let _test = test!();
    let directory = scratch();
    let (sender, receiver) = Opening::new(&address("pipe:")).pair().unwrap();
    let (mut sender, mut receiver) =
        (TypedSender::new(sender).unwrap(), TypedReceiver::new(receiver).unwrap());
    let long = Request::Shout { text: "x\ny\0".repeat(100_000) };
    let sending = long.clone();
    let thread = thread::spawn(move || sender.send(&sending).unwrap());
    assert_eq!(receiver.receive().unwrap(), long);
    thread.join().unwrap();
    let values: Vec<twixt_os::Result<Request>> = receiver.values().collect();
    assert!(values.is_empty(), "the end is no error");

    let file = format!("file:{}?create", directory.path().join("log").display());
    let mut sender = TypedSender::open(&address(&file)).unwrap();
    let values = [Request::Shout { text: "line\nline".into() }, Request::Add(10, 10)];
    values.iter().for_each(|value| sender.send(value).unwrap());
    let mut receiver = TypedReceiver::<Request>::open(&address(&file)).unwrap();
    for value in values {
        assert_eq!(receiver.try_receive().unwrap(), value);
    }
}
