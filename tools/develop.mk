# The developers' half of the Makefile; the archive for students is without it (checker/workshop/dist.py).

.PHONY: test test-hosts selftest bench bench-class new dist docs links setup-docs setup-dev

test: setup-dev ## run the project's own tests
	@tools/test.sh $(ARGS)

test-hosts: ## try the README's commands on Debian 13 and sid; ARGS="--hosts '12 13'"
	@tools/hosts.sh $(ARGS)

selftest: setup-dev ## grade the lab's own correct and wrong solutions on every kernel in the cache
	@$(KNETLAB) selftest $(lab) $(ARGS)

bench: setup-dev ## measure the time of a check; ARGS='--steady 0' takes only minutes
	@.venv/bin/python -m tools.bench $(ARGS)

bench-class: setup-dev ## measure the time to grade a class; ARGS='--class 300'
	@.venv/bin/python -m tools.bench_class $(ARGS)

new: setup ## LAB=name: make a new lab that works at once; KIND=program for user programs
	@$(if $(LAB),$(KNETLAB) new '$(LAB)' $(if $(KIND),--kind $(KIND)),echo "Give the lab a name: make new LAB=name" >&2; exit 2)

dist: setup ## make the archive for students; COURSE=course.toml leaves out hidden checks
	@$(KNETLAB) dist $(if $(filter command environment,$(origin LAB)),$(LAB)) $(if $(COURSE),--course '$(COURSE)') \
		$(if $(KIT),--kit '$(KIT)')

docs: setup-docs ## build the book: open build/docs/index.html; LANGUAGE=zh_CN: in Chinese
	@tools/docs.sh html $(if $(filter command,$(origin LANGUAGE)),'$(LANGUAGE)')

links: setup-docs ## test whether the book's links to other sites still work
	@tools/docs.sh linkcheck

setup-docs:
	@tools/setup.sh docs

setup-dev:
	@tools/setup.sh dev
