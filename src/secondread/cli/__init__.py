"""The command line: it selects what to do; the study file decides how."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Annotated

import typer

from secondread.cli import bundles, data, parts, studies
from secondread.core.errors import Absent, SecondreadError

app = typer.Typer(
    name="secondread",
    help="Builds, proves and serves an independent second reader of medical images. "
    "For research and education; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130

for family in (studies, data, bundles, parts):
    family.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from secondread.core.version import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _every_command(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    if debug:
        os.environ["SECONDREAD_DEBUG"] = "1"


UNFIT_FOLDER = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST,
                errno.EISDIR, errno.ELOOP)  # fmt: skip
"""What a full, barred or wrongly made folder of the user's answers; anything else may be a bug of ours."""


def main() -> None:
    """Run the command line; every error ends as one or two lines and the exit code of its kind."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a pipe on Windows knows few letters
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0  # standalone, typer would end Ctrl-C and wrong usage in its own words
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        raise SystemExit(code)
    except SecondreadError as error:
        _end(error, str(error), error.exit_code)
    except KeyboardInterrupt as error:
        _end(error, "stopped. What was finished is kept: the same command goes on from there.", INTERRUPTED)
    except OSError as error:
        if error.errno in UNFIT_FOLDER:
            _end(error, f"{error.strerror}: {error.filename or 'the output folder'}", 3)
        _end(error, f"{type(error).__name__}: {error} (this may be a bug; secondread --debug … shows where)", 1)
    except ModuleNotFoundError as error:
        if (missing := (error.name or "").partition(".")[0]) in ("", "secondread"):
            _end(error, f"ModuleNotFoundError: {error} (this is a bug; secondread --debug … shows where)", 1)
        told = f"{missing} is not installed: an installation without it reads and serves (docs/deployment.md)"
        _end(error, f"{told}; this command needs the whole package", Absent.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # wrong usage, as typer sees it; without a message help was shown
            told = error.format_message()
            _end(error, f"{told} (see secondread --help)" if told else "name a command", 2)
        _end(error, f"{type(error).__name__}: {error} (this is a bug; secondread --debug … shows where)", 1)


def _end(error: BaseException, message: str, code: int) -> None:
    if os.environ.get("SECONDREAD_DEBUG"):
        raise error
    print(f"secondread: {message}", file=sys.stderr)
    raise SystemExit(code)
