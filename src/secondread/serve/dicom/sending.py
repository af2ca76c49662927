"""Sending reports to a picture archive by STOW-RS, and asking it by QIDO-RS whether they are there."""

from __future__ import annotations

from typing import Any

from django.conf import settings

SECONDS = 10.0


class NotSent(Exception):
    """The archive did not take the report; the message says why in words for people."""


def pacs_is_configured() -> bool:
    return bool(settings.PACS_URL)


def send(datasets: list[Any]) -> None:
    """Store the data sets and check that they can be found; raises `NotSent`."""
    import requests
    from dicomweb_client.api import DICOMwebClient

    class Bounded(requests.adapters.HTTPAdapter):
        def send(self, request: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            kwargs["timeout"] = SECONDS
            return super().send(request, **kwargs)

    with requests.Session() as session:
        session.mount("http://", Bounded())
        session.mount("https://", Bounded())
        try:
            client = DICOMwebClient(settings.PACS_URL, session=session)
            client.set_http_retry_params(retry=False)
            client.store_instances(datasets)
            for dataset in datasets:
                _check_found(client, dataset)
        except (requests.RequestException, ValueError, OSError) as error:
            raise NotSent(f"The archive did not take the report ({type(error).__name__}).") from error


def _check_found(client: Any, dataset: Any) -> None:
    """An answer of 200 is no proof: archives have answered it and stored nothing."""
    found = client.search_for_instances(
        study_instance_uid=str(dataset.StudyInstanceUID),
        search_filters={"SOPInstanceUID": str(dataset.SOPInstanceUID)},
    )
    if not found:
        raise NotSent("The archive answered as if it had stored the report, but does not find it.")
