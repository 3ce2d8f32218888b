//! Writers and readers of a latest value that are killed at any instruction, and at any time.
//!
//! ```sh
//! cargo test -p twixt-bus --test latest_killed                            # some instructions of each section: seconds
//! cargo test --release -p twixt-bus --test latest_killed -- --ignored     # every one, where there are not too many: minutes
//! TWIXT_TEST_POINTS=500 cargo test -p twixt-bus --test latest_killed      # so many of each section
//! ```

use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use twixt_address::BusName;
use twixt_bus::{Kind, LatestReader, LatestWriter, Left, Options, Place, Presence, Version, remove};
use twixt_os::{ErrorKind, Wait};
use twixt_testkit::{Peer, TempDir, Test, bus, test};

#[path = "support/kills.rs"]
#[macro_use]
mod kills;
#[path = "support/messages.rs"]
mod messages;

use kills::{Told, alone, sweep};
use messages::{Dice, in_ms, kind, message, names, read};

fn name() -> BusName {
    BusName::new("position").unwrap()
}

fn options(directory: impl AsRef<Path>) -> Options {
    Options::new().place(Place::at(directory.as_ref()).unwrap()).create(true)
}

fn writer(peer: &Peer) -> LatestWriter {
    LatestWriter::open(&name(), &options(peer.arg(0))).unwrap()
}

fn reader(peer: &Peer) -> LatestReader {
    LatestReader::open(&name(), &options(peer.arg(0))).unwrap()
}

/// Writes the next value, which has the number of its version.
fn write(writer: &mut LatestWriter, len: usize) -> u64 {
    let number = writer.version().map_or(1, |version| version.number() + 1);
    assert_eq!(writer.write(&message(0, number, len)).unwrap().number(), number);
    number
}

/// Reads a whole value, which is that of its version.
fn check(reader: &mut LatestReader, bytes: &mut Vec<u8>) -> Option<Version> {
    let version = reader.read(bytes).unwrap();
    assert_eq!(version.map(Version::number), version.map(|_| read(bytes).1));
    version
}

/// Is killed in a section, or behind it.
fn section<T>(peer: &Peer, section: impl FnOnce() -> T) {
    peer.mark();
    let made = section();
    peer.mark();
    std::thread::sleep(Duration::from_secs(60));
    drop(made);
}

/// What the survivors of a writer see.
struct Observer {
    scratch: TempDir,
    reader: LatestReader,
    last: u64,
    told: Told,
}

impl Observer {
    fn new() -> Self {
        let scratch = bus();
        let reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
        Self { scratch, reader, last: 0, told: Told::default() }
    }

    /// A writer was killed: so many values it has written at least, and so many at the most.
    fn look(&mut self, least: u64, most: u64, how: Left) {
        let death = Instant::now();
        let mut bytes = Vec::new();
        let mut seen = self.reader.version().unwrap();
        loop {
            match self.reader.wait_for_newer(seen, in_ms(60_000)) {
                Ok(newer) => seen = Some(newer),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}"),
            }
        }
        self.told.of(death);
        assert_eq!(self.reader.writer().unwrap(), Presence::Gone(how));
        let version = check(&mut self.reader, &mut bytes).map_or(0, Version::number);
        let written = version - self.last;
        assert!((least..=most).contains(&written), "{written} values, not {least} to {most}");
        // It is told once.
        assert_eq!(kind(self.reader.wait_for_newer(seen, Wait::never())), ErrorKind::WouldBlock);
        // Who comes next goes on, and has all buffers.
        let mut next = LatestWriter::open(&name(), &options(self.scratch.path())).unwrap();
        for step in 1..20 {
            assert_eq!(write(&mut next, 100), version + step);
            assert_eq!(check(&mut self.reader, &mut bytes).unwrap().number(), version + step);
        }
        drop(next);
        let newest = self.reader.version().unwrap();
        assert_eq!(kind(self.reader.wait_for_newer(newest, in_ms(60_000))), ErrorKind::PeerGone);
        self.last = version + 19;
        drop(LatestReader::open(&name(), &options(self.scratch.path())).unwrap());
        assert_eq!(names(&self.scratch.path().join("latest.position")), ["r0", "site", "w0"]);
    }
}

fn kill_writer(test: &Test, points: u64, role: &str, look: impl Fn(&mut Observer, bool)) {
    let observer = RefCell::new(Observer::new());
    let child = || test.child(role).arg(observer.borrow().scratch.path().display());
    sweep(test, role, points, child, |is_over| look(&mut observer.borrow_mut(), is_over));
    println!("    {}", observer.borrow().told);
}

