"""The panels that show attempts: as a plan, by rank, by descent, as code."""

from __future__ import annotations

import difflib
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.widgets import DataTable, Static, Tree
from textual.widgets.tree import TreeNode

from automlgpt_local.client import Attempt, RunView
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.client.view import STAGES
from automlgpt_local.client.words import number
from automlgpt_local.settings import format_seconds
from automlgpt_local.tui.words import cell, mark, rich_say, rich_style

CODE_LIMIT = 60_000
MOST_ROWS = 200
MOST_NODES = 100  # attempts in a tree, the newest; the leaderboard has the best ones


class AttemptChosen(Message):
    """Somebody wants to see the code of an attempt."""

    def __init__(self, attempt: int) -> None:
        super().__init__()
        self.attempt = attempt


class Plan(Tree[int]):
    """Stages in their order; under each, the tools that were called and what was tried."""

    DEFAULT_CSS = "Plan { background: transparent; padding: 0 1; }"

    def __init__(self, *, widget_id: str) -> None:
        super().__init__("plan", id=widget_id)
        self.show_root = False
        self.guide_depth = 3
        self._branches: dict[str, TreeNode[int]] = {}
        self._leaves: dict[int, TreeNode[int]] = {}
        self._tools: dict[tuple[str, str], TreeNode[int]] = {}

    def on_mount(self) -> None:
        for stage in STAGES:
            self._branches[stage] = self.root.add("", expand=True)

    def show(self, view: RunView) -> None:
        for stage in view.stages:
            if stage not in self._branches:
                self._branches[stage] = self.root.add("", expand=True)
        self._show_tools(view)
        shown = list(view.attempts.values())[-MOST_NODES:]
        drop(self._leaves, {a.number for a in shown})
        for attempt in shown:
            if attempt.number not in self._leaves:
                self._leaves[attempt.number] = self._branch(attempt.stage).add_leaf("", attempt.number)
            relabel(self._leaves[attempt.number], attempt_label(attempt, self.app.theme_variables))
        for stage, node in self._branches.items():
            relabel(node, self._stage_label(stage, view))
            node.allow_expand = bool(node.children)

    def _branch(self, stage: str) -> TreeNode[int]:
        return self._branches.get(stage) or self._branches[STAGES[0]]

    def _show_tools(self, view: RunView) -> None:
        calls: dict[tuple[str, str], int] = {}
        for call in view.tools:
            calls[call] = calls.get(call, 0) + 1
        for (stage, title), times in calls.items():
            if (stage, title) not in self._tools:
                branch, before = self._branch(stage), sum(called == stage for called, _ in self._tools)
                first = branch.children[before] if before < len(branch.children) else None  # attempts come after tools
                self._tools[stage, title] = branch.add_leaf("", before=first)
            label = rich_say(
                self.app.theme_variables, ("⚙", "$secondary"), title[:60], (f"× {times}" if times > 1 else "", "")
            )
            relabel(self._tools[stage, title], label)

    def _stage_label(self, stage: str, view: RunView) -> Text:
        state = view.stages.get(stage, "")
        sign = {"running": "▸", "done": "✓"}.get(state, " ")
        style = {"running": "bold $accent", "done": ""}.get(state, "$secondary")
        count = sum(a.stage == stage for a in view.attempts.values())
        tried = f"{count} attempt{'s' if count > 1 else ''}" if count else ""
        took = format_seconds(view.seconds_in(stage)) if state == "done" else ""
        colours = self.app.theme_variables
        label = Text(f"{sign} {inert_line(stage, 12):<9} ", rich_style(colours, style), no_wrap=True)
        return label.append_text(rich_say(colours, (tried, "$secondary"), (took, "$secondary")))

    @property
    def chosen(self) -> int | None:
        """The attempt under the cursor."""
        return self.cursor_node.data if self.cursor_node is not None else None

    def on_tree_node_selected(self, event: Tree.NodeSelected[int]) -> None:
        if event.node.data is not None:
            self.post_message(AttemptChosen(event.node.data))


