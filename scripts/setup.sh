#!/usr/bin/env bash
# Makes sure that programs are there: setup.sh 'PROGRAM=PACKAGE PACKAGE'...
#
# What is missing is installed with apt-get where that can be done without asking anyone; else one line names it.
set -euo pipefail

missing=() packages=()
for need in "$@"; do
    if ! command -v "${need%%=*}" >/dev/null; then
        missing+=("${need%%=*}")
        read -ra names <<<"${need#*=}"
        packages+=("${names[@]}")
    fi
done
if [ "${#missing[@]}" -eq 0 ]; then
    exit 0
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing ${packages[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    if log="$(apt-get update -q 2>&1 && apt-get install -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends "${packages[@]}" 2>&1)"; then
        exit 0
    fi
    tail -n 5 <<<"$log" >&2
fi
echo "setup: missing: ${missing[*]} (Debian packages: ${packages[*]})" >&2
