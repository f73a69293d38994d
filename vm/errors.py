"""The errors of this package. Each one's text is a sentence that says what to do next."""


class VMError(Exception):
    """Something of ours went wrong: a download, a tool, QEMU itself."""


class MissingTool(VMError):
    """A program this host needs is not there; the text names its package."""


class NoDriver(VMError):
    """A kernel has no driver of a name that somebody asks for: neither a file nor built in."""

    def __init__(self, driver: str, kernel: str, release: str) -> None:
        super().__init__(
            f"The {kernel} kernel {release} has no driver {driver}: it is not among its "
            "modules, and it is not built in."
        )
        self.driver = driver


class NoPackage(VMError):
    """A package that somebody asks for is not there, or cannot be used in a guest."""

    def __init__(self, package: str, why: str) -> None:
        super().__init__(why)
        self.package = package


class NoLibrary(VMError):
    """A library that somebody's programs ask for is not in the system that compiles them."""


class NoMirror(VMError):
    """Packages are needed, and nobody knows where from; the text says what to do."""


class BadKit(VMError):
    """A kit is none, is damaged, or belongs to another knetlab; the text says what to do."""


class NoSandbox(VMError):
    """bubblewrap cannot shut anything in on this host; the text says what to do."""


class NoSpace(VMError):
    """A disk of the host is full; the text says what to do."""


class GuestError(VMError):
    """The guest could not do what was asked; see the subclasses for how it ended."""


class GuestCrashed(GuestError):
    """The guest's kernel panicked, reset itself, or broke its command channel."""


class GuestUnready(VMError):
    """The guest did not come up, or not with what it needs; no submission's code was in it."""


class GuestLost(VMError):
    """QEMU was killed from outside, for want of memory perhaps: nobody's code did that."""


class GuestFlooded(GuestError):
    """The guest printed more on its console than anybody will read."""


class GuestTimeout(GuestError):
    """The guest hangs, or did not answer within the backstop."""


class GuestSpins(GuestTimeout):
    """A program in the guest loops without end, so slowly that its deadline does not come."""
