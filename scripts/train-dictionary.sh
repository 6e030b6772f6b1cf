#!/bin/sh
# Trains a dictionary for src/store/packing.rs on receipts of `smscope simulate`, in the order of members that the simulator
# writes and in that of the provider's documentation. Usage: scripts/train-dictionary.sh <smscope> <file to write>
# A dictionary that has been released never changes: another one has the next number. Needs jq and zstd.
set -eu
smscope=$(realpath "$1") written=$(realpath "$2")
folder=$(mktemp -d)
trap 'kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT
cd "$folder"
mkdir samples
export SMSCOPE_TOKEN=0123456789abcdef0123456789abcdef
"$smscope" serve >/dev/null 2>&1 & server=$!
until "$smscope" health >/dev/null 2>&1; do sleep 0.1; done
"$smscope" simulate --rate 200 --duration 20s --seed 5 >/dev/null 2>&1
"$smscope" export >events.jsonl
"$smscope" export --table requests >requests.jsonl

documented='{messageId, acceptedAt, sentDate, channel: (.channel | {channelId, name, type, flow}), type, direction, recipient, from,
  body: (.body | {text, encoding, messagePartCount, length, stop}), price,
  status: (.status | {deliveryDate, value, detail, lookup} | del(..|nulls)), refClient, campaignId, href}'
for order in . "$documented"; do
	jq --raw-output --null-input --slurpfile events events.jsonl "
		(\$events | map({key: (.position | tostring), value: del(.position, .received_at)}) | from_entries) as \$records
		| inputs | \$records[.position | tostring] as \$record | select(\$record.kind | startswith(\"message.\"))
		| (\$record | tojson), .method, (.content_type // \"\"), .query,
			(if .body == \"\" then \"\" else (.body | fromjson | $order | tojson) end)" requests.jsonl |
		split -a 6 -l 5 - "samples/$(printf %s "$order" | cksum | cut -d' ' -f1)."
done
zstd --quiet --train -r samples --maxdict=8192 -o "$written" --force
