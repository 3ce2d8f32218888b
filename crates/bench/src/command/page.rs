//! The file of `--html`: there as a whole, or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A file that is yet to be written. It is made beside the one that it will replace before anything is measured, so that
/// nobody waits for figures that cannot be kept.
#[derive(Debug)]
pub(super) struct PageFile {
    file: File,
    /// Where it is while it is written; nowhere once it has its name.
    temporary: Option<PathBuf>,
    path: PathBuf,
}

impl PageFile {
    /// # Errors
    /// The place cannot be written to.
    pub(super) fn new(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot write the page {}", path.display());
        // What a link leads to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
            bail!("{}: it is no regular file", cannot());
        }
        let Some(name) = target.file_name() else { bail!("{}: it has no name", cannot()) };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let temporary = target.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).with_context(cannot)?;
        Ok(Self { file, temporary: Some(temporary), path: target })
    }

    /// Writes it, and gives it its name.
    ///
    /// # Errors
    /// It cannot be written: the disk is full, say. What was there before is still there then.
    pub(super) fn write(mut self, text: &str) -> anyhow::Result<()> {
        let cannot = || format!("cannot write the page {}", self.path.display());
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all()).with_context(cannot)?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path).with_context(cannot)?;
        }
        self.temporary = None;
        Ok(())
    }
}

impl Drop for PageFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}
