# The two commands: `make run` and `make test`. `make demo` is for a look at it all.

.PHONY: run test demo setup toolchain check deny bench soak fuzz

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
# systemd-analyze, strace, zsh, fish, an OpenTelemetry Collector, a reader of manifests, and Node.js with what generates the dashboards.
setup: toolchain
	scripts/setup.sh prometheus=prometheus promtool=prometheus sqlite3=sqlite3 curl=curl prlimit=util-linux \
		chromium=chromium groff=groff prometheus-alertmanager=prometheus-alertmanager amtool=prometheus-alertmanager \
		shellcheck=shellcheck systemd-analyze=systemd strace=strace mount=mount node=nodejs npm=npm zsh=zsh fish=fish
	tests/collector/build.sh
	tests/manifests/build.sh
	grafana/setup.sh
	tests/sidecar/relay/sdk/setup.sh

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

# What strangers send, made up by libFuzzer; a corpus grows in fuzz/corpus. cargo-fuzz wants nightly features: RUSTC_BOOTSTRAP has
# the one toolchain give them. There is no unsafe code for a sanitizer to watch.
FUZZ_SECONDS := 60
fuzz: toolchain
	@command -v cargo-fuzz >/dev/null || { echo "fuzz: missing: cargo-fuzz (cargo install cargo-fuzz --locked)" >&2; exit 1; }
	for target in provider json parameters otlp_answer configuration front_door; do \
		mkdir -p fuzz/corpus/$$target && \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-dict=fuzz/dictionary -max_len=4096 -max_total_time=$(FUZZ_SECONDS) || exit 1; \
	done
