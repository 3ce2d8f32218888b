//! Commands as streams: run a program and read what it writes, write what it reads, or both. `popen(3)`.
//!
//! ```
//! use std::io::Read;
//! use twixt_os::popen::Command;
//!
//! let mut uname = Command::shell("uname -s").read()?;
//! let mut text = String::new();
//! uname.read_to_string(&mut text)?;
//! assert_eq!(text, "Linux\n");
//! assert!(uname.close()?.success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | C | here |
//! |---|---|
//! | `popen(line, "r")` | [`Command::shell(line).read()`](Command::read), an [`Output`] |
//! | `popen(line, "w")` | [`Command::shell(line).write()`](Command::write), an [`Input`] |
//! | both ways at once | [`Command::shell(line).duplex()`](Command::duplex), a [`Duplex`] |
//! | `pclose` | `close`, in all the forms of waiting |
//! | `system` | [`Command::shell(line).run()`](Command::run), a [`Job`] |
//! | no shell | [`Command::program("od").arg("-c")`](Command::program) |
//! | `a \| b \| c` without a shell | `Command::program("a") \| Command::program("b") \| ...`, a [`Pipeline`] |
//!
//! The streams are a [`pipe::Reader`](crate::pipe::Reader) and a [`pipe::Writer`](crate::pipe::Writer), with their
//! deadlines and all. No command inherits an end that is not its own, so the end of the data always arrives.
//!
//! # What becomes of the commands
//!
//! `close` closes the streams first, as `pclose` does, so that a command that still reads comes to the end of its
//! input, and one that still writes gets SIGPIPE; then it waits for all commands to end.
//!
//! *Dropped without a close*, the streams are closed too, but nothing waits: a command that has ended is reaped, one
//! that has not is left to finish its work. It is remembered, and reaped when it has ended by the next call into this
//! module that starts, closes or drops something (or by `init`, if this process ends first). So a drop never hangs,
//! never kills, and zombies do not pile up. With [`Command::kill_on_drop`] it is killed and reaped instead.

mod command;
mod duplex;
mod job;
mod pipeline;
mod process;
mod streams;

pub use command::Command;
pub use duplex::Duplex;
pub use job::Job;
pub use pipeline::Pipeline;
pub use streams::{Input, Output};
