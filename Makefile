# The project's commands. `make demo` runs the main job on a fresh machine, `make test` passes the tests.

CARGO ?= cargo
BACKEND ?= bubblewrap
PREFIX ?= /usr/local
DESTDIR ?=
# What is installed and packed: release or debug.
BUILD ?= release
BUILD_FLAGS := $(if $(filter release,$(BUILD)),--release)
DIST ?= dist
VERSION ?= $(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# The programs that run beside the agent. The guard runs in an image that holds nothing else, so they are linked statically.
# Neither where the sources lie nor where Rust does is in them: a build in another directory gives the same bytes (`make reproducible`).
STATIC_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
RUST_SOURCES := $(shell rustc --print sysroot)/lib/rustlib/src/rust=/rustc/$(shell rustc -vV | sed -n 's/^commit-hash: //p')
CARGO_DIRECTORY := $(or $(CARGO_HOME),$(HOME)/.cargo)
STATIC_FLAGS := CARGO_ENCODED_RUSTFLAGS="$$(printf '%s\037%s\037%s\037%s\037%s' -C target-feature=+crt-static \
  '--remap-path-prefix=$(CURDIR)=/claude-bottle' '--remap-path-prefix=$(CARGO_DIRECTORY)=/cargo' '--remap-path-prefix=$(RUST_SOURCES)')"
LIBEXEC := target/libexec/claude-bottle
COMPANIONS := egress-guard bottle-guest
COMPANION_PACKAGES := claude-bottle-egress-guard claude-bottle-guest
BACKENDS := docker bubblewrap podman kubernetes fake

# Whose engine the docker tests run on besides this machine's.
SUITE ?= trixie

# Tests with a bound on time were late now and then with more than one test for each processor.
TEST_THREADS ?= $(shell nproc)
# A background job of a script ignores interrupts, and so would all that the tests start.
DEFAULT_SIGNALS := env --default-signal

CONTAINER_TESTS := e2e engine pod
UNDER_EACH := egress:: headless:: values:: forward:: ssh:: results::ends::
OTHER_TESTS := adversarial cli conformance golden kit layout live manifests plugins tidy
TESTED = CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=$(TEST_THREADS) $(DEFAULT_SIGNALS) $(CARGO) test --locked --workspace

.PHONY: help build companions setup demo test test-setup test-compile test-containers test-others test-others-and-engine test-engine test-cluster test-ssh test-workspaces test-intercept test-agents test-trees test-hundred agent-image images lint bench check deny typos unused outdated semver fuzz crates reproducible \
  install package sbom release book clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

build: companions ## Build the host, the plug-ins and the programs that run beside the agent
	$(CARGO) build --locked --workspace

# A program that did not change is left alone: its hash names an image.
companions:
	$(STATIC_FLAGS) $(CARGO) build --locked --release --target $(STATIC_TARGET) $(COMPANION_PACKAGES:%=--package %)
	@mkdir -p $(LIBEXEC)
	@for name in $(COMPANIONS); do \
	  built=target/$(STATIC_TARGET)/release/$$name; \
	  cmp -s $$built $(LIBEXEC)/$$name || { cp $$built $(LIBEXEC)/$$name.new && mv $(LIBEXEC)/$$name.new $(LIBEXEC)/$$name; }; \
	done

setup: ## Make an engine answer and a base image exist, installing what is missing
	@tests/setup/engine.sh
	@tests/setup/base-image.sh >/dev/null

demo: ## Run the real Claude Code CLI in a bottle, end to end
	@tests/demo.sh $(BACKEND)

test: ## Set up, build and run every test
	@tests/setup/test-tools.sh
	@$(MAKE) --no-print-directory --jobs=2 test-setup build
	@$(MAKE) --no-print-directory --jobs=2 agent-image test-compile
	@$(MAKE) --no-print-directory --jobs=2 test-others-and-engine test-containers-beside

# What takes the network, while the processors build.
test-setup: setup
	@tests/setup/claude.sh >/dev/null
	@tests/setup/gvisor.sh >/dev/null
	@tests/setup/other-engine.sh $(SUITE) >/dev/null

# The same: what a bottle is made from, while the tests are compiled.
agent-image:
	@tests/setup/agent-image.sh
	@CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) tests/setup/podman.sh >/dev/null

