import pytest

from automlgpt_local.recipes import load
from automlgpt_local.search.portfolio import order

CASES = [
    ("binary", 300, 20, 2), ("binary", 15_000, 20, 2), ("binary", 1_000_000, 30, 2), ("binary", 200, 5_000, 2),
    ("multiclass", 15_000, 16, 26), ("multiclass", 50_000, 20, 1_000), ("multiclass", 5_000, 10, 4),
    ("regression", 900, 10, 0), ("regression", 15_000, 20, 0), ("regression", 600_000, 6, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "rows", "columns", "classes"), CASES)
def test_starts_cheap_and_brings_three_families_early(kind: str, rows: int, columns: int, classes: int) -> None:
    recipes = load(installed_only=False)
    entries = order(kind, "roc_auc", rows, columns, classes, 0.5, 0.0)
    assert 7 <= len(entries) <= 20
    assert recipes[entries[0].recipe].cost_for(classes) <= max(5, recipes["lightgbm"].cost_for(classes))
    assert len({recipes[e.recipe].family for e in entries[:4]}) >= 3
    assert len({(e.recipe, str(e.params)) for e in entries}) == len(entries)


@pytest.mark.parametrize(("kind", "rows", "columns", "classes"), CASES)
def test_only_parameters_that_recipes_have(kind: str, rows: int, columns: int, classes: int) -> None:
    recipes = load(installed_only=False)
    for entry in order(kind, "log_loss", rows, columns, classes):
        for name in entry.params:
            assert f'"{name}": ' in recipes[entry.recipe].source


def test_without_the_boost_extra_nothing_of_it_is_tried() -> None:
    names = {e.recipe for e in order("binary", "roc_auc", 5000, 10, installed=("lightgbm", "linear"))}
    assert names == {"lightgbm", "linear"}
