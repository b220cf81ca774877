"""What is on the shelf."""

from __future__ import annotations

from typing import NamedTuple

from django.http import Http404


class Product(NamedTuple):
    """Something on the shelf."""

    number: int
    name: str
    cents: int

    @property
    def price(self) -> str:
        """The price as a customer reads it."""
        return f"{self.cents // 100}.{self.cents % 100:02}"


PRODUCTS = [
    Product(1, "Green tea", 450),
    Product(2, "Black tea", 390),
    Product(3, "Teapot", 2400),
    Product(4, "Cup", 800),
    Product(5, "Honey", 620),
]


def found(number: int) -> Product:
    """Give the product of a number; 404 where there is none."""
    for product in PRODUCTS:
        if product.number == number:
            return product
    raise Http404
