//! Finds out what a type consists of by having it read itself from a stranger's hand.
//!
//! `Deserialize` tells the deserializer what it expects at every step. [`Tracer`] writes that down and hands out
//! placeholders. One pass sees one alternative of each enum, so there are as many passes as it takes to see them all. A
//! placeholder that a type refuses (a zero where it wants a one, a text that is no date) is replaced by another in the
//! next pass. Where a type contains itself, the pass takes the shortest way out: no element, no value, an alternative
//! that is known to end.

use core::any::type_name;
use core::fmt;

use serde::de::value::U32Deserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::shape::{Leaf, Place, Shape, Shapes, Variant};

/// Describes `T`, or says why that cannot be done.
pub(super) fn shapes<T: DeserializeOwned>() -> Result<Shapes, String> {
    let mut trace = Trace {
        shapes: Shapes(vec![Shape::Unknown]),
        tried: vec![0],
        ends: vec![None],
        above: Vec::new(),
        within_itself: 0,
        last_leaf: None,
        steps: 0,
    };
    while trace.shapes.is_incomplete(0) {
        trace.above.clear();
        trace.within_itself = 0;
        trace.last_leaf = None;
        if let Err(Refused { why, for_good }) = T::deserialize(Tracer { trace: &mut trace, place: 0 }) {
            let another = !for_good && trace.last_leaf.is_some_and(|leaf| trace.has_another(leaf));
            if !another {
                return Err(why);
            }
        }
        trace.step().map_err(|refused| refused.why)?;
    }
    Ok(trace.shapes)
}

/// What has been found out, and where the present pass stands.
struct Trace {
    shapes: Shapes,
    /// How many placeholders of each place have been refused.
    tried: Vec<usize>,
    /// The alternative of an enum that is known to come to an end.
    ends: Vec<Option<usize>>,
    /// The types being read, from the outermost to the innermost.
    above: Vec<(&'static str, Place)>,
    /// How many times the pass has met a type within itself.
    within_itself: usize,
    last_leaf: Option<Place>,
    steps: usize,
}

const MOST_STEPS: usize = 1_000_000;
const MOST_PLACES: usize = 20_000;
const MOST_DEPTH: usize = 100;

const NUMBERS: [u8; 4] = [1, 0, 2, 100];
const STRINGS: [&str; 10] = [
    "",
    "a",
    "1",
    "1.0.0",
    "2000-01-01T00:00:00Z",
    "2000-01-01",
    "00:00:00",
    "127.0.0.1",
    "http://a/",
    "00000000-0000-0000-0000-000000000001",
];
const BYTES: [usize; 6] = [0, 16, 32, 4, 12, 64];

impl Trace {
    fn step(&mut self) -> Result<(), Refused> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err(for_good("it has too many parts to try")) } else { Ok(()) }
    }

    fn add(&mut self) -> Result<Place, Refused> {
        if self.tried.len() >= MOST_PLACES {
            return Err(for_good(format!("it has more than {MOST_PLACES} parts")));
        }
        self.shapes.0.push(Shape::Unknown);
        self.tried.push(0);
        self.ends.push(None);
        Ok(self.tried.len() - 1)
    }

    fn add_all(&mut self, count: usize) -> Result<Vec<Place>, Refused> {
        (0..count).map(|_| self.add()).collect()
    }

    fn add_fields(&mut self, names: &[&'static str]) -> Result<Vec<(&'static str, Place)>, Refused> {
        names.iter().map(|name| Ok((*name, self.add()?))).collect()
    }

    /// Goes on to the next placeholder of a leaf, if there is one.
    fn has_another(&mut self, leaf: Place) -> bool {
        self.tried[leaf] += 1;
        let most = match self.shapes.0[leaf] {
            Shape::Leaf(Leaf::String) => STRINGS.len(),
            Shape::Leaf(Leaf::Bytes) => BYTES.len(),
            Shape::Leaf(Leaf::Bool) => 2,
            Shape::Leaf(Leaf::Char) => 1,
            _ => NUMBERS.len(),
        };
        self.tried[leaf] < most
    }

    /// Writes down what stands at a place, which must be what stood there in earlier passes.
    fn is(
        &mut self,
        place: Place,
        shape: impl FnOnce(&mut Self) -> Result<Shape, Refused>,
    ) -> Result<(), Refused> {
        self.step()?;
        if self.shapes.0[place] == Shape::Unknown {
            let shape = shape(self)?;
            self.shapes.0[place] = shape;
        }
        Ok(())
    }
}

/// Stands at a place of a trace and hands out what is asked for.
struct Tracer<'t> {
    trace: &'t mut Trace,
    place: Place,
}

