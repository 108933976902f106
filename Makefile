# The one place for every command. `make help` lists them.

CARGO ?= cargo
SECONDS ?= 60
# Debian packages, each with a program that tells whether it is there.
PACKAGES := nftables:nft bird2:bird iproute2:ip util-linux:setpriv procps:ps nginx-light:nginx tini:tini openssl:openssl

# What a cluster needs besides. The programs of Kubernetes are built, by Go from /usr/local/go or Debian.
CLUSTER_PACKAGES = $(PACKAGES) containerd:containerd runc:runc containernetworking-plugins:/usr/lib/cni/ptp \
  busybox-static:busybox conntrack:conntrack iptables:iptables socat:socat gcc:cc
CNI ?= ptp
NODES ?= 2
# DUAL=1: IPv4 and IPv6. PALISADE=no: a cluster that enforces nothing. PROCESSES: specs at a time.
DUAL ?=
PALISADE ?= yes
PROCESSES ?= 4
POLICIES ?= 2,100,1000
REPEATS ?= 30
# Tests of a cluster wait more than they work.
TESTS ?= 16
CLUSTER := target/debug/palisade-cluster

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# Static with glibc: the target that everything is tested on, a faster allocator than musl's, and no further toolchain.
STATIC_TARGET := $(shell uname -m)-unknown-linux-gnu
STATIC_FLAGS := -C target-feature=+crt-static
IMAGES := target/images
BUILDAH := buildah --root $(CURDIR)/$(IMAGES)/storage --runroot $(CURDIR)/$(IMAGES)/run --storage-driver vfs
KUSTOMIZE := go -C config/kustomize tool kustomize build

.DEFAULT_GOAL := help
.PHONY: help build check test demo fuzz images manifests check-manifests check-report report-pictures docs deps \
  kubernetes cluster cluster-down conformance e2e guard guard-accept server benches bench bench-compare bench-plots bench-latency bench-audit clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build both programs (target/release/palisade, target/release/palisade-enforcer)
	$(CARGO) build --locked --release --package palisade-controller --package palisade-enforcer

check: ## formatting, lints, documentation, generated files, purity of the core
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --features palisade-tests/cluster -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet
	$(CARGO) test --locked --quiet --package palisade-controller --test definitions
	$(CARGO) test --locked --quiet --package palisade-tests --test architecture --test manifests

test: deps ## every test; needs root for network namespaces
	$(CARGO) test --locked --workspace --no-fail-fast -- --show-output

demo: deps ## watch real packets obey real policies; needs root
	$(CARGO) build --locked --package palisade-enforcer --bin palisade-enforcer
	$(CARGO) run --locked --quiet --package palisade-tests --bin palisade-demo

fuzz: deps ## property tests with new seeds for SECONDS=60; prints the seed that replays a failure
	@$(CARGO) build --locked --quiet --workspace --bins
	@end=$$(( $$(date +%s) + $(SECONDS) )); \
	while [ $$(date +%s) -lt $$end ]; do \
	  seed=$$(od -An -N8 -tu8 /dev/urandom | tr -d ' '); \
	  echo "PALISADE_SEED=$$seed PALISADE_EFFORT=4"; \
	  PALISADE_SEED=$$seed PALISADE_EFFORT=4 $(CARGO) test --locked --quiet --package palisade-policy --test histories --test reach --test difference || exit 1; \
	  PALISADE_SEED=$$seed PALISADE_EFFORT=4 $(CARGO) test --locked --quiet --package palisade-controller --test hostile || exit 1; \
	  PALISADE_SEED=$$seed PALISADE_EFFORT=4 $(CARGO) test --locked --quiet --package palisade-enforcer --test plan || exit 1; \
	  PALISADE_SEED=$$seed PALISADE_EFFORT=4 $(CARGO) test --locked --quiet --package palisade-enforcer --test kernel random || exit 1; \
	  PALISADE_SEED=$$seed $(CARGO) test --locked --quiet --package palisade-tests --test packets random || exit 1; \
	done

