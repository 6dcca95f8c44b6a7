#!/usr/bin/env bash
# One-click import: installs what is missing, builds if there is no build, and runs the job of
# conf/local_job.toml. Edit that one file to point it at your own data.
#
#   bash import.sh                         asks what to do about an earlier run
#   bash import.sh --no-input --resume     goes on; --restart starts anew; --retry N retries failures
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD

binary() {
    local candidate
    for candidate in "$here/bin/brigade" "$here/target/release/brigade" "${CARGO_TARGET_DIR:-$here/target}/release/brigade"; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

fail() {
    echo "import.sh: $1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "a C compiler is missing: install it as root (apt-get install build-essential), then run this again"
    fi
}

install_missing() {
    # rustup installs here, and a shell that was open before does not know it yet.
    [ -d "${CARGO_HOME:-$HOME/.cargo}/bin" ] && PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null || fail "there is no Rust toolchain (cargo): install one, see https://rustup.rs"
    if ! command -v cc >/dev/null; then
        command -v apt-get >/dev/null || fail "a C compiler (cc) is missing: install one, then run this again"
        echo "import.sh: installing a C compiler, which some dependencies need" >&2
        as_root apt-get update -qq
        as_root apt-get install -y -qq build-essential >&2
    fi
}

if [ -z "$(binary)" ]; then
    install_missing
    echo "import.sh: building (once; a few minutes)" >&2
    quiet=()
    [ -t 2 ] || quiet=(--quiet)
    cargo build --release --locked "${quiet[@]}" --bin brigade >&2
fi
found=$(binary)
[ -n "$found" ] || fail "the build left no program: is another target directory configured for cargo?"
# What glibc keeps in heaps of its many threads is more than the program needs (mallopt(3)).
export MALLOC_ARENA_MAX="${MALLOC_ARENA_MAX:-2}"
exec "$found" --home "$here" import "$@"
