"""Show what QEMU before 8.0 does to the flags behind cmpxchg16b: python -m tools.qemu_flags.

Behind cmpxchg16b, QEMU before 8.0 has flags that no instruction has set: bits of an address, say.

Guess: cmpxchg16b sets ZF and leaves the other flags alone.
Seen: QEMU 7.2.22 (TCG). The flags came from the stack (popf, iret) or QEMU's main loop was left,
an addition follows and then cmpxchg16b, with no jump in between: the flags are then bits of
what was added. TF (single step), DF (string direction) and NT among them. An interrupt at
that place saves them, and leaving the main loop makes them the processor's own.
Why: the helper works the flags out by env->cc_op (target/i386/tcg/mem_helper.c), which the
translator had not stored yet. 8.0 has no such helper any more.
Why it matters: kmalloc() of Linux 6.5 and newer is such code. Guests do without cx16
(CPU in vm/machine.py).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vm import image, kernel, machine
from vm.guest import Guest
from vm.image import PayloadFile
from vm.machine import Config

PROGRAM = r"""
#include <stdio.h>

static unsigned long cell[2] __attribute__((aligned(16)));
static unsigned long word = 5;

/* The instructions are those of kmem_cache_alloc() in Linux 6.12. */
static unsigned long flags_behind(unsigned long object)
{
	unsigned long flags, a = 0, d = 0, x = 1, y = 2;

	asm volatile("pushf; popf; jmp 1f; 1:\n\t"
			"add %[object], %[x]\n\t"
			"mov %[word], %[y]\n\t"
			"xor %[word], %[y]\n\t"
			"cmpxchg16b %[cell]\n\t"
			"jne 2f; 2:\n\t"
			"pushf; pop %[flags]\n\t"
			"pushq $0x202; popf"
			: [flags] "=r"(flags), [cell] "+m"(cell), "+a"(a), "+d"(d),
			[x] "+r"(x), [y] "+r"(y)
			: [object] "r"(object), [word] "m"(word), "b"(0UL), "c"(0UL)
			: "cc", "memory");
	return flags;
}

int main(void)
{
	printf("%lx %lx\n", flags_behind(0), flags_behind(0xffff888004234200));
	return 0;
}
"""
machine.CPU = {"tcg": "max"}
on = kernel.stock()
with tempfile.TemporaryDirectory() as folder:
    source, program = Path(folder, "flags.c"), Path(folder, "flags")
    source.write_text(PROGRAM)
    image.compile_static(source, program)
    files = {"flags": PayloadFile(program.read_bytes(), executable=True)}
with Guest.boot(Config(on, image.initramfs(on), image.root()), files) as guest:
    said = guest.run(["/lab/flags"]).text
with_0, with_address = (int(word, 16) for word in said.split())
version = machine.qemu_version()
print(f"QEMU {version}: with 0 added {with_0:#x}, with an address added {with_address:#x}")
wrong = bool(with_address & ~0xAD7)  # CF PF AF ZF SF OF and IF may be set
old = int(version.partition(".")[0]) < 8
sys.exit("This has changed." if wrong != old else 0)
