//! Every IPC mechanism at work between real processes: checked to the byte, measured, and tidied away.
//!
//! A [`Demonstration`] is one row of the tour. It has a few *parties*, each of them a process of its own, and a
//! conductor in the calling process that starts them, hears their events and checks what they counted. The
//! parties are the calling program again, executed with a [`Cue`] as its argument; that program hands the cue to
//! [`play`].
//!
//! ```
//! let names: Vec<&str> = twixt_tour::demonstrations().iter().map(|one| one.name()).collect();
//! assert!(names.contains(&"fifo") && names.contains(&"sysv-msg"));
//! ```

#![forbid(unsafe_code)]

mod claim;
mod conversation;
mod demonstration;
mod demonstrations;
mod event;
mod failure;
mod names;
mod party;
mod process;
mod row;
mod run;
mod sides;
mod tour;

pub use demonstration::{Demonstration, Side};
pub use demonstrations::demonstrations;
pub use failure::Failure;
pub use names::Names;
pub use party::{Cue, PLAY, play};
pub use process::Program;
pub use row::{Row, Status};
pub use sides::play_side;
pub use tour::{Ended, Observer, Settings, tour};
