#!/usr/bin/env bash
# Installs what the tests of fleet mode start: Debian's PostgreSQL and PgBouncer, and servers of the versions that Debian lacks.
#
# The latter land outside the tree, under a name made of the lock file's hash: a changed lock file installs again, an unchanged
# one does nothing, and all checkouts share them. tests/support/postgres/programs.rs looks for them in the same place.
set -euo pipefail

cd "$(dirname "$0")"
settings=/etc/postgresql-common/createcluster.d
if [ "$(id -u)" -eq 0 ] && [ ! -e "${settings%/*}" ]; then
    # While it is being installed, Debian's package would create a database cluster and start it.
    trap 'rm -f "$settings/smscope.conf"' EXIT
    mkdir -p "$settings"
    echo "create_main_cluster = false" >"$settings/smscope.conf"
fi
../../scripts/setup.sh pg_createcluster=postgresql /usr/sbin/pgbouncer=pgbouncer

hash="$(sha256sum package-lock.json | cut -c 1-16)"
versions="${XDG_CACHE_HOME:-$HOME/.cache}/smscope/postgres/$hash"

if [ -d "$versions" ]; then
    exit 0
fi
if ! command -v npm >/dev/null; then
    echo "setup: npm is missing, so fleet mode is tested with Debian's PostgreSQL alone (Node.js 20 or later)" >&2
    exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "setup: fleet mode is tested with the system's PostgreSQL alone: the other versions are packaged for Linux on x86-64" >&2
    exit 0
fi

echo "setup: installing PostgreSQL servers of other versions into $versions (200 MB, once)" >&2
mkdir -p "$(dirname "$versions")"
installing="$(mktemp -d "$versions.XXXXXX")"
trap 'rm -rf "$installing" "$settings/smscope.conf"' EXIT
cp .npmrc package.json package-lock.json "$installing"
cd "$installing"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
for package in node_modules/postgresql-*; do
    # An npm package has no symbolic links; the servers do not start without those of their libraries.
    node - "$package" <<'SCRIPT'
const { readFileSync, symlinkSync } = require("node:fs");
const { basename, join } = require("node:path");
const folder = process.argv[2];
for (const link of JSON.parse(readFileSync(join(folder, "native/pg-symlinks.json"), "utf8"))) {
    symlinkSync(basename(link.source), join(folder, link.target));
}
SCRIPT
    chmod a+x "$package"/native/bin/*
    mv "$package/native" "${package##*/postgresql-}"
done
rm -rf node_modules
chmod a+rx .
# Renaming within one file system is atomic: an installation that is interrupted leaves nothing that looks complete.
mv -T "$installing" "$versions"