fn writing(test: &Test, points: u64) {
    fn play(peer: &Peer, len: usize) {
        let mut writer = writer(peer);
        write(&mut writer, 30);
        section(peer, || write(&mut writer, len));
    }
    test.role("small", |peer| play(peer, 40));
    test.role("medium", |peer| play(peer, 700));
    test.role("several", |peer| {
        let mut writer = writer(peer);
        // As many as go round all buffers.
        section(peer, || (0..9).map(|_| write(&mut writer, 60)).max());
    });
    for role in ["small", "medium"] {
        kill_writer(test, points, role, |it, is_over| it.look(if is_over { 2 } else { 1 }, 2, Left::Died));
    }
    kill_writer(test, points, "several", |it, is_over| it.look(if is_over { 9 } else { 0 }, 9, Left::Died));
}

/// Where the format has them: the request of a reader in its page, and how often readers have asked in the site.
const REQUEST: u64 = 64;
const ASKED: u64 = 4096 + 12;

/// A writer that finds out that a reader asks, looks for it, and keeps values for it.
fn granting(test: &Test, points: u64) {
    test.role("grants", |peer| {
        let (mut writer, _reader) = (writer(peer), reader(peer));
        write(&mut writer, 30);
        let directory = Path::new(&peer.arg(0)).join("latest.position");
        let open = |file: &str| {
            std::fs::OpenOptions::new().read(true).write(true).open(directory.join(file)).unwrap()
        };
        open("r1").write_all_at(&77_u64.to_le_bytes(), 8 * REQUEST).unwrap();
        let mut asked = [0; 4];
        open("site").read_exact_at(&mut asked, ASKED).unwrap();
        let asked = u32::from_le_bytes(asked).wrapping_add(1);
        open("site").write_all_at(&asked.to_le_bytes(), ASKED).unwrap();
        section(peer, || (0..3).map(|_| write(&mut writer, 60)).max());
        // What was granted was kept.
        let mut grant = [0; 8];
        open("w0").read_exact_at(&mut grant, 8 * (1024 + 1)).unwrap();
        assert_eq!(u64::from_le_bytes(grant) >> 8, 77);
    });
    kill_writer(test, points, "grants", |it, is_over| it.look(if is_over { 4 } else { 1 }, 4, Left::Died));
}

fn writers_coming_and_going(test: &Test, points: u64) {
    test.role("comes", |peer| {
        section(peer, || {
            let mut writer = writer(peer);
            write(&mut writer, 40);
            writer
        });
    });
    test.role("goes", |peer| {
        let mut writer = writer(peer);
        write(&mut writer, 40);
        section(peer, || drop(writer));
    });
    let observer = RefCell::new(Observer::new());
    let child = || test.child("comes").arg(observer.borrow().scratch.path().display());
    sweep(test, "comes", points, child, |is_over| {
        let it = &mut *observer.borrow_mut();
        if is_over {
            return it.look(1, 1, Left::Died);
        }
        // It may not have come at all; then nobody is told of its end.
        let mut next = LatestWriter::open(&name(), &options(it.scratch.path())).unwrap();
        let written = next.version().map_or(0, Version::number) - it.last;
        assert!(written <= 1);
        write(&mut next, 40);
        drop(next);
        it.look(written + 1, written + 1, Left::Closed);
    });
    kill_writer(test, points, "goes", |it, is_over| {
        let state = it.reader.writer().unwrap();
        assert!(!is_over || state == Presence::Gone(Left::Closed));
        let Presence::Gone(how) = state else { panic!("it is dead, and {state:?}") };
        it.look(1, 1, how);
    });
}

