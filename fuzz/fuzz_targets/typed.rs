//! Any bytes either are a value, which is written to bytes that are the same value, or are refused by name.

#![no_main]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use twixt_channel::typed::{Schema, Typed, TypedReceiver, TypedSender};
use twixt_channel::{Capacity, Duplex, Sender, local};
use twixt_os::{ErrorKind, Wait};

#[derive(Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
    name: Option<String>,
    state: State,
    limits: BTreeMap<String, i128>,
    at: (f32, f64, char, bool),
    from: Option<IpAddr>,
    after: Duration,
}

#[derive(Debug, Serialize, Deserialize)]
enum State {
    Waiting,
    Running { pid: i32 },
    Ended(u8, Vec<u8>),
    Many(Vec<State>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Fork(Box<Tree>, Box<Tree>),
    List(Vec<Tree>),
    Named(BTreeMap<String, Tree>),
    Maybe(Option<Box<Tree>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
    weight: u8,
}

/// A channel within the process, with a typed receiver of values at its end.
struct Channel<T> {
    sender: Sender,
    receiver: TypedReceiver<T>,
    /// What stands before a value of this type.
    tag: Vec<u8>,
}

impl<T: Serialize + DeserializeOwned + Debug> Channel<T> {
    fn new() -> Self {
        let (sender, receiver) = local::channel(Capacity::Messages(4));
        let schema = Schema::of::<T>().expect("a type that can be described");
        let mut tag = b"Ty\x01".to_vec();
        tag.push(schema.name().len() as u8);
        tag.extend(schema.hash().to_le_bytes());
        tag.extend(schema.name().as_bytes());
        Self { sender, receiver: TypedReceiver::new(receiver).expect("bytes"), tag }
    }

    fn feed(&mut self, value: &[u8]) {
        self.sender.send(value).expect("room");
        match self.receiver.receive() {
            Ok(_) => assert!(value.starts_with(&self.tag)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed, "{error}"),
        }
        self.sender.send(&[&self.tag, value].concat()).expect("room");
        match self.receiver.receive() {
            Ok(read) => {
                let (sender, receiver) = local::channel(Capacity::Messages(1));
                let mut sender = TypedSender::<T>::new(sender).expect("bytes");
                let mut receiver = TypedReceiver::<T>::new(receiver).expect("bytes");
                sender.send(&read).expect("room");
                let again = receiver.receive().expect("what was read can be written and read");
                assert_eq!(format!("{read:?}"), format!("{again:?}"));
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Malformed, "{error}"),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&chosen, value)) = bytes.split_first() else { return };
    match chosen % 8 {
        7 => greet(value),
        chosen => {
            macro_rules! one {
                ($($number:literal $name:ident $type:ty;)*) => {
                    match chosen {
                        $($number => {
                            thread_local!(static $name: RefCell<Channel<$type>> = RefCell::new(Channel::new()));
                            $name.with(|channel| channel.borrow_mut().feed(value));
                        })*
                        _ => {}
                    }
                };
            }
            one! {
                0 JOB Job;
                1 TREE Tree;
                2 CHAIN Chain;
                3 TEXTS Vec<Vec<String>>;
                4 SETS BTreeMap<u16, BTreeSet<(Option<bool>, [u8; 3])>>;
                5 NESTED Vec<Option<Vec<Vec<Vec<u64>>>>>;
                6 CHAR (char, u128, i8, Result<String, Option<char>>);
            }
        }
    }
});

/// The first message of a connection.
fn greet(said: &[u8]) {
    let (sends, receives) = (Schema::named("a"), Schema::named("b"));
    let (here, there) = local::duplex();
    let (mut sender, _receiver) = there.split();
    sender.try_send(said).expect("room");
    // And the same behind the beginning of one that fits.
    let agreed = Typed::<u8, u8>::with_schemas(here, sends.clone(), receives.clone(), Wait::never());
    let (here, there) = local::duplex();
    let (mut sender, _receiver) = there.split();
    let mut hello = b"twixt:ty\x01\0\0\0\0\0\0\0".to_vec();
    hello.extend(receives.hash().to_le_bytes());
    hello.extend(sends.hash().to_le_bytes());
    hello.extend(said);
    sender.try_send(&hello).expect("room");
    let almost = Typed::<u8, u8>::with_schemas(Duplex::from(here.split()), sends, receives, Wait::never());
    for outcome in [agreed, almost] {
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
        }
    }
}
