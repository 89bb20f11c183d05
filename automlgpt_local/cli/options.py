"""Value types and options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from automlgpt_local import settings
from automlgpt_local.errors import UsageError

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType


class Duration(_Type):
    """`90`, `90s`, `10m`, `1.5h` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return settings.parse_seconds(value)
        except UsageError as error:
            self.fail(f"{error.message} {error.hint}", param, ctx)


class Memory(_Type):
    """`8g`, `512m` as MiB."""

    name = "memory"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return settings.parse_mib(value)
        except UsageError as error:
            self.fail(f"{error.message} {error.hint}", param, ctx)


class Names(_Type):
    """`a,b,c` as a tuple."""

    name = "columns"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(part.strip() for part in str(value).split(",") if part.strip())


json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output on stdout.")


def print_json(values: Any) -> None:
    import json

    click.echo(json.dumps(values, ensure_ascii=False, indent=1, default=str))


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Columns aligned by the width that a terminal gives each text."""
    from rich.cells import cell_len

    from automlgpt_local.client.inert import inert_line

    cells = [[inert_line(c, 120) for c in row] for row in [header, *rows]]
    widths = [max(cell_len(row[i]) for row in cells) for i in range(len(header))]
    for row in cells:
        click.echo("  ".join(c + " " * (w - cell_len(c)) for c, w in zip(row, widths)).rstrip())
