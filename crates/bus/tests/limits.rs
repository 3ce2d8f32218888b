//! What a machine may lack, and what may stand in the way, for each kind of name: an error that says so, and nothing worse.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use twixt_address::BusName;
use twixt_bus::queue::{self, Consumer, Producer};
use twixt_bus::{
    Capacity, Kind, LatestReader, LatestWriter, Link, Listener, Options, Place, Publisher, Sample, Slow,
    Subscriber, SubscriberOptions, remove,
};
use twixt_os::{Errno, Error, ErrorKind, Result, Wait};
use twixt_testkit::{Peer, Test, descriptors, scratch, test};

#[path = "support/messages.rs"]
#[allow(dead_code, reason = "each test file uses some of it")]
mod messages;

use messages::{in_ms, kind, message, names, read};

const KINDS: [Kind; 4] = [Kind::Topic, Kind::Queue, Kind::Latest, Kind::Rpc];

fn name() -> BusName {
    BusName::new("all").unwrap()
}

fn place(directory: &Path) -> Place {
    Place::at(directory).unwrap()
}

fn directory(kind: Kind, at: &Path) -> PathBuf {
    place(at).directory(kind, &name())
}

/// A small name of a kind, made if it is not there.
fn options(kind: Kind, at: &Path) -> Options {
    sized(kind, at, 1 << 12)
}

/// One whose rings, or values, have so many bytes.
fn sized(kind: Kind, at: &Path, bytes: u64) -> Options {
    let options = Options::new().place(place(at)).create(true);
    match kind {
        Kind::Latest => options.message_size(bytes),
        _ => options.capacity(Capacity::Bounded(bytes)),
    }
}

/// Both ends of a name.
enum Ends {
    Topic(Box<Publisher>, Box<Subscriber>),
    Queue(Box<Producer>, Box<Consumer>),
    Latest(Box<LatestWriter>, Box<LatestReader>),
    /// Of a connection; and who has accepted it.
    Rpc(Box<Link>, Box<Link>, #[expect(dead_code, reason = "it goes with them")] Listener),
}

impl Ends {
    fn open(kind: Kind, options: &Options) -> Result<Self> {
        Ok(match kind {
            Kind::Topic => {
                let subscriber = Box::new(Subscriber::open(&name(), options)?);
                Self::Topic(Box::new(Publisher::open(&name(), options)?), subscriber)
            }
            Kind::Queue => {
                let producer = Box::new(Producer::open(&name(), options)?);
                Self::Queue(producer, Box::new(Consumer::open(&name(), options)?))
            }
            Kind::Latest => {
                let writer = Box::new(LatestWriter::open(&name(), options)?);
                Self::Latest(writer, Box::new(LatestReader::open(&name(), options)?))
            }
            Kind::Rpc => {
                let mut listener = Listener::open(&name(), options)?;
                let (client, server) = connect(&mut listener, options)?;
                Self::Rpc(client, server, listener)
            }
        })
    }

    /// Sends a message, which waits for whoever receives it.
    fn send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Topic(publisher, _) => publisher.publish(message),
            Self::Queue(producer, _) => producer.send(message),
            Self::Latest(writer, _) => writer.write(message).map(drop),
            Self::Rpc(client, ..) => client.send(message),
        }
    }

    /// Sends a message from one end to the other, and has it received.
    fn pass(&mut self, number: u64, len: usize) -> Result<()> {
        let bytes = message(1, number, len);
        let mut found = Vec::new();
        let wait = in_ms(3_000);
        match self {
            Self::Topic(publisher, subscriber) => {
                publisher.publish_wait(&bytes, wait)?;
                found = subscriber.receive_wait(wait)?.to_vec()?;
            }
            Self::Queue(producer, consumer) => {
                producer.send_wait(&bytes, wait)?;
                assert_eq!(consumer.take(&mut found, wait)?, 1);
            }
            Self::Latest(writer, reader) => {
                let version = writer.write(&bytes)?;
                assert_eq!(reader.read(&mut found)?, Some(version));
            }
            Self::Rpc(client, server, _) => {
                client.send_wait(&bytes, wait)?;
                let called = server.receive_wait(wait)?.to_vec()?;
                server.send_wait(&called, wait)?;
                found = client.receive_wait(wait)?.to_vec()?;
            }
        }
        assert_eq!(read(&found), (1, number));
        Ok(())
    }
}

