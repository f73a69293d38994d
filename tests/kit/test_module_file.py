"""What a module's file says of itself, read from object files as the kernel's build makes them."""

from __future__ import annotations

import subprocess
from pathlib import Path

from checker.kit import module_file

SOURCE = """\
#define SECTION(name) __attribute__((section(name)))
extern int sock_create_kern(void);
int helper;
static int SECTION(".init.text") my_init(void) { return sock_create_kern() + helper; }
static void EXIT my_exit(void) { }
int init_module(void) __attribute__((alias("my_init")));
void cleanup_module(void) __attribute__((alias("my_exit")));
char __this_module[64] SECTION(".gnu.linkonce.this_module");
static const char info[] SECTION(".modinfo") __attribute__((used)) = "license=GPL\\0vermagic=6.1";
"""


def compiled(folder: Path, marked: str) -> module_file.ModuleFile:
    """Compile the module whose exit function is marked as *marked*, and read it."""
    (folder / "m.c").write_text(SOURCE.replace("EXIT", marked))
    subprocess.run(["gcc", "-c", "-o", folder / "m.ko", folder / "m.c"], check=True)
    return module_file.read((folder / "m.ko").read_bytes())


def test_a_module_says_what_it_calls_and_shows(tmp_path: Path) -> None:
    """Its imports, the names that are not static, its tags, and what has no mark."""
    file = compiled(tmp_path, 'SECTION(".exit.text")')
    assert file.calls("sock_create", "sock_create_kern") == "sock_create_kern"
    assert not file.calls("kernel_bind")
    assert file.visible == ("helper",)
    assert file.unmarked == {}
    assert file.info == {"license", "vermagic"}


def test_an_exit_function_without_its_mark_is_named(tmp_path: Path) -> None:
    """The name is the function's own, not the one that the kernel's build gives it."""
    assert compiled(tmp_path, "").unmarked == {"exit": "my_exit"}


def test_a_file_without_symbols_says_nothing(tmp_path: Path) -> None:
    """A module that was stripped of all its names is no trouble."""
    compiled(tmp_path, "")
    subprocess.run(["strip", tmp_path / "m.ko"], check=True)
    assert module_file.read((tmp_path / "m.ko").read_bytes()) == module_file.ModuleFile()
