"""What the settings of a study ask of each other: refused while nothing is read, rather than after hours."""

from __future__ import annotations

from operator import attrgetter

from secondread.core.errors import WrongRequest
from secondread.core.spec import PartRef, Study, Train
from secondread.core.studydir import slug

MIXING = ("mixup", "cutmix")
KEPT_FOR_US = {
    "arms": ("earlier", "external", "autoencoders", "figures", "tables"),
    "synthesize.gans": ("extractors", "noise", "pixel_gaussian"),
}
"""Folders beside those of arms and GANs, and the baselines that GANs are judged beside."""
FILES = (".csv", ".json", ".html", ".parquet", ".zip")
"""How the files beside those folders end."""
INT8 = "-int8"
"""What export adds to the name of a bundle for that in 8 bits (`models.bundle.container`)."""
LONGEST = 110
"""Bytes of a name: an arm's and a model's together name one file, which takes 255 at most."""


def agree(study: Study) -> None:
    """Raises `WrongRequest` for the first settings that cannot go together."""
    forbid_leaky_split(study)
    for arm in study.arms:
        balance, train = study.arm(arm)
        forbid_leaky_balance(study, arm, balance)
        _gans_see_what_is_said(study, arm, balance)
        _every_class_is_drawn(study, arm, balance)
        forbid_mixed_views(arm, train)
        _augment_acts(study, arm, train)
        _of_the_whole_study(study, arm, train)
    _folders_are_apart(study)


def forbid_leaky_split(study: Study) -> None:
    if study.prepare.split.name == "image_level" and not study.prepare.allow_leakage:
        raise WrongRequest(
            "prepare.split: image_level puts images of one patient on both sides; it needs prepare.allow_leakage: true "
            "and stamps every output LEAKY PROTOCOL"
        )


def forbid_leaky_balance(study: Study, arm: str, balance: PartRef) -> None:
    if balance.options.get("before_split") and not study.prepare.allow_leakage:
        raise WrongRequest(
            f"arms: {arm}: balance before the split leaks test rows: it needs prepare.allow_leakage: true"
        )


def _gans_see_what_is_said(study: Study, arm: str, balance: PartRef) -> None:
    """A GAN trained before the split is used as such, or its rows would be found to leak once it is trained."""
    generator, said = balance.options.get("from"), bool(balance.options.get("before_split"))
    if generator is None or study.prepare.split.name == "image_level":
        return
    if said != (generator in study.synthesize.before_split):
        has, lacks = ("balance", "synthesize") if said else ("synthesize", "balance")
        raise WrongRequest(
            f"arms: {arm}: {has} has {generator!r} see all rows (before_split) and {lacks} does not: say it in both"
        )


def _every_class_is_drawn(study: Study, arm: str, balance: PartRef) -> None:
    if balance.name == "synthetic_only" and study.synthesize.for_classes == "minority":
        raise WrongRequest(
            f"arms: {arm}: synthetic_only takes images of every class, and synthesize.for: minority leaves out the "
            "largest: set synthesize.for: all"
        )


def forbid_mixed_views(arm: str, train: Train) -> None:
    if int(train.regime.options.get("views", 1)) > 1 and train.augment.name in MIXING:
        raise WrongRequest(
            f"arms: {arm}: train.regime: views of one image cannot be made by augment: {train.augment.name}, which "
            "mixes two"
        )


def _augment_acts(study: Study, arm: str, train: Train) -> None:
    """An arm whose augmentation is its difference has one where the frozen network sees each image once, as it is."""
    once = train.regime.name == "head" and int(train.regime.options.get("views", 1)) == 1
    if once and train.augment.name != "none" and train.augment != study.train.augment:
        raise WrongRequest(
            f"arms: {arm}: augment: {train.augment.name} does nothing where the frozen network sees each image once: "
            "give it versions, regime: {name: head, views: 8}"
        )


def _of_the_whole_study(study: Study, arm: str, train: Train) -> None:
    """What one command asks once, an arm cannot have otherwise."""
    for key in ("engine.devices", "engine.nodes", "search"):
        if attrgetter(key)(train) != attrgetter(key)(study.train):
            raise WrongRequest(f"arms: {arm}: train.{key} is that of the whole study: set it under train")


def _folders_are_apart(study: Study) -> None:
    """What names a folder is a name, and no two name the same."""
    models = [(f"arms.{arm}.train.models", model.label) for arm in study.arms for model in study.arm(arm)[1].models]
    named = [("arms", arm) for arm in study.arms] + models
    named += [("synthesize.gans", gan.label) for gan in study.synthesize.gans]
    named += [("gather.external", external.name) for external in study.gather.external]
    taken: dict[tuple[str, str], str] = {}
    for kind, name in named:
        folder = slug(name).casefold()  # macOS and Windows take A and a for one name
        if folder.strip() in ("", ".", "..") or not folder.isprintable():
            raise WrongRequest(f"{kind}: {name!r} names a folder; blanks, '.', '..' and line ends are no names")
        if len(folder.encode()) > LONGEST:
            raise WrongRequest(f"{kind}: {name[:40]!r}… names a folder and is longer than {LONGEST} bytes: shorten it")
        if folder in KEPT_FOR_US.get(kind, ()) or folder.endswith(FILES):
            raise WrongRequest(f"{kind}: {name!r} is what a study calls something of its own: choose another name")
        for other in (folder, folder + INT8, folder.removesuffix(INT8)):
            if (kind, other) in taken and (other == folder or kind.endswith("models")):
                raise WrongRequest(f"{kind}: {taken[kind, other]!r} and {name!r} would share a folder: rename one")
        taken[kind, folder] = name
