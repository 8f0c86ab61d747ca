"""The command line itself: what is imported when, what a mistyped word is answered, completion."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from zos.cli import commands
from zos.cli.commands import COMMANDS
from zos.cli.exits import Exit
from zos.cli.main import is_extra, main, needs, parser

HEAVY = {"asyncio", "cryptography", "grpc", "h11", "msgspec", "nacl", "shtab", "websockets", "xxhash", "yaml"}


def told(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a wrong line is answered."""
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == Exit.USAGE
    return "".join(capsys.readouterr())


@pytest.mark.process
def test_help_imports_none_of_what_commands_need() -> None:
    program = "import sys; from zos.cli.main import parser; parser(['--help']).format_help(); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert set(shown.split()) & HEAVY == set()


def test_every_module_is_a_command_and_every_command_is_defined() -> None:
    used = {command.module or command.name for command in COMMANDS.values()}
    assert {module.name for module in pkgutil.iter_modules(commands.__path__)} == used
    parser()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_defines_the_same_alone_as_among_all(command: str) -> None:
    def usage(whole: bool) -> str:
        made = parser(None if whole else [command])
        (below,) = (action for action in made._actions if action.dest == "command")
        assert isinstance(below.choices, dict)
        return str(below.choices[command].format_help())

    assert usage(whole=False) == usage(whole=True)


def test_without_a_command_there_is_an_overview(capsys: pytest.CaptureFixture[str]) -> None:
    shown = told(capsys)
    assert all(f"zos {command.name}" in shown and command.help in shown for command in COMMANDS.values())


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("deplo x.yaml", "did you mean `deploy`?"),
        ("lab dwn", "did you mean `down`?"),
        ("status 3 --jsno", "did you mean `--json`?"),
        ("--jsno status 3", "did you mean `--json`?"),
        ("deploy x.yaml --time-out=3", "did you mean `--timeout`?"),
        ("completion tcsh", "choose from bash, zsh, fish"),
        ("lab", "zos lab --help"),
        ("status", "zos status --help"),
    ],
)
def test_a_mistake_is_answered_with_what_may_have_been_meant(
    line: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert meant in told(capsys, *line.split())


def test_a_missing_library_is_answered_with_what_to_install() -> None:
    missing = ModuleNotFoundError("no", name="sqlalchemy")
    assert is_extra(missing)
    assert not is_extra(ModuleNotFoundError("no", name="zos.explorer.nothing"))
    assert needs(COMMANDS["gridproxy"], missing).advice() == "pip install 'zos[service]'"


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["completion", shell])
    assert caught.value.code == Exit.OK
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_knows_commands_verbs_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = script(shell, capsys)
    assert all(word in made for word in ("deploy", "undelete", "advance", "no-wait", "VERIFIED"))


@pytest.mark.process
def test_bash_completes_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "zos.bash").write_text(script("bash", capsys))
    (tmp_path / "vm.yaml").touch()

    def completed(*words: str) -> set[str]:
        ask = 'source zos.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_zos; echo "${COMPREPLY[@]}"'
        argv = ["bash", "-c", ask, "bash", "zos", *words]
        return set(subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split())

    assert {"deploy", "deployment"} <= completed("dep")
    assert completed("lab", "do") == {"down"}
    assert completed("deploy", "--no") == {"--no-wait"}
    assert completed("completion", "f") == {"fish"}
    assert completed("deploy", "vm") == {"vm.yaml"}
