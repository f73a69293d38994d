# knetlab's front door. `make check` grades your work, `make help` says what else there is.

LAB ?= networking
SHELL := /bin/sh
KNETLAB := .venv/bin/knetlab
check_args := $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(foreach n,$(EX),--exercise $(n)) $(ARGS)

.DEFAULT_GOAL := check
.PHONY: check console skels kernel doctor test selftest lint bench help setup setup-dev

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

check: setup ## grade skels/LAB, or SUBMISSION=path; EX=2 only exercise 2
	@$(KNETLAB) check $(check_args) || { s=$$?; [ $$s -eq 1 ] || exit $$s; }

skels: setup ## write what students start from; STEP=2 has exercise 1 solved, FORCE=1 keeps backups
	@$(KNETLAB) skeleton $(LAB) $(if $(STEP),--step $(STEP)) $(if $(FORCE),--force)

console: setup ## a shell in a guest with your modules; GDB=1 lets gdb in, AT_FAILURE=1 where a check failed
	@$(KNETLAB) console $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(if $(GDB),--gdb) \
		$(if $(AT_FAILURE),--at-failure $(filter-out 1,$(AT_FAILURE)))

kernel: setup ## fetch the guest's kernel into the cache; NAME=debug builds the one that sees more
	@[ "$(NAME)" != debug ] || tools/setup.sh kernel
	@$(KNETLAB) kernel $(or $(NAME),stock)

doctor: setup ## say what this host has and what it lacks
	@$(KNETLAB) doctor

test: setup-dev ## run the project's own tests
	@tools/test.sh $(ARGS)

selftest: setup-dev ## grade the lab's own solutions, right and wrong, on every kernel at hand
	@$(KNETLAB) selftest $(LAB) $(ARGS)

lint: setup-dev ## check the project's own code
	@tools/lint.sh

bench: setup-dev ## time a check, as ratios to a bare QEMU boot
	@.venv/bin/python -m tools.bench

setup:
	@tools/setup.sh

setup-dev:
	@tools/setup.sh dev
