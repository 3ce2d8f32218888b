//! One message that is received into again and again, from channels of all kinds: what came with one is not there with the next.

#[path = "support/channels.rs"]
mod support;

use std::os::fd::AsFd;

use support::*;
use twixt_channel::{Attributes, Duplex, Listener, Message, Opening};
use twixt_os::posix::mq::{self, Access, Limits, Queue};
use twixt_os::sysv::{Key, msg};
use twixt_os::unix::{self, Datagram};
use twixt_os::{Mode, Wait};
use twixt_testkit::{defer, scratch, test, unique_name};

/// What came with a message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    message_type: Option<i64>,
    priority: Option<u32>,
    is_from_us: bool,
    source: Option<String>,
    descriptors: usize,
}

fn came(message: &Message, bytes: &[u8]) -> Came {
    assert_eq!(message.bytes(), bytes);
    let us = std::process::id().to_string();
    Came {
        message_type: message.message_type(),
        priority: message.priority(),
        is_from_us: message.credentials().is_some_and(|it| it.pid.is_some_and(|pid| pid.to_string() == us)),
        source: message.source().map(str::to_owned),
        descriptors: message.descriptors().len(),
    }
}

#[test]
fn nothing_of_one_message_comes_with_the_next() {
    let _test = test!();
    let mut message = Message::new();
    let (mut to_pipe, mut pipe) = Opening::new(&address("pipe:")).pair().unwrap();
    let mut plain = |message: &mut Message| {
        to_pipe.send(b"plain").unwrap();
        pipe.receive_into(message).unwrap();
        assert_eq!(came(message, b"plain"), Came::default());
    };

    let queue = msg::Queue::create(Key::PRIVATE, Mode::OWNER).unwrap().remove_on_drop();
    let at = format!("sysv-msg:id={}", queue.id());
    let (mut to_sysv, mut sysv) = (sender(&at), receiver(&at));
    to_sysv.send_with(b"typed", &Attributes::new().message_type(7), Wait::forever()).unwrap();
    sysv.receive_into(&mut message).unwrap();
    assert_eq!(came(&message, b"typed"), Came { message_type: Some(7), ..Came::default() });
    plain(&mut message);

    let name = format!("/{}", unique_name());
    let _unlinked = defer(|| drop(mq::unlink(&name)));
    let limits = Limits { max_messages: 4, message_size: 64 };
    let _queue = Queue::create(&name, Access::Read, limits, Mode::OWNER).unwrap();
    let at = format!("posix-mq:{name}");
    let (mut to_mq, mut mq) = (sender(&at), receiver(&at));
    to_mq.send_with(b"urgent", &Attributes::new().priority(3), Wait::forever()).unwrap();
    mq.receive_into(&mut message).unwrap();
    assert_eq!(came(&message, b"urgent"), Came { priority: Some(3), ..Came::default() });
    plain(&mut message);

    let listener = Listener::open(&address(&format!("unix:@{}", unique_name()))).unwrap();
    let mut client = Duplex::open(&listener.address().unwrap().into()).unwrap();
    let mut server = listener.accept().unwrap();
    client.sender().send(b"connected").unwrap();
    server.receiver().receive_into(&mut message).unwrap();
    assert_eq!(came(&message, b"connected"), Came { is_from_us: true, ..Came::default() });
    plain(&mut message);

    let directory = scratch();
    let path = directory.path().join("named");
    let named = Datagram::bind(&unix::Address::path(&path).unwrap()).unwrap();
    let name = format!("@{}", unique_name());
    let mut mailbox = receiver(&format!("unix-dgram:{name}"));
    let twice = [named.as_fd(), named.as_fd()];
    let attached = unix::Attachments::descriptors(&twice).with_credentials(unix::Credentials::own());
    named.send_with_wait(b"much", Some(&name.parse().unwrap()), &attached, Wait::forever()).unwrap();
    mailbox.receive_into(&mut message).unwrap();
    let all = Came {
        is_from_us: true,
        source: Some(path.to_str().unwrap().to_owned()),
        descriptors: 2,
        ..Came::default()
    };
    assert_eq!(came(&message, b"much"), all);
    sender(&format!("unix-dgram:{name}")).send(b"less").unwrap();
    mailbox.receive_into(&mut message).unwrap();
    assert_eq!(came(&message, b"less"), Came { is_from_us: true, ..Came::default() });
    plain(&mut message);

    // And none of it with a message that did not come.
    to_mq.send_with(b"urgent", &Attributes::new().priority(3), Wait::forever()).unwrap();
    mq.receive_into(&mut message).unwrap();
    mq.receive_wait(&mut message, Wait::never()).unwrap_err();
    assert_eq!(came(&message, b""), Came::default());
}
