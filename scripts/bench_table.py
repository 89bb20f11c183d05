"""The benchmark's figures as Markdown: errors, and ratios of ours to each peer with a bootstrap interval."""

from __future__ import annotations

from collections import defaultdict

Rows = list[dict[str, str]]


def markdown(rows: Rows) -> str:
    """Tables for each time limit. A ratio below 1 means that ours has the smaller error.

    Seeds are averaged first; two variants of ours are compared on the seeds that both have.
    """
    parts = []
    for seconds in sorted({r["seconds"] for r in rows}, key=int):
        here = [r for r in rows if r["seconds"] == seconds]
        parts += [f"## {seconds} s\n", _errors(here), _ratios(here), _times(here, float(seconds))]
    return "\n".join(parts)


def _mean_errors(rows: Rows) -> dict[str, dict[str, float]]:
    """system -> data set -> mean error over seeds."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["status"] == "ok":
            found[row["system"]][row["data"]].append(float(row["error"]))
    return {s: {d: sum(v) / len(v) for d, v in sets.items()} for s, sets in found.items()}


def _errors(rows: Rows) -> str:
    errors = _mean_errors(rows)
    systems, names = list(errors), list(dict.fromkeys(r["data"] for r in rows))
    lines = ["| data set | " + " | ".join(systems) + " |", "|---" * (len(systems) + 1) + "|"]
    for name in names:
        known = [errors[s][name] for s in systems if name in errors[s]]
        cells = []
        for system in systems:
            value = errors[system].get(name)
            text = "-" if value is None else f"{value:.5g}"
            cells.append(f"**{text}**" if value is not None and value == min(known) else text)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _ratios(rows: Rows) -> str:
    errors = _mean_errors(rows)
    peers = {s: e for s, e in errors.items() if not s.startswith("ours")}
    if peers:
        names = {n for e in peers.values() for n in e}
        peers["best peer"] = {n: min(e[n] for e in peers.values() if n in e) for n in names}
    lines = ["| ours | against | error ratio | 95 % interval | wins - losses |", "|---|---|---|---|---|"]
    for ours in [s for s in errors if s.startswith("ours")]:
        variants = [s for s in errors if s.startswith("ours") and s < ours]
        for peer in (*peers, *variants):
            mine, theirs = _same_seeds(rows, ours, peer) if peer in variants else (errors[ours], peers[peer])
            pairs = [(mine[n], theirs[n]) for n in mine if n in theirs]
            if pairs:
                mean, low, high = ratio(pairs)
                wins, losses = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
                lines.append(f"| {ours} | {peer} | {mean:.4f} | {low:.4f} - {high:.4f} | {wins} - {losses} |")
    return "\n".join(lines) + "\n"


def _same_seeds(rows: Rows, one: str, other: str) -> tuple[dict[str, float], dict[str, float]]:
    """data set -> mean error of each of two systems over the seeds that both have."""
    seeds = [{r["seed"] for r in rows if r["system"] == system} for system in (one, other)]
    errors = _mean_errors([r for r in rows if r["seed"] in seeds[0] & seeds[1]])
    return errors.get(one, {}), errors.get(other, {})


def ratio(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """Geometric mean of ours / theirs, and the bootstrap's 95 % interval over data sets."""
    import numpy as np

    logs = np.log([max(a, 1e-12) / max(b, 1e-12) for a, b in pairs])
    rng = np.random.default_rng(0)
    means = logs[rng.integers(len(logs), size=(4000, len(logs)))].mean(axis=1)
    low, high = np.exp(np.quantile(means, [0.025, 0.975]))
    return float(np.exp(logs.mean())), float(low), float(high)


def _times(rows: Rows, seconds: float) -> str:
    lines = ["| system | runs | failed | mean wall s | longest | over the limit by > 5 % | calibration s |"]
    lines.append("|---" * 7 + "|")
    for system in dict.fromkeys(r["system"] for r in rows):
        mine = [r for r in rows if r["system"] == system]
        walls = [float(r["wall_s"]) for r in mine]
        late = sum(w > max(seconds * 1.05, seconds + 2) for w in walls)
        failed = sum(r["status"] != "ok" for r in mine)
        fit_s = sum(float(r["calibration_s"]) for r in mine) / len(mine)
        mean = sum(walls) / len(walls)
        lines.append(f"| {system} | {len(mine)} | {failed} | {mean:.1f} | {max(walls):.1f} | {late} | {fit_s:.2f} |")
    return "\n".join(lines) + "\n"
