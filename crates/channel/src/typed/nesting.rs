//! How deeply the bytes of a type that contains itself are nested, seen before they are read.
//!
//! Reading such a type takes the stack once per level, and a byte per level is enough to ask for one: a stranger's
//! message of some thousand bytes could end the process.

use super::shape::{Leaf, Place, Shape, Shapes, Variant};

/// How many times a value may stand within another of its type.
const MOST_NESTED: usize = 128;

const TOO_DEEP: &str = "its values are nested more than 128 deep";
const CUT: &str = "it ends too early";
const DAMAGED: &str = "it holds a number that is none";

/// Goes over the bytes as the shapes say.
pub(super) fn check(shapes: &Shapes, bytes: &[u8]) -> Result<(), &'static str> {
    Walk { shapes, left: bytes, depth: 0 }.over(0)
}

struct Walk<'a> {
    shapes: &'a Shapes,
    left: &'a [u8],
    depth: usize,
}

impl Walk<'_> {
    fn over(&mut self, place: Place) -> Result<(), &'static str> {
        match &self.shapes.0[place] {
            Shape::Leaf(leaf) => self.over_leaf(*leaf),
            // Nothing that could be seen: what it is was never asked for.
            Shape::Unknown | Shape::Unit | Shape::UnitStruct(_) => Ok(()),
            Shape::Option(part) => match self.byte()? {
                0 => Ok(()),
                _ => self.over(*part),
            },
            Shape::Newtype(_, part) => self.over(*part),
            Shape::Sequence(part) => {
                let mut count = self.varint()?;
                // An element takes a byte at least, so this ends with the bytes.
                while count > 0 {
                    self.over(*part)?;
                    count -= 1;
                }
                Ok(())
            }
            Shape::Map(key, value) => {
                let mut count = self.varint()?;
                while count > 0 {
                    self.over(*key)?;
                    self.over(*value)?;
                    count -= 1;
                }
                Ok(())
            }
            Shape::Tuple(parts) | Shape::TupleStruct(_, parts) => {
                parts.iter().try_for_each(|part| self.over(*part))
            }
            Shape::Struct(_, fields) => fields.iter().try_for_each(|(_, part)| self.over(*part)),
            Shape::Enum(_, variants) => {
                let index = self.varint()?;
                let variant = usize::try_from(index).ok().and_then(|index| variants.get(index));
                match variant {
                    Some((_, Variant::Newtype(part))) => self.over(*part),
                    Some((_, Variant::Tuple(parts))) => parts.iter().try_for_each(|part| self.over(*part)),
                    Some((_, Variant::Struct(fields))) => {
                        fields.iter().try_for_each(|(_, part)| self.over(*part))
                    }
                    Some((_, Variant::Unit | Variant::Unknown)) => Ok(()),
                    None => Err("it holds an alternative that is none"),
                }
            }
            Shape::Again(target) => {
                self.depth += 1;
                if self.depth > MOST_NESTED {
                    return Err(TOO_DEEP);
                }
                self.over(*target)?;
                self.depth -= 1;
                Ok(())
            }
        }
    }

    fn over_leaf(&mut self, leaf: Leaf) -> Result<(), &'static str> {
        match leaf {
            Leaf::Bool | Leaf::I8 | Leaf::U8 => self.byte().map(drop),
            Leaf::I16
            | Leaf::I32
            | Leaf::I64
            | Leaf::I128
            | Leaf::U16
            | Leaf::U32
            | Leaf::U64
            | Leaf::U128 => {
                while self.byte()? & 0x80 != 0 {}
                Ok(())
            }
            Leaf::F32 => self.skip(4),
            Leaf::F64 => self.skip(8),
            Leaf::Char | Leaf::String | Leaf::Bytes => {
                let len = self.varint()?;
                self.skip(len)
            }
        }
    }

    fn byte(&mut self) -> Result<u8, &'static str> {
        let (byte, left) = self.left.split_first().ok_or(CUT)?;
        self.left = left;
        Ok(*byte)
    }

    fn skip(&mut self, len: u64) -> Result<(), &'static str> {
        let len = usize::try_from(len).map_err(|_| CUT)?;
        self.left = self.left.get(len..).ok_or(CUT)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DAMAGED)
    }
}
