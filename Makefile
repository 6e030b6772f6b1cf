# The two commands: `make run` and `make test`.

.PHONY: run test setup toolchain check deny bench

# Builds and starts smscope with no configuration. Needs Rust and a C compiler (for SQLite), nothing else.
run: toolchain
	cargo run --release

# All that has to hold. Tests whose peers are missing say so and are skipped; with CI=true they fail.
test: setup check deny
	cargo test

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

# What the tests need besides: Prometheus and promtool, the sqlite3 shell, Chromium, groff, an OpenTelemetry Collector, and
# Node.js with what generates the dashboards.
setup: toolchain
	scripts/setup.sh prometheus=prometheus promtool=prometheus sqlite3=sqlite3 curl=curl prlimit=util-linux \
		chromium=chromium groff=groff node=nodejs npm=npm
	tests/collector/build.sh
	grafana/setup.sh

toolchain:
	scripts/setup.sh 'cc=gcc libc6-dev'
	@command -v cargo >/dev/null || echo "setup: missing: cargo (Rust, by rustup)" >&2

# Licences, sources and duplicates of the dependencies, by deny.toml; offline.
deny:
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --offline check licenses bans sources; \
	else \
		echo "skipped: cargo-deny is not installed, so licences and duplicates were not checked"; \
	fi

bench:
	cargo bench