/// A connection, or why there is none.
fn connect(listener: &mut Listener, options: &Options) -> Result<(Box<Link>, Box<Link>)> {
    let wanted = options.clone();
    let client = thread::spawn(move || Link::connect(&name(), &wanted));
    let server = loop {
        match listener.accept_wait(in_ms(20)) {
            Err(error) if error.kind() == ErrorKind::TimedOut && !client.is_finished() => {}
            accepted => break accepted,
        }
    };
    let client = client.join().unwrap()?;
    Ok((Box::new(client), Box::new(server?)))
}

/// In a process where no other test forks, whose children would hold its locks for a moment: what has just been left could not be
/// taken again.
fn alone(test: &Test, play: impl FnOnce()) {
    test.role("alone", |_| play());
    test.child("alone").spawn().succeed();
}

fn kind_of(peer: &Peer) -> Kind {
    KINDS[peer.arg(1).parse::<usize>().unwrap()]
}

#[test]
fn a_full_file_system_is_an_error_and_those_who_are_there_go_on() {
    test!().in_namespaces(|_| {
        for kind in KINDS {
            let scratch = scratch();
            let at = scratch.path();
            let _unmount = mounted(at, "256k");
            // Too large at once.
            let large = Ends::open(kind, &sized(kind, at, 1 << 20));
            // A latest value takes memory when it is written.
            let error = match large {
                Ok(mut ends) => (0..).find_map(|number| ends.pass(number, 1 << 17).err()).unwrap(),
                Err(error) => error,
            };
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{kind:?}: {error}");
            drop(error);
            remove(kind, &name(), Some(&place(at))).unwrap();
            assert_eq!(names(at), Vec::<String>::new(), "{kind:?}");
            // And with something else that takes all that is left.
            let mut ends = Ends::open(kind, &options(kind, at)).unwrap();
            ends.pass(0, 1000).unwrap();
            if kind == Kind::Latest {
                // All its buffers.
                (0..8).for_each(|number| ends.pass(number, 1000).unwrap());
            }
            fill_up(at);
            let before = names(&directory(kind, at));
            let error = match kind {
                Kind::Topic => Subscriber::open(&name(), &options(kind, at)).map(drop),
                Kind::Queue => Producer::open(&name(), &options(kind, at)).map(drop),
                Kind::Latest => LatestReader::open(&name(), &options(kind, at)).map(drop),
                Kind::Rpc => Link::connect(&name(), &options(kind, at)).map(drop),
            };
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{kind:?}: {error}");
            assert_eq!(names(&directory(kind, at)), before, "{kind:?}");
            for number in 0..200 {
                ends.pass(number, 1000).unwrap();
            }
        }
    });
}

/// A file system of its own that has room for so much, in namespaces of the test's own.
fn mounted(at: &Path, size: &str) -> impl Drop + use<> {
    let at = at.to_str().unwrap().to_owned();
    twixt_testkit::output("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", &at]);
    twixt_testkit::defer(move || {
        twixt_testkit::output("umount", &["--lazy", &at]);
    })
}

/// Takes all the room that is left there.
fn fill_up(at: &Path) {
    let rest = fs::File::create(at.join("rest")).unwrap();
    while std::io::Write::write(&mut &rest, &[1; 4096]).is_ok() {}
}

