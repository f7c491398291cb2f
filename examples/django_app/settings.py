"""The settings of Django."""

from __future__ import annotations

SECRET_KEY = "only an example"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]  # DEBUG is off
ROOT_URLCONF = "django_app.urls"
INSTALLED_APPS = ["django_app"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": "/tmp/django_app.sqlite3",
        "ATOMIC_REQUESTS": True,
        "CONN_MAX_AGE": 60,
    }
}
