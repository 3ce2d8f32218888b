//! The description of a type, by which two programs tell whether they mean the same.

use core::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::nesting;
use super::shape::Shapes;
use super::trace;

/// What a type consists of: the names of types, fields and alternatives, and their types, down to numbers and texts.
///
/// It is found by having the type read itself through `Deserialize`, so it needs no derive of its own, and it follows
/// what serde's attributes say (`rename`, `skip`, `with`, `try_from`), as the bytes do. Two types of the same
/// description can read each other's values; where they are defined, and what they mean, is not part of it.
///
/// ```
/// use serde::Deserialize;
/// use twixt_channel::typed::Schema;
///
/// #[derive(Deserialize)]
/// struct Job { id: u64, name: Option<String>, state: State }
/// #[derive(Deserialize)]
/// enum State { Waiting, Running { pid: u32 }, Failed(String) }
///
/// let schema = Schema::of::<Job>()?;
/// assert_eq!(
///     schema.to_string(),
///     "Job { id: u64, name: string?, state: enum State { Waiting, Running { pid: u32 }, Failed(string) } }",
/// );
/// assert_eq!(schema.name(), "Job");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Schema {
    name: String,
    text: String,
    hash: u64,
    /// For types that contain themselves: how to see in some bytes how deeply they are nested.
    nested: Option<Arc<Shapes>>,
}

/// The most bytes of a name, and of a text, that are kept and sent. The hash covers all of them.
pub(super) const MOST_NAME: usize = 64;
pub(super) const MOST_TEXT: usize = 4096;

impl Schema {
    /// Describes a type.
    ///
    /// The type is read several times from placeholders until each alternative has been seen.
    ///
    /// # Errors
    /// [`Undescribable`] if that cannot be done: the type refuses all placeholders (then see [`Schema::named`]), or can
    /// only be read from a self-describing format (untagged enums, flattened fields), or it has sequences whose elements
    /// take no bytes (`Vec<()>`), of which a few bytes could announce any number.
    pub fn of<T: DeserializeOwned>() -> Result<Self, Undescribable> {
        let refused = |why| Undescribable { type_name: core::any::type_name::<T>(), why };
        let shapes = trace::shapes::<T>().map_err(refused)?;
        if shapes.has_weightless_elements() {
            let why = "it has a sequence of elements that take no bytes, of which a few bytes could announce any number";
            return Err(refused(why.to_owned()));
        }
        let mut text = Summary::new();
        // A summary takes everything.
        let _ = shapes.write(&mut text);
        let name = match shapes.name() {
            Some(name) => cut(name, MOST_NAME),
            None => cut(&text.text, MOST_NAME),
        };
        let nested = shapes.is_recursive().then(|| Arc::new(shapes));
        Ok(Self { name, text: text.finish(), hash: text.hash, nested })
    }

    /// Describes a type by a name that you vouch for, where [`Schema::of`] cannot: both sides must give the same.
    ///
    /// Nothing is known of the bytes then: how deeply received values are nested is not looked at, so `T` must not contain
    /// itself, and no sequence in it may be of elements that take no bytes (`Vec<()>`), of which a few bytes could announce
    /// any number. Otherwise a stranger's message could end this process, or keep it busy for ever.
    pub fn named(name: &str) -> Self {
        let mut text = Summary::new();
        let _ = fmt::Write::write_str(&mut text, name);
        Self { name: cut(name, MOST_NAME), text: text.finish(), hash: text.hash, nested: None }
    }

    /// The name of the type, without its parts; of a type without a name, its text. At most 64 bytes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands for the whole description in the bytes: 64-bit FNV-1a of the text.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Refuses bytes that are nested more deeply than reading them could bear.
    pub(crate) fn check_nesting(&self, bytes: &[u8]) -> Result<(), &'static str> {
        match &self.nested {
            Some(shapes) => nesting::check(shapes, bytes),
            None => Ok(()),
        }
    }
}

/// The same hash, which is all that two programs compare.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for Schema {}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schema({self}, {:016x})", self.hash)
    }
}

/// A type that cannot be described, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undescribable {
    type_name: &'static str,
    why: String,
}

impl fmt::Display for Undescribable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the type {} cannot be described: {}", self.type_name, self.why)
    }
}

impl core::error::Error for Undescribable {}

/// Takes a text, hashes all of it and keeps its beginning.
struct Summary {
    text: String,
    hash: u64,
    cut: bool,
}

impl Summary {
    const fn new() -> Self {
        Self { text: String::new(), hash: 0xcbf2_9ce4_8422_2325, cut: false }
    }

    fn finish(&mut self) -> String {
        if self.cut { cut(&self.text, MOST_TEXT - '…'.len_utf8()) + "…" } else { self.text.clone() }
    }
}

impl fmt::Write for Summary {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.text.len() + text.len() <= MOST_TEXT {
            self.text.push_str(text);
        } else {
            let room = MOST_TEXT - self.text.len();
            self.text.push_str(&cut(text, room));
            self.cut = true;
        }
        Ok(())
    }
}

/// As much of a text as fits so many bytes.
pub(super) fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
