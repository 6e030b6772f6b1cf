# The two commands: `make run` and `make test`. `make demo` is for a look at it all.

.PHONY: run test demo setup toolchain check deny bench

# Builds and starts smscope with no configuration. Needs Rust and a C compiler (for SQLite), nothing else.
run: toolchain
	cargo run --release

# Shows it with made-up traffic and a spike of failures: all of deploy/compose.yaml where a container engine runs, else smscope,
# Prometheus and Alertmanager. Ctrl-C ends it and removes everything.
demo:
	deploy/demo.sh

# All that has to hold. Tests whose peers are missing say so and are skipped; with CI=true they fail.
test: setup check deny
	cargo test

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

# What the tests need besides: Prometheus and promtool, Alertmanager and amtool, the sqlite3 shell, Chromium, groff, shellcheck,
# systemd-analyze, strace, an OpenTelemetry Collector, a reader of manifests, and Node.js with what generates the dashboards.
setup: toolchain
	scripts/setup.sh prometheus=prometheus promtool=prometheus sqlite3=sqlite3 curl=curl prlimit=util-linux \
		chromium=chromium groff=groff prometheus-alertmanager=prometheus-alertmanager amtool=prometheus-alertmanager \
		shellcheck=shellcheck systemd-analyze=systemd strace=strace node=nodejs npm=npm
	tests/collector/build.sh
	tests/manifests/build.sh
	grafana/setup.sh
	tests/relay/sdk/setup.sh

toolchain:
	scripts/setup.sh 'cc=gcc libc6-dev'
	@command -v cargo >/dev/null || echo "setup: missing: cargo (Rust, by rustup)" >&2

# Licences, sources and duplicates of the dependencies, by deny.toml. It reads all of Cargo.lock, so that what only other systems
# need has to be here as well; past that, nothing is asked of the network.
deny:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo fetch --locked --quiet && cargo deny --offline check licenses bans sources; \
	else \
		echo "skipped: cargo-deny is not installed, so licences and duplicates were not checked"; \
	fi

bench:
	cargo bench
