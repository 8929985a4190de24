//! The real command in an empty folder.
use crate::forge::Forger;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) const RECEIPT: &str = env!("CARGO_BIN_EXE_receipt");

/// As [`Place::alone`], in any folder.
pub(crate) fn alone(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("RECEIPT_"));
        if is_ours || ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"].iter().any(|other| name == *other) {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("XDG_STATE_HOME", folder).stdin(Stdio::null());
    command
}

/// The command on a ledger that is named, with `--json`. It remembers nothing that it verified.
pub(crate) fn on(ledger: &Path, args: &[&str]) -> Command {
    let mut command = alone(RECEIPT, ledger.parent().unwrap());
    command.env_remove("HOME").env_remove("XDG_STATE_HOME");
    command.args(["--json", "--ledger"]).arg(ledger).args(args);
    command
}

/// An empty folder, and the command in it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with a ledger in it.
    pub(crate) fn with_ledger() -> Self {
        let place = Self::new();
        place.ok(&["init"]);
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.path().join(".receipt/ledger.db")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.alone(RECEIPT);
        command.args(args);
        command
    }

    /// A program in this folder, without standard input. Nothing that the user of this machine has set for the command
    /// reaches it, and its pins lie in the folder too.
    pub(crate) fn alone(&self, program: &str) -> Command {
        alone(program, self.path())
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Standard output of a command that must give this status.
    pub(crate) fn gives(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.gives(0, args)
    }

    /// The one document of `--json`.
    pub(crate) fn json(&self, status: i32, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.gives(status, &args)).unwrap()
    }

    /// The kind of the error that must come.
    pub(crate) fn error(&self, status: i32, args: &[&str]) -> String {
        let document = self.json(status, args);
        let error = &document["error"];
        assert!(error["msg"].as_str().is_some_and(|msg| !msg.is_empty()) && error["hint"].is_string(), "{document}");
        error["kind"].as_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    /// Changes the closed ledger behind the kernel's back.
    pub(crate) fn tamper(&self, sql: &str) {
        Forger::open(&self.ledger_path()).sql(sql);
    }

    /// A run from its start to its end.
    pub(crate) fn whole_run(&self, run: &str) {
        self.ok(&["start", run]);
        self.ok(&["advance", run, "COLLECT"]);
        self.file("log.txt", b"all 12 tests passed\n");
        self.ok(&["put", run, "log", "log.txt", "--kind", "oracle:test_log"]);
        self.ok(&[
            "append",
            run,
            "REMEDIATION",
            "--payload",
            r#"{"n":123456789012345678901234567890,"f":1.0,"s":"\ud800"}"#,
        ]);
        self.ok(&["advance", run, "EVALUATE"]);
        self.ok(&["evaluate", run]);
        self.ok(&["advance", run, "DECIDE"]);
        self.ok(&["decide", run, "--basis", "the tests pass", "--plan", "release"]);
        self.ok(&["finalize", run, "--summary", "released"]);
    }
}
