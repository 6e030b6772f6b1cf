# The two commands: `make run` and `make test`.

.PHONY: run test setup toolchain check deny bench soak

# Builds and starts smscope with no configuration. Needs Rust and a C compiler (for SQLite), nothing else.
run: toolchain
	cargo run --release

# All that has to hold. Tests whose peers are missing say so and are skipped; with CI=true they fail.
test: setup check deny
	cargo test

check:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

# What the tests need besides: Prometheus and promtool, the sqlite3 shell, Chromium, groff, strace, and an OpenTelemetry
# Collector.
setup: toolchain
	scripts/setup.sh prometheus=prometheus promtool=prometheus sqlite3=sqlite3 curl=curl prlimit=util-linux \
		chromium=chromium groff=groff strace=strace mount=mount
	tests/collector/build.sh

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

# The long forms of the tests that break things (docs/reliability.md has what they showed): about ten minutes, one after the other,
# and the same again with SEED=<the seed that it prints>. Each number can be set: make soak KILLS=1000.
SEED := $(shell date +%s)
KILLS := 300
CUTS := 100
BACKLOG := 1000000
IDLE := 10000
soak: setup
	SMSCOPE_SOAK_SEED=$(SEED) SMSCOPE_SOAK_KILLS=$(KILLS) SMSCOPE_SOAK_CUTS=$(CUTS) SMSCOPE_SOAK_BACKLOG=$(BACKLOG) \
		SMSCOPE_SOAK_IDLE=$(IDLE) cargo test --profile soak --test end_to_end --test reliability -- \
		--nocapture --test-threads 1 kills_under_load power far_end floods deluge upgrade disk
