# Carillon. Python 3.11+ and make are all that is assumed; the rest is installed into .venv/.
# GNU make 3.81, which macOS ships, is enough.

PYTHON       ?= python3
PORT         ?= 8000
SANDBOX_PORT ?= 8025
CLOUD_PORT   ?= 4566
SANDBOX_URL  ?=
ONCE         ?=
SEED         ?=
SEEDS        ?= 200
OUTPUT       ?=
FN           ?=
STAGE        ?=
NAME         ?=
YES          ?=
COUNT        ?=
EVENT        ?=
AUDIT_URL    ?=
URL          ?=
export KEY   ?=
ARCH         ?=
ENGINE       ?=

SHELL := /bin/sh
ifneq ($(words $(CURDIR)),1)
  $(error make cannot work in a folder with a space in its path: $(CURDIR))
endif
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV  := $(CURDIR)/.venv
UV    := $(VENV)/uv/bin/uv
DEV   := $(VENV)/dev/bin
TOOLS := $(VENV)/tools/bin

# sam's build calls uv. Not exported as a whole: the environments' own python3 would hide $(PYTHON).
SAM := PATH="$(TOOLS):$(VENV)/uv/bin:$$PATH" $(TOOLS)/sam
export SAM_CLI_TELEMETRY := 0
export PYTHONPATH := $(CURDIR)/localstack:$(CURDIR)/client
export PORT SANDBOX_PORT CLOUD_PORT SANDBOX_URL ONCE ENGINE

.PHONY: help
help: ## list these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

# ---------------------------------------------------------------------------- environments

.PHONY: environments FORCE
environments: $(VENV)/uv/.ready
	@$(MAKE) -s --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j3) \
		$(VENV)/dev/.ready $(VENV)/tools/.ready $(VENV)/cloud/.ready

# Names the interpreter, and changes only when it does: every environment is made anew then.
$(VENV)/python: FORCE
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Carillon needs Python 3.11 or newer and '$(PYTHON)' is" \
			"$$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null \
			|| echo 'not there'). Try: make PYTHON=python3.13 $(MAKECMDGOALS)"; exit 1; }
	@mkdir -p $(VENV)
	@$(PYTHON) -c 'import sys; print(sys.executable, sys.version)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(VENV)/uv/.ready: requirements/uv.txt $(VENV)/python
	@echo "installing .venv/uv"
	@$(PYTHON) -m venv --clear $(VENV)/uv
	@$(VENV)/uv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/%/.ready: requirements/%.txt $(VENV)/uv/.ready $(VENV)/python
	@echo "installing .venv/$*"
	@$(UV) venv -q --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)/$*
	@$(UV) pip sync -q --require-hashes --python $(VENV)/$*/bin/python $<
	@touch $@

# ---------------------------------------------------------------------------- run

.PHONY: run
run: environments ## run everything offline until Ctrl-C (ONCE=1, PORT=, SANDBOX_PORT=, CLOUD_PORT=, SANDBOX_URL=)
	@exec $(DEV)/python -m offline

include infra/python.mk
ARCHITECTURES := arm64 x86_64

# The template built for arm64 is .aws-sam/arm64/template.yaml; it wants Architecture=arm64.
.PHONY: build $(ARCHITECTURES:%=build-%)
build: $(VENV)/dev/.ready $(VENV)/tools/.ready ## build for AWS, into .aws-sam/<architecture> (ARCH=arm64 or x86_64; both without)
	@$(MAKE) -s --no-print-directory $(addprefix build-,$(or $(ARCH),$(ARCHITECTURES)))
	@$(DEV)/python infra/sizes.py $(or $(ARCH),$(ARCHITECTURES))

$(ARCHITECTURES:%=build-%): build-%:
	@echo "sam build for $*"
	@mkdir -p .aws-sam
	@LAMBDA_ARCH=$* LAMBDA_PYTHON="$(LAMBDA_PYTHON)" $(SAM) build --template-file template.yaml \
		--build-dir .aws-sam/$* --parameter-overrides Architecture=$* >.aws-sam/$*.log 2>&1 \
		|| { cat .aws-sam/$*.log; exit 1; }

CARILLON := $(DEV)/python -m carillon_client.cli
# Tells deployments apart; the functions of each get versions of their own.
RELEASE  ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)-$(shell date -u +%Y%m%dT%H%M%SZ)

