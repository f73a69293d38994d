# knetlab's front door. `make check` grades your work, `make help` says what else there is.

SHELL := /bin/sh
KNETLAB := .venv/bin/knetlab
# without LAB a student's command takes the lab that was edited last
lab := $(or $(LAB),networking)
desk_args := $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(foreach n,$(EX),--exercise $(n)) $(ARGS)

# ex=2, Lab=x or EXERCISE=2 would be left unread, and everything be graded
settings := EX LAB SUBMISSION ARGS FRESH ALL_KERNELS KIT RESTART STEP FORCE GDB AT_FAILURE NAME COURSE
typed := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))
$(foreach v,$(filter-out $(settings),$(typed)),$(foreach u,$(patsubst EXERCISE%,EX,$(shell echo '$v' | tr a-z A-Z)),\
	$(if $(filter $(settings),$u),$(error make knows no $v: write $u=$($v)))))
$(if $(filter-out 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20,$(EX)),$(error EX=$(EX) is no number of an exercise: write EX=2 or EX='1 2'))

# a kit (knetlab kit) that lies here or beside this folder is used
KIT ?= $(firstword $(wildcard knetlab.kit ../knetlab.kit))
ifneq ($(KIT),)
export KNETLAB_KIT := $(shell realpath -m '$(KIT)')
endif

.DEFAULT_GOAL := check
.PHONY: check watch hint reset list labs pcap console source skels kernel doctor lint editor help setup

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

check: setup ## grade skels/LAB, or SUBMISSION=path; EX=2 only exercise 2; FRESH=1 runs all anew; ALL_KERNELS=1; KIT=FILE
	@$(KNETLAB) check $(desk_args) $(if $(FRESH),--fresh) $(if $(ALL_KERNELS),--all-kernels) || { s=$$?; [ $$s -eq 1 ] || exit $$s; }

watch: setup ## at each save, check the exercise you are at; EX=2 begins with that one
	@$(KNETLAB) watch $(desk_args)

hint: setup ## the next hint for the exercise you are at; EX=2 for that one, RESTART=1 from the first
	@$(KNETLAB) hint $(desk_args) $(if $(RESTART),--restart)

list: setup ## the exercises, their points, and what you reached; of several labs the labs, LAB=name one
	@$(KNETLAB) list $(desk_args)

labs: setup ## the labs there are
	@$(KNETLAB) labs

reset: setup ## EX=2: put exercise 2 back to what was handed out, and keep yours as .orig
	@$(if $(EX),$(KNETLAB) reset $(desk_args),echo "Say which exercise: make reset EX=2" >&2; exit 2)

pcap: setup ## the packets of the last run as tables and files; EX=1 only those of exercise 1
	@$(KNETLAB) pcap $(desk_args)

skels: setup ## write what students start from; STEP=2 has exercise 1 solved, FORCE=1 keeps backups
	@$(KNETLAB) skeleton $(lab) $(if $(STEP),--step $(STEP)) $(if $(FORCE),--force)

console: setup ## a shell in a guest with your modules; GDB=1 lets gdb in, AT_FAILURE=1 where a check failed
	@$(KNETLAB) console $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(if $(GDB),--gdb) \
		$(if $(AT_FAILURE),--at-failure $(filter-out 1,$(AT_FAILURE))) $(ARGS)

source: setup ## NAME=kernel_bind: how the guest's kernel defines it; NAME=net/socket.c: where that file is
	@$(KNETLAB) source $(if $(NAME),'$(NAME)')

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
	@$(KNETLAB) lint $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') || { s=$$?; [ $$s -eq 1 ] || exit $$s; }
endif

editor: setup ## write compile_commands.json, by which clangd finds the kernel's headers
	@$(KNETLAB) editor $(LAB)

setup:
	@tools/setup.sh

# what only a clone of the whole project has
-include tools/develop.mk
