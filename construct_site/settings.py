"""Django's settings, all derived from the one configuration object (:mod:`construct_site.env`)."""

from __future__ import annotations

from typing import Any

import dj_database_url
from django.templatetags.static import static
from psycopg import IsolationLevel

from construct_site import env, logs

CONSTRUCT = env.load()

SECRET_KEY = CONSTRUCT.secret_key
DEBUG = False
# In development the server listens on loopback, whose names these are.
ALLOWED_HOSTS = list(CONSTRUCT.hosts) or (
    [] if CONSTRUCT.production else ["localhost", "127.0.0.1", "[::1]", CONSTRUCT.host]
)

INSTALLED_APPS = [
    # First, so that `runserver` is Daphne's.
    "construct_site.daphne_config.DaphneConfig",
    "construct_site",
    "construct_site.metrics",
    "accounts",
    "accounts.audit",
    "accounts.desk",
    "accounts.moderation",
    "accounts.second_factor",
    "keys",
    "messaging",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    # Before the admin: its templates and files take the place of Django's.
    "unfold.apps.BasicAppConfig",
    "accounts.admin_config.StaffAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "construct_site.admin_path.AdminMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "construct_site.admin_path.FilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "construct_site.urls"
ASGI_APPLICATION = "construct_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [env.REPOSITORY / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

_SQLITE_OPTIONS: dict[str, Any] = {
    # An ack promises that the message is on disk: WAL alone does not sync each commit, FULL does.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
    # Take the write lock at BEGIN: a transaction that upgrades from reading fails instead of waiting.
    "transaction_mode": "IMMEDIATE",
    "timeout": 5,
}
_POSTGRESQL_OPTIONS: dict[str, Any] = {
    "pool": {"min_size": 1, "max_size": 12, "timeout": 5},
    # A database whose machine went without a word is given up after 25 s, not after the system's 15 minutes and more.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    # What empties a mailbox after its owner went must see what was committed meanwhile.
    "isolation_level": IsolationLevel.READ_COMMITTED,
}
if CONSTRUCT.database_url:
    try:
        _database: dict[str, Any] = dict(dj_database_url.parse(CONSTRUCT.database_url))
    except ValueError:
        # Without its cause: that one quotes the address, which holds the password.
        raise env.InvalidConfiguration("DATABASE_URL cannot be read") from None
else:
    _database = {"ENGINE": "django.db.backends.sqlite3", "NAME": CONSTRUCT.data_dir / "construct.sqlite3"}
_is_sqlite = _database["ENGINE"].endswith("sqlite3")
_database["OPTIONS"] = {
    **(_SQLITE_OPTIONS if _is_sqlite else _POSTGRESQL_OPTIONS),
    **_database.get("OPTIONS", {}),
}
if _is_sqlite:
    # A file, not memory: several threads use the test database at once.
    _database["TEST"] = {"NAME": CONSTRUCT.data_dir / "test.sqlite3"}
DATABASES = {"default": _database}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "messaging.layer.DoorbellLayer",
        "CONFIG": {"hosts": [CONSTRUCT.redis_url], "prefix": "construct"},
    }
    if CONSTRUCT.redis_url
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL, LOGIN_REDIRECT_URL = "admin:login", "admin:index"
AUTHENTICATION_BACKENDS = ["accounts.backends.StaffBackend"]
PASSWORD_HASHERS = ["accounts.passwords.OwaspArgon2Hasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 8}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.rest.authentication.SessionToken"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.rest.authentication.IsLoggedIn"],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.rest.limits.UserLimit"],
    "DEFAULT_PARSER_CLASSES": ["construct_site.rest.parsing.JsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "construct_site.rest.parsing.AlwaysJson",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    # OPTIONS is answered like any other method that a view does not have.
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "construct_site.rest.errors.answer_error",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Construct",
    "DESCRIPTION": "Account tooling. Messages travel over the WebSocket.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "POSTPROCESSING_HOOKS": ["construct_site.rest.schema.refuse_unknown_fields"],
    "SCHEMA_PATH_PREFIX": "/api/v1/",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Construct",
    "SITE_HEADER": "Construct",
    "SITE_SYMBOL": "forum",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("construct_site/icon.svg")}
    ],
    "STYLES": [lambda _request: static("desk/desk.css")],
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_HISTORY": False,
    # At a listener of its own there is no other page.
    "SITE_URL": None if CONSTRUCT.admin_listen else "/",
    "ACCOUNT": {"navigation": "accounts.desk.navigation.account_links"},
    "DASHBOARD_CALLBACK": "accounts.desk.dashboard.dashboard",
    "SIDEBAR": {"navigation": "accounts.desk.navigation.navigation"},
    "COLORS": {
        # Around #0b5a7a, the colour of the server's own pages.
        "primary": {
            "50": "oklch(97% .013 230)",
            "100": "oklch(94% .026 230)",
            "200": "oklch(88% .05 230)",
            "300": "oklch(80% .08 230)",
            "400": "oklch(71% .1 230)",
            "500": "oklch(60% .1 230)",
            "600": "oklch(47% .085 230)",
            "700": "oklch(42% .08 230)",
            "800": "oklch(37% .07 230)",
            "900": "oklch(32% .06 230)",
            "950": "oklch(24% .05 230)",
        },
    },
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
FORMAT_MODULE_PATH = "construct_site.formats"
STATIC_URL = "static/"
STATIC_ROOT = CONSTRUCT.data_dir / "static"
# Serves the admin's files from the installed packages: nothing to collect before the first start.
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = False

SECURE_CONTENT_TYPE_NOSNIFF = True
# `no-referrer` makes browsers post forms with `Origin: null`, which the CSRF check refuses.
SECURE_REFERRER_POLICY = "same-origin"
# TLS ends at the proxy: what arrives here is http, what browsers name is https.
CSRF_TRUSTED_ORIGINS = [
    # Browsers write it in lower case.
    origin.lower()
    for origin in (*(f"https://{host}" for host in CONSTRUCT.hosts), *CONSTRUCT.admin_origins)
]
# Only the admin has cookies. Both lives of a sign-in are counted on the server (accounts/desk/sign_in.py).
SESSION_COOKIE_NAME = "construct_staff"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = f"/{CONSTRUCT.admin_path}"
SESSION_COOKIE_AGE = CONSTRUCT.staff_session_s
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONSTRUCT.production
X_FRAME_OPTIONS = "DENY"

LOGGING_CONFIG = None
logs.configure(CONSTRUCT.log_level, as_json=CONSTRUCT.production)
