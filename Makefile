# What is done with this repository, by people and by CI. `make setup test` works on a fresh Debian machine, as root.
#
# CLUSTER says where the end-to-end tests run:
#   local      a real Kubernetes of three nodes on this machine, without Docker (tests/cluster); the default
#   kind       the same in kind (tests/kind)
#   current    wherever KUBECONFIG points; IMAGE must name an operator image that its nodes can pull

CLUSTER ?= local
PROFILE ?= release# of the operator; PROFILE=dev builds faster
E2E_THREADS ?= 4
E2E ?=# only the scenarios whose names contain this

# Outside the checkout, one for each; a fresh clone starts with the dependencies that another one compiled.
ifndef CARGO_TARGET_DIR
CARGO_TARGET_DIR := $(or $(shell tests/target.sh),$(error tests/target.sh failed))
endif
export CARGO_TARGET_DIR
TOOLS := $(HOME)/.cache/redis-replication-operator/tools
BIN := $(or $(CLUSTER_CACHE),$(HOME)/.cache/redis-replication-cluster)/bin
export PATH := $(BIN):$(TOOLS)/bin:$(PATH)

CLUSTER_SCRIPT := $(if $(filter local,$(CLUSTER)),tests/cluster/cluster.sh,$(if $(filter kind,$(CLUSTER)),tests/kind/kind.sh))
ifneq ($(CLUSTER_SCRIPT),)
export KUBECONFIG := $(shell $(CLUSTER_SCRIPT) kubeconfig)
IMAGE ?= localhost/redis-replication-operator:dev
else ifneq ($(CLUSTER),current)
$(error CLUSTER is '$(CLUSTER)': local, kind and current are known)
endif
export CLUSTER IMAGE

NAME := redis-replication-operator
NAMESPACE := redis-replication-system
BINARY = $(CARGO_TARGET_DIR)/$(PROFILE:dev=debug)/$(NAME)
TESTS := $(filter-out e2e otlp simulation,$(notdir $(basename $(wildcard tests/*.rs */tests/*.rs))) $(patsubst tests/%/main.rs,%,$(wildcard tests/*/main.rs)))

.NOTPARALLEL:
.PHONY: help setup tools build plugin image crd fmt lint advisories unit test-unit simulate mutants chart kubesphere olm cluster-up cluster-down install test-e2e test demo clean

help: ## this list
	@sed -n '1,/^$$/s/^#  *//p' Makefile; sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | expand -t 16

setup: tools ## install and compile all that the other targets need (Debian, as root; 20 minutes, once)
	tests/cluster/cluster.sh build
	tests/cluster/cluster.sh images

tools: ## what the checks without a cluster need: Debian packages, cargo-deny
	tests/cluster/cluster.sh packages
	@cargo clippy --version >/dev/null && cargo fmt --version >/dev/null || { echo "needs Rust with clippy and rustfmt: https://rustup.rs" >&2; exit 1; }
	[ -x $(TOOLS)/bin/cargo-deny ] || cargo install --locked cargo-deny --root $(TOOLS)

build: ## compile the operator, the kubectl plugin and the demo
	cargo build --locked --profile $(PROFILE) --workspace --bins

plugin: ## install the kubectl plugin for this user
	cargo build --locked --profile $(PROFILE) --package kubectl-rr
	install -D -m 0755 $(dir $(BINARY))kubectl-rr $(HOME)/.local/bin/kubectl-rr
	install -m 0755 plugin/kubectl_complete-rr $(HOME)/.local/bin/
	@case :$$PATH: in *:$(HOME)/.local/bin:*) echo "installed: kubectl rr --help" ;; \
	*) echo "installed as $(HOME)/.local/bin/kubectl-rr: add that directory to your PATH for kubectl to find it" ;; esac

image: ## build the operator's image with Docker
	tests/kind/kind.sh image

crd: ## write crds/, and what is made from it, anew from the Rust types
	@mkdir -p crds $(CARGO_TARGET_DIR)
	cargo run --locked --bin $(NAME) -- crd >$(CARGO_TARGET_DIR)/crd.yaml
	mv $(CARGO_TARGET_DIR)/crd.yaml crds/redisreplications.yaml
	cargo run --locked --bin $(NAME) -- reference >$(CARGO_TARGET_DIR)/reference.md
	mv $(CARGO_TARGET_DIR)/reference.md docs/reference.md
	manifests/generate.sh

fmt: ## format the source
	cargo fmt --all

lint: ## formatting, clippy, and the licences and sources of dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --features otlp --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked --all-features check --hide-inclusion-graph bans licenses sources; \
	else echo "lint: no cargo-deny, so dependencies are not checked (make setup installs it)" >&2; fi

