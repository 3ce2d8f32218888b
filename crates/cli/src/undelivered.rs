//! Messages that were taken and could not be delivered: none of them may be lost.
//!
//! They are saved in a file and not sent back. A queue would have them behind those that were sent after them, and of
//! the other mechanisms most have no way back at all.

use anyhow::anyhow;

use crate::base64::Base64;
use crate::exit::Exit;
use crate::keep::keep;

/// Messages that were taken and not delivered.
#[derive(Debug)]
pub struct Undelivered {
    /// Why not.
    pub error: String,
    /// The number of the first.
    pub first: u64,
    pub count: u64,
    /// How many bytes of the first were delivered all the same.
    pub written: usize,
    pub form: Form,
    pub bytes: Vec<u8>,
    /// How the program ends.
    pub exit: Exit,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The messages as they would have been printed.
    Printed,
    /// One message and nothing else.
    Bare,
    /// Of no particular message.
    Bytes,
}

impl Undelivered {
    /// Saves them, in a file with the command's name in its own, and says which they are and where.
    pub fn save(&self, command: &str) -> anyhow::Error {
        let (first, last) = (self.first, self.first + self.count.max(1) - 1);
        let (which, were, are) = match self.count {
            _ if self.form == Form::Bytes => (format!("{} bytes", self.bytes.len()), "were", "they are"),
            0 | 1 => (format!("message {first}"), "was", "it is"),
            _ => (format!("messages {first} to {last}"), "were", "they are"),
        };
        let form = match self.form {
            Form::Printed if self.count > 1 => " as they would have been printed",
            Form::Printed => " as it would have been printed",
            Form::Bare | Form::Bytes => "",
        };
        let part = match self.written {
            0 => String::new(),
            written => format!(" (of message {first} {written} bytes went out)"),
        };
        let error = &self.error;
        let what = format!("{which} {were} received and not delivered{part}: {error}");
        match keep(command, &self.bytes) {
            Ok(path) => anyhow!("{what}; {are} saved in {}{form}", path.display()),
            Err(failures) => {
                // Better on the terminal than nowhere.
                let bytes = Base64(&self.bytes);
                anyhow!("{what}; {are} saved nowhere, since {failures}; in base64 {are}{form}: {bytes}")
            }
        }
    }
}
