//! Files by their names, for the mechanisms that live in the file system: opening what is a regular file and nothing
//! else, making files whole, and telling one file from another.

mod identity;
pub(crate) mod regular;
mod reserve;
mod unlink;
pub(crate) mod whole;

pub use unlink::UnlinkGuard;

pub(crate) use identity::Identity;
pub(crate) use reserve::{reserve, reserve_error};
pub(crate) use unlink::hold;

/// For the crates above that keep files of their own: files that have their name when they are whole, and the reasons why
/// they could not be made.
pub mod making {
    pub use super::reserve::{reserve, reserve_error};
    pub use super::whole::create;
}