impl Tracer<'_> {
    fn leaf(&mut self, leaf: Leaf) -> Result<usize, Refused> {
        self.trace.is(self.place, |_| Ok(Shape::Leaf(leaf)))?;
        if self.trace.shapes.0[self.place] != Shape::Leaf(leaf) {
            return Err(for_good(CHANGED));
        }
        self.trace.last_leaf = Some(self.place);
        Ok(self.trace.tried[self.place])
    }

    fn number(&mut self, leaf: Leaf) -> Result<u8, Refused> {
        self.leaf(leaf).map(|tried| NUMBERS[tried.min(NUMBERS.len() - 1)])
    }

    /// Reads something that has parts, which may be of the type that is being read already.
    fn composite<T, R>(
        self,
        shape: impl FnOnce(&mut Trace) -> Result<Shape, Refused>,
        read: impl FnOnce(&mut Trace, Place) -> Result<R, Refused>,
    ) -> Result<R, Refused> {
        let Self { trace, place } = self;
        if trace.above.len() > MOST_DEPTH {
            return Err(for_good("it is nested too deeply, or contains itself without end"));
        }
        let name = type_name::<T>();
        let again = trace.above.iter().find(|(above, _)| *above == name).map(|(_, place)| *place);
        match again {
            Some(target) if target != place => {
                trace.is(place, |_| Ok(Shape::Again(target)))?;
                trace.within_itself += 1;
                trace.above.push((name, target));
                let read = read(trace, target)?;
                trace.above.pop();
                trace.within_itself -= 1;
                Ok(read)
            }
            _ => {
                trace.is(place, shape)?;
                trace.above.push((name, place));
                let read = read(trace, place)?;
                trace.above.pop();
                Ok(read)
            }
        }
    }
}

const CHANGED: &str = "it asks for something else each time it is read";

macro_rules! numbers {
    ($($deserialize:ident $visit:ident $type:ty => $leaf:ident,)*) => {
        $(fn $deserialize<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(self.number(Leaf::$leaf)? as $type)
        })*
    };
}

impl<'de> Deserializer<'de> for Tracer<'_> {
    type Error = Refused;

    numbers! {
        deserialize_i8 visit_i8 i8 => I8,
        deserialize_i16 visit_i16 i16 => I16,
        deserialize_i32 visit_i32 i32 => I32,
        deserialize_i64 visit_i64 i64 => I64,
        deserialize_i128 visit_i128 i128 => I128,
        deserialize_u8 visit_u8 u8 => U8,
        deserialize_u16 visit_u16 u16 => U16,
        deserialize_u32 visit_u32 u32 => U32,
        deserialize_u64 visit_u64 u64 => U64,
        deserialize_u128 visit_u128 u128 => U128,
        deserialize_f32 visit_f32 f32 => F32,
        deserialize_f64 visit_f64 f64 => F64,
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let tried = self.leaf(Leaf::Bool)?;
        visitor.visit_bool(tried == 0)
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        self.leaf(Leaf::Char)?;
        visitor.visit_char('a')
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let tried = self.leaf(Leaf::String)?;
        visitor.visit_str(STRINGS[tried.min(STRINGS.len() - 1)])
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Refused> {
        let tried = self.leaf(Leaf::Bytes)?;
        visitor.visit_bytes(&[1; 64][..BYTES[tried.min(BYTES.len() - 1)]])
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Option(trace.add()?)),
            |trace, place| match trace.shapes.0[place] {
                Shape::Option(_) if trace.within_itself > 0 => visitor.visit_none(),
                Shape::Option(part) => visitor.visit_some(Tracer { trace, place: part }),
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.trace.is(self.place, |_| Ok(Shape::Unit))?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.trace.is(self.place, |_| Ok(Shape::UnitStruct(name)))?;
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Newtype(name, trace.add()?)),
            |trace, place| match trace.shapes.0[place] {
                Shape::Newtype(_, part) => visitor.visit_newtype_struct(Tracer { trace, place: part }),
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Sequence(trace.add()?)),
            |trace, place| match trace.shapes.0[place] {
                Shape::Sequence(_) if trace.within_itself > 0 => {
                    visitor.visit_seq(Parts { trace, left: [].into_iter() })
                }
                Shape::Sequence(part) => visitor.visit_seq(Parts { trace, left: [part].into_iter() }),
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Tuple(trace.add_all(len)?)),
            |trace, place| match &trace.shapes.0[place] {
                Shape::Tuple(parts) => {
                    let left = parts.clone().into_iter();
                    visitor.visit_seq(Parts { trace, left })
                }
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::TupleStruct(name, trace.add_all(len)?)),
            |trace, place| match &trace.shapes.0[place] {
                Shape::TupleStruct(_, parts) => {
                    let left = parts.clone().into_iter();
                    visitor.visit_seq(Parts { trace, left })
                }
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Map(trace.add()?, trace.add()?)),
            |trace, place| match trace.shapes.0[place] {
                Shape::Map(..) if trace.within_itself > 0 => {
                    visitor.visit_map(Parts { trace, left: [].into_iter() })
                }
                Shape::Map(key, value) => visitor.visit_map(Parts { trace, left: [key, value].into_iter() }),
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.composite::<V::Value, _>(
            |trace| Ok(Shape::Struct(name, trace.add_fields(fields)?)),
            |trace, place| match &trace.shapes.0[place] {
                Shape::Struct(_, fields) => {
                    let left: Vec<Place> = fields.iter().map(|(_, part)| *part).collect();
                    visitor.visit_seq(Parts { trace, left: left.into_iter() })
                }
                _ => Err(for_good(CHANGED)),
            },
        )
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        if variants.is_empty() {
            return Err(for_good(format!(
                "the enum {name} has no alternatives, so there are no values of it"
            )));
        }
        self.composite::<V::Value, _>(
            |_| Ok(Shape::Enum(name, variants.iter().map(|variant| (*variant, Variant::Unknown)).collect())),
            |trace, place| {
                let Shape::Enum(_, seen) = &trace.shapes.0[place] else { return Err(for_good(CHANGED)) };
                let chosen = if trace.within_itself > 0 {
                    trace.ends[place].unwrap_or(trace.within_itself % seen.len())
                } else {
                    let open = seen.iter().position(|(_, variant)| trace.shapes.is_open(variant));
                    open.or(trace.ends[place]).unwrap_or(0)
                };
                let value = visitor.visit_enum(Alternative { trace: &mut *trace, place, chosen })?;
                if trace.within_itself > 0 && trace.ends[place].is_none() {
                    // Those further in come to their ends first, so this one holds none that does not.
                    trace.ends[place] = Some(chosen);
                }
                Ok(value)
            },
        )
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(for_good(
            "it can only be read from bytes that describe themselves (an untagged or internally tagged enum, a \
             flattened field), and these do not",
        ))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        self.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of something, one after the other.
struct Parts<'t, I> {
    trace: &'t mut Trace,
    left: I,
}

impl<'de, I: ExactSizeIterator<Item = Place>> SeqAccess<'de> for Parts<'_, I> {
    type Error = Refused;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        let Some(place) = self.left.next() else { return Ok(None) };
        seed.deserialize(Tracer { trace: &mut *self.trace, place }).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

impl<'de, I: ExactSizeIterator<Item = Place>> MapAccess<'de> for Parts<'_, I> {
    type Error = Refused;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        self.next_element_seed(seed)?.ok_or_else(|| for_good("it reads a value without its key"))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len() / 2)
    }
}

