//! The options after the question mark.

use super::Part;
use super::scheme::nearest;
use crate::error::{Fault, shown};
use crate::{Endpoint, OptionName, Options, Scheme, ValueError};

pub(super) fn options(query: Part<'_>, endpoint: &Endpoint) -> Result<Options, Fault> {
    let mut options = Options::new();
    let mut rest = Some(query);
    while let Some(part) = rest {
        let (option, others) = match part.split_once('&') {
            Some((option, others)) => (option, Some(others)),
            None => (part, None),
        };
        options = one(option, options, endpoint)?;
        rest = others;
    }
    Ok(options)
}

fn one(option: Part<'_>, options: Options, endpoint: &Endpoint) -> Result<Options, Fault> {
    let (key, value) = match option.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    let fault = |part: Part<'_>, name: Option<OptionName>, error: ValueError| {
        let example = Scheme::of(endpoint.scheme()).map_or("-", |scheme| scheme.example);
        error.at(part.span(), example).like(example_with(endpoint, name))
    };
    if option.text.is_empty() {
        let error = ValueError::new("an option is missing", endpoint.taken() + literal(endpoint));
        return Err(fault(option, None, error));
    }
    let Some(name) = OptionName::of(key.text) else {
        return Err(fault(key, nearest_option(key.text, endpoint), unknown(key.text, endpoint)));
    };
    endpoint.check_name(name).map_err(|error| fault(key, None, error))?;
    let here = |part: Part<'_>, error: ValueError| fault(part, Some(name), error);
    if options.has(name) {
        let error = ValueError::new(format!("option {name} is given twice"), "each option is given once");
        return Err(here(key, error));
    }
    match (name, value) {
        (OptionName::Create, None) => Ok(options.with_create()),
        (OptionName::Create, Some(value)) => {
            let why = format!("option create has the value {}", shown(value.text));
            Err(here(option, ValueError::new(why, "create stands alone, or is left out")))
        }
        (_, None) => {
            let why = format!("option {name} has no value");
            let right = "an equals sign and a value follow its name";
            Err(here(option.end(), ValueError::new(why, right)))
        }
        (_, Some(value)) => {
            let options = options.with_text(name, value.text).map_err(|error| here(value, error))?;
            endpoint.check(name, &options).map_err(|error| here(value, error))?;
            Ok(options)
        }
    }
}

fn unknown(key: &str, endpoint: &Endpoint) -> ValueError {
    let right = endpoint.taken() + literal(endpoint);
    let right = match nearest_option(key, endpoint) {
        Some(name) => format!("did you mean {name}? {right}"),
        None => right,
    };
    ValueError::new(format!("option {} is unknown", shown(key)), right)
}

/// What to say where the question mark may have been meant as itself.
const fn literal(endpoint: &Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Exec(_) => "; a question mark in the command is %3F",
        Endpoint::Fifo(_) | Endpoint::File(_) | Endpoint::Mmap(_) | Endpoint::Lock(_) => {
            "; a question mark in the path is %3F"
        }
        _ => "",
    }
}

fn nearest_option(key: &str, endpoint: &Endpoint) -> Option<OptionName> {
    nearest(key, endpoint.options().map(OptionName::as_str)).and_then(OptionName::of)
}

/// The endpoint itself with an option as it should be, if it takes it.
fn example_with(endpoint: &Endpoint, name: Option<OptionName>) -> String {
    match name.filter(|&name| endpoint.options().any(|option| option == name)) {
        Some(name) => format!("{endpoint}?{}", name.example()),
        None => match endpoint.options().next() {
            Some(name) => format!("{endpoint}?{}", name.example()),
            None => endpoint.to_string(),
        },
    }
}
