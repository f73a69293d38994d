"""What Kbuild asks of the compiler before it builds anything, asked once and kept.

Every make of a module has gcc try some 30 options that not all compilers know
(try-run of scripts/Makefile.compiler), a third of the time of a small build.
The answers depend on the kernel's tree and on the compiler alone. A makefile
that GNU make reads before Kbuild's own (MAKEFILES) has them ready; a question
that it does not know is asked as ever, so what is compiled stays the same.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from vm import cache, tools
from vm.errors import MissingTool, NoSpace, VMError
from vm.kernel import Kernel

INSIDE = "/answers.mk"
"""Where a sandbox is to show the makefile, and its environment's MAKEFILES to name it."""

_SECONDS = 60
"""Wall seconds that all questions may take on a slow and busy host."""

# $(1) is a command, $(2) what stands for its success, $(3) for its failure; $$TMP is
# where it may write. A question without its spaces is one word of a makefile's list.
_QUESTION = r"""
override knetlab-nothing :=
override knetlab-question = $(subst $(knetlab-nothing) $(knetlab-nothing),~,$(strip $(1)))
override knetlab-ask = $(shell d=$$(mktemp -d); trap 'rm -rf $$d' EXIT; TMP=$$d/tmp; \
	if ($(1)) >/dev/null 2>&1; then echo yes; else echo no; fi)
"""

_RECORD = r"""
override knetlab-told = $(file >>/build/asked,$(1)~$(2))$(1)
override try-run = $(if $(filter yes,$(call knetlab-told,$(call knetlab-ask,$(1)),$(call \
	knetlab-question,$(1)))),$(2),$(3))
"""

_ANSWER = r"""
override knetlab-known = $(filter $(1)~$(2),$(knetlab-answers))
override knetlab-answer = $(if $(call knetlab-known,yes,$(2)),yes,$(if $(call \
	knetlab-known,no,$(2)),no,$(call knetlab-ask,$(1))))
override try-run = $(if $(filter yes,$(call knetlab-answer,$(1),$(call \
	knetlab-question,$(1)))),$(2),$(3))
"""


def answers(kernel: Kernel) -> Path:
    """Return the makefile with the answers for *kernel*, which are asked the first time.

    Raises VMError when not even an empty module can be built.
    """

    def make(folder: Path) -> None:
        (folder / "answers.mk").write_text(_makefile(_asked(kernel)))

    key = cache.digest(Path(__file__), kernel.key, kernel.tools.key)
    return cache.entry("kbuild", key, make) / "answers.mk"


def _asked(kernel: Kernel) -> list[str]:
    """Build no module at all and return what was asked: ``yes~QUESTION`` or ``no~QUESTION``."""
    with tempfile.TemporaryDirectory(prefix="knetlab-build-") as scratch:
        build = Path(scratch) / "build"
        build.mkdir()
        (build / "Kbuild").write_text("obj-m :=\n")
        (build / "record.mk").write_text(_QUESTION + _RECORD)
        sandbox = kernel.sandbox(writable={build: "/build"}, env={"MAKEFILES": "/build/record.mk"})
        for path in (build, *build.iterdir()):
            sandbox.own(path)
        try:
            tools.run(sandbox.argv(kernel.make("/build")), timeout=_SECONDS)
        except (MissingTool, NoSpace):
            raise
        except VMError as error:
            raise VMError(f"The compiler does not work on this host. {error}") from error
        asked = build / "asked"
        return sorted(set(asked.read_text().split())) if asked.exists() else []


def _makefile(asked: Iterable[str]) -> str:
    words = (word.replace("$", "$$").replace("#", "\\#") for word in asked)
    return "override knetlab-answers := " + " \\\n\t".join(words) + "\n" + _QUESTION + _ANSWER