.PHONY: setup deploy show url key remove
setup: $(VENV)/dev/.ready ## ask for what a deployment needs, check it and store it (STAGE=dev)
	@$(CARILLON) setup $(call stage)

deploy: $(VENV)/dev/.ready $(VENV)/tools/.ready ## build and deploy to your AWS account (STAGE=dev, staging or prod)
	@$(CARILLON) stage check --no-secrets $(call stage)
	@$(MAKE) -s --no-print-directory build ARCH=$(or $(ARCH),arm64)
	@$(CARILLON) stage parameters $(call stage) | xargs \
		env $(SAM) deploy --config-file $(CURDIR)/samconfig.toml --config-env $(STAGE) \
		--template-file .aws-sam/$(or $(ARCH),arm64)/template.yaml \
		--parameter-overrides Architecture=$(or $(ARCH),arm64) Release=$(RELEASE)
	@$(CARILLON) stage show $(call stage)

show url: $(VENV)/dev/.ready ## show where a deployment answers, and how to send something (STAGE=dev)
	@$(CARILLON) stage $@ $(call stage)

key: $(VENV)/dev/.ready ## print a new token of an application there (STAGE=dev NAME=my-shop)
	@$(CARILLON) stage key $(call stage) $(if $(NAME),--name $(NAME))

remove: $(VENV)/dev/.ready ## delete a deployment with all that it holds (STAGE=dev)
	@$(CARILLON) stage remove $(call stage) $(if $(filter-out 0,$(YES)),--yes)

stage = $(if $(STAGE),--stage $(STAGE),$(error say which: make $@ STAGE=dev))

# What Lambda's image has, in Lambda's Python.
$(VENV)/lambda/.ready: requirements/lambda.txt $(VENV)/uv/.ready
	@test -n "$(LAMBDA_PYTHON)" || { echo "without a container engine this needs python$(LAMBDA_VERSION):" \
		"none was found; LAMBDA_PYTHON=... names one"; exit 1; }
	@echo "installing .venv/lambda"
	@$(UV) venv -q --clear --python "$(LAMBDA_PYTHON)" $(VENV)/lambda
	@$(UV) pip sync -q --require-hashes --python $(VENV)/lambda/bin/python $<
	@touch $@

.PHONY: runtime invoke
runtime: $(VENV)/lambda/.ready
invoke: environments ## run a built function as Lambda does (FN=EmailFunction EVENT=events/email-batch.json, ENGINE=docker or none)
	@test -n "$(FN)" && test -n "$(EVENT)" || { echo "say which: make invoke FN=... EVENT=events/..."; exit 1; }
	@test -z "$(LAMBDA_PYTHON)" || $(MAKE) -s --no-print-directory $(VENV)/lambda/.ready
	@$(DEV)/python -m offline.invoke $(FN) $(EVENT)

FIGURES := docs/proof/performance.json
MEASURE := PYTHONPATH=localstack:client:benchmarks $(DEV)/python -m

.PHONY: bench bench-peers bench-growth performance
bench: environments ## measure throughput and latency on a stack of its own (COUNT=1000)
	@$(DEV)/python benchmarks/run.py $(if $(COUNT),--count $(COUNT))

bench-peers: environments $(VENV)/bench/.ready ## measure against a reference peer and a floor, in turns (COUNT=5000)
	@$(MEASURE) bench.peers --count $(or $(COUNT),5000) --output $(FIGURES)

bench-growth: environments ## measure what one costs among 1,000 and among 100,000, and with 10,000 queued
	@$(MEASURE) bench.growth --output $(FIGURES)

performance: $(VENV)/dev/.ready $(VENV)/bench/.ready ## write docs/performance.md and its plots from what was measured
	@$(MAKE) -s --no-print-directory docs
	@$(BENCH)/python docs/plots.py

# Only what compares, simulates or draws installs .venv/bench.
BENCH := $(VENV)/bench/bin
.PHONY: bench-environment
bench-environment: $(VENV)/bench/.ready

.PHONY: bench-cold
bench-cold: environments runtime ## start every function ten times, beside bare handlers (OUTPUT=docs/proof/cold.json)
	@PYTHONPATH=localstack:client:benchmarks $(DEV)/python -m cold --output $(or $(OUTPUT),docs/proof/cold.json)

