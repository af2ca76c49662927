"""Every address of the site."""

from __future__ import annotations

from django.urls import include, path, register_converter

from secondread.serve.accounts import views as accounts
from secondread.serve.api.routes import api
from secondread.serve.bundles import views as bundles
from secondread.serve.health import views as health
from secondread.serve.operate import views as operate
from secondread.serve.pages import views as pages
from secondread.serve.pages.fields import Digest
from secondread.serve.reads import views_data, views_history, views_read, views_upload
from secondread.serve.reports import views as reports

register_converter(Digest, "digest")
urlpatterns = [
    path("", pages.welcome, name="welcome"),
    path("about/", pages.about, name="about"),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("read/", views_upload.upload, name="upload"),
    path("reads/", views_history.history, name="history"),
    path("reads/export.csv", views_history.export_csv, name="export_csv"),
    path("reads/export.jsonl", views_history.export_json, name="export_json"),
    path("reads/delete", views_history.delete_chosen, name="delete_chosen"),
    path("reads/<uuid:identifier>/", views_read.read, name="read"),
    path("reads/<uuid:identifier>/state", views_read.state, name="state"),
    path("reads/<uuid:identifier>/delete", views_read.delete, name="delete"),
    path("reads/<uuid:identifier>/again", views_read.again, name="again"),
    path("reads/<uuid:identifier>/feedback", views_read.feedback, name="feedback"),
    path("reads/<uuid:identifier>/pixels", views_data.pixels, name="pixels"),
    path("reads/<uuid:identifier>/heatmap", views_data.heatmap, name="heatmap"),
    path("reads/<uuid:identifier>/thumbnail.png", views_data.thumbnail, name="thumbnail"),
    path("reads/<uuid:identifier>/reading.json", reports.reading_json, name="reading_json"),
    path("reads/<uuid:identifier>/report.pdf", reports.report, name="report"),
    path("reads/<uuid:identifier>/report.dcm", reports.structured_report, name="structured_report"),
    path("reads/<uuid:identifier>/capture.dcm", reports.secondary_capture, name="secondary_capture"),
    path("reads/<uuid:identifier>/send", reports.to_archive, name="to_archive"),
    path("models/", bundles.models, name="models"),
    path("models/<digest:sha256>/", bundles.model, name="model"),
    path("models/<digest:sha256>/download", bundles.download, name="download"),
    path("account/", accounts.account, name="account"),
    path("account/choices", accounts.choices, name="choices"),
    path("account/tokens", accounts.add_token, name="add_token"),
    path("account/tokens/<int:number>/revoke", accounts.revoke_token, name="revoke_token"),
    path("account/leave", accounts.leave, name="leave"),
    path("operate/", operate.overview, name="operate"),
    path("operate/users", operate.users, name="operate_users"),
    path("operate/users/<int:number>", operate.change_user, name="operate_user"),
    path("operate/bundles", operate.bundles, name="operate_bundles"),
    path("operate/bundles/<digest:sha256>", operate.change_bundle, name="operate_bundle"),
    path("operate/watch", operate.watch_bundles, name="operate_watch"),
    path("operate/reads", operate.reads, name="operate_reads"),
    path("operate/audit", operate.audit, name="operate_audit"),
    path("api/", api.urls),
    path("accounts/", include("allauth.urls")),
]

handler400 = "secondread.serve.pages.failures.bad_request"
handler403 = "secondread.serve.pages.failures.forbidden"
handler404 = "secondread.serve.pages.failures.not_found"
handler429 = "secondread.serve.pages.failures.too_many"  # allauth asks for it here
handler500 = "secondread.serve.pages.failures.server_error"
