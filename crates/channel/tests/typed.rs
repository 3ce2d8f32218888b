//! Values over channels: what arrives, what is refused, and what a stranger's bytes can do.

use allocation_counter::measure;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use twixt_address::Address;
use twixt_channel::typed::{Schema, TypedReceiver, TypedSender};
use twixt_channel::{Attributes, Receiver, Sender};
use twixt_os::sysv::Key;
use twixt_os::sysv::msg::{Queue, RemoveOnDrop};
use twixt_os::{ErrorKind, Mode, Wait};
use twixt_testkit::test;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    command: String,
    state: State,
}
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Waiting,
    Running { pid: u32 },
}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum List {
    End,
    More(u8, Box<List>),
}

fn job(id: u64) -> Job {
    Job { id, command: format!("sleep {id}"), state: State::Running { pid: 7 } }
}

/// A queue of this test's own: a mailbox.
fn queue() -> (RemoveOnDrop, Address) {
    let queue = Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let address = format!("sysv-msg:id={}", queue.id()).parse().unwrap();
    (queue, address)
}

#[test]
fn values_go_from_process_to_process() {
    let test = test!();
    test.role("receiver", |peer| {
        let mut receiver = TypedReceiver::<Job>::open(&peer.arg(0).parse().unwrap()).unwrap();
        for _ in 0..3 {
            let job = receiver.receive().unwrap();
            peer.say(&format!("{job:?} with {:?}", receiver.message().message_type().unwrap()));
        }
    });
    let (_queue, address) = queue();
    let mut child = test.child("receiver").arg(&address).spawn();
    let mut sender = TypedSender::<Job>::open(&address).unwrap();
    for id in 0..2 {
        sender.send(&job(id)).unwrap();
        child.expect(&format!("{:?} with 1", job(id)));
    }
    sender.send_with(&job(9), &Attributes::new().message_type(5), Wait::forever()).unwrap();
    child.expect(&format!("{:?} with 5", job(9)));
    child.succeed();
}

#[test]
fn the_bytes_are_as_documented() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut raw = Receiver::open(&address).unwrap();
    TypedSender::<Job>::open(&address).unwrap().send(&job(300)).unwrap();
    let message = raw.receive().unwrap();
    #[rustfmt::skip]
    let golden: &[u8] = &[
        b'T', b'y', 1, 3,
        0x60, 0xcc, 0x13, 0xeb, 0x1a, 0x9f, 0xbe, 0x1a,
        b'J', b'o', b'b',
        0xac, 0x02,
        9, b's', b'l', b'e', b'e', b'p', b' ', b'3', b'0', b'0',
        1, 7,
    ];
    assert_eq!(
        Schema::of::<Job>().unwrap().hash(),
        u64::from_le_bytes(message.bytes()[4..12].try_into().unwrap())
    );
    assert_eq!(message.bytes(), golden);
}

#[test]
fn another_type_is_named_and_the_next_message_is_read() {
    let _test = test!();
    mod other {
        use super::*;
        #[derive(Serialize, Deserialize)]
        pub struct Job {
            pub id: u64,
        }
        #[derive(Serialize, Deserialize)]
        pub struct Order(pub u64);
    }
    let (_queue, address) = queue();
    let mut receiver = TypedReceiver::<Job>::open(&address).unwrap();
    TypedSender::<other::Order>::open(&address).unwrap().send(&other::Order(1)).unwrap();
    TypedSender::<other::Job>::open(&address).unwrap().send(&other::Job { id: 2 }).unwrap();
    TypedSender::<Job>::open(&address).unwrap().send(&job(3)).unwrap();

    let error = receiver.receive().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    let text = error.to_string();
    let ours = "Job { id: u64, command: string, state: enum State { Waiting, Running { pid: u32 } } }";
    assert!(text.contains("the message holds Order (type ") && text.contains(ours), "{text}");
    assert!(receiver.message().bytes().ends_with(&[1]), "what was taken is still here");
    let text = receiver.receive().unwrap_err().to_string();
    assert!(text.contains("holds another Job (type "), "{text}");
    assert_eq!(receiver.receive().unwrap(), job(3));
}

