"""Where Debian's packages come from: the mirrors that this machine's apt is configured with. Pure but for `known`."""

from __future__ import annotations

import calendar
import email
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zos.images.node.recipe import CannotBuild
from zos.runtime import proc

RELEASE = "trixie"
"""Debian 13: its kernel has simple quotas, and it takes less room than 12."""
POCKETS = ("", "-updates", "-security")
INDEXES = ("apt-get", "indextargets", "--format", "$(REPO_URI)|$(CODENAME)|$(COMPONENT)", "Created-By: Packages")


@dataclass(frozen=True, slots=True)
class Source:
    """One line for apt."""

    uri: str
    suite: str

    @property
    def line(self) -> str:
        """As sources.list has it."""
        return f"deb {self.uri} {self.suite} main"

    @property
    def release(self) -> str:
        """Where it says what is in it."""
        return f"{self.uri.rstrip('/')}/dists/{self.suite}/InRelease"


def sources(listed: str, host: str) -> tuple[Source, ...]:
    """The image's sources, at the mirrors from which this machine (of Debian `host`) has the same of its release."""
    mirrors: dict[str, str] = {}
    for line in listed.splitlines():
        uri, codename, component = line.split("|")
        if component == "main":
            mirrors.setdefault(codename, uri)
    if host not in mirrors:
        raise CannotBuild(problem=f"apt is configured with no archive of Debian {host}")
    return tuple(Source(mirrors[host + pocket], RELEASE + pocket) for pocket in POCKETS if host + pocket in mirrors)


async def known() -> tuple[Source, ...]:
    """The sources for this machine."""
    named = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    host = named.get("VERSION_CODENAME", "").strip('"')
    return sources((await proc.run(INDEXES)).text, host)


def date(release: str) -> int:
    """When an archive was last written, in Unix seconds, by its InRelease file."""
    body = release.partition("\n\n")[2] if release.startswith("-----BEGIN") else release
    text = email.message_from_string(body)["Date"]
    try:
        return calendar.timegm(time.strptime(str(text), "%a, %d %b %Y %H:%M:%S UTC"))
    except ValueError:
        raise CannotBuild(problem=f"an archive's InRelease has no date (`{text}`)") from None


async def dates(found: tuple[Source, ...], folder: Path) -> Mapping[str, int]:
    """When each source was last written, asked by apt's own way of fetching, so with its proxies."""
    answers = {}
    for source in found:
        file = folder / source.suite
        await proc.run(["/usr/lib/apt/apt-helper", "download-file", source.release, file], deadline=120)
        answers[source.suite] = date(file.read_text(errors="replace"))
    return answers
