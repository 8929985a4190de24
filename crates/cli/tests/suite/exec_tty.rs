//! A command that is recorded writes to a terminal where people look at one.

use crate::common::{Place, RECEIPT};
use crate::recorded::text;
use crate::terminal::Terminal;
use receipt_kernel::{Value, Verdict};

/// What the command's streams are to it.
const KINDS: &str = "for n in 0 1 2; do test -t $n && echo $n tty || echo $n none; done";

fn terminals(place: &Place) -> Vec<String> {
    let command = place.recorded("command");
    let names = command.get("terminals").and_then(Value::as_array).unwrap();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn at_a_terminal_the_command_writes_to_terminals_of_its_own() {
    let place = Place::new();
    let script = format!("{KINDS}; printf '\\033[31mred\\033[0m\\n'; echo apart >&2; stty size <&1; stty size <&2");
    let terminal = Terminal::run(&place, &[RECEIPT, "exec", "--run", "r", "-q", "--", "sh", "-c", &script]);
    let (screen, status) = terminal.end();
    assert!(status.success(), "{screen}");
    let kept = text(&place.evidence("stdout"));
    // Of the two sizes each came from the terminal of its stream.
    assert_eq!(kept, "0 tty\n1 tty\n2 tty\n\x1b[31mred\x1b[0m\n30 100\n30 100\n");
    assert_eq!(text(&place.evidence("stderr")), "apart\n");
    // What was shown is what was kept; the line ends are the outer terminal's.
    assert_eq!(screen.replace("\r\n", "\n").replace("apart\n", ""), kept);
    assert!(screen.contains("red\x1b[0m\r\n") && !screen.contains("\r\r"), "{screen:?}");
    assert_eq!(terminals(&place), ["stdout", "stderr"]);
    assert_eq!(place.verdict(), Some(Verdict::Pass));
}

#[test]
fn elsewhere_it_does_so_where_that_is_asked_for() {
    for (option, kinds, terminals_of) in [
        ("--tty", "0 none\n1 tty\n2 tty\n", &["stdout", "stderr"][..]),
        ("--tty=always", "0 none\n1 tty\n2 tty\n", &["stdout", "stderr"]),
        ("--tty=auto", "0 none\n1 none\n2 none\n", &[]),
        ("--tty=never", "0 none\n1 none\n2 none\n", &[]),
    ] {
        let place = Place::new();
        let out = place.sh(&["-q", option], KINDS);
        assert_eq!(text(&out.stdout), kinds, "{option}");
        assert_eq!(place.evidence("stdout"), out.stdout, "{option}");
        assert_eq!(terminals(&place), terminals_of, "{option}");
    }
    let place = Place::new();
    let script = format!("{RECEIPT} exec --run r -q --tty=never -- sh -c '{KINDS}'");
    let (screen, _) = Terminal::run(&place, &["sh", "-c", &script]).end();
    assert_eq!(screen, "0 tty\r\n1 none\r\n2 none\r\n");
}

#[test]
fn every_byte_goes_through_a_terminal_unchanged() {
    let place = Place::new();
    let script = r"i=0; while [ $i -lt 256 ]; do printf \\$(printf %o $i); i=$((i+1)); done; seq 1 100000";
    let out = place.sh(&["-q", "--tty"], script);
    let all: Vec<u8> = (0..=255).collect();
    assert!(out.stdout.starts_with(&all) && out.stdout.ends_with(b"\n99999\n100000\n"));
    assert!(place.evidence("stdout") == out.stdout);
}

#[test]
fn input_is_the_terminal_itself_and_a_new_size_is_passed_on() {
    let place = Place::new();
    // Without a command substitution: a trap that comes while bash reads one breaks it.
    let script = "trap 'echo told' WINCH; echo ready; read line; echo got $line; \
                  until stty size <&2 | grep -qx '40 120'; do sleep 0.05; done; sleep 0.3 & wait; wait; echo resized";
    let mut terminal = Terminal::run(&place, &[RECEIPT, "exec", "--run", "r", "-q", "--", "bash", "-c", script]);
    terminal.until("ready");
    terminal.press("hello\n");
    terminal.until("got hello");
    terminal.size(40, 120);
    let (screen, status) = terminal.end();
    assert!(status.success() && screen.contains("told") && screen.contains("resized"), "{screen}");
    assert!(text(&place.evidence("stdout")).contains("got hello\n"));
}

#[test]
fn the_document_is_no_place_for_the_command() {
    let place = Place::new();
    let script = format!("{RECEIPT} --json exec --run r -- sh -c '{KINDS}' > document");
    let (screen, _) = Terminal::run(&place, &["sh", "-c", &script]).end();
    assert_eq!(screen, "0 tty\r\n1 tty\r\n2 tty\r\n");
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("document")).unwrap()).unwrap();
    assert_eq!(document["overall_verdict"], "pass");
}

#[test]
fn a_program_that_takes_its_keys_from_where_it_writes_gets_them() {
    let place = Place::new();
    // As a pager does: the keyboard is the terminal of its messages. It asks for single keys, and puts things right.
    let script = "before=$(stty -g <&2); stty -icanon -echo <&2; \
                  echo keys; head -c 1 <&2 > key; stty \"$before\" <&2; echo; echo got $(cat key); read line; echo then $line";
    let mut terminal = Terminal::run(&place, &[RECEIPT, "exec", "--run", "r", "-q", "--", "bash", "-c", script]);
    terminal.until("keys");
    terminal.press("q");
    terminal.until("got q");
    terminal.press("line\n");
    let (screen, status) = terminal.end();
    assert!(status.success() && screen.contains("then line"), "{screen}");
}
