//! How fast the kernel copies into a buffer, by where that begins in its page.
//!
//! `cargo bench -p twixt-os --bench buffer_place`
//!
//! Bytes go through a pipe, whose pages the kernel fills from their beginning, and are read into a buffer that begins so many
//! bytes behind a page's. Best of many turns: what the processor can do, not what the machine did meanwhile.

use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;
use twixt_os::pipe::{Reader, Writer};
use twixt_os::{Room, pipe};

const PAGE: usize = 4096;
/// Where the allocator puts what is long, and around it.
const PLACES: [usize; 11] = [0, 1, 8, 16, 31, 32, 64, 1024, 4032, 4064, 4080];
const SIZES: [usize; 4] = [64, 1 << 10, 4 << 10, 64 << 10];
const TURNS: usize = 400;

fn main() {
    let (reader, writer) = pipe::create().unwrap();
    let _ = fcntl_setpipe_size(&writer, 1 << 20);
    let sent = Room::with_len(SIZES[3]);
    let mut room = Room::with_len(SIZES[3] + 2 * PAGE);
    let page = room.as_ptr().align_offset(PAGE);
    println!("a read from a pipe into a buffer, ns, best of {TURNS}\n");
    print!("{:<20}", "begins in its page at");
    for size in SIZES {
        print!(" {size:>8} B");
    }
    println!();
    for place in PLACES {
        print!("{place:<20} ");
        for size in SIZES {
            let buffer = &mut room[page + place..][..size];
            let best = (0..TURNS).map(|_| read(&writer, &reader, &sent[..size], buffer)).min();
            print!(" {:>10}", best.unwrap_or_default().as_nanos());
        }
        println!();
    }
}

/// How long it takes to read what was written just now.
fn read(writer: &Writer, reader: &Reader, sent: &[u8], buffer: &mut [u8]) -> Duration {
    writer.write_all(sent).unwrap();
    let start = Instant::now();
    let mut count = 0;
    while count < buffer.len() {
        count += reader.read(&mut buffer[count..]).unwrap();
    }
    start.elapsed()
}
