//! `twixt completions` and `twixt man`: what can be made from the definition of the command line.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Arguments;
use crate::exit::Exit;
use crate::output;

/// Prints a completion script.
pub fn completions(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "twixt", &mut script);
    output::raw(&script)?;
    Ok(Exit::Success)
}

/// Writes `twixt.1` and a page for each subcommand.
pub fn manual(directory: &Path) -> anyhow::Result<Exit> {
    let mut twixt = Arguments::command();
    twixt.build();
    pages(twixt, directory)
        .with_context(|| format!("cannot write the manual pages into {}", directory.display()))?;
    Ok(Exit::Success)
}

fn pages(command: clap::Command, directory: &Path) -> std::io::Result<()> {
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        pages(subcommand.clone(), directory)?;
    }
    let man = Man::new(command.clone());
    std::fs::write(directory.join(man.get_filename()), page(command, man)?)
}

/// A page whose synopsis is the usage that `--help` shows, and whose notes keep their lines and columns.
fn page(mut command: clap::Command, man: Man) -> std::io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let title = format!(".TH {name} 1 \"\" \"twixt {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    let mut page = title.into_bytes();
    man.render_name_section(&mut page)?;
    let usage = command.render_usage().to_string();
    page.extend(section("SYNOPSIS", usage.trim_start_matches("Usage:").trim()).bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = command.get_after_long_help().or(command.get_after_help()) {
        page.extend(section("NOTES", &notes.to_string()).bytes());
    }
    Ok(page)
}

/// Plain text as a section, or several where it says "Examples:" and the like on a line of its own. Lines that are indented
/// stay lines; the others are filled.
fn section(heading: &str, text: &str) -> String {
    let mut roff = String::new();
    let mut heading = Some(heading.to_owned());
    let mut keeps_lines = false;
    for line in text.lines() {
        match line.strip_suffix(':') {
            Some(name @ ("Examples" | "Exit status")) => {
                heading = Some(name.to_uppercase());
                continue;
            }
            _ if line.is_empty() && heading.is_some() => continue,
            _ => {}
        }
        let is_indented = line.starts_with(' ');
        if keeps_lines && (!is_indented || heading.is_some()) {
            roff += ".fi\n";
            keeps_lines = false;
        }
        if line.is_empty() {
            roff += ".PP\n";
            continue;
        }
        if let Some(heading) = heading.take() {
            // Between two sections there is no paragraph.
            roff.truncate(roff.trim_end_matches(".PP\n").len());
            roff += &format!(".SH \"{heading}\"\n");
        }
        if is_indented && !keeps_lines {
            roff += ".nf\n";
            keeps_lines = true;
        }
        roff += &escaped(line);
        roff.push('\n');
    }
    if keeps_lines {
        roff += ".fi\n";
    }
    roff
}

/// A line that is text whatever is in it.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_sections() {
        let text =
            "Some text\nthat goes on.\n\nA list:\n  one  1\n  two  \\2\n\n.dot 'quoted'\n\nExamples:\n  a-b";
        let expected = ".SH \"NOTES\"\nSome text\nthat goes on.\n.PP\nA list:\n.nf\n  one  1\n  two  \\e2\n.fi\n.PP\n\
            \\&.dot \\(aqquoted\\(aq\n.SH \"EXAMPLES\"\n.nf\n  a\\-b\n.fi\n";
        assert_eq!(section("NOTES", text), expected);
        assert_eq!(section("NOTES", "Exit status:\n  0  well"), ".SH \"EXIT STATUS\"\n.nf\n  0  well\n.fi\n");
    }
}
