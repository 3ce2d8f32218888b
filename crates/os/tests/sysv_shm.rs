//! System V shared memory: making, attaching, reading and writing between processes, looking, removing, refusals.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, SystemTime};

use twixt_os::sysv::Key;
use twixt_os::sysv::shm::{self, Access, HugePages, Id, Options, Place, RemoveOnDrop, Segment, Settings};
use twixt_os::{Errno, ErrorKind, Mode};
use twixt_testkit::{Missing, Peer, root, test, unique_key};

fn key() -> Key {
    Key::new(unique_key()).unwrap()
}

fn segment_of(size: usize) -> RemoveOnDrop {
    Segment::create(Key::PRIVATE, size, Mode::OWNER).unwrap().remove_on_drop()
}

/// The segment that the child was told of.
fn told(peer: &Peer) -> Segment {
    Segment::open_id(Id::new(peer.arg(0).parse().unwrap()).unwrap()).unwrap()
}

#[test]
fn create_open_and_open_or_create() {
    let _test = test!();
    let key = key();
    assert_eq!(Segment::open(key).unwrap_err().kind(), ErrorKind::NotFound);
    let segment = Segment::create(key, 5000, Mode::OWNER).unwrap().remove_on_drop();
    let again = Segment::create(key, 5000, Mode::OWNER).unwrap_err();
    assert_eq!((again.kind(), again.errno()), (ErrorKind::AlreadyExists, Some(Errno::EXIST)));
    assert!(
        again.to_string().starts_with(&format!("cannot create System V shared memory {key}: ")),
        "{again}"
    );
    for opened in [
        Segment::open(key).unwrap(),
        Segment::open_sized(key, 5000).unwrap(),
        Segment::open_sized(key, 1).unwrap(),
        Segment::open_or_create(key, 5000, Mode::OWNER).unwrap(),
        Segment::open_id(segment.id()).unwrap(),
        Segment::from_id(segment.id()),
    ] {
        assert_eq!(opened.id(), segment.id());
    }
    for error in [
        Segment::open_sized(key, 5001).unwrap_err(),
        Segment::open_or_create(key, 5001, Mode::OWNER).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("it has 5000 bytes, 5001 were asked for"), "{error}");
    }
    let fresh = Segment::open_or_create(Key::new(key.as_raw() ^ 1).unwrap(), 8, Mode::OWNER).unwrap();
    fresh.remove().unwrap();
}

#[test]
fn sizes_that_no_segment_has() {
    let _test = test!();
    for error in [
        Segment::create(key(), 0, Mode::OWNER).unwrap_err(),
        Segment::open_or_create(key(), 0, Mode::OWNER).unwrap_err(),
        Segment::open(Key::PRIVATE).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, None));
    }
    let error = Segment::create(key(), usize::MAX, Mode::OWNER).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::INVAL)));
    let limit = error.limit().unwrap();
    assert_eq!((limit.name, limit.needed), ("kernel.shmmax", Some(u64::MAX)));
    assert_eq!(limit.current, Some(shm::limits().unwrap().shmmax));
}

#[test]
fn identifiers_that_lead_nowhere() {
    let _test = test!();
    assert!(Id::new(-1).is_none());
    let removed = segment_of(1).id();
    for id in [removed, Id::new(i32::MAX).unwrap()] {
        let error = Segment::open_id(id).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::NotFound, Some(Errno::INVAL)));
        let trusted = Segment::from_id(id);
        for error in [
            trusted.attach(Access::ReadOnly).unwrap_err(),
            trusted.attach_at(Place::At(0x7000_0000_0000), Access::ReadOnly).unwrap_err(),
            trusted.stat().unwrap_err(),
            trusted.set(Settings { uid: 0, gid: 0, mode: Mode::OWNER }).unwrap_err(),
            trusted.lock().unwrap_err(),
            trusted.unlock().unwrap_err(),
            trusted.remove().unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
            assert!(error.to_string().contains(&format!("id {id}")), "{error}");
        }
    }
}

