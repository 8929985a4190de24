//! Text for a terminal: what comes from a ledger is escaped, so that it cannot move the cursor, colour the screen,
//! hide itself or turn its direction around. And the few colours that there are.

use anstyle::{AnsiColor, Style};
use receipt_kernel::Verdict;
use receipt_kernel::core::visible::is_hidden;
use std::fmt::Write;

/// What is sound.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is degraded.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What cannot be told.
pub(crate) const OPEN: Style = AnsiColor::Magenta.on_default().bold();
/// What stands at the side.
pub(crate) const SIDE: Style = Style::new().dimmed();
/// What stands out.
pub(crate) const HEAD: Style = Style::new().bold();

/// The colours of help.
pub(crate) const HELP: clap::builder::Styles = clap::builder::Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default())
    .error(BAD);

/// The text in a style.
pub(crate) fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// The style of a verdict.
pub(crate) const fn style_of(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GOOD,
        Verdict::Warn => ODD,
        Verdict::Fail => BAD,
        Verdict::Unknown => OPEN,
    }
}

/// A verdict in its colour.
pub(crate) fn verdict(verdict: Verdict) -> String {
    paint(style_of(verdict), &verdict.to_string())
}

/// A number of bytes for a person.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// The text with whatever a person would not see, or not as what it is, shown as `\u{…}`.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// The same, line by line: line feeds stay.
pub(crate) fn escape_lines(text: &str) -> String {
    text.split('\n').map(escape).collect::<Vec<_>>().join("\n")
}

/// A verdict in its colour, as wide as the widest one.
pub(crate) fn verdict_column(verdict: Verdict) -> String {
    paint(style_of(verdict), &format!("{:<7}", verdict.to_string()))
}