/// An alternative of an enum.
struct Alternative<'t> {
    trace: &'t mut Trace,
    place: Place,
    chosen: usize,
}

impl Alternative<'_> {
    /// Writes down what it holds, or finds what was written down.
    fn holds(
        &mut self,
        variant: impl FnOnce(&mut Trace) -> Result<Variant, Refused>,
    ) -> Result<Variant, Refused> {
        let held = match &self.trace.shapes.0[self.place] {
            Shape::Enum(_, variants) => variants[self.chosen].1.clone(),
            _ => return Err(for_good(CHANGED)),
        };
        if held != Variant::Unknown {
            return Ok(held);
        }
        let held = variant(self.trace)?;
        if let Shape::Enum(_, variants) = &mut self.trace.shapes.0[self.place] {
            variants[self.chosen].1 = held.clone();
        }
        Ok(held)
    }
}

impl<'de> EnumAccess<'de> for Alternative<'_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Refused> {
        let index: U32Deserializer<Refused> = (self.chosen as u32).into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Alternative<'_> {
    type Error = Refused;

    fn unit_variant(mut self) -> Result<(), Refused> {
        self.holds(|_| Ok(Variant::Unit)).map(drop)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, Refused> {
        match self.holds(|trace| Ok(Variant::Newtype(trace.add()?)))? {
            Variant::Newtype(place) => seed.deserialize(Tracer { trace: self.trace, place }),
            _ => Err(for_good(CHANGED)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Refused> {
        match self.holds(|trace| Ok(Variant::Tuple(trace.add_all(len)?)))? {
            Variant::Tuple(parts) => visitor.visit_seq(Parts { trace: self.trace, left: parts.into_iter() }),
            _ => Err(for_good(CHANGED)),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        mut self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        match self.holds(|trace| Ok(Variant::Struct(trace.add_fields(fields)?)))? {
            Variant::Struct(fields) => {
                let left: Vec<Place> = fields.into_iter().map(|(_, part)| part).collect();
                visitor.visit_seq(Parts { trace: self.trace, left: left.into_iter() })
            }
            _ => Err(for_good(CHANGED)),
        }
    }
}

/// Why a pass did not come to its end.
#[derive(Debug)]
struct Refused {
    why: String,
    /// No other placeholder would change it.
    for_good: bool,
}

fn for_good(why: impl Into<String>) -> Refused {
    Refused { why: why.into(), for_good: true }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl core::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self { why: message.to_string(), for_good: false }
    }
}