/// Whoever makes a ring writes into it at once, and reserves memory only for a message.
#[test]
fn an_unbounded_ring_is_joined_and_left_where_there_is_no_room_for_a_message() {
    test!().in_namespaces(|_| {
        for kind in [Kind::Topic, Kind::Queue] {
            let scratch = scratch();
            let at = scratch.path();
            let _unmount = mounted(at, "3m");
            let options = sized(kind, at, 1 << 12).capacity(Capacity::Unbounded(4 << 20));
            // The name, so that it is the ring's file for which there is just room or just not.
            match kind {
                Kind::Topic => drop(Subscriber::open(&name(), &options).unwrap()),
                _ => drop(Consumer::open(&name(), &options).unwrap()),
            }
            for pages in 0..8 {
                fill_up(at);
                let rest = fs::OpenOptions::new().write(true).open(at.join("rest")).unwrap();
                rest.set_len(rest.metadata().unwrap().len().next_multiple_of(4096) - pages * 4096).unwrap();
                let error = match kind {
                    Kind::Topic => Publisher::open(&name(), &options).err(),
                    _ => Producer::open(&name(), &options).err(),
                };
                assert!(error.is_none_or(|error| error.kind() == ErrorKind::NoSpace), "{kind:?}: {pages}");
            }
            fs::remove_file(at.join("rest")).unwrap();
            let mut ends = Ends::open(kind, &options).unwrap();
            fill_up(at);
            let lacks = |error: Error| assert_eq!(error.kind(), ErrorKind::NoSpace, "{kind:?}: {error}");
            lacks(ends.pass(0, 1000).unwrap_err());
            // Whoever takes the place over writes there, too.
            drop(ends);
            let mut ends = Ends::open(kind, &options).unwrap();
            lacks(ends.pass(1, 1000).unwrap_err());
            fs::remove_file(at.join("rest")).unwrap();
            (2..300).for_each(|number| ends.pass(number, 1000).unwrap());
            fill_up(at);
            // In what it has, and gives back, it goes on for as long as one likes; but nothing more may wait than that.
            (300..1500).for_each(|number| ends.pass(number, 1000).unwrap());
            let full = |ends: &mut Ends| (0..).find_map(|number| ends.send(&message(2, number, 1000)).err());
            lacks(full(&mut ends).unwrap());
            // What was given back was claimed once.
            drop(ends);
            lacks(full(&mut Ends::open(kind, &options).unwrap()).unwrap());
        }
    });
}

fn limit(resource: Resource, current: u64) {
    let maximum = getrlimit(resource).maximum;
    setrlimit(resource, Rlimit { current: Some(current), maximum }).unwrap();
}

#[test]
fn without_descriptors_nobody_joins_and_those_who_are_there_go_on() {
    let test = test!();
    test.role("starves", |peer| {
        let (kind, options) = (kind_of(peer), options(kind_of(peer), Path::new(&peer.arg(0))));
        let mut ends = Ends::open(kind, &options).unwrap();
        for number in 0..10 {
            ends.pass(number, 100).unwrap();
        }
        for left in 0..12 {
            let open = descriptors() as u64;
            limit(Resource::Nofile, open + left);
            let joined: Result<()> = match kind {
                Kind::Topic => Subscriber::open(&name(), &options).map(drop),
                Kind::Queue => Consumer::open(&name(), &options).map(drop),
                Kind::Latest => LatestReader::open(&name(), &options).map(drop),
                // It would have to be accepted.
                Kind::Rpc => Link::connect_wait(&name(), &options, in_ms(20)).map(drop),
            };
            if let Err(error) = joined
                && error.kind() != ErrorKind::TimedOut
            {
                assert_eq!(error.errno(), Some(Errno::MFILE), "{kind:?} with {left}: {error}");
            } else {
                assert!(left > 0, "{kind:?} joins without a descriptor");
            }
            limit(Resource::Nofile, 256);
            for number in 0..10 {
                ends.pass(number, 100).unwrap();
            }
            assert!(
                descriptors() as u64 <= open + 8,
                "{kind:?} with {left}: {} open, {open} before",
                descriptors()
            );
        }
    });
    for (index, kind) in KINDS.into_iter().enumerate() {
        let scratch = scratch();
        drop(Ends::open(kind, &options(kind, scratch.path())).unwrap());
        test.child("starves").arg(scratch.path().display()).arg(index).spawn().succeed();
    }
}

