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
	$(if $(filter $(settings),$u),$(error make does not know $v. Write $u=$($v)))))
$(if $(filter-out 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20,$(EX)),$(error EX=$(EX) is not the number of an exercise. Write EX=2 or EX='1 2'))

# a kit (knetlab kit) that lies here or beside this folder is used
KIT ?= $(firstword $(wildcard knetlab.kit ../knetlab.kit))
ifneq ($(KIT),)
export KNETLAB_KIT := $(shell realpath -m '$(KIT)')
endif

.DEFAULT_GOAL := check
.PHONY: check watch hint reset list labs pcap console source skels kernel doctor lint editor help setup

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

check: setup ## grade skels/LAB or SUBMISSION=path; EX=2 only exercise 2; FRESH=1 everything again; ALL_KERNELS=1; KIT=FILE
	@$(KNETLAB) check $(desk_args) $(if $(FRESH),--fresh) $(if $(ALL_KERNELS),--all-kernels) || { s=$$?; [ $$s -eq 1 ] || exit $$s; }

watch: setup ## check each time you save a file; EX=2 begins with exercise 2
	@$(KNETLAB) watch $(desk_args)

hint: setup ## the next hint for your exercise; EX=2 for exercise 2, RESTART=1 from the first hint
	@$(KNETLAB) hint $(desk_args) $(if $(RESTART),--restart)

list: setup ## the exercises and your points; if there are several labs, the labs; LAB=name one of them
	@$(KNETLAB) list $(desk_args)

labs: setup ## list all labs
	@$(KNETLAB) labs

reset: setup ## EX=2: restore exercise 2 to what you were given; your version is kept as .orig
	@$(if $(EX),$(KNETLAB) reset $(desk_args),echo "Say which exercise: make reset EX=2" >&2; exit 2)

pcap: setup ## show the packets of the last run and save them; EX=1 only those of exercise 1
	@$(KNETLAB) pcap $(desk_args)

skels: setup ## write the files that you start from; STEP=2 with exercise 1 solved; FORCE=1 replaces yours, with backups
	@$(KNETLAB) skeleton $(lab) $(if $(STEP),--step $(STEP)) $(if $(FORCE),--force)

console: setup ## a shell in a guest with your modules; GDB=1 for gdb; AT_FAILURE=1 where a check failed
	@$(KNETLAB) console $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') $(if $(GDB),--gdb) \
		$(if $(AT_FAILURE),--at-failure $(filter-out 1,$(AT_FAILURE))) $(ARGS)

source: setup ## NAME=kernel_bind: how the guest's kernel defines it; NAME=net/socket.c: where the file is
	@$(KNETLAB) source $(if $(NAME),'$(NAME)')

kernel: setup ## download the guest's kernel; NAME=debug builds the debug kernel
	@[ "$(NAME)" != debug ] || tools/setup.sh kernel
	@$(KNETLAB) kernel $(or $(NAME),stock)

doctor: setup ## say what this computer has and what is missing
	@$(KNETLAB) doctor

# with no lab named this is about the project's own code, where that is at hand
ifeq ($(filter command environment,$(origin LAB))$(wildcard tools/lint.sh),tools/lint.sh)
lint: setup-dev
	@tools/lint.sh
else
lint: ## LAB=networking: what gcc, sparse and the kernel's checkpatch say about your code
	@tools/setup.sh lint
	@$(KNETLAB) lint $(LAB) $(if $(SUBMISSION),--submission '$(SUBMISSION)') || { s=$$?; [ $$s -eq 1 ] || exit $$s; }
endif

editor: setup ## write compile_commands.json, so that clangd finds the kernel's headers
	@$(KNETLAB) editor $(LAB)

setup:
	@tools/setup.sh

# what only a clone of the whole project has
-include tools/develop.mk
