#!/bin/sh
# Run once by the image of PostgreSQL, on an empty data directory: the role of smscope, and the database that it owns.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$POSTGRES_PASSWORD" --username "$POSTGRES_USER" <<'SQL'
CREATE ROLE smscope LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE smscope OWNER smscope;
SQL
