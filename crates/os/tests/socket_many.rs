//! Several messages with one system call: `sendmmsg(2)` and `recvmmsg(2)`.

use std::io::{IoSlice, IoSliceMut};

use twixt_os::net::{MOST_AT_ONCE, udp};
use twixt_os::unix::{Datagram, Seqpacket};
use twixt_os::{ErrorKind, Result, Wait};
use twixt_testkit::test;

type SendMany<'a> = &'a dyn Fn(&[IoSlice<'_>], Wait) -> Result<usize>;
type ReceiveMany<'a> = &'a dyn Fn(&mut [IoSliceMut<'_>], &mut [usize], Wait) -> Result<usize>;

/// Sends more than go at once, and receives them all, in order and each whole.
fn all_come_in_order(send: SendMany<'_>, receive: ReceiveMany<'_>) {
    const COUNT: usize = 2 * MOST_AT_ONCE + 3;
    let messages: Vec<Vec<u8>> = (0..COUNT).map(|number| vec![number as u8; number % 7 + 1]).collect();
    let slices: Vec<IoSlice<'_>> = messages.iter().map(|message| IoSlice::new(message)).collect();
    let (mut sent, mut came) = (0, 0);
    while came < COUNT {
        if sent < COUNT {
            match send(&slices[sent..], Wait::never()) {
                Ok(went) => {
                    assert!((1..=MOST_AT_ONCE).contains(&went));
                    sent += went;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        let mut rooms = [[0xff; 8]; 10];
        let mut lens = [0; 10];
        let mut slices: Vec<IoSliceMut<'_>> = rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let some = receive(&mut slices, &mut lens, Wait::forever()).unwrap();
        assert!((1..=10).contains(&some));
        for (room, len) in rooms.iter().zip(&lens[..some]) {
            assert_eq!(&room[..*len], messages[came]);
            assert!(room[*len..].iter().all(|&byte| byte == 0xff));
            came += 1;
        }
    }
    let error = receive(&mut [IoSliceMut::new(&mut [0; 8])], &mut [0], Wait::never()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// The length of a message that is longer than its room is told.
fn a_cut_is_told(send: SendMany<'_>, receive: ReceiveMany<'_>) {
    assert_eq!(send(&[IoSlice::new(b"too long")], Wait::forever()).unwrap(), 1);
    let (mut room, mut lens) = ([0; 3], [0; 1]);
    assert_eq!(receive(&mut [IoSliceMut::new(&mut room)], &mut lens, Wait::forever()).unwrap(), 1);
    assert_eq!((&room, lens), (b"too", [8]));
}

/// Nothing takes nothing, without waiting.
fn none_is_none(send: SendMany<'_>, receive: ReceiveMany<'_>) {
    assert_eq!(send(&[], Wait::forever()).unwrap(), 0);
    assert_eq!(receive(&mut [], &mut [0], Wait::forever()).unwrap(), 0);
    assert_eq!(receive(&mut [IoSliceMut::new(&mut [0])], &mut [], Wait::forever()).unwrap(), 0);
}

fn everything(send: SendMany<'_>, receive: ReceiveMany<'_>) {
    all_come_in_order(send, receive);
    a_cut_is_told(send, receive);
    none_is_none(send, receive);
}

#[test]
fn unix_datagrams() {
    let _test = test!();
    let (one, other) = Datagram::pair().unwrap();
    everything(&|messages, wait| one.send_many_wait(messages, wait), &|rooms, lens, wait| {
        other.receive_many_wait(rooms, lens, wait)
    });
    drop(other);
    let error = one.send_many_wait(&[IoSlice::new(b"x")], Wait::forever()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::NoPeer), "{error}");
}

#[test]
fn seqpackets() {
    let _test = test!();
    let (one, other) = Seqpacket::pair().unwrap();
    everything(&|messages, wait| one.send_many_wait(messages, wait), &|rooms, lens, wait| {
        other.receive_many_wait(rooms, lens, wait)
    });
    drop(one);
    let (mut room, mut lens) = ([0; 3], [7]);
    // The end has no bytes.
    other.receive_many_wait(&mut [IoSliceMut::new(&mut room)], &mut lens, Wait::forever()).unwrap();
    assert_eq!(lens, [0]);
}

#[test]
fn udp_datagrams() {
    let _test = test!();
    let server = udp::Socket::bind("127.0.0.1:0").unwrap();
    let client = udp::Connected::to(server.local_address().unwrap()).unwrap();
    everything(&|messages, wait| client.send_many_wait(messages, wait), &|rooms, lens, wait| {
        server.receive_many_wait(rooms, lens, wait)
    });
    // And back, which the connected one receives.
    for message in [&b"one"[..], b"three"] {
        server.send_to(message, client.local_address().unwrap()).unwrap();
    }
    let (mut first, mut second, mut lens) = ([0; 8], [0; 8], [0; 2]);
    let mut came = 0;
    while came < 2 {
        let mut rooms = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        came += client.receive_many_wait(&mut rooms[came..], &mut lens[came..], Wait::forever()).unwrap();
    }
    assert_eq!((&first[..3], &second[..5], lens), (&b"one"[..], &b"three"[..], [3, 5]));
}
