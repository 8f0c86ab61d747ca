"""The parsers of the commands: options that all of them take, subcommands, guesses at what was mistyped."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

STATE_DEFAULT = "~/.local/share/zos"
KEY_DEFAULT = "~/.config/zos/user.key"


class Parser(argparse.ArgumentParser):
    """An argument parser that says what a mistyped command, choice or option may have meant."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but what this parser does not know is an error here: its parent does not know its options."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [name for action in self._actions for name in action.option_strings]
            meant = next((guess for word in unknown if (guess := _guess(word.partition("=")[0], options))), "")
            self.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            meant = _guess(str(value), choices) or f" (choose from {', '.join(choices)})"
            self.error(f"there is no {str(action.metavar or action.dest).lower()} `{value}`{meant}")

    def error(self, message: str) -> NoReturn:
        """The mistake and where help is; exit code 2."""
        self.exit(2, f"zos: {message}\n     {self.prog} --help tells how to use it\n")


def _guess(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def common() -> Parser:
    """The options that can stand before and behind every command."""
    parser = Parser(add_help=False)
    # SUPPRESS: given before the command's name, an option must not be overwritten by the default behind it.
    options = parser.add_argument_group("options of every command")
    options.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON")
    options.add_argument("--chain", metavar="URL", default=argparse.SUPPRESS, help="the chain (or ZOS_CHAIN)")
    options.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        default=argparse.SUPPRESS,
        help=f"your key file (or ZOS_KEY; default: {KEY_DEFAULT})",
    )
    options.add_argument(
        "--state",
        metavar="DIR",
        type=Path,
        default=argparse.SUPPRESS,
        help=f"the folder of your records (or ZOS_STATE; default: the lab's if one is up, else {STATE_DEFAULT})",
    )
    options.add_argument(
        "--rmb",
        action="store_true",
        default=argparse.SUPPRESS,
        help="ask nodes by RMB, as your twin, also those whose sockets are on this machine",
    )
    return parser


def whole(text: str) -> int:
    """The type of ids and counts: a whole number without sign."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"`{text}` is no number such as 7")
    return int(text)


def amount(text: str) -> float:
    """The type of times and amounts: a number that is not below zero."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"`{text}` is no number from 0 on")
    return value


AddSubcommand = Callable[..., Parser]


def subcommands(parser: Parser) -> AddSubcommand:
    """Gives a command subcommands: `add("list", "all farms", action)` returns the parser of `zos farm list`."""
    shared = common()
    below = parser.add_subparsers(required=True, metavar="SUBCOMMAND", title="subcommands", dest="subcommand")

    def add(name: str, help: str, action: Callable[..., Any]) -> Parser:
        made = below.add_parser(name, parents=[shared], help=help, description=sentence(help))
        made.set_defaults(action=action)
        return made

    return add


def sentence(help: str) -> str:
    """A line of help as the first sentence of a page."""
    return f"{help[:1].upper()}{help[1:]}."


def every_action(parser: argparse.ArgumentParser) -> Iterable[argparse.Action]:
    """All arguments and options of a parser and of those below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from every_action(below)
