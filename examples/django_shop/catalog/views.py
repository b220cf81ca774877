"""What the shop shows, and how it takes an order."""

from __future__ import annotations

import itertools
import json

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from catalog.products import PRODUCTS, found

order_numbers = itertools.count(1)


@require_GET
def front(request: HttpRequest) -> HttpResponse:
    """Show all there is."""
    return render(request, "catalog/front.html", {"products": PRODUCTS})


@require_GET
def product(request: HttpRequest, number: int) -> HttpResponse:
    """Show one product."""
    return render(request, "catalog/product.html", {"product": found(number)})


@require_GET
def search(request: HttpRequest) -> HttpResponse:
    """Find products by a part of their name."""
    words = request.GET.get("q", "").lower()
    hits = [product._asdict() for product in PRODUCTS if words in product.name.lower()]
    return JsonResponse({"products": hits})


@csrf_exempt  # programs order here, not forms
@require_POST
def order(request: HttpRequest) -> HttpResponse:
    """Take an order."""
    try:
        wanted = json.loads(request.body)
    except ValueError:
        return HttpResponseBadRequest()
    match wanted:
        case {"product": int(number), "count": int(count)} if count > 0:
            product = found(number)
        case _:
            return HttpResponseBadRequest()
    bill = {"order": next(order_numbers), "product": product.name, "cents": product.cents * count}
    return JsonResponse(bill, status=201, headers={"Location": reverse("product", args=[number])})
