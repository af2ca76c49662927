"""The JSON API: what a browser can do, for programs with a token."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import numpy as np
from django.conf import settings
from django.http import HttpRequest, QueryDict
from ninja import NinjaAPI, Query, Status
from ninja.security import HttpBearer

from secondread.core.version import __version__
from secondread.serve.accounts.models import User
from secondread.serve.accounts.tokens import owner_of
from secondread.serve.api.faults import Fault, handle_faults
from secondread.serve.api.schemas import (
    BundleOut,
    HeatmapOut,
    LimitsOut,
    Problem,
    ReadOut,
    ReadPage,
    Submitted,
    read_out,
)
from secondread.serve.api.submitting import SUBMIT_BODY, submit_images
from secondread.serve.audit.record import record_view
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.pages.fields import Digest
from secondread.serve.reads import history
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.models import DONE, Read
from secondread.serve.reads.own import own_reads
from secondread.serve.reads.reading import unpacked_heat
from secondread.serve.reads.removal import delete_reads
from secondread.serve.reads.shown import record_list

ABOUT = (
    "Second readings of medical images, for research and education; not a medical device. "
    "Make a token on your account page and send it as `Authorization: Bearer …`."
)


class Token(HttpBearer):
    """A token of the account page."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        user = owner_of(token)
        request.auth_user = user  # type: ignore[attr-defined]  # for the audit log
        return user


api = NinjaAPI(
    title="secondread", version=__version__, description=ABOUT, auth=Token(), docs_url=None, urls_namespace="api"
)
handle_faults(api)

Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the reading; at most what /limits says.")]
State = Literal["queued", "running", "read", "uncertain", "refused", "failed"]
BAD = {401: Problem, 422: Problem, 503: Problem}
MISSING = {404: Problem, **BAD}


@api.get("/limits", response={200: LimitsOut, 503: Problem}, auth=None, summary="What may be sent")
def limits(request: HttpRequest) -> dict[str, object]:
    return dict(settings.LIMITS.to_json())


@api.get("/bundles", response={200: list[BundleOut], **BAD}, summary="The models on offer")
def bundles(request: HttpRequest) -> list[dict[str, Any]]:
    wanted = ("task", "classes", "thresholds", "uncertain", "about", "intended_use")
    return [
        {"sha256": bundle.sha256, "name": bundle.name, "heatmaps": bool(bundle.card["heatmaps"])}
        | {name: bundle.card[name] for name in wanted}
        for bundle in RegisteredBundle.objects.filter(active=True)
    ]


@api.post(
    "/reads",
    response={200: Submitted, 202: Submitted, **dict.fromkeys((409, 411, 413, 415, 507), Problem), **BAD},
    openapi_extra={"requestBody": SUBMIT_BODY},
    summary="Send images to be read",
)
def submit(
    request: HttpRequest,
    wait: Wait = 0.0,
    bundle: Annotated[str, Query(max_length=64, description="The model to read a bare file with; forms name it.")] = "",
    name: Annotated[str, Query(max_length=255, description="What a bare file is called; forms say it.")] = "",
) -> Status[dict[str, Any]]:
    """200 when every reading is there, 202 when some are not yet. The same image is read once by each model."""
    submitted = submit_images(request, _user(request), wait, bundle, name)
    pending = any(read["status"] in ("queued", "running") for read in submitted["reads"])
    return Status(202 if pending else 200, submitted)


@api.get("/reads", response={200: ReadPage, **MISSING}, summary="One's reads, newest first")
def reads(
    request: HttpRequest,
    status: Annotated[State | None, Query()] = None,
    bundle: Annotated[str, Query(pattern=f"^({Digest.regex})?$")] = "",
    q: Annotated[str, Query(max_length=100, description="Words of the decision or file name, or a content id.")] = "",
    after: Annotated[str, Query(pattern=history.PLACE, description="Where the last page ended.")] = "",
) -> dict[str, Any]:
    query = QueryDict(mutable=True)
    query.update({"state": status or "", "bundle": bundle, "q": q, "after": after})
    search = history.search_of(query)
    if after and search.after is None:  # else a program would get the first page for ever
        raise Fault(404, "no_place", "No page ended there: send `after` as it was given.")
    page = history.page(_user(request), search)
    record_list(request, "history", page.reads, "by token")
    return {"reads": [read_out(read) for read in page.reads], "after": page.following}


@api.get("/reads/{uuid:identifier}", response={200: ReadOut, **MISSING}, summary="One read")
def read(request: HttpRequest, identifier: uuid.UUID, wait: Wait = 0.0) -> dict[str, Any]:
    found = _own(request, identifier)
    if found.pending and wait:
        await_end(found, wait)
        found = _own(request, identifier)
    if not found.pending:  # who asks whether it has ended has seen nothing yet
        record_view(request, f"read {found.id}", "by token")
    return read_out(found)


@api.get(
    "/reads/{uuid:identifier}/heatmap", response={200: HeatmapOut, **MISSING}, summary="The attention map of a class"
)
def heatmap(
    request: HttpRequest, identifier: uuid.UUID, class_name: Annotated[str, Query(max_length=200)] = ""
) -> dict[str, Any]:
    """Of the most probable class when none is named."""
    found = _own(request, identifier)
    maps, classes = unpacked_heat(found), found.bundle.card["classes"]
    if maps is None or found.state not in DONE or found.state == "refused":
        raise Fault(404, "no_heatmap", "This read has no attention map.")
    chances = (found.result or {})["probabilities"]
    name = class_name or max(chances, key=lambda key: chances[key])
    if name not in classes:
        raise Fault(422, "no_class", "The model of this read has no such class.")
    record_view(request, f"read {found.id}", "by token")
    values = np.round(maps[classes.index(name)].astype(float), 4)
    return {"class_name": name, "height": values.shape[0], "width": values.shape[1], "values": values.tolist()}


@api.delete("/reads/{uuid:identifier}", response={204: None, **MISSING}, summary="Delete a read")
def delete(request: HttpRequest, identifier: uuid.UUID) -> Status[None]:
    """Its image goes with it, unless another model has read it too."""
    found = _own(request, identifier)
    delete_reads(request, _user(request), [found], "by token")
    return Status(204, None)


def _user(request: HttpRequest) -> User:
    user = request.auth  # type: ignore[attr-defined]
    assert isinstance(user, User)
    return user


def _own(request: HttpRequest, identifier: uuid.UUID) -> Read:
    found = own_reads(_user(request)).select_related("feedback").filter(id=identifier).first()
    if found is None:
        raise Fault(404, "not_found", "There is no such read, or it is not yours.")
    return found
