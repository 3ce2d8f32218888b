//! What a type consists of, as far as its bytes are concerned, and the text that says so.

use core::fmt::{self, Write};

/// A place in a [`Shapes`].
pub(super) type Place = usize;

/// The parts of a type; the first is the type itself.
#[derive(Clone, Debug)]
pub(super) struct Shapes(pub(super) Vec<Shape>);

/// What stands at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// Not seen yet.
    Unknown,
    /// Something without parts.
    Leaf(Leaf),
    Option(Place),
    Unit,
    UnitStruct(&'static str),
    Newtype(&'static str, Place),
    Sequence(Place),
    Tuple(Vec<Place>),
    TupleStruct(&'static str, Vec<Place>),
    Map(Place, Place),
    Struct(&'static str, Fields),
    Enum(&'static str, Vec<(&'static str, Variant)>),
    /// The same type as further up.
    Again(Place),
}

pub(super) type Fields = Vec<(&'static str, Place)>;

/// What an alternative of an enum holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Variant {
    /// Not seen yet.
    Unknown,
    Unit,
    Newtype(Place),
    Tuple(Vec<Place>),
    Struct(Fields),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    String,
    Bytes,
}

impl Leaf {
    const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::U128 => "u128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "string",
            Self::Bytes => "bytes",
        }
    }
}

impl Variant {
    fn parts(&self) -> Vec<Place> {
        match self {
            Self::Unknown | Self::Unit => Vec::new(),
            Self::Newtype(part) => vec![*part],
            Self::Tuple(parts) => parts.clone(),
            Self::Struct(fields) => fields.iter().map(|(_, part)| *part).collect(),
        }
    }
}

impl Shapes {
    /// Whether something at `place` or in it has not been seen yet.
    pub(super) fn is_incomplete(&self, place: Place) -> bool {
        match &self.0[place] {
            Shape::Unknown => true,
            Shape::Enum(_, variants) => variants.iter().any(|(_, variant)| self.is_open(variant)),
            shape => parts(shape).into_iter().any(|part| self.is_incomplete(part)),
        }
    }

    /// Whether something of an alternative has not been seen yet.
    pub(super) fn is_open(&self, variant: &Variant) -> bool {
        *variant == Variant::Unknown || variant.parts().into_iter().any(|part| self.is_incomplete(part))
    }

    /// Whether the type contains itself.
    pub(super) fn is_recursive(&self) -> bool {
        self.0.iter().any(|shape| matches!(shape, Shape::Again(_)))
    }

    /// Whether some sequence's elements take no bytes, so that a few bytes could announce any number of them.
    pub(super) fn has_weightless_elements(&self) -> bool {
        self.0.iter().any(|shape| match shape {
            Shape::Sequence(element) => self.is_weightless(*element),
            Shape::Map(key, value) => self.is_weightless(*key) && self.is_weightless(*value),
            _ => false,
        })
    }

    fn is_weightless(&self, place: Place) -> bool {
        match &self.0[place] {
            Shape::Unit | Shape::UnitStruct(_) => true,
            Shape::Newtype(..) | Shape::Tuple(_) | Shape::TupleStruct(..) | Shape::Struct(..) => {
                parts(&self.0[place]).into_iter().all(|part| self.is_weightless(part))
            }
            _ => false,
        }
    }

