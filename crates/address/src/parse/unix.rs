//! `/path` and `@name`.

use super::At;
use crate::error::Fault;
use crate::percent::mended;
use crate::{AbstractName, SocketPath, UnixName};

pub(super) fn name(rest: At<'_>) -> Result<UnixName, Fault> {
    // The `@` counts as it is written: a path that begins with one has it as %40.
    if rest.text().starts_with('@') {
        let name = rest.on(rest.part.slice(1..rest.text().len()));
        let like = |fault: Fault| fault.like(format!("{}:@{}", rest.scheme.name, mended(name.text())));
        let bytes = name.bytes().map_err(like)?;
        return AbstractName::new(bytes)
            .map(UnixName::Abstract)
            .map_err(|error| name.fault_like(error, format!("{}:@jobs", rest.scheme.name)));
    }
    rest.decoded(SocketPath::new).map(UnixName::Path)
}
