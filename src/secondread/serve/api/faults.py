"""Errors of the API: all of them `{code, detail}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from secondread.serve.pages.failures import answer, wants_json


class Fault(Exception):
    """An answer that is not what was asked for."""

    def __init__(self, status: int, code: str, detail: str, retry: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.retry = status, code, detail, retry


def in_one_form(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: what Django and django-ninja answer to a wrong method is an empty page and plain text otherwise."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        allowed = ", ".join(sorted(response.headers["Allow"].split(", ")))  # a set's order is another in each process
        told = f"This address takes {allowed}, not {request.method}."
        if request.method == "GET" and not wants_json(request):  # who is led back here by logging in, for instance
            told = "Nothing was done. Go back to the page you were on and press the button once more."
        told_so = answer(request, 405, "Not this way", told)
        told_so.headers["Allow"] = allowed
        return told_so

    return respond


def handle_faults(api: NinjaAPI) -> None:
    """Have every failure of `api` answered in the one form."""
    api.add_exception_handler(Fault, _fault)
    api.add_exception_handler(ValidationError, _invalid)
    api.add_exception_handler(AuthenticationError, _unknown)
    api.add_exception_handler(Http404, _missing)
    api.add_exception_handler(HttpError, _http_error)


def _fault(request: HttpRequest, fault: Any) -> HttpResponse:
    response = JsonResponse({"code": fault.code, "detail": fault.detail}, status=fault.status)
    if fault.retry is not None:
        response["Retry-After"] = str(fault.retry)
    return response


def _invalid(request: HttpRequest, error: Any) -> HttpResponse:
    """What does not fit, without repeating what was sent."""
    said = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors)
    return JsonResponse({"code": "invalid", "detail": said[:500]}, status=422)


def _unknown(request: HttpRequest, error: Any) -> HttpResponse:
    response = JsonResponse(
        {"code": "unauthorized", "detail": "Send a valid token; they end after a year."}, status=401
    )
    response["WWW-Authenticate"] = "Bearer"
    return response


def _missing(request: HttpRequest, error: Any) -> HttpResponse:
    return JsonResponse({"code": "not_found", "detail": "There is nothing at this address."}, status=404)


def _http_error(request: HttpRequest, error: Any) -> HttpResponse:
    return JsonResponse({"code": str(error.status_code), "detail": str(error)}, status=error.status_code)
