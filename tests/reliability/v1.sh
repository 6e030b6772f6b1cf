#!/usr/bin/env bash
# Made v1.sql, with the smscope of schema 1: v1.sh PROGRAM >v1.sql. It is here to say what is in it, not to be run again.
set -euo pipefail
folder="$(mktemp -d)"
export SMSCOPE_DATA_DIR="$folder" SMSCOPE_TOKEN=t0ken-of-the-tests SMSCOPE_LISTEN=127.0.0.1:17672 SMSCOPE_ADMIN_LISTEN=127.0.0.1:17673
export OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=http://127.0.0.1:1/v1/logs
"$1" >/dev/null 2>&1 &
smscope=$!
until curl -sf http://127.0.0.1:17673/readyz >/dev/null; do sleep 0.1; done
hook=http://127.0.0.1:17672/hooks/smsmode/$SMSCOPE_TOKEN
send() { curl -sS -o /dev/null -H 'content-type: application/json' -d "$1" "$hook"; }
receipt() {
    printf '{"messageId":"%s","type":"SMS","direction":"MT","recipient":{"to":"33612345678"},"status":{"value":"%s"%s}%s}' \
        "$1" "$2" "${3-}" "${4-}"
}
send "$(receipt pending ENROUTE)"
send "$(receipt delivered DELIVERED '' ',"price":{"amount":"0.045","currency":"EUR"},"body":{"text":"Bonjour","messagePartCount":2}')"
send "$(receipt failed UNDELIVERED ',"detail":"BLACKLISTED"')"
send "[$(receipt listed-1 DELIVERED),$(receipt listed-2 READ)]"
send '{"messageId":"reply","direction":"MO","from":"33612345678","recipient":{"to":"36034"},"body":{"text":"Merci"},"originMessageId":"delivered"}'
send '{"messageId":"stop","direction":"MO","from":"33612345678","recipient":{"to":"36034"},"body":{"text":"STOP"}}'
send '{"click":"https://example.com/"}'
curl -sS -o /dev/null "$hook?smsID=legacy&statut=11&numero=33612345678&date_reception=2026-11-01%2012:00:00"
curl -sS -o /dev/null "$hook?traceparent=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01&smsID=legacy&statut=100&numero=33612345678"
kill -TERM $smscope
wait $smscope
echo "PRAGMA application_id = $(sqlite3 "$folder/private/smscope.db" 'PRAGMA application_id');"
echo "PRAGMA user_version = $(sqlite3 "$folder/private/smscope.db" 'PRAGMA user_version');"
sqlite3 "$folder/private/smscope.db" .dump
rm -r "$folder"
