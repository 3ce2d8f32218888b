//! Words of a mapping, as many as lie in it.

use std::sync::atomic::Ordering::Relaxed;

use twixt_sys::{Access, Fault, Mapping};

#[test]
fn words_are_those_of_the_memory() {
    let memory = Mapping::anonymous(4096, Access::ReadWrite).unwrap();
    memory.write(16, &7u64.to_ne_bytes()).unwrap();
    let words = memory.words(8, 3).unwrap();
    assert_eq!(words.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>(), [0, 7, 0]);
    words[2].store(9, Relaxed);
    assert_eq!(memory.load_u64(24, Relaxed), Ok(9));
    assert_eq!(memory.words(0, 512).unwrap().len(), 512);
    assert_eq!(memory.words(4096, 0).unwrap().len(), 0);
}

#[test]
fn words_outside_are_refused() {
    let memory = Mapping::anonymous(4096, Access::ReadWrite).unwrap();
    for (offset, count) in [(0, 513), (8, 512), (4096, 1), (usize::MAX - 7, 1), (0, usize::MAX), (8, 1 << 61)]
    {
        assert_eq!(memory.words(offset, count).err(), Some(Fault::OutOfBounds), "{offset} {count}");
    }
    assert_eq!(memory.words(4, 1).err(), Some(Fault::Misaligned));
    let file = tempfile();
    let fixed = Mapping::shared(std::os::fd::AsFd::as_fd(&file), 0, 4096, Access::ReadOnly).unwrap();
    assert_eq!(fixed.words(0, 1).err(), Some(Fault::ReadOnly));
}

fn tempfile() -> std::os::fd::OwnedFd {
    let file = rustix::fs::memfd_create("words", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, 4096).unwrap();
    file
}
