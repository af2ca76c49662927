"""Reading and writing the study file, with errors that name the line's key and the valid ones."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from secondread.core import registry
from secondread.core.agreement import agree
from secondread.core.errors import WrongRequest
from secondread.core.files import write_text
from secondread.core.spec import Arm, PartRef, Study, Train, as_yaml

ALTERNATIVE = re.compile(r"(constrained-)?(int|float|str|bool)$|(literal|list|dict|tuple)\[")
"""How pydantic names the types of a key that takes several."""


class _Once(yaml.SafeLoader):
    """Safe YAML in which a key stands once: of two sections of one name the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for name, line in [(key.value, key.start_mark.line + 1) for key in keys]:
            if name in lines:
                raise WrongRequest(f"the key {name!r} stands twice, in lines {lines[name]} and {line}")
            lines[name] = line
        return super().construct_mapping(node, deep)


def load_study(path: Path) -> Study:
    """The study file at `path`, its structure checked; raises `WrongRequest`."""
    return parse_study(_written(path), str(path))


def name_in(path: Path) -> Any:
    """The name of the study at `path`, whatever keys another version wrote beside it; raises `WrongRequest`."""
    return _written(path).get("study")


def _written(path: Path) -> dict[str, Any]:
    try:
        content = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongRequest(f"cannot read the study file {path}: {error}") from error
    try:
        written = yaml.load(content, _Once)
    except yaml.YAMLError as error:
        raise WrongRequest(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except WrongRequest as error:
        raise WrongRequest(f"{path}: {error}") from error
    if not isinstance(written, dict):
        raise WrongRequest(f"{path}: a study file is a mapping that begins with `study: NAME`")
    return written


def parse_study(written: dict[str, Any], origin: str = "study") -> Study:
    try:
        return Study.model_validate(written)
    except ValidationError as error:
        raise WrongRequest(
            f"{origin}: " + "; ".join(_told(e) for e in _alternatives_as_one(error.errors())[:3])
        ) from error


def save_study(study: Study, path: Path, heading: str = "") -> None:
    """Write the study back as a file that `load_study` reads to the same study."""
    comment = "".join(f"# {line}\n" for line in heading.splitlines())
    write_text(path, comment + yaml.safe_dump(as_yaml(study), sort_keys=False, allow_unicode=True, width=120))


def check_parts(study: Study) -> None:
    """Every part and option that the study names exists; raises `WrongRequest` that lists the valid ones."""
    named: list[tuple[str, PartRef]] = [("splits", study.prepare.split)]
    named += [("gans", gan) for gan in study.synthesize.gans]
    metrics = [*study.evaluate.metrics, *({study.evaluate.primary} - {"auto"})]
    named += [("metrics", PartRef.model_validate(metric)) for metric in metrics]
    named += [("sources", without_root(source)) for source in _sources(study)]
    for arm in study.arms:
        balance, train = study.arm(arm)
        named += [("balance", balance), ("regimes", train.regime), ("losses", train.loss), ("augment", train.augment)]
        named += [("optimisers", train.optimiser), ("schedules", train.schedule)]
        named += [("models", model) for model in train.models]
    for kind, part_ref in named:
        registry.resolve(kind, part_ref)
    agree(study)
    _weights_are_asked_for(study)
    _arms_find_their_gans(study)
    _named_models_exist(study)


def without_root(source: PartRef) -> PartRef:
    """The source without its folder, which is the pipeline's to give."""
    return source.model_copy(update={"options": {k: v for k, v in source.options.items() if k != "root"}})


def _sources(study: Study) -> list[PartRef]:
    return [study.gather.source, *(external.source for external in study.gather.external)]


def _weights_are_asked_for(study: Study) -> None:
    """Nothing would be done with the weights of a feature network that is not among the extractors."""
    asked = study.synthesize.extractors
    if idle := [name for name in study.synthesize.extractor_weights if name not in asked]:
        raise WrongRequest(
            f"synthesize.extractor_weights: {idle[0]!r} does not stand in synthesize.extractors ({', '.join(asked)}), "
            "so that nothing would be done with its file"
        )


def _arms_find_their_gans(study: Study) -> None:
    trained = [gan.label for gan in study.synthesize.gans]
    if unknown := sorted(set(study.synthesize.before_split) - set(trained)):
        raise WrongRequest(f"synthesize.before_split: there is no GAN {unknown[0]!r}. Trained: {', '.join(trained)}")
    for arm in study.arms:
        balance, train = study.arm(arm)
        if balance.name == "duplicate":
            controlled(study, balance)
        wanted = balance.options.get("from")
        if wanted is not None and train.fit != study.train.fit:
            raise WrongRequest(
                f"arms: {arm}: generated images are drawn with train.fit: {study.train.fit} and real ones would be "
                f"read with {train.fit}: set the fit for all arms"
            )
        if wanted is not None and wanted not in trained:
            raise WrongRequest(
                f"arms: {arm}: balance takes images from {wanted!r}, which synthesize.gans does not train. "
                f"Trained: {', '.join(trained) or 'none'}"
            )


def controlled(study: Study, policy: PartRef) -> str:
    """The arm that a `duplicate` policy is the control of; raises `WrongRequest` when there is none."""
    arm = str(policy.options.get("as", policy.label))
    able = [name for name in study.arms if "from" in study.arm(name)[0].options]
    if arm not in able:
        raise WrongRequest(
            f"balance: duplicate: as: {arm!r} is no arm that adds synthetic images. Valid: {', '.join(able) or 'none'}"
        )
    return arm


def _named_models_exist(study: Study) -> None:
    """What is exported and explained after hours of training is looked for before them."""
    labels = {(arm, model.label) for arm in study.arms for model in study.arm(arm)[1].models}
    pairs = sorted("/".join(pair) for pair in labels)
    known = {*pairs, *(model for _, model in labels)}
    pick, explained = study.export.pick, study.explain.models
    if pick not in {"best", "picked", "all", *known}:
        raise WrongRequest(f"export.pick: there is no {pick!r}. Valid: best, all, {', '.join(pairs)}")
    if isinstance(explained, list) and (unknown := [name for name in explained if name not in known]):
        raise WrongRequest(f"explain.models: there is no {unknown[0]!r}. Valid: {', '.join(pairs)}")


def _alternatives_as_one(errors: Sequence[Any]) -> list[Any]:
    """What no alternative of a key takes is told once: pydantic reports it for each and names the type as a place."""
    told: dict[tuple[Any, ...], Any] = {}
    for error in errors:
        *parents, last = error["loc"] or ("",)
        if not ALTERNATIVE.match(str(last)):
            told[error["loc"]] = error
        elif (place := tuple(parents)) in told:
            told[place]["msg"] += f", or: {error['msg']}"
        else:
            told[place] = {**error, "loc": place}
    return list(told.values())


def _told(error: Any) -> str:
    """One pydantic error in the words of the study file."""
    place = ".".join(str(step) for step in error["loc"])
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        valid = _keys_at(parents)
        near = difflib.get_close_matches(str(key), valid, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"unknown key {place!r}{hint}. Valid here: {', '.join(valid)}"
    if place == "study" and error["type"] == "string_pattern_mismatch":
        return f"study: a name of letters (A to Z), digits, '_', '.' and '-' is needed (got {error['input']!r})"
    shown = "" if isinstance(error["input"], dict) else f" (got {error['input']!r})"
    return f"{place or 'study'}: {error['msg'].removeprefix('Value error, ')}{shown}"


def _keys_at(path: list[Any]) -> list[str]:
    """The keys that the study file may have under `path`."""
    model: Any = Study
    for step in path:
        annotation = (
            next((f.annotation for name, f in model.model_fields.items() if step in (name, f.alias)), None)
            if isinstance(model, type) and issubclass(model, BaseModel)
            else None
        )
        inner = Train if (model, step) == (Arm, "train") else _models_in(annotation)
        if inner is None:
            continue  # a key of a mapping or an index of a list: the model is the one already found
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _models_in(inner)) is not None:
            return found
    return None
