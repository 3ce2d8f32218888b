//! A state of which only the newest value counts: one writer at a time, any number of readers, and nobody waits for anybody.
//!
//! ```text
//! word   512   current   8 bits buffer, 56 bits version of the newest value; 0 before the first   written for every value
//! word   513   bytes     how many bytes all values had                                            "
//! word   520   state     1 while a writer writes, 2 when it has said good-bye                     written when it begins and ends
//! word   521   epoch     which writer                                                             "
//! word  1024 + k         grant to reader k: 8 bits buffer, 56 bits the number of its request      written when it is asked for
//! word  2048 + b stride  buffer b
//!
//! buffer       word 0    tag       2 v while it holds the value of version v, 2 v + 1 while that is written
//!              word 1    length    in bytes
//!              word 2    payload   the first 48 bytes share a line with the tag
//! ```
//!
//! # Writing
//!
//! A value goes into a buffer that is neither the current one nor granted to a reader; they take turns. Its tag becomes odd,
//! before any other word of it is written; when all is there, even; and then `current` names it. A writer that is killed
//! anywhere has changed `current` or has not.
//!
//! # Reading
//!
//! A reader takes `current`, and from that buffer a copy, before and after which the tag must be that of the version. It fails
//! only if the writer has begun to write into this very buffer meanwhile, for which it must first have gone through all
//! others: [`BUFFERS`] − 1 values, less those granted, during one copy.
//!
//! # Why it never waits
//!
//! After a few failures the reader asks: it stores the number of a request in its own page, counts `asked` up, and has a heavy
//! fence executed. Then it tries once more, from loading `current` = (v, b) on. If that fails, too, the writer has begun to
//! overwrite b, so it has published some version w > v before. It published w after the reader's load, hence after the
//! reader's fence; and it looks at `asked` after it published, with a light fence in between. So it has seen the request, and
//! granted the buffer of w or of an earlier one at once: not to be written again before the reader withdraws. The odd tag that
//! failed the reader was stored later, with Release; so the reader sees the grant. From that buffer the copy succeeds.
//!
//! So a read ends after [`TRIES`] + 2 copies whatever the writer does, even if it is stopped or killed anywhere. What is granted
//! was current after the request was made, so that no reader goes back in time. Two things are excepted: more than
//! [`BUFFERS`] − 2 readers with different buffers at a time take the oldest grant away (a stopped reader's, mostly), and another
//! writer grants anew. Then the reader, which looks at the tag here too, begins again, [`ROUNDS`] times at the most.

mod asking;
#[cfg(all(test, twixt_loom))]
mod models;
mod reader;
mod state;
#[cfg(all(test, not(twixt_loom)))]
mod tests;
mod writer;

pub use reader::{LatestReader, Presence, Version};
pub use writer::LatestWriter;

pub(crate) use state::{control, number_of};

use crate::segment::HEADER;

/// The most readers at a time.
pub const MOST_READERS: usize = 1024;
/// How many buffers there are.
const BUFFERS: usize = 8;
/// How often a reader tries before it asks.
const TRIES: u32 = 3;
/// How often it asks.
const ROUNDS: u32 = 8;

/// Where the writer's segment has what.
pub(crate) mod segment {
    use super::{HEADER, MOST_READERS};

    pub(crate) const CONTROL: usize = HEADER;
    pub(super) const GRANTS: usize = 2 * HEADER;
    pub(super) const BUFFERS: usize = GRANTS + MOST_READERS;
}

/// The page of a reader.
///
/// ```text
/// word  64   request   odd while it asks for a buffer to be kept      written by the reader
/// word  72   reads                                                    "
/// word  73   retries   copies that were overwritten                   "
/// word  74   grants    reads that had to ask                          "
/// word  75   parks                                                    "
/// ```
pub(crate) mod page {
    pub(super) const REQUEST: usize = 64;
    pub(crate) const COUNTERS: usize = 72;
    pub(crate) const COUNTED: usize = 8;
    pub(crate) const READS: usize = 0;
    pub(super) const RETRIES: usize = 1;
    pub(super) const GRANTS: usize = 2;
    pub(crate) const PARKS: usize = 3;
}
