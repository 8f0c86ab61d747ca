"""`zos completion SHELL`: a script that completes commands and options, made out of the parsers."""

from __future__ import annotations

import argparse
from pathlib import Path

from zos.cli.context import Context
from zos.cli.parsing import Parser, every_action

HOW = """\
bash:  zos completion bash > ~/.local/share/bash-completion/completions/zos
zsh:   zos completion zsh > DIR/_zos        (DIR is one that your $fpath names)
fish:  zos completion fish > ~/.config/fish/completions/zos.fish
"""


def define(parser: Parser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = HOW
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(action=_completion)


async def _completion(arguments: argparse.Namespace, ctx: Context) -> None:
    import shtab

    from zos.cli.main import parser

    whole = parser()
    for action in every_action(whole):
        if action.dest == "command":
            action.help = None  # hidden from `zos --help`, which has the overview; shtab leaves out what is hidden
        if action.type is Path:
            vars(action)["complete"] = shtab.DIRECTORY if action.metavar == "DIR" else shtab.FILE
    ctx.out.text(shtab.complete(whole, arguments.shell))
