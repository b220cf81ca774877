"""Which address belongs to whom."""

from django.urls import include, path

urlpatterns = [path("", include("catalog.urls"))]
