"""Check our C as the kernel does: gcc W=1, sparse, checkpatch --strict.

Prints what is found; exit status 1 if there is anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from checker import lab
from checker.desk.lint import style
from checker.engine.compiler import CHATTER
from checker.workshop import new
from vm import kernel, tools


def compile_strictly(folder: Path, kbuild: Path, on: kernel.Kernel) -> str:
    """Build the folder *kbuild* of the tree *folder* with W=1 and sparse; return what was said."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "build"
        shutil.copytree(folder, copy)
        sandbox = on.sandbox(writable={copy: "/build"})
        for path in (copy, *copy.rglob("*")):
            sandbox.own(path)
        argv = ["make", "-s", "-C", on.build, f"M=/build/{kbuild.relative_to(folder)}", "modules"]
        argv += [
            "W=1",
            "KBUILD_CHECKSRC=2",
            "CF=-D__CHECK_ENDIAN__",
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
        ]
        done = subprocess.run(sandbox.argv(argv), check=False, capture_output=True, text=True)
    said = [x for x in (done.stdout + done.stderr).splitlines() if not CHATTER.search(x)]
    return "\n".join(said) + ("" if done.returncode == 0 else "\nmake failed")


def main() -> int:
    """Lint every lab's C, and ours for guests; return the exit status."""
    tools.find("sparse")
    words: list[str] = []
    stock = kernel.stock()
    for name in lab.names():
        the_lab = lab.load(name)
        files = [*the_lab.root.rglob("*.[ch]"), *Path("skels", name).rglob("*.[ch]")]
        words.append(style(sorted(files)))
        for module in the_lab.modules:
            folder = the_lab.solution
            words.append(compile_strictly(folder, folder / module.folder, stock))
    for folder in sorted(new.TEMPLATES.glob("*/solution")):
        words.append(style(sorted(folder.rglob("*.[ch]"))))
        for kbuild in folder.rglob("Kbuild"):
            words.append(compile_strictly(folder, kbuild.parent, stock))
    words.append(style(sorted(Path("vm").rglob("*.[ch]"))))
    for folder in (Path("vm/witness"), Path("vm/way")):
        words.append(compile_strictly(folder, folder, stock))
    text = "\n".join(word.strip() for word in words if word.strip())
    if text:
        sys.stdout.write(text + "\n")
    return 1 if text else 0


if __name__ == "__main__":
    sys.exit(main())