test-compile:
	$(CARGO) test --locked --workspace --no-run

# What mostly waits for an engine runs at the same time as what needs the processors. tests/tidy.rs holds that each test is in one of the two.
test-containers:
	$(TESTED) $(CONTAINER_TESTS:%=--test %)

test-others:
	$(TESTED) --lib --bins $(OTHER_TESTS:%=--test %)
	$(TESTED) --doc

# More at a time gains nothing, since the processors are busy, and makes what waits wait longer.
test-others-and-engine: test-others
	@$(MAKE) --no-print-directory test-engine

# What runs at the same time as another is shown when it is over, and whole when it failed.
%-beside:
	@mkdir -p .cache
	@$(MAKE) --no-print-directory $* >.cache/$*.log 2>&1 || { cat .cache/$*.log; exit 1; }
	@echo "$* (.cache/$*.log):"
	@grep '^test result: ok' .cache/$*.log

# The engine has no network, so nothing can be built or fetched in it. It sees other files than this machine's, so that no guard is a process
# of this machine. Of the whole workspace, nothing is compiled anew. DOCKERD is
# options of dockerd, such as --userns-remap=default.
test-engine: ## Run the docker tests on the engine of a Debian SUITE, as DOCKERD sets it up
	$(DEFAULT_SIGNALS) tests/on-engine.sh $(SUITE) $(DOCKERD) -- \
	  sh -ec '$(CARGO) test --locked --offline --workspace --test engine -- --skip images:: --skip host_guard:: --skip with_a_guard_of_this_machine && \
	    $(CARGO) test --locked --offline --workspace --test e2e -- below_http:: --skip a_guard_of_this_machine'

images: setup build ## Make the images of the agent and of the guard in this machine's engine, for a cluster's registry
	@tests/setup/agent-image.sh
	@tests/setup/guard-image.sh

# A cluster of one node in namespaces of its own, compiled once. The images come from the engine.
test-cluster: images ## Run the tests of Pods on a Kubernetes cluster of one node; the first time it is compiled, and takes the network
	@tests/setup/cluster.sh >/dev/null
	$(CARGO) test --locked --workspace --no-run --test e2e --test conformance
	IMAGES="claude-bottle:latest $$(tests/setup/guard-image.sh)" $(DEFAULT_SIGNALS) tests/on-cluster.sh -- sh -ec ' \
	  RUST_TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --offline --workspace --test e2e --test conformance -- --ignored kubernetes --skip kubernetes::kills; \
	  RUST_TEST_THREADS=1 $(CARGO) test --locked --offline --workspace --test e2e -- --ignored kubernetes::kills'

test-ssh: setup build ## Run tests of the docker backend with its engine reached by ssh, through an sshd of their own
	$(DEFAULT_SIGNALS) tests/over-ssh.sh $(CARGO) test --locked --workspace --test e2e -- \
	  headless:: live_policy:: results::ends:: results::keep:: resume:: forward:: terminal:: suspend:: values:: --skip bubblewrap --skip podman

test-workspaces: setup build ## Build and test projects of the registries in bottles, run their clients and programs of the distribution; takes the network
	@tests/setup/workspaces.sh >/dev/null
	@tests/setup/workspaces-image.sh >/dev/null
	@tests/setup/clients.sh >/dev/null
	@tests/setup/browsers.sh >/dev/null
	@tests/setup/publishers.sh >/dev/null
	@tests/setup/programs-image.sh >/dev/null
	CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=1 $(DEFAULT_SIGNALS) \
	  $(CARGO) test --locked --workspace --test e2e -- --ignored --nocapture workspaces:: programs:: registry_clients:: trust_clients:: publish:: browsers::
	$(CARGO) test --locked --workspace --lib -- --ignored authority::clients::

