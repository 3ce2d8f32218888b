//! What the tests of rings share.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use twixt_address::Address;
use twixt_os::mmap::MappedFile;
use twixt_os::sysv::shm::{Access, Segment};
use twixt_os::sysv::{Key, sem::Set};
use twixt_testkit::{Defer, defer, unique_key, unique_name};

/// Something that rings lie in, under a name of the test's own that goes with it.
pub struct Place {
    pub scheme: &'static str,
    base: String,
    file: Option<PathBuf>,
    _gone: Defer<Box<dyn FnOnce()>>,
}

impl Place {
    pub fn posix_shm() -> Self {
        let name = unique_name();
        let file = PathBuf::from(format!("/dev/shm/{name}"));
        Self::of_file("posix-shm", format!("posix-shm:/{name}"), file)
    }

    pub fn mmap() -> Self {
        let file = std::env::temp_dir().join(unique_name());
        Self::of_file("mmap", format!("mmap:{}", file.display()), file)
    }

    pub fn sysv_shm() -> Self {
        let key = unique_key();
        let _gone = defer(Box::new(move || remove_key(key)) as Box<dyn FnOnce()>);
        Self { scheme: "sysv-shm", base: format!("sysv-shm:{key:#x}"), file: None, _gone }
    }

    fn of_file(scheme: &'static str, base: String, file: PathBuf) -> Self {
        let gone = file.clone();
        let _gone = defer(Box::new(move || _ = std::fs::remove_file(gone)) as Box<dyn FnOnce()>);
        Self { scheme, base, file: Some(file), _gone }
    }

    /// All that rings can lie in.
    pub fn all() -> Vec<Self> {
        vec![Self::posix_shm(), Self::mmap(), Self::sysv_shm()]
    }

    /// The address as a text, with these options (`?create`).
    pub fn text(&self, options: &str) -> String {
        format!("{}{options}", self.base)
    }

    pub fn address(&self, options: &str) -> Address {
        self.text(options).parse().expect("a well-formed address")
    }

    /// Waits until a receiver counts as asleep. (The threads of the test harness sleep in the same system calls.)
    pub fn wait_for_sleeping_receiver(&self) {
        self.wait_for_word(256 + 32, |count| count > 0);
    }

    /// Waits until a sender counts as asleep.
    pub fn wait_for_sleeping_sender(&self) {
        self.wait_for_word(256 + 40, |count| count > 0);
    }

    /// Waits until a message is offered, with capacity zero.
    pub fn wait_for_offer(&self) {
        self.wait_for_word(256 + 48, |offer| offer & 3 == 1);
    }

    /// Waits until a word of the object is as it should be.
    fn wait_for_word(&self, at: usize, is_so: impl Fn(u64) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !is_so(self.word(at)) {
            assert!(Instant::now() < end, "the word at {at} stayed {}", self.word(at));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A word of the object.
    pub fn word(&self, at: usize) -> u64 {
        match &self.file {
            Some(file) => {
                MappedFile::open_read_only(file).and_then(|file| file.load_u64(at, Ordering::Acquire))
            }
            None => Segment::open(self.key())
                .and_then(|segment| segment.attach(Access::ReadOnly)?.load_u64(at, Ordering::Acquire)),
        }
        .expect("an object that is there")
    }

    /// The key of a System V ring.
    pub fn key(&self) -> Key {
        self.base.trim_start_matches("sysv-shm:").parse().expect("a key")
    }

    /// The file behind it, if there is one.
    pub fn file(&self) -> Option<&std::path::Path> {
        self.file.as_deref()
    }
}

fn remove_key(key: i32) {
    let key = Key::new(key).expect("not the private key");
    let _ = Segment::open(key).and_then(|segment| segment.remove());
    let _ = Set::open(key).and_then(|set| set.remove());
}