/// Readers that are killed while a writer writes as fast as it can: which overtakes them all the time, so that they ask.
fn readers(test: &Test, points: u64) {
    const ROLES: [&str; 4] = ["reads", "joins", "leaves", "arms"];
    test.role("reads", |peer| {
        let (mut reader, mut bytes) = (reader(peer), Vec::new());
        while reader.version().unwrap().is_none() {}
        section(peer, || check(&mut reader, &mut bytes));
    });
    test.role("joins", |peer| section(peer, || reader(peer)));
    test.role("leaves", |peer| {
        let reader = reader(peer);
        section(peer, || drop(reader));
    });
    test.role("arms", |peer| {
        let mut reader = reader(peer);
        section(peer, || reader.doorbell(None).map(drop));
    });
    for role in ROLES {
        let scratch = bus();
        let options = options(scratch.path());
        let (over, asked) = (AtomicBool::new(false), RefCell::new(0));
        let mut steady = LatestReader::open(&name(), &options).unwrap();
        std::thread::scope(|scope| {
            let storm = scope.spawn(|| {
                let mut writer = LatestWriter::open(&name(), &options).unwrap();
                while !over.load(Ordering::Relaxed) {
                    write(&mut writer, 200);
                    if role != "reads" {
                        std::thread::yield_now();
                    }
                }
                writer
            });
            let _stop = twixt_testkit::defer(|| over.store(true, Ordering::Relaxed));
            let (mut last, mut bytes, mut round) = (None, Vec::new(), 0_u64);
            let child = || test.child(role).arg(scratch.path().display());
            sweep(test, role, points, child, |_| {
                round += 1;
                let directory = scratch.path().join("latest.position");
                if let Ok(page) = std::fs::File::open(directory.join("r1")) {
                    let mut request = [0; 8];
                    page.read_exact_at(&mut request, 8 * REQUEST).unwrap();
                    // It has died while it asked.
                    *asked.borrow_mut() += request[0] & 1;
                }
                for _ in 0..20 {
                    let version = check(&mut steady, &mut bytes);
                    assert!(version >= last, "back in time");
                    last = steady.wait_for_newer(version, in_ms(60_000)).map(Some).unwrap();
                }
                if round.is_multiple_of(4) {
                    // Who comes next takes the place.
                    let mut next = LatestReader::open(&name(), &options).unwrap();
                    check(&mut next, &mut bytes);
                    drop(next);
                    assert_eq!(names(&directory), ["r0", "site", "w0"]);
                }
            });
            over.store(true, Ordering::Relaxed);
            let mut writer = storm.join().unwrap();
            let written = writer.written().0;
            println!("    {} of {round} died while they asked; {written} values", asked.borrow());
            drop(LatestReader::open(&name(), &options).unwrap());
            assert_eq!(writer.readers().unwrap(), 1);
        });
    }
}

/// The first one makes the state.
fn making(test: &Test, points: u64) {
    test.role("writer makes", |peer| section(peer, || writer(peer)));
    test.role("reader makes", |peer| section(peer, || reader(peer)));
    test.role("removes", |peer| {
        drop((writer(peer), reader(peer)));
        let place = Place::at(peer.arg(0)).unwrap();
        section(peer, || remove(Kind::Latest, &name(), Some(&place)).unwrap());
    });
    for role in ["writer makes", "reader makes", "removes"] {
        let scratch = bus();
        let (options, place) = (options(scratch.path()), Place::at(scratch.path()).unwrap());
        let child = || test.child(role).arg(scratch.path().display());
        sweep(test, role, points, child, |_| {
            let _ = remove(Kind::Latest, &name(), Some(&place));
            let mut writer = LatestWriter::open(&name(), &options).unwrap();
            let mut reader = LatestReader::open(&name(), &options).unwrap();
            write(&mut writer, 40);
            assert_eq!(check(&mut reader, &mut Vec::new()).unwrap().number(), 1);
            assert_eq!(names(&scratch.path().join("latest.position")), ["r0", "site", "w0"]);
            remove(Kind::Latest, &name(), Some(&place)).unwrap();
            assert_eq!(names(scratch.path()), Vec::<String>::new());
        });
    }
}

sweeps! {
    killed_while_writing, killed_while_writing_anywhere: writing, 10;
    killed_while_granting, killed_while_granting_anywhere: granting, 10;
    killed_while_coming_or_going, killed_while_coming_or_going_anywhere: writers_coming_and_going, 8;
    killed_while_reading, killed_while_reading_anywhere: readers, 8;
    killed_while_making_the_state, killed_while_making_the_state_anywhere: making, 6;
}

/// Writes as fast as it can, and says which versions were accepted in a file.
fn storm(peer: &Peer) {
    let mut writer = writer(peer);
    let said =
        std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(peer.arg(1)).unwrap();
    let mut dice = Dice(writer.version().map_or(0, Version::number) + 1);
    loop {
        let len = if dice.below(20) == 0 { 60_000 } else { dice.below(400) as usize };
        let number = write(&mut writer, len);
        said.write_all_at(&number.to_le_bytes(), 0).unwrap();
    }
}

