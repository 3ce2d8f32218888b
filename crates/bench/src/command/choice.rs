//! Which transports are meant.

use anyhow::{Context, bail};
use twixt_address::Address;

use crate::{Entry, Family, Registry};

/// The names and addresses of a command line, each once; without any, all transports but the floor, which is measured anyway.
///
/// # Errors
/// There is none of that name, or an address is none.
pub(super) fn choose(words: &[String], registry: &Registry) -> anyhow::Result<Vec<String>> {
    if words.is_empty() {
        let is_no_floor = |entry: &&Entry| entry.family() != Family::Floor;
        return Ok(registry
            .entries()
            .iter()
            .filter(is_no_floor)
            .map(|entry| entry.name().to_owned())
            .collect());
    }
    let mut chosen: Vec<String> = Vec::new();
    for word in words {
        if registry.entries().iter().all(|entry| entry.name() != word) {
            if !word.contains(':') {
                bail!("{}", unknown(word, registry));
            }
            let _: Address = word.parse().with_context(|| format!("cannot measure {word:?}"))?;
        }
        if !chosen.contains(word) {
            chosen.push(word.clone());
        }
    }
    Ok(chosen)
}

fn unknown(word: &str, registry: &Registry) -> String {
    let near = registry.entries().iter().map(|entry| (distance(word, entry.name()), entry.name()));
    // As many wrong letters as a third of the word has.
    let near = near.filter(|(wrong, name)| *wrong <= word.len().max(name.len()).div_ceil(3)).min();
    let meant = near.map(|(_, name)| format!("; did you mean {name:?}?")).unwrap_or_default();
    format!(
        "cannot measure {word:?}: there is no transport of that name{meant} (twixt bench --list shows all; an address has \
         a colon)"
    )
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = index + 1;
        for (place, &right) in other.iter().enumerate() {
            let changed = before + usize::from(letter != right);
            before = row[place + 1];
            row[place + 1] = changed.min(before + 1).min(row[place] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_far_apart_as_letters_differ() {
        assert_eq!(distance("unix", "unix"), 0);
        assert_eq!(distance("unx", "unix"), 1);
        assert_eq!(distance("posix_mq", "posix-mq"), 1);
        assert_eq!(distance("", "fifo"), 4);
    }
}
