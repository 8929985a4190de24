#!/usr/bin/env bash
# How many instructions the short commands take, each beside its bound. Unlike a time, the count is the same on every run.
# Usage: instructions.sh target/release/receipt; needs valgrind.
set -eu
program=$(realpath "$1")
command -v valgrind >/dev/null || { echo "SKIPPED: instruction counts: there is no valgrind"; exit 0; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export RECEIPT_LEDGER="$folder/receipt.db"
missed=0

# count NAME BOUND COMMAND...: the bound is in millions.
count() {
  name=$1 bound=$2
  shift 2
  taken=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null | sed -n 's/.*Collected : //p' | head -n 1)
  mark="ok    "
  [ "$taken" -le $((bound * 1000000)) ] || { mark=MISSED missed=$((missed + 1)); }
  printf '%s %-36s %8.1f M instructions  wanted <= %s M\n' "$mark" "$name" "$(echo "$taken" | awk '{print $1 / 1e6}')" "$bound"
}

"$program" init --quiet
"$program" start run --quiet
for line in $(seq 12); do echo "2026-11-25T12:00:0$line INFO worker $line: compiled the module, wrote 41 files, took 12 ms"; done | head -c 1024 > log.txt
count "append of a small payload" 12 "$program" append run DECISION '{"note": "deployed to staging"}'
count "put of 1 KiB" 20 "$program" put run log log.txt
count "exec -- true" 45 "$program" exec -- true
[ "$missed" = 0 ] || { echo "$missed missed"; exit 1; }