#[test]
fn what_one_process_writes_another_reads() {
    let test = test!();
    test.role("answer", |peer| {
        let memory = told(peer).attach(Access::ReadWrite).unwrap();
        assert_eq!(memory.len(), 10_001);
        let mut bytes = vec![0; memory.len()];
        memory.read(0, &mut bytes).unwrap();
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        memory.write(0, &bytes).unwrap();
        peer.say("answered");
        peer.hear();
        // By single words, without any other order between the two.
        while memory.atomic_u32(8).unwrap().load(Acquire) != 1 {}
        let question = memory.atomic_u64(16).unwrap().load(Relaxed);
        memory.atomic_u64(16).unwrap().store(question + 1, Relaxed);
        memory.atomic_u8(24).unwrap().store(7, Relaxed);
        memory.atomic_u32(8).unwrap().store(2, Release);
    });
    let segment = segment_of(10_001);
    let memory = segment.attach(Access::ReadWrite).unwrap();
    let mut bytes = vec![1; 10_001];
    memory.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, vec![0; 10_001], "a new segment is all zero");
    let pattern: Vec<u8> = (0..10_001_u32).map(|at| (at.wrapping_mul(167) >> 3) as u8).collect();
    memory.write(0, &pattern).unwrap();
    let mut child = test.child("answer").arg(segment.id()).spawn();
    child.expect("answered");
    memory.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().zip(&pattern).all(|(read, written)| *read == !*written));
    memory.write(0, &[0; 32]).unwrap();
    child.tell("words");
    memory.atomic_u64(16).unwrap().store(41, Relaxed);
    memory.atomic_u32(8).unwrap().store(1, Release);
    while memory.load_u32(8, Acquire).unwrap() != 2 {}
    assert_eq!(memory.load_u64(16, Relaxed).unwrap(), 42);
    assert_eq!(memory.atomic_u8(24).unwrap().load(Relaxed), 7);
    child.succeed();
}

#[test]
fn bytes_outside_the_segment_are_out_of_reach() {
    let _test = test!();
    let segment = segment_of(100);
    // The memory is a whole page; the segment is not.
    let memory = segment.attach(Access::ReadWrite).unwrap();
    assert_eq!(memory.len(), 100);
    memory.write(100, &[]).unwrap();
    memory.write(99, &[1]).unwrap();
    for error in [
        memory.write(99, &[1, 2]).unwrap_err(),
        memory.write(usize::MAX, &[1]).unwrap_err(),
        memory.write(101, &[]).unwrap_err(),
        memory.read(100, &mut [0]).unwrap_err(),
        memory.atomic_u8(100).map(drop).unwrap_err(),
        memory.atomic_u32(100).map(drop).unwrap_err(),
        memory.atomic_u64(96).map(drop).unwrap_err(),
        memory.load_u64(96, Relaxed).map(drop).unwrap_err(),
        memory.load_u32(100, Relaxed).map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::OutOfRange, None));
        assert!(error.to_string().contains("do not lie within its 100 bytes"), "{error}");
    }
    for error in
        [memory.atomic_u32(2).map(drop).unwrap_err(), memory.load_u64(4, Relaxed).map(drop).unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_read_only_attachment_refuses_writes() {
    let _test = test!();
    let segment = segment_of(64);
    segment.attach(Access::ReadWrite).unwrap().write(0, b"written").unwrap();
    let memory = segment.attach(Access::ReadOnly).unwrap();
    assert_eq!(memory.access(), Access::ReadOnly);
    for error in [
        memory.write(0, b"x").unwrap_err(),
        memory.atomic_u8(0).map(drop).unwrap_err(),
        memory.atomic_u32(0).map(drop).unwrap_err(),
        memory.atomic_u64(0).map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, None));
        assert!(error.to_string().ends_with("it is attached for reading only"), "{error}");
    }
    let mut word = [0; 7];
    memory.read(0, &mut word).unwrap();
    assert_eq!(&word, b"written");
    assert_eq!(memory.load_u32(0, Relaxed).unwrap(), u32::from_ne_bytes(*b"writ"));
}

