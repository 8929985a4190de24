//! What `receipt exec` has put on record, and the command while it runs.

use crate::common::{Place, RECEIPT};
use receipt_kernel::core::json::{self, Limits};
use receipt_kernel::{BlobRef, EventType, Ledger, Snapshot, Value, Verdict};
use std::process::{Child, Command, Output, Stdio};

impl Place {
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open_read_only(self.ledger_path()).unwrap()
    }

    /// `receipt exec --run r OPTIONS -- sh -c SCRIPT`
    pub(crate) fn sh(&self, options: &[&str], script: &str) -> Output {
        let arguments = [&["exec", "--run", "r"], options, &["--", "sh", "-c", script]].concat();
        self.command(&arguments).output().unwrap()
    }

    /// As `sh`, and it goes on by itself. Signals are as a terminal has them, whatever the tests were started with: what
    /// was ignored (as `nohup` does with HUP) stays ignored, and a shell cannot even trap it.
    pub(crate) fn start(&self, script: &str) -> Child {
        let mut command = self.alone("env");
        command.arg("--default-signal=HUP,INT,QUIT,TERM").arg(RECEIPT);
        command.args(["exec", "--run", "r", "--", "sh", "-c", script]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.ledger().snapshot("r", &[]).unwrap()
    }

    pub(crate) fn evidence_ref(&self, key: &str) -> Option<BlobRef> {
        let snapshot = self.snapshot();
        let mut puts = snapshot.of_type(EventType::EvidencePut);
        let put = puts.find(|event| event.payload.get("key").and_then(Value::as_str) == Some(key))?;
        BlobRef::parse(put.payload.get("evidence")?.get("ref")?.as_str()?)
    }

    /// The bytes of evidence, its parts put together.
    pub(crate) fn evidence(&self, key: &str) -> Vec<u8> {
        let blob = self.evidence_ref(key).unwrap_or_else(|| panic!("no evidence {key}"));
        let ledger = self.ledger();
        let bytes = ledger.blob(&blob.0).unwrap().to_vec();
        let Ok(manifest) = json::parse(&bytes, Limits::READ) else { return bytes };
        let Some(parts) = manifest.get("parts").and_then(Value::as_array) else { return bytes };
        let part = |part: &Value| ledger.blob(&BlobRef::parse(part.get("ref")?.as_str()?)?.0).ok();
        let whole: Vec<u8> = parts.iter().flat_map(|value| part(value).unwrap().to_vec()).collect();
        assert_eq!(manifest.get("bytes_len").and_then(Value::as_i64), i64::try_from(whole.len()).ok());
        whole
    }

    pub(crate) fn recorded(&self, key: &str) -> Value {
        json::parse(&self.evidence(key), Limits::READ).unwrap()
    }

    /// The verdict on record, which the finished run must bear out.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let recorded = self.snapshot().facts().recorded_verdict;
        if let Some(verdict) = recorded {
            let again = self.ledger().evaluate("r", None).unwrap().overall_verdict;
            assert_eq!(again.worse(verdict), verdict, "the finished run is worse than it says");
        }
        recorded
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