.PHONY: bill
bill: environments ## count what notifications take of AWS and what that costs (BILL_COUNT=200, WRITE=1 for what deliveries tell)
	@PYTHONPATH=localstack:client:benchmarks:layers/common $(DEV)/python -m bench.bill --count $(or $(BILL_COUNT),200) $(if $(WRITE),--write)

.PHONY: capacity
capacity: bench-environment ## simulate a broadcast to a million: what saturates first, what to raise
	@PYTHONPATH=benchmarks $(BENCH)/python -m capacity --output docs/proof/capacity.json
	@$(MAKE) -s --no-print-directory docs

.PHONY: crash
crash: environments ## kill workers in the middle of their work and count what arrived (COUNT=3000)
	@PYTHONPATH=localstack:client:benchmarks $(DEV)/python -m bench.crash --count $(or $(COUNT),3000) --output docs/proof/crash.json

# ---------------------------------------------------------------------------- check

.PHONY: test test-unit test-localstack coverage
test: test-unit environments $(VENV)/aws/.ready ## run every test, the end-to-end run included
	@$(DEV)/python -m pytest tests/e2e

LOCALSTACK_TESTS := client client_docs identity lists observing operating readme seeds survival template_routes users

test-localstack: environments ## the end-to-end tests against what listens on port 4566 (ENGINE=embedded, or LocalStack)
	@TEST_LOCALSTACK=1 $(if $(filter embedded,$(ENGINE)),,$(LOCALSTACK_PLACES)) \
		$(DEV)/python -m pytest $(LOCALSTACK_TESTS:%=tests/e2e/test_%.py)

# As localstack/docker-compose.yml has it: the functions' containers find the sandbox by its name.
LOCALSTACK_PLACES = SANDBOX_URL=http://127.0.0.1:8025 SANDBOX_INSIDE=http://sandbox:8025 \
	CARILLON_BUILT=$(CURDIR)/.aws-sam/$(or $(ARCH),x86_64)/template.yaml

# Two at a time: each test file has a mocked cloud to itself.
test-unit: $(VENV)/dev/.ready $(VENV)/tools/.ready ## run the tests that start nothing
	@$(DEV)/python -m pytest -n 2 --dist loadfile -q tests/unit tests/functional tests/contract

coverage: environments ## run the tests that start nothing, and show what they leave out (htmlcov/)
	@$(DEV)/python -m pytest tests/unit tests/functional tests/contract \
		--cov --cov-report=term:skip-covered --cov-report=html

