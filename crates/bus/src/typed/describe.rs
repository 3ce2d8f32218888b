//! What a type says of itself, for comparing and for people.

use std::fmt::Write;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::site::{LONGEST_TYPE, TypeName};

/// A type whose values can be messages as they stand in memory: any bytes are a value, and no byte of a value is padding.
///
/// Numbers and arrays are. A struct becomes one with zerocopy's derives, a `repr` and [`plain!`](crate::plain); for anything
/// else it can be written by hand.
pub trait Plain: FromBytes + IntoBytes + Immutable + KnownLayout {
    /// Appends what decides what the bytes mean: the same text in all programs that understand each other, another in others.
    fn describe(out: &mut String);
}

macro_rules! numbers {
    ($($number:ident)*) => {
        $(
            impl Plain for $number {
                fn describe(out: &mut String) {
                    out.push_str(stringify!($number));
                }
            }
        )*
    };
}

numbers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64 }

impl<T: Plain, const N: usize> Plain for [T; N] {
    fn describe(out: &mut String) {
        out.push('[');
        T::describe(out);
        let _ = write!(out, "; {N}]");
    }
}

/// Makes a struct [`Plain`]: `plain! { Price as "prices.Price" { symbol: [u8; 8], cents: u64 } }`, with all of its fields and
/// their types. The name is what all programs call it, wherever they declare it.
///
/// It does not compile if a field is missing or has another type.
#[macro_export]
macro_rules! plain {
    ($type:ident as $name:literal { $($field:ident : $of:ty),* $(,)? }) => {
        impl $crate::Plain for $type {
            fn describe(out: &mut ::std::string::String) {
                let _complete: fn($type) = |value| {
                    let $type { $($field),* } = value;
                    $(let _: $of = $field;)*
                };
                $crate::describe::begin(out, $name);
                $($crate::describe::field::<$of>(
                    out,
                    ::core::stringify!($field),
                    ::core::mem::offset_of!($type, $field),
                );)*
                $crate::describe::end::<$type>(out);
            }
        }
    };
}

/// Begins the description of a struct.
pub fn begin(out: &mut String, name: &str) {
    out.push_str(name);
    out.push_str(" {");
}

/// Describes a field.
pub fn field<T: Plain>(out: &mut String, name: &str, offset: usize) {
    let _ = write!(out, " {name}: ");
    T::describe(out);
    let _ = write!(out, " @{offset},");
}

/// Ends the description of a struct.
pub fn end<T>(out: &mut String) {
    let _ = write!(out, " }} of {} bytes", size_of::<T>());
}

impl TypeName {
    /// Of plain data.
    ///
    /// ```
    /// use twixt_bus::TypeName;
    /// assert_eq!(TypeName::of::<[u16; 4]>().description, "[u16; 4]");
    /// ```
    pub fn of<T: Plain>() -> Self {
        let mut description = String::new();
        T::describe(&mut description);
        Self::described(description)
    }

    fn described(mut description: String) -> Self {
        let hash = hash(description.as_bytes());
        if description.len() > LONGEST_TYPE {
            // The hash is of all.
            let fits = |&end: &usize| description.is_char_boundary(end);
            let end = (0..=LONGEST_TYPE - '…'.len_utf8()).rev().find(fits).unwrap_or(0);
            description.truncate(end);
            description.push('…');
        }
        Self { hash, description }
    }
}

/// FNV-1a; never 0, which is no type.
fn hash(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Inner {
        a: u32,
        b: [u8; 4],
    }

    #[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
    #[repr(C)]
    struct Outer {
        first: f64,
        inner: [Inner; 2],
    }

    plain! { Inner as "Inner" { a: u32, b: [u8; 4] } }
    plain! { Outer as "test.Outer" { first: f64, inner: [Inner; 2] } }

    #[test]
    fn a_type_says_all_that_decides_what_its_bytes_mean() {
        let name = TypeName::of::<Outer>();
        assert_eq!(
            name.description,
            "test.Outer { first: f64 @0, inner: [Inner { a: u32 @0, b: [u8; 4] @4, } of 8 bytes; 2] @8, } of 24 bytes"
        );
        assert_ne!(name.hash, TypeName::of::<Inner>().hash);
        assert_eq!(name.hash, TypeName::of::<Outer>().hash);
    }

    #[test]
    fn a_long_description_is_cut_and_still_another() {
        struct Long;
        let describe = |len: usize| {
            let mut out = String::new();
            begin(&mut out, &"ä".repeat(len));
            end::<Long>(&mut out);
            out
        };
        let (one, other) = (TypeName::described(describe(1000)), TypeName::described(describe(1001)));
        assert!(one.description.len() <= LONGEST_TYPE && one.description.ends_with('…'));
        assert_eq!(one.description, other.description);
        assert_ne!(one.hash, other.hash);
    }

    #[test]
    fn the_hash_is_the_one_that_is_published() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
