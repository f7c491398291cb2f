"""Orders are taken at once and confirmed by a job."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from asyncmqd import Job, JobGone
from django_app.models import Order
from django_app.tasks import confirm


def place(request: HttpRequest) -> HttpResponse:
    order = Order.objects.create(item=request.POST["item"])
    # Before the commit a worker could look for an order that is not there yet, or never will be.
    enqueue = confirm.options(job_id=f"order-{order.pk}").enqueue_sync
    transaction.on_commit(partial(enqueue, order.pk))
    return JsonResponse({"job": f"orders.order-{order.pk}"}, status=202)


def show(request: HttpRequest, ref: str) -> HttpResponse:
    try:
        return JsonResponse({"state": Job.from_ref(ref).state_sync()})
    except (JobGone, ValueError):
        raise Http404 from None


urlpatterns = [path("orders", place), path("jobs/<ref>", show)]
