# The one door for commands. Everything is installed into .venv; a second start installs nothing.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --quiet --disable-pip-version-check --no-deps --require-hashes

help: ## What can be done here
	@awk -F ' ## ' '/^[a-z-]+:.* ## / { split($$1, t, ":"); printf "make %-15s %s\n", t[1], $$2 }' Makefile

run: $(VENV)/ready-run ## Start the platform here: a manager and two nodes, until Ctrl-C
	@exec $(PY) -m manager

test: $(VENV)/ready-dev ## Fast tests
	@$(PY) -m pytest -m "not slow" -n $$(nproc) $(ARGS)

test-all: $(VENV)/ready-dev ## Every test, also those that take long or need the network
	@$(PY) -m pytest $(ARGS)

check: $(VENV)/ready-dev ## Types and style; changes nothing
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet . || { echo "Not formatted: run make fix"; exit 1; }
	@$(PY) -m mypy

fix: $(VENV)/ready-dev ## Mend style where a machine can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

bench: $(VENV)/ready-dev ## What a call costs
	@$(PY) -m benchmarks.hop $(ARGS)

STATES := {{.Service}}|{{.State}}|{{.Health}}|{{.ExitCode}}
ILL := !($$2 == "running" && $$3 == "healthy" || $$2 == "exited" && $$4 == "0") { print $$1 }

# Containers have a user of their own, who must be able to read what is mounted.
up: ## Start the platform in containers (docs/deploy.md)
	@chmod -R go+rX nodes/profiles mcp_servers 2>/dev/null || true
	@docker compose up --detach --build --wait || { \
		echo "Last words of what does not run as it should:" >&2; \
		docker compose logs --tail 5 $$(docker compose ps --all --format '$(STATES)' | awk -F '|' '$(ILL)') >&2; \
		exit 1; \
	}
	@echo "AgentDock is ready at http://$$(docker compose port agentdock-manager 8080)"

down: ## Stop the containers; registry and files stay
	@docker compose down

key: ## Show the key of the containers' administrator
	@docker compose exec -T agentdock-manager \
		sh -c 'echo "$${AGENTDOCK_MANAGER_ADMIN_KEY:-$$(cat /run/agentdock/manager/admin_key)}"'

OFFLINE_BASE := agentdock-base:local
OFFLINE_MONGO := agentdock-mongo:local

images-offline: ## Build every image without an image registry (docs/offline.md)
	@deploy/base.sh $(OFFLINE_BASE)
	@docker build --quiet --build-arg BASE_IMAGE=$(OFFLINE_BASE) \
		--build-arg PIP_INDEX_URL --build-arg PIP_TRUSTED_HOST --tag $(OFFLINE_MONGO) deploy/mongo_stand_in
	@BASE_IMAGE=$(OFFLINE_BASE) MONGO_IMAGE=$(OFFLINE_MONGO) docker compose build
	@echo "Add two lines to .env, then: make up"
	@echo "BASE_IMAGE=$(OFFLINE_BASE)"
	@echo "MONGO_IMAGE=$(OFFLINE_MONGO)"

test-compose: $(VENV)/ready-dev ## The containers on a real engine
	@$(PY) -m pytest -m compose tests/compose -o faulthandler_timeout=600 $(ARGS)

# A stamp is written last, so that an installation cut short is done again.
$(VENV)/ready-run: requirements.lock $(VENV)/ready
	@echo "Installing what AgentDock needs into $(VENV) (once)"
	@$(PIP_INSTALL) -r requirements.lock
	@touch $@

$(VENV)/ready-dev: requirements.lock requirements-dev.lock $(VENV)/ready
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(PIP_INSTALL) -r requirements-dev.lock
	@touch $(VENV)/ready-run $@

# The interpreter that made .venv may have been removed since.
ifeq ($(realpath $(PY)),)
.PHONY: $(VENV)/ready
endif

USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

$(VENV)/ready:
	@for python in $(PYTHON) python3 python3.11 python3.12 python3.13 python3.14; do \
		"$$python" -c '$(USABLE)' 2>/dev/null || continue; \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV) && touch $@; exit; \
	done; \
	echo "AgentDock needs Python 3.11 or later with its venv module. Install them (Debian and" >&2; \
	echo "Ubuntu: apt-get install python3 python3-venv) or name one: make PYTHON=/path/to/python" >&2; \
	exit 1

.PHONY: help run test test-all test-compose check fix bench up down key images-offline
