//! Values over the bus: every subscriber, one consumer, the newest; and a connection whose sides agree on the types.

use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use twixt_address::Address;
use twixt_channel::typed::{Typed, TypedReceiver, TypedSender};
use twixt_channel::{Duplex, Listener};
use twixt_os::{Deadline, ErrorKind, Wait};
use twixt_testkit::{Peer, Test, test};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    command: String,
    weights: Vec<f32>,
}

/// The same name, and another type.
mod other {
    #[derive(Debug, serde::Serialize, serde::Deserialize)]
    pub struct Job {
        pub id: u64,
        pub command: String,
    }
}

fn job(id: u64) -> Job {
    Job { id, command: format!("sleep {id}"), weights: vec![0.5; id as usize % 40] }
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn soon() -> Wait {
    Wait::until(Deadline::after(Duration::from_secs(20)))
}

fn kind<T: Debug>(result: twixt_os::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Plays a role in a process with a bus of its own, which goes when it ends.
fn on_a_bus(test: &Test, role: &'static str, play: fn(&Peer)) {
    test.role(role, play);
    let bus = twixt_testkit::bus();
    let variable = format!("TWIXT_BUS={}", bus.path().display());
    test.child(role).under(&["env", &variable]).spawn().succeed();
}

#[test]
fn every_subscriber_gets_each_value() {
    on_a_bus(&test!(), "alone", |_| {
        let topic = address("topic:x?create");
        let mut receivers: Vec<_> = (0..3).map(|_| TypedReceiver::<Job>::open(&topic).unwrap()).collect();
        let mut wrong = TypedReceiver::<other::Job>::open(&topic).unwrap();
        let mut sender = TypedSender::<Job>::open(&topic).unwrap();
        for id in 0..500 {
            sender.send(&job(id)).unwrap();
            for receiver in &mut receivers {
                assert_eq!(receiver.receive_wait(soon()).unwrap(), job(id));
                assert_eq!(receiver.message().sequence(), Some(id));
            }
            // It is told both types, and goes on.
            let error = wrong.receive_wait(soon()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains("Job"), "{error}");
        }
        drop(sender);
        for receiver in &mut receivers {
            assert_eq!(kind(receiver.receive_wait(soon())), ErrorKind::PeerGone);
        }
    });
}

#[test]
fn one_consumer_gets_each_value() {
    on_a_bus(&test!(), "alone", |_| {
        let queue = address("queue:x?create");
        let mut sender = TypedSender::<Job>::open(&queue).unwrap();
        for id in 0..300 {
            sender.send(&job(id)).unwrap();
        }
        let mut receivers: Vec<_> = (0..3).map(|_| TypedReceiver::<Job>::open(&queue).unwrap()).collect();
        let mut ids = Vec::new();
        for at in 0..300 {
            let value = receivers[at % 3].receive_wait(soon()).unwrap();
            assert_eq!(value, job(value.id));
            ids.push(value.id);
        }
        ids.sort_unstable();
        assert!(ids.into_iter().eq(0..300));
        for receiver in &mut receivers {
            assert_eq!(kind(receiver.receive_wait(Wait::never())), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn the_newest_value_is_read() {
    on_a_bus(&test!(), "alone", |_| {
        let latest = address("latest:x?create");
        let mut sender = TypedSender::<Job>::open(&latest).unwrap();
        let mut receiver = TypedReceiver::<Job>::open(&latest).unwrap();
        for id in 0..100 {
            sender.send(&job(id)).unwrap();
            if id % 7 == 0 {
                assert_eq!(receiver.receive_wait(soon()).unwrap(), job(id));
                assert_eq!(receiver.message().missed(), if id == 0 { 0 } else { 6 });
            }
        }
        let mut wrong = TypedReceiver::<other::Job>::open(&latest).unwrap();
        assert_eq!(kind(wrong.receive_wait(soon())), ErrorKind::Malformed);
    });
}

#[test]
fn the_sides_of_a_connection_agree_on_their_types() {
    on_a_bus(&test!(), "alone", |_| {
        let calls = address("rpc:x");
        let listener = Listener::open(&calls).unwrap();
        let server = std::thread::spawn(move || {
            let mut client = Typed::<u64, Job>::new(listener.accept().unwrap(), soon()).unwrap();
            while let Ok(job) = client.receive_wait(soon()) {
                client.send(&job.id).unwrap();
            }
            // The next one means something else by the same name.
            let another = Typed::<u64, Job>::new(listener.accept().unwrap(), soon());
            assert_eq!(another.map(drop).unwrap_err().kind(), ErrorKind::Malformed);
        });
        let mut client = Typed::<Job, u64>::open(&calls).unwrap();
        for id in 0..100 {
            client.send(&job(id)).unwrap();
            assert_eq!(client.receive_wait(soon()).unwrap(), id);
        }
        drop(client);
        let wrong = Typed::<other::Job, u64>::new(Duplex::open(&calls).unwrap(), soon());
        assert_eq!(wrong.map(drop).unwrap_err().kind(), ErrorKind::Malformed);
        server.join().unwrap();
    });
}
