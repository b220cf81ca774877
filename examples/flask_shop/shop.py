"""A small shop on Flask: it sells tea, and keeps its goods in a list."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

from flask import Flask, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue


class Product(NamedTuple):
    """Something on the shelf."""

    number: int
    name: str
    cents: int


PRODUCTS = [
    Product(1, "Green tea", 450),
    Product(2, "Black tea", 390),
    Product(3, "Teapot", 2400),
    Product(4, "Cup", 800),
    Product(5, "Honey", 620),
]

app = Flask(__name__)
order_numbers = itertools.count(1)


@app.template_filter()
def money(cents: int) -> str:
    """Write a price as a customer reads it."""
    return f"{cents // 100}.{cents % 100:02}"


def found(number: int) -> Product:
    """Give the product of a number; 404 where there is none."""
    product = next((product for product in PRODUCTS if product.number == number), None)
    return product or abort(404)


@app.get("/")
def front() -> str:
    """Show all there is."""
    return render_template("front.html", products=PRODUCTS)


@app.get("/products/<int:number>")
def product(number: int) -> str:
    """Show one product."""
    return render_template("product.html", product=found(number))


@app.get("/search")
def search() -> list[dict[str, Any]]:
    """Find products by a part of their name."""
    words = request.args.get("q", "").lower()
    return [product._asdict() for product in PRODUCTS if words in product.name.lower()]


@app.post("/orders")
def order() -> ResponseReturnValue:
    """Take an order."""
    wanted = request.get_json()
    match wanted:
        case {"product": int(number), "count": int(count)} if count > 0:
            product = found(number)
        case _:
            abort(400)
    bill = {"order": next(order_numbers), "product": product.name, "cents": product.cents * count}
    return bill, 201, {"Location": url_for("product", number=number)}
