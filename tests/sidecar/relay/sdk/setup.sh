#!/usr/bin/env bash
# Installs the libraries that read what relays send, when package-lock.json has changed.
set -euo pipefail
cd "$(dirname "$0")"

if [ node_modules/.installed -nt package-lock.json ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "setup: npm is missing, so what relays send is not read by the libraries of others (Node.js 20 or later)" >&2
    exit 0
fi
echo "setup: installing the libraries of tests/sidecar/relay/sdk" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
touch node_modules/.installed