// The test's own process attaches nothing whose attachments it counts: its other tests start children, which have a
// copy of every attachment until they execute their program.
#[test]
fn attachments_are_counted() {
    let test = test!();
    test.role("attach", |peer| {
        let segment = told(peer);
        let mut attached = Vec::new();
        loop {
            match peer.hear().as_str() {
                "read-write" => attached.push(segment.attach(Access::ReadWrite).unwrap()),
                "read-only" => attached.push(segment.attach(Access::ReadOnly).unwrap()),
                "drop" => drop(attached.pop().unwrap()),
                "detach" => assert_eq!(attached.pop().unwrap().detach(), segment),
                "" => break,
                place => {
                    // Nothing stays attached by an attempt that failed.
                    segment.attach_at(Place::At(place.parse().unwrap()), Access::ReadOnly).unwrap_err();
                }
            }
            peer.say("done");
        }
    });
    let before = SystemTime::now() - Duration::from_secs(1);
    let segment = segment_of(4096);
    let stat = segment.stat().unwrap();
    assert_eq!((stat.nattch, stat.segsz, stat.lpid), (0, 4096, None));
    assert_eq!((stat.atime, stat.dtime), (None, None));
    assert_eq!(stat.cpid, std::process::id().cast_signed());
    assert!(stat.ctime >= before);
    let [mut one, mut other] = [(); 2].map(|()| test.child("attach").arg(segment.id()).spawn());
    let after = |child: &mut twixt_testkit::Child, what: &str| {
        child.tell(what);
        child.expect("done");
        let stat = segment.stat().unwrap();
        (stat.nattch, stat.lpid.unwrap())
    };
    assert_eq!(after(&mut one, "read-write"), (1, one.pid()));
    assert!(segment.stat().unwrap().atime.is_some_and(|time| time >= before));
    assert_eq!(after(&mut one, "read-only"), (2, one.pid()));
    assert_eq!(after(&mut other, "read-only"), (3, other.pid()));
    assert_eq!(after(&mut other, "4097").0, 3);
    assert_eq!(segment.stat().unwrap().dtime, None);
    assert_eq!(after(&mut one, "drop"), (2, one.pid()));
    assert!(segment.stat().unwrap().dtime.is_some_and(|time| time >= before));
    assert_eq!(after(&mut one, "detach"), (1, one.pid()));
    other.kill();
    assert_eq!(segment.stat().unwrap().nattch, 0);
    one.succeed();
}

