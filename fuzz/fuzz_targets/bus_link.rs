//! Whatever a client makes of its request and its connection, a listener accepts it or does not, and both ends of a connection
//! end with messages no longer than the ring and errors.

#![no_main]

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use twixt_bus::{Capacity, Link, Listener};
use twixt_fuzz::{Bus, Word, quickly, tolerate};
use twixt_os::Wait;
use twixt_sys::ofd_lock;

/// Lines of each ring: few, so that any of them matters.
const LINES: u64 = 16;
const RING: u64 = 64 * LINES;

#[derive(Arbitrary, Debug)]
enum Step {
    /// By the client, or by the server.
    Send {
        client: bool,
        len: u16,
    },
    Receive {
        client: bool,
    },
    /// A word of one of the files of the connection: of its header, of what is behind that, or of a ring.
    Word {
        file: u8,
        part: u8,
        at: u8,
        word: Word,
    },
    Cut {
        file: u8,
        len: u16,
    },
    Remove {
        file: u8,
    },
    /// Another request, with a copy of the connection, as it is then; with or without one who lives.
    Request {
        lives: bool,
        at: u8,
        word: Word,
    },
    Accept,
    /// One end goes.
    Leave {
        client: bool,
    },
}

const FILES: [&str; 7] = [
    "topic.up/site",
    "topic.up/p0",
    "topic.up/s0",
    "topic.down/site",
    "topic.down/p0",
    "topic.down/s0",
    "../k7",
];

thread_local! {
    static BUS: RefCell<Bus> = RefCell::new(Bus::new("rpc"));
}

fuzz_target!(|steps: Vec<Step>| {
    BUS.with(|bus| play(&bus.borrow(), steps));
});

/// The directory of the only connection.
fn connection(bus: &Bus) -> String {
    let entries = std::fs::read_dir(bus.path("rpc.fuzz")).expect("it is there");
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let found = names.into_iter().find(|name| name.starts_with('c')).expect("a connection");
    format!("rpc.fuzz/{found}")
}

fn play(bus: &Bus, steps: Vec<Step>) {
    bus.clear();
    let options = bus.options().capacity(Capacity::Bounded(RING));
    let mut listener = Listener::open(&bus.name, &options).expect("a new name");
    let (name, wanted) = (bus.name.clone(), options.clone());
    let client = std::thread::spawn(move || Link::connect(&name, &wanted).expect("a listener"));
    let mut server = Some(listener.accept().expect("a client"));
    let mut client = Some(client.join().expect("a connection"));
    let directory = connection(bus);
    let file = |file: u8| format!("{directory}/{}", FILES[usize::from(file) % FILES.len()]);
    let (mut locked, mut accepted) = (Vec::new(), Vec::new());
    for step in steps {
        quickly(|| match step {
            Step::Send { client: by_client, len } => {
                if let Some(link) = if by_client { &client } else { &server } {
                    tolerate(link.send_wait(&vec![7; usize::from(len) % 600], Wait::never()));
                }
            }
            Step::Receive { client: by_client } => {
                let Some(link) = (if by_client { &mut client } else { &mut server }) else { return };
                let mut bytes = Vec::new();
                match link.receive_wait(Wait::never()) {
                    Ok(mut sample) => tolerate(sample.read_into(&mut bytes)),
                    Err(error) => tolerate::<()>(Err(error)),
                }
                assert!(bytes.len() <= RING as usize);
            }
            Step::Word { file: at_file, part, at, word } => {
                let at = match part % 3 {
                    0 => u64::from(at) % 24,
                    1 => 512 + u64::from(at) % 200,
                    _ => 1024 + u64::from(at) % (8 * LINES),
                };
                bus.spoil(&file(at_file), at, &word);
            }
            Step::Cut { file: at_file, len } => bus.cut(&file(at_file), u64::from(len) % 16384),
            Step::Remove { file: at_file } => _ = std::fs::remove_file(bus.path(&file(at_file))),
            Step::Request { lives, at, word } => {
                locked.extend(request(bus, &directory, lives));
                bus.spoil("rpc.fuzz/k7", u64::from(at) % 24, &word);
                // Somebody has come: bytes 4 to 8 of the site's hints.
                bus.spoil("rpc.fuzz/site", 512, &Word::Any(u64::from(at) << 32 | 1));
            }
            Step::Accept => match listener.try_accept() {
                Ok(link) => accepted.push(link),
                Err(error) => tolerate::<()>(Err(error)),
            },
            Step::Leave { client: by_client } => drop(if by_client { client.take() } else { server.take() }),
        });
    }
}

/// Makes request 7 by hand, from the listener's file, and its connection from the one that is there.
fn request(bus: &Bus, directory: &str, lives: bool) -> Option<File> {
    let _ = std::fs::remove_dir_all(bus.path("rpc.fuzz/c7"));
    copy(&bus.path(directory), &bus.path("rpc.fuzz/c7"));
    // Not accepted yet.
    let _ = std::fs::remove_file(bus.path("rpc.fuzz/c7/topic.down/p0"));
    let _ = std::fs::remove_file(bus.path("rpc.fuzz/k7"));
    std::fs::copy(bus.path("rpc.fuzz/l0"), bus.path("rpc.fuzz/k7")).ok()?;
    let file = bus.open("rpc.fuzz/k7")?;
    file.write_all_at(&(1_u64 | 10 << 32).to_ne_bytes(), 8).ok()?;
    file.write_all_at(&1_u64.to_ne_bytes(), 8 * 16).ok()?;
    if lives {
        ofd_lock::set(file.as_fd(), ofd_lock::Kind::Exclusive, 0, 0).ok()?;
    }
    Some(file)
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::create_dir(to);
    for entry in std::fs::read_dir(from).into_iter().flatten().flatten() {
        let to = to.join(entry.file_name());
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            copy(&entry.path(), &to);
        } else {
            let _ = std::fs::copy(entry.path(), to);
        }
    }
}
