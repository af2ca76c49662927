"""The study file: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread import pipeline
from secondread.core.errors import WrongRequest
from secondread.core.spec import PartRef, Study, as_yaml
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import check_parts, load_study, parse_study, save_study
from secondread.core.trials import trials
from secondread.pipeline import check


def written(**sections: object) -> dict[str, object]:
    return {"study": "s", **sections}


def test_every_value_has_a_default() -> None:
    study = parse_study(written())
    assert study.train.models[0].name == "resnet18"
    assert list(study.arms) == ["plain"]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"trian": {}}, ["unknown key 'trian'", "did you mean 'train'", "gather"]),
        ({"train": {"modles": ["resnet18"]}}, ["train.modles", "did you mean 'models'", "batch"]),
        ({"train": {"early_stop": {"patiance": 3}}}, ["train.early_stop.patiance", "patience", "watch"]),
        ({"synthesize": {"forr": []}}, ["synthesize.forr", "did you mean 'for'"]),
        ({"train": {"batch": "many"}}, ["train.batch", "many"]),
        ({"train": {"batch": 0}}, ["train.batch", "greater than or equal to 1"]),
        ({"train": {"seeds": [0, 0]}}, ["train.seeds", "stands twice"]),
        ({"train": {"seeds": [-1]}}, ["train.seeds.0", "greater than or equal to 0"]),
        ({"train": {"models": []}}, ["train.models", "at least 1"]),
        ({"train": {"clip": float("inf")}}, ["train.clip", "finite"]),
        ({"train": {"engine": {"threads": 0}}}, ["train.engine.threads: Input", "or equal to 1, or: Input", "'auto'"]),
        ({"train": {"uncertain": "zeroes"}}, ["train.uncertain", "zeros"]),
        ({"train": {"weights": "trail:a/b/c"}}, ["train.weights", "trial:STUDY/ARM/MODEL"]),
        ({"synthesize": {"extractors": ["incepton"]}}, ["synthesize.extractors.0", "inception"]),
        ({"train": {"fit": "squash"}}, ["train.fit", "stretch", "pad", "crop"]),
        ({"train": {"keep": "last"}}, ["train", "early_stop: null"]),
        ({"train": {"models": [{"aux": True}]}}, ["train.models.0", "name"]),
        (
            {"arms": {"a": {"train": {"lose": "focal"}}}},
            ["arms.a.train.lose", "did you mean 'loss'", "Valid here: models"],
        ),
        ({"arms": {"a": {"train": {"early_stop": {"patiance": 3}}}}}, ["arms.a.train.early_stop.patiance", "watch"]),
        ({"arms": {"a": {"train": {"keep": "last"}}}}, ["arms.a.train: keep", "early_stop: null"]),
        ({"arms": {"..": {}}}, ["arms", "are no names"]),
        ({"synthesize": {"gans": ["dcgan", {"name": "dcgan", "lr": 0.1}]}}, ["two GANs share a name", "`as`"]),
        ({"synthesize": {"gans": ["dcgan"], "seeds": [3, 3]}}, ["synthesize.seeds", "twice"]),
        ({"train": {"seeds": []}}, ["train.seeds", "at least 1"]),
        ({"train": {"clip": -1}}, ["train.clip", "greater than 0"]),
        ({"prepare": {"seed": -1}}, ["prepare.seed", "greater than or equal to 0"]),
        ({"synthesize": {"samples": 3}}, ["synthesize.samples", "greater than or equal to 4"]),
        ({"arms": {"a/b": {}}}, ["no slash"]),
        ({"arms": {}}, ["at least one"]),
        ({"evaluate": {"baseline": "b"}}, ["no arm 'b'", "plain"]),
        ({"evaluate": {"threshold": {"name": "cost"}}}, ["evaluate.threshold", "square matrix"]),
        ({"evaluate": {"threshold": {"cost": [[0, 1], [5]]}}}, ["evaluate.threshold", "square matrix"]),
        ({"evaluate": {"prevalences": [0.1, 5]}}, ["evaluate.prevalences.1", "less than or equal to 1"]),
        ({"train": {"models": ["vgg16", "vgg16"]}}, ["share a name", "`as`"]),
    ],
)
def test_a_mistake_is_named_with_what_is_valid(sections: dict[str, object], words: list[str]) -> None:
    with pytest.raises(WrongRequest) as refusal:
        parse_study(written(**sections), "study.yaml")
    message = str(refusal.value)
    assert message.startswith("study.yaml: ")
    assert len(message.splitlines()) <= 2
    for word in words:
        assert word in message


GAN = {"synthesize": {"gans": ["dcgan"]}}
TOP_UP = {"name": "top_up", "from": "dcgan"}
LEAKY = {"prepare": {"allow_leakage": True}}


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"evaluate": {"primary": "acuracy"}}, "did you mean 'accuracy'"),
        ({"arms": {"copies": {"balance": {"name": "duplicate", "as": "gan"}}}}, "'gan' is no arm that adds"),
        (
            {"synthesize": {"before_split": ["wgan"], "gans": ["dcgan"]}, "prepare": {"allow_leakage": True}},
            "no GAN 'wgan'. Trained: dcgan",
        ),
        ({"synthesize": {"gans": [{"name": "dcgan", "augment": ["flip"]}]}}, "'translation'"),
        ({"synthesize": {"extractor_weights": {"inception": "i.pth"}}}, "'inception' does not stand in .*extractors"),
        ({"evaluate": {"threshold": {"sensitivity": 0.9}}}, "the rule is `youden`.* name: sensitivity"),
        ({"explain": {"models": ["vgg16"]}}, "plain/resnet18"),
        ({"prepare": {"split": "image_level"}}, "needs prepare.allow_leakage: true"),
        ({"prepare": {"split": "kfold"}}, "kfold needs folds: 2 or more"),
        ({"prepare": {"split": "families"}}, "families needs folds: 2 or more"),
        ({"prepare": {"split": {"name": "families", "folds": 2, "family": "("}}}, "is no regular expression"),
        ({"prepare": {"split": {"name": "grouped", "test": 0.6, "val": 0.4}}}, "leave nothing to train on"),
        ({"arms": {"a": {"balance": {"name": "oversample", "before_split": True}}}}, "arms: a: balance before the"),
        ({"arms": {"a": {"balance": "top_up"}}}, "balance: top_up needs from: str"),
        (GAN | {"balance": TOP_UP | {"to": "majority", "add": 3}}, "top_up takes one of to, add and ratio"),
        (GAN | {"balance": TOP_UP | {"before_split": True}, **LEAKY}, "balance has 'dcgan' see all rows"),
        (
            {"synthesize": {"gans": ["dcgan"], "before_split": ["dcgan"]}, "balance": TOP_UP, **LEAKY},
            "synthesize has 'dcgan' see all rows",
        ),
        (GAN | {"balance": {"name": "synthetic_only", "from": "dcgan"}}, "for: minority leaves out the largest"),
        ({"train": {"regime": {"name": "head", "views": 2}, "augment": "mixup"}}, "views of one image cannot be"),
        ({"arms": {"a": {"train": {"regime": "head", "augment": "light"}}}}, "arms: a: augment: light does nothing"),
        ({"gather": {"external": [{"name": "A", "source": "auto"}] * 2}}, "gather.external: 'A' and 'A' would share"),
        ({"gather": {"external": [{"name": "..", "source": "auto"}]}}, "gather.external: '..' names a folder"),
        ({"arms": {"a\nb": {}}}, r"arms: 'a\\nb' names a folder; blanks, '.', '..' and line ends"),
        ({"arms": {" ": {}}}, "arms: ' ' names a folder"),
        ({"arms": {"ü" * 80: {}}}, "arms: 'ü+'… names a folder and is longer than 110 bytes"),
        ({"arms": {"WGAN": {}, "wgan": {}}}, "arms: 'WGAN' and 'wgan' would share a folder"),
        ({"arms": {"External": {}}}, "arms: 'External' is what a study calls something of its own"),
        ({"arms": {"aug" * 37: {}}}, "arms: 'augaug.*'… names a folder and is longer than 110 bytes"),
        ({"arms": {"autoencoders": {}}}, "arms: 'autoencoders' is what a study calls something of its own"),
        ({"arms": {"figures": {}}}, "arms: 'figures' is what a study calls something of its own"),
        ({"arms": {"scores.csv": {}}}, "arms: 'scores.csv' is what a study calls something of its own"),
        ({"synthesize": {"gans": [{"name": "dcgan", "as": "extractors"}]}}, "gans: 'extractors' is what a study"),
        ({"synthesize": {"gans": [{"name": "dcgan", "as": "noise"}]}}, "gans: 'noise' is what a study calls"),
        ({"train": {"models": [{"name": "vgg16", "as": name} for name in ("a", "A-int8")]}}, "'a' and 'A-int8' would"),
        ({"train": {"models": [{"name": "vgg16", "as": name} for name in ("a-int8", "a")]}}, "'a-int8' and 'a' would"),
        ({"train": {"models": [{"name": "vgg16", "as": name} for name in ("a/b", "a--b")]}}, "'a/b' and 'a--b' would"),
        ({"train": {"models": ["vgg16", {"name": "vgg16", "as": "VGG16-int8"}]}}, "'vgg16' and 'VGG16-int8' would"),
        (
            {"train": {"models": [{"name": "vgg16", "as": "x.zip"}, {"name": "vgg16", "as": "x"}]}},
            "'x.zip' is what",
        ),
        ({"arms": {"a": {"train": {"engine": {"devices": 2}}}}}, r"arms: a: train\.engine\.devices is that of the"),
        ({"arms": {"a": {"train": {"search": {"batch": [1, 2]}}}}}, r"arms: a: train\.search is that of the whole"),
    ],
)
def test_what_would_fail_after_training_is_refused_before(sections: dict[str, object], words: str) -> None:
    with pytest.raises(WrongRequest, match=words):
        check_parts(parse_study(written(**sections)))


@pytest.mark.parametrize("name", ["Röntgen", "two words", "../x", ""])
def test_a_study_s_name_is_asked_for_in_words(name: str) -> None:
    with pytest.raises(WrongRequest, match=r"mine: study: a name of letters \(A to Z\), digits"):
        parse_study({"study": name}, "mine")


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"models": ["plain_cnn"], "weights": "imagenet"}, "there are none for plain_cnn"),
        ({"models": ["plain_cnn", "alexnet"], "size": 32}, "size 32 is too small for alexnet"),
        ({"models": ["timm/resnet10"]}, "timm has no model 'resnet10': did you mean resnet10t"),
    ],
)
def test_networks_that_cannot_be_had_are_refused_by_check(train: dict[str, object], words: str) -> None:
    with pytest.raises(WrongRequest, match=words):
        check(parse_study(written(arms={"first": {"train": {"models": ["resnet18"]}}, "second": {"train": train}})))


def test_a_section_written_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text("study: s\ntrain: {epochs: 3}\ntrain: {batch: 4}\n")
    with pytest.raises(WrongRequest, match=r"study.yaml: the key 'train' stands twice, in lines 2 and 3$"):
        load_study(file)
    file.write_text("study: s\ntrain: {epochs: 3, epochs: 4}\n")
    with pytest.raises(WrongRequest, match="the key 'epochs' stands twice, in lines 2 and 2"):
        load_study(file)


@pytest.mark.parametrize("content", ["", "[1, 2]", "study: [", "\tx: 1", "study: ''"])
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(content)
    with pytest.raises(WrongRequest):
        load_study(file)


def test_an_arm_merges_mappings_and_replaces_lists_and_parts() -> None:
    study = parse_study(
        written(
            train={"models": ["vgg16", "resnet18"], "optimiser": {"name": "adamw", "lr": 0.1, "weight_decay": 0.2}},
            arms={
                "merged": {"train": {"optimiser": {"lr": 0.5}, "head": {"dropout": 0.3}}},
                "replaced": {"train": {"models": ["alexnet"], "optimiser": {"name": "sgd"}}},
                "balanced": {"balance": {"name": "top_up", "from": "wgan", "to": "majority"}},
            },
        )
    )
    merged = study.arm("merged")[1]
    assert merged.optimiser.options == {"lr": 0.5, "weight_decay": 0.2}
    assert merged.head.dropout == 0.3
    replaced = study.arm("replaced")[1]
    assert [m.name for m in replaced.models] == ["alexnet"]
    assert replaced.optimiser == PartRef.model_validate("sgd")
    assert study.arm("balanced")[0].options == {"from": "wgan", "to": "majority"}


def test_an_arm_may_say_by_label_what_the_study_says_of_all() -> None:
    by_label = {"Edema": "ones", "Mass": "zeros"}
    study = parse_study(written(arms={"a": {}, "b": {"train": {"uncertain": by_label}}}))
    assert study.arm("b")[1].uncertain == by_label
    assert study.arm("a")[1].uncertain == "ignore"


def test_a_saved_study_reads_back_to_the_same(tmp_path: Path) -> None:
    study = parse_study(
        written(
            synthesize={"gans": ["dcgan"], "for": ["Covid-19"]},
            train={"models": [{"name": "googlenet", "aux": True, "as": "googlenet_aux"}]},
            arms={"a": {}, "b": {"balance": {"name": "duplicate", "as": "a"}}},
        )
    )
    save_study(study, tmp_path / "study.yaml", "two\nlines")
    assert load_study(tmp_path / "study.yaml") == study
    assert as_yaml(study)["synthesize"]["for"] == ["Covid-19"]


def test_trials_are_arm_model_repeat_fold_seed() -> None:
    study = parse_study(
        written(
            prepare={"split": {"name": "grouped", "folds": 2, "repeats": 2}},
            train={"models": ["vgg16", "timm/resnet10t"], "seeds": [0, 7]},
            arms={"a": {}, "b": {}},
        )
    )
    names = [trial.name for trial in trials(study, StudyDir(Path("x")))]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2 * 2
    assert "b/timm--resnet10t/r1f0s7" in names
    only = [trial.name for trial in trials(study, StudyDir(Path("x"), only="b/vgg*"))]
    assert only
    assert all(name.startswith("b/vgg16/") for name in only)


def test_adding_an_arm_changes_no_other_trials_settings() -> None:
    before = parse_study(written(arms={"a": {}}))
    after = parse_study(written(arms={"a": {}, "b": {"train": {"loss": "focal"}}}))
    where = StudyDir(Path("x"))
    assert next(trials(before, where)).settings == next(trials(after, where)).settings


def test_devices_tracking_and_other_seeds_do_not_change_a_trial() -> None:
    where = StudyDir(Path("x"))
    plain = parse_study(written(train={"seeds": [3]}))
    other = parse_study(
        written(
            train={"seeds": [3, 4], "engine": {"devices": 2}, "track": {"tensorboard": "full"}, "search": {"lr": 1}}
        )
    )
    assert next(trials(plain, where)).settings == next(trials(other, where)).settings


NAMES = st.text(st.characters(codec="utf8", exclude_categories=["Cs"]), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 500) | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
SECTIONS = st.sampled_from([*Study.model_fields, "trian", ""])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.dictionaries(SECTIONS, PLAIN, max_size=4))
def test_any_mapping_is_a_study_or_a_short_refusal(sections: dict[str, object]) -> None:
    try:
        told: object = parse_study(yaml.safe_load(yaml.safe_dump(sections)))
    except WrongRequest as refusal:
        told = str(refusal)
    assert isinstance(told, Study) or 0 < len(str(told).splitlines()) <= 3


def test_a_directory_of_another_version_is_gone_on_with(tmp_path: Path) -> None:
    file, out = tmp_path / "mine.yaml", tmp_path / "out"
    file.write_text("study: mine\n")
    out.mkdir()
    (out / "study.yaml").write_text("study: mine\nexport: {openvino: true}\n")
    with pytest.raises(WrongRequest, match=r"openvino.*another version.*secondread run STUDY.yaml --out"):
        pipeline.status(StudyDir(out))
    study, where = pipeline.open_study(file, None, out)
    assert load_study(where.study_file) == study


@pytest.mark.parametrize("content", ["", "study: [", "- mine"])
def test_a_damaged_study_file_of_a_directory_is_written_anew_when_removed(tmp_path: Path, content: str) -> None:
    file, out = tmp_path / "mine.yaml", tmp_path / "out"
    file.write_text("study: mine\n")
    out.mkdir()
    (out / "study.yaml").write_text(content)
    (out / "provenance.json").write_text("{}")
    with pytest.raises(WrongRequest, match="Delete it, and the same command writes it anew"):
        pipeline.open_study(file, None, out)
    (out / "study.yaml").unlink()
    study, where = pipeline.open_study(file, None, out)
    assert load_study(where.study_file) == study
