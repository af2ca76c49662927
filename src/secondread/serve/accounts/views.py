"""One's own account: choices, tokens, leaving."""

from __future__ import annotations

from allauth.account.decorators import reauthentication_required
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from secondread.serve.accounts.lockout import spend_check
from secondread.serve.accounts.models import ApiToken
from secondread.serve.accounts.tokens import MOST, new_token
from secondread.serve.audit.record import record
from secondread.serve.pages.failures import wants_json
from secondread.serve.pages.fields import typed
from secondread.serve.reads.own import user_of
from secondread.serve.reads.removal import delete_account


@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    return _page(request)


def _page(request: HttpRequest, secret: str = "") -> HttpResponse:
    user = user_of(request)
    return render(request, "account.html", {"tokens": ApiToken.objects.filter(owner=user), "secret": secret})


@require_POST
@login_required
def choices(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    user.keep_names = "keep_names" in request.POST
    user.save(update_fields=["keep_names"])
    if wants_json(request):
        return HttpResponse(status=204)
    messages.success(request, "Saved.")
    return redirect("account")


@require_POST
@login_required
@reauthentication_required(app="allauth.account")  # type: ignore[untyped-decorator]
def add_token(request: HttpRequest) -> HttpResponse:
    """Make a token and show it, this once. It outlives the session, so who makes one says the password again."""
    user, label = user_of(request), typed(request.POST, "label")[:60]
    if not label:
        messages.error(request, "Give the token a name, so that you know later what uses it.")
        return redirect("account")
    if ApiToken.objects.filter(owner=user).count() >= MOST:
        messages.error(request, f"At most {MOST} tokens; revoke one first.")
        return redirect("account")
    token, secret = new_token(user, label)
    record(request, "token added", f"token {token.pk}")
    return _page(request, secret)


@require_POST
@login_required
def revoke_token(request: HttpRequest, number: int) -> HttpResponse:
    token = ApiToken.objects.filter(owner=user_of(request), pk=number).first()
    if token is None:
        raise Http404
    record(request, "token revoked", f"token {token.pk}")
    token.delete()
    messages.success(request, "The token was revoked.")
    return redirect("account")


@sensitive_post_parameters("password")
@require_POST
@login_required
def leave(request: HttpRequest) -> HttpResponse:
    """Delete the account with everything in it; the password confirms."""
    user = user_of(request)
    if not spend_check(user.username) or not user.check_password(request.POST.get("password", "")):
        record(request, "login failed", f"user {user.pk}", "to delete the account")
        messages.error(request, "The password is not right; nothing was deleted.")
        return redirect("account")
    logout(request)
    delete_account(request, user)
    return redirect("welcome")
