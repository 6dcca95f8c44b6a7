#!/usr/bin/env bash
# Measures Brigade, beside rclone where it is in PATH: see main.rs. Data and servers live in memory where there is room,
# so that a disk does not count.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash tests/run.sh --set-up
room=$(df --output=avail -B1M /dev/shm 2>/dev/null | tail -1 || echo 0)
if [ -z "${TMPDIR:-}" ] && [ "$room" -gt 12000 ]; then export TMPDIR=/dev/shm; fi
cargo build --quiet --release -p console@0.1.0
exec cargo bench --quiet -p tests --bench bench -- "$@"
