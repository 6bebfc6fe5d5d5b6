# How sam builds what has dependencies of its own: wheels chosen by lock, no container, bytecode
# compiled when the right Python is at hand (a cold start without it takes 2.4 times as long).
#
# BUILD_PYTHON: build for this interpreter instead of for Lambda; the offline cloud runs the
# functions in its own.
HERE := $(dir $(abspath $(firstword $(MAKEFILE_LIST))))
LAMBDA_PYTHON ?= 3.13
LAMBDA_PLATFORM ?= aarch64-manylinux_2_28
ifdef BUILD_PYTHON
  TARGET := --python $(BUILD_PYTHON)
  COMPILER := $(BUILD_PYTHON)
else
  TARGET := --python-version $(LAMBDA_PYTHON) --python-platform $(LAMBDA_PLATFORM)
  COMPILER := $(shell command -v python$(LAMBDA_PYTHON) 2>/dev/null)
endif

# Every dependency is in the lock, so none is looked for: what the runtime brings stays out.
INSTALL = uv pip install --quiet --no-deps --require-hashes --only-binary :all: $(TARGET) \
	--target "$(DESTINATION)" --requirements $(HERE)requirements.txt
COMPILE = if [ -n "$(COMPILER)" ]; then \
	"$(COMPILER)" -m compileall -q --invalidation-mode unchecked-hash "$(DESTINATION)" || \
	echo "not compiled: $(COMPILER) does not run"; fi

# A channel keeps its place in the tree: its files know each other by one name, here and on Lambda.
PLACE = $(DESTINATION)/functions/channels/$(notdir $(HERE:/=))
COPY_CHANNEL = mkdir -p "$(PLACE)" && cp $(HERE)*.py "$(PLACE)/"
