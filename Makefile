# Cutoff. `make demo` and `make test` are the two commands; the rest is for CI
# and releases. Tools and test servers are kept in $(CACHE), outside the checkout.

SHELL        := /bin/bash
CACHE        ?= $(HOME)/.cache/cutoff
TOOLS        := $(CACHE)/tools
BIN          := bin
VERSION      ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOFLAGS_BIN  := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
TESTFLAGS    ?=

BUF          := 1.75.0
GEN_GO       := v1.36.12
GEN_GRPC     := v1.6.2
GEN_GATEWAY  := v2.33.0
GOLANGCI     := v2.15.0
GOVULNCHECK  := v1.9.0
NFPM         := v2.43.0

# What the tests and the demo need besides Go, a C compiler, git and node.
PACKAGES     := gnome-keyring dbus dbus-daemon libsecret-tools glewlwyd sqlite3 chromium openssh-client \
                swtpm libkf5wallet-bin libqca-qt5-2-plugins keepassxc krb5-user krb5-kdc krb5-admin-server sssd-kcm keyutils \
                openssh-server curl
NEEDED       := gnome-keyring-daemon dbus-daemon secret-tool glewlwyd sqlite3 chromium ssh-keygen \
                swtpm kwalletd5 keepassxc kinit krb5kdc kadmin.local /usr/libexec/sssd/sssd_kcm keyctl \
                /usr/sbin/sshd curl

.PHONY: help
help: ## show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

.PHONY: build
build: ## build the server and the agent into bin/
	@mkdir -p $(BIN)
	CGO_ENABLED=0 go build $(GOFLAGS_BIN) -o $(BIN)/cutoff-server ./server
	CGO_ENABLED=0 go build $(GOFLAGS_BIN) -o $(BIN)/cutoff-agent ./agent

# Packages sort by version; a build without a tag counts its commits. The same
# commit gives the same bytes.
PACKAGE_VERSION ?= $(if $(filter v%,$(VERSION)),$(VERSION:v%=%),0.0.$(shell git rev-list --count HEAD 2>/dev/null || echo 0))
PACKAGE_ARCHES  ?= amd64 arm64
PACKAGES_DIR    ?= $(BIN)/packages
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH

# pack builds ./NAME and packs what installer/DIR says: $(call pack,NAME,DIR)
define pack
@mkdir -p $(PACKAGES_DIR)
@set -e; for arch in $(PACKAGE_ARCHES); do \
  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -buildvcs=false -trimpath \
    -ldflags "-s -w -X main.version=$(PACKAGE_VERSION)" -o $(PACKAGES_DIR)/cutoff-$(1)-$$arch ./$(1); \
  for kind in deb rpm; do \
    CUTOFF_VERSION=$(PACKAGE_VERSION) CUTOFF_ARCH=$$arch CUTOFF_BINARY=$(PACKAGES_DIR)/cutoff-$(1)-$$arch \
      $(TOOLS)/bin/nfpm package --config installer/$(2)/nfpm.yaml --packager $$kind --target $(PACKAGES_DIR); done; done
endef

.PHONY: packages
packages: $(TOOLS)/bin/nfpm-$(NFPM) ## build the agent's .deb and .rpm into bin/packages
	$(call pack,agent,linux)

.PHONY: server-packages
server-packages: $(TOOLS)/bin/nfpm-$(NFPM) ## build the server's .deb and .rpm into bin/packages
	$(call pack,server,server)

$(TOOLS)/bin/nfpm-$(NFPM):
	GOBIN=$(TOOLS)/bin go install github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM)
	@touch $@

.PHONY: demo
demo: build ## watch a device being cut (CUT=1: unattended, with proof)
	@CGO_ENABLED=0 go build -o $(BIN)/cutoff-demo ./server/e2e/demo
	@cd server/e2e/oauthd && CGO_ENABLED=0 go build -o ../../../$(BIN)/cutoff-oauthd .
	@$(BIN)/cutoff-demo $(if $(CUT),-cut)

.PHONY: test
test: setup ## run the suite a contributor runs
	go vet ./...
	cd server/e2e/oauthd && go vet ./...
	@$(call gotest,$(TESTFLAGS) ./...)

