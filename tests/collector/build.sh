#!/usr/bin/env bash
# Builds the Collector of the end-to-end tests from builder.yaml with the Collector's own builder.
#
# It lands outside the tree, under a name made of the manifest's hash: a changed manifest builds anew, an unchanged one
# does nothing. tests/support/peers/collector.rs looks for it in the same place.
set -euo pipefail

manifest="$(cd "$(dirname "$0")" && pwd)/builder.yaml"
hash="$(sha256sum "$manifest" | cut -c 1-16)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/smscope/collector/$hash"
binary="$cache/smscope-test-collector"

if [ -x "$binary" ]; then
    exit 0
fi
if ! command -v go >/dev/null; then
    echo "setup: Go is missing, so the OpenTelemetry Collector of the end-to-end tests is not built" >&2
    exit 0
fi

echo "setup: building the OpenTelemetry Collector of the end-to-end tests into $cache (some minutes, once)" >&2
mkdir -p "$cache"
work="$(mktemp -d "$cache/building.XXXXXX")"
trap 'rm -rf "$work"' EXIT
version="$(sed -n 's/^  version: //p' "$manifest")"
GOBIN="$work" go install "go.opentelemetry.io/collector/cmd/builder@v$version"
cp "$manifest" "$work/builder.yaml"
(cd "$work" && ./builder --config builder.yaml) >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
# Renaming within one file system is atomic: a build that is interrupted leaves nothing that looks complete.
mv "$work/build/smscope-test-collector" "$binary"
