//! Plain data between processes, and types that do not agree.

use std::path::Path;

use twixt_address::BusName;
use twixt_bus::{
    LatestWriter, Options, Place, Publisher, Subscriber, TypeName, TypedLatestReader, TypedLatestWriter,
    TypedPublisher, TypedSubscriber, plain,
};
use twixt_os::{Error, ErrorKind, Wait};
use twixt_testkit::{Peer, scratch, test};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Price {
    symbol: [u8; 8],
    cents: u64,
    bid: f32,
    size: u32,
}

plain! { Price as "prices.Price" { symbol: [u8; 8], cents: u64, bid: f32, size: u32 } }

/// The same name and size, and another order.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Debug)]
#[repr(C)]
struct Other {
    cents: u64,
    symbol: [u8; 8],
    bid: f32,
    size: u32,
}

plain! { Other as "prices.Price" { cents: u64, symbol: [u8; 8], bid: f32, size: u32 } }

fn price(number: u64) -> Price {
    Price { symbol: *b"TWXT    ", cents: number, bid: number as f32 / 2.0, size: number as u32 * 3 }
}

fn name() -> BusName {
    BusName::new("prices").unwrap()
}

fn options(path: &Path) -> Options {
    Options::new().create(true).place(Place::at(path).unwrap())
}

fn at(peer: &Peer) -> Options {
    options(Path::new(&peer.arg(0)))
}

fn error<T>(result: Result<T, Error>) -> Error {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error,
    }
}

#[test]
fn values_go_from_process_to_process() {
    let test = test!();
    test.role("publisher", |peer| {
        let publisher = TypedPublisher::open(&name(), &at(peer)).unwrap();
        for number in 0..1000 {
            publisher.publish(&price(number)).unwrap();
        }
    });
    let scratch = scratch();
    let mut subscriber = TypedSubscriber::<Price>::open(&name(), &options(scratch.path())).unwrap();
    let child = test.child("publisher").arg(scratch.path().display()).spawn();
    for number in 0..1000 {
        assert_eq!(subscriber.receive().unwrap(), price(number));
    }
    child.succeed();
    assert_eq!(error(subscriber.receive()).kind(), ErrorKind::PeerGone);
}

#[test]
fn the_newest_value_goes_from_process_to_process() {
    let test = test!();
    test.role("writer", |peer| {
        let mut writer = TypedLatestWriter::open(&name(), &at(peer)).unwrap();
        for number in 1..=1000 {
            assert_eq!(writer.write(&price(number)).unwrap().number(), number);
        }
    });
    let scratch = scratch();
    let mut reader = TypedLatestReader::<Price>::open(&name(), &options(scratch.path())).unwrap();
    assert_eq!(reader.read().unwrap(), None);
    let child = test.child("writer").arg(scratch.path().display()).spawn();
    let mut version = None;
    loop {
        version = Some(reader.inner().wait_for_newer(version, Wait::forever()).unwrap());
        let (found, value) = reader.read().unwrap().unwrap();
        assert!(Some(found) >= version);
        assert_eq!(value, price(found.number()));
        version = Some(found);
        if found.number() == 1000 {
            break;
        }
    }
    child.succeed();
}

#[test]
fn types_that_differ_are_both_named() {
    let scratch = scratch();
    let options = options(scratch.path());
    let _publisher = TypedPublisher::<Price>::open(&name(), &options).unwrap();
    let refusal = error(TypedSubscriber::<Other>::open(&name(), &options));
    assert_eq!(refusal.kind(), ErrorKind::Malformed);
    for name in [TypeName::of::<Price>(), TypeName::of::<Other>()] {
        assert!(refusal.to_string().contains(&name.description), "{refusal}");
    }
    let bytes = BusName::new("bytes").unwrap();
    let _publisher = Publisher::open(&bytes, &options).unwrap();
    let refusal = error(TypedSubscriber::<Price>::open(&bytes, &options));
    assert!(refusal.to_string().contains("bytes without a type"), "{refusal}");

    let _writer = TypedLatestWriter::<Price>::open(&name(), &options).unwrap();
    let refusal = error(TypedLatestReader::<Other>::open(&name(), &options));
    assert_eq!(refusal.kind(), ErrorKind::Malformed);
    assert_eq!(error(TypedLatestReader::<u64>::open(&name(), &options)).kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_message_of_another_length_is_passed_over() {
    let scratch = scratch();
    let options = options(scratch.path());
    let mut subscriber = TypedSubscriber::<Price>::open(&name(), &options).unwrap();
    // Whoever does not care about types may take part.
    let publisher = Publisher::open(&name(), &options).unwrap();
    publisher.publish(b"short").unwrap();
    publisher.publish(price(1).as_bytes()).unwrap();
    let refusal = error(subscriber.receive());
    assert_eq!(refusal.kind(), ErrorKind::Malformed);
    assert!(refusal.to_string().contains("5 bytes"), "{refusal}");
    assert_eq!(subscriber.receive().unwrap(), price(1));
    assert_eq!(error(subscriber.try_receive()).kind(), ErrorKind::WouldBlock);

    let mut reader = TypedLatestReader::<Price>::open(&name(), &options).unwrap();
    let mut writer = LatestWriter::open(&name(), &options).unwrap();
    writer.write(b"short").unwrap();
    assert_eq!(error(reader.read()).kind(), ErrorKind::Malformed);
    writer.write(price(2).as_bytes()).unwrap();
    assert_eq!(reader.read().unwrap().unwrap().1, price(2));
}

#[test]
fn large_values_are_received_in_place() {
    let scratch = scratch();
    let options = options(scratch.path());
    type Table = [[f64; 128]; 128];
    let mut subscriber = TypedSubscriber::<Table>::open(&name(), &options).unwrap();
    let publisher = TypedPublisher::<Table>::open(&name(), &options).unwrap();
    let (mut sent, mut received): (Box<Table>, Box<Table>) =
        (Box::new([[0.0; 128]; 128]), Box::new([[1.0; 128]; 128]));
    sent[127][127] = 0.5;
    publisher.publish(&sent).unwrap();
    subscriber.receive_into(&mut received, Wait::forever()).unwrap();
    assert_eq!(sent, received);
    // What knows no types gets the same bytes.
    let mut bytes = Subscriber::open(&name(), &options).unwrap();
    publisher.publish(&sent).unwrap();
    assert_eq!(bytes.receive().unwrap().to_vec().unwrap(), sent.as_bytes());
    assert_eq!(subscriber.inner().received().0, 1);
}
