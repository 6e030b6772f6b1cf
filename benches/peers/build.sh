#!/usr/bin/env bash
# Builds the programs that the benchmark compares smscope with, and prints the folder that they are in.
#
# It lies outside the tree, under a name made of what it is built from: what has changed is built again, what has not is there.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
hash="$(cat "$here/collector/builder.yaml" "$here"/benthos/go.* "$here/benthos/main.go" | sha256sum | cut -c 1-16)"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/smscope/peers/$hash"
mkdir -p "$cache"

if [ ! -x "$cache/benthos" ]; then
    (cd "$here/benthos" && go build -o "$cache/benthos.new" .) >&2
    mv "$cache/benthos.new" "$cache/benthos"
fi
if [ ! -x "$cache/collector" ]; then
    work="$(mktemp -d "$cache/building.XXXXXX")"
    trap 'rm -rf "$work"' EXIT
    version="$(sed -n 's/^  version: //p' "$here/collector/builder.yaml")"
    GOBIN="$work" go install "go.opentelemetry.io/collector/cmd/builder@v$version" >&2
    cp "$here/collector/builder.yaml" "$work/builder.yaml"
    (cd "$work" && ./builder --config builder.yaml) >&2
    mv "$work/build/smscope-bench-collector" "$cache/collector"
fi
echo "$cache"