def drop(nodes: dict[int, TreeNode[int]], kept: set[int]) -> None:
    """Take nodes out of their tree; a child has a larger number than its parent and goes first."""
    for attempt in sorted(nodes.keys() - kept, reverse=True):
        nodes.pop(attempt).remove()


def with_ancestors(attempts: list[int], view: RunView) -> set[int]:
    kept: set[int] = set()
    for attempt in attempts:
        ancestor: int | None = attempt
        while ancestor in view.attempts and ancestor not in kept:
            kept.add(ancestor)
            ancestor = view.attempts[ancestor].parent
    return kept


def relabel(node: TreeNode[int], label: Text) -> None:
    """Set a label that is new; the same one would draw the whole tree again for nothing."""
    if node.label != label:
        node.set_label(label)


def attempt_label(attempt: Attempt, colours: dict[str, str]) -> Text:
    sign, style = mark(attempt)
    gain = f"{attempt.gain:+.3g}" if attempt.gain is not None else ""
    return rich_say(
        colours,
        (f"{sign} {attempt.number}", style),
        attempt.title[:48],
        (number(attempt.score), "bold"),
        (gain, "$secondary"),
        (f"{attempt.seconds:.0f} s" if attempt.fold_scores else "", "$secondary"),
    )


class Board(DataTable[Text]):
    """Attempts, the best MOST_ROWS, the best first; Enter opens the code. Fit and Predict: seconds of all folds."""

    COLUMNS = (
        ("#", 3),
        ("State", 10),
        ("Score", 8),
        ("± noise", 7),
        ("Gain", 8),
        ("What", 24),
        ("Fit", 7),
        ("Predict", 7),
        ("Weight", 6),
        ("By", 8),
    )

    DEFAULT_CSS = "Board { height: 1fr; }"

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id, cursor_type="row", zebra_stripes=True)
        self._rows: list[tuple[str, ...]] = []
        self._numbers: list[int] = []

    def on_mount(self) -> None:
        for label, width in self.COLUMNS:
            self.add_column(label, width=width)

    def forget(self) -> None:
        """Draw everything anew the next time."""
        self._rows = []

    def show(self, view: RunView) -> None:
        ranked = view.ranking()
        scored = {a.number for a in ranked}
        order = ranked + sorted((a for a in view.attempts.values() if a.number not in scored), key=lambda a: -a.number)
        order = order[:MOST_ROWS]
        rows = [self._row(a) for a in order]
        if rows == self._rows:
            return
        chosen = self.chosen
        self._rows, self._numbers = rows, [a.number for a in order]
        colours = self.app.theme_variables
        self.clear()
        for attempt, row in zip(order, rows):
            style = mark(attempt)[1]
            widths = (width for _, width in self.COLUMNS)
            self.add_row(
                *(cell(colours, text, n, style if i == 1 else "") for i, (text, n) in enumerate(zip(row, widths)))
            )
        if chosen in self._numbers:
            self.move_cursor(row=self._numbers.index(chosen), animate=False)

    def _row(self, a: Attempt) -> tuple[str, ...]:
        return (
            str(a.number), f"{mark(a)[0]} {a.state}", number(a.score), "" if a.noise is None else f"{a.noise:.2g}",
            "" if a.gain is None else f"{a.gain:+.2g}", ("probe: " if a.probe else "") + a.title, f"{a.fit_s:.1f} s",
            f"{a.predict_s:.2f} s", f"{a.weight:.0%}" if a.weight else "", a.by,
        )  # fmt: skip

    @property
    def chosen(self) -> int | None:
        """The attempt under the cursor."""
        return self._numbers[self.cursor_row] if 0 <= self.cursor_row < len(self._numbers) else None

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        if (chosen := self.chosen) is not None:
            self.post_message(AttemptChosen(chosen))