/// Reads: until the writer has gone, or across all writers.
fn reads(peer: &Peer) {
    let (mut reader, mut bytes, mut last) = (reader(peer), Vec::new(), None);
    for count in 0_u64.. {
        let version = check(&mut reader, &mut bytes);
        assert!(version >= last, "back in time");
        last = version;
        if count == 0 {
            peer.say("reads");
        }
        if let Err(error) = reader.wait_for_newer(version, Wait::never())
            && error.kind() == ErrorKind::PeerGone
            && peer.arg(1) == "once"
        {
            return peer.say("the writer has gone");
        }
    }
}

/// Kills writers and readers at random while they do as much as they can.
fn at_random(test: &Test, kills: u64) {
    test.role("storm", storm);
    test.role("reads", reads);
    let scratch = bus();
    let said = scratch.path().join("said");
    std::fs::write(&said, [0; 8]).unwrap();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let mut dice = Dice(u64::from(std::process::id()) + 99);
    let reads = || test.child("reads").arg(scratch.path().display()).arg("ever").spawn();
    let (mut others, mut bytes, mut told) = (vec![reads(), reads()], Vec::new(), Told::default());
    let (mut last, mut seen, mut unsaid) = (None, 0_u64, 0);
    for _ in 0..kills {
        let child = test.child("storm").arg(scratch.path().display()).arg(said.display()).spawn();
        let (mut child, mut death) = (Some(child), None);
        let until = dice.below(300);
        let mut here = 0;
        loop {
            match reader.wait_for_newer(last, in_ms(60_000)) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
                    break;
                }
            }
            let version = check(&mut reader, &mut bytes);
            assert!(version > last, "back in time");
            last = version;
            here += 1;
            if here > until
                && let Some(child) = child.take()
            {
                child.kill();
                death = Some(Instant::now());
            }
        }
        told.of(death.unwrap());
        seen += here;
        let version = last.unwrap().number();
        let accepted = u64::from_le_bytes(std::fs::read(&said).unwrap().try_into().unwrap());
        assert!(version == accepted || version == accepted + 1, "{version} is there, {accepted} accepted");
        unsaid += u64::from(version > accepted);
        // The next one may be killed before it has said anything, too.
        std::fs::write(&said, version.to_le_bytes()).unwrap();
        assert_eq!(reader.writer().unwrap(), Presence::Gone(Left::Died));
        // One of the readers dies as well, anywhere.
        others.remove(dice.below(2) as usize).kill();
        others.push(reads());
    }
    let written = last.unwrap().number();
    println!(
        "{kills} writers and as many readers killed: {written} values, {seen} of them seen, {unsaid} not said; \
         none lost, none torn, never back in time; {told}"
    );
    drop(others);
    drop(LatestReader::open(&name(), &options(scratch.path())).unwrap());
    drop(reader);
    // Two places of those that have just died, at the most.
    assert!(names(&scratch.path().join("latest.position")).len() <= 4);
}

kills_at_random!(at_random);

/// Readers that sleep in the middle of reading: their grants may be taken from them meanwhile, and what they read then is whole.
#[test]
fn sleepers_do_no_harm_when_they_wake() {
    let _alone = alone();
    let test = test!();
    test.role("storm", storm);
    test.role("reads", reads);
    let scratch = bus();
    let mut reader = LatestReader::open(&name(), &options(scratch.path())).unwrap();
    let said = scratch.path().join("said");
    let writer = test.child("storm").arg(scratch.path().display()).arg(said.display()).spawn();
    let mut bytes = Vec::new();
    reader.wait_for_newer(None, in_ms(60_000)).unwrap();
    let mut others: Vec<_> =
        (0..10).map(|_| test.child("reads").arg(scratch.path().display()).arg("once").spawn()).collect();
    for (round, other) in others.iter_mut().enumerate() {
        other.expect("reads");
        std::thread::sleep(Duration::from_micros(round as u64 * 53));
        other.stop();
    }
    // Longer than anybody sleeps, and than the writer needs for all buffers.
    std::thread::sleep(Duration::from_millis(250));
    for _ in 0..100 {
        let version = check(&mut reader, &mut bytes);
        reader.wait_for_newer(version, in_ms(60_000)).unwrap();
    }
    for other in &others {
        other.signal(Signal::CONT);
    }
    for _ in 0..100 {
        let version = check(&mut reader, &mut bytes);
        reader.wait_for_newer(version, in_ms(60_000)).unwrap();
    }
    writer.kill();
    for mut other in others {
        other.expect("the writer has gone");
        other.succeed();
    }
}