#[test]
fn a_removed_segment_goes_with_its_last_attachment() {
    let test = test!();
    test.role("attach", |peer| {
        let memory = told(peer).attach(Access::ReadWrite).unwrap();
        peer.say("attached");
        peer.wait_for("write");
        memory.write(0, b"still").unwrap();
        peer.say("written");
        peer.hear();
    });
    test.role("read", |peer| {
        // A segment that is only marked can still be attached, by its identifier.
        let memory = told(peer).attach(Access::ReadOnly).unwrap();
        let mut word = [0; 5];
        memory.read(0, &mut word).unwrap();
        assert_eq!(&word, b"still");
    });
    let key = key();
    let segment = Segment::create(key, 4096, Mode::OWNER).unwrap();
    let guard = segment.clone().remove_on_drop();
    let mut child = test.child("attach").arg(segment.id()).spawn();
    child.expect("attached");
    drop(guard);
    let stat = segment.stat().unwrap();
    assert!(stat.marked_for_removal && stat.perm.key.is_private());
    assert_eq!(stat.nattch, 1);
    assert_eq!(Segment::open(key).unwrap_err().kind(), ErrorKind::NotFound);
    child.tell("write");
    child.expect("written");
    test.child("read").arg(segment.id()).spawn().succeed();
    child.kill();
    assert_eq!(segment.stat().unwrap_err().kind(), ErrorKind::Removed);
    assert_eq!(segment.attach(Access::ReadOnly).unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn a_transient_segment_leaves_nothing_behind() {
    let test = test!();
    test.role("make", |peer| {
        let memory = Options::new(100).mode(Mode::new(0o640).unwrap()).create_transient().unwrap();
        memory.write(0, b"transient").unwrap();
        peer.say(&memory.segment().id().to_string());
        peer.hear();
    });
    test.role("read", |peer| {
        let memory = told(peer).attach(Access::ReadOnly).unwrap();
        peer.say("attached");
        peer.wait_for("read");
        let mut word = [0; 9];
        memory.read(0, &mut word).unwrap();
        assert_eq!(&word, b"transient");
    });
    let mut maker = test.child("make").spawn();
    let segment = Segment::open_id(Id::new(maker.hear().parse().unwrap()).unwrap()).unwrap();
    let stat = segment.stat().unwrap();
    assert!(stat.marked_for_removal);
    assert_eq!(stat.perm.mode, Mode::new(0o640).unwrap());
    let mut reader = test.child("read").arg(segment.id()).spawn();
    reader.expect("attached");
    maker.kill();
    reader.tell("read");
    reader.succeed();
    assert_eq!(Segment::open_id(segment.id()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn attaching_at_an_address() {
    let _test = test!();
    let segment = segment_of(8192);
    // Free, since something was there and is no more.
    let memory = segment.attach(Access::ReadWrite).unwrap();
    let address = memory.address();
    for place in [Place::At(address), Place::RoundedDown(address + 100), Place::At(address + 4096)] {
        let taken = segment.attach_at(place, Access::ReadWrite).unwrap_err();
        assert_eq!((taken.kind(), taken.errno()), (ErrorKind::InvalidInput, Some(Errno::INVAL)), "{taken}");
    }
    memory.write(0, b"kept").unwrap();
    // Far from anything that other threads of this test map meanwhile.
    let page = 4096;
    let free = 0x1000_0000_0000 + page * 16;
    let memory = segment.attach_at(Place::At(free), Access::ReadOnly).unwrap();
    assert_eq!(memory.address(), free);
    let mut word = [0; 4];
    memory.read(0, &mut word).unwrap();
    assert_eq!(&word, b"kept");
    drop(memory);
    let memory = segment.attach_at(Place::RoundedDown(free + page - 1), Access::ReadOnly).unwrap();
    assert_eq!(memory.address(), free);
    for place in [
        Place::At(free + 8 * page + 1),
        Place::At(0),
        Place::At(page),
        Place::RoundedDown(1),
        Place::At(usize::MAX),
    ] {
        let error = segment.attach_at(place, Access::ReadOnly).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{place:?}: {error}");
        assert!(error.advice().unwrap().contains("64 KiB"));
    }
    drop(segment.attach_at(Place::Anywhere, Access::ReadOnly).unwrap());
}

#[test]
fn the_segment_is_seen_in_the_maps_by_its_identifier() {
    let _test = test!();
    let key = key();
    let segment = Segment::create(key, 4096, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadOnly).unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.starts_with(&format!("{:x}-", memory.address()))).unwrap();
    let fields: Vec<_> = line.split_ascii_whitespace().collect();
    assert_eq!((fields[1], fields[4]), ("r--s", segment.id().to_string().as_str()));
    assert_eq!(fields[5], format!("/SYSV{:08x}", key.as_raw()));
}

#[test]
fn another_user_is_kept_out() {
    let test = test!();
    test.role("nobody", |peer| {
        let key: Key = peer.arg(0).parse().unwrap();
        let denied = |error: twixt_os::Error, errno| {
            assert_eq!((error.kind(), error.errno()), (ErrorKind::PermissionDenied, Some(errno)), "{error}");
        };
        let segment = Segment::open(key).unwrap();
        assert_eq!(Segment::open_id(segment.id()).unwrap().id(), segment.id());
        denied(Segment::open_or_create(key, 1, Mode::OWNER).unwrap_err(), Errno::ACCESS);
        denied(segment.attach(Access::ReadOnly).unwrap_err(), Errno::ACCESS);
        denied(segment.attach(Access::ReadWrite).unwrap_err(), Errno::ACCESS);
        denied(segment.attach_at(Place::At(1 << 44), Access::ReadWrite).unwrap_err(), Errno::ACCESS);
        denied(segment.stat().unwrap_err(), Errno::ACCESS);
        denied(segment.set(Settings { uid: 65534, gid: 65534, mode: Mode::OWNER }).unwrap_err(), Errno::PERM);
        denied(segment.lock().unwrap_err(), Errno::PERM);
        denied(segment.unlock().unwrap_err(), Errno::PERM);
        denied(segment.remove().unwrap_err(), Errno::PERM);
        let huge = Options::new(1 << 21).huge_pages(HugePages::DEFAULT).create(Key::PRIVATE).unwrap_err();
        denied(huge.clone(), Errno::PERM);
        assert!(huge.advice().unwrap().contains("vm.hugetlb_shm_group"));
        let listed = shm::list().unwrap().into_iter().find(|listed| listed.id == segment.id()).unwrap();
        assert_eq!((listed.stat.perm.key, listed.stat.segsz), (key, 64));
        peer.say("kept out");
        peer.wait_for("read");
        let memory = segment.attach(Access::ReadOnly).unwrap();
        assert_eq!(memory.write(0, b"x").unwrap_err().kind(), ErrorKind::PermissionDenied);
        denied(segment.attach(Access::ReadWrite).unwrap_err(), Errno::ACCESS);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let key = key();
    let segment = Segment::create(key, 64, Mode::OWNER).unwrap().remove_on_drop();
    let mut nobody = test.child("nobody").arg(key).as_nobody().spawn();
    nobody.expect("kept out");
    let settings = Settings::from(segment.stat().unwrap());
    segment.set(Settings { mode: Mode::new(0o604).unwrap(), ..settings }).unwrap();
    nobody.tell("read");
    nobody.succeed();
    segment.set(Settings { uid: 65534, gid: 65533, ..settings }).unwrap();
    let perm = segment.stat().unwrap().perm;
    assert_eq!((perm.uid, perm.gid, perm.creator_uid), (65534, 65533, settings.uid));
    let nobody = segment.set(Settings { uid: u32::MAX, ..settings }).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::InvalidInput);
}

#[test]
fn locked_segments_say_so() {
    let test = test!();
    test.role("nobody", |_| {
        let limit = 64 * 1024;
        let segment = Segment::create(Key::PRIVATE, limit + 1, Mode::OWNER).unwrap().remove_on_drop();
        let error = segment.lock().unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOMEM)));
        let reached = error.limit().unwrap();
        assert_eq!((reached.name, reached.current), ("RLIMIT_MEMLOCK", Some(limit as u64)));
        assert_eq!(reached.needed, Some(limit as u64 + 1));
        let small = Segment::create(Key::PRIVATE, 4096, Mode::OWNER).unwrap().remove_on_drop();
        small.lock().unwrap();
        assert!(small.stat().unwrap().locked);
        small.unlock().unwrap();
        assert!(!small.stat().unwrap().locked);
    });
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    // 64 KiB, and not raised: a user's own limits hold for him.
    let limited = ["sh", "-c", "ulimit -l 64; exec \"$@\"", "sh"];
    test.child("nobody").under(&limited).as_nobody().spawn().succeed();
}

#[test]
fn the_list_has_every_segment() {
    let _test = test!();
    let key = key();
    let segment = Segment::create(key, 12_345, Mode::OWNER).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadWrite).unwrap();
    memory.write(0, &[1; 12_345]).unwrap();
    let listed = shm::list().unwrap().into_iter().find(|listed| listed.id == segment.id()).unwrap();
    assert_eq!((listed.stat.segsz, listed.stat.perm.key), (12_345, key));
    assert!(listed.stat.nattch >= 1);
    let usage = shm::usage().unwrap();
    assert!(usage.segments >= 1 && usage.pages >= 4, "{usage:?}");
}

#[test]
fn pages_that_are_not_reserved() {
    let _test = test!();
    let segment = Options::new(1 << 36).no_reserve().create(Key::PRIVATE).unwrap().remove_on_drop();
    let memory = segment.attach(Access::ReadWrite).unwrap();
    assert_eq!(memory.len(), 1 << 36);
    memory.write((1 << 36) - 4, b"last").unwrap();
    assert_eq!(memory.load_u32((1 << 36) - 4, Relaxed).unwrap(), u32::from_ne_bytes(*b"last"));
    // With a reservation, no machine that runs this has room for so much.
    let error = Segment::create(Key::PRIVATE, 1 << 62, Mode::OWNER).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoSpace, Some(Errno::NOMEM)));
}

