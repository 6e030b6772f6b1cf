#!/usr/bin/env bash
# Made v6.sql, with the last smscope of schema 6: v6.sh PROGRAM >v6.sql. It is here to say what is in it, not to be run again.
set -euo pipefail
folder="$(mktemp -d)"
export SMSCOPE_DATA_DIR="$folder" SMSCOPE_TOKEN=t0ken-of-the-tests SMSCOPE_LISTEN=127.0.0.1:17672 SMSCOPE_ADMIN_LISTEN=127.0.0.1:17673
"$1" >/dev/null 2>&1 &
smscope=$!
until curl -sf http://127.0.0.1:17673/readyz >/dev/null; do sleep 0.1; done
hook=http://127.0.0.1:17672/hooks/smsmode/$SMSCOPE_TOKEN
get() { curl -sS -o /dev/null "$hook?$1"; }
post() { curl -sS -o /dev/null -H 'content-type: application/json' -d "$1" "$hook"; }
get 'smsID=plus&statut=0&numero=%2B33612345678'
get 'smsID=national&statut=11&numero=0612345678&date_reception=2026-11-26%2020:00:05'
get 'smsID=no-plan&statut=0&numero=%2B999+12345678'
get 'smsID=bare&statut=0'
# Counted as two messages.
get 'smsID=twin&statut=0&numero=33612345678'
get 'smsID=twin&statut=011&numero=%2B33612345678'
get 'smsID=erased&statut=0&numero=%2B33698765432'
get 'emetteur=0612345678&message=oui&numero=36111&date_reception=01012026-122233'
post '{"messageId":"67C15045-96E8-4E5A-9C3B-0123456789AB","status":{"value":"ENROUTE"},"recipient":{"to":"33612345678"}}'
post '{"messageId":"time","status":{"value":"Delivered","deliveryDate":"2026-11-26T20:00:05"},"recipient":{"to":"33612345678"}}'
post '{"messageId":"0A0F1A28-2E33-4E1D-8D8D-0123456789AB","direction":"MO","from":"33612345678","body":{"text":"oui"}}'
# What this version did not understand.
post '{"messageId":"surrogate","status":{"value":"DELIVERED"},"recipient":{"to":"33612345678"},"refClient":"cut \ud83d"}'
post '{"click":"https://example.com/"}'
"$1" erase --recipient +33698765432 >/dev/null
kill -TERM $smscope
wait $smscope
echo "PRAGMA application_id = $(sqlite3 "$folder/private/smscope.db" 'PRAGMA application_id');"
echo "PRAGMA user_version = $(sqlite3 "$folder/private/smscope.db" 'PRAGMA user_version');"
sqlite3 "$folder/private/smscope.db" .dump
rm -r "$folder"
