//! What two sides must agree on: the service's name, its methods, and what their types consist of.

use std::sync::OnceLock;

use serde::de::DeserializeOwned;

use super::error::Error;
use crate::typed::{Schema, Undescribable};

/// A service: its name and its methods. [`service!`](crate::service!) makes one.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    methods: &'static [Method],
    described: OnceLock<Described>,
}

/// A method of a service. [`service!`](crate::service!) makes them.
#[derive(Debug)]
pub struct Method {
    name: &'static str,
    id: u32,
    streams: bool,
    describe: fn() -> Types,
}

/// What the types of all methods consist of.
#[derive(Debug)]
struct Described {
    hash: u64,
    /// A line for each method, in the order of their names: what the hash is made of, to be read.
    signature: String,
    /// For each method, in the order of the methods.
    types: Vec<Types>,
    /// The first method of a type that cannot be described, and why not.
    unfit: Option<(&'static str, Undescribable)>,
}

/// What the types of a method consist of.
#[doc(hidden)]
#[derive(Debug)]
pub struct Types {
    arguments: Vec<Type>,
    /// Of a stream: an item.
    result: Type,
    /// What looks at the bytes before they are read.
    all_arguments: Result<Schema, Undescribable>,
}

/// What a type consists of.
#[doc(hidden)]
#[derive(Debug)]
pub struct Type {
    schema: Result<Schema, Undescribable>,
}

impl Service {
    /// A service of these methods.
    ///
    /// # Panics
    /// If the names of two methods have the same hash: when it is compiled, since services are constants.
    pub const fn new(name: &'static str, methods: &'static [Method]) -> Self {
        let mut i = 0;
        while i < methods.len() {
            let mut j = 0;
            while j < i {
                assert!(
                    methods[i].id != methods[j].id,
                    "two methods have one name, or names of one hash: rename one"
                );
                j += 1;
            }
            i += 1;
        }
        Self { name, methods, described: OnceLock::new() }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its methods.
    pub const fn methods(&self) -> &'static [Method] {
        self.methods
    }

    /// The hash of its name and of its methods' names and types, down to the numbers and texts that they consist of. Both
    /// sides compare it when a conversation begins.
    pub fn hash(&self) -> u64 {
        self.described().hash
    }

    /// The method with a number.
    pub(crate) fn method(&self, id: u32) -> Option<&'static Method> {
        self.methods.iter().find(|method| method.id == id)
    }

    /// A line for each method: what the hash is made of, to be read.
    pub(crate) fn signature(&self) -> &str {
        &self.described().signature
    }

    /// Refuses a service with a type that cannot be described: nobody could say what its bytes may do to who reads them.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.described().unfit {
            None => Ok(()),
            Some((method, why)) => Err(Error::Undescribable { method, why: why.to_string() }),
        }
    }

    /// Refuses arguments that are nested more deeply than reading them could bear.
    pub(crate) fn check_arguments(&self, method: &Method, bytes: &[u8]) -> Result<(), &'static str> {
        let schema = self.types(method).and_then(|types| types.all_arguments.as_ref().ok());
        schema.map_or(Ok(()), |schema| schema.check_nesting(bytes))
    }

    /// Refuses a result or an item that is nested more deeply than reading it could bear.
    pub(crate) fn check_result(&self, method: &Method, bytes: &[u8]) -> Result<(), &'static str> {
        let schema = self.types(method).and_then(|types| types.result.schema.as_ref().ok());
        schema.map_or(Ok(()), |schema| schema.check_nesting(bytes))
    }

    fn types(&self, method: &Method) -> Option<&Types> {
        let place = self.methods.iter().position(|other| other.id == method.id)?;
        self.described().types.get(place)
    }

    fn described(&self) -> &Described {
        self.described.get_or_init(|| {
            let types: Vec<Types> = self.methods.iter().map(|method| (method.describe)()).collect();
            let mut lines: Vec<String> =
                self.methods.iter().zip(&types).map(|(method, types)| method.line(types)).collect();
            lines.sort_unstable();
            let signature = lines.join("\n");
            let mut hashes: Vec<(u32, u64)> = self
                .methods
                .iter()
                .zip(&types)
                .map(|(method, types)| (method.id, method.hash(types)))
                .collect();
            hashes.sort_unstable();
            let hash = hashes.iter().fold(fnv(FNV_START, self.name.as_bytes()), |hash, (_, of_method)| {
                fnv(hash, &of_method.to_le_bytes())
            });
            let unfit = self
                .methods
                .iter()
                .zip(&types)
                .find_map(|(method, types)| Some((method.name, types.unfit()?.clone())));
            // 0 stands for "not to be compared".
            Described { hash: hash.max(1), signature, types, unfit }
        })
    }
}

impl Method {
    /// A method, and what its types consist of.
    #[doc(hidden)]
    pub const fn new(name: &'static str, streams: bool, describe: fn() -> Types) -> Self {
        Self { name, id: method_id(name), streams, describe }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its result is a stream.
    pub const fn streams(&self) -> bool {
        self.streams
    }

    /// The number by which calls name it: a hash of its name.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// As in the source, but with what the types consist of: `divide(i32, i32) -> i32?`.
    fn line(&self, types: &Types) -> String {
        let arguments: Vec<&str> = types.arguments.iter().map(Type::text).collect();
        let stream = if self.streams { "stream " } else { "" };
        format!("{}({}) -> {stream}{}", self.name, arguments.join(", "), types.result.text())
    }

    /// Of the whole of the types, also where they are too long to be written out.
    fn hash(&self, types: &Types) -> u64 {
        let hash = fnv(fnv(FNV_START, self.name.as_bytes()), if self.streams { b"=>" } else { b"->" });
        let parts = types.arguments.iter().chain([&types.result]);
        parts.fold(hash, |hash, part| fnv(hash, &part.hash().to_le_bytes()))
    }
}

impl Types {
    /// Of a method of arguments `A`, which is a tuple of them all.
    pub fn new<A: DeserializeOwned>(arguments: Vec<Type>, result: Type) -> Self {
        Self { arguments, result, all_arguments: Schema::of::<A>() }
    }

