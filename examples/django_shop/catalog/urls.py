"""The catalogue's addresses."""

from django.urls import path

from catalog import views

urlpatterns = [
    path("", views.front, name="front"),
    path("products/<int:number>/", views.product, name="product"),
    path("search/", views.search, name="search"),
    path("orders/", views.order, name="order"),
]