#[test]
fn huge_pages_that_there_are_not() {
    let test = test!();
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    assert!(HugePages::of_size(3 << 20).is_none());
    let odd = HugePages::of_size(8192).unwrap();
    let error = Options::new(1 << 20).huge_pages(odd).create(Key::PRIVATE).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(Errno::INVAL)));
    assert!(error.advice().unwrap().contains("/sys/kernel/mm/hugepages"), "{error}");
    // More than any machine has set aside.
    let error = Options::new(1 << 50).huge_pages(HugePages::DEFAULT).create(Key::PRIVATE).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::LimitReached, Some(Errno::NOMEM)));
    assert_eq!(error.limit().unwrap().name, "vm.nr_hugepages");
}

#[test]
fn the_guard_removes_its_own_segment_only() {
    let _test = test!();
    let key = key();
    let guard = Segment::create(key, 1, Mode::OWNER).unwrap().remove_on_drop();
    guard.remove().unwrap();
    let other = Segment::create(key, 1, Mode::OWNER).unwrap().remove_on_drop();
    drop(guard);
    assert_eq!(Segment::open(key).unwrap().id(), other.id());
    let kept = other.keep();
    kept.remove().unwrap();
    assert_eq!(kept.remove().unwrap_err().kind(), ErrorKind::Removed);
}

#[test]
fn a_segment_of_huge_pages() {
    let test = test!();
    if let Err(missing) = root() {
        return test.skip(&missing);
    }
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let of = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_end_matches(" kB").trim().parse::<usize>().ok()
    };
    if of("HugePages_Free:").is_none_or(|free| free == 0) {
        return test.skip(&Missing("a free huge page (sysctl vm.nr_hugepages)".into()));
    }
    let size = of("Hugepagesize:").unwrap() * 1024;
    for pages in [HugePages::DEFAULT, HugePages::of_size(size as u64).unwrap()] {
        let segment = Options::new(size - 1).huge_pages(pages).create(Key::PRIVATE).unwrap().remove_on_drop();
        let memory = segment.attach(Access::ReadWrite).unwrap();
        assert_eq!((memory.len(), memory.address() % size), (size - 1, 0));
        memory.write(size - 2, &[7]).unwrap();
        assert_eq!(memory.atomic_u8(size - 2).unwrap().load(Relaxed), 7);
    }
}