.PHONY: simulate
simulate: $(VENV)/dev/.ready ## prove the delivery promise in SEEDS=200 simulated worlds (SEED=17 replays one)
	@PYTHONPATH=.:layers/common:client:localstack:tests $(DEV)/python -m simulation \
		$(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(if $(OUTPUT),--output $(OUTPUT))

.PHONY: mutants
mutants: $(VENV)/dev/.ready ## break the promise in every way of tests/mutants, and want each noticed
	@PYTHONPATH=.:layers/common:client:localstack:tests $(DEV)/python -m mutants $(if $(OUTPUT),--output $(OUTPUT))

# Of the translation: stacks inside wait to be packaged; what only SAM reads stays; and a dependency
# on what a condition leaves out is none.
OF_SAM_ITSELF := W3002 W2001 W7001 E3005

.PHONY: lint types check
lint: $(VENV)/dev/.ready $(VENV)/tools/.ready ## ruff, import rules, cfn-lint and sam validate
	@$(DEV)/ruff check
	@$(DEV)/ruff format --check
	@PYTHONPATH=.:layers/common $(DEV)/lint-imports
	@cd client && $(DEV)/lint-imports
	@$(TOOLS)/cfn-lint
	@$(TOOLS)/python infra/translate.py .aws-sam/translated.json 2>/dev/null
	@$(TOOLS)/cfn-lint --ignore-checks $(OF_SAM_ITSELF) --template .aws-sam/translated.json
	@$(SAM) validate --lint

types: $(VENV)/dev/.ready ## mypy
	@$(DEV)/mypy

.PHONY: smoke
smoke: $(VENV)/dev/.ready ## ask a deployment whether it works (URL=https://... KEY=nk_test_...)
	@test -n "$(URL)" && test -n "$$KEY" || { echo "say which: make smoke URL=https://... KEY=nk_test_..."; exit 1; }
	@SMOKE_KEY="$$KEY" PYTHONPATH=client $(DEV)/python infra/smoke.py "$(URL)"

# Only these two install .venv/scan, which is large.
SCAN := $(VENV)/scan/bin
LOCKS := $(wildcard requirements/*.txt layers/*/requirements.txt functions/*/requirements.txt \
	functions/*/*/requirements.txt)
GITLEAKS := $(shell command -v gitleaks 2>/dev/null)

.PHONY: scan audit
scan: $(VENV)/scan/.ready $(VENV)/dev/.ready ## look for faults in templates and workflows, and for secrets
	@$(SCAN)/checkov --config-file .checkov.yaml -f template.yaml infra/*.yaml
	@$(SCAN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(SCAN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(SCAN)/zizmor --offline --quiet --pedantic .github
	@git ls-files -z | xargs -0 $(SCAN)/detect-secrets-hook --baseline .secrets.baseline
	@$(if $(GITLEAKS),$(GITLEAKS) git --no-banner --redact,echo "gitleaks is not here:" \
		"the history was not searched for secrets, which the workflow does")
	@$(DEV)/python -m pytest -q tests/scan

# --strict: what cannot be audited, because the database is out of reach say, fails.
audit: $(VENV)/scan/.ready ## ask whether a locked dependency has a known fault (needs the network)
	@set -e; for lock in $(LOCKS); do echo "auditing $$lock"; \
		$(SCAN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off \
		--vulnerability-service osv $(if $(AUDIT_URL),--osv-url $(AUDIT_URL)) -r $$lock; done

check: ## lint, types and test, as CI does
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory test

# ---------------------------------------------------------------------------- upkeep

COMPILE = $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-header $(UPGRADE)
SHIPPED := layers/common functions/authorizer functions/api/auth functions/api/docs \
	functions/channels/sms functions/channels/push

# Locked for the tests, but not shipped: the Lambda runtime has it, or nothing we call imports it.
WITHOUT_layers/common := boto3 botocore dnspython jmespath python-dateutil s3transfer six urllib3
WITHOUT_functions/api/docs := asgiref django sqlparse tzdata
# The compiler of cffi's definitions: what ships was compiled with them.
WITHOUT_functions/authorizer := pycparser
WITHOUT_functions/api/auth := pycparser
WITHOUT_functions/channels/sms := aiohappyeyeballs aiohttp aiohttp-retry aiosignal attrs frozenlist \
	multidict propcache yarl
WITHOUT_functions/channels/push := google-api-core google-cloud-core google-cloud-firestore \
	google-cloud-storage google-crc32c google-resumable-media googleapis-common-protos grpcio \
	grpcio-status opentelemetry-api proto-plus protobuf pycparser

.PHONY: lock
lock: $(VENV)/uv/.ready ## resolve every requirements file anew (UPGRADE=--upgrade to move versions)
	@for set in uv tools cloud dev aws bench; do \
		echo "locking requirements/$$set.txt"; \
		$(COMPILE) requirements/$$set.in -o requirements/$$set.txt \
			$(addprefix --no-emit-package ,$(WITHOUT_functions/api/docs)) || exit 1; done
	@echo "locking requirements/sandbox.txt"
	@$(COMPILE) requirements/sandbox.in -c requirements/dev.txt -o requirements/sandbox.txt
	@echo "locking requirements/lambda.txt"
	@$(COMPILE) requirements/lambda.in -c requirements/dev.txt -o requirements/lambda.txt
	@$(MAKE) -s --no-print-directory $(SHIPPED:%=lock-%)

.PHONY: $(SHIPPED:%=lock-%)
$(SHIPPED:%=lock-%): lock-%:
	@echo "locking $*/requirements.txt"
	@$(COMPILE) $*/requirements.in -c requirements/dev.txt -o $*/requirements.txt \
		$(addprefix --no-emit-package ,$(WITHOUT_$*))

.PHONY: docs
docs: $(VENV)/dev/.ready ## write what is generated from the code
	@PYTHONPATH=.:layers/common $(DEV)/python docs/generate.py

.PHONY: clean
clean: ## remove environments, builds and what runs left
	@rm -rf .venv .local .aws-sam .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage htmlcov
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
