//! Signals to `receipt exec`: the command gets each once, whoever sent it to whom, and the recorder outlives it.

use crate::common::{Place, RECEIPT};
use crate::recorded::{signal, text};
use crate::terminal::Terminal;
use receipt_kernel::{Value, Verdict};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A command that says what it caught, for a while after the first, and then ends.
fn counting(signals: &[&str]) -> String {
    let traps = signals.iter().map(|signal| format!("trap 'echo caught {signal}; left=10' {signal}; "));
    let wait = "left=-1; echo ready; while [ $left != 0 ]; do sleep 0.05 & wait; left=$((left-1)); done";
    traps.collect::<String>() + wait
}

/// `receipt exec` in a group of its own, as a shell's job is.
fn job(place: &Place, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = place.alone("env");
    command.args(["--default-signal", RECEIPT, "exec", "--run", "r", "-q", "--", "bash", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    (child, out)
}

fn kill(arguments: &[&str]) {
    assert!(Command::new("kill").args(arguments).status().unwrap().success());
}

/// The rest of what it says, and its status.
fn rest((mut child, mut out): (Child, BufReader<impl Read>)) -> (String, Option<i32>) {
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    (said, child.wait().unwrap().code())
}

/// The processes of a group.
fn members(group: u32) -> Vec<u32> {
    let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let in_group = |pid: &u32| {
        let stat = stat(*pid);
        let stat = stat.as_deref().and_then(|stat| stat.rsplit_once(") "));
        stat.and_then(|(_, rest)| rest.split(' ').nth(2)).is_some_and(|found| found == group.to_string())
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(in_group).collect()
}

#[test]
fn a_signal_to_the_whole_group_reaches_the_command_once() {
    for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "ALRM", "RTMIN"] {
        let place = Place::new();
        let job = job(&place, &counting(&[name]));
        kill(&["-s", name, "--", &format!("-{}", job.0.id())]);
        assert_eq!(rest(job), (format!("caught {name}\n"), Some(0)), "{name}");
        assert_eq!(place.verdict(), Some(Verdict::Pass));
    }
}

#[test]
fn a_signal_to_one_process_after_the_other_reaches_the_command_once() {
    // As systemd does it, and as `timeout` does, which signals its child and then its group.
    for by in ["systemd", "timeout"] {
        let place = Place::new();
        let job = job(&place, &counting(&["TERM"]));
        let group = job.0.id();
        if by == "timeout" {
            kill(&["-s", "TERM", "--", &group.to_string(), &format!("-{group}")]);
        } else {
            let all: Vec<String> = members(group).iter().map(u32::to_string).collect();
            // One of them may have ended meanwhile.
            let _ = Command::new("kill").args(["-s", "TERM", "--"]).args(all).output();
        }
        assert_eq!(rest(job), ("caught TERM\n".to_owned(), Some(0)), "{by}");
    }
}

#[test]
fn a_cleanup_under_timeout_is_not_interrupted() {
    let place = Place::new();
    let script = format!("exec env --default-signal timeout -s INT 1 {RECEIPT} exec --run r -q -- bash -c \"$0\"");
    let command = "trap 'echo saving; trap \"echo again; exit 1\" INT; sleep 0.5; echo saved; exit 0' INT; \
                   echo working; while :; do sleep 0.05; done";
    let out = place.alone("bash").args(["-c", &script, command]).output().unwrap();
    assert_eq!(text(&out.stdout), "working\nsaving\nsaved\n");
    assert_eq!(place.evidence("stdout"), out.stdout);
}

#[test]
fn a_signal_to_the_recorder_alone_is_passed_on_once() {
    for name in [
        "INT", "QUIT", "TERM", "HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "PWR", "RTMIN", "RTMIN+3", "RTMAX",
        "ABRT", "XCPU", "IO", "TRAP", "SYS", "STKFLT", "WINCH", "CONT", "URG",
    ] {
        let place = Place::new();
        let job = job(&place, &counting(&[name]));
        // The program `kill` does not know this one by its name.
        signal(&job.0, if name == "RTMAX" { "64" } else { name });
        assert_eq!(rest(job), (format!("caught {name}\n"), Some(0)), "{name}");
        assert_eq!(place.verdict(), Some(Verdict::Pass), "{name}");
    }
}

#[test]
fn a_signal_ends_the_command_and_the_run_is_finalized() {
    for (name, number) in [("TERM", 15), ("HUP", 1), ("INT", 2), ("ALRM", 14), ("XCPU", 24)] {
        let place = Place::new();
        let job = job(&place, "ulimit -c 0; echo ready; exec sleep 30");
        signal(&job.0, name);
        assert_eq!(rest(job), (String::new(), Some(128 + number)), "{name}");
        assert_eq!(place.recorded("exit_status").get("signal").and_then(Value::as_i64), Some(i64::from(number)));
        assert_eq!(place.evidence("stdout"), b"ready\n");
        assert_eq!(place.verdict(), Some(Verdict::Fail));
    }
}

#[test]
fn what_is_ignored_stays_ignored() {
    let place = Place::new();
    let mut command = place.alone("env");
    let script = "echo ready; kill -HUP $$; sleep 0.5; echo still here";
    command.args(["--ignore-signal=HUP", RECEIPT, "exec", "--run", "r", "-q", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    signal(&child, "HUP");
    assert_eq!(rest((child, out)), ("still here\n".to_owned(), Some(0)));
}

#[test]
fn ctrl_c_reaches_the_command_once_in_the_terminals_session_and_in_its_own() {
    for before in [&[][..], &["setsid"]] {
        let place = Place::new();
        let script = counting(&["INT"]);
        let command = [&[RECEIPT, "exec", "--run", "r", "-q", "--"], before, &["bash", "-c", &script]].concat();
        let mut terminal = Terminal::run(&place, &command);
        terminal.until("ready");
        terminal.press("\x03");
        let (screen, status) = terminal.end();
        assert_eq!(screen.matches("caught INT").count(), 1, "{before:?}: {screen}");
        assert!(status.success(), "{before:?}");
        assert_eq!(text(&place.evidence("stdout")), "ready\ncaught INT\n", "{before:?}");
    }
}

#[test]
fn a_job_is_stopped_and_goes_on() {
    let place = Place::new();
    let mut shell = Terminal::run(&place, &["bash", "--norc", "--noprofile", "-i"]);
    // A shell that starts a program with vfork cannot be stopped until the program runs, and the program may be stopped
    // before it does: so what says the word becomes the program.
    shell.press(&format!(
        "PS1='> '; {RECEIPT} exec --run r -q -- sh -c '(echo on''e; exec sleep 1); echo tw''o'; echo status $?\n"
    ));
    shell.until("one\r\n");
    shell.press("\x1a");
    shell.until("Stopped");
    shell.press("fg\n");
    shell.until("two\r\n");
    // In the background, and a signal to all of the job.
    shell.press(&format!("{RECEIPT} exec --run s -q -- bash -c 'echo thr''ee; exec sleep 30' & sleep 0.5; kill -TERM %1; wait %1; echo end''ed $?\n"));
    shell.until("ended 143");
    shell.press("exit\n");
    shell.end();
    assert_eq!(place.evidence("stdout"), b"one\ntwo\n");
    assert_eq!(place.verdict(), Some(Verdict::Pass));
}

/// The state of a process, such as `T` for one that is stopped.
fn state(pid: &str) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").map(|(_, rest)| rest[..1].to_owned()).unwrap_or_default()
}

fn until_state(pid: &str, wanted: &str) {
    for _ in 0..400 {
        if state(pid) == wanted {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("process {pid} is {} and not {wanted}", state(pid));
}

#[test]
fn stopping_and_continuing_are_passed_on() {
    let place = Place::new();
    // In a group that nobody outside of it watches over, the system drops TSTP. So a shell of ours has the group, and the
    // recorder is no job of that shell: it does not stop itself, as nobody would continue it.
    let script = format!(
        "{RECEIPT} exec --run r -q -- sh -c 'echo command $$; while :; do sleep 0.1; done' & echo recorder $!; wait $!"
    );
    let mut command = place.alone("env");
    command.args(["--default-signal", "bash", "-c", &script]).process_group(0).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut recorder, mut pid) = (String::new(), String::new());
    for line in out.by_ref().lines().take(2).map(Result::unwrap) {
        match line.split_once(' ') {
            Some(("recorder", id)) => id.clone_into(&mut recorder),
            Some(("command", id)) => id.clone_into(&mut pid),
            _ => panic!("{line}"),
        }
    }
    for _ in 0..2 {
        kill(&["-s", "TSTP", &recorder]);
        until_state(&pid, "T");
        assert_ne!(state(&recorder), "T");
        kill(&["-s", "CONT", &recorder]);
        until_state(&pid, "S");
    }
    kill(&["-s", "TERM", &recorder]);
    assert_eq!(rest((child, out)).1, Some(143));
}

/// A process namespace, whose processes are in a group and in a session of the outside; `None` where none can be made.
fn in_namespace(place: &Place) -> Option<Command> {
    let unshare = || {
        let mut command = place.alone("env");
        command.args(["--default-signal", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command
    };
    if unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return Some(unshare());
    }
    // Past the capture of test output, so that it is seen.
    std::io::stderr().write_all(b"SKIPPED: no process namespace can be made here\n").unwrap();
    None
}

#[test]
fn in_a_container_whose_group_and_session_are_outside_signals_are_passed_on() {
    let place = Place::new();
    let Some(mut command) = in_namespace(&place) else { return };
    let script = r#""$0" exec --run r -q -- bash -c 'echo $$ > command; trap "exit 7" TERM; while :; do sleep 0.1; done' &
        state() { until grep -q "^State:.$1" /proc/$(cat command)/status; do sleep 0.02; done; echo $1; }
        until [ -s command ]; do sleep 0.02; done
        kill -TSTP $!; state T; kill -CONT $!; state S; kill -TERM $!; wait $!; echo $?"#;
    let out = command.args(["timeout", "60", "bash", "-c", script, RECEIPT]).output().unwrap();
    assert_eq!(text(&out.stdout), "T\nS\n7\n", "{}", text(&out.stderr));
    // One that does not end the processes around it, to the whole group.
    let place = Place::new();
    let mut command = in_namespace(&place).unwrap();
    command.args([RECEIPT, "exec", "--run", "r", "-q", "--", "bash", "-c", &counting(&["WINCH"])]).process_group(0);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    kill(&["-s", "WINCH", "--", &format!("-{}", child.id())]);
    assert_eq!(rest((child, out)), ("caught WINCH\n".to_owned(), Some(0)));
}

#[test]
fn as_process_1_it_reaps_and_is_told_to_stop() {
    let place = Place::new();
    let Some(mut command) = in_namespace(&place) else { return };
    command.args([RECEIPT, "exec", "--run", "r", "-q", "--", "bash", "-c"]);
    // Orphans, and how many of them are left as zombies.
    let script = "for n in 1 2 3 4 5; do (sleep 0.1 & ) ; done; sleep 1; \
                  cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' ; exit 3";
    let out = command.arg(script).output().unwrap();
    assert_eq!((text(&out.stdout).as_str(), out.status.code()), ("0\n", Some(3)), "{}", text(&out.stderr));
    assert_eq!(place.evidence("stdout"), b"0\n");
}

#[test]
fn nothing_of_the_recorder_is_left_behind() {
    let place = Place::new();
    let job = job(&place, "echo ready; read line < /dev/null");
    let group = job.0.id();
    assert_eq!(rest(job).1, Some(1));
    assert!(members(group).is_empty());
}
