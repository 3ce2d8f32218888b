//! Opening rings: what is made, and what is refused.

use std::os::unix::fs::PermissionsExt;

use twixt_address::Address;
use twixt_channel::{Capacity, Receiver, Sender};
use twixt_os::mmap::MappedFile;
use twixt_os::sysv::{Key, shm::Segment};
use twixt_os::{ErrorKind, Mode};
use twixt_testkit::{root, scratch, test};

#[path = "support/rings.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod rings;

use rings::Place;

fn refusal(address: &Address) -> (ErrorKind, String) {
    let error = Sender::open(address).err().unwrap_or_else(|| panic!("{address} was opened"));
    assert_eq!(Receiver::open(address).unwrap_err(), error);
    (error.kind(), error.to_string())
}

#[test]
fn what_is_missing_is_not_found_and_the_error_says_how_to_make_it() {
    for place in Place::all() {
        let (kind, text) = refusal(&place.address(""));
        assert_eq!(kind, ErrorKind::NotFound);
        assert!(text.contains("?create"), "{text}");
    }
}

#[test]
fn all_who_create_at_the_same_time_get_the_same_ring() {
    let test = test!();
    test.role("creator", |peer| {
        peer.say("ready");
        peer.wait_for("go");
        let mut sender = Sender::open(&peer.arg(0).parse().unwrap()).unwrap();
        sender.send(b"me too").unwrap();
        peer.say("sent");
    });
    for place in Place::all() {
        let mut children: Vec<_> =
            (0..6).map(|_| test.child("creator").arg(place.text("?create&capacity=8k")).spawn()).collect();
        children.iter_mut().for_each(|child| child.expect("ready"));
        children.iter_mut().for_each(|child| child.tell("go"));
        children.iter_mut().for_each(|child| child.expect("sent"));
        let mut receiver = Receiver::open(&place.address("")).unwrap();
        for _ in 0..children.len() {
            assert_eq!(receiver.try_receive().unwrap().bytes(), b"me too", "{}", place.scheme);
        }
        children.into_iter().for_each(twixt_testkit::Child::succeed);
    }
}

#[test]
fn options_that_say_how_it_is_made_go_with_create_only() {
    for place in Place::all() {
        let _ring = Sender::open(&place.address("?create")).unwrap();
        for option in ["mode=0600", "capacity=4k", "budget=4k", "size=1M"] {
            let (kind, text) = refusal(&place.address(&format!("?{option}")));
            assert_eq!(kind, ErrorKind::Unsupported);
            assert!(text.contains(option.split('=').next().unwrap()), "{text}");
        }
        for options in ["?create&size=1M&capacity=4k", "?create&size=1M&budget=4k"] {
            assert_eq!(refusal(&place.address(options)).0, ErrorKind::Unsupported);
        }
    }
}

#[test]
fn a_ring_that_is_there_must_be_what_is_asked_for() {
    for place in Place::all() {
        let sender = Sender::open(&place.address("?create&capacity=4k")).unwrap();
        assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(4096)));
        Sender::open(&place.address("?create&capacity=4k")).unwrap();
        Sender::open(&place.address("?create")).unwrap();
        for options in ["?create&capacity=8k", "?create&capacity=0", "?create&budget=4k", "?create&size=1M"] {
            let (kind, text) = refusal(&place.address(options));
            assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
            assert!(text.contains("4096"), "{text}");
        }
    }
}

#[test]
fn size_is_that_of_the_whole_object() {
    for place in Place::all() {
        let sender = Sender::open(&place.address("?create&size=64k")).unwrap();
        assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(60 << 10)));
        if let Some(file) = place.file() {
            assert_eq!(std::fs::metadata(file).unwrap().len(), 64 << 10);
        }
        let other = match place.scheme {
            "mmap" => Place::mmap(),
            "posix-shm" => Place::posix_shm(),
            _ => Place::sysv_shm(),
        };
        assert_eq!(refusal(&other.address("?create&size=4100")).0, ErrorKind::OutOfRange);
        assert_eq!(refusal(&other.address("?create&capacity=15")).0, ErrorKind::OutOfRange);
        assert_eq!(refusal(&other.address("?create&capacity=9223372036854775807")).0, ErrorKind::OutOfRange);
        assert_eq!(refusal(&other.address("")).0, ErrorKind::NotFound, "nothing was left behind");
    }
}

