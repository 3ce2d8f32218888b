//! The bytes that `docs/shm-format.md` describes: written by hand as the page says, and read by hand as it says.
//!
//! Nothing here knows a constant of the crate.

use std::os::unix::fs::FileExt;
use std::path::Path;

use twixt_bus::{Capacity, Event, Left, SubscriberOptions, TypeName};
use twixt_os::Wait;

#[path = "support/topics.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod topics;

use topics::{NAME, Topic, receive};

/// The words of a file.
struct File(Vec<u64>);

impl File {
    fn new(bytes: usize, what: u64, site: u64) -> Self {
        let mut words = vec![0; bytes / 8];
        words[0] = u64::from_le_bytes(*b"twixtbus");
        words[1] = 1 | what << 32;
        words[2] = bytes as u64;
        words[3] = site;
        Self(words)
    }

    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        Self(bytes.chunks(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap())).collect())
    }

    fn put(&mut self, word: usize, bytes: &[u8]) {
        for (at, chunk) in bytes.chunks(8).enumerate() {
            let mut last = [0; 8];
            last[..chunk.len()].copy_from_slice(chunk);
            self.0[word + at] = u64::from_ne_bytes(last);
        }
    }

    fn bytes(&self, word: usize, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            self.0[word..].iter().flat_map(|word| word.to_ne_bytes()).take(len).collect();
        bytes.truncate(len);
        bytes
    }

    fn write(&self, path: &Path) {
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_ne_bytes()).collect();
        std::fs::write(path, bytes).unwrap();
    }
}

/// Where the line of a position begins, in a ring of 16.
fn line(position: u64) -> usize {
    1024 + 8 * (position as usize % 16)
}

#[test]
fn what_is_written_by_hand_is_received() {
    let topic = Topic::new();
    let directory = topic.place().path().join(format!("topic.{NAME}"));
    std::fs::create_dir(&directory).unwrap();

    let mut site = File::new(8192, 1, 4711);
    site.0[4] = 16;
    site.0[16] = 1;
    site.0[17] = 2;
    site.0[18] = 0o600;
    site.0[19] = 42;
    site.0[20] = 11;
    site.put(32, b"Temperature");
    site.write(&directory.join("site"));

    let mut file = File::new(8192 + 1024, 2, 4711);
    file.0[4] = 16;
    let mut frame = |position: u64, len: u64, back: u64, flags: u64, sequence: u64| {
        let at = line(position);
        file.0[at] = 4 * position + 1;
        file.0[at + 1] = len | back << 32 | flags << 56;
        file.0[at + 2] = sequence;
        at
    };
    let (skip, below, broken) = (1, 2, 4);
    let hello = frame(0, 5, 0, 0, 0);
    frame(1, 40, 1, skip, 1);
    let middle = frame(2, 100, 1, 0, 2);
    let large = frame(4, 128, 2, below, 3);
    frame(7, 64, 3, below | broken, 4);
    // A loan whose borrower has died, and a message behind it that the head does not count.
    let loan = frame(9, 40, 2, 0, 5);
    let behind = frame(10, 14, 1, 0, 6);
    file.0[loan] = 4 * 9 + 3;
    file.put(hello + 3, b"hello");
    file.put(middle + 3, &[7; 100]);
    file.0[large + 3] = 128;
    file.put(large + 8, &[8; 128]);
    file.put(behind + 3, b"after the loan");
    file.0[line(11)] = 0;
    // The newest checkpoint does not count the large message and what comes after it; the other is an older one.
    let checkpoint = [(8, 0), (24, 4), (25, 2), (26, 3), (27, 2), (28, 105)];
    for (word, value) in checkpoint.into_iter().chain([(0, 1), (40, 13), (49, 1), (50, 1)]) {
        file.0[512 + word] = value;
    }
    file.write(&directory.join("p0"));

    let as_said = topic.sized(1024).type_name(TypeName { hash: 42, description: "the same".into() });
    let how = SubscriberOptions::new().history(u64::MAX);
    let mut subscriber = twixt_bus::Subscriber::open_with(&Topic::name(), &as_said, how).unwrap();
    assert_eq!(subscriber.capacity(), Capacity::Bounded(1024));
    for (sequence, expected) in [(0, &b"hello"[..]), (2, &[7; 100]), (3, &[8; 128]), (6, b"after the loan")] {
        let Event::Message(sample) = subscriber.next(Wait::never()).unwrap() else { panic!("no message") };
        assert_eq!((sample.publisher(), sample.sequence()), (0, sequence));
        assert_eq!(sample.to_vec().unwrap(), expected);
    }
    let left = subscriber.next(Wait::never()).unwrap();
    assert!(matches!(left, Event::Left { publisher: 0, how: Left::Died }), "{left:?}");
    drop(left);

    // Its successor finds it as the page says, and leaves it so.
    let publisher = topic.publisher();
    assert_eq!(publisher.published(), (4, 247));
    publisher.publish(b"onwards").unwrap();
    assert_eq!(receive(&mut subscriber), b"onwards");
    let file = File::read(&directory.join("p0"));
    assert_eq!(file.0[line(9)], 4 * 9 + 1, "the loan is skipped");
    assert_eq!(file.0[line(9) + 1] >> 56, skip);
    assert_eq!(file.0[line(11)], 4 * 11 + 1);
    assert_eq!(file.0[line(11) + 1], 7 | 1 << 32);
    assert_eq!(file.0[line(11) + 2], 7);
    assert_eq!(file.0[line(12)], 0);
    drop(publisher);
    let file = File::read(&directory.join("p0"));
    let newest = 520 + 16 * (file.0[512] as usize % 2);
    assert_eq!(file.0[newest..newest + 5], [12, 11, 8, 5, 254]);
    assert_eq!(file.0[560..565], [11, 2, 2, 1, 0]);
    assert!((13..=27).contains(&file.0[552]));
}

#[test]
fn what_a_subscriber_says_stands_where_the_page_has_it() {
    let topic = Topic::new();
    let mut subscriber = twixt_bus::Subscriber::open(&Topic::name(), &topic.sized(1024)).unwrap();
    let publishers = [topic.publisher(), topic.publisher()];
    for publisher in &publishers {
        publisher.publish(&[1; 200]).unwrap();
        assert_eq!(receive(&mut subscriber).len(), 200);
    }
    assert!(subscriber.try_receive().is_err());
    let site = File::read(&topic.directory().join("site"));
    let page = File::read(&topic.directory().join("s0"));
    assert_eq!(page.bytes(0, 8), b"twixtbus");
    assert_eq!(page.0[1..5], [1 | 3 << 32, 16384, site.0[3], 0]);
    assert_eq!(page.0[5], u64::from(std::process::id()));
    assert_eq!(page.0[9], 1, "publishers wait for it");
    assert_eq!(page.0[512..514], [2, 400]);
    // Four lines each, and a bit that says that there is a cursor.
    assert_eq!([page.0[1024], page.0[1024 + 8], page.0[1024 + 16]], [9, 9, 0]);
    drop(subscriber);
    // The format's version is what others go by.
    let file = std::fs::OpenOptions::new().write(true).open(topic.directory().join("site")).unwrap();
    file.write_all_at(&2_u32.to_ne_bytes(), 8).unwrap();
    assert_eq!(
        topics::kind(twixt_bus::Subscriber::open(&Topic::name(), &topic.options())),
        twixt_os::ErrorKind::Unsupported
    );
}
