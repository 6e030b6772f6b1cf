#!/usr/bin/env bash
# Builds the program that reads the files under deploy/ for tests/repository/deploy.
#
# It lands outside the tree, under a name made of the hash of its sources: changed sources build anew, unchanged ones do
# nothing. tests/repository/deploy/reader.rs looks for it in the same place.
set -euo pipefail

cd "$(dirname "$0")"
hash="$(cat go.mod go.sum main.go | sha256sum | cut -c 1-16)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/smscope/manifests/$hash"
binary="$cache/smscope-test-manifests"

if [ -x "$binary" ]; then
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "setup: Go is missing, so the reader of the files under deploy/ is not built" >&2
    exit 0
fi

echo "setup: building the reader of the files under deploy/ into $cache (about a minute, once)" >&2
mkdir -p "$cache"
building="$(mktemp "$cache/building.XXXXXX")"
trap 'rm -f "$building"' EXIT
go build -trimpath -o "$building" .
# Renaming within one file system is atomic: a build that is interrupted leaves nothing that looks complete.
mv "$building" "$binary"
