//! Evidence far larger than the memory that it takes to put it on record.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // in helpers of tests
#![cfg(target_os = "linux")] // where a process can be held to so much data

mod common;

use common::Place;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::{Command, Output};

/// Runs the command with so many KiB of data.
fn within(place: &Place, kibibytes: u32, command: &str) -> Output {
    let script = format!("ulimit -d {kibibytes} && exec {} {command}", env!("CARGO_BIN_EXE_receipt"));
    Command::new("sh").args(["-c", &script]).current_dir(place.path()).env_remove("RECEIPT_LEDGER").output().unwrap()
}

const MEBIBYTES: usize = 96;

#[test]
fn evidence_is_put_and_written_out_in_less_than_32_mib() {
    let place = Place::with_ledger();
    place.ok(&["start", "r"]);
    let mut file = BufWriter::new(File::create(place.path().join("big.log")).unwrap());
    (0..MEBIBYTES << 14)
        .for_each(|line| writeln!(file, "line {line:08} of a long log, with nothing secret in it at all").unwrap());
    drop(file);
    let put = within(&place, 32 << 10, "put r log big.log");
    assert!(put.status.success(), "{put:?}");
    let cat = within(&place, 32 << 10, "cat r log | cmp - big.log");
    assert!(cat.status.success(), "{cat:?}");
    let verify = within(&place, 32 << 10, "verify --threads 1");
    assert!(verify.status.success(), "{verify:?}");
    // The same bound is felt by what does not stream.
    let document = within(&place, 32 << 10, "cat r log --json");
    assert!(!document.status.success());
}
