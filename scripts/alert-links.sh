#!/usr/bin/env bash
# Puts your addresses into the links of rule files, in place: `dashboard` under your Grafana, `runbook_url` where you read
# docs/runbooks. Works on all forms: alerts/*.rules.yaml, alerts/grafana/*.yaml and deploy/kubernetes/prometheusrule*.yaml.
#
#   scripts/alert-links.sh https://grafana.example.org https://wiki.example.org/smscope/runbooks FILE...
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: $0 GRAFANA_URL RUNBOOKS_URL FILE..." >&2
    exit 64
fi
grafana="${1%/}" runbooks="${2%/}"
shift 2
for url in "$grafana" "$runbooks"; do
    case "$url" in
        http://* | https://*) ;;
        *) echo "$0: expected a URL that begins with http:// or https://, not $url" >&2 && exit 64 ;;
    esac
done
# `|` and `&` mean something to sed.
escape() { printf '%s' "$1" | sed 's/[|&\\]/\\&/g'; }
sed -i -E \
    -e "s|(dashboard: [\"']?)https?://[^ \"']*/d/|\\1$(escape "$grafana")/d/|" \
    -e "s|(runbook_url: [\"']?)https?://[^ \"']*/([A-Za-z]+\\.md)|\\1$(escape "$runbooks")/\\2|" \
    -- "$@"
