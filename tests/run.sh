#!/usr/bin/env bash
# Runs every test. Installs what is missing first: Debian packages (as root or through sudo), servers that
# others wrote, the vendors' SDKs. Everything listens on 127.0.0.1 and ends with the tests.
#
#   bash tests/run.sh                 everything
#   bash tests/run.sh --set-up        only install
#   bash tests/run.sh FILTER          only the end-to-end tests whose names contain FILTER
set -euo pipefail
cd "$(dirname "$0")/.."
export BRIGADE_TEST_TOOLS="${BRIGADE_TEST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/brigade-tests}"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
    local missing=()
    command -v cc >/dev/null || missing+=(build-essential)
    command -v python3 >/dev/null || missing+=(python3)
    python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    command -v npm >/dev/null || missing+=(nodejs npm)
    [ -x /usr/sbin/nginx ] || command -v nginx >/dev/null || missing+=(nginx-light)
    ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1 || missing+=(libfaketime)
    # A disk that ignores letter case, where the kernel has none.
    [ -x /usr/sbin/mount.exfat-fuse ] && [ -x /usr/sbin/mkfs.exfat ] || missing+=(exfat-fuse exfatprogs)
    [ "${#missing[@]}" = 0 ] && return
    as_root apt-get update -qq
    as_root apt-get install -y -qq "${missing[@]}"
}

# A tool of crates.io at a fixed version, built once.
install_crate() {
    local crate=$1 version=$2 program=$3
    shift 3
    if ! "$BRIGADE_TEST_TOOLS/bin/$program" --version 2>/dev/null | grep -q "$version"; then
        echo "installing $crate $version"
        CARGO_TARGET_DIR="$BRIGADE_TEST_TOOLS/target" cargo install --quiet --force --locked --root "$BRIGADE_TEST_TOOLS" \
            --version "$version" "$crate" "$@"
        rm -rf "$BRIGADE_TEST_TOOLS/target"
    fi
}

# A server of npm at a fixed version.
install_npm() {
    local package=$1 version=$2 program=$3 to=$BRIGADE_TEST_TOOLS/npm
    grep -qs "\"version\": \"$version\"" "$to/node_modules/$package/package.json" && [ -x "$to/node_modules/.bin/$program" ] && return
    echo "installing $package $version"
    npm install --silent --no-fund --no-audit --prefix "$to" "$package@$version"
}

# The vendors' SDKs and the servers that PyPI has, as tests/sdk/requirements.txt fixes them.
install_python() {
    local venv=$BRIGADE_TEST_TOOLS/venv stamp=$BRIGADE_TEST_TOOLS/venv/requirements.txt
    cmp -s tests/sdk/requirements.txt "$stamp" && return
    echo "installing the vendors' SDKs and servers"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt
    cp tests/sdk/requirements.txt "$stamp"
}

mkdir -p "$BRIGADE_TEST_TOOLS"
install_packages
install_crate s3s-fs 0.14.1 s3s-fs --features binary
install_crate cargo-deny 0.20.2 cargo-deny
install_npm azurite 3.37.0 azurite-blob
install_python
[ "${1:-}" = --set-up ] && exit 0

# All programs first: the end-to-end tests run them.
cargo build --quiet --workspace --all-targets --all-features
if [ $# -gt 0 ]; then
    exec cargo test --quiet -p tests --test e2e --all-features -- "$@"
fi
cargo test --quiet --workspace --all-features
