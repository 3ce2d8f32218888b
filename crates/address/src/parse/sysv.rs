//! System V keys.

use core::num::NonZeroU8;

use super::{At, Part};
use crate::error::{Fault, shown};
use crate::number::integer;
use crate::percent::mended;
use crate::{Endpoint, FilePath, SysvId, SysvKey, ValueError};

const FORMS: &str = "a key is a number, id=N, ftok=/path,N or private";

pub(super) fn key(rest: At<'_>) -> Result<SysvKey, Fault> {
    let (key, after) = split(rest)?;
    match after {
        None => Ok(key),
        Some(after) => {
            let error = ValueError::new(
                format!("/{} follows the key", shown(after.text)),
                "only sysv-sem: takes an index",
            );
            Err(rest.on(after).fault_like(error, format!("sysv-sem:{key}/{}", after.text)))
        }
    }
}

pub(super) fn semaphore(rest: At<'_>) -> Result<Endpoint, Fault> {
    let (key, index) = split(rest)?;
    let index = match index {
        Some(index) => Some(
            integer("semaphore index", index.text, 0, u16::MAX)
                .map_err(|error| rest.on(index).fault_like(error, format!("sysv-sem:{key}/0")))?,
        ),
        None => None,
    };
    Ok(Endpoint::SysvSem { key, index })
}

/// The key, and what follows the slash after it.
fn split(rest: At<'_>) -> Result<(SysvKey, Option<Part<'_>>), Fault> {
    if rest.text().starts_with("ftok=") {
        return ftok(rest);
    }
    let (key, after) = match rest.part.split_once('/') {
        Some((key, after)) => (rest.on(key), Some(after)),
        None => (rest, None),
    };
    let key = match key.text() {
        "private" => SysvKey::Private,
        text if text.starts_with("id=") => id(key.on(key.part.slice(3..text.len())))?,
        _ => number(key)?,
    };
    Ok((key, after))
}

fn id(part: At<'_>) -> Result<SysvKey, Fault> {
    integer("identifier", part.text(), 0, i32::MAX)
        .and_then(SysvId::new)
        .map(SysvKey::Id)
        .map_err(|error| part.fault_like(error, format!("{}:id=3", part.scheme.name)))
}

/// The path may hold commas and slashes: the last comma ends it, and what follows it has neither.
fn ftok(rest: At<'_>) -> Result<(SysvKey, Option<Part<'_>>), Fault> {
    let scheme = rest.scheme.name;
    let both = rest.part.slice(5..rest.text().len());
    let Some((path, number)) = both.rsplit_once(',') else {
        let why = format!("project number is missing after {}", shown(both.text));
        let error = ValueError::new(why, "a comma and a number from 1 to 255 follow the path");
        return Err(rest.on(both.end()).fault_like(error, format!("{scheme}:ftok={},7", both.text)));
    };
    let (number, after) = match number.split_once('/') {
        Some((number, after)) => (number, Some(after)),
        None => (number, None),
    };
    let path = rest
        .on(path)
        .decoded(FilePath::new)
        .map_err(|fault| fault.like(format!("{scheme}:ftok={},7", or_any(&mended(path.text)))))?;
    let project = integer("project number", number.text, 1, u8::MAX).map_err(|error| {
        let number = rest.on(number);
        // C programs like to write ftok(path, 'A').
        match *number.text().as_bytes() {
            [letter] if letter.is_ascii_graphic() && !letter.is_ascii_digit() => {
                let right = format!("{}, and the character is {letter}", error.right());
                let error = ValueError::new(error.why(), right);
                number.fault_like(error, format!("{scheme}:ftok={path},{letter}"))
            }
            _ => number.fault_like(error, format!("{scheme}:ftok={path},7")),
        }
    })?;
    let project = NonZeroU8::new(project).unwrap_or(NonZeroU8::MIN);
    Ok((SysvKey::Ftok { path, project }, after))
}

fn or_any(path: &str) -> &str {
    if path.is_empty() { "/etc/passwd" } else { path }
}

fn number(part: At<'_>) -> Result<SysvKey, Fault> {
    let (scheme, text) = (part.scheme.name, part.text());
    let bits = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => hexadecimal(part, digits)?,
        None => decimal(part)?,
    };
    SysvKey::from_raw(bits.cast_signed()).ok_or_else(|| {
        let error = ValueError::new(
            format!("key {text} is IPC_PRIVATE, by which no other process can find the object"),
            "a new object without a key is called private",
        );
        part.fault_like(error, format!("{scheme}:private"))
    })
}

fn hexadecimal(part: At<'_>, digits: &str) -> Result<u32, Fault> {
    let key = shown(part.text());
    let wrong = |why, right| {
        Err(part.fault_like(ValueError::new(why, right), format!("{}:0x7477", part.scheme.name)))
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return wrong(format!("key {key} is not a hexadecimal number"), FORMS);
    }
    match u32::from_str_radix(digits, 16) {
        Ok(bits) => Ok(bits),
        Err(_) => wrong(format!("key {key} has more than 32 bits"), "a key is 0x1 to 0xffffffff"),
    }
}

fn decimal(part: At<'_>) -> Result<u32, Fault> {
    let (scheme, text) = (part.scheme.name, part.text());
    let wrong = |why: String, right: &str, like: String| {
        Err(part.fault_like(ValueError::new(why, right), format!("{scheme}:{like}")))
    };
    let any = || "0x7477".to_owned();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if text.is_empty() {
        return wrong("key is missing".to_owned(), FORMS, any());
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let like =
            if text.bytes().all(|byte| byte.is_ascii_hexdigit()) { format!("0x{text}") } else { any() };
        return wrong(format!("key {} is not a number", shown(text)), FORMS, like);
    }
    if digits.len() > 1 && digits.starts_with('0') {
        let why = format!("key {} has a leading zero, which C and ipcrm read as octal", shown(text));
        return wrong(why, "a key is hexadecimal with 0x, or decimal without a leading zero", any());
    }
    match text.parse::<i64>() {
        Ok(key) if i32::try_from(key).is_ok() => Ok(key as u32),
        parsed => {
            let why = format!("key {} is outside the 32 bits of a signed number", shown(text));
            // What is a pattern of 32 bits all the same can be said in hexadecimal.
            let bits = parsed.ok().and_then(|key| u32::try_from(key).ok());
            let like = bits.map_or_else(any, |bits| format!("{bits:#x}"));
            wrong(why, "a key is 0x1 to 0xffffffff, or -2147483648 to 2147483647", like)
        }
    }
}
