"""Settings, by environment, with safe defaults. A value that makes no sense stops the start.

SECONDREAD_FOLDER        where database, images and secret live (~/.local/share/secondread)
SECONDREAD_SECRET_KEY    signing key; generated into the folder when absent
DATABASE_URL             postgres://… or mysql://…; SQLite in the folder when absent
SECONDREAD_HOSTS         host names the site answers to, separated by commas (localhost)
SECONDREAD_HTTPS         true behind TLS: secure cookies, HSTS, redirect
SECONDREAD_PROXIES       number of trusted proxies in front (0)
SECONDREAD_SIGNUP        open | closed
SECONDREAD_IDLE_MINUTES  who asks for nothing so long is logged out, but for who chose to be remembered (60)
SECONDREAD_SECOND_FACTOR offered | operators | everybody: who can do nothing before having set one up (offered)
SECONDREAD_KEEP_UIDS     true keeps DICOM UIDs and PatientID, so that reports reach the right study of a PACS (false)
SECONDREAD_PACS_URL      DICOMweb root that reports are sent to by STOW-RS
SECONDREAD_ENGINE        onnxruntime | openvino (an extra; `secondread bench` tells whether it is faster here)
EMAIL_URL                smtp+tls://… enables password reset by e-mail
SECONDREAD_LIMIT_…       see limits.py
SECONDREAD_LOG           level of the log (INFO)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from secondread.models.bundle.engines import ENGINES
from secondread.serve.folder import DataFolder
from secondread.serve.limits import limits_of

env = environ.Env()
HERE = Path(__file__).parent


def _default_folder() -> Path:
    shared = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(shared).expanduser() / "secondread"


def _choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = str(env.str(name, default=default))
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; it may be {' or '.join(allowed)}")
    return value


def _boolean(name: str) -> bool:
    return _choice(name, "false", ("true", "false", "1", "0")) in ("true", "1")


FOLDER = DataFolder(Path(env.str("SECONDREAD_FOLDER", default=str(_default_folder()))).expanduser().absolute())
try:
    LIMITS = limits_of(env)
    SECRET_KEY = env.str("SECONDREAD_SECRET_KEY", default="") or FOLDER.secret()
    TRUSTED_PROXIES = env.int("SECONDREAD_PROXIES", default=0)
    IDLE_MINUTES = env.int("SECONDREAD_IDLE_MINUTES", default=60)
except ValueError as error:
    raise ImproperlyConfigured(str(error)) from error

DEBUG = False
HTTPS = _boolean("SECONDREAD_HTTPS")
SIGNUP_OPEN = _choice("SECONDREAD_SIGNUP", "open", ("open", "closed")) == "open"
SECOND_FACTOR = _choice("SECONDREAD_SECOND_FACTOR", "offered", ("offered", "operators", "everybody"))
KEEP_UIDS = _boolean("SECONDREAD_KEEP_UIDS")
ENGINE = _choice("SECONDREAD_ENGINE", ENGINES[0], ENGINES)
PACS_URL = env.str("SECONDREAD_PACS_URL", default="")
if PACS_URL and not PACS_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured(f"SECONDREAD_PACS_URL is {PACS_URL!r}; it begins with http:// or https://")
if TRUSTED_PROXIES < 0:
    raise ImproperlyConfigured("SECONDREAD_PROXIES may not be below 0")
if IDLE_MINUTES < 1:
    raise ImproperlyConfigured("SECONDREAD_IDLE_MINUTES must be at least 1")
ALLOWED_HOSTS = [host.strip() for host in env.list("SECONDREAD_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "secondread.serve.audit",
    "secondread.serve.accounts",
    "secondread.serve.bundles",
    "secondread.serve.reads",
    "secondread.serve.pages",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # what every answer carries, files and refusals of the others too
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "secondread.serve.pages.middleware.private",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "secondread.serve.api.faults.in_one_form",
    "secondread.serve.pages.middleware.whole_body",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "secondread.serve.accounts.staying.prolong",
    "django.contrib.messages.middleware.MessageMiddleware",
    "secondread.serve.accounts.second_factor.required",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "secondread.serve.urls"
WSGI_APPLICATION = "secondread.serve.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [HERE / "pages" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "secondread.serve.pages.context.site",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    """The database of DATABASE_URL, or SQLite: every commit on disk before it is answered, writers wait their turn."""
    found: dict[str, Any] = env.db_url("DATABASE_URL", default=f"sqlite:///{FOLDER.database}")
    if not found.get("ENGINE", "").endswith(("sqlite3", "postgresql", "mysql")):  # unsaid: it may hold a password
        raise ImproperlyConfigured("DATABASE_URL begins with neither postgres:// nor mysql:// nor sqlite:///")
    found |= {"CONN_MAX_AGE": 300}
    options = found.setdefault("OPTIONS", {})
    if found["ENGINE"].endswith("sqlite3"):
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-20000;",
        }
        return found
    found |= {"CONN_HEALTH_CHECKS": True}
    options |= {"connect_timeout": 2}
    if found["ENGINE"].endswith("mysql"):
        found["TEST"] = {"CHARSET": "utf8mb4"}
        options |= {
            "isolation_level": "read committed",
            "charset": "utf8mb4",
            "init_command": "SET sql_mode='STRICT_TRANS_TABLES'",
        }
    return found


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# allauth's rate limits live here; in the database they hold across processes
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache_entries",
        # beyond so many a third is forgotten: with Django's 300 a few visitors could push out whose limit was reached
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

# --- accounts
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "CommonPasswordValidator", "NumericPasswordValidator")
] + [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}}]
ACCOUNT_ADAPTER = "secondread.serve.accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # an address for mail is a way to a new password
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_RATE_LIMITS = {
    "login_failed": "30/m/ip",
    "login": "100/m/ip",  # a class or a hospital has one address
    "signup": "100/h/ip",
    "reset_password": "10/h/ip,3/h/key",
    "change_password": "10/h/user",
    "reauthenticate": "10/m/user",
}
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
MFA_ADAPTER = "secondread.serve.accounts.adapter.MFAAdapter"
MFA_FORMS = {
    "authenticate": "secondread.serve.accounts.codes.AuthenticateForm",
    "reauthenticate": "secondread.serve.accounts.codes.ReauthenticateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "secondread"
MFA_TOTP_TOLERANCE = 1  # one code before and after: phones' clocks drift (RFC 6238, section 5.2)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "upload"
ACCOUNT_LOGOUT_REDIRECT_URL = "welcome"
ACCOUNT_CHANGE_PASSWORD_REDIRECT_URL = "account"
HAS_EMAIL = bool(env.str("EMAIL_URL", default=""))
if (
    HAS_EMAIL and "*" in ALLOWED_HOSTS
):  # a stranger could have somebody sent a link to a new password at the stranger's host
    raise ImproperlyConfigured(
        "SECONDREAD_HOSTS has to name this site's hosts while EMAIL_URL is set: mails link to them"
    )
PASSWORD_RESET_TIMEOUT = 3600
vars().update(env.email_url("EMAIL_URL", default="dummymail://"))
DEFAULT_FROM_EMAIL = env.str("SECONDREAD_FROM_EMAIL", default="secondread@localhost")

# --- what browsers are told
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "manifest-src": [SELF],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^health/"]
if HTTPS:
    CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in ALLOWED_HOSTS if host != "*"]
    if TRUSTED_PROXIES:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_NAME = "__Host-session" if HTTPS else "secondread_session"
CSRF_COOKIE_NAME = "__Host-csrf" if HTTPS else "secondread_csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 60 * IDLE_MINUTES
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
ACCOUNT_SESSION_COOKIE_AGE = 14 * 24 * 3600  # of who ticks "Remember me"
CSRF_FAILURE_VIEW = "secondread.serve.pages.failures.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

# --- files
FILE_UPLOAD_HANDLERS = ["secondread.serve.reads.streaming.StreamingHandler"]
FILE_UPLOAD_PERMISSIONS = 0o600
DATA_UPLOAD_MAX_MEMORY_SIZE = 1 << 20
DATA_UPLOAD_MAX_NUMBER_FILES = LIMITS.files
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
STATIC_URL = "/static/"
STATICFILES_DIRS: list[Path] = []
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 3600

# --- words
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"only_faults": {"()": "secondread.serve.pages.failures.OnlyFaults"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": _choice("SECONDREAD_LOG", "INFO", LEVELS)},
    "loggers": {
        # what a stranger puts into an address or a Host header is not for the log
        "django.request": {"level": "ERROR", "filters": ["only_faults"]},
        "django.security": {"level": "CRITICAL"},
        "highdicom": {"level": "WARNING"},
        "dicomweb_client": {"level": "WARNING"},
    },
}
