"""A reading in words, on the page, in the PDF and in the DICOM report."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template.loader import render_to_string
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from serve_pictures import disc, png

from secondread.models.bundle.engines import ENGINES, installed
from secondread.serve.bundles.shelf import Shelf
from secondread.serve.dicom.structured import ABSENT, INDETERMINATE, _presence
from secondread.serve.reads.models import Read, State, StoredImage
from secondread.serve.reads.queue import Result, claim, finish
from secondread.serve.reads.reading import read_image
from secondread.serve.reads.words import ENGINES as ENGINE_NAMES
from secondread.serve.reads.words import about_map, percent, verdict_of
from secondread.serve.reports.pdf import PdfPage


def card(**fields: Any) -> dict[str, Any]:
    known = {"task": "multiclass", "classes": ["normal", "covid", "flu"], "thresholds": {}, "uncertain": {},
             "texts": {"flu": "About flu."}, "about": "chest X-rays of adults", "study": "s"}  # fmt: skip
    return known | fields


def said(state: State, decision: str, chances: dict[str, float], told: dict[str, Any], **fields: Any) -> Any:
    read = Read(state=state, decision=decision, result={"probabilities": chances, **fields}, image=StoredImage())
    return verdict_of(read, told)


def test_verdicts_in_words() -> None:
    chances = {"normal": 0.1, "covid": 0.2, "flu": 0.7}
    told = said(State.READ, "flu", chances, card())
    assert told.headline == "Flu"
    assert told.sentence.replace("\u00a0", " ") == (
        "The most probable of 3 classes, at 70 %; the next is covid at 20 %."
    )
    assert told.texts == [("flu", "About flu.")]
    assert [bar.name for bar in told.bars] == ["flu", "covid", "normal"]
    several = card(task="multilabel", thresholds=dict.fromkeys(chances, 0.15))
    assert said(State.READ, "covid | flu", chances, several).headline == "2 findings: flu and covid"
    assert said(State.READ, "", chances, several).headline == "No finding"
    doubt = said(State.UNCERTAIN, "covid", chances, card(uncertain={"covid": [0.15, 0.4]}))
    assert doubt.headline == "Uncertain: covid"
    assert plain(doubt.sentence).startswith("The probability of covid is 20 %, between 15 % and 40 %. There the model")
    refused = said(State.REFUSED, "flu", chances, card(), gate_distance=3.21)
    assert refused.bars == []
    assert "3.2 times as far" in refused.sentence
    assert "chest X-rays of adults" in refused.sentence


@given(st.floats(0, 1))
@hypothesis_settings(derandomize=True, database=None)
def test_no_probability_is_said_to_be_certain(share: float) -> None:
    words = percent(share).replace("\u00a0", " ")
    assert words not in ("0 %", "100 %")


def plain(words: str) -> str:
    return words.replace("\u00a0", " ")


def test_of_exclusive_classes_only_the_decided_one_is_in_doubt() -> None:
    """Their bands begin at 0, so every class that is out of the question lies in its own."""
    chances = {"normal": 0.15, "covid": 0.4, "flu": 0.45}
    bands = {name: [0.0, 0.5] for name in chances}
    told = said(State.UNCERTAIN, "flu", chances, card(uncertain=bands))
    assert told.headline == "Uncertain: flu"
    assert plain(told.sentence).startswith("The probability of flu is 45 %, below 50 %. There the model")
    assert [_presence(bar) for bar in told.bars] == [INDETERMINATE, ABSENT, ABSENT]
    under = said(State.UNCERTAIN, "flu", chances, card(uncertain=bands | {"flu": [0.46, 0.5]}))
    assert under.headline == "Uncertain: flu"


def test_many_findings_in_doubt_are_named_once_and_marked() -> None:
    names = [f"finding_{at}" for at in range(14)]
    told = card(task="multilabel", classes=names, uncertain={name: [0.4, 0.6] for name in names})
    doubt = said(State.UNCERTAIN, " | ".join(names[:3]), dict.fromkeys(names, 0.5) | {"finding_0": 0.9}, told)
    assert doubt.headline == "Uncertain: finding 1, finding 2, finding 3 and 10 more"
    assert plain(doubt.sentence).count("between 40 % and 60 %") == 13
    page = render_to_string("parts/bars.html", {"bars": doubt.bars})
    assert page.count('class="doubtful"') == 13
    assert page.count('class="decided"') == 1


def test_the_words_under_a_map_name_its_class() -> None:
    read = Read(state=State.READ, decision="", result={"probabilities": {"a_b": 0.2, "c": 0.1}})
    assert about_map(read).startswith("Attention map of a b: ")
    read.decision = "c"
    assert about_map(read).startswith("Attention map of c: ")


def test_the_most_probable_class_is_not_always_the_decided_one() -> None:
    chances = {"normal": 0.3, "covid": 0.5, "flu": 0.2}
    told = said(State.READ, "flu", chances, card(thresholds={"normal": 0.3, "covid": 0.6, "flu": 0.1}))
    assert "most probable of" not in told.sentence
    assert plain(told.sentence).startswith("Flu has 20 %. Covid is more probable, at 50 %")


@pytest.mark.parametrize(
    ("share", "words"), [(0.4999, "49.99 %, below the threshold of 50.00 %"), (0.3, "30 %, below")]
)
def test_what_lies_below_its_threshold_is_seen_to(share: float, words: str) -> None:
    told = card(task="binary", classes=["normal", "flu"], thresholds={"flu": 0.5})
    assert words in plain(said(State.READ, "normal", {"normal": 1 - share, "flu": share}, told).sentence)


def test_many_findings_are_all_marked(alice: Any, bundle: Any) -> None:
    names = [f"finding {at} with a long name" for at in range(20)]
    image = StoredImage.objects.create(owner=alice, content_id="0" * 64)
    now = datetime.now(UTC)
    Read.objects.create(owner=alice, image=image, bundle=bundle, created=now)
    read = claim("tests", [bundle.sha256])
    assert read is not None
    result = {"decision": names, "probabilities": dict.fromkeys(names, 0.9)}
    assert finish(read, Result(State.READ, "", " | ".join(names), result))
    kept = Read.objects.get()
    assert set(kept.decision.removesuffix(" | …").split(" | ")) < set(names)
    told = verdict_of(kept, card(task="multilabel", classes=names, thresholds=dict.fromkeys(names, 0.5)))
    assert all(bar.decided for bar in told.bars)
    assert told.headline.startswith("20 findings")
    assert told.headline.endswith(" and 17 more")
    assert all(name in told.sentence for name in names)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 2), (4100, 1)])
def test_the_viewer_gets_something_of_the_thinnest_image(
    shape: tuple[int, int], as_alice: Any, bundle: Any, submit: Any
) -> None:
    thin = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    read = submit(as_alice, bundle, png(thin))
    answer = as_alice.get(f"/reads/{read.id}/pixels")
    height, width = json.loads(answer["X-Shape"])
    assert min(height, width) >= 1
    assert max(height, width) > 1000
    assert len(answer.content) == height * width


def test_a_reader_is_told_when_images_are_decoded_otherwise_than_in_training(
    as_alice: Any, bundle: Any, submit: Any
) -> None:
    def pages() -> list[str]:
        sheet = PdfPage.text
        drawn: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PdfPage, "text", lambda *a, **b: drawn.append(str(a[3])) or sheet(*a, **b))
            as_alice.get(f"/reads/{read.id}/report.pdf")
        return [as_alice.get(f"/reads/{read.id}/").content.decode(), " ".join(drawn)]

    read = submit(as_alice, bundle)
    assert not any("of the decoder" in page for page in pages())
    bundle.card |= {"decoder": "1"}
    bundle.save()
    assert all("learned from by version 1" in page for page in pages())


@pytest.mark.parametrize("runs", ENGINES)
def test_the_engine_that_read_is_named(runs: Any, as_alice: Any, bundle: Any, settings: Any) -> None:
    if not installed(runs):
        pytest.skip(f"{runs} is not installed (an extra)")
    settings.ENGINE = runs
    image = SimpleUploadedFile("x.png", png(disc()))
    told = {"bundle": bundle.sha256, "image": image}
    as_alice.post("/read/", told, HTTP_ACCEPT="application/json")
    shelf = Shelf(1)
    shelf.state()
    read = claim("one", shelf.ready())
    assert read is not None
    assert finish(read, read_image(shelf.bundle(bundle.sha256), read))
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert f"{ENGINE_NAMES[runs]} {version(runs)}" in page
    assert not any(name in page for key, name in ENGINE_NAMES.items() if key != runs)


def test_the_distance_is_not_called_a_likeness(as_alice: Any, bundle: Any, submit: Any) -> None:
    page = as_alice.get(f"/reads/{submit(as_alice, bundle).id}/").content.decode()
    assert "from the training images; up to 1 is accepted" in page
    assert "Likeness" not in page


@pytest.mark.parametrize("word", ["MÜLLER", "müller", "ångström", "Ångström", "胸部"])
def test_names_are_found_in_large_and_small_letters(word: str, as_alice: Any, alice: Any, bundle: Any) -> None:
    name = "Müller ÅNGSTRÖM 胸部.png"
    image = StoredImage.objects.create(owner=alice, content_id="0" * 64, name=name)
    Read.objects.create(owner=alice, image=image, bundle=bundle, created=datetime.now(UTC))
    assert name in as_alice.get("/reads/", {"q": word}).content.decode()
    assert "Nothing matches" in as_alice.get("/reads/", {"q": "Möller"}).content.decode()
