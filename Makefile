# knetlab's front door. `make check` grades your work, `make help` says what else there is.

LAB ?= networking
SHELL := /bin/sh
KNETLAB := .venv/bin/knetlab
check_args := $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(foreach n,$(EX),--exercise $(n)) $(ARGS)

.DEFAULT_GOAL := check
.PHONY: check console skels kernel doctor lint editor help setup

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

check: setup ## grade skels/LAB, or SUBMISSION=path; EX=2 only exercise 2
	@$(KNETLAB) check $(check_args) || { s=$$?; [ $$s -eq 1 ] || exit $$s; }

skels: setup ## write what students start from; STEP=2 has exercise 1 solved, FORCE=1 keeps backups
	@$(KNETLAB) skeleton $(LAB) $(if $(STEP),--step $(STEP)) $(if $(FORCE),--force)

console: setup ## a shell in a guest, with your modules and the test scripts at hand
	@$(KNETLAB) console $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)')

kernel: setup ## fetch the guest's kernel into the cache; NAME=debug builds the one that sees more
	@[ "$(NAME)" != debug ] || tools/setup.sh kernel
	@$(KNETLAB) kernel $(or $(NAME),stock)

doctor: setup ## say what this host has and what it lacks
	@$(KNETLAB) doctor

# with no lab named this is about the project's own code, where that is at hand
ifeq ($(filter command environment,$(origin LAB))$(wildcard tools/lint.sh),tools/lint.sh)
lint: setup-dev
	@tools/lint.sh
else
lint: ## LAB=networking: what gcc, sparse and the kernel's checkpatch say of your code
	@tools/setup.sh lint
	@$(KNETLAB) lint $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)')
endif

editor: setup ## write compile_commands.json, by which clangd finds the kernel's headers
	@$(KNETLAB) editor $(LAB)

setup:
	@tools/setup.sh

# what only a clone of the whole project has
-include tools/develop.mk