class Code(VerticalScroll):
    """The solution of one attempt, or what the Coder writes just now."""

    DEFAULT_CSS = """
    Code { padding: 0 1; }
    Code #code-title { color: $text-muted; margin-bottom: 1; }
    Code #code-text { width: auto; }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="code-title", markup=False)
        yield Static(id="code-text", markup=False)

    def show_code(self, title: str, code: str) -> None:
        self.query_one("#code-title", Static).update(Content(inert_line(title)))
        text = inert(code, CODE_LIMIT)
        self.query_one("#code-text", Static).update(
            highlight(text, language="python") if text else Content("nothing yet")
        )

    def show_difference(self, title: str, before: str, after: str) -> None:
        self.query_one("#code-title", Static).update(Content(inert_line(title)))
        self.query_one("#code-text", Static).update(difference(before, after))


def difference(before: str, after: str) -> Content:
    """A unified difference; every line says by its first character what it is."""
    styles = {"+": "$success", "-": "$error", "@": "$accent"}
    lines = difflib.unified_diff(inert(before).splitlines(), inert(after).splitlines(), lineterm="", n=3)
    parts = [(line + "\n", styles.get(line[:1], "")) for line in list(lines)[2:]]
    return Content.assemble(*parts) if parts else Content("no difference")


class Descent(Vertical):
    """Which attempt came from which; beside it, what changed."""

    DEFAULT_CSS = """
    Descent Tree { height: 40%; background: transparent; padding: 0 1; }
    Descent Code { height: 1fr; border-top: solid $panel; }
    """

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._branches: dict[int, TreeNode[int]] = {}
        self.run_dir: Path | None = None
        self._parents: dict[int, int | None] = {}

    def compose(self) -> ComposeResult:
        tree: Tree[int] = Tree("attempts", id="descent-tree")
        tree.show_root = False
        tree.guide_depth = 3
        yield tree
        yield Code(id="descent-code")

    def show(self, view: RunView) -> None:
        tree = self.query_one("#descent-tree", Tree)
        kept = with_ancestors(list(view.attempts)[-MOST_NODES:], view)
        drop(self._branches, kept)
        for attempt in (view.attempts[n] for n in sorted(kept)):
            if attempt.number not in self._branches:
                parent = self._branches.get(attempt.parent) if attempt.parent is not None else None
                self._branches[attempt.number] = (parent or tree.root).add("", attempt.number, expand=True)
                self._parents[attempt.number] = attempt.parent
                if parent is not None:
                    parent.allow_expand = True
                self._branches[attempt.number].allow_expand = False
            relabel(self._branches[attempt.number], attempt_label(attempt, self.app.theme_variables))

        if tree.cursor_node is None and view.attempts:
            self.call_after_refresh(tree.move_cursor, self._branches[max(view.attempts)])

    @property
    def chosen(self) -> int | None:
        """The attempt under the cursor."""
        node = self.query_one("#descent-tree", Tree).cursor_node
        return node.data if node is not None else None

    def on_tree_node_highlighted(self, event: Tree.NodeHighlighted[int]) -> None:
        chosen = event.node.data
        if chosen is None or self.run_dir is None:
            return
        code = self.query_one("#descent-code", Code)
        parent = self._parents.get(chosen)
        if parent is None:
            code.show_code(f"attempt {chosen}, from nothing", read_solution(self.run_dir, chosen))
        else:
            code.show_difference(
                f"attempt {parent} → attempt {chosen}",
                read_solution(self.run_dir, parent), read_solution(self.run_dir, chosen),
            )  # fmt: skip


def read_solution(run_dir: Path, attempt: int) -> str:
    try:
        with open(run_dir / "attempts" / f"{attempt:04d}" / "solution.py", encoding="utf-8", errors="replace") as file:
            return file.read(CODE_LIMIT)
    except OSError:
        return ""