    /// Why one of them cannot be described.
    fn unfit(&self) -> Option<&Undescribable> {
        let each = self.arguments.iter().chain([&self.result]).map(|part| &part.schema);
        each.chain([&self.all_arguments]).find_map(|schema| schema.as_ref().err())
    }
}

impl Type {
    /// What `T` consists of.
    pub fn of<T: DeserializeOwned>() -> Self {
        Self { schema: Schema::of::<T>() }
    }

    /// What cannot be described has neither a text nor a hash: a service with such a type is not opened.
    fn text(&self) -> &str {
        self.schema.as_ref().map_or("?", Schema::text)
    }

    fn hash(&self) -> u64 {
        self.schema.as_ref().map_or(0, Schema::hash)
    }
}

/// The number of a method: the 64-bit FNV-1a hash of its name, folded.
pub const fn method_id(name: &str) -> u32 {
    let hash = fnv(FNV_START, name.as_bytes());
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
}

pub(crate) const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

pub(crate) const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
        i += 1;
    }
    hash
}

/// Says in what the other side's service differs.
pub(crate) fn difference(ours: &Service, their_signature: &str) -> String {
    let ours = ours.signature();
    let lacks =
        |a: &str, b: &str| a.lines().find(|&line| !b.lines().any(|other| other == line)).map(str::to_owned);
    match (lacks(ours, their_signature), lacks(their_signature, ours)) {
        (Some(ours), Some(theirs)) => format!("the client calls {ours}, the server has {theirs}"),
        (Some(ours), None) => format!("the client calls {ours}, which the server has not"),
        (None, Some(theirs)) => format!("the server has {theirs}, which the client does not know"),
        (None, None) => "their types are too long to say in what they differ".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const ADD: Method = Method::new("add", false, || {
        Types::new::<(i32, i32)>(vec![Type::of::<i32>(), Type::of::<i32>()], Type::of::<i32>())
    });
    const COUNT: Method =
        Method::new("count", true, || Types::new::<(u64,)>(vec![Type::of::<u64>()], Type::of::<u64>()));

    #[test]
    fn what_a_service_is_made_of_changes_its_hash() {
        let sums = Service::new("Sums", const { &[ADD, COUNT] });
        assert_eq!(
            sums.hash(),
            Service::new("Sums", const { &[COUNT, ADD] }).hash(),
            "the order is of no account"
        );
        const WIDE: Method = Method::new("add", false, || {
            Types::new::<(i64, i32)>(vec![Type::of::<i64>(), Type::of::<i32>()], Type::of::<i32>())
        });
        const PLAIN: Method =
            Method::new("count", false, || Types::new::<(u64,)>(vec![Type::of::<u64>()], Type::of::<u64>()));
        for other in [
            Service::new("Sum", const { &[ADD, COUNT] }),
            Service::new("Sums", const { &[ADD] }),
            Service::new("Sums", const { &[WIDE, COUNT] }),
            Service::new("Sums", const { &[ADD, PLAIN] }),
        ] {
            assert_ne!(sums.hash(), other.hash(), "{other:?}");
        }
    }

    #[test]
    fn types_are_looked_into() {
        #[derive(Deserialize)]
        #[allow(dead_code)]
        struct Job {
            id: u64,
        }
        let of = Type::of::<Option<Job>>();
        assert_eq!(of.text(), "Job { id: u64 }?");
    }

    #[test]
    fn a_type_that_cannot_be_described_spoils_its_service() {
        static NULL: Service = Service::new(
            "Null",
            const {
                &[
                    ADD,
                    Method::new("many", false, || {
                        Types::new::<(Vec<()>,)>(vec![Type::of::<Vec<()>>()], Type::of::<()>())
                    }),
                ]
            },
        );
        let error = NULL.check().unwrap_err();
        assert!(matches!(error, Error::Undescribable { method: "many", .. }), "{error}");
        assert!(error.to_string().contains("take no bytes"), "{error}");
        static SUMS: Service = Service::new("Sums", const { &[ADD, COUNT] });
        assert_eq!(SUMS.check(), Ok(()));
    }

    #[test]
    fn a_difference_is_said_in_words() {
        static OURS: Service = Service::new("Sums", const { &[COUNT, ADD] });
        assert_eq!(OURS.signature(), "add(i32, i32) -> i32\ncount(u64) -> stream u64");
        assert_eq!(
            difference(&OURS, "add(i64, i64) -> i64\ncount(u64) -> stream u64"),
            "the client calls add(i32, i32) -> i32, the server has add(i64, i64) -> i64",
        );
        assert_eq!(
            difference(&OURS, "add(i32, i32) -> i32"),
            "the client calls count(u64) -> stream u64, which the server has not"
        );
        assert_eq!(
            difference(&OURS, "add(i32, i32) -> i32\ncount(u64) -> stream u64\nreset() -> ()"),
            "the server has reset() -> (), which the client does not know",
        );
        assert_eq!(
            difference(&OURS, OURS.signature()),
            "their types are too long to say in what they differ"
        );
    }
}