# Where nothing is opened a bottle has no trust files: the two that look at them are left out, and pipelock, which opens nothing.
test-intercept: setup build ## Run tests of the way out, and the main job, where the guard looks into the HTTPS of those hosts alone that need it, and of none
	for value in needed none; do \
	  CLAUDE_BOTTLE_TEST_INTERCEPT=$$value CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=$(TEST_THREADS) $(DEFAULT_SIGNALS) \
	    $(CARGO) test --locked --workspace --test e2e -- $(UNDER_EACH) --skip nothing_goes_out_below_http --skip real_clients_reach --skip pipelock || exit 1; \
	done

test-agents: setup build ## Start the real Codex, Gemini CLI, OpenCode and Aider in bottles, each against a stand-in of its API; takes the network
	@tests/setup/agents.sh >/dev/null
	CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=1 $(DEFAULT_SIGNALS) \
	  $(CARGO) test --locked --workspace --test e2e -- --ignored agents::

test-trees: setup build ## Take published trees through bottles and back, exactly: 80,000 files of Debian's kernel source among them; takes the network
	@tests/setup/trees.sh >/dev/null
	CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=1 $(DEFAULT_SIGNALS) \
	  $(CARGO) test --locked --workspace --test e2e -- --ignored --nocapture results::exact::

test-hundred: setup build ## Run a hundred bottles on docker at once, and two hundred on bubblewrap; prints what they cost
	CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) RUST_TEST_THREADS=1 $(DEFAULT_SIGNALS) \
	  $(CARGO) test --locked --workspace --test e2e -- --ignored --nocapture failure::hundred::

lint: ## Check formatting, lints and documentation as CI does
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --quiet

# `make bench results` measures that alone; without a subject everything is measured.
SUBJECTS := load docker bubblewrap guard policy caught opened inspection results kubernetes
.PHONY: $(SUBJECTS)
$(SUBJECTS): ; @:

check: ## What a contributor looks at first: formatting, rules of style, the manifest, pure parts; needs no engine
	$(CARGO) fmt --all --check
	$(CARGO) test --locked --workspace --lib --bins --test tidy --test manifests --test golden --test layout

deny: ## Check licences, sources and advisories of what we depend on; takes the network
	@command -v cargo-deny >/dev/null || { echo "cannot find cargo-deny: cargo +stable install --locked cargo-deny" >&2; exit 1; }
	$(CARGO) deny --locked check

typos: ## Look for misspelt words; typos.toml has those that are meant
	@command -v typos >/dev/null || { echo "cannot find typos: cargo +stable install --locked typos-cli" >&2; exit 1; }
	typos

unused: ## Look for dependencies that nothing uses
	@command -v cargo-shear >/dev/null || { echo "cannot find cargo-shear: cargo +stable install --locked cargo-shear" >&2; exit 1; }
	$(CARGO) shear --locked

outdated: ## Show which dependencies have newer versions; takes the network
	$(CARGO) update --dry-run --verbose

# SINCE is a revision; without it the last release's, or the commit that gave plugin-api its version.
SINCE ?=
semver: ## Hold the interface of plugin-api against an earlier one
	@tests/semver.sh $(SINCE)

FUZZ_SECONDS ?= 60
fuzz: ## Run each fuzz target for FUZZ_SECONDS
	@tests/fuzz.sh $(FUZZ_SECONDS)

# Each is built from its package alone, as whoever depends on it gets it.
PUBLISHED := claude-bottle-plugin-api claude-bottle-egress-policy claude-bottle-kit
crates: ## Pack the crates that backends outside of this repository depend on, and build each from its package
	@# cargo knows a package by name and version, and would build against an earlier state of one that was packed here before.
	@rm -rf $(PUBLISHED:%=$(CARGO_DIRECTORY)/registry/src/-*/%-[0-9]*) $(PUBLISHED:%=$${CARGO_TARGET_DIR:-target}/debug/.fingerprint/%-*)
	$(CARGO) package --locked --allow-dirty $(PUBLISHED:%=--package %)