# gotest runs tests; in CI a skipped one is a failure.
ifdef CI
gotest = mkdir -p $(BIN); \
  if ! go test -v $(1) >$(BIN)/test.log 2>&1; then \
    grep -E '^(ok|FAIL|\?)' $(BIN)/test.log; grep -E -B80 -- '--- FAIL|^panic:|DATA RACE|\[build failed\]' $(BIN)/test.log | tail -500; exit 1; fi; \
  grep -E '^(ok|FAIL)' $(BIN)/test.log; \
  if grep -E '^\s*--- SKIP' $(BIN)/test.log; then echo "a skipped test is a failure here" >&2; exit 1; fi
else
gotest = go test $(1)
endif

.PHONY: test-all
test-all: test test-heavy test-system ## add what is heavy: long chaos and property runs, a whole system

.PHONY: test-heavy
test-heavy: setup
	cd agent/purge/scan/gitleaks && go vet ./... && go test ./...
	@export CUTOFF_HEAVY=1; $(call gotest,$(TESTFLAGS) -timeout 30m -run 'Kill|Property|Crash' ./server/e2e ./server/flow/... ./agent/...)

# A whole system to run the agent on: built once, booted with a layer of its own
# for what a test writes. Its name changes when what is in it does.
SYSTEM_HAS   := systemd-sysv,dbus,libpam-systemd,dbus-user-session,gnome-keyring,libsecret-tools,procps,openssh-server,openssh-client,gnupg,gpg-agent,git,tmux,login
SYSTEM       := $(CACHE)/system-bookworm-1

$(SYSTEM):
	@command -v systemd-nspawn >/dev/null && command -v mmdebstrap >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 systemd-container mmdebstrap >/dev/null
	@mkdir -p $(CACHE) && rm -rf $@.part
	mmdebstrap --quiet --variant=minbase --include=$(SYSTEM_HAS) bookworm $@.part
	@mv $@.part $@

# A machine with a clock and a power switch of its own: a kernel to emulate, and
# the same tree with that kernel's modules.
MACHINE      := $(CACHE)/machine-bookworm-1
MACHINE_HAS  := qemu-system-x86 e2fsprogs

$(MACHINE): $(SYSTEM)
	@command -v qemu-system-x86_64 >/dev/null && command -v mke2fs >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 $(MACHINE_HAS) >/dev/null
	@rm -rf $@.part && mkdir $@.part && cp -a $(SYSTEM) $@.part/tree && cp -L /etc/resolv.conf $@.part/tree/etc/resolv.conf
	chroot $@.part/tree sh -c 'export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends linux-image-cloud-amd64 initramfs-tools && apt-get clean' >/dev/null
	@cp $@.part/tree/boot/vmlinuz-* $@.part/vmlinuz && cp $@.part/tree/boot/initrd.img-* $@.part/initrd && mv $@.part $@

.PHONY: test-system
test-system: setup $(SYSTEM) $(MACHINE) $(TOOLS)/bin/nfpm-$(NFPM) ## run the agent on whole systems, contained and emulated; needs root
	@command -v rpm >/dev/null || \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 rpm >/dev/null
	go vet -tags system ./server/e2e/system
	@export CUTOFF_SYSTEM_TREE=$(SYSTEM) CUTOFF_MACHINE=$(MACHINE); $(call gotest,-tags system -timeout 45m ./server/e2e/system)

.PHONY: bench
bench: build ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...
	cd agent/purge/scan/gitleaks && go test -run '^$$' -bench . -benchtime 5x ./...
	$(BIN)/cutoff-server loadtest --agents 10000 --baseline

# A test's OAuth server from npm, with all that it needs as its lock file says.
OIDC_PROVIDER := $(CACHE)/oidc-provider-9.13.3
export CUTOFF_OIDC_PROVIDER := $(OIDC_PROVIDER)

$(OIDC_PROVIDER):
	@rm -rf $@.part && mkdir -p $@.part && cp server/e2e/oidcprovider/package*.json $@.part
	cd $@.part && npm ci --silent --ignore-scripts --no-audit --no-fund
	@mv $@.part $@

# smallstep's CA, for its connector's tests.
STEP_CA      := $(CACHE)/step-ca-v0.30.2
export CUTOFF_STEP_CA := $(STEP_CA)/step-ca

