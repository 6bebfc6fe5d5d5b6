# Which Python this machine has for Lambda's: its bytecode is shipped, and `make invoke` runs on it.
# A pyenv shim may be on PATH without running anything, so the first that runs is taken.
LAMBDA_VERSION := 3.13
LAMBDA_PYTHON  ?= $(shell for each in python$(LAMBDA_VERSION) \
	"$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(LAMBDA_VERSION).*/bin/python$(LAMBDA_VERSION) \
	"$${XDG_DATA_HOME:-$$HOME/.local/share}"/uv/python/cpython-$(LAMBDA_VERSION).*/bin/python$(LAMBDA_VERSION); \
	do "$$each" -c 'import sys; print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null && break; done)