    /// The name of the type at the top; of what has none, nothing.
    pub(super) fn name(&self) -> Option<&'static str> {
        named(&self.0[0])
    }

    /// Writes the type at the top.
    pub(super) fn write(&self, out: &mut dyn Write) -> fmt::Result {
        self.write_at(0, &mut Vec::new(), out)
    }

    fn write_at(&self, place: Place, above: &mut Vec<Place>, out: &mut dyn Write) -> fmt::Result {
        above.push(place);
        match &self.0[place] {
            Shape::Unknown => out.write_char('?')?,
            Shape::Leaf(leaf) => out.write_str(leaf.name())?,
            Shape::Option(part) => {
                self.write_at(*part, above, out)?;
                out.write_char('?')?;
            }
            Shape::Unit => out.write_str("()")?,
            Shape::UnitStruct(name) => write_name(name, out)?,
            Shape::Newtype(name, part) => {
                write_name(name, out)?;
                self.write_list(&[*part], above, out)?;
            }
            Shape::Sequence(part) => {
                out.write_char('[')?;
                self.write_at(*part, above, out)?;
                out.write_char(']')?;
            }
            Shape::Tuple(parts) => self.write_tuple(parts, above, out)?,
            Shape::TupleStruct(name, parts) => {
                write_name(name, out)?;
                self.write_list(parts, above, out)?;
            }
            Shape::Map(key, value) => {
                out.write_char('{')?;
                self.write_at(*key, above, out)?;
                out.write_str(": ")?;
                self.write_at(*value, above, out)?;
                out.write_char('}')?;
            }
            Shape::Struct(name, fields) => {
                write_name(name, out)?;
                self.write_fields(fields, above, out)?;
            }
            Shape::Enum(name, variants) => {
                out.write_str("enum ")?;
                write_name(name, out)?;
                out.write_str(" {")?;
                for (index, (variant, holds)) in variants.iter().enumerate() {
                    out.write_str(if index == 0 { " " } else { ", " })?;
                    write_name(variant, out)?;
                    match holds {
                        Variant::Unknown => out.write_char('?')?,
                        Variant::Unit => {}
                        Variant::Newtype(part) => self.write_list(&[*part], above, out)?,
                        Variant::Tuple(parts) => self.write_list(parts, above, out)?,
                        Variant::Struct(fields) => self.write_fields(fields, above, out)?,
                    }
                }
                out.write_str(" }")?;
            }
            Shape::Again(target) => {
                // As many carets as there are types of that name between here and there.
                let name = named(&self.0[*target]).unwrap_or("it");
                let between = above.iter().rev().skip(1).take_while(|&&place| place != *target);
                let same = between.filter(|&&place| named(&self.0[place]).unwrap_or("it") == name).count();
                for _ in 0..=same {
                    out.write_char('^')?;
                }
                write_name(name, out)?;
            }
        }
        above.pop();
        Ok(())
    }

    /// `[u8; 32]` if all parts are the same, otherwise `(u8, string)`.
    fn write_tuple(&self, parts: &[Place], above: &mut Vec<Place>, out: &mut dyn Write) -> fmt::Result {
        if parts.len() < 2 {
            return self.write_list(parts, above, out);
        }
        let mut first = String::new();
        self.write_at(parts[0], above, &mut first)?;
        let mut another = String::new();
        for &part in &parts[1..] {
            another.clear();
            self.write_at(part, above, &mut another)?;
            if another != first {
                return self.write_list(parts, above, out);
            }
        }
        write!(out, "[{first}; {}]", parts.len())
    }

    fn write_list(&self, parts: &[Place], above: &mut Vec<Place>, out: &mut dyn Write) -> fmt::Result {
        out.write_char('(')?;
        for (index, &part) in parts.iter().enumerate() {
            if index > 0 {
                out.write_str(", ")?;
            }
            self.write_at(part, above, out)?;
        }
        out.write_char(')')
    }

    fn write_fields(
        &self,
        fields: &[(&'static str, Place)],
        above: &mut Vec<Place>,
        out: &mut dyn Write,
    ) -> fmt::Result {
        out.write_str(" {")?;
        for (index, &(name, part)) in fields.iter().enumerate() {
            out.write_str(if index == 0 { " " } else { ", " })?;
            write_name(name, out)?;
            out.write_str(": ")?;
            self.write_at(part, above, out)?;
        }
        out.write_str(" }")
    }
}

fn parts(shape: &Shape) -> Vec<Place> {
    match shape {
        Shape::Option(part) | Shape::Newtype(_, part) | Shape::Sequence(part) => vec![*part],
        Shape::Tuple(parts) | Shape::TupleStruct(_, parts) => parts.clone(),
        Shape::Map(key, value) => vec![*key, *value],
        Shape::Struct(_, fields) => fields.iter().map(|(_, part)| *part).collect(),
        Shape::Enum(_, variants) => variants.iter().flat_map(|(_, variant)| variant.parts()).collect(),
        Shape::Unknown | Shape::Leaf(_) | Shape::Unit | Shape::UnitStruct(_) | Shape::Again(_) => Vec::new(),
    }
}

fn named(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::UnitStruct(name)
        | Shape::Newtype(name, _)
        | Shape::TupleStruct(name, _)
        | Shape::Struct(name, _)
        | Shape::Enum(name, _) => Some(name),
        _ => None,
    }
}

/// A name, in quotes if it could be taken for something else.
fn write_name(name: &str, out: &mut dyn Write) -> fmt::Result {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if plain { out.write_str(name) } else { write!(out, "{name:?}") }
}