reproducible: ## Build the guard and the guest program in two directories, and compare their hashes
	@tests/reproducible.sh $(COMPANIONS)

# Where the figures are kept; what is in it already is what they are compared with. `JSON=docs/performance.json` is what the document is made from.
JSON ?= target/bench.json
ROUNDS ?= 15
# A cluster is started where it is named, and not by `make bench` alone.
BENCH_NAMED = $(filter $(SUBJECTS),$(MAKECMDGOALS))
BENCH_REST = $(if $(BENCH_NAMED),$(filter-out kubernetes,$(BENCH_NAMED)),all)
BENCH = target/release/bench --rounds $(ROUNDS) --json $(JSON)
bench: setup companions ## Measure, as ratios side by side in one run: all of it, or the subjects named behind; says how ratios changed since the last run
	$(CARGO) build --locked --release --workspace
	@tests/setup/bench-tools.sh
	@$(if $(BENCH_REST),CLAUDE_BOTTLE_BASE_IMAGE=$$(tests/setup/base-image.sh) SANDBOX_RUNTIME=$$(tests/setup/sandbox-runtime.sh) $(BENCH) $(filter-out all,$(BENCH_REST)),:)
	@$(if $(filter kubernetes,$(BENCH_NAMED)),IMAGES="claude-bottle:latest $$(tests/setup/guard-image.sh)" tests/on-cluster.sh -- $(BENCH) kubernetes,:)

install: companions ## Install below PREFIX (default /usr/local)
	$(CARGO) build --locked $(BUILD_FLAGS) --workspace
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/claude-bottle $(DESTDIR)$(PREFIX)/lib/claude-bottle/plugins
	install -m 755 target/$(BUILD)/claude-bottle $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(COMPANIONS:%=$(LIBEXEC)/%) $(DESTDIR)$(PREFIX)/libexec/claude-bottle/
	for name in $(filter-out fake,$(BACKENDS)); do \
	  file=target/$(BUILD)/libclaude_bottle_backend_$$name.so; \
	  if [ -f $$file ]; then install -m 755 $$file $(DESTDIR)$(PREFIX)/lib/claude-bottle/plugins/claude-bottle-backend-$$name.so; fi; \
	done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
	  $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/share/man/man1
	target/$(BUILD)/claude-bottle completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/claude-bottle
	target/$(BUILD)/claude-bottle completions zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_claude-bottle
	target/$(BUILD)/claude-bottle completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/claude-bottle.fish
	target/$(BUILD)/claude-bottle man $(DESTDIR)$(PREFIX)/share/man/man1

package: ## Make the files of a release below DIST (default dist): a tarball, a Debian package, their checksums
	@rm -rf target/stage
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/target/stage PREFIX=/usr >/dev/null
	@packaging/package.sh target/stage $(VERSION) $(DIST)

sbom: ## Write the bill of materials of the last commit to target/claude-bottle.cdx.json
	@packaging/sbom.sh target/claude-bottle.cdx.json

# What a release differs in from what CI makes of each commit: with DRY_RUN set nothing is committed or tagged.
DRY_RUN ?=
release: ## Make a release below DIST from a clean tree: changelog, package, bill of materials, tag; DRY_RUN=1 leaves the tree as it is
	@packaging/release.sh check
	@$(if $(DRY_RUN),:,packaging/release.sh date)
	@$(MAKE) --no-print-directory sbom
	@rm -rf $(DIST)
	@SBOM=target/claude-bottle.cdx.json $(MAKE) --no-print-directory package
	@packaging/release.sh notes $(DIST)/NOTES.md
	@$(if $(DRY_RUN),:,packaging/release.sh tag)

book: ## Make the documents a book in target/book, and check each of its links
	@command -v mdbook >/dev/null || { echo "cannot find mdbook: cargo +stable install --locked mdbook" >&2; exit 1; }
	@rm -rf target/book
	mdbook build
	$(CARGO) test --locked --workspace --test tidy -- --ignored book::

clean: ## Remove what was built
	$(CARGO) clean
