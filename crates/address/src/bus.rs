//! The names of topics, queues, latest values and services on the bus.

use core::fmt;

use crate::ValueError;
use crate::error::shown;

/// A name on the bus: parts of letters, digits, `.`, `_` and `-`, joined by `/`; at most 200 bytes; no part empty,
/// `.` or `..`, so that a name is always a path below the bus's directory and never out of it.
///
/// ```
/// use twixt_address::BusName;
/// assert_eq!(BusName::new("plant/line-2/speed")?.as_str(), "plant/line-2/speed");
/// assert!(BusName::new("../other").is_err());
/// # Ok::<(), twixt_address::ValueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusName(String);

impl BusName {
    /// The most bytes.
    pub const LONGEST: usize = 200;

    /// Checks a name.
    ///
    /// # Errors
    /// It is empty, too long, has a character that no name has, or a part that is empty, `.` or `..`.
    pub fn new(name: impl Into<String>) -> Result<Self, ValueError> {
        let name = name.into();
        match fault(&name) {
            None => Ok(Self(name)),
            Some(why) => {
                let longest = Self::LONGEST;
                let right = format!(
                    "a bus name has 1 to {longest} letters, digits, `.`, `_`, `-`, in parts joined by `/`"
                );
                Err(ValueError::new(why, right))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("name is missing".to_owned());
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if let Some(odd) = name.chars().find(|&c| !allowed(c)) {
        return Some(format!("name {} has the character {odd:?}", shown(name)));
    }
    if let Some(part) = name.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        let part = if part.is_empty() { "an empty part".to_owned() } else { format!("the part {part:?}") };
        return Some(format!("name {} has {part}", shown(name)));
    }
    (name.len() > BusName::LONGEST).then(|| format!("name has {} bytes", name.len()))
}

impl AsRef<str> for BusName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for BusName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
