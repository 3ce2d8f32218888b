//! Several senders of a FIFO, whose messages must not be mixed.

#[path = "support/channels.rs"]
mod support;

use support::*;
use twixt_os::{ErrorKind, Mode, fifo::Fifo, pipe::PIPE_BUF};
use twixt_testkit::{TempDir, call, scratch, test};

/// A FIFO, and the options of an address that leads to it.
fn place(framing: &str) -> (TempDir, String) {
    let directory = scratch();
    let path = directory.path().join("fifo");
    Fifo::create(&path, Mode::OWNER).unwrap();
    let text = format!("fifo:{}?framing={framing}", path.display());
    (directory, text)
}

/// Many pages.
const LONG: usize = 20_000;
const MESSAGES: usize = 60;

#[test]
fn long_messages_of_several_senders_are_not_mixed() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        let letter: u8 = peer.arg(1).parse().unwrap();
        for number in 0..MESSAGES {
            sender.send(&vec![letter; LONG + number]).unwrap();
        }
        sender.close(twixt_os::Wait::forever()).unwrap();
        peer.say("sent");
        peer.hear();
    });
    for framing in ["frame", "len", "lines", "nul"] {
        let (_directory, text) = place(framing);
        let mut receiver = receiver(&text);
        let mut senders: Vec<_> =
            (b'a'..b'e').map(|letter| test.child("sender").arg(&text).arg(letter).spawn()).collect();
        let mut next = [0; 4];
        for _ in 0..4 * MESSAGES {
            let message = loop {
                match receiver.receive_deadline(later()) {
                    // There may be moments without a writer.
                    Err(error) if error.kind() == ErrorKind::PeerGone => {}
                    received => break received.unwrap().into_bytes(),
                }
            };
            let letter = message[0];
            assert!(message.iter().all(|&byte| byte == letter), "{framing}: a message is mixed");
            let next = &mut next[usize::from(letter - b'a')];
            assert_eq!(message.len(), LONG + *next, "{framing}");
            *next += 1;
        }
        for sender in &mut senders {
            sender.expect("sent");
        }
    }
}

#[test]
fn a_long_message_is_refused_while_somebody_may_send_short_ones() {
    let _test = test!();
    let (_directory, text) = place("len");
    let mut receiver = receiver(&text);
    let (mut short, mut long) = (sender(&text), sender(&text));
    // The longest that the kernel keeps in one piece, behind four bytes of length.
    short.send(&[1; PIPE_BUF - 4]).unwrap();
    for wait in [twixt_os::Wait::never(), later().into(), twixt_os::Wait::forever()] {
        let refused = refusal(long.send_wait(&[2; LONG], wait), ErrorKind::Busy, &[]);
        assert!(refused.to_string().contains("20004 bytes with its frame"), "{refused}");
    }
    short.send(b"short").unwrap();
    drop(short);
    long.send(&[2; LONG]).unwrap();
    // The same one may send both kinds.
    long.send(b"short, too").unwrap();
    long.send(&[3; LONG]).unwrap();
    assert_eq!(next(&mut receiver), [1; PIPE_BUF - 4]);
    assert_eq!(next(&mut receiver), b"short");
    assert_eq!(next(&mut receiver), [2; LONG]);
    assert_eq!(next(&mut receiver), b"short, too");
    assert_eq!(next(&mut receiver), [3; LONG]);
}

#[test]
fn nobody_cuts_in_on_a_message_that_is_half_sent() {
    let _test = test!();
    let (_directory, text) = place("len");
    let mut receiver = receiver(&text);
    let (mut half, mut other) = (sender(&text), sender(&text));
    // More than the FIFO holds: the rest is kept.
    half.try_send(&vec![1; 500_000]).unwrap();
    assert_eq!(kind(other.try_send(b"short")), ErrorKind::WouldBlock);
    assert_eq!(kind(other.send_deadline(b"short", soon())), ErrorKind::TimedOut);
    assert_eq!(kind(other.try_send(&[2; LONG])), ErrorKind::WouldBlock);
    let flushing = std::thread::spawn(move || half.flush(twixt_os::Wait::forever()));
    assert_eq!(receiver.receive().unwrap().bytes(), vec![1; 500_000]);
    flushing.join().unwrap().unwrap();
    other.send(b"short").unwrap();
    assert_eq!(receiver.receive().unwrap().bytes(), b"short");
}

#[test]
fn a_killed_sender_of_a_long_message_keeps_nobody_out() {
    let test = test!();
    test.role("sender", |peer| {
        let mut sender = sender(&peer.arg(0));
        peer.say("sending");
        sender.send(&vec![1; 5_000_000]).unwrap();
    });
    let (directory, text) = place("frame");
    let reader = Fifo::open(directory.path().join("fifo")).unwrap().open_read_now().unwrap();
    let mut child = test.child("sender").arg(&text).spawn();
    child.expect("sending");
    child.wait_until_blocked_in(call::WRITING);
    let mut other = sender(&text);
    assert_eq!(kind(other.try_send(b"short")), ErrorKind::WouldBlock);
    child.kill();
    let drained = std::thread::spawn(move || {
        let (mut room, mut total) = (vec![0; 1 << 16], 0);
        loop {
            match reader.read(&mut room).unwrap() {
                0 => return total,
                count => total += count,
            }
        }
    });
    other.send(&[2; LONG]).unwrap();
    drop(other);
    assert!(drained.join().unwrap() > LONG);
}
