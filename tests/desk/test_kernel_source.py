"""knetlab source: the kernel's own source is kept, and the definitions in it are found."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from checker import cli
from checker.desk import kernel_source
from vm import kernel as kernels
from vm import source

FILES = {
    "net/socket.c": """\
int kernel_bind(struct socket *sock, struct sockaddr *addr, int addrlen);

/* kernel_bind() is called below */
int kernel_bind(struct socket *sock, struct sockaddr *addr, int addrlen)
{
	if (!sock)
		return -1;
	return 0;
}

SYSCALL_DEFINE3(bind, int, fd, struct sockaddr __user *, addr, int, len)
{
	return kernel_bind(fd, addr, len);
}
""",
    "net/ipv4/old.c": "static struct sk_buff *\nold_style(void)\n{\n\treturn NULL;\n}\n",
    "include/linux/x.h": "#define TWICE(x) \\\n\t((x) + (x))\nstruct pair {\n\tint a;\n};\n",
    "include/linux/y.h": "int kernel_bind(struct socket *sock);\nstruct pair;\n",
    "fs/char_dev.c": "int x;\n",
    "fs/ext4/super.c": "int y;\n",
    "drivers/z.c": "int z;\n",
    "net/Kconfig": "config NET\n",
}
KEPT = {name for name in FILES if name not in {"fs/ext4/super.c", "drivers/z.c", "net/Kconfig"}}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small source of a kernel, as its package has it."""
    folder = tmp_path / "linux-source-6.1"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Packages:
    """A mirror that has one package, with an archive of *tree* in it."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.asked = 0

    def unpack(self, names: Sequence[str], target: Path) -> None:
        """Put the archive where the real package has it."""
        assert names == ["linux-source-6.1=6.1.9-1"]
        self.asked += 1
        (target / "usr/src").mkdir(parents=True)
        with tarfile.open(target / "usr/src/linux-source-6.1.tar.xz", "w:xz") as archive:
            archive.add(self.tree, self.tree.name)

    def depends(self, name: str) -> list[str]:
        """Return nothing: it is not asked."""
        raise AssertionError(name)

    def candidate(self, name: str) -> str:
        """Return nothing: it is not asked."""
        raise AssertionError(name)


def test_the_source_is_fetched_once_and_what_is_read_is_kept(tree: Path) -> None:
    """The C files of the folders that matter come out of the package; the second time at once."""
    packages = Packages(tree)
    for _ in range(2):
        folder = source.of("linux-source-6.1=6.1.9-1", packages)  # type: ignore[arg-type]
    found = {str(p.relative_to(folder)) for p in folder.rglob("*.[ch]")}
    assert (packages.asked, found) == (1, KEPT)
    assert not list(folder.rglob("Kconfig"))


def test_a_build_of_the_debug_kernel_leaves_its_source(tree: Path) -> None:
    """What was unpacked for the build need not be fetched again to be read."""
    kept = source.keep("linux-source-6.1=6.1.9-1", tree)
    packages = Packages(tree)
    assert source.of("linux-source-6.1=6.1.9-1", packages) == kept  # type: ignore[arg-type]
    assert packages.asked == 0
    assert (kept / "net/socket.c").read_text() == FILES["net/socket.c"]


@pytest.mark.parametrize(
    ("name", "place", "ends"),
    [
        ("kernel_bind", "net/socket.c:4", "}"),
        ("bind", "net/socket.c:11", "}"),
        ("old_style", "net/ipv4/old.c:1", "}"),
        ("pair", "include/linux/x.h:3", "};"),
        ("TWICE", "include/linux/x.h:1", "((x) + (x))"),
    ],
)
def test_a_definition_is_found_and_a_declaration_is_not(
    tree: Path, name: str, place: str, ends: str
) -> None:
    """Functions, system calls, structs and macros are shown whole, with their place."""
    (found,) = kernel_source.find(tree, name)
    assert f"{found.file}:{found.line}" == place
    assert found.text.endswith(ends)
    assert place in kernel_source.shown([found])


def test_source_says_what_it_does_not_have(
    tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is not defined and a file that is not kept are errors that say so."""
    monkeypatch.setattr(kernels, "source", lambda release: ("6.1.9-1", tree))
    said = {}
    for name in ("kernel_bind", "net/socket.c", "nosuch", "../x.c", "(", "a\udcff"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["source", name])
        said[name] = (ended.value.code, *capsys.readouterr())
    assert said["kernel_bind"][0] == 0
    assert "4  int kernel_bind(" in said["kernel_bind"][1]
    assert said["net/socket.c"] == (0, f"{tree}/net/socket.c\n", "")
    assert said["nosuch"][0] == said["../x.c"][0] == 2
    assert "defines no nosuch" in said["nosuch"][2]
    assert "no ../x.c here" in said["../x.c"][2]
    assert said["("][0] == said["a\udcff"][0] == 2
    assert "'(' is no name of a function" in said["("][2]
