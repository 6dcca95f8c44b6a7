#!/usr/bin/env bash
# One-click import: installs what is missing, builds if there is no build, and runs the job of
# conf/local_job.toml. Edit that one file to point it at your own data.
#
#   bash import.sh                         asks what to do about an earlier run
#   bash import.sh --no-input --resume     goes on; --restart starts anew; --retry N retries failures
set -euo pipefail
cd "$(dirname "$0")"

binary() {
    local candidate
    for candidate in bin/brigade target/release/brigade; do
        if [ -x "$candidate" ]; then
            echo "$candidate"
            return
        fi
    done
}

install_missing() {
    if ! command -v cargo >/dev/null; then
        echo "import.sh: there is no Rust toolchain (cargo): install one, for example with your distribution's rustup" >&2
        exit 1
    fi
    if ! command -v cc >/dev/null; then
        echo "import.sh: installing a C compiler, which some dependencies need" >&2
        if [ "$(id -u)" = 0 ]; then
            apt-get update -qq && apt-get install -y -qq build-essential
        else
            sudo apt-get update -qq && sudo apt-get install -y -qq build-essential
        fi
    fi
}

if [ -z "$(binary)" ]; then
    install_missing
    echo "import.sh: building (once; a few minutes)" >&2
    cargo build --release --locked --quiet --bin brigade
fi
exec "./$(binary)" --home . import "$@"
