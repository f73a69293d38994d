# The developers' half of the Makefile; the archive for students is without it (checker/workshop/dist.py).

.PHONY: test test-hosts selftest bench bench-class new dist docs links setup-docs setup-dev

test: setup-dev ## run the project's own tests
	@tools/test.sh $(ARGS)

test-hosts: ## try the README in roots of Debian 13 and sid; ARGS="--hosts '12 13'"
	@tools/hosts.sh $(ARGS)

selftest: setup-dev ## grade the lab's own solutions, right and wrong, on every kernel at hand
	@$(KNETLAB) selftest $(lab) $(ARGS)

bench: setup-dev ## time a check, as ratios to a bare QEMU boot; ARGS='--steady 0' is done in minutes
	@.venv/bin/python -m tools.bench $(ARGS)

bench-class: setup-dev ## time the grading of a class; ARGS='--class 300'
	@.venv/bin/python -m tools.bench_class $(ARGS)

new: setup ## LAB=name: a lab from nothing, which works as it is; KIND=program for one of user programs
	@$(if $(LAB),$(KNETLAB) new '$(LAB)' $(if $(KIND),--kind $(KIND)),echo "Say how it is called: make new LAB=name" >&2; exit 2)

dist: setup ## make the archive that students get; COURSE=course.toml leaves out what that hides
	@$(KNETLAB) dist $(if $(filter command environment,$(origin LAB)),$(LAB)) $(if $(COURSE),--course '$(COURSE)') \
		$(if $(KIT),--kit '$(KIT)')

docs: setup-docs ## build the book: open build/docs/index.html
	@tools/docs.sh

links: setup-docs ## ask the network whether the book's links to other sites still work
	@tools/docs.sh linkcheck

setup-docs:
	@tools/setup.sh docs

setup-dev:
	@tools/setup.sh dev