#[test]
fn nothing_is_locked_in_memory() {
    let test = test!();
    test.role("unlocked", |peer| {
        limit(Resource::Memlock, 0);
        let kind = kind_of(peer);
        let mut ends = Ends::open(kind, &options(kind, Path::new(&peer.arg(0)))).unwrap();
        for number in 0..100 {
            ends.pass(number, 100).unwrap();
        }
    });
    for index in 0..KINDS.len() {
        let scratch = scratch();
        // It is root that may lock what it likes.
        let child = test.child("unlocked").arg(scratch.path().display()).arg(index);
        let child = if twixt_testkit::root().is_ok() {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
            child.as_nobody()
        } else {
            child
        };
        child.spawn().succeed();
    }
}

/// Writes a word of a file.
fn spoil(path: &Path, word: u64, value: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&value.to_le_bytes(), 8 * word).unwrap();
}

fn refused(outcome: Result<Ends>) -> Error {
    match outcome {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

#[test]
fn another_version_or_layout_is_refused() {
    alone(&test!(), site_versions);
}

fn site_versions() {
    for kind in KINDS {
        let scratch = scratch();
        let options = options(kind, scratch.path());
        drop(Ends::open(kind, &options).unwrap());
        let directory = directory(kind, scratch.path());
        let site = directory.join("site");
        let whole = fs::read(&site).unwrap();
        // Version 2 of a site.
        spoil(&site, 1, 1 << 32 | 2);
        let error = refused(Ends::open(kind, &options));
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{kind:?}: {error}");
        assert!(error.to_string().contains("version 2"), "{error}");
        fs::write(&site, &whole).unwrap();
        // Magic, length, lines of a ring, kind, capacity: each as none of ours would write it.
        for (word, value) in [(0, 1), (1, 99 << 32 | 1), (2, 1), (4, 3), (16, 99), (17, 0)] {
            spoil(&site, word, value);
            let error = refused(Ends::open(kind, &options));
            assert_eq!(error.kind(), ErrorKind::Malformed, "{kind:?} {word}: {error}");
            fs::write(&site, &whole).unwrap();
        }
        // One kind is no other, whatever its directory is called.
        for other in KINDS {
            if other != kind {
                let moved = place(scratch.path()).directory(other, &name());
                fs::rename(&directory, &moved).unwrap();
                let error = refused(Ends::open(other, &self::options(other, scratch.path())));
                assert_eq!(error.kind(), ErrorKind::Malformed, "{kind:?} as {other:?}: {error}");
                fs::rename(&moved, &directory).unwrap();
            }
        }
        Ends::open(kind, &options).unwrap().pass(0, 100).unwrap();
    }
}

/// One whose place cannot be had, or that is in nobody's way.
#[test]
fn a_participant_of_another_version_or_layout_is_refused_or_passed_over() {
    alone(&test!(), participant_versions);
}

fn participant_versions() {
    // Another version, another kind of file, another length, another site.
    for (word, value) in [(1, 2), (1, 99), (2, 64), (3, 77)] {
        for kind in KINDS {
            for index in 0..4 {
                let scratch = scratch();
                let options = options(kind, scratch.path());
                drop(Ends::open(kind, &options).unwrap());
                let directory = directory(kind, scratch.path());
                let mut files = names(&directory);
                files.retain(|file| file != "site");
                let listener = (kind == Kind::Rpc).then(|| {
                    // It does not stay when it goes.
                    fs::copy(directory.join("site"), directory.join("l0")).unwrap();
                    "l0".to_owned()
                });
                let Some(file) = listener.as_ref().or(files.get(index)) else { continue };
                let path = directory.join(file);
                let what = u64::from_le_bytes(fs::read(&path).unwrap()[8..16].try_into().unwrap());
                let value = match (word, value) {
                    (1, 99) => what & 0xffff_ffff | 99 << 32,
                    (1, version) => what >> 32 << 32 | version,
                    _ => value,
                };
                spoil(&path, word, value);
                match Ends::open(kind, &options) {
                    Ok(mut ends) => ends.pass(1, 100).unwrap(),
                    Err(error) => {
                        let is_version = error.kind() == ErrorKind::Unsupported;
                        assert!(word == 1 && is_version, "{kind:?} {file} {word}: {error}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_half_made_holds_nobody_up() {
    alone(&test!(), half_made);
}

fn half_made() {
    for kind in KINDS {
        let files: &[&str] = match kind {
            Kind::Topic => &["p0", "s0"],
            Kind::Queue => &["p0", "l0", "c0"],
            Kind::Latest => &["w0", "r0"],
            Kind::Rpc => &["l0", "k7"],
        };
        for file in files {
            for len in [0, 100, 4096, 1 << 13, 1 << 16] {
                let scratch = scratch();
                let options = options(kind, scratch.path());
                drop(Ends::open(kind, &options).unwrap());
                let path = directory(kind, scratch.path()).join(file);
                fs::write(&path, vec![0; len]).unwrap();
                let mut ends = Ends::open(kind, &options)
                    .unwrap_or_else(|error| panic!("{kind:?} {file} of {len}: {error}"));
                for number in 0..50 {
                    ends.pass(number, 100)
                        .unwrap_or_else(|error| panic!("{kind:?} {file} of {len}, {number}: {error}"));
                }
            }
        }
        // A name without a site, which nobody of ours leaves.
        let scratch = scratch();
        let empty = directory(kind, scratch.path());
        fs::create_dir(&empty).unwrap();
        let error = refused(Ends::open(kind, &options(kind, scratch.path())));
        assert!(
            matches!(error.kind(), ErrorKind::Malformed | ErrorKind::Busy | ErrorKind::NotFound),
            "{error}"
        );
        remove(kind, &name(), Some(&place(scratch.path()))).unwrap();
        Ends::open(kind, &options(kind, scratch.path())).unwrap().pass(0, 100).unwrap();
    }
}

/// A thousand times two participants, one after the other. Those of topics are in `topic_membership`.
fn come_and_go(test: &Test, kind: Kind, left: &[&str]) {
    // In a process where no other test forks, whose children would hold its locks for a moment.
    test.role("all", |peer| {
        let options = options(kind, Path::new(&peer.arg(0)));
        let mut before = 0;
        for round in 0..1000_u64 {
            Ends::open(kind, &options).unwrap().pass(round, 100).unwrap();
            if round == 10 {
                before = descriptors();
            }
        }
        assert!(descriptors() <= before + 8, "{} descriptors, and {before} before", descriptors());
    });
    let scratch = twixt_testkit::bus();
    test.child("all").arg(scratch.path().display()).spawn().succeed();
    assert_eq!(names(&directory(kind, scratch.path())), left, "{kind:?}");
}

#[test]
fn two_thousand_come_to_a_queue_and_go() {
    come_and_go(&test!(), Kind::Queue, &["c0", "l0", "p0", "site"]);
}

#[test]
fn two_thousand_come_to_a_latest_value_and_go() {
    come_and_go(&test!(), Kind::Latest, &["site", "w0"]);
}

#[test]
fn two_thousand_are_connected_and_go() {
    const AT_A_TIME: u64 = 20;
    let test = test!();
    test.role("all", |peer| {
        let options = options(Kind::Rpc, Path::new(&peer.arg(0)));
        let mut listener = Listener::open(&name(), &options).unwrap();
        let mut before = 0;
        for round in 0..1000 / AT_A_TIME {
            thread::scope(|scope| {
                let clients: Vec<_> = (0..AT_A_TIME)
                    .map(|number| {
                        let options = &options;
                        scope.spawn(move || {
                            let link = Link::connect(&name(), options).unwrap();
                            link.send(&message(1, number, 100)).unwrap();
                            link
                        })
                    })
                    .collect();
                let mut found: Vec<_> = (0..AT_A_TIME)
                    .map(|_| read(&listener.accept().unwrap().receive().unwrap().to_vec().unwrap()).1)
                    .collect();
                found.sort_unstable();
                assert!(found.into_iter().eq(0..AT_A_TIME));
                clients.into_iter().for_each(|client| drop(client.join().unwrap()));
            });
            if round == 2 {
                before = descriptors();
            }
        }
        assert!(descriptors() <= before + 8, "{} descriptors, and {before} before", descriptors());
        assert_eq!(names(&directory(Kind::Rpc, Path::new(&peer.arg(0)))), ["l0", "site"]);
    });
    let scratch = twixt_testkit::bus();
    test.child("all").arg(scratch.path().display()).spawn().succeed();
    assert_eq!(names(&directory(Kind::Rpc, scratch.path())), ["site"]);
}

/// The word of a ring's segment that says up to which position it is written.
const CLAIM: u64 = 552;

/// Positions of a queue go over the end of their 64 bits, and over those of a claim's lap and of the hint before that.
#[test]
fn a_queue_goes_on_where_its_positions_wrap() {
    alone(&test!(), wrap_around);
}

fn wrap_around() {
    for start in [u64::MAX - 20_000, (1 << 48) - 20_000, (64 << 32) - 20_000] {
        let scratch = scratch();
        let options = options(Kind::Queue, scratch.path());
        drop(Producer::open(&name(), &options).unwrap());
        let file = directory(Kind::Queue, scratch.path()).join("p0");
        // head and last of both checkpoints, claim, start, origin and met, and the tail: see the format.
        for word in [520, 521, 536, 537, CLAIM, 560, 564, 568, 640] {
            spoil(&file, word, start);
        }
        let producer = Producer::open(&name(), &options).unwrap();
        let consumers = [0, 1].map(|_| Consumer::open(&name(), &options).unwrap());
        let (mut found, mut next) = (Vec::new(), 0);
        for number in 0..40_000 {
            producer.send(&message(1, number, 40)).unwrap();
            if number % 5 < 3 {
                continue;
            }
            // Some wait all the time, and some are given back.
            while let Ok(job) = consumers[number as usize % 2].try_receive() {
                if job.deliveries() == 1 && number % 7 == 0 {
                    job.reject();
                    continue;
                }
                job.read_into(&mut found).unwrap();
                assert_eq!(read(&found), (1, next), "from {start}");
                next += 1;
                job.acknowledge().unwrap();
            }
        }
        assert_eq!(next, 40_000);
        let stat = queue::stat(&name(), &options).unwrap();
        assert_eq!((stat.waiting, stat.in_hand), (0, 0));
        let mut claim = [0; 8];
        fs::File::open(&file).unwrap().read_exact_at(&mut claim, 8 * CLAIM).unwrap();
        // It did begin there, and went over it.
        let far = u64::from_le_bytes(claim).wrapping_sub(start);
        assert!((40_000..200_000).contains(&far), "{far} lines from {start}");
    }
}

/// What is waited for, and for how long, is told by a clock that nobody can set: nothing in the bus asks for another.
#[test]
fn no_clock_is_asked_that_can_be_set() {
    fn look(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for clock in ["SystemTime", "UNIX_EPOCH", "Realtime", "REALTIME", "gettimeofday", "ClockId::Tai"]
            {
                if text.contains(clock) {
                    found.push(format!("{clock} in {}", path.display()));
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert_eq!(found, Vec::<String>::new());
}

/// Whoever waits with a deadline when nobody else is there has it kept, for each kind.
#[test]
fn a_deadline_is_kept_where_nobody_comes() {
    for kind in KINDS {
        let scratch = scratch();
        let options = options(kind, scratch.path());
        let begun = std::time::Instant::now();
        let outcome = match kind {
            Kind::Topic => {
                messages::kind(Subscriber::open(&name(), &options).unwrap().receive_wait(in_ms(60)))
            }
            Kind::Queue => messages::kind(Consumer::open(&name(), &options).unwrap().receive_wait(in_ms(60))),
            Kind::Latest => {
                messages::kind(LatestReader::open(&name(), &options).unwrap().wait_for_newer(None, in_ms(60)))
            }
            Kind::Rpc => messages::kind(Listener::open(&name(), &options).unwrap().accept_wait(in_ms(60))),
        };
        assert_eq!(outcome, ErrorKind::TimedOut, "{kind:?}");
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }
    // For one that is not there at all, nobody waits.
    let scratch = scratch();
    let absent = options(Kind::Queue, scratch.path()).create(false);
    assert_eq!(kind(Consumer::open(&name(), &absent)), ErrorKind::NotFound);
}

/// What was given back is not there: who looks for it where there is no room for more is told that it was missed.
#[test]
fn memory_that_was_given_back_is_missed_and_not_touched() {
    test!().in_namespaces(|_| {
        let scratch = scratch();
        let at = scratch.path();
        let _unmount = mounted(at, "3m");
        let options = sized(Kind::Topic, at, 1 << 12).capacity(Capacity::Unbounded(4 << 20));
        let how = SubscriberOptions::new().slow(Slow::DropOldest);
        let mut slow = Subscriber::open_with(&name(), &options, how).unwrap();
        let publisher = Publisher::open(&name(), &options).unwrap();
        for round in 0..8 {
            for number in 0..2000 {
                publisher.publish(&message(1, number, 1000)).unwrap();
            }
            fill_up(at);
            let (mut found, before) = (None, slow.missed());
            loop {
                match slow.receive_wait(Wait::never()).and_then(Sample::to_vec) {
                    Ok(bytes) => found = Some(read(&bytes).1),
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock, "{round}: {error}"),
                }
            }
            assert_eq!(found, Some(1999), "{round}");
            assert!(slow.missed() > before, "{round}");
            fs::remove_file(at.join("rest")).unwrap();
            // Long enough that it is looked again whether all is there.
            thread::sleep(Duration::from_millis(60));
        }
    });
}

/// Whoever is waited for does not look where there is no memory yet.
#[test]
fn nobody_looks_ahead_where_there_is_no_memory_yet() {
    test!().in_namespaces(|_| {
        for kind in [Kind::Topic, Kind::Queue] {
            let scratch = scratch();
            let at = scratch.path();
            let _unmount = mounted(at, "3m");
            let options = sized(kind, at, 1 << 12).capacity(Capacity::Unbounded(4 << 20));
            let mut ends = Ends::open(kind, &options).unwrap();
            // So many lines of 64 bytes are reserved at a time; each of these messages takes one.
            const CHUNK: u64 = 4096;
            let mut next = 0;
            let mut send = |ends: &mut Ends, messages: u64| {
                (next..next + messages).for_each(|number| ends.send(&message(1, number, 16)).unwrap());
                next += messages;
            };
            send(&mut ends, CHUNK - 20);
            fill_up(at);
            let mut expected = 0;
            let mut drain = |ends: &mut Ends| loop {
                let found = match ends {
                    Ends::Topic(_, subscriber) => subscriber.try_receive().and_then(Sample::to_vec),
                    Ends::Queue(_, consumer) => consumer.try_receive().and_then(|job| {
                        let bytes = job.to_vec()?;
                        job.acknowledge().map(|()| bytes)
                    }),
                    _ => unreachable!("these two have a ring without a bound"),
                };
                match found {
                    Ok(bytes) => assert_eq!(read(&bytes), (1, expected)),
                    Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock, "{kind:?}: {error}"),
                }
                expected += 1;
            };
            drain(&mut ends);
            // They come so soon that it takes them for a stream, and would let its publisher get ahead.
            for _ in 0..15 {
                send(&mut ends, 1);
                drain(&mut ends);
            }
            // Long enough that it is looked again whether all is there.
            thread::sleep(Duration::from_millis(60));
            send(&mut ends, 1);
            drain(&mut ends);
            assert_eq!(expected, CHUNK - 4);
        }
    });
}