#[test]
fn what_is_no_value_is_refused_with_the_reason() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut raw = Sender::open(&address).unwrap();
    let mut receiver = TypedReceiver::<Job>::open(&address).unwrap();
    let mut tag = b"Ty\x01\x03".to_vec();
    tag.extend_from_slice(&receiver.schema().hash().to_le_bytes());
    tag.extend_from_slice(b"Job");
    let mut refusal = |bytes: &[u8]| {
        raw.send(bytes).unwrap();
        let error = receiver.receive().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        error.to_string()
    };
    let with_tag = |value: &[u8]| [&tag, value].concat();
    assert!(refusal(b"").contains("does not say of which type it is"));
    assert!(refusal(b"hello, world, this is text").contains("does not say of which type it is"));
    assert!(refusal(b"Ty\x02\x03abcdefghJob").contains("version 2, and this side knows 1"));
    assert!(refusal(&tag[..13]).contains("does not say of which type it is"), "the name is cut");
    assert!(refusal(&with_tag(b"")).contains("no Job: it ends too early"));
    assert!(refusal(&with_tag(b"\x01\x05ab")).contains("it ends too early"));
    assert!(refusal(&with_tag(b"\x01\x02\xff\xfe\x00")).contains("not UTF-8"));
    assert!(refusal(&with_tag(b"\x01\x00\x02")).contains("no Job: "), "an alternative that is none");
    assert!(refusal(&with_tag(b"\x01\x00\x00xyz")).contains("it goes on for 3 bytes"));
    assert!(refusal(&with_tag(&[0xff; 20])).contains("a number that is none"));
    let text = refusal(b"Ty\x01\x08abcdefgh\x1b[2J\nabc");
    assert!(!text.contains('\x1b') && !text.contains('\n'), "a name cannot play with the terminal: {text:?}");
}

#[test]
fn what_is_announced_is_not_allocated() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut raw = Sender::open(&address).unwrap();
    let mut receiver = TypedReceiver::<Vec<Vec<u64>>>::open(&address).unwrap();
    let mut message = b"Ty\x01\x07".to_vec();
    message.extend_from_slice(&receiver.schema().hash().to_le_bytes());
    message.extend_from_slice(
        b"[[u64]]\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    );
    raw.send(&message).unwrap();
    let measured = measure(|| {
        let text = receiver.receive().unwrap_err().to_string();
        assert!(text.contains("it ends too early"), "{text}");
    });
    assert!(measured.bytes_max < 4 << 20, "{measured:?}");
}

#[test]
fn values_that_contain_themselves_are_nested_to_a_limit() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut sender = TypedSender::<List>::open(&address).unwrap();
    let mut receiver = TypedReceiver::<List>::open(&address).unwrap();
    let list = |len| (0..len).fold(List::End, |list, _| List::More(1, Box::new(list)));
    sender.send(&list(128)).unwrap();
    assert_eq!(receiver.receive().unwrap(), list(128));
    sender.send(&list(129)).unwrap();
    let error = receiver.receive().unwrap_err();
    assert!(error.to_string().contains("nested more than 128 deep"), "{error}");
    // Deep enough to overrun any stack.
    let mut message = b"Ty\x01\x04".to_vec();
    message.extend_from_slice(&receiver.schema().hash().to_le_bytes());
    message.extend_from_slice(b"List");
    message.extend([1_u8, 1].repeat(4000));
    let mut raw = Sender::open(&address).unwrap();
    raw.send(&message).unwrap();
    let error = receiver.receive().unwrap_err();
    assert!(error.to_string().contains("nested more than 128 deep"), "{error}");
}