$(STEP_CA):
	@rm -rf $@.part
	CGO_ENABLED=0 GOBIN=$@.part go install github.com/smallstep/certificates/cmd/step-ca@v0.30.2
	@mv $@.part $@

.PHONY: setup
setup: $(OIDC_PROVIDER) $(STEP_CA) ## install what the tests need, as far as this user may
	@missing=; for t in $(NEEDED); do command -v $$t >/dev/null || missing="$$missing $$t"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing: $(PACKAGES)"; \
	    apt-get update -qq -o DPkg::Lock::Timeout=600 && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 $(PACKAGES) >/dev/null; \
	  else \
	    echo "missing:$$missing" >&2; \
	    echo "install them first: sudo apt-get install -y --no-install-recommends $(PACKAGES)" >&2; exit 1; \
	  fi; \
	fi

$(TOOLS)/node_modules/.bin/buf:
	@mkdir -p $(TOOLS) && npm install --silent --no-audit --no-fund --prefix $(TOOLS) @bufbuild/buf@$(BUF)

$(TOOLS)/bin/generators-$(GEN_GO)-$(GEN_GRPC)-$(GEN_GATEWAY):
	GOBIN=$(TOOLS)/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@$(GEN_GO)
	GOBIN=$(TOOLS)/bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@$(GEN_GRPC)
	GOBIN=$(TOOLS)/bin go install github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@$(GEN_GATEWAY) \
	  github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2@$(GEN_GATEWAY)
	@touch $@

.PHONY: generate
generate: $(TOOLS)/node_modules/.bin/buf $(TOOLS)/bin/generators-$(GEN_GO)-$(GEN_GRPC)-$(GEN_GATEWAY) ## generate code from proto/, and the rules of the text scan
	go generate ./agent/purge/scan
	cd proto && PATH=$(TOOLS)/bin:$(TOOLS)/node_modules/.bin:$$PATH buf generate

.PHONY: generate-check
generate-check: ## fail if the schema is not well formed, breaks, or its code is stale
	cd proto && $(TOOLS)/node_modules/.bin/buf lint
	@if git rev-parse -q --verify origin/main >/dev/null && git cat-file -e origin/main:proto/buf.yaml 2>/dev/null; then \
	  cd proto && $(TOOLS)/node_modules/.bin/buf breaking --against '../.git#branch=origin/main,subdir=proto'; fi
	@git diff --exit-code --stat -- proto agent/purge/scan || { echo "generated code is stale: run make generate and commit" >&2; exit 1; }
generate-check: generate

.PHONY: lint
lint: $(TOOLS)/bin/golangci-lint-$(GOLANGCI) ## run golangci-lint
	$(TOOLS)/bin/golangci-lint run ./...

$(TOOLS)/bin/golangci-lint-$(GOLANGCI):
	GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	@touch $@

.PHONY: vuln
vuln: ## run govulncheck where its database can be reached
	@if curl -sf -m 10 -o /dev/null https://vuln.go.dev/index/db.json; then \
	  GOBIN=$(TOOLS)/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK) && $(TOOLS)/bin/govulncheck ./...; \
	else echo "govulncheck: its database is not reachable from here, not run"; fi

.PHONY: cross
cross: ## build the agent for six targets, the server for linux; vet the rest
	@mkdir -p $(BIN)/cross
	@set -e; for os in linux windows darwin; do for arch in amd64 arm64; do \
	  echo "agent $$os/$$arch"; ext=; [ $$os = windows ] && ext=.exe; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build $(GOFLAGS_BIN) -o $(BIN)/cross/cutoff-agent-$$os-$$arch$$ext ./agent; \
	  CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go vet ./agent/... ./platform/... ./proto/...; \
	done; done
	@set -e; for arch in amd64 arm64; do echo "server linux/$$arch"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build $(GOFLAGS_BIN) -o $(BIN)/cross/cutoff-server-linux-$$arch ./server; done

.PHONY: fuzz
fuzz: ## a short run of every fuzz test
	@set -e; for p in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -r -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$p/*_test.go | sed 's/func //'); do \
	    echo "fuzz $$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),10s) -fuzzminimizetime 1x $$p; done; done

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BIN)
