//! What a type's description says, and what it refuses.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use twixt_channel::typed::Schema;

fn text<T: DeserializeOwned>() -> String {
    Schema::of::<T>().unwrap().to_string()
}

fn refusal<T: DeserializeOwned>() -> String {
    Schema::of::<T>().unwrap_err().to_string()
}

#[test]
fn plain_types_are_described_by_their_parts() {
    assert_eq!(text::<u8>(), "u8");
    assert_eq!(text::<usize>(), "u64");
    assert_eq!(text::<(i8, f64, char)>(), "(i8, f64, char)");
    assert_eq!(text::<[u16; 3]>(), "[u16; 3]");
    assert_eq!(text::<(u16, u16, u16)>(), "[u16; 3]", "the bytes are the same");
    assert_eq!(text::<(String,)>(), "(string)");
    assert_eq!(text::<Vec<Option<String>>>(), "[string?]");
    assert_eq!(text::<BTreeMap<String, Vec<i128>>>(), "{string: [i128]}");
    assert_eq!(text::<HashMap<bool, ()>>(), "{bool: ()}");
    assert_eq!(text::<HashSet<u8>>(), "[u8]");
    assert_eq!(text::<Box<[f32]>>(), "[f32]");
    assert_eq!(text::<Duration>(), "Duration { secs: u64, nanos: u32 }");
    assert_eq!(text::<Result<u8, String>>(), "enum Result { Ok(u8), Err(string) }");
    assert_eq!(text::<NonZeroU16>(), "u16");
    assert_eq!(text::<IpAddr>(), "enum IpAddr { V4([u8; 4]), V6([u8; 16]) }");
    assert_eq!(text::<SocketAddr>(), "enum SocketAddr { V4(([u8; 4], u16)), V6(([u8; 16], u16)) }",);
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Renamed")]
struct Every {
    id: u64,
    #[serde(rename = "called")]
    name: String,
    #[serde(skip)]
    _local: u8,
    unit: Unit,
    newtype: Newtype,
    pair: Pair,
    state: State,
    nothing: PhantomData<String>,
}
#[derive(Serialize, Deserialize)]
struct Unit;
#[derive(Serialize, Deserialize)]
struct Newtype(u8);
#[derive(Serialize, Deserialize)]
struct Pair(u8, String);
#[derive(Serialize, Deserialize)]
enum State {
    Waiting,
    Running { pid: u32, since: Option<Duration> },
    Failed(Why),
    Moved(u8, Why),
}
#[derive(Serialize, Deserialize)]
enum Why {
    Signal(i32),
    Status(u8),
    #[serde(rename = "no such thing")]
    Unknown,
}

#[test]
fn derived_types_are_described_as_serde_sees_them() {
    assert_eq!(
        text::<Every>(),
        "Renamed { id: u64, called: string, unit: Unit, newtype: Newtype(u8), pair: Pair(u8, string), \
         state: enum State { Waiting, Running { pid: u32, since: Duration { secs: u64, nanos: u32 }? }, \
         Failed(enum Why { Signal(i32), Status(u8), \"no such thing\" }), \
         Moved(u8, enum Why { Signal(i32), Status(u8), \"no such thing\" }) }, nothing: PhantomData }",
    );
}

mod changed {
    use super::*;

    macro_rules! schema {
        ($($body:tt)*) => {{
            #[derive(Deserialize)]
            #[allow(dead_code)]
            $($body)*
            Schema::of::<T>().unwrap()
        }};
    }

    #[test]
    fn every_difference_that_matters_changes_the_hash() {
        let all = [
            schema!(
                struct T {
                    a: u8,
                    b: u8,
                }
            ),
            schema!(
                struct T {
                    b: u8,
                    a: u8,
                }
            ),
            schema!(
                struct T {
                    a: u8,
                    b: i8,
                }
            ),
            schema!(
                struct T {
                    a: u8,
                }
            ),
            schema!(
                struct T(u8, u8);
            ),
            schema!(
                struct T(u8);
            ),
            schema!(
                struct T;
            ),
            schema!(
                enum T {
                    A,
                    B,
                }
            ),
            schema!(
                enum T {
                    B,
                    A,
                }
            ),
            schema!(
                enum T {
                    A,
                    B(u8),
                }
            ),
            schema!(
                enum T {
                    A,
                    B { b: u8 },
                }
            ),
            schema!(
                struct T {
                    a: Option<u8>,
                }
            ),
            schema!(
                struct T {
                    a: Vec<u8>,
                }
            ),
            schema!(
                #[serde(rename = "U")]
                struct T {
                    a: u8,
                }
            ),
            Schema::of::<u8>().unwrap(),
            Schema::of::<Vec<u8>>().unwrap(),
        ];
        let hashes: HashSet<u64> = all.iter().map(Schema::hash).collect();
        assert_eq!(hashes.len(), all.len(), "{all:?}");
        assert_eq!(
            schema!(
                struct T {
                    a: u8,
                    b: u8,
                }
            ),
            all[0],
            "another place, the same parts"
        );
    }
}

#[test]
fn the_hash_is_fnv_1a_of_the_text() {
    assert_eq!(Schema::named("").hash(), 0xcbf2_9ce4_8422_2325);
    assert_eq!(Schema::named("a").hash(), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(Schema::of::<u64>().unwrap(), Schema::named("u64"));
}

#[derive(Serialize, Deserialize)]
struct Tree {
    value: u32,
    children: Vec<Tree>,
}
#[derive(Serialize, Deserialize)]
enum Expression {
    Add(Box<Expression>, Box<Expression>),
    Call { name: String, arguments: Vec<Expression> },
    Let(Box<Binding>),
    Number(i64),
}
#[derive(Serialize, Deserialize)]
struct Binding {
    name: String,
    value: Expression,
    next: Option<Box<Binding>>,
}
#[derive(Serialize, Deserialize)]
struct Chain(Option<Box<Chain>>);
#[derive(Serialize, Deserialize)]
struct Wrapped<T> {
    inner: T,
}

#[test]
fn types_that_contain_themselves_are_described_once() {
    assert_eq!(text::<Tree>(), "Tree { value: u32, children: [^Tree] }");
    assert_eq!(
        text::<Expression>(),
        "enum Expression { Add(^Expression, ^Expression), Call { name: string, arguments: [^Expression] }, \
         Let(Binding { name: string, value: ^Expression, next: ^Binding? }), Number(i64) }",
    );
    assert_eq!(text::<Chain>(), "Chain(^Chain?)");
    assert_eq!(text::<Wrapped<Wrapped<u8>>>(), "Wrapped { inner: Wrapped { inner: u8 } }", "no circle");
    assert_eq!(text::<BTreeMap<u8, Tree>>(), "{u8: Tree { value: u32, children: [^Tree] }}");
}

/// Only of one length.
#[derive(Debug)]
struct Sixteen;

impl<'de> Deserialize<'de> for Sixteen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Sixteen;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("sixteen bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Sixteen, E> {
                if bytes.len() == 16 { Ok(Sixteen) } else { Err(E::invalid_length(bytes.len(), &self)) }
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "(u8, u8)")]
struct Rising;

impl TryFrom<(u8, u8)> for Rising {
    type Error = &'static str;
    fn try_from((from, to): (u8, u8)) -> Result<Self, &'static str> {
        if from < to { Ok(Self) } else { Err("it falls") }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Never;

impl TryFrom<String> for Never {
    type Error = &'static str;
    fn try_from(_: String) -> Result<Self, &'static str> {
        Err("no text is right")
    }
}

#[test]
fn types_that_are_particular_about_values_get_others() {
    assert_eq!(text::<Sixteen>(), "bytes");
    assert_eq!(text::<(Sixteen, Vec<Rising>)>(), "(bytes, [[u8; 2]])");
    assert_eq!(text::<Never>(), "string", "no value of it is needed to see what it reads");
}

#[derive(Deserialize)]
#[serde(untagged)]
#[allow(dead_code)]
enum Untagged {
    Number(u8),
    Text(String),
}
#[derive(Deserialize)]
#[allow(dead_code)]
struct Flattened {
    #[serde(flatten)]
    rest: HashMap<String, u8>,
}
#[derive(Deserialize)]
enum Void {}
#[derive(Deserialize)]
struct Endless(Box<Endless>);

#[test]
fn what_cannot_be_described_is_refused_with_the_reason() {
    let never = refusal::<(Never, u8)>();
    assert!(never.ends_with("Never, u8) cannot be described: no text is right"), "{never}");
    assert!(refusal::<Untagged>().contains("describe themselves"), "{}", refusal::<Untagged>());
    assert!(refusal::<Flattened>().contains("Flattened cannot be described: "), "{}", refusal::<Flattened>());
    assert!(refusal::<Void>().contains("the enum Void has no alternatives"), "{}", refusal::<Void>());
    assert!(refusal::<Endless>().contains("without end"), "{}", refusal::<Endless>());
    assert!(refusal::<Vec<()>>().contains("take no bytes"), "{}", refusal::<Vec<()>>());
    assert!(refusal::<Vec<(Unit, [Unit; 2])>>().contains("take no bytes"));
    assert!(refusal::<Option<BTreeMap<(), Unit>>>().contains("take no bytes"));
    let _ = |endless: Endless| endless.0;
}

#[test]
fn a_description_of_any_length_has_a_hash_of_all_and_a_text_that_is_cut() {
    type Ten<T> = (T, u8, T, u8, T, u8, T, u8, T, u8);
    let long = Schema::of::<Ten<Ten<Ten<Ten<Option<String>>>>>>().unwrap();
    let other = Schema::of::<Ten<Ten<Ten<Ten<Option<char>>>>>>().unwrap();
    assert!(long.to_string().len() <= 4096 && long.to_string().ends_with('…'));
    assert_ne!(long, other);
    assert!(long.name().len() <= 64);
    assert!(refusal::<Ten<Ten<Ten<Ten<Ten<Ten<u8>>>>>>>().contains("parts"));
}
