"""Whether a grade that was made again is the same result, on the terminal.

Every string from outside is put into a ``Text``: a plain str would be read as rich markup.
"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from checker.classroom.verify import Verdict
from checker.model import Grade
from checker.report.story import score
from checker.report.text import one_line, plain


def render(verdict: Verdict, new: Grade, console: Console) -> None:
    """Print what differs, the result first, and last the sentence that counts."""
    for line in verdict.differs:
        console.print(Text(one_line(plain(line))))
    for line in verdict.made:
        console.print(Text(one_line(plain(line)), "dim"))
    if not verdict.differs:
        console.print(Text(f"The same result: {score(new)} points.", "bold green"))
    elif verdict.made:
        console.print(
            Text("Not the same result. What it was made with is not the same, either.", "bold red")
        )
    else:
        files = "Files, kernel" if verdict.same_files else "Kernel"
        said = (
            f"Not the same result. {files}, lab and knetlab are the same: the grade was changed, "
        )
        said += "" if verdict.same_files else "other files were graded, "
        console.print(Text(f"{said}or the checks do not always say the same.", "bold red"))