#[test]
fn a_failed_send_leaves_the_value_and_the_channel_as_they_were() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut sender = TypedSender::<Job>::open(&address).unwrap();
    let mut receiver = TypedReceiver::<Job>::open(&address).unwrap();
    let long = Job { command: "x".repeat(1 << 20), ..job(1) };
    assert_eq!(sender.send(&long).unwrap_err().kind(), ErrorKind::TooLong);
    let mut sent = 0;
    let full = loop {
        match sender.try_send(&job(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    for id in 0..sent {
        assert_eq!(receiver.try_receive().unwrap(), job(id));
    }
    assert_eq!(receiver.try_receive().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn what_serialize_refuses_is_an_error_of_the_send() {
    let _test = test!();
    #[derive(Deserialize)]
    struct Moody(bool);
    impl Serialize for Moody {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 { serializer.serialize_bool(true) } else { Err(serde::ser::Error::custom("not today")) }
        }
    }
    let (_queue, address) = queue();
    let mut sender = TypedSender::<Moody>::open(&address).unwrap();
    let error = sender.send(&Moody(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error.to_string().contains("the bool cannot be written") || error.to_string().contains("Moody"),
        "{error}"
    );
    sender.send(&Moody(true)).unwrap();
    assert!(TypedReceiver::<Moody>::open(&address).unwrap().receive().unwrap().0);
}

#[test]
fn a_message_costs_no_allocation() {
    let _test = test!();
    let (_queue, address) = queue();
    let mut sender = TypedSender::<(u64, State)>::open(&address).unwrap();
    let mut receiver = TypedReceiver::<(u64, State)>::open(&address).unwrap();
    let mut round = |id| {
        sender.send(&(id, State::Waiting)).unwrap();
        assert_eq!(receiver.receive().unwrap(), (id, State::Waiting));
    };
    round(u64::MAX);
    let measured = measure(|| (0..100).for_each(&mut round));
    assert_eq!(measured.count_total, 0);
}

#[test]
fn what_carries_no_bytes_or_cannot_tell_values_apart_is_refused_by_name() {
    let _test = test!();
    let directory = twixt_testkit::scratch();
    for framing in ["lines", "nul", "raw"] {
        let path = directory.path().join(framing);
        let address: Address = format!("file:{}?create&framing={framing}", path.display()).parse().unwrap();
        let error = TypedSender::<Job>::open(&address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&format!("framing={framing}")), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn a_description_of_ones_own_stands_for_the_type() {
    let _test = test!();
    let (_queue, address) = queue();
    let open = || Sender::open(&address).unwrap();
    let mut sender = TypedSender::<u32>::with_schema(open(), Schema::named("metres")).unwrap();
    let receiver = Receiver::open(&address).unwrap();
    let mut receiver = TypedReceiver::<u32>::with_schema(receiver, Schema::named("metres")).unwrap();
    sender.send(&5).unwrap();
    assert_eq!(receiver.receive().unwrap(), 5);
    TypedSender::<u32>::with_schema(open(), Schema::named("feet")).unwrap().send(&5).unwrap();
    let text = receiver.receive().unwrap_err().to_string();
    assert!(text.contains("holds feet (type ") && text.contains("and metres (type "), "{text}");
}

proptest! {
    #[test]
    fn no_bytes_make_a_receiver_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_queue, address) = queue();
        let mut raw = Sender::open(&address).unwrap();
        let mut receiver = TypedReceiver::<(List, Job, Vec<String>)>::open(&address).unwrap();
        let schema = receiver.schema();
        let name = schema.name().as_bytes();
        let mut message = vec![b'T', b'y', 1, name.len() as u8];
        message.extend_from_slice(&schema.hash().to_le_bytes());
        message.extend_from_slice(name);
        message.extend_from_slice(&value);
        raw.send(&message).unwrap();
        let _ = receiver.receive();
        raw.send(&value).unwrap();
        prop_assert!(receiver.receive().is_err());
    }

    #[test]
    fn values_come_back_as_they_were(id: u64, command: String, pid: Option<u32>) {
        let (_queue, address) = queue();
        let state = pid.map_or(State::Waiting, |pid| State::Running { pid });
        let job = Job { id, command, state };
        TypedSender::<Job>::open(&address).unwrap().send(&job).unwrap();
        prop_assert_eq!(TypedReceiver::<Job>::open(&address).unwrap().receive().unwrap(), job);
    }
}