images: ## build both container images (target/images/controller.tar, target/images/enforcer.tar)
	@$(MAKE) --no-print-directory deps PACKAGES=buildah:buildah
	RUSTFLAGS="$(STATIC_FLAGS)" $(CARGO) build --locked --release --target $(STATIC_TARGET) --package palisade-controller --package palisade-enforcer
	@rm -rf $(IMAGES) && mkdir -p $(IMAGES)/context
	@cp target/$(STATIC_TARGET)/release/palisade target/$(STATIC_TARGET)/release/palisade-enforcer $(IMAGES)/context
	@for name in controller enforcer; do \
	  $(BUILDAH) build --quiet --isolation chroot --network host --pull-never --timestamp 0 --build-arg VERSION=$(VERSION) \
	    --file config/images/Containerfile.$$name --tag palisade.dev/$$name:$(VERSION) $(IMAGES)/context >/dev/null && \
	  $(BUILDAH) push --quiet palisade.dev/$$name:$(VERSION) \
	    docker-archive:$(CURDIR)/$(IMAGES)/$$name.tar:palisade.dev/$$name:$(VERSION) || exit 1; \
	done
	@rm -rf $(IMAGES)/storage $(IMAGES)/run $(IMAGES)/context
	@du -h $(IMAGES)/*.tar

manifests: ## write the generated files under config/ (needs Go for kustomize)
	$(CARGO) run --locked --quiet --package palisade-controller --bin palisade -- crds -o config/crd
	$(KUSTOMIZE) ../base >target/install.yaml && mv target/install.yaml config/install.yaml
	$(KUSTOMIZE) ../uninstall >target/uninstall.yaml && mv target/uninstall.yaml config/uninstall.yaml

check-manifests: ## whether config/ renders, to the files that are there (needs Go for kustomize)
	$(KUSTOMIZE) ../base | cmp - config/install.yaml
	$(KUSTOMIZE) ../uninstall | cmp - config/uninstall.yaml
	@for overlay in config/overlays/*/; do echo "rendering $$overlay"; $(KUSTOMIZE) ../../$$overlay >/dev/null || exit 1; done

docs: ## write the generated pages under docs/
	$(CARGO) run --locked --quiet --package palisade-controller --bin palisade -- policy-audit lint --list -o markdown >target/lint.md
	@mv target/lint.md docs/lint.md

