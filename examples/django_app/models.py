"""What is kept."""

from __future__ import annotations

from django.db import models


class Order(models.Model):
    """An order, confirmed or not."""

    item = models.CharField(max_length=100)
    confirmed = models.BooleanField(default=False)

    class Meta:
        app_label = "django_app"
