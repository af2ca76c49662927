"""P7: the history page of somebody with very many reads, and the queue beside them."""

from __future__ import annotations

import json

from bench.serving_load import Figures, figure
from bench.serving_site import Site

HISTORY = """
import time, json, uuid, datetime
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Read, StoredImage
from secondread.serve.reads.queue import Result, claim, finish
from django.conf import settings
settings.ALLOWED_HOSTS.append("testserver")
user = User.objects.get_or_create(username="historian")[0]
bundle = RegisteredBundle.objects.first()
count, now = COUNT, datetime.datetime.now(datetime.timezone.utc)
for start in range(0, count, 5000):
    images = [StoredImage(owner=user, content_id=f"{uuid.uuid4().hex}{at:032d}", facts={"format": "PNG"})
              for at in range(start, min(start + 5000, count))]
    StoredImage.objects.bulk_create(images)
    Read.objects.bulk_create([
        Read(owner=user, image=image, bundle=bundle, state="read", decision=bundle.card["classes"][at % 2],
             result={"probabilities": {}}, created=now - datetime.timedelta(seconds=start + at))
        for at, image in enumerate(images)])
# what servers do by themselves some minutes after so many rows came in; SQLite does not
if connection.vendor != "sqlite":
    everything = "ANALYZE TABLE reads_read, reads_storedimage" if connection.vendor == "mysql" else "ANALYZE"
    connection.cursor().execute(everything)
client = Client()
client.force_login(user)
deep = Read.objects.filter(owner=user).order_by("-created", "-id")[count // 2]
pages = ["/reads/", f"/reads/?after={deep.created.isoformat().replace('+', '%2B')}~{deep.id}", "/reads/?state=read",
         f"/reads/?q={bundle.card['classes'][1][:5]}", "/reads/?state=failed"]
seconds, queries = [], 0
for at in range(60):
    with CaptureQueriesContext(connection) as asked:
        started = time.perf_counter()
        assert client.get(pages[at % len(pages)]).status_code == 200
        if at >= len(pages):
            seconds.append(time.perf_counter() - started)
    queries = max(queries, len(asked))
seconds.sort()
fresh = [StoredImage(owner=user, content_id=f"{uuid.uuid4().hex}{at:032d}", facts={}) for at in range(400)]
StoredImage.objects.bulk_create(fresh)
Read.objects.bulk_create([Read(owner=user, image=image, bundle=bundle, created=now) for image in fresh])
started, most = time.perf_counter(), 40  # the site's own workers take some too
for _ in range(most):
    read = claim("bench", [bundle.pk])
    assert finish(read, Result("failed"))
taken = (time.perf_counter() - started) / most
print(json.dumps({"claim_and_finish_ms": round(1e3 * taken, 1), "p50_ms": round(1e3 * seconds[len(seconds) // 2], 1),
                  "p95_ms": round(1e3 * seconds[int(.95 * len(seconds))], 1), "queries": queries, "reads": count,
                  "database": connection.vendor}))
"""


def history(site: Site, count: int) -> Figures:
    """P7: the history page of somebody with so many reads: first, deep, filtered and searched pages in turns. Besides,
    what the queue takes there."""
    told = json.loads(site.inside(HISTORY.replace("COUNT", str(count))))
    return [figure("P7", "history page", told, "p95 <= 150 ms, <= 8 queries",
                   told["p95_ms"] <= 150 and told["queries"] <= 8)]  # fmt: skip