deps: ## install the Debian packages that tests and demo need, if they are missing
	@missing=$$(for entry in $(PACKAGES); do command -v $${entry#*:} >/dev/null || echo $${entry%%:*}; done); \
	if [ -n "$$missing" ]; then \
	  echo "installing Debian packages:" $$missing; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

check-report: ## try the HTML report in a real browser (installs Chromium; needs Node)
	@$(MAKE) --no-print-directory deps PACKAGES="chromium:chromium nodejs:node"
	@$(CARGO) build --locked --quiet --package palisade-controller --bin palisade
	@target/debug/palisade policy-audit report -f config/samples/shop --title "the sample shop" --time 2026-11-25T16:00:00Z -o target/report.html
	@target/debug/palisade policy-audit report -f tests/browser/hostile.yaml -o target/report-hostile.html
	@node tests/browser/check-report.mjs target/report.html target/report-hostile.html target/debug/palisade

report-pictures: check-report ## take the pictures of the report in docs/ anew
	@node tests/browser/pictures.mjs target/report.html docs

kubernetes: ## build what clusters are made of (target/kubernetes); 10 minutes on a new machine
	@$(MAKE) --no-print-directory deps PACKAGES="$(CLUSTER_PACKAGES)"
	@$(CARGO) build --locked --quiet --package palisade-tests --bin palisade-cluster
	@$(CLUSTER) build

cluster: kubernetes ## start a cluster with Palisade: CNI=ptp|bridge|flannel NODES=2 DUAL=1 PALISADE=no
	@[ "$(PALISADE)" = no ] || $(MAKE) --no-print-directory images
	@$(CLUSTER) up --cni $(CNI) --nodes $(NODES) $(if $(DUAL),--dual-stack) \
	  $(if $(filter no,$(PALISADE)),,--image $(IMAGES)/controller.tar --image $(IMAGES)/enforcer.tar --manifest config/install.yaml)

cluster-down: ## stop the cluster and remove all of it
	@$(CARGO) build --locked --quiet --package palisade-tests --bin palisade-cluster
	@$(CLUSTER) down

conformance: ## run the network-policy suite of Kubernetes on a new cluster: CNI=ptp|bridge|flannel PROCESSES=4
	@$(MAKE) --no-print-directory cluster-down
	@$(MAKE) --no-print-directory cluster
	@$(CLUSTER) conformance --processes $(PROCESSES)
	@$(MAKE) --no-print-directory cluster-down

e2e: ## run the tests of a whole cluster on the one that runs, or on a new one: CNI=ptp|bridge|flannel DUAL=1
	@$(CARGO) test --locked --quiet --package palisade-tests --features cluster --test e2e --no-run
	@$(CARGO) build --locked --quiet --package palisade-tests --package palisade-controller --bin palisade-cluster --bin palisade
	@started=; $(CLUSTER) kubectl get --raw=/readyz >/dev/null 2>&1 || { \
	  $(MAKE) --no-print-directory cluster-down && $(MAKE) --no-print-directory cluster || exit 1; started=yes; }; \
	$(CLUSTER) enter $(CARGO) test --locked --offline --package palisade-tests --features cluster --test e2e -- \
	  --test-threads $(TESTS) --show-output; result=$$?; \
	[ -z "$$started" ] || $(MAKE) --no-print-directory cluster-down; exit $$result

bench: deps server benches ## measure what Palisade costs, beside its targets; JSON=FILE keeps the figures. `make bench-NAME` for one bench
	target/release/palisade-bench run $(if $(JSON),--json $(JSON))

# Always together, as what each asks of others changes how these are built.
benches:
	$(CARGO) build --locked --release --package palisade-bench --package palisade-enforcer --package palisade-tests

# The API server and etcd of the bench `publish`, alone.
server: benches
	@$(MAKE) --no-print-directory deps PACKAGES=openssl:openssl
	@target/release/palisade-cluster build --server

bench-compare: benches ## two files of figures side by side, as ratios: A=old.json B=new.json
	target/release/palisade-bench compare $(A) $(B)

bench-plots: benches ## draw a file of figures into docs/performance/: JSON=FILE
	target/release/palisade-bench plot $(JSON) docs/performance

guard: benches ## whether what is done all day takes as many instructions as it did; `make guard-accept` keeps new counts
	@$(MAKE) --no-print-directory deps PACKAGES=valgrind:valgrind
	target/release/palisade-bench guard tests/bench/baseline.json

guard-accept: benches
	@$(MAKE) --no-print-directory deps PACKAGES=valgrind:valgrind
	target/release/palisade-bench guard --accept tests/bench/baseline.json

bench-publish: server
bench-%: deps benches
	target/release/palisade-bench run $* $(if $(JSON),--json $(JSON))

bench-latency: ## time from the API to the packet, on a new cluster: CNI=ptp|bridge|flannel POLICIES=2,100,1000 REPEATS=30
	@$(MAKE) --no-print-directory cluster-down
	@$(MAKE) --no-print-directory cluster
	@$(CARGO) build --locked --quiet --package palisade-tests --bin palisade-latency
	@$(CLUSTER) enter $(CURDIR)/target/debug/palisade-latency --policies $(POLICIES) --repeats $(REPEATS)
	@$(MAKE) --no-print-directory cluster-down

bench-audit: ## time policy-audit's answers on large clusters (W1: 100,000 pods, 75,000 policies)
	$(CARGO) bench --locked --package palisade-policy --bench reach
	$(CARGO) bench --locked --package palisade-controller --bench load
	$(CARGO) bench --locked --package palisade-audit --bench lint
	$(CARGO) bench --locked --package palisade-audit --bench explain
	$(CARGO) bench --locked --package palisade-audit --bench relation
	$(CARGO) bench --locked --package palisade-tests --bench verify

clean: ## remove what was built
	$(CARGO) clean
