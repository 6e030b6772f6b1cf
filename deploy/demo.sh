#!/usr/bin/env bash
# Shows smscope with made-up traffic: a spike of failures in the middle third, and the alerts that come of it.
#
# With a Docker or Podman engine that is all of compose.yaml; without one, what Debian has packages for. Ctrl-C ends it, and
# nothing is left behind: no process, no container, no data.
#
#   DEMO_DURATION   for how long messages are sent, 30m by default
#   DEMO_ENGINE     docker, podman or none; by default the first that is found
#   SMSCOPE         a binary to use instead of building one (without an engine)
set -euo pipefail
cd "$(dirname "$0")/.."

export DEMO_DURATION="${DEMO_DURATION:-30m}"
rules=alerts/smscope.rules.yaml
children=() names=() players=()

say() { printf '%s\n' "$@"; }
fail() {
    say "demo: $*" >&2
    exit 1
}

# Whose engine runs here and has Compose.
engine() {
    if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
        echo docker
    elif podman info >/dev/null 2>&1 && podman compose version >/dev/null 2>&1; then
        echo podman
    else
        echo none
    fi
}

with_engine() {
    local compose=("$1" compose -f deploy/compose.yaml -p smscope-demo --profile demo)
    # shellcheck disable=SC2064 # the array is gone when the trap runs
    trap "trap '' INT TERM; ${compose[*]} down --volumes --remove-orphans" EXIT
    BUILD_REVISION="$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)" "${compose[@]}" build
    "${compose[@]}" up --detach
    say "" \
        "  Grafana       http://127.0.0.1:3000/" \
        "  smscope       http://127.0.0.1:7673/" \
        "  Prometheus    http://127.0.0.1:9090/alerts" \
        "  Alertmanager  http://127.0.0.1:9093/" ""
    about_traffic
    "${compose[@]}" logs --follow --no-log-prefix simulate
    say "The traffic has ended; all stays up until Ctrl-C."
    while sleep 1; do :; done
}

without_engine() {
    # Each child in a process group of its own: Ctrl-C is heard here alone, and all ends in order.
    set -m
    say "Without a Docker or Podman engine that has Compose, this runs smscope, Prometheus and Alertmanager." \
        "Missing are Grafana (the dashboards), Loki (log records and the alerts on them) and the OpenTelemetry Collector."
    scripts/setup.sh prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager curl=curl
    for program in prometheus prometheus-alertmanager curl; do
        command -v "$program" >/dev/null || fail "$program is missing"
    done
    if [ -z "${SMSCOPE:-}" ]; then
        make --no-print-directory toolchain
        cargo build --release
        SMSCOPE=target/release/smscope
    fi

    folder="$(mktemp -d "${TMPDIR:-/tmp}/smscope-demo.XXXXXX")"
    trap end EXIT
    local webhooks admin prometheus alertmanager
    webhooks="$(free_port 7672)"
    admin="$(free_port "$((webhooks + 1))")"
    prometheus="$(free_port 9090)"
    alertmanager="$(free_port 9093)"
    # The configuration that Compose uses, with the addresses of this machine.
    sed -e "s/smscope:7673/127.0.0.1:$admin/; s/alertmanager:9093/127.0.0.1:$alertmanager/" \
        deploy/prometheus.yaml >"$folder/prometheus.yaml"
    cp alerts/smscope*.rules.yaml "$folder/"

    # With no settings but these, whatever the environment has.
    local smscope=(env -i "$SMSCOPE" --data-dir "$folder/data" --listen "127.0.0.1:$webhooks" --admin-listen "127.0.0.1:$admin")
    start smscope "${smscope[@]}"
    start alertmanager prometheus-alertmanager --config.file=deploy/alertmanager.yaml \
        --storage.path="$folder/alertmanager" --web.listen-address="127.0.0.1:$alertmanager" --cluster.listen-address=
    start prometheus prometheus --config.file="$folder/prometheus.yaml" --storage.tsdb.path="$folder/prometheus" \
        --web.listen-address="127.0.0.1:$prometheus"
    until_ready smscope "http://127.0.0.1:$admin/readyz"
    until_ready alertmanager "http://127.0.0.1:$alertmanager/-/ready"
    until_ready prometheus "http://127.0.0.1:$prometheus/-/ready"

    say "" \
        "  smscope       http://127.0.0.1:$admin/" \
        "  metrics       http://127.0.0.1:$admin/metrics" \
        "  Prometheus    http://127.0.0.1:$prometheus/alerts" \
        "  Alertmanager  http://127.0.0.1:$alertmanager/" ""
    about_traffic
    # In the background, so that Ctrl-C is heard at once. Its progress and its summary are for the terminal.
    "${smscope[@]}" simulate --scenario spike --seed random --duration "$DEMO_DURATION" &
    local simulate=$! status=0
    players=("$simulate")
    wait -n "$simulate" "${children[@]}" || status=$?
    still_running
    [ "$status" -eq 0 ] || fail "the simulation ended early"
    say "The traffic has ended; all stays up until Ctrl-C."
    # None of the others ends by itself.
    wait -n "${children[@]}" || true
    still_running
}

about_traffic() {
    say "Messages are sent for $DEMO_DURATION, 20 a second. In the middle third SFR in France fails; alerts come some minutes later, as" \
        "each has its time to wait. Ctrl-C ends it all; what was kept goes with it."
}

# The first port from $1 on at which nobody answers.
free_port() {
    local port="$1"
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
        port=$((port + 1))
    done
    echo "$port"
}

# start NAME COMMAND...: in the background, with a log of its own.
start() {
    local name="$1"
    shift
    "$@" >"$folder/$name.log" 2>&1 &
    children+=("$!") names+=("$name")
}

until_ready() {
    for _ in $(seq 300); do
        if curl --silent --fail --max-time 5 --output /dev/null "$2"; then
            return
        fi
        still_running
        sleep 0.2
    done
    fail "$1 is not ready after a minute; it says: $(tail -n 5 "$folder/$1.log")"
}

still_running() {
    for at in "${!children[@]}"; do
        kill -0 "${children[$at]}" 2>/dev/null ||
            fail "${names[$at]} has ended; it says: $(tail -n 5 "$folder/${names[$at]}.log")"
    done
}

end() {
    # A second Ctrl-C must not end the tidying up.
    trap '' INT TERM
    for child in ${players[@]+"${players[@]}"} ${children[@]+"${children[@]}"}; do
        kill "$child" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    rm -rf "$folder"
}

trap 'exit 0' INT TERM
[ -f "$rules" ] || fail "$rules is missing; expected the repository as it was checked out"
engine="${DEMO_ENGINE:-$(engine)}"
if [ "$engine" = none ]; then without_engine; else with_engine "$engine"; fi
