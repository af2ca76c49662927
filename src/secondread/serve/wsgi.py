"""The application that gunicorn, or any other WSGI server, serves."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from secondread.serve.unread import without_leftovers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secondread.serve.settings")
application = without_leftovers(get_wsgi_application())