advisories: ## known vulnerabilities in dependencies (needs the internet)
	cargo deny --locked check advisories

unit: ## all tests that need no cluster
	cargo test --locked --workspace --lib --bins --example bench $(TESTS:%=--test %)
	cargo test --locked --features otlp --test otlp
	cargo test --locked --profile simulation --test simulation
test-unit: unit

simulate: ## a million random histories of the failover protocol
	SIMULATION_HISTORIES=1000000 cargo test --locked --profile simulation --test simulation any_history -- --nocapture

mutants: ## change each line of the decisions in turn, and list what no test of the core notices (hours; FILE=core/src/election.rs: one file)
	[ -x $(TOOLS)/bin/cargo-mutants ] || cargo install --locked cargo-mutants --root $(TOOLS)
	cargo mutants --package redis-replication-core --file '$(or $(FILE),core/src/**)' --output $(CARGO_TARGET_DIR) --no-shuffle --colors never -- --lib

chart: ## the checks of the Helm charts, the alerts, the plain manifests, the packages for KubeSphere and OLM, and the documents
	tests/chart.sh
	tests/chart-replication.sh
	tests/monitoring.sh
	tests/kubesphere.sh
	tests/olm.sh
	tests/docs.sh

olm: ## build the bundle for the Operator Lifecycle Manager, into build/olm
	manifests/olm/build.sh

kubesphere: ## build the extension and the app template for KubeSphere, into build/kubesphere
	kubesphere/build.py
	kubesphere/check.py build/kubesphere/*.tgz

cluster-up: ## start the cluster
	$(if $(CLUSTER_SCRIPT),$(CLUSTER_SCRIPT) up)

cluster-down: ## stop it, and remove every trace but the caches
	$(if $(CLUSTER_SCRIPT),$(CLUSTER_SCRIPT) down)

.PHONY: image-local image-kind image-current
image-local: build
	IMAGE=$(IMAGE) tests/images/operator.sh $(BINARY)
image-kind: image
	tests/kind/kind.sh load $(IMAGE)
image-current:
	$(if $(IMAGE),,$(error CLUSTER=current needs IMAGE=registry/name:tag))

# The tag stays the same from build to build; the annotation makes the pods start anew when the image is another.
BUILD-local = sha256sum <$(BINARY) | cut -c1-16
BUILD-kind = docker image inspect -f '{{.Id}}' $(IMAGE)
BUILD-current = echo $(IMAGE)
REPOSITORY = $(shell echo '$(IMAGE)' | sed -E 's,:[^/:@]+(@.*)?$$,,')

install: cluster-up image-$(CLUSTER) ## install the operator as it is now
	kubectl apply --server-side --force-conflicts -f crds/
	kubectl get namespace $(NAMESPACE) >/dev/null 2>&1 || kubectl create namespace $(NAMESPACE)
	kubectl label --overwrite namespace $(NAMESPACE) pod-security.kubernetes.io/enforce=restricted
	helm upgrade --install $(NAME) charts/$(NAME) --namespace $(NAMESPACE) --wait --timeout 3m \
	  --set image.repository=$(REPOSITORY),image.tag=$(IMAGE:$(REPOSITORY):%=%),image.pullPolicy=IfNotPresent \
	  --set-string podAnnotations.build=$$($(BUILD-$(CLUSTER)))

test-e2e: install build ## the end-to-end tests
	KUBECTL_RR=$(dir $(BINARY))kubectl-rr cargo test --locked --test e2e -- --test-threads=$(E2E_THREADS) $(E2E)
	$(if $(E2E),,tests/monitoring-live.sh)
	$(if $(E2E),,tests/readme-live.sh)

test: tools lint unit cluster-up chart test-e2e ## everything, from a machine with nothing but Rust, Go and Debian

demo: ## watch a failover
	@DEMO=$(dir $(BINARY))demo tests/demo/demo.sh make --no-print-directory

.PHONY: clients
CLIENTS ?=# only these, by the names of their folders in tests/clients
clients: install ## how the usual client libraries live through a failover (docs/clients.md)
	tests/clients/setup.sh $(CLIENTS)
	tests/clients/faults.py $(CLIENTS)
	tests/clients/run.sh $(CLIENTS)

.PHONY: bench bench-report
bench: install ## measure outages and losses (hours; ROUNDS, FAULTS, VARIANTS, SUBJECTS, RESULTS: see docs/benchmark.md)
	cargo run --locked --release --example bench -- run

bench-report: ## write docs/benchmark.md and its picture from the results
	cargo run --locked --release --example bench -- report

clean: ## remove what was built of this project; the cluster's cache stays
	cargo clean