#[test]
fn the_mode_is_that_of_the_new_object() {
    for place in [Place::posix_shm(), Place::mmap()] {
        Sender::open(&place.address("?create&mode=0640")).unwrap();
        let mode = std::fs::metadata(place.file().unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }
}

#[test]
fn who_may_not_write_to_it_may_not_take_part() {
    let test = test!();
    test.role("nobody", |peer| {
        let error = Receiver::open(&peer.arg(0).parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    for place in Place::all() {
        let _ring = Sender::open(&place.address("?create&mode=0644")).unwrap();
        test.child("nobody").arg(place.text("")).as_nobody().spawn().succeed();
    }
}

#[test]
fn what_is_no_ring_is_refused_and_left_as_it_is() {
    let directory = scratch();
    for (name, content) in [
        ("empty", Vec::new()),
        ("short", b"short".to_vec()),
        ("text", b"not a ring ".repeat(1000)),
        ("late", [vec![0; 9000], b"something".to_vec()].concat()),
    ] {
        let path = directory.path().join(name);
        std::fs::write(&path, &content).unwrap();
        for options in ["", "?create"] {
            let (kind, text) = refusal(&format!("mmap:{}{options}", path.display()).parse().unwrap());
            assert!([ErrorKind::Malformed, ErrorKind::InvalidInput].contains(&kind), "{name}: {text}");
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
    }
}

#[test]
fn headers_that_lie_are_refused() {
    for place in [Place::posix_shm(), Place::mmap()] {
        drop(Sender::open(&place.address("?create&capacity=4k")).unwrap());
        let file = place.file().unwrap();
        let good = std::fs::read(file).unwrap();
        for at in 0..64 {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            std::fs::write(file, &bad).unwrap();
            let (kind, text) = refusal(&place.address(""));
            assert!([ErrorKind::Malformed, ErrorKind::Unsupported].contains(&kind), "byte {at}: {text}");
        }
        std::fs::write(file, &good[..good.len() - 8]).unwrap();
        assert_eq!(refusal(&place.address("")).0, ErrorKind::Malformed);
        std::fs::write(file, &good).unwrap();
        Sender::open(&place.address("")).unwrap();
    }
}

#[test]
fn an_object_of_zeros_becomes_a_ring_when_that_is_asked_for() {
    let directory = scratch();
    let path = directory.path().join("made");
    let text = format!("mmap:{}", path.display());
    drop(MappedFile::create(&path, 16 << 10).unwrap());
    let (kind, why) = refusal(&text.parse().unwrap());
    assert_eq!(kind, ErrorKind::Malformed);
    assert!(why.contains("?create"), "{why}");
    let too_much = format!("{text}?create&capacity=64k").parse().unwrap();
    assert_eq!(refusal(&too_much).0, ErrorKind::InvalidInput);
    let mut sender = Sender::open(&format!("{text}?create").parse().unwrap()).unwrap();
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(12 << 10)));
    sender.send(b"hello").unwrap();
    assert_eq!(Receiver::open(&text.parse().unwrap()).unwrap().receive().unwrap().bytes(), b"hello");
}

#[test]
fn segments_of_zeros_become_rings_too() {
    let place = Place::sysv_shm();
    Segment::create(place.key(), 16 << 10, Mode::OWNER).unwrap();
    assert_eq!(refusal(&place.address("")).0, ErrorKind::Malformed);
    let mut sender = Sender::open(&place.address("?create")).unwrap();
    assert_eq!(sender.capacity().unwrap(), Some(Capacity::Bytes(12 << 10)));
    sender.send(b"hello").unwrap();
    assert_eq!(Receiver::open(&place.address("")).unwrap().receive().unwrap().bytes(), b"hello");
}

#[test]
fn a_segment_without_a_key_is_reached_by_its_number() {
    let segment = Segment::create(Key::PRIVATE, 16 << 10, Mode::OWNER).unwrap().remove_on_drop();
    let address: Address = format!("sysv-shm:id={}", segment.id()).parse().unwrap();
    let mut sender = Sender::open(&address).unwrap();
    let mut word = [0; 8];
    segment.attach(twixt_os::sysv::shm::Access::ReadOnly).unwrap().read(64, &mut word).unwrap();
    let set = twixt_os::sysv::sem::Id::new(i32::try_from(u64::from_ne_bytes(word) - 1).unwrap()).unwrap();
    let _set = twixt_os::sysv::sem::Set::from_id(set).remove_on_drop();
    sender.send(b"hello").unwrap();
    assert_eq!(Receiver::open(&address).unwrap().receive().unwrap().bytes(), b"hello");
    assert_eq!(refusal(&"sysv-shm:private?create".parse().unwrap()).0, ErrorKind::InvalidInput);
}

#[test]
fn a_full_file_system_is_an_error_when_the_ring_is_made_or_grows() {
    let test = test!();
    test.in_namespaces(|_peer| {
        let directory = scratch();
        let path = directory.path().to_str().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=256k", "none", path];
        assert!(std::process::Command::new("mount").args(mount).status().unwrap().success());
        let address = |options: &str| -> Address { format!("mmap:{path}/ring{options}").parse().unwrap() };
        let error = Sender::open(&address("?create&capacity=1M")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(refusal(&address("")).0, ErrorKind::NotFound);

        let mut sender = Sender::open(&address("?create&budget=1M")).unwrap();
        let mut receiver = Receiver::open(&address("")).unwrap();
        let mut sent = 0;
        let error = loop {
            match sender.send(&[sent; 1000]) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert!(sent > 60);
        for number in 0..sent {
            assert_eq!(receiver.receive().unwrap().bytes(), [number; 1000]);
        }
        sender.send(b"on").unwrap();
        assert_eq!(receiver.receive().unwrap().bytes(), b"on");
        drop((sender, receiver));
        assert!(std::process::Command::new("umount").arg(path).status().unwrap().success());
    });
}
