# How sam builds every function and the layer: wheels chosen by lock, no container, bytecode
# compiled when the right Python is at hand (a cold start without it takes 2.4 times as long).
# A folder's Makefile is one line, unless something of its own goes in or stays out.
#
# LAMBDA_ARCH: arm64 or x86_64, as the template's parameter Architecture: `make build` tells both.
# BUILD_PYTHON: build for this interpreter instead of for Lambda; the offline cloud runs the
# functions in its own.
HERE := $(dir $(abspath $(firstword $(MAKEFILE_LIST))))
INFRA := $(dir $(abspath $(lastword $(MAKEFILE_LIST))))
FOLDER := $(patsubst $(abspath $(INFRA)..)/%/,%,$(HERE))
include $(INFRA)python.mk

LAMBDA_ARCH ?= arm64
PLATFORM_arm64 := aarch64-manylinux_2_28
PLATFORM_x86_64 := x86_64-manylinux_2_28
ifdef BUILD_PYTHON
  TARGET := --python $(BUILD_PYTHON)
  COMPILER := $(BUILD_PYTHON)
else
  ifeq ($(PLATFORM_$(LAMBDA_ARCH)),)
    $(error LAMBDA_ARCH=$(LAMBDA_ARCH) is neither arm64 nor x86_64)
  endif
  TARGET := --python-version $(LAMBDA_VERSION) --python-platform $(PLATFORM_$(LAMBDA_ARCH))
  COMPILER := $(LAMBDA_PYTHON)
endif

DESTINATION = $(ARTIFACTS_DIR)
# Where Lambda puts it.
PLACE := /var/task
# A channel keeps its place in the tree: its files know each other by one name, here and on Lambda.
PACKAGE := $(filter functions/channels/%,$(FOLDER))

# Every dependency is in the lock, so none is looked for: what the runtime brings stays out. Copied,
# since a link would lead into uv's cache.
INSTALL = if [ -f $(HERE)requirements.txt ]; then \
	uv pip install --quiet --no-deps --require-hashes --only-binary :all: --link-mode copy $(TARGET) \
	--target "$(DESTINATION)" --requirements $(HERE)requirements.txt; fi
# What no import needs. A package's METADATA and licences stay: scanners read them, lawyers too.
TRIM = find "$(DESTINATION)" -mindepth 1 '(' -path "$(DESTINATION)/bin" -o -name .lock \
	-o -name __pycache__ -o -name '*.pyi' -o -name py.typed \
	-o -path '*.dist-info/sboms' -o -path '*.dist-info/RECORD' -o -path '*.dist-info/WHEEL' \
	-o -path '*.dist-info/INSTALLER' -o -path '*.dist-info/REQUESTED' \
	-o -path "$(DESTINATION)/*/tests" ')' -prune -exec rm -rf {} +
COPY = mkdir -p "$(DESTINATION)/$(PACKAGE)" && cp $(HERE)*.py "$(DESTINATION)/$(PACKAGE)/"
# Each file names the place it will have, not the folder it was built in: equal input, equal output.
COMPILE = if [ -n "$(COMPILER)" ]; then \
	"$(COMPILER)" -m compileall -q --invalidation-mode unchecked-hash \
	-s "$(DESTINATION)" -p $(PLACE) "$(DESTINATION)"; \
	else echo "WARNING: not compiled: no python$(LAMBDA_VERSION) here" >&2; fi

build-%:
	@mkdir -p "$(DESTINATION)"
	@$(INSTALL)
	@$(COPY)
	@$(TRIM)
	@$(COMPILE)
