"""Recipes: found by name, changed in parts, described, and refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lecodec.codec.kinds import TRAINED
from lecodec.codec.media.named import named
from lecodec.errors import InputError
from lecodec.train.circuit_em import Smoothing
from lecodec.train.recipe import Recipe
from lecodec.train.schema import described, find_recipe, load_as, parse_value, recipe_names

TEXT = "{name: x, train: [a], steps: 9, phases: [{fraction: 1, crop: 64, batch: 4}]}"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.yaml"
    path.write_text(TEXT)
    return path


def test_shipped_recipes_are_found_by_name(recipe):
    assert {"image", "photo", "mnist"} <= set(recipe_names())
    assert find_recipe("image").read_text().startswith("# An image model")
    assert find_recipe("x.yaml") == Path("x.yaml")
    Path("image").mkdir()  # a run's folder, perhaps
    assert find_recipe("image").name == "image.yaml"
    Path("photo").write_text(TEXT)
    assert find_recipe("photo") == Path("photo")
    with pytest.raises(InputError, match=r"imgae: no recipe of this name; there are ablation, adapt, best, "):
        find_recipe("imgae")


def test_parts_of_settings_are_set(recipe):
    settings = {"transform.width8": 96, "transform": {"latent": 64}, "transform.width16": 32, "phases.0.batch": 2}
    found = load_as(Recipe, recipe, {**settings, "context.width": 12})
    assert found.transform == {"latent": 64, "width16": 32} and found.phases[0].batch == 2
    assert found.context == {"width": 12} and settings["transform"] == {"latent": 64}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.x": 1}, r"setting train\.x: train is \['a'\], which has no 'x'"),
        ({"phases.1.batch": 1}, "has no '1'"),
        ({"steps.a.b": 1}, "steps is 9, which has no 'a'"),
        ({"transform.depth": 1}, r"'depth'.*lecodec train --fields image lists"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted .*--fields image"),
        *(
            ({"name": name}, "cannot name a folder")
            for name in ("../../x", "/x", "..", "", "a\\b", "a\x1b[2J", "x" * 201)
        ),
    ],
)
def test_settings_that_nothing_takes_are_refused(recipe, settings, message):
    with pytest.raises(InputError, match=message) as error:
        load_as(Recipe, recipe, settings)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("kind", ["circuit", "photo"])
def test_names_are_no_paths_whatever_the_kind(recipe, kind):
    with pytest.raises(InputError, match="cannot name a folder"):
        load_as(named(TRAINED[kind].recipe), recipe, {"name": "../x"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 20_000, "cannot read the recipe: is nested too deeply"),
        ("a: " * 3, "cannot read the recipe: mapping values are not allowed"),
        ("day: 2001-99-99", "cannot read the recipe"),
        ("a: !!python/name:os.system", "cannot read the recipe: could not determine a constructor"),
        ("- 1", "a recipe is a mapping"),
        ("1: 2", "Keys should be strings"),
    ],
)
def test_files_that_are_no_recipes_get_a_sentence(recipe, text, message):
    recipe.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        load_as(Recipe, recipe, {})
    assert "\n" not in str(error.value)


def test_values_are_read_as_yaml():
    assert (parse_value("1.0e-4"), parse_value("true"), parse_value("[a, 1]")) == (1e-4, True, ["a", 1])
    with pytest.raises(InputError, match="nested too deeply"):
        parse_value("[" * 20_000)


@pytest.mark.parametrize("kind", TRAINED)
def test_every_field_is_described(kind):
    rows = list(described(named(TRAINED[kind].recipe)))
    sizes = set(Smoothing.__dataclass_fields__) | {"context", "width", "middle", "head", "components", "groups"}
    assert all(text for name, _, text in rows if name != "kind" and name.rpartition(".")[2] not in sizes)
    found = {name: default for name, default, _ in rows}
    assert found["kind"] == kind and found["name"] == "" and found["seed"] == "1"
    some = {"image": "transform.width8", "circuit": "phases.N.narrow", "photo": "sources.N.hold_out"}
    some |= {"video": "temporal.width", "sound": "coding.context", "adapted": "rank", "codebook": "words"}
    assert some[kind] in found


def test_recipes_of_older_checkpoints_are_read() -> None:
    """Fields that are gone count only where they say what is still done."""
    given = {"name": "x", "train": ["a"], "steps": 1, "phases": [{"fraction": 1, "crop": 64, "batch": 1}]}
    recipe = Recipe(**given)
    assert Recipe(**given, rounding="noise", indices="uniform", tail=0.0) == recipe
    for gone in ({"rounding": "soft"}, {"indices": "stratified"}, {"tail": 0.25}):
        with pytest.raises(ValidationError, match=next(iter(gone))):
            Recipe(**given, **gone)
